"""The object store through clients that know nothing of the embedded cloud."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from libcloud.storage.providers import get_driver
from libcloud.storage.types import (
    ContainerAlreadyExistsError,
    ContainerDoesNotExistError,
    ContainerIsNotEmptyError,
    ObjectDoesNotExistError,
    Provider,
)

from faafo_lab.cloud.emulator.control import Running
from tests.programs import need
from tests.waiting import LIMIT_SECONDS

from .clients import openstack, sdk
from .conftest import Api

pytestmark = [  # openstacksdk warns of its own doings
    pytest.mark.filterwarnings(f"ignore::{each}") for each in ("DeprecationWarning", "PendingDeprecationWarning")
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(os.urandom(300_000))
    return path


def test_shade_walks_the_tutorials_path(running: Running, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faafo_lab.cloud.shade_compat import shade

    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(running.clouds_yaml))
    cloud = shade.openstack_cloud(cloud="embedded")
    cloud.create_container("fractals", public=True)
    assert cloud.get_container_access("fractals") == "public"
    assert [each["name"] for each in cloud.list_containers()] == ["fractals"]
    text = data.with_name("text")
    text.write_text("data")  # shade reads files as text
    cloud.create_object("fractals", "one", filename=str(text), metadata={"color": "blue"})
    cloud.create_object("fractals", "one", filename=str(text), metadata={"color": "blue"})
    headers, body = cloud.get_object("fractals", "one")
    assert (body, headers["x-object-meta-color"]) == ("data", "blue")
    big = data.with_name("big")
    big.write_text("0123456789" * 100)
    cloud.create_object("fractals", "big", filename=str(big), segment_size=400, use_slo=True)
    assert cloud.get_object("fractals", "big")[1] == big.read_text()
    cloud.create_object("fractals", "dynamic", filename=str(big), segment_size=400, use_slo=False)
    assert cloud.get_object("fractals", "dynamic")[1] == big.read_text()
    assert "one" in [each["name"] for each in cloud.list_objects("fractals")]
    for each in ("one", "big", "dynamic"):
        assert cloud.delete_object("fractals", each)
    for each in cloud.list_objects("fractals"):
        cloud.delete_object("fractals", each["name"])
    assert cloud.delete_container("fractals")
    assert cloud.list_containers() == []


def test_libcloud_walks_the_tutorials_path(api: Api, data: Path) -> None:
    driver = get_driver(Provider.OPENSTACK_SWIFT)(
        api.auth["username"],
        api.auth["password"],
        region="RegionOne",
        ex_force_auth_url=api.auth["auth_url"],
        ex_force_auth_version="3.x_password",
        ex_tenant_name="demo",
        ex_domain_name="Default",
    )
    container = driver.create_container("fractals")
    with pytest.raises(ContainerAlreadyExistsError):
        driver.create_container("fractals")
    with pytest.raises(ContainerDoesNotExistError):
        driver.get_container("missing")
    made = driver.upload_object(str(data), container, "dir/one", extra={"meta_data": {"color": "blue"}})
    assert made.hash == hashlib.md5(data.read_bytes(), usedforsecurity=False).hexdigest()
    driver.upload_object_via_stream(io.BytesIO(b"0123456789"), container, "two")
    found = driver.get_object("fractals", "dir/one")
    assert (found.size, found.meta_data["color"]) == (300_000, "blue")
    assert b"".join(driver.download_object_as_stream(found)) == data.read_bytes()
    two = driver.get_object("fractals", "two")
    assert b"".join(driver.download_object_range_as_stream(two, 2, 5)) == b"234"
    assert [each.name for each in driver.list_container_objects(container)] == ["dir/one", "two"]
    assert [each.name for each in driver.list_container_objects(container, prefix="d")] == ["dir/one"]
    assert driver.ex_get_meta_data()["object_count"] == 2
    with pytest.raises(ContainerIsNotEmptyError):
        container.delete()
    for each in (found, two):
        assert driver.delete_object(each)
    with pytest.raises(ObjectDoesNotExistError):
        driver.get_object("fractals", "two")
    assert driver.delete_container(container)
    assert driver.list_containers() == []


@pytest.fixture
def connection(api: Api) -> Iterator[Any]:
    with contextlib.closing(sdk(api)) as connection:
        yield connection


def test_openstacksdk_keeps_objects_large_ones_and_temporary_urls(connection: Any, api: Api, data: Path) -> None:
    store = connection.object_store
    assert store.get_info().slo["min_segment_size"] == 1
    store.create_container("fractals")
    store.set_container_metadata("fractals", color="blue")
    assert store.get_container_metadata("fractals").metadata["color"] == "blue"
    connection.create_object("fractals", "one", filename=str(data), size="red")
    assert store.download_object("one", container="fractals") == data.read_bytes()
    for name, static in (("static", True), ("dynamic", False)):
        connection.create_object("fractals", name, filename=str(data), segment_size=100_000, use_slo=static)
        assert store.download_object(name, container="fractals") == data.read_bytes()
    store.set_account_temp_url_key("key")
    url = store.generate_temp_url(f"/v1/AUTH_{api.project}/fractals/one", 60, "GET")
    assert api("GET", url, headers={"X-Auth-Token": ""}).content == data.read_bytes()
    for each in list(store.objects("fractals")):
        connection.delete_object("fractals", each.name)
    store.delete_container("fractals")
    assert list(store.containers()) == []
    api("POST", f"/v1/AUTH_{api.project}", headers={"X-Remove-Account-Meta-Temp-URL-Key": "x"})


def test_openstackclient_keeps_objects(running: Running, api: Api, data: Path) -> None:
    script = f"""\
container create fractals
container set --property color=blue fractals
object create --name one fractals {data}
object list fractals -f value -c Name
object save --file {data}.saved fractals one
object store account show -f value -c Containers
container delete --recursive fractals
container list
"""
    client = openstack(running, script)
    assert "one\n" in client.stdout, client.stdout + client.stderr
    assert Path(f"{data}.saved").read_bytes() == data.read_bytes()
    assert api.get(f"/v1/AUTH_{api.project}?format=json") == []


def test_curl_keeps_objects(api: Api, data: Path) -> None:
    need("curl")
    root = f"{api.root}/v1/AUTH_{api.project}"
    token = ["-H", f"X-Auth-Token: {api.token}"]

    def curl(*words: str) -> bytes:
        command = ["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", str(LIMIT_SECONDS), *words]
        return subprocess.run(command, check=True, capture_output=True).stdout

    curl(*token, "-X", "PUT", f"{root}/curl")
    curl(*token, "-T", str(data), f"{root}/curl/")
    assert curl(*token, "-r", "0-99", f"{root}/curl/data.bin") == data.read_bytes()[:100]
    assert json.loads(curl(*token, f"{root}/curl?format=json"))[0]["bytes"] == 300_000
    assert b"Content-Length: 300000" in curl(*token, "-I", f"{root}/curl/data.bin")
    curl(*token, "-X", "DELETE", f"{root}/curl/data.bin")
    curl(*token, "-X", "DELETE", f"{root}/curl")
    assert api.get(f"/v1/AUTH_{api.project}?format=json") == []
