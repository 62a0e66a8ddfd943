"""The metadata service tells each instance of itself, and nobody else anything."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from faafo_lab.cloud.emulator.addresses import port_offset
from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from . import machine_room
from .conftest import Api

# In the instance, a program that asks for what it finds in a file and leaves the answer beside it: each time a new
# process does so.
ASK = """#!/usr/bin/env python3
import json, os, time, urllib.error, urllib.request
url = os.environ["METADATA_URL"]
while True:
    for name in [name for name in os.listdir(".") if name.endswith(".ask")]:
        with open(name) as file:
            path = file.read()
        os.remove(name)
        if os.fork():
            os.wait()
            continue
        try:
            with urllib.request.urlopen(url + path) as answer:
                found = [answer.status, answer.headers["Content-Type"], answer.read().decode()]
        except urllib.error.HTTPError as error:
            found = [error.code, "", error.read().decode()]
        with open(name + ".partial", "w") as file:
            json.dump(found, file)
        os.rename(name + ".partial", name.replace(".ask", ".answer"))
        os._exit(0)
    time.sleep(0.02)
"""


class Instance:
    """A server that asks what it is told to ask."""

    def __init__(self, state_dir: Path, id: str) -> None:
        self.id = id
        self.directory = state_dir / "instances" / id
        self.home = self.directory / "disk/home/ubuntu"

    @classmethod
    def boot(cls, api: Api, state_dir: Path, name: str, **wanted: Any) -> Instance:
        """A new one."""
        script = base64.b64encode(ASK.encode()).decode()
        return cls(state_dir, api.boot(name, user_data=script, **wanted))

    def ask(self, path: str) -> tuple[int, str, str]:
        """Status, content type and text of what this instance is answered."""
        (self.home / "question").write_text(path)
        (self.home / "question").rename(self.home / "1.ask")
        answer = self.home / "1.answer"
        wait_for(f"the answer to {path}", answer.exists)
        status, kind, text = json.loads(answer.read_text())
        answer.unlink()
        return status, kind, text

    def text(self, path: str) -> str:
        status, _, text = self.ask(path)
        assert status == 200, text
        return text


@pytest.fixture(scope="module")
def state_dir(running: Running) -> Path:
    return running.clouds_yaml.parent


@pytest.fixture(scope="module")
def key(api: Api) -> Iterator[dict[str, str]]:
    pair: dict[str, str] = api.make("/compute/v2.1/os-keypairs", {"keypair": {"name": "the-key"}})["keypair"]
    yield pair
    api("DELETE", "/compute/v2.1/os-keypairs/the-key")


@pytest.fixture(scope="module")
def one(api: Api, state_dir: Path, key: dict[str, str]) -> Iterator[Instance]:
    instance = Instance.boot(api, state_dir, "One", key_name="the-key", metadata={"role": "api"})
    yield instance
    api.remove(instance.id)


@pytest.fixture(scope="module")
def two(alt: Api, state_dir: Path) -> Iterator[Instance]:
    instance = Instance.boot(alt, state_dir, "two")
    yield instance
    alt.remove(instance.id)


def test_each_instance_is_told_of_itself_in_openstacks_form(one: Instance, two: Instance, key: dict[str, str]) -> None:
    told = json.loads(one.text("/openstack/latest/meta_data.json"))
    assert (told["uuid"], told["name"], told["hostname"], told["meta"]) == (one.id, "One", "one", {"role": "api"})
    assert told["public_keys"] == {"the-key": key["public_key"]}
    assert told["keys"] == [{"name": "the-key", "type": "ssh", "data": key["public_key"]}]
    assert len(base64.b64decode(told["random_seed"])) == 512
    assert json.loads(two.text("/openstack/latest/meta_data.json"))["uuid"] == two.id


def test_the_same_in_the_ec2_form(api: Api, one: Instance, key: dict[str, str]) -> None:
    assert one.text("/latest/meta-data/hostname") == "one"
    assert one.text("/2009-04-04/meta-data/instance-type") == "m1.tiny"
    assert one.text("/latest/meta-data/public-keys/") == "0=the-key"
    assert one.text("/latest/meta-data/public-keys/0/") == "openssh-key"
    assert one.text("/latest/meta-data/public-keys/0/openssh-key") == key["public_key"]
    (address,) = api.server(one.id)["addresses"]["private"]
    assert one.text("/latest/meta-data/local-ipv4") == address["addr"]
    assert {"instance-id", "placement/", "public-keys/"} <= set(one.text("/latest/meta-data/").split("\n"))
    assert one.text("/latest/meta-data/placement/availability-zone") == "nova"


def test_directories_list_what_is_in_them_and_versions_differ(one: Instance) -> None:
    assert one.text("/").split("\n")[-2:] == ["2009-04-04", "latest"]
    assert one.text("/latest") == "meta-data/\nuser-data"
    versions = one.text("/openstack").split("\n")
    assert (versions[0], versions[-1]) == ("2012-08-10", "latest")
    assert one.text("/openstack/2012-08-10/").split("\n") == ["meta_data.json", "user_data"]
    latest = one.text("/openstack/latest/").split("\n")
    for name in latest:
        status, kind, text = one.ask(f"/openstack/latest/{name}")
        assert status == 200
        assert (kind == "application/json") == name.endswith(".json")
        assert text
    assert "network_data.json" in latest
    assert one.ask("/openstack/latest/nothing")[0] == 404
    assert one.ask("/openstack/latest/meta_data.json/below")[0] == 404


def test_user_data_comes_back_as_it_was_given(one: Instance) -> None:
    assert one.text("/openstack/latest/user_data") == ASK
    assert one.text("/latest/user-data") == ASK


def test_the_network_data_are_those_of_the_servers_port(api: Api, one: Instance) -> None:
    (port,) = api.get(f"/networking/v2.0/ports?device_id={one.id}")["ports"]
    told = json.loads(one.text("/openstack/latest/network_data.json"))
    (link,) = told["links"]
    (network,) = told["networks"]
    assert (link["vif_id"], link["ethernet_mac_address"]) == (port["id"], port["mac_address"])
    assert network["link"] == link["id"]
    assert network["ip_address"] == port["fixed_ips"][0]["ip_address"]
    assert network["netmask"] == "255.255.255.0"
    assert network["routes"][0]["network"] == "0.0.0.0"


def test_it_follows_the_servers_metadata(api: Api, one: Instance) -> None:
    api("PUT", f"/compute/v2.1/servers/{one.id}/metadata/colour", {"meta": {"colour": "green"}})
    assert json.loads(one.text("/openstack/latest/meta_data.json"))["meta"] == {"role": "api", "colour": "green"}
    api("DELETE", f"/compute/v2.1/servers/{one.id}/metadata/colour")
    assert json.loads(one.text("/openstack/latest/meta_data.json"))["meta"] == {"role": "api"}


def test_an_instance_is_known_however_fast_processes_are_born_on_the_host(one: Instance, two: Instance) -> None:
    with machine_room.a_busy_host():
        for _ in range(10):
            for each in (one, two):
                assert json.loads(each.text("/openstack/latest/meta_data.json"))["uuid"] == each.id


def test_nobody_else_gets_anything(one: Instance) -> None:
    (source,) = (one.directory / "disk/etc/cloud/cloud.cfg.d").iterdir()
    (url,) = yaml.safe_load(source.read_text())["datasource"]["OpenStack"]["metadata_urls"]
    for path in ("/", "/latest/meta-data/", "/openstack/latest/meta_data.json", "/openstack/latest/user_data"):
        answer = httpx.get(url + path, trust_env=False, headers={"X-Instance-ID": one.id, "X-Forwarded-For": one.id})
        assert (answer.status_code, answer.text) == (404, "404: Not Found")
    assert httpx.post(url + "/", trust_env=False).status_code == 405
    # Not even by the instance's own variables: it is the process that counts.
    asked = subprocess.run(
        ["sh", "-c", "exec python3 -c 'import os, urllib.request as u; u.urlopen(os.environ[\"METADATA_URL\"])'"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "METADATA_URL": url, "FAAFO_LAB_INSTANCE": one.id},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "404" in asked.stderr


def test_a_taken_port_only_means_another_address(start: Callable[..., Running]) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # where somebody else has taken it: as good
            taken.bind(("0.0.0.0", 80 + port_offset()))
            taken.listen()
        running = start()
        api = Api(running)
        instance = Instance.boot(api, running.clouds_yaml.parent, "moved")
        assert json.loads(instance.text("/openstack/latest/meta_data.json"))["uuid"] == instance.id
