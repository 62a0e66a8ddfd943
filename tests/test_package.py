"""The application's package on its way to servers, on the embedded cloud, through each backend."""

from pathlib import Path

import pytest
import requests

import faafo_lab
from faafo_lab.cloud import direct, keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import NotReady
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Image
from faafo_lab.topology import Topology, TopologyError, wheel
from faafo_lab.topology.package import Package


@pytest.fixture(scope="module")
def cloud(backend_home: tuple[str, Path]) -> Cloud:
    return faafo_lab.connect()


def test_a_server_is_given_a_url_of_the_wheel(cloud: Cloud) -> None:
    package = Package(cloud)
    url = package.offer()
    assert requests.get(url, timeout=30).content == wheel.build().data
    assert package.offer() != "", "again"
    assert url in package.script(url)
    assert cloud.receipt().left["containers"] == tuple(cloud.containers())
    assert package.withdraw()
    assert not package.withdraw()
    assert cloud.receipt().nothing_left


def test_what_a_server_is_made_from_does_not_depend_on_the_url(cloud: Cloud) -> None:
    app = Topology(cloud, image="plain-linux")
    assert wheel.build().sha256 in app.user_data("all-in-one")
    assert "https://store/x?temp_url_sig=1" in app.user_data("all-in-one", "https://store/x?temp_url_sig=1")
    assert app.user_data("all-in-one", "https://store/x") != app.user_data("all-in-one")
    assert len(app.user_data("all-in-one", "https://store/x")) < 8_000, "Nova takes 64 kB in base64"
    assert app.package is not None
    assert Topology(cloud).package is None, "the embedded image has it on board"


def test_a_deployment_that_fails_leaves_no_package(cloud: Cloud) -> None:
    said: list[str] = []
    with pytest.raises(TopologyError, match="user data of app-all-in-one failed"):
        Topology(cloud, image="plain-linux", say=said.append).deploy_all_in_one()
    assert "server app-all-in-one: created" in said
    assert cloud.containers() == []


def test_destroy_takes_the_package_along(cloud: Cloud) -> None:
    assert Package(cloud).offer()
    said: list[str] = []
    Topology(cloud, say=said.append).destroy()
    assert "the application's package in the object store: deleted" in said
    assert cloud.containers() == []


def test_a_package_that_pip_does_not_find_is_named_before_anything_is_built(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAAFO_LAB_PACKAGE", "./nowhere-1.0-py3-none-any.whl")
    with pytest.raises(NotReady, match=r"FAAFO_LAB_PACKAGE is './nowhere.*', which pip can't install: .*nowhere"):
        Topology(cloud, image="plain-linux").deploy_all_in_one()
    assert cloud.servers() == []
    monkeypatch.setenv("FAAFO_LAB_PACKAGE", "https://example.org/it's.whl")
    script = Package(cloud).script()
    assert script.startswith("package='https://example.org/it'\"'\"'s.whl'\n")
    assert Package(cloud).offer() == ""


@pytest.mark.parametrize(
    ("name", "properties", "told"),
    [
        ("Ubuntu 22.04 LTS", {}, "ubuntu 22.04"),
        ("ubuntu-jammy-server", {}, "jammy"),
        ("debian-11-genericcloud", {}, "debian 11"),
        ("my image", {"os_distro": "debian", "os_version": "11"}, "debian 11"),
        ("my image", {"os_distro": "ubuntu", "os_version": "focal"}, "ubuntu focal"),
        ("Ubuntu 24.04 LTS", {}, ""),
        ("debian-12", {"os_distro": "debian", "os_version": "12"}, ""),
        ("Debian 13", {}, ""),
        ("my image", {"os_distro": "debian", "os_version": "bookworm"}, ""),
        ("golden image 7", {}, ""),
    ],
)
def test_an_image_that_is_too_old_is_named_as_far_as_it_says(
    cloud: Cloud, name: str, properties: dict[str, str], told: str
) -> None:
    missing = Package(cloud).missing(Image("1", name, "active", properties=properties))
    assert [f"Image {name!r} is {told}," in line for line in missing] == ([True] if told else [])


def test_a_url_that_leads_to_this_machine_is_no_use_to_other_machines() -> None:
    here = [
        direct.is_local(f"http://{host}:8080/v1") for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.4", "swift")
    ]
    assert here == [True, True, True, False, False]


def test_what_is_uploaded_waits_until_a_server_has_a_floating_address(cloud: Cloud) -> None:
    there, package = Path("/tmp", wheel.build().name), Package(cloud)  # its servers see our files
    there.unlink(missing_ok=True)
    key = keys.ensure_key_pair(cloud)
    group = cloud.create_security_group("ssh")
    cloud.add_rule(group, 22)
    made = {"key_pair": key, "security_groups": [group], "image": "plain-linux", "flavor": "m1.tiny"}
    try:
        inner = cloud.wait_for(cloud.create_server("inner", metadata={ROLE_KEY: "services"}, **made))[0]
        package.upload([inner], [inner])
        assert not there.exists(), "there is no way to it"
        outer = cloud.wait_for(cloud.create_server("outer", metadata={ROLE_KEY: "api"}, **made))[0]
        cloud.attach_floating_ip(outer, cloud.create_floating_ip())
        cloud.wait_until(lambda: bool(cloud.server("outer").floating_addresses), "the floating address")
        package.upload([], cloud.servers())
        assert there.read_bytes() == wheel.build().data
    finally:
        there.unlink(missing_ok=True)
        cloud.delete_servers(cloud.servers(), progress=False)
        for ip in cloud.floating_ips():
            cloud.delete_floating_ip(ip)
        cloud.delete_security_group(group)
        cloud.delete_key_pair(key)
