"""What a real cloud answers where the lab would not expect it, and a lab that understands it: each in one sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.errors import Ambiguous, InUse, NotFound, ServerFailed
from tests.emulator.conftest import Api

from .conftest import QUOTAS
from .test_stored_objects import NoWayBack

TINY = {"image": "plain-linux", "flavor": "m1.tiny"}


@pytest.fixture
def api(embedded: Path) -> Api:
    """The project's plain HTTP client."""
    running = control.status(embedded)
    assert running is not None
    return Api(running)


@pytest.fixture
def island(api: Api, cloud: Cloud) -> Iterator[str]:
    """A second network, which no router connects to the external one."""
    network = api.make("/networking/v2.0/networks", {"network": {"name": "island"}})["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.77.0.0/24"}
    api.make("/networking/v2.0/subnets", {"subnet": subnet})
    yield network
    cloud.delete_servers(cloud.servers(), timeout_seconds=60, progress=False)
    assert api("DELETE", f"/networking/v2.0/networks/{network}").status_code == 204


def test_where_no_router_leads_to_a_network_an_address_is_not_attached(cloud: Cloud, island: str) -> None:
    server = cloud.create_server("one", **TINY, network="island")
    cloud.wait_for(server, timeout_seconds=60, progress=False)
    ip = cloud.create_floating_ip()
    with pytest.raises(NotFound, match=r"is not reachable from subnet .* No router connects the server's network"):
        cloud.attach_floating_ip(server, ip)
    assert cloud.floating_ips() == [ip]


def test_with_several_networks_one_has_to_be_chosen(cloud: Cloud, island: str) -> None:
    with pytest.raises(Ambiguous, match=r"Multiple possible networks found.*faafo_lab: \{network: NAME\}"):
        cloud.create_server("one", **TINY)
    assert cloud.servers() == []


def test_an_address_waits_for_a_servers_port(cloud: Cloud) -> None:
    server = cloud.create_server("one", **TINY, network="public")  # it fails, and never has a port
    with pytest.raises(ServerFailed, match=r"Failed to allocate .* not rescheduling\. Delete it"):
        cloud.wait_for(server, timeout_seconds=60, progress=False)
    ip = cloud.create_floating_ip()
    with pytest.raises(InUse, match=f"Server 'one' has no port yet that {ip.address} could lead to: wait until"):
        cloud.attach_floating_ip(server, ip)
    assert cloud.floating_ips() == [ip]


def test_a_fault_is_told_even_where_the_list_has_none(cloud: Cloud, api: Api) -> None:
    wanted = {"server_group": {"name": "apart", "policies": ["anti-affinity"]}}
    group = api.make("/compute/v2.1/os-server-groups", wanted)["server_group"]["id"]
    body = {"name": "apart", "imageRef": api.image(), "flavorRef": "1", "min_count": 2}
    api.make("/compute/v2.1/servers", {"server": body, "os:scheduler_hints": {"group": group}})
    with pytest.raises(ServerFailed, match=r"Server 'apart-[12]' failed: No valid host was found"):
        cloud.wait_for(["apart-1", "apart-2"], timeout_seconds=60, progress=False)
    [failed] = [server for server in cloud.servers() if server.status == "ERROR"]
    assert failed.fault is None
    assert (cloud.server(failed.name).fault or "").startswith("No valid host was found")
    cloud.delete_servers([failed], timeout_seconds=60, progress=False)
    with pytest.raises(NotFound, match=failed.id):
        cloud._failure(failed)  # it was deleted meanwhile
    api("DELETE", f"/compute/v2.1/os-server-groups/{group}")


def test_a_revoked_token_is_replaced(cloud: Cloud, embedded: Path) -> None:
    def stored() -> bytes:
        cloud.upload_object("kept", "stream", NoWayBack(b"whole"))
        return cloud.read_object("kept", "stream")

    cloud.create_container("kept")
    calls = (cloud.servers, cloud.images, cloud.networks, cloud.security_groups, cloud.limits)
    before = [call() for call in calls]
    control.stop(embedded)
    try:
        with sqlite3.connect(embedded / "state.sqlite") as database:
            assert database.execute("DELETE FROM row WHERE kind = 'token'").rowcount
        database.close()
    finally:
        control.start(embedded, quotas=QUOTAS)
        assert stored() == b"whole"
    assert [call() for call in calls] == before
