"""Neutron: security groups and rules, floating IPs, ports, quotas, filters, and its own words for what is wrong."""

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Api

Q = "/networking/v2.0"
NOBODY = "00000000-0000-0000-0000-000000000000"
STANDARD = {"created_at", "updated_at", "revision_number", "project_id", "tenant_id", "description", "tags", "id"}
RULE_KEYS = STANDARD | {
    *("security_group_id", "ethertype", "direction", "protocol", "port_range_min", "port_range_max"),
    *("remote_ip_prefix", "remote_address_group_id", "normalized_cidr", "remote_group_id"),
}
KEYS = {  # as Neutron 21 answered to shade and libcloud
    "networks": STANDARD
    | {
        *("name", "admin_state_up", "mtu", "status", "subnets", "shared", "availability_zone_hints"),
        *("availability_zones", "ipv4_address_scope", "ipv6_address_scope", "router:external", "port_security_enabled"),
    },
    "subnets": STANDARD
    | {
        *("name", "network_id", "ip_version", "subnetpool_id", "enable_dhcp", "ipv6_ra_mode", "ipv6_address_mode"),
        *("gateway_ip", "cidr", "allocation_pools", "host_routes", "dns_nameservers", "service_types"),
    },
    "ports": STANDARD
    | {
        *("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner", "fixed_ips"),
        *("allowed_address_pairs", "extra_dhcp_opts", "security_groups", "binding:vnic_type", "port_security_enabled"),
    },
    "security-groups": STANDARD | {"name", "stateful", "shared", "security_group_rules"},
    "floatingips": STANDARD
    | {
        *("floating_ip_address", "floating_network_id", "router_id", "port_id", "fixed_ip_address", "status"),
        "port_details",
    },
}


@pytest.fixture
def group(api: Api) -> Iterator[str]:
    id = api.make(f"{Q}/security-groups.json", {"security_group": {"name": "web", "description": "d"}})
    yield id["security_group"]["id"]
    api("DELETE", f"{Q}/security-groups/{id['security_group']['id']}")


def rule(api: Api, group: str, **more: Any) -> Any:
    body = {"security_group_id": group, "direction": "ingress", "protocol": "tcp", **more}
    return api("POST", f"{Q}/security-group-rules", {"security_group_rule": body})


def words(answer: Any) -> tuple[int, str]:
    error = answer.json()["NeutronError"]
    assert set(error) == {"type", "message", "detail"}
    return answer.status_code, error["type"]


def test_versions_and_extensions_are_listed(api: Api) -> None:
    assert [each["id"] for each in api.get("/networking/", headers={"X-Auth-Token": ""})["versions"]] == ["v2.0"]
    aliases = [each["alias"] for each in api.get(f"{Q}/extensions.json")["extensions"]]
    assert {"security-group", "router", "external-net", "quotas"} <= set(aliases)
    assert api.get(f"{Q}/extensions/router")["extension"]["alias"] == "router"
    assert api("GET", f"{Q}/extensions/nope").status_code == 404


def test_a_project_starts_with_a_private_network_behind_a_router(api: Api, alt: Api) -> None:
    networks = {each["name"]: each for each in api.get(f"{Q}/networks.json")["networks"]}
    assert set(networks) == {"private", "public"}
    assert networks["public"]["router:external"]
    assert not networks["private"]["router:external"]
    [subnet] = api.get(f"{Q}/subnets")["subnets"]
    assert networks["private"]["subnets"] == [subnet["id"]]
    assert subnet["gateway_ip"] == subnet["cidr"].replace(".0/24", ".1")
    [router] = api.get(f"{Q}/routers")["routers"]
    assert router["external_gateway_info"]["network_id"] == networks["public"]["id"]
    path = f"{Q}/ports?device_id={router['id']}&device_owner=network:router_interface"
    assert [port["fixed_ips"][0]["ip_address"] for port in api.get(path)["ports"]] == [subnet["gateway_ip"]]
    theirs = alt.get(f"{Q}/subnets")["subnets"]
    assert [each["cidr"] for each in theirs] != [subnet["cidr"]]


def test_resources_have_the_shape_of_real_ones(api: Api, group: str) -> None:
    floating = {"floatingip": {"floating_network_id": api.network("public")["id"]}}
    id = api.make(f"{Q}/floatingips.json", floating)["floatingip"]["id"]
    for path, keys in KEYS.items():
        for each in api.get(f"{Q}/{path}")[path.replace("-", "_")]:
            assert set(each) - {"is_default"} == keys, path
    assert set(rule(api, group).json()["security_group_rule"]) == RULE_KEYS
    api("DELETE", f"{Q}/floatingips/{id}")


def test_the_default_group_lets_its_members_in_and_everything_out(api: Api) -> None:
    [default] = api.get(f"{Q}/security-groups?name=default")["security_groups"]
    rules = {
        (each["direction"], each["ethertype"], each["remote_group_id"]) for each in default["security_group_rules"]
    }
    assert rules == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", default["id"]),
        ("ingress", "IPv6", default["id"]),
    }
    assert words(api("DELETE", f"{Q}/security-groups/{default['id']}")) == (409, "SecurityGroupCannotRemoveDefault")
    another = api("POST", f"{Q}/security-groups", {"security_group": {"name": "default"}})
    assert words(another) == (409, "SecurityGroupDefaultAlreadyExists")


def test_a_new_group_has_only_egress_rules(api: Api, group: str) -> None:
    rules = api.get(f"{Q}/security-groups/{group}.json")["security_group"]["security_group_rules"]
    assert sorted((each["direction"], each["ethertype"]) for each in rules) == [("egress", "IPv4"), ("egress", "IPv6")]


def test_a_rule_is_kept_as_neutron_keeps_it_and_only_once(api: Api, group: str) -> None:
    answer = rule(api, group, protocol="TCP", port_range_min="80", port_range_max=80, remote_ip_prefix=None)
    assert answer.status_code == 201
    made = answer.json()["security_group_rule"]
    assert (made["protocol"], made["port_range_min"], made["ethertype"]) == ("tcp", 80, "IPv4")
    prefixed = rule(api, group, port_range_min=80, port_range_max=80, remote_ip_prefix="10.1.2.3/24")
    kept = prefixed.json()["security_group_rule"]
    assert (kept["remote_ip_prefix"], kept["normalized_cidr"]) == ("10.1.2.3/24", "10.1.2.0/24")
    assert rule(api, group, protocol="icmp").status_code == 201
    assert rule(api, group, protocol=None, remote_group_id=group).status_code == 201
    assert api("DELETE", f"{Q}/security-group-rules/{made['id']}.json").status_code == 204
    assert api("GET", f"{Q}/security-group-rules/{made['id']}").status_code == 404


HTTP = {"port_range_min": 80, "port_range_max": 80}
LAN = {**HTTP, "remote_ip_prefix": "203.0.113.7"}
V6 = {**HTTP, "ethertype": "IPv6"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (HTTP, {**HTTP, "protocol": "TCP"}),
        (HTTP, {**HTTP, "protocol": 6}),
        ({**HTTP, "protocol": "6"}, {**HTTP, "ethertype": "ipv4"}),
        (HTTP, {**HTTP, "remote_ip_prefix": "0.0.0.0/0"}),
        ({**HTTP, "remote_ip_prefix": "0.0.0.0/0"}, {**HTTP, "remote_ip_prefix": ""}),
        (LAN, {**LAN, "remote_ip_prefix": "203.0.113.7/32"}),
        ({**LAN, "remote_ip_prefix": "10.1.2.3/8"}, {**LAN, "remote_ip_prefix": "10.1.2.3/255.0.0.0"}),
        ({**V6, "remote_ip_prefix": "2001:DB8::/32"}, {**V6, "remote_ip_prefix": "2001:0db8:0::/32"}),
        (V6, {**V6, "remote_ip_prefix": "::/0"}),
        ({"protocol": "icmp"}, {"protocol": 1}),
        ({"protocol": "icmp", "ethertype": "IPv6"}, {"protocol": 58, "ethertype": "IPv6"}),
    ],
)
def test_the_same_rule_in_another_spelling_exists_already(
    api: Api, group: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    made = rule(api, group, **first)
    assert made.status_code == 201, made.text
    again = rule(api, group, **second)
    assert words(again) == (409, "SecurityGroupRuleExists")
    assert made.json()["security_group_rule"]["id"] in again.json()["NeutronError"]["message"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({**LAN, "remote_ip_prefix": "10.1.2.3/8"}, {**LAN, "remote_ip_prefix": "10.0.0.0/8"}),
        ({"protocol": None}, {"protocol": 0}),
    ],
)
def test_neutron_takes_these_for_two_rules(api: Api, group: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    assert [rule(api, group, **each).status_code for each in (first, second)] == [201, 201]


@pytest.mark.parametrize(
    ("wrong", "status", "kind"),
    [
        ({"port_range_min": 90, "port_range_max": 80}, 400, "SecurityGroupInvalidPortRange"),
        ({"port_range_min": 80}, 400, "SecurityGroupInvalidPortRange"),
        ({"port_range_min": 0, "port_range_max": 80}, 400, "SecurityGroupInvalidPortValue"),
        ({"port_range_min": 1, "port_range_max": 65536}, 400, "SecurityGroupInvalidPortValue"),
        ({"port_range_min": -16, "port_range_max": 80}, 400, "SecurityGroupInvalidPortValue"),
        ({"port_range_min": "x", "port_range_max": 80}, 400, "SecurityGroupInvalidPortValue"),
        ({"port_range_min": 80, "port_range_max": 80, "protocol": None}, 400, "SecurityGroupProtocolRequiredWithPorts"),
        ({"protocol": "teepee"}, 400, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": "any"}, 400, "SecurityGroupRuleInvalidProtocol"),
        ({**HTTP, "protocol": "gre"}, 400, "SecurityGroupInvalidProtocolForPort"),
        ({"direction": "sideways"}, 400, "HTTPBadRequest"),
        ({"remote_ip_prefix": "everybody"}, 400, "InvalidCIDR"),
        ({"remote_ip_prefix": "::/0"}, 400, "SecurityGroupRuleParameterConflict"),
        ({"remote_group_id": NOBODY}, 404, "SecurityGroupNotFound"),
        ({"remote_group_id": "no-such-group"}, 404, "SecurityGroupNotFound"),
        ({"remote_group_id": [NOBODY]}, 400, "HTTPBadRequest"),
        ({"security_group_id": NOBODY}, 404, "SecurityGroupNotFound"),
        ({"surprise": 1}, 400, "HTTPBadRequest"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(
    api: Api, group: str, wrong: dict[str, Any], status: int, kind: str
) -> None:
    assert words(rule(api, group, **wrong)) == (status, kind)
    assert len(api.get(f"{Q}/security-group-rules?security_group_id={group}")["security_group_rules"]) == 2


def test_deleting_a_group_takes_the_rules_that_name_it(api: Api, group: str) -> None:
    other = api.make(f"{Q}/security-groups", {"security_group": {"name": "other"}})["security_group"]["id"]
    made = rule(api, group, remote_group_id=other).json()["security_group_rule"]["id"]
    assert api("DELETE", f"{Q}/security-groups/{other}").status_code == 204
    assert api("GET", f"{Q}/security-group-rules/{made}").status_code == 404


def test_several_are_made_together_or_not_at_all(api: Api) -> None:
    names = [{"name": "bulk-1"}, {"name": "bulk-2"}]
    made = api.make(f"{Q}/security-groups", {"security_groups": names})["security_groups"]
    assert [each["name"] for each in made] == ["bulk-1", "bulk-2"]
    for each in made:
        api("DELETE", f"{Q}/security-groups/{each['id']}")
    failing = api("POST", f"{Q}/security-groups", {"security_groups": [{"name": "bulk-3"}, {"name": 7}]})
    assert failing.status_code == 400
    assert api.get(f"{Q}/security-groups?name=bulk-3")["security_groups"] == []


def test_a_floating_ip_goes_on_a_server_and_off_again(api: Api) -> None:
    server = api.boot("floated")
    [port] = api.get(f"{Q}/ports.json?device_id={server}")["ports"]
    body = {"floatingip": {"floating_network_id": api.network("public")["id"]}}
    made = api.make(f"{Q}/floatingips.json", body)["floatingip"]
    assert (made["status"], made["port_id"], made["router_id"], made["port_details"]) == ("DOWN", None, None, None)
    path = f"{Q}/floatingips/{made['id']}.json"
    put = api("PUT", path, {"floatingip": {"port_id": port["id"]}}).json()["floatingip"]
    assert (put["status"], put["fixed_ip_address"]) == ("ACTIVE", port["fixed_ips"][0]["ip_address"])
    assert put["router_id"] == api.get(f"{Q}/routers")["routers"][0]["id"]
    assert put["port_details"]["device_id"] == server
    address = put["floating_ip_address"]
    assert [each["addr"] for each in api.server(server)["addresses"]["private"]] == [put["fixed_ip_address"], address]
    assert [each["id"] for each in api.get(f"{Q}/floatingips?port_id={port['id']}")["floatingips"]] == [made["id"]]
    second = api.make(f"{Q}/floatingips", body)["floatingip"]["id"]
    clash = api("PUT", f"{Q}/floatingips/{second}", {"floatingip": {"port_id": port["id"]}})
    assert words(clash) == (409, "FloatingIPPortAlreadyAssociated")
    off = api("PUT", path, {"floatingip": {"port_id": None}}).json()["floatingip"]
    assert (off["status"], off["port_id"], off["fixed_ip_address"]) == ("DOWN", None, None)
    assert api("PUT", path, {"floatingip": {"port_id": port["id"]}}).status_code == 200
    api.remove(server)
    assert api.get(path)["floatingip"]["port_id"] is None
    for id in (made["id"], second):
        assert api("DELETE", f"{Q}/floatingips/{id}").status_code == 204
    assert words(api("GET", path)) == (404, "FloatingIPNotFound")


def test_floating_ips_come_from_external_networks_only(api: Api) -> None:
    for network, status in ((api.network()["id"], 400), (NOBODY, 404)):
        answer = api("POST", f"{Q}/floatingips", {"floatingip": {"floating_network_id": network}})
        assert answer.status_code == status
    missing = api("POST", f"{Q}/floatingips", {"floatingip": {}})
    assert "floating_network_id" in missing.json()["NeutronError"]["message"]


def test_lists_are_filtered_sorted_paged_and_cut_to_fields(api: Api) -> None:
    external = api.get(f"{Q}/networks?router:external=True&fields=id&fields=name")["networks"]
    assert external == [{"id": external[0]["id"], "name": "public"}]
    names = [each["name"] for each in api.get(f"{Q}/networks?sort_key=name&sort_dir=desc")["networks"]]
    assert names == ["public", "private"]
    page = api.get(f"{Q}/networks?limit=1&sort_key=name&sort_dir=asc")
    assert [each["name"] for each in page["networks"]] == ["private"]
    [link] = page["networks_links"]
    rest = api.get(link["href"].removeprefix(api.root))
    assert [each["name"] for each in rest["networks"]] == ["public"]
    assert "networks_links" not in rest
    gateway = api.get(f"{Q}/subnets")["subnets"][0]["gateway_ip"]
    assert len(api.get(f"{Q}/ports?fixed_ips=ip_address%3D{gateway}")["ports"]) == 1
    assert len(api.get(f"{Q}/networks?name=private&name=public")["networks"]) == 2
    for query in ("limit=x", "sort_key=name&sort_dir=up", "sort_key=subnets&sort_dir=asc"):
        assert api("GET", f"{Q}/networks?{query}").status_code == 400, query


def test_networks_subnets_and_routers_are_made_joined_and_removed(api: Api) -> None:
    network = api.make(f"{Q}/networks", {"network": {"name": "n2"}})["network"]["id"]
    body = {"network_id": network, "ip_version": 4, "cidr": "192.168.9.0/24", "name": "s2"}
    subnet = api.make(f"{Q}/subnets", {"subnet": body})["subnet"]
    assert (subnet["gateway_ip"], subnet["allocation_pools"]) == (
        "192.168.9.1",
        [{"start": "192.168.9.2", "end": "192.168.9.254"}],
    )
    assert words(api("POST", f"{Q}/subnets", {"subnet": body})) == (400, "InvalidInput")
    router = api.get(f"{Q}/routers")["routers"][0]["id"]
    join, leave = (f"{Q}/routers/{router}/{verb}_router_interface.json" for verb in ("add", "remove"))
    assert api("PUT", join, {"subnet_id": subnet["id"]}).status_code == 200
    assert words(api("PUT", join, {"subnet_id": subnet["id"]})) == (400, "BadRequest")
    assert words(api("DELETE", f"{Q}/networks/{network}")) == (409, "NetworkInUse")
    assert words(api("DELETE", f"{Q}/routers/{router}")) == (409, "RouterInUse")
    assert api("PUT", leave, {"subnet_id": subnet["id"]}).status_code == 200
    assert api("DELETE", f"{Q}/networks/{network}").status_code == 204
    assert api("GET", f"{Q}/subnets/{subnet['id']}").status_code == 404
    for name, value in (("router:external", True), ("provider:network_type", "flat"), ("is_default", True)):
        operators = {"network": {"name": "mine", name: value}}
        assert words(api("POST", f"{Q}/networks", operators)) == (403, "PolicyNotAuthorized")


def test_quotas_have_all_that_libcloud_wants(api: Api) -> None:
    quota = api.get(f"{Q}/quotas/{api.project}/details.json")["quota"]
    assert set(quota) == {
        *("floatingip", "network", "port", "rbac_policy", "router", "security_group", "security_group_rule"),
        *("subnet", "subnetpool"),
    }
    assert quota["network"] == {"limit": 100, "used": 1, "reserved": 0}
    assert api.get(f"{Q}/quotas/{api.project}.json")["quota"]["floatingip"] == 20
    assert api("GET", f"{Q}/quotas/{NOBODY}").status_code == 404


def test_a_quota_used_up_gets_neutrons_409(api: Api) -> None:
    body = {"floatingip": {"floating_network_id": api.network("public")["id"]}}
    made = [api.make(f"{Q}/floatingips", body)["floatingip"]["id"] for _ in range(20)]
    over = api("POST", f"{Q}/floatingips", body)
    assert words(over) == (409, "OverQuota")
    assert over.json()["NeutronError"]["message"] == "Quota exceeded for resources: ['floatingip']."
    for id in made:
        assert api("DELETE", f"{Q}/floatingips/{id}").status_code == 204


def test_one_project_cannot_see_or_touch_anothers(api: Api, alt: Api, group: str) -> None:
    body = {"floatingip": {"floating_network_id": api.network("public")["id"]}}
    floating = api.make(f"{Q}/floatingips", body)["floatingip"]["id"]
    private = api.network()["id"]
    for path in (f"security-groups/{group}", f"floatingips/{floating}", f"networks/{private}"):
        for method in ("GET", "DELETE"):
            assert alt(method, f"{Q}/{path}").status_code == 404, path
        kind = path.split("/")[0]
        listed = alt.get(f"{Q}/{kind}")[kind.replace("-", "_")]
        assert path.split("/")[1] not in [each["id"] for each in listed]
    stolen = {"port": {"network_id": private}}
    assert alt("POST", f"{Q}/ports", stolen).status_code == 404
    disguised = {"security_group": {"name": "x", "tenant_id": api.project}}
    assert words(alt("POST", f"{Q}/security-groups", disguised)) == (403, "PolicyNotAuthorized")
    public = api.network("public")["id"]
    assert words(alt("DELETE", f"{Q}/networks/{public}")) == (403, "PolicyNotAuthorized")
    api("DELETE", f"{Q}/floatingips/{floating}")


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"security_group": 1}', b'{"security_groups": []}', b"\xff"])
def test_a_body_that_makes_no_sense_gets_neutrons_400(api: Api, body: bytes) -> None:
    assert words(api("POST", f"{Q}/security-groups", content=body)) == (400, "HTTPBadRequest")


def test_unknown_collections_get_neutrons_404(api: Api) -> None:
    for method in ("GET", "POST"):
        assert words(api(method, f"{Q}/nope", {})) == (404, "HTTPNotFound")
    assert words(api("PUT", f"{Q}/networks", {})) == (405, "HTTPMethodNotAllowed")
