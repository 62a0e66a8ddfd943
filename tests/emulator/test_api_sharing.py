"""Neutron: what projects share, groups and scopes of addresses, and lists that obey what they are asked, or refuse."""

from typing import Any

import pytest

from .conftest import Api
from .test_api_network import NOBODY, Q, group, rule, words
from .test_api_subnets import network, port, subnet

__all__ = ("group", "network")  # fixtures


def policy(api: Api, id: str, target: str, **more: Any) -> Any:
    body = {"object_type": "network", "object_id": id, "action": "access_as_shared", "target_tenant": target, **more}
    return api("POST", f"{Q}/rbac-policies", {"rbac_policy": body})


def test_a_network_is_shared_with_one_project_and_taken_back(api: Api, alt: Api, network: str) -> None:
    subnet(api, network, cidr="10.9.0.0/24")
    assert alt("GET", f"{Q}/networks/{network}").status_code == 404
    made = policy(api, network, alt.project)
    assert made.status_code == 201, made.text
    shared = made.json()["rbac_policy"]
    assert set(shared) == {
        *("id", "tenant_id", "project_id", "object_type", "object_id", "action", "target_tenant"),
    }
    assert words(policy(api, network, alt.project)) == (409, "DuplicateRbacPolicy")
    assert alt.get(f"{Q}/networks/{network}")["network"]["shared"] is True
    assert api.get(f"{Q}/networks/{network}")["network"]["shared"] is False
    assert [each["cidr"] for each in alt.get(f"{Q}/subnets?network_id={network}")["subnets"]] == ["10.9.0.0/24"]
    assert alt("PUT", f"{Q}/networks/{network}", {"network": {"name": "mine"}}).status_code == 403
    used = port(alt, network).json()["port"]
    path = f"{Q}/rbac-policies/{shared['id']}"
    assert alt("GET", path).status_code == 404
    assert words(api("DELETE", path)) == (409, "RbacPolicyInUse")
    assert alt("DELETE", f"{Q}/ports/{used['id']}").status_code == 204
    assert api("DELETE", path).status_code == 204
    assert alt("GET", f"{Q}/networks/{network}").status_code == 404


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"target_tenant": "*"}, 403),
        ({"action": "access_as_external"}, 400),
        ({"object_type": "server"}, 400),
        ({"object_id": NOBODY}, 404),
    ],
)
def test_what_cannot_be_shared_is_refused(api: Api, network: str, more: dict[str, str], status: int) -> None:
    assert policy(api, network, "somebody", **more).status_code == status


def test_a_policy_goes_with_what_it_shares(api: Api, alt: Api) -> None:
    own = api.make(f"{Q}/networks", {"network": {"name": "gone"}})["network"]["id"]
    assert policy(api, own, alt.project).status_code == 201
    assert api("DELETE", f"{Q}/networks/{own}").status_code == 204
    assert api.get(f"{Q}/rbac-policies?object_id={own}")["rbac_policies"] == []


def test_a_rule_names_an_address_group(api: Api, group: str) -> None:
    body = {"name": "office", "addresses": ["10.1.2.3/24", "10.1.2.0/24", "fd00::/64"]}
    made = api.make(f"{Q}/address-groups", {"address_group": body})["address_group"]
    assert made["addresses"] == ["10.1.2.0/24", "fd00::/64"]
    path = f"{Q}/address-groups/{made['id']}"
    assert words(api("PUT", f"{path}/add_addresses", {"addresses": ["fd00::/64"]})) == (400, "AddressesAlreadyExist")
    assert words(api("PUT", f"{path}/remove_addresses", {"addresses": ["10.0.0.0/8"]})) == (404, "AddressesNotFound")
    assert api("PUT", f"{path}/add_addresses", {"addresses": ["10.2.0.1"]}).status_code == 200
    less = api("PUT", f"{path}/remove_addresses", {"addresses": ["fd00::/64"]}).json()["address_group"]
    assert less["addresses"] == ["10.1.2.0/24", "10.2.0.1/32"]
    one = rule(api, group, remote_address_group_id=made["id"]).json()["security_group_rule"]
    assert one["remote_address_group_id"] == made["id"]
    both = rule(api, group, remote_address_group_id=made["id"], remote_ip_prefix="10.0.0.0/8")
    assert words(both) == (400, "SecurityGroupMultipleRemoteEntites")
    assert words(rule(api, group, remote_address_group_id=NOBODY)) == (404, "AddressGroupNotFound")
    assert words(api("DELETE", path)) == (409, "AddressGroupInUse")
    assert api("DELETE", f"{Q}/security-group-rules/{one['id']}").status_code == 204
    assert api("DELETE", path).status_code == 204


def test_the_pools_of_an_address_scope_do_not_overlap(api: Api) -> None:
    made = api.make(f"{Q}/address-scopes", {"address_scope": {"name": "s", "ip_version": 4}})["address_scope"]
    assert set(made) == {"id", "name", "ip_version", "shared", "tenant_id", "project_id"}
    pool = {"name": "p", "prefixes": ["10.40.0.0/16"], "address_scope_id": made["id"]}
    first = api.make(f"{Q}/subnetpools", {"subnetpool": pool})["subnetpool"]
    second = api("POST", f"{Q}/subnetpools", {"subnetpool": {**pool, "prefixes": ["10.40.7.0/24"]}})
    assert words(second) == (409, "AddressScopePrefixConflict")
    other = api("POST", f"{Q}/subnetpools", {"subnetpool": {**pool, "prefixes": ["fd01::/48"]}})
    assert words(other) == (400, "IllegalSubnetPoolIpVersionAssociationToAddressScope")
    assert words(api("DELETE", f"{Q}/address-scopes/{made['id']}")) == (409, "AddressScopeInUse")
    assert api("DELETE", f"{Q}/subnetpools/{first['id']}").status_code == 204
    assert api("DELETE", f"{Q}/address-scopes/{made['id']}").status_code == 204


@pytest.mark.parametrize(
    "path", ["flavors", "network-ip-availabilities", "service_profiles", "rbac-policies", "agents"]
)
def test_what_an_ordinary_user_has_none_of_is_an_empty_list(api: Api, path: str) -> None:
    assert api.get(f"{Q}/{path}") == {path.replace("-", "_"): []}


def test_the_providers_of_routers_are_listed_as_neutron_brings_them(api: Api) -> None:
    providers = api.get(f"{Q}/service-providers")["service_providers"]
    assert {each["name"] for each in providers} == {"dvrha", "dvr", "ha", "single_node"}
    assert {each["service_type"] for each in providers} == {"L3_ROUTER_NAT"}
    assert api.get(f"{Q}/service-providers?name=ha&fields=name") == {"service_providers": [{"name": "ha"}]}
    assert api.get(f"{Q}/service-providers?service_type=VPN") == {"service_providers": []}


def test_no_group_is_renamed_to_the_one_that_servers_rely_on(api: Api, group: str) -> None:
    renamed = api("PUT", f"{Q}/security-groups/{group}", {"security_group": {"name": "default"}})
    assert words(renamed) == (409, "SecurityGroupDefaultAlreadyExists")
    assert len(api.get(f"{Q}/security-groups?name=default")["security_groups"]) == 1


def test_a_filter_is_obeyed_or_refused(api: Api) -> None:
    gateway = api.get(f"{Q}/subnets")["subnets"][0]["gateway_ip"]
    part = gateway.rsplit(".", 1)[0]
    found = api.get(f"{Q}/ports?fixed_ips=ip_address_substr%3D{part}")["ports"]
    assert gateway in [ip["ip_address"] for each in found for ip in each["fixed_ips"]]
    assert api.get(f"{Q}/ports?fixed_ips=ip_address_substr%3D203.0.113")["ports"] == []
    assert api.get(f"{Q}/networks?changed_since=2999-01-01T00:00:00")["networks"] == []
    assert words(api("GET", f"{Q}/networks?colour=red")) == (400, "HTTPBadRequest")
    balancers = "/load-balancer/v2/lbaas/listeners"
    assert api.get(f"{balancers}?loadbalancer_id={NOBODY}") == {"listeners": []}
    assert api("GET", f"{balancers}?colour=red").status_code == 400


def test_a_gateway_may_be_outside_its_subnet(api: Api, network: str) -> None:
    made = subnet(api, network, cidr="10.9.0.0/24", gateway_ip="10.8.0.1")
    assert made.status_code == 201, made.text
    assert made.json()["subnet"]["allocation_pools"] == [{"start": "10.9.0.1", "end": "10.9.0.254"}]


def test_addresses_that_hosts_give_themselves_do_not_hold_a_subnet(api: Api, network: str) -> None:
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    automatic = subnet(api, network, cidr="fd00:9::/64", ip_version=6, **modes).json()["subnet"]["id"]
    given = subnet(api, network, cidr="10.9.0.0/24").json()["subnet"]["id"]
    on = port(api, network).json()["port"]["id"]
    assert api("DELETE", f"{Q}/subnets/{automatic}").status_code == 204
    assert [ip["subnet_id"] for ip in api.get(f"{Q}/ports/{on}")["port"]["fixed_ips"]] == [given]
    assert words(api("DELETE", f"{Q}/subnets/{given}")) == (409, "SubnetInUse")


def test_a_subnet_serves_the_ports_that_it_is_for(api: Api, network: str) -> None:
    for_servers = subnet(api, network, cidr="10.9.0.0/24", service_types=["compute:nova"])
    assert for_servers.status_code == 201, for_servers.text
    assert subnet(api, network, cidr="10.8.0.0/24", service_types=["nova"]).status_code == 400
    assert words(port(api, network)) == (409, "IpAddressGenerationFailureNoMatchingSubnet")
    [one] = port(api, network, device_owner="compute:nova").json()["port"]["fixed_ips"]
    assert one["ip_address"] == "10.9.0.2"
