"""Neutron: subnets of both IP versions, subnet pools, ports' addresses, and a server on a network of its own."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import wait_for

from .conftest import Api
from .test_api_network import NOBODY, Q, words


@pytest.fixture
def network(api: Api) -> Iterator[str]:
    """A network of the project's own; all that is on it goes with it."""
    id = api.make(f"{Q}/networks", {"network": {"name": "own"}})["network"]["id"]
    yield id
    for port in api.get(f"{Q}/ports?network_id={id}")["ports"]:
        api("DELETE", f"{Q}/ports/{port['id']}")
    assert api("DELETE", f"{Q}/networks/{id}").status_code == 204


@pytest.fixture
def pool(api: Api) -> Iterator[str]:
    body = {"name": "p", "prefixes": ["10.20.0.0/17", "10.20.128.0/17"], "default_prefixlen": 26, "min_prefixlen": 20}
    id = api.make(f"{Q}/subnetpools", {"subnetpool": body})["subnetpool"]["id"]
    yield id
    for subnet in api.get(f"{Q}/subnets?subnetpool_id={id}")["subnets"]:
        api("DELETE", f"{Q}/subnets/{subnet['id']}")
    assert api("DELETE", f"{Q}/subnetpools/{id}").status_code == 204


def subnet(api: Api, network: str, **more: Any) -> Any:
    return api("POST", f"{Q}/subnets", {"subnet": {"network_id": network, "ip_version": 4, **more}})


def port(api: Api, network: str, **more: Any) -> Any:
    return api("POST", f"{Q}/ports", {"port": {"network_id": network, **more}})


def addresses(answer: Any) -> list[str]:
    assert answer.status_code in (200, 201), answer.text
    return [ip["ip_address"] for ip in answer.json()["port"]["fixed_ips"]]


def test_a_subnet_keeps_its_pools_routes_and_nameservers(api: Api, network: str) -> None:
    wanted = {
        "gateway_ip": "10.1.0.254",
        "allocation_pools": [{"start": "10.1.0.10", "end": "10.1.0.11"}, {"start": "10.1.0.20", "end": "10.1.0.20"}],
        "dns_nameservers": ["8.8.8.8", "9.9.9.9"],
        "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.1.0.1"}],
        "enable_dhcp": False,
    }
    made = subnet(api, network, cidr="10.1.0.0/24", **wanted).json()["subnet"]
    assert {name: made[name] for name in wanted} == wanted
    assert [addresses(port(api, network)) for _ in range(3)] == [["10.1.0.10"], ["10.1.0.11"], ["10.1.0.20"]]
    assert words(port(api, network)) == (409, "IpAddressGenerationFailure")
    path = f"{Q}/subnets/{made['id']}"
    changed = api("PUT", path, {"subnet": {"gateway_ip": None, "host_routes": [], "dns_nameservers": None}})
    assert [changed.json()["subnet"][each] for each in ("gateway_ip", "host_routes", "dns_nameservers")] == [
        *(None, [], [])
    ]
    assert words(api("DELETE", path)) == (409, "SubnetInUse")


@pytest.mark.parametrize(
    ("wrong", "status", "kind"),
    [
        ({"cidr": "10.1.0.0/31"}, 400, "HTTPBadRequest"),
        ({"cidr": "0.0.0.0/0"}, 400, "HTTPBadRequest"),
        ({"cidr": "fd00::/64"}, 400, "InvalidInput"),
        ({}, 400, "BadRequest"),
        ({"cidr": "10.1.0.0/24", "prefixlen": 24}, 400, "BadRequest"),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.255"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "fd00::1"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "dns_nameservers": ["8.8.8.8", "8.8.8.8"]}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "dns_nameservers": ["dns.example.org"]}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "host_routes": [{"destination": "10.2.0.0/24"}]}, 400, "HTTPBadRequest"),
        ({"cidr": "10.1.0.0/24", "host_routes": [{"destination": "::/0", "nexthop": "::1"}]}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.9", "end": "10.1.0.2"}]}, 400, "InvalidAl"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.1", "end": "10.1.0.2"}]}, 409, "GatewayCon"),
        (
            {
                "cidr": "10.1.0.0/24",
                "allocation_pools": [
                    {"start": "10.1.0.2", "end": "10.1.0.9"},
                    {"start": "10.1.0.9", "end": "10.1.0.9"},
                ],
            },
            *(409, "OverlappingAllocationPools"),
        ),
        ({"cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"}, 400, "InvalidInput"),
        ({"cidr": "fd00::/60", "ip_version": 6, "ipv6_address_mode": "slaac"}, 400, "InvalidInput"),
        ({"cidr": "fd00::/64", "ip_version": 6, "ipv6_address_mode": "magic"}, 400, "HTTPBadRequest"),
        ({"subnetpool_id": NOBODY}, 404, "SubnetPoolNotFound"),
    ],
)
def test_a_subnet_that_makes_no_sense_is_refused(
    api: Api, network: str, wrong: dict[str, Any], status: int, kind: str
) -> None:
    refused = words(subnet(api, network, **wrong))
    assert (refused[0], refused[1][: len(kind)]) == (status, kind)
    assert api.get(f"{Q}/subnets?network_id={network}")["subnets"] == []


def test_a_port_has_an_address_of_each_ip_version(api: Api, network: str) -> None:
    assert subnet(api, network, cidr="10.1.0.0/24").status_code == 201
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    slaac = subnet(api, network, cidr="fd00:1::/64", ip_version=6, **modes).json()["subnet"]
    assert slaac["gateway_ip"] == "fd00:1::1"
    stateful = subnet(api, network, cidr="fd00:2::/112", ip_version=6).json()["subnet"]
    assert stateful["allocation_pools"] == [{"start": "fd00:2::2", "end": "fd00:2::ffff"}]
    made = port(api, network, mac_address="fa:16:3e:00:00:01")
    assert addresses(made) == ["10.1.0.2", "fd00:2::2", "fd00:1::f816:3eff:fe00:1"]
    assert words(port(api, network, mac_address="fa:16:3e:00:00:01")) == (409, "MacAddressInUse")


def test_a_port_gets_the_addresses_that_it_asks_for(api: Api, network: str) -> None:
    id = subnet(api, network, cidr="10.1.0.0/24").json()["subnet"]["id"]
    two = port(api, network, fixed_ips=[{"subnet_id": id, "ip_address": "10.1.0.9"}, {"subnet_id": id}])
    assert addresses(two) == ["10.1.0.9", "10.1.0.2"]
    path = f"{Q}/ports/{two.json()['port']['id']}"
    assert addresses(api("PUT", path, {"port": {"fixed_ips": [{"subnet_id": id}]}})) == ["10.1.0.2"]
    assert words(port(api, network, fixed_ips=[{"ip_address": "10.1.0.2"}])) == (409, "IpAddressInUse")
    twice = [{"ip_address": "10.1.0.7"}, {"ip_address": "10.1.0.7"}]
    assert words(port(api, network, fixed_ips=twice)) == (409, "IpAddressInUse")
    assert words(port(api, network, fixed_ips=[{"ip_address": "10.2.0.2"}])) == (400, "InvalidIpForSubnet")
    assert words(port(api, network, fixed_ips=[{"address": "10.1.0.5"}])) == (400, "HTTPBadRequest")


def test_the_same_addresses_may_be_on_two_networks(api: Api, network: str) -> None:
    other = api.make(f"{Q}/networks", {"network": {"name": "twin"}})["network"]["id"]
    found = []
    for each in (network, other):
        assert subnet(api, each, cidr="10.1.0.0/24").status_code == 201
        found.append(port(api, each, fixed_ips=[{"ip_address": "10.1.0.5"}]))
    assert [addresses(each) for each in found] == [["10.1.0.5"], ["10.1.0.5"]]
    api("DELETE", f"{Q}/ports/{found[1].json()['port']['id']}")
    assert api("DELETE", f"{Q}/networks/{other}").status_code == 204


def test_a_ports_dhcp_options_and_address_pairs(api: Api, network: str) -> None:
    subnet(api, network, cidr="10.1.0.0/24")
    options = [{"opt_name": "bootfile-name", "opt_value": "pxe.0"}, {"opt_name": "mtu", "opt_value": "1400"}]
    made = port(api, network, extra_dhcp_opts=options, allowed_address_pairs=[{"ip_address": "10.1.0.0/28"}])
    one = made.json()["port"]
    assert one["allowed_address_pairs"] == [{"ip_address": "10.1.0.0/28", "mac_address": one["mac_address"]}]
    path, gone = f"{Q}/ports/{one['id']}", [{"opt_name": "mtu", "opt_value": None}]
    changed = api("PUT", path, {"port": {"extra_dhcp_opts": gone}}).json()["port"]
    assert changed["extra_dhcp_opts"] == [{**options[0], "ip_version": 4}]
    for wrong, kind in (
        ({"extra_dhcp_opts": [{"opt_value": "x"}]}, "HTTPBadRequest"),
        ({"allowed_address_pairs": [{"mac_address": one["mac_address"]}]}, "AllowedAddressPairsMissingIP"),
        ({"allowed_address_pairs": [{"ip_address": "10.1.0.4"}] * 2}, "DuplicateAddressPairInRequest"),
    ):
        assert words(port(api, network, **wrong)) == (400, kind)


def test_subnets_are_cut_from_a_pool_one_after_the_other(api: Api, network: str, pool: str) -> None:
    shown = api.get(f"{Q}/subnetpools/{pool}")["subnetpool"]
    assert (shown["prefixes"], shown["ip_version"], shown["min_prefixlen"]) == (["10.20.0.0/16"], 4, "20")
    cut = [subnet(api, network, subnetpool_id=pool, **more).json()["subnet"] for more in ({}, {"prefixlen": 24}, {})]
    assert [each["cidr"] for each in cut] == ["10.20.0.0/26", "10.20.1.0/24", "10.20.0.64/26"]
    chosen = subnet(api, network, subnetpool_id=pool, cidr="10.20.8.0/24").json()["subnet"]
    assert (chosen["cidr"], chosen["subnetpool_id"]) == ("10.20.8.0/24", pool)
    for more, refused in (
        ({"cidr": "10.20.8.0/26"}, (409, "SubnetAllocationError")),
        ({"cidr": "10.30.0.0/24"}, (409, "SubnetAllocationError")),
        ({"prefixlen": 19}, (400, "MinPrefixSubnetAllocationError")),
        ({"prefixlen": 33}, (400, "MaxPrefixSubnetAllocationError")),
        ({"ip_version": 6}, (400, "BadRequest")),
    ):
        assert words(subnet(api, network, subnetpool_id=pool, **more)) == refused
    assert words(api("DELETE", f"{Q}/subnetpools/{pool}")) == (400, "SubnetPoolDeleteError")


def test_a_pool_may_grow_and_has_a_quota(api: Api, alt: Api, network: str, pool: str) -> None:
    path = f"{Q}/subnetpools/{pool}"
    more = {"prefixes": ["10.20.0.0/16", "10.30.0.0/16"], "default_quota": 64, "name": "more"}
    grown = api("PUT", path, {"subnetpool": more}).json()["subnetpool"]
    assert {name: grown[name] for name in more} == more
    less = api("PUT", path, {"subnetpool": {"prefixes": ["10.30.0.0/16"]}})
    assert words(less) == (400, "IllegalSubnetPoolPrefixUpdate")
    assert subnet(api, network, subnetpool_id=pool).status_code == 201
    assert words(subnet(api, network, subnetpool_id=pool)) == (409, "SubnetPoolQuotaExceeded")
    assert alt("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "status", "kind"),
    [
        ({"prefixes": []}, 400, "HTTPBadRequest"),
        ({"prefixes": ["10.0.0.0/8", "fd00::/64"]}, 400, "PrefixVersionMismatch"),
        ({"prefixes": ["10.0.0.0/8"], "min_prefixlen": 30, "max_prefixlen": 20}, 400, "IllegalSubnetPoolPrefixBounds"),
        ({"prefixes": ["10.0.0.0/8"], "shared": True}, 403, "PolicyNotAuthorized"),
        ({"prefixes": ["10.0.0.0/8"], "is_default": True}, 403, "PolicyNotAuthorized"),
    ],
)
def test_a_pool_that_makes_no_sense_is_refused(api: Api, wrong: dict[str, Any], status: int, kind: str) -> None:
    assert words(api("POST", f"{Q}/subnetpools", {"subnetpool": {"name": "p", **wrong}})) == (status, kind)


def test_a_server_on_a_network_of_its_own_is_reachable_only_there(api: Api, network: str) -> None:
    made = subnet(api, network, use_default_subnetpool=True).json()["subnet"]
    group = api.make(f"{Q}/security-groups", {"security_group": {"name": "ssh"}})["security_group"]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    rule |= {"port_range_min": 22, "port_range_max": 22}
    assert api("POST", f"{Q}/security-group-rules", {"security_group_rule": rule}).status_code == 201
    key = {
        "name": "apart",
        "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAMCAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    }
    assert api("POST", "/compute/v2.1/os-keypairs", {"keypair": key}).status_code in (200, 201)
    more = {"networks": [{"uuid": network}], "security_groups": [{"name": group}], "key_name": "apart"}
    server = api.boot("apart", **more)
    try:
        [(name, [address])] = api.server(server)["addresses"].items()
        assert name == "own"
        assert ipaddress.ip_address(address["addr"]) in ipaddress.ip_network(made["cidr"])

        def answers() -> bool:
            try:
                with socket.create_connection((address["addr"], 22 + api.port_offset), timeout=5) as connection:
                    return connection.recv(4) == b"SSH-"
            except OSError:
                return False

        wait_for("the server's SSH", answers)
    finally:
        api.remove(server)
        api("DELETE", f"{Q}/security-groups/{group}")
        api("DELETE", "/compute/v2.1/os-keypairs/apart")
