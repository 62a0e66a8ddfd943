"""What is on a second network is reachable only there, until a router joins it to the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.waiting import LIMIT_SECONDS, wait_for

from . import web_server
from .conftest import Api

L = "/load-balancer/v2/lbaas"
Q = "/networking/v2.0"


class Place:
    """A web server on a network."""

    def __init__(self, api: Api, name: str, network: str) -> None:
        wanted = {
            "user_data": web_server.user_data(),
            "networks": [{"uuid": network}],
            "security_groups": [{"name": "open"}],
        }
        self.id = api.boot(name, **wanted)
        self.addresses = [each["addr"] for found in api.server(self.id)["addresses"].values() for each in found]
        self.address = self.addresses[0]
        self.port = 80 + api.port_offset
        wait_for(f"the web server of {name}", self.serves)

    def serves(self) -> bool:
        try:
            return bool(self.get("/"))
        except httpx.TransportError:
            return False

    def get(self, path: str) -> str:
        url = f"http://{self.address}:{self.port}{path}"
        return httpx.get(url, trust_env=False, timeout=LIMIT_SECONDS).text

    def reaches(self, address: str) -> bool:
        """Whether a process of this instance gets through to an address; a connection that is reset at once is none."""
        return self.get(f"/reach/{address}/{self.port}") == "yes"


@pytest.fixture(scope="module")
def group(api: Api) -> str:
    made = api.make(f"{Q}/security-groups", {"security_group": {"name": "open"}})["security_group"]["id"]
    rule = {"security_group_id": made, "direction": "ingress", "protocol": "tcp"}
    api.make(f"{Q}/security-group-rules", {"security_group_rule": rule})
    return str(made)


@pytest.fixture(scope="module")
def second(api: Api, group: str) -> dict[str, Any]:
    """Another network, with a subnet of the cloud's own addresses."""
    network: dict[str, Any] = api.make(f"{Q}/networks", {"network": {"name": "second"}})["network"]
    first = api.get(f"{Q}/subnets/{api.network()['subnets'][0]}")["subnet"]["cidr"]
    cidr = ".".join([*first.split(".")[:2], "77.0/24"])
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": cidr}
    network["subnet"] = api.make(f"{Q}/subnets", {"subnet": subnet})["subnet"]["id"]
    return network


@pytest.fixture(scope="module")
def places(api: Api, second: dict[str, Any]) -> dict[str, Place]:
    first = api.network()["id"]
    return {
        "here": Place(api, "here", first),
        "there": Place(api, "there", second["id"]),
        "neighbour": Place(api, "neighbour", second["id"]),
    }


@pytest.fixture
def joined(api: Api, second: dict[str, Any]) -> Iterator[None]:
    """A router between the two networks, for a test's time."""
    router = api.get(f"{Q}/routers")["routers"][0]["id"]
    body = {"subnet_id": second["subnet"]}
    assert api("PUT", f"{Q}/routers/{router}/add_router_interface", body).status_code == 200
    yield
    assert api("PUT", f"{Q}/routers/{router}/remove_router_interface", body).status_code == 200


def test_a_server_on_a_second_network_is_reachable_only_there(places: dict[str, Place]) -> None:
    here, there, neighbour = places["here"], places["there"], places["neighbour"]
    assert len(there.addresses) == 1
    assert there.address.split(".")[2] == "77"
    assert neighbour.reaches(there.address)
    assert not here.reaches(there.address)
    assert not there.reaches(here.address)


def test_a_router_joins_two_networks(places: dict[str, Place], joined: None) -> None:
    wait_for("the way there", lambda: places["here"].reaches(places["there"].address))
    wait_for("the way back", lambda: places["there"].reaches(places["here"].address))


def test_a_load_balancer_is_on_its_own_network(api: Api, second: dict[str, Any], places: dict[str, Place]) -> None:
    monitor = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
    members = [{"name": name, "address": each.address, "protocol_port": 80} for name, each in places.items()]
    pool = {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members, "healthmonitor": monitor}
    listener = {"protocol": "TCP", "protocol_port": 80, "default_pool": pool}
    body = {"vip_subnet_id": second["subnet"], "listeners": [listener]}
    made = api.make(f"{L}/loadbalancers", {"loadbalancer": body})["loadbalancer"]

    def members_now() -> dict[str, str]:
        tree = api.get(f"{L}/loadbalancers/{made['id']}/status")["statuses"]["loadbalancer"]
        return {each["name"]: each["operating_status"] for each in tree["pools"][0]["members"]}

    try:
        expected = {"here": "ERROR", "there": "ONLINE", "neighbour": "ONLINE"}
        wait_for("the members that it can reach", lambda: members_now() == expected)
        assert places["neighbour"].reaches(made["vip_address"])
        assert not places["here"].reaches(made["vip_address"])
        # With a foot on the first network, it reaches that too.
        pool_id = made["pools"][0]["id"]
        foot = {"name": "here", "address": places["here"].address, "protocol_port": 80,
                "subnet_id": api.network()["subnets"][0]}  # fmt: skip
        wait_for("its turn", lambda: api("PUT", f"{L}/pools/{pool_id}/members", {"members": []}).status_code == 202)
        wait_for("its turn", lambda: api("POST", f"{L}/pools/{pool_id}/members", {"member": foot}).status_code == 201)
        wait_for("the member over there", lambda: members_now() == {"here": "ONLINE"})
    finally:
        path = f"{L}/loadbalancers/{made['id']}?cascade=true"
        wait_for("its end", lambda: api("DELETE", path).status_code == 204)
        wait_for("it gone", lambda: api("GET", path.partition("?")[0]).status_code == 404)
