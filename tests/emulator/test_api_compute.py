"""Nova: servers and their states, flavors, key pairs, quotas, and its own words for what is wrong."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from .conftest import Api

SERVER_KEYS = {  # as Nova 26 answered to libcloud and shade, microversion 2.1
    *("id", "name", "status", "tenant_id", "user_id", "metadata", "hostId", "image", "flavor", "created", "updated"),
    *("addresses", "accessIPv4", "accessIPv6", "links", "OS-DCF:diskConfig", "progress", "config_drive", "key_name"),
    *("OS-EXT-AZ:availability_zone", "OS-SRV-USG:launched_at", "OS-SRV-USG:terminated_at"),
    *("OS-EXT-STS:task_state", "OS-EXT-STS:vm_state", "OS-EXT-STS:power_state"),
    "os-extended-volumes:volumes_attached",
}
FLAVOR_KEYS = {
    *("id", "name", "ram", "disk", "swap", "vcpus", "rxtx_factor", "links"),
    *("OS-FLV-EXT-DATA:ephemeral", "OS-FLV-DISABLED:disabled", "os-flavor-access:is_public"),
}
RSA = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDKE3w/LjZJyTF2o/Aeva0D1pyp5xViP4aS0OrAgGLEHXIzzHzGD8al9a5GBa0lWk3nTimkXaVg"
    "AD6hWYMw5OL42MkaXxcC3amGUJqTDj3nPHlYtr+Pwsgwee87stfpXfPXPGITaHqgle4mZ7iox71DeUlKtwVMZWNIWRtVmJDxhcrooYBms23tTvvw"
    "23nAnzG14e9m+IqEqEXBsBF3A0S6CnGgRGdyE5cBtIE21Z5Jc4V8vjzKv0YIrfijM3mv2h9Uo12Y8vRT39nH/bHs85AHyr17EJC2n/30KXWXGhPM"
    "OFqfGs0RTc7oHSPV7c0ZNRZi44Pa4acBjeZ67jR9UIcJ root@vm"
)


@pytest.fixture(scope="module")
def server(api: Api) -> Iterator[str]:
    """A server that several tests look at."""
    script = base64.b64encode(b"#!/bin/sh\necho this is the user data\n").decode()
    id = api.boot("looked-at", user_data=script, metadata={"role": "api"})
    yield id
    api.remove(id)


def listed(api: Api, id: str) -> Any:
    """A server as the list has it."""
    servers = api.get("/compute/v2.1/servers/detail")["servers"]
    return next(server for server in servers if server["id"] == id)


def refused(api: Api, **wanted: Any) -> tuple[int, str]:
    """The status and Nova's message for a server that cannot be."""
    body = {"name": "x", "imageRef": api.image(), "flavorRef": "1", **wanted}
    answer = api("POST", "/compute/v2.1/servers", {"server": {k: v for k, v in body.items() if v is not ...}})
    kind, error = next(iter(answer.json().items()))
    names = {400: "badRequest", 403: "forbidden", 404: "itemNotFound", 409: "conflictingRequest"}
    assert kind == names[answer.status_code], answer.text
    assert error["code"] == answer.status_code
    return answer.status_code, error["message"]


def test_a_server_is_accepted_with_the_shape_of_a_real_one(api: Api) -> None:
    body = {"server": {"name": "shape", "imageRef": api.image(), "flavorRef": "1"}}
    answer = api("POST", "/compute/v2.1/servers", body)
    assert answer.status_code == 202
    created = answer.json()["server"]
    assert set(created) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert answer.headers["Location"] == f"{api.root}/compute/v2.1/servers/{created['id']}"
    assert created["security_groups"] == [{"name": "default"}]
    early = api.server(created["id"])
    assert set(early) - {"security_groups"} == SERVER_KEYS
    api.until(created["id"], "ACTIVE")
    api.remove(created["id"])


def test_an_active_server_shows_what_clients_read(api: Api, server: str) -> None:
    shown = api.server(server)
    assert set(shown) == SERVER_KEYS | {"security_groups"}
    assert shown["OS-EXT-STS:vm_state"] == "active"
    assert shown["OS-EXT-STS:power_state"] == 1
    assert shown["OS-SRV-USG:launched_at"]
    assert len(shown["hostId"]) == 56
    [address] = shown["addresses"]["private"]
    assert set(address) == {"version", "addr", "OS-EXT-IPS:type", "OS-EXT-IPS-MAC:mac_addr"}
    assert address["OS-EXT-IPS:type"] == "fixed"
    assert address["OS-EXT-IPS-MAC:mac_addr"].startswith("fa:16:3e:")
    assert shown == next(each for each in api.get("/compute/v2.1/servers/detail")["servers"] if each["id"] == server)


def test_user_data_writes_to_the_console_log(api: Api, server: str) -> None:
    def output(length: object) -> str:
        body = {"os-getConsoleOutput": {"length": length}}
        return str(api.make(f"/compute/v2.1/servers/{server}/action", body)["output"])

    wait_for("the user data's output", lambda: "this is the user data" in output(None))
    whole = wait_for("the end of the boot", lambda: output(None) if "Startup finished" in output(None) else "")
    for count in (1, 3):  # what follows the last line end counts as a line, as in Nova
        assert output(count) == output(str(count)) == "\n".join(whole.split("\n")[-count:])
    assert output(-1) == whole
    assert output(0) == ""


def test_a_server_has_no_password_of_its_own(api: Api, alt: Api, server: str) -> None:
    path = f"/compute/v2.1/servers/{server}/os-server-password"
    assert api.get(path) == {"password": ""}
    assert api("DELETE", path).status_code == 204
    assert alt("GET", path).status_code == 404


def test_metadata_is_read_changed_and_removed(api: Api, server: str) -> None:
    path = f"/compute/v2.1/servers/{server}/metadata"
    assert api.get(path) == {"metadata": {"role": "api"}}
    assert api.make(path, {"metadata": {"x": "1"}}) == {"metadata": {"role": "api", "x": "1"}}
    assert api("PUT", f"{path}/y", {"meta": {"y": "2"}}).json() == {"meta": {"y": "2"}}
    assert api("DELETE", f"{path}/x").status_code == 204
    assert api("GET", f"{path}/x").status_code == 404
    assert api("PUT", path, {"metadata": {"role": "api"}}).json() == {"metadata": {"role": "api"}}
    assert api("POST", path, {"metadata": {"x": 1}}).status_code == 400


def test_lists_are_filtered_and_paged(api: Api, server: str) -> None:
    assert [each["id"] for each in api.get("/compute/v2.1/servers?name=^look")["servers"]] == [server]
    for query in ("name=other", "status=ERROR", "image=nope", "flavor=4", "ip=10.0"):
        assert api.get(f"/compute/v2.1/servers?{query}")["servers"] == [], query
    other = api.boot("another")
    names: list[str] = []
    path = "/compute/v2.1/servers?limit=1"
    while path:
        page = api.get(path)
        names += [each["name"] for each in page["servers"]]
        path = next((link["href"] for link in page.get("servers_links", [])), "").removeprefix(api.root)
    assert sorted(names) == ["another", "looked-at"]
    api.remove(other)
    assert api("GET", "/compute/v2.1/servers?limit=x").status_code == 400
    assert api("GET", "/compute/v2.1/servers?marker=nope").status_code == 400
    assert api("GET", "/compute/v2.1/servers/detail?all_tenants=1").status_code == 403


def test_a_server_stops_starts_and_reboots(api: Api) -> None:
    id = api.boot("states")
    path = f"/compute/v2.1/servers/{id}/action"
    assert api("POST", path, {"os-start": None}).status_code == 409
    assert api("POST", path, {"os-stop": None}).status_code == 202
    assert api.until(id, "SHUTOFF")["OS-EXT-STS:power_state"] == 4
    assert api("POST", path, {"reboot": {"type": "SOFT"}}).status_code == 409
    assert api("POST", path, {"os-start": None}).status_code == 202
    api.until(id, "ACTIVE")
    for kind in ("SOFT", "HARD"):
        assert api("POST", path, {"reboot": {"type": kind}}).status_code == 202
        api.until(id, "ACTIVE")
    assert api("POST", path, {"reboot": {"type": "WARM"}}).status_code == 400
    unknown = api("POST", path, {"dance": None})
    assert (unknown.status_code, unknown.json()["badRequest"]["message"]) == (400, "There is no such action: dance")
    api.remove(id)


def test_a_server_whose_init_ends_by_itself_is_shut_off(api: Api) -> None:
    id = api.boot("mortal", user_data=base64.b64encode(b"#!/bin/sh\npoweroff\n").decode())
    api.until(id, "SHUTOFF")
    api.remove(id)


def test_deleting_while_building_leaves_nothing(api: Api, running: Running) -> None:
    body = {"server": {"name": "short", "imageRef": api.image(), "flavorRef": "1", "min_count": 4}}
    api.make("/compute/v2.1/servers", body)
    ids = [each["id"] for each in api.get("/compute/v2.1/servers?name=^short")["servers"]]
    assert len(ids) == 4
    for id in ids:
        api.remove(id)
        assert not (running.state_dir / "instances" / id).exists()
        assert api.get(f"/networking/v2.0/ports?device_id={id}")["ports"] == []


def test_several_servers_at_once_are_numbered(api: Api) -> None:
    body = {"name": "many", "imageRef": api.image(), "flavorRef": "1", "min_count": 2, "max_count": 3}
    api.make("/compute/v2.1/servers", {"server": {**body, "return_reservation_id": True}})
    servers = api.get("/compute/v2.1/servers?name=^many")["servers"]
    assert sorted(each["name"] for each in servers) == ["many-1", "many-2", "many-3"]
    for each in servers:
        api.until(each["id"], "ACTIVE")
        api.remove(each["id"])


def test_an_image_that_is_no_disk_makes_a_server_with_a_fault(api: Api) -> None:
    fields = {"name": "junk", "disk_format": "raw", "container_format": "bare"}
    image = api.make("/image/v2/images", fields)["id"]
    assert api("PUT", f"/image/v2/images/{image}/file", content=b"no tar").status_code == 204
    body = {"server": {"name": "faulty", "imageRef": image, "flavorRef": "1"}}
    id = api.make("/compute/v2.1/servers", body)["server"]["id"]
    shown = api.until(id, "ERROR")
    assert shown["fault"]["code"] == 500
    assert shown["fault"]["message"]
    assert listed(api, id)["fault"] == shown["fault"]
    api.remove(id)
    api("DELETE", f"/image/v2/images/{image}")


def test_a_server_on_an_external_network_fails_after_it_was_accepted(api: Api) -> None:
    public = {"uuid": api.network("public")["id"]}
    body = {"server": {"name": "outside", "imageRef": api.image(), "flavorRef": "1", "networks": [public]}}
    id = api.make("/compute/v2.1/servers", body)["server"]["id"]
    shown = api.until(id, "ERROR")
    assert shown["fault"]["message"].endswith("aborted: Failed to allocate the network(s), not rescheduling.")
    assert (shown["addresses"], "security_groups" in shown) == ({}, False)
    api.remove(id)


def test_networks_ports_and_fixed_addresses_are_honoured(api: Api) -> None:
    network = api.network()["id"]
    fixed = api.get("/networking/v2.0/subnets")["subnets"][0]["cidr"].replace(".0/24", ".77")
    id = api.boot("fixed", networks=[{"uuid": network, "fixed_ip": fixed}])
    assert api.server(id)["addresses"]["private"][0]["addr"] == fixed
    assert "already in use" in refused(api, networks=[{"uuid": network, "fixed_ip": fixed}])[1]
    [interface] = api.get(f"/compute/v2.1/servers/{id}/os-interface")["interfaceAttachments"]
    assert set(interface) == {"net_id", "port_id", "mac_addr", "port_state", "fixed_ips"}
    api.remove(id)
    port = api.make("/networking/v2.0/ports", {"port": {"network_id": network, "name": "mine"}})["port"]
    id = api.boot("ported", networks=[{"port": port["id"]}])
    assert api.server(id)["addresses"]["private"][0]["addr"] == port["fixed_ips"][0]["ip_address"]
    assert refused(api, networks=[{"port": port["id"]}])[0] == 409
    api.remove(id)
    left = api.get(f"/networking/v2.0/ports/{port['id']}")["port"]
    assert (left["device_id"], left["status"]) == ("", "DOWN")
    api("DELETE", f"/networking/v2.0/ports/{port['id']}")


def test_a_network_that_is_named_twice_gives_two_ports(api: Api) -> None:
    network = api.network()["id"]
    id = api.boot("twice", networks=[{"uuid": network}] * 2)
    assert len(api.server(id)["addresses"]["private"]) == 2
    assert len(api.get(f"/networking/v2.0/ports?device_id={id}")["ports"]) == 2
    api.remove(id)


def test_security_groups_are_put_on_a_server_and_taken_off(api: Api) -> None:
    group = api.make("/networking/v2.0/security-groups", {"security_group": {"name": "extra"}})["security_group"]
    id = api.boot("grouped", security_groups=[{"name": "default"}, {"name": "extra"}])
    assert api.server(id)["security_groups"] == [{"name": "default"}, {"name": "extra"}]
    named = {"name": "x", "imageRef": api.image(), "flavorRef": "1", "security_groups": [{"name": group["id"]}]}
    created = api.make("/compute/v2.1/servers", {"server": named})["server"]
    assert created["security_groups"] == [{"name": group["id"]}]  # as Nova does: what was sent
    api.remove(created["id"])
    path = f"/compute/v2.1/servers/{id}/action"
    assert api("POST", path, {"removeSecurityGroup": {"name": "extra"}}).status_code == 202
    assert api.server(id)["security_groups"] == [{"name": "default"}]
    assert api("POST", path, {"removeSecurityGroup": {"name": "extra"}}).status_code == 409
    assert api("POST", path, {"addSecurityGroup": {"name": group["id"]}}).status_code == 202
    assert api("POST", path, {"addSecurityGroup": {"name": "nope"}}).status_code == 404
    for name in ("default", "extra"):
        assert api("POST", path, {"removeSecurityGroup": {"name": name}}).status_code == 202
    assert "security_groups" not in api.server(id)  # as Nova does where there are none
    for name in ("default", "extra"):
        assert api("POST", path, {"addSecurityGroup": {"name": name}}).status_code == 202
    shown = api.get(f"/compute/v2.1/servers/{id}/os-security-groups")["security_groups"]
    assert [set(each) for each in shown] == [{"id", "description", "name", "tenant_id", "rules"}] * 2
    for each in shown:
        assert api("POST", path, {"removeSecurityGroup": {"name": each["name"]}}).status_code == 202
    assert "security_groups" not in api.server(id)
    assert api("POST", path, {"addSecurityGroup": {"name": group["id"]}}).status_code == 202
    assert api("DELETE", f"/networking/v2.0/security-groups/{group['id']}").status_code == 409
    api.remove(id)
    assert api("DELETE", f"/networking/v2.0/security-groups/{group['id']}").status_code == 204


WRONG = [
    ({"imageRef": "00000000-0000-0000-0000-000000000000"}, 400, "Can not find requested image"),
    ({"imageRef": "nope"}, 400, "Invalid imageRef provided."),
    ({"imageRef": ...}, 400, "Missing imageRef attribute"),
    ({"flavorRef": "99"}, 400, "Flavor 99 could not be found."),
    ({"flavorRef": ...}, 400, "'flavorRef' is a required property"),
    ({"key_name": "nope"}, 400, "Invalid key_name provided."),
    ({"security_groups": [{"name": "nope"}]}, 400, "Unable to find security_group with name or id 'nope'"),
    ({"networks": [{"uuid": "00000000-0000-0000-0000-000000000000"}]}, 400, "could not be found"),
    ({"name": ""}, 400, "'' is too short"),
    ({"name": "x" * 256}, 400, "is too long"),
    ({"name": " x"}, 400, "The name must be: printable characters. Can not start or end with whitespace."),
    ({"name": 7}, 400, "7 is not of type 'string'"),
    ({"user_data": "§"}, 400, "is not a 'base64'"),
    ({"user_data": "A" * 65536}, 400, "is too long"),
    ({"metadata": {"x": 1}}, 400, "1 is not of type 'string'"),
    ({"metadata": {str(i): "" for i in range(129)}}, 403, "Quota exceeded, too many metadata items in request."),
    ({"min_count": 2, "max_count": 1}, 400, "min_count must be <= max_count"),
    ({"surprise": 1}, 400, "Additional properties are not allowed ('surprise' was unexpected)"),
    ({"networks": [{"port": "00000000-0000-0000-0000-000000000000"}] * 2}, 400, "Each port may be named once."),
]


def test_user_data_in_lines_as_base64_prints_it_runs(api: Api) -> None:
    script = b"#!/bin/sh\n# " + b"x" * 100 + b"\necho from several lines\n"
    id = api.boot("in-lines", user_data=base64.encodebytes(script).decode())
    path = f"/compute/v2.1/servers/{id}/action"
    ask = {"os-getConsoleOutput": {}}
    wait_for("its output", lambda: "\nfrom several lines\n" in api.make(path, ask)["output"])
    api.remove(id)


@pytest.mark.parametrize(("wanted", "status", "words"), WRONG)
def test_a_server_that_cannot_be_is_refused_in_novas_words(
    api: Api, wanted: dict[str, Any], status: int, words: str
) -> None:
    seen, message = refused(api, **wanted)
    assert seen == status
    assert words in message
    assert len(message) < 600
    assert api.get("/compute/v2.1/servers?name=^x$")["servers"] == []


def test_a_flavor_too_small_for_the_image_is_refused(api: Api) -> None:
    fields = {"name": "large", "disk_format": "raw", "container_format": "bare", "min_ram": 1024}
    image = api.make("/image/v2/images", fields)["id"]
    assert refused(api, imageRef=image) == (400, f"Image {image} is not active.")
    api("PUT", f"/image/v2/images/{image}/file", content=b"data")
    assert refused(api, imageRef=image) == (400, "Flavor's memory is too small for requested image.")
    api("DELETE", f"/image/v2/images/{image}")


def test_a_body_that_is_not_json_gets_novas_400(api: Api) -> None:
    for body in (
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"server": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
    ):
        answer = api("POST", "/compute/v2.1/servers", content=body)
        assert answer.status_code == 400, body[:20]
        assert answer.json()["badRequest"]["code"] == 400


def test_unknown_paths_and_methods_get_novas_errors(api: Api) -> None:
    for method, path, status, kind in (
        ("GET", "/servers/nope", 404, "itemNotFound"),
        ("DELETE", "/servers/nope", 404, "itemNotFound"),
        ("GET", "/nope", 404, "itemNotFound"),
        ("PATCH", "/servers", 405, "badMethod"),
        ("DELETE", "/servers/", 404, "itemNotFound"),
        ("GET", "/flavors/99", 404, "itemNotFound"),
    ):
        answer = api(method, f"/compute/v2.1{path}")
        assert answer.status_code == status
        assert list(answer.json()) == [kind]
        assert answer.headers["X-Compute-Request-Id"].startswith("req-")


def test_only_the_microversions_that_exist_are_advertised_and_answered(api: Api) -> None:
    old, version = api.get("/compute")["versions"]
    assert (old["id"], old["version"], old["status"]) == ("v2.0", "", "SUPPORTED")
    assert (version["min_version"], version["version"], version["status"]) == ("2.1", "2.93", "CURRENT")
    for path, found in (("/compute/v2/", old), ("/compute/v2.1/", version)):
        shown = api.get(path)["version"]
        assert [kind["base"] for kind in shown.pop("media-types")] == ["application/json"]
        assert shown == found
    for header, asked in (("OpenStack-API-Version", "compute {}"), ("X-OpenStack-Nova-API-Version", "{}")):
        for number, found in (("2.1", "2.1"), ("2.26", "2.26"), ("latest", "2.93")):
            answer = api("GET", "/compute/v2.1/servers", headers={header: asked.format(number)})
            assert answer.headers["OpenStack-API-Version"] == f"compute {found}"
            for method, path, status in (("GET", "nothing", 404), ("PATCH", "servers", 405)):
                answer = api(method, f"/compute/v2.1/{path}", headers={header: asked.format(number)})
                assert (answer.status_code, answer.headers["X-OpenStack-Nova-API-Version"]) == (status, found)
        refusal = api("GET", "/compute/v2.1/servers", headers={header: asked.format("2.99")})
        assert refusal.status_code == 406
        message = "Version 2.99 is not supported by the API. Minimum is 2.1 and maximum is 2.93."
        assert refusal.json()["computeFault"]["message"] == message
        assert api("GET", "/compute/v2.1/servers", headers={header: asked.format("two")}).status_code == 400


def test_flavors_state_their_cpu_share(api: Api) -> None:
    flavors = api.get("/compute/v2.1/flavors/detail?is_public=None")["flavors"]
    assert [each["name"] for each in flavors] == ["m1.tiny", "m1.small", "m1.medium", "m1.large"]
    assert all(set(each) == FLAVOR_KEYS for each in flavors)
    shares = [api.get(f"/compute/v2.1/flavors/{each['id']}/os-extra_specs")["extra_specs"] for each in flavors]
    assert [int(each["quota:cpu_quota"]) for each in shares] == [25000, 50000, 100000, 100000]
    assert {each["quota:cpu_period"] for each in shares} == {"100000"}
    assert [each["id"] for each in api.get("/compute/v2.1/flavors?minRam=2000")["flavors"]] == ["3", "4"]
    turned = api.get("/compute/v2.1/flavors?sort_key=memory_mb&sort_dir=desc")["flavors"]
    assert [each["id"] for each in turned] == ["4", "3", "2", "1"]
    assert api("GET", "/compute/v2.1/flavors?sort_key=colour").status_code == 400


def test_key_pairs_are_imported_made_shown_and_deleted(api: Api) -> None:
    made = api.make("/compute/v2.1/os-keypairs", {"keypair": {"name": "rsa", "public_key": RSA}})["keypair"]
    assert made == {
        "name": "rsa",
        "public_key": RSA,
        "fingerprint": "4e:6a:f8:b8:28:b2:64:27:e1:84:f2:da:43:dd:1e:c0",  # as Nova 26 answered
        "user_id": api.user,
    }
    again = api("POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "rsa", "public_key": RSA}})
    assert (again.status_code, again.json()["conflictingRequest"]["message"]) == (409, "Key pair 'rsa' already exists.")
    new = api.make("/compute/v2.1/os-keypairs", {"keypair": {"name": "new"}})["keypair"]
    assert new["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    listed = api.get("/compute/v2.1/os-keypairs")["keypairs"]
    assert [each["keypair"]["name"] for each in listed] == ["new", "rsa"]
    for name in ("new", "rsa"):
        assert api("DELETE", f"/compute/v2.1/os-keypairs/{name}").status_code == 202
        assert api("DELETE", f"/compute/v2.1/os-keypairs/{name}").status_code == 404


@pytest.mark.parametrize(
    "key", ["", "ssh-rsa", "ssh-rsa AAAA", "ssh-rsa !!!!", "hello world", RSA.replace("rsa", "dss", 1)]
)
def test_a_public_key_that_is_none_is_refused(api: Api, key: str) -> None:
    answer = api("POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "bad", "public_key": key}})
    assert answer.status_code == 400
    assert "failed to generate fingerprint" in answer.json()["badRequest"]["message"]


def test_limits_and_quotas_count_what_is_used(api: Api, server: str) -> None:
    limits = api.get("/compute/v2.1/limits")["limits"]["absolute"]
    assert (limits["maxTotalInstances"], limits["maxTotalCores"], limits["maxTotalRAMSize"]) == (20, 40, 51200)
    assert (limits["totalInstancesUsed"], limits["totalCoresUsed"], limits["totalRAMUsed"]) == (1, 1, 512)
    detail = api.get(f"/compute/v2.1/os-quota-sets/{api.project}/detail")["quota_set"]
    assert detail["instances"] == {"in_use": 1, "limit": 20, "reserved": 0}
    assert api.get(f"/compute/v2.1/os-quota-sets/{api.project}")["quota_set"]["key_pairs"] == 100
    assert api("GET", "/compute/v2.1/os-quota-sets/another").status_code == 403


def test_one_project_cannot_see_or_touch_anothers(api: Api, alt: Api, server: str) -> None:
    assert alt.get("/compute/v2.1/servers/detail")["servers"] == []
    assert alt.get("/compute/v2.1/limits")["limits"]["absolute"]["totalInstancesUsed"] == 0
    for method, path, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("PUT", "", {"server": {"name": "taken"}}),
        ("POST", "/action", {"os-stop": None}),
        ("GET", "/os-interface", None),
        ("GET", "/metadata", None),
    ):
        assert alt(method, f"/compute/v2.1/servers/{server}{path}", body).status_code == 404, (method, path)
    status, _ = refused(alt, networks=[{"uuid": api.network()["id"]}])
    assert status == 400
    assert api.server(server)["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("GET", "os-services", "os-services:list"),
        ("GET", "os-hypervisors", "os-hypervisors:list"),
        ("GET", "os-hypervisors/detail", "os-hypervisors:list-detail"),
        ("GET", "os-aggregates", "os-aggregates:index"),
        ("GET", "os-migrations", "os-migrations:index"),
        ("POST", "os-aggregates", "os-aggregates:create"),
        ("POST", "flavors", "os-flavor-manage:create"),
    ],
)
def test_what_the_cloud_is_made_of_is_an_administrators(api: Api, method: str, path: str, rule: str) -> None:
    answer = api(method, f"/compute/v2.1/{path}", {} if method == "POST" else None)
    assert answer.status_code == 403
    assert answer.json()["forbidden"]["message"] == f"Policy doesn't allow os_compute_api:{rule} to be performed."
