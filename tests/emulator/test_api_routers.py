"""Neutron: routers' gateways, interfaces and routes, and the tags that every resource may have."""

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Api
from .test_api_network import NOBODY, Q, words


@pytest.fixture
def router(api: Api) -> Iterator[str]:
    id = api.make(f"{Q}/routers", {"router": {"name": "r"}})["router"]["id"]
    yield id
    api("PUT", f"{Q}/routers/{id}", {"router": {"routes": []}})
    for port in api.get(f"{Q}/ports?device_id={id}")["ports"]:
        api("PUT", f"{Q}/routers/{id}/remove_router_interface", {"port_id": port["id"]})
    assert api("DELETE", f"{Q}/routers/{id}").status_code == 204


@pytest.fixture
def subnets(api: Api) -> Iterator[list[str]]:
    """A subnet of 10.1.0.0/24 and one of 10.1.0.0/16, on two networks."""
    networks, found = [], []
    for cidr in ("10.1.0.0/24", "10.1.0.0/16"):
        networks.append(api.make(f"{Q}/networks", {"network": {"name": "n"}})["network"]["id"])
        body = {"network_id": networks[-1], "ip_version": 4, "cidr": cidr}
        found.append(api.make(f"{Q}/subnets", {"subnet": body})["subnet"]["id"])
    yield found
    for network in networks:
        for port in api.get(f"{Q}/ports?network_id={network}")["ports"]:
            if port["device_owner"] == "network:router_interface":
                api("PUT", f"{Q}/routers/{port['device_id']}/remove_router_interface", {"port_id": port["id"]})
            api("DELETE", f"{Q}/ports/{port['id']}")
        assert api("DELETE", f"{Q}/networks/{network}").status_code == 204


def interface(api: Api, router: str, verb: str, **body: Any) -> Any:
    return api("PUT", f"{Q}/routers/{router}/{verb}_router_interface", body)


def change(api: Api, router: str, **changes: Any) -> Any:
    return api("PUT", f"{Q}/routers/{router}", {"router": changes})


def test_a_routers_gateway_has_an_external_address(api: Api, router: str) -> None:
    public = api.network("public")["id"]
    made = change(api, router, external_gateway_info={"network_id": public}).json()["router"]["external_gateway_info"]
    [fixed] = made["external_fixed_ips"]
    taken = {"floating_network_id": public, "floating_ip_address": fixed["ip_address"]}
    assert words(api("POST", f"{Q}/floatingips", {"floatingip": taken})) == (409, "IpAddressInUse")
    assert change(api, router, name="r2", external_gateway_info=made).status_code == 200
    assert api.get(f"{Q}/routers/{router}")["router"]["external_gateway_info"] == made
    assert change(api, router, external_gateway_info={}).json()["router"]["external_gateway_info"] is None
    free = api.make(f"{Q}/floatingips", {"floatingip": taken})["floatingip"]["id"]
    assert api("DELETE", f"{Q}/floatingips/{free}").status_code == 204


@pytest.mark.parametrize(
    ("info", "status"),
    [
        ({"network_id": NOBODY}, 404),
        ({"network_id": "own"}, 400),
        ({"network_id": "public", "enable_snat": False}, 403),
        ({"network_id": "public", "external_fixed_ips": [{"ip_address": "10.0.0.1"}]}, 400),
        ({"network_id": "public", "surprise": 1}, 400),
    ],
)
def test_a_gateway_that_makes_no_sense_is_refused(api: Api, router: str, info: dict[str, Any], status: int) -> None:
    names = {"own": api.network()["id"], "public": api.network("public")["id"]}
    info = {**info, "network_id": names.get(info["network_id"], info["network_id"])}
    assert change(api, router, external_gateway_info=info).status_code == status
    assert api.get(f"{Q}/routers/{router}")["router"]["external_gateway_info"] is None


def test_an_interface_may_be_a_port_of_the_projects(api: Api, router: str, subnets: list[str]) -> None:
    network = api.get(f"{Q}/subnets/{subnets[0]}")["subnet"]["network_id"]
    port = api.make(f"{Q}/ports", {"port": {"network_id": network}})["port"]
    joined = interface(api, router, "add", port_id=port["id"]).json()
    assert (joined["port_id"], joined["subnet_id"]) == (port["id"], subnets[0])
    [shown] = api.get(f"{Q}/ports?device_id={router}")["ports"]
    assert (shown["id"], shown["device_owner"]) == (port["id"], "network:router_interface")
    assert words(interface(api, router, "add", port_id=port["id"])) == (409, "PortInUse")
    assert words(api("DELETE", f"{Q}/ports/{port['id']}")) == (409, "ServicePortInUse")
    assert interface(api, router, "remove", port_id=port["id"]).status_code == 200
    assert words(api("GET", f"{Q}/ports/{port['id']}")) == (404, "PortNotFound")


def test_interfaces_must_not_overlap(api: Api, router: str, subnets: list[str]) -> None:
    assert interface(api, router, "add", subnet_id=subnets[0]).status_code == 200
    for subnet in subnets:
        assert words(interface(api, router, "add", subnet_id=subnet)) == (400, "BadRequest")
    gateway = api("PUT", f"{Q}/subnets/{subnets[0]}", {"subnet": {"gateway_ip": "10.1.0.9"}})
    assert words(gateway) == (409, "GatewayIpInUse")


@pytest.mark.parametrize(
    "body", [{}, {"subnet_id": 7}, {"port_id": [NOBODY]}, {"subnet_id": NOBODY, "port_id": NOBODY}]
)
def test_an_interface_that_makes_no_sense_is_refused(api: Api, router: str, body: dict[str, Any]) -> None:
    assert interface(api, router, "add", **body).status_code == 400


def test_routes_go_by_a_neighbour_and_hold_the_interface(api: Api, router: str, subnets: list[str]) -> None:
    assert interface(api, router, "add", subnet_id=subnets[0]).status_code == 200
    routes = [{"destination": "10.9.0.0/16", "nexthop": "10.1.0.7"}]
    assert change(api, router, routes=routes).json()["router"]["routes"] == routes
    assert words(interface(api, router, "remove", subnet_id=subnets[0])) == (409, "RouterInterfaceInUseByRoute")
    for hop in ("10.1.0.1", "10.3.0.1"):
        assert words(change(api, router, routes=[{**routes[0], "nexthop": hop}])) == (400, "InvalidRoutes")
    assert words(change(api, router, routes=routes * 2)) == (400, "HTTPBadRequest")
    assert change(api, router, routes=None).json()["router"]["routes"] == []
    assert interface(api, router, "remove", subnet_id=subnets[0]).status_code == 200
    gone = interface(api, router, "remove", subnet_id=subnets[0])
    assert words(gone) == (404, "RouterInterfaceNotFoundForSubnet")


def test_routes_are_added_and_removed_one_by_one(api: Api, router: str, subnets: list[str]) -> None:
    interface(api, router, "add", subnet_id=subnets[0])
    first, second = ({"destination": f"10.{number}.0.0/16", "nexthop": "10.1.0.7"} for number in (8, 9))

    def routes(verb: str, *changed: Any) -> Any:
        return api("PUT", f"{Q}/routers/{router}/{verb}_extraroutes", {"router": {"routes": list(changed)}})

    assert routes("add", first).json()["router"]["routes"] == [first]
    assert routes("add", second).json()["router"]["routes"] == [first, second]
    assert routes("add", second).json()["router"]["routes"] == [first, second]
    assert words(routes("add", {**first, "nexthop": "10.3.0.1"})) == (400, "InvalidRoutes")
    assert routes("remove", first, {**first, "nexthop": "10.1.0.8"}).json()["router"]["routes"] == [second]
    assert routes("remove", second).json()["router"]["routes"] == []
    assert words(api("PUT", f"{Q}/routers/{router}/add_extraroutes", {"router": {}})) == (400, "HTTPBadRequest")


def test_any_resource_may_have_tags(api: Api, alt: Api, router: str) -> None:
    path = f"{Q}/routers/{router}/tags"
    assert api("PUT", path, {"tags": ["b", "a", "b"]}).json() == {"tags": ["a", "b"]}
    assert api("PUT", f"{path}/in%20two%20words").status_code == 201
    assert api.get(path) == {"tags": ["a", "b", "in two words"]}
    assert api("GET", f"{path}/a").status_code == 204
    assert [each["id"] for each in api.get(f"{Q}/routers?tags=a,b")["routers"]] == [router]
    assert api.get(f"{Q}/routers?not-tags=a&name=r")["routers"] == []
    assert api("DELETE", f"{path}/a").status_code == 204
    assert words(api("GET", f"{path}/a")) == (404, "TagNotFound")
    assert words(api("PUT", path, {"tags": "a"})) == (400, "HTTPBadRequest")
    assert words(api("PUT", path, {"tags": ["x" * 256]})) == (400, "HTTPBadRequest")
    assert words(alt("PUT", path, {"tags": []})) == (404, "RouterNotFound")
    assert api("DELETE", path).status_code == 204
    assert api.get(path) == {"tags": []}
