"""Nova's microversions: what each adds to servers, key pairs and groups, what it takes away; and the old proxies."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import wait_for

from .conftest import Api
from .test_api_clients import page, web

N = "/compute/v2.1"


def at(version: str) -> dict[str, Any]:
    return {"headers": {"OpenStack-API-Version": f"compute {version}"}}


@pytest.fixture(scope="module")
def server(api: Api) -> Iterator[str]:
    id = api.boot("versioned")
    yield id
    api.remove(id)


def test_a_server_shows_more_with_each_microversion(api: Api, server: str) -> None:
    seen = set(api.server(server))
    for version, more in (("2.9", {"locked"}), ("2.19", {"description"}), ("2.26", {"tags"}), ("2.47", set[str]())):
        shown = api.get(f"{N}/servers/{server}", **at(version))["server"]
        assert set(shown) == seen | more, version
        seen |= more
    assert set(shown["flavor"]) == {"original_name", "vcpus", "ram", "disk", "ephemeral", "swap", "extra_specs"}
    old = api.get(f"/compute/v2/servers/{server}", **at("2.60"))["server"]
    assert old == api.server(server)


def test_a_servers_description_and_addresses_are_changed(api: Api, server: str) -> None:
    path, body = f"{N}/servers/{server}", {"server": {"description": "mine", "accessIPv6": "::BABE:220.12.22.2"}}
    assert api("PUT", path, body).status_code == 400
    changed = api("PUT", path, body, **at("2.19")).json()["server"]
    assert (changed["description"], changed["accessIPv6"]) == ("mine", "::babe:dc0c:1602")
    assert "key_name" not in changed
    assert api("PUT", path, {"server": {}}).json()["server"]["name"] == changed["name"]
    for wrong in ({"accessIPv4": "1.2.3"}, {"accessIPv6": "1.2.3.4"}, {"name": ""}):
        assert api("PUT", path, {"server": wrong}).status_code == 400


def test_tags_are_put_on_a_server_and_servers_are_found_by_them(api: Api, server: str) -> None:
    path = f"{N}/servers/{server}/tags"
    assert api("GET", path).status_code == 404
    assert api("PUT", path, {"tags": ["a", "b"]}, **at("2.26")).json() == {"tags": ["a", "b"]}
    assert api("PUT", f"{path}/c", **at("2.26")).status_code == 201
    assert api("PUT", f"{path}/c", **at("2.26")).status_code == 204
    assert api("GET", f"{path}/c", **at("2.26")).status_code == 204
    assert api("PUT", f"{path}/x,y", **at("2.26")).status_code == 400
    odd = api("PUT", f"{path}/%00☃", **at("2.26"))
    assert odd.headers["Location"].endswith("/tags/%00%E2%98%83")
    assert api("DELETE", f"{path}/%00☃", **at("2.26")).status_code == 204
    for query in ("sort_key=nope", "sort_key=tags", "sort_dir=up"):
        assert api("GET", f"{N}/servers?{query}").status_code == 400
    assert api.get(f"{N}/servers?sort_key=terminated_at&changes-since=2000-01-01")["servers"]
    for query, found in (("tags=a,b", 1), ("tags=a,z", 0), ("tags-any=a,z", 1), ("not-tags=a,b", 0), ("not-tags=z", 1)):
        assert len(api.get(f"{N}/servers?{query}", **at("2.26"))["servers"]) == found, query
    assert api("DELETE", f"{path}/a", **at("2.26")).status_code == 204
    assert api("DELETE", f"{path}/a", **at("2.26")).status_code == 404
    assert api.get(path, **at("2.26")) == {"tags": ["b", "c"]}
    assert api("DELETE", path, **at("2.26")).status_code == 204
    assert api.get(path, **at("2.26")) == {"tags": []}


def test_there_is_one_availability_zone(api: Api, server: str) -> None:
    wanted = {"name": "x", "imageRef": api.image(), "flavorRef": "1"}
    for zone, status in (("mars", 400), ("nova:host", 403)):
        body = {"server": {**wanted, "availability_zone": zone}}
        assert api("POST", f"{N}/servers", body).status_code == status
    assert api.server(server)["OS-EXT-AZ:availability_zone"] == "nova"
    [address] = api.get(f"{N}/servers/{server}/ips/private")["private"]
    assert set(address) == {"version", "addr"}
    assert api("GET", f"{N}/servers/{server}/ips/mars").status_code == 404


def test_networks_are_to_be_named_from_2_37_on(api: Api) -> None:
    wanted = {"name": "none", "imageRef": api.image(), "flavorRef": "1"}
    assert api("POST", f"{N}/servers", {"server": wanted}, **at("2.37")).status_code == 400
    made = api("POST", f"{N}/servers", {"server": {**wanted, "networks": "none"}}, **at("2.37"))
    id = made.json()["server"]["id"]
    assert api.until(id, "ACTIVE")["addresses"] == {}
    api.remove(id)


def test_key_pairs_have_types_from_2_2_on_and_pages_from_2_35_on(api: Api, alt: Api) -> None:
    path = f"{N}/os-keypairs"
    made = api("POST", path, {"keypair": {"name": "one", "type": "ssh"}}, **at("2.2"))
    assert (made.status_code, made.json()["keypair"]["type"]) == (201, "ssh")
    certificate = api("POST", path, {"keypair": {"name": "two", "type": "x509"}}, **at("2.2")).json()["keypair"]
    assert certificate["public_key"].startswith("-----BEGIN CERTIFICATE-----")
    assert len(certificate["fingerprint"]) == 59
    again = {"name": "three", "type": "x509", "public_key": certificate["public_key"]}
    known = api("POST", path, {"keypair": again}, **at("2.2")).json()["keypair"]
    assert known["fingerprint"] == certificate["fingerprint"]
    assert api("POST", path, {"keypair": {**again, "name": "x", "public_key": "no"}}, **at("2.2")).status_code == 400
    assert "type" not in api.get(f"{path}/one")["keypair"]
    first = api.get(f"{path}?limit=2", **at("2.35"))
    assert [each["keypair"]["name"] for each in first["keypairs"]] == ["one", "three"]
    more = api.get(first["keypairs_links"][0]["href"].removeprefix(api.root), **at("2.35"))
    assert [each["keypair"]["name"] for each in more["keypairs"]] == ["two"]
    assert api("GET", f"{path}?user_id={alt.user}", **at("2.10")).status_code == 403
    for name in ("one", "two", "three"):
        assert api("DELETE", f"{path}/{name}", **at("2.2")).status_code == 204


def test_a_group_that_wants_different_hosts_gets_one_server(api: Api, alt: Api) -> None:
    group = api.make(f"{N}/os-server-groups", {"server_group": {"name": "apart", "policies": ["anti-affinity"]}})
    id = group["server_group"]["id"]
    assert set(group["server_group"]) == {"id", "name", "policies", "members", "metadata"}
    assert api.get(f"{N}/limits")["limits"]["absolute"]["totalServerGroupsUsed"] == 1

    def boot(name: str) -> str:
        body = {"name": name, "imageRef": api.image(), "flavorRef": "1"}
        return str(
            api.make(f"{N}/servers", {"server": body, "os:scheduler_hints": {"group": id}})["server"]["id"],
        )

    first = boot("first")
    api.until(first, "ACTIVE")
    second = boot("second")
    failed = api.until(second, "ERROR")
    assert "No valid host" in failed["fault"]["message"]
    assert failed["hostId"] == ""
    rows = {row["id"]: row for row in api.get(f"{N}/servers/detail")["servers"]}
    assert "fault" not in rows[second]  # Nova's list lacks it where no host took the server
    answer = api("POST", f"{N}/servers/{second}/action", {"os-getConsoleOutput": {}})
    assert (answer.status_code, answer.json()["conflictingRequest"]["message"]) == (
        409,
        f"Instance {second} is not ready",
    )
    assert api.get(f"{N}/os-server-groups/{id}")["server_group"]["members"] == sorted([first, second])
    assert alt("GET", f"{N}/os-server-groups/{id}").status_code == 404
    soft = {"server_group": {"name": "x", "policies": ["soft-affinity"]}}
    assert api("POST", f"{N}/os-server-groups", soft).status_code == 400
    for each in (first, second):
        api.remove(each)
    assert api("DELETE", f"{N}/os-server-groups/{id}").status_code == 204
    body = {"name": "x", "imageRef": api.image(), "flavorRef": "1"}
    gone = api("POST", f"{N}/servers", {"server": body, "os:scheduler_hints": {"group": id}})
    assert gone.status_code == 400


def test_the_proxies_are_there_until_2_35_and_the_quotas_forget_them(api: Api, server: str) -> None:
    for path in ("os-security-groups", "os-floating-ips", "os-floating-ip-pools", "os-networks", "images/detail"):
        assert api("GET", f"{N}/{path}").status_code == 200, path
        assert api("GET", f"{N}/{path}", **at("2.36")).status_code == 404, path
    group = api.make(f"{N}/os-security-groups", {"security_group": {"name": " a b ", "description": ""}})[
        "security_group"
    ]
    assert group["name"] == " a b "
    rule = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22}
    for id, status in (("a b", 400), (group["id"], 200)):
        body = {"security_group_rule": {**rule, "parent_group_id": id}}
        assert api("POST", f"{N}/os-security-group-rules", body).status_code == status
    assert api("DELETE", f"{N}/os-security-groups/{group['id']}").status_code == 202
    old = api.get(f"{N}/os-quota-sets/{api.project}")["quota_set"]
    new = api.get(f"{N}/os-quota-sets/{api.project}", **at("2.57"))["quota_set"]
    assert {"floating_ips", "security_groups", "injected_files"} <= set(old) - set(new)
    for version, status in (("2.43", 404), ("2.44", 404), ("2.1", 404)):
        answer = api("POST", f"{N}/servers/{server}/action", {"addFloatingIp": {"address": "10.0.0.1"}}, **at(version))
        assert answer.status_code == status


def test_an_old_security_group_may_have_blanks_around_its_name_and_a_rule_needs_its_id(api: Api) -> None:
    path, rules = f"{N}/os-security-groups", f"{N}/os-security-group-rules"
    group = api.make(path, {"security_group": {"name": " with blanks ", "description": "x"}})["security_group"]
    assert group["name"] == " with blanks "
    for name in ("", "  ", "x" * 256):
        assert api("POST", path, {"security_group": {"name": name, "description": "x"}}).status_code == 400
    rule = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "0.0.0.0/0"}
    for parent, status in ((group["id"], 200), ("nope", 400), ("00000000-0000-4000-8000-000000000000", 404)):
        body = {"security_group_rule": {**rule, "parent_group_id": parent}}
        assert api("POST", rules, body).status_code == status, parent
    assert api("DELETE", f"{path}/{group['id']}").status_code == 202


def test_an_image_is_named_in_the_body_from_2_45_on(api: Api, server: str) -> None:
    answer = api("POST", f"{N}/servers/{server}/action", {"createImage": {"name": "late"}}, **at("2.45"))
    image = answer.json()["image_id"]
    assert "Location" not in answer.headers
    wait_for("the image", lambda: api.get(f"/image/v2/images/{image}")["status"] == "active")
    api.until(server, "ACTIVE")
    assert api.get(f"{N}/images/{image}")["image"]["server"]["id"] == server
    for query, found in (
        *((f"server={server}", True), ("server=other", False), ("type=snapshot", True), ("type=base", False)),
        *((f"property-instance_uuid={server}", True), ("minRam=1", False), ("changes-since=2999-01-01", False)),
    ):
        there = [each["id"] for each in api.get(f"{N}/images?{query}")["images"]]
        assert (image in there) == found, query
    assert len(api.get(f"{N}/images?limit=1")["images"]) == 1
    assert api("DELETE", f"{N}/images/{image}").status_code == 204
    assert api("GET", f"{N}/images/{image}").status_code == 404


def test_a_server_on_a_second_network_is_reachable_only_there(api: Api) -> None:
    block = api.get("/networking/v2.0/subnets")["subnets"][0]["cidr"].split(".")[1]
    network = api.make("/networking/v2.0/networks", {"network": {"name": "second"}})["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": f"127.{block}.77.0/24"}
    api.make("/networking/v2.0/subnets", {"subnet": subnet})
    group = api.make("/networking/v2.0/security-groups", {"security_group": {"name": "web"}})["security_group"]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    rule |= {"port_range_min": 80, "port_range_max": 80}
    api.make("/networking/v2.0/security-group-rules", {"security_group_rule": rule})
    data = base64.b64encode(web().encode()).decode()
    nets = [{"uuid": network}]
    id = api.boot("aside", networks=nets, security_groups=[{"name": "web"}], user_data=data)
    [(name, [address])] = api.server(id)["addresses"].items()
    assert (name, address["addr"].startswith(f"127.{block}.77.")) == ("second", True)
    wait_for("the page", lambda: page(address["addr"], api) == "aside")
    private = api.network()["id"]
    path = f"{N}/servers/{id}/os-interface"
    made = api.make(path, {"interfaceAttachment": {"net_id": private}})["interfaceAttachment"]
    other = made["fixed_ips"][0]["ip_address"]
    wait_for("the page on the other network", lambda: page(other, api) == "aside")
    assert api("DELETE", f"{path}/{made['port_id']}").status_code == 202
    wait_for("no page there any more", lambda: not page(other, api))
    assert page(address["addr"], api) == "aside"
    api.remove(id)
    assert api("DELETE", f"/networking/v2.0/networks/{network}").status_code == 204
    assert api("DELETE", f"/networking/v2.0/security-groups/{group}").status_code == 204
