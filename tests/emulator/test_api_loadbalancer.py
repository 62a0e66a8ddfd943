"""Octavia: parts, their states and the words of its errors; openstacksdk and openstackclient as they are."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from tests.waiting import LIMIT_SECONDS, wait_for

from .clients import OPENSTACK, environment
from .conftest import Api

L = "/load-balancer/v2/lbaas"
Q = "/networking/v2.0"
NOBODY = "00000000-0000-0000-0000-000000000000"
STANDARD = {"id", "name", "project_id", "admin_state_up", "provisioning_status", "operating_status", "created_at",
            "updated_at", "tags"}  # fmt: skip
KEYS = {  # as Octavia's API reference shows them
    "loadbalancer": STANDARD
    | {"description", "vip_address", "vip_port_id", "vip_subnet_id", "vip_network_id", "vip_qos_policy_id", "provider"}
    | {"flavor_id", "availability_zone", "additional_vips", "listeners", "pools", "vip_vnic_type", "vip_sg_ids"},
    "listener": STANDARD
    | {
        "description",
        "protocol",
        "protocol_port",
        "connection_limit",
        "default_pool_id",
        "insert_headers",
        "l7policies",
    }
    | {"loadbalancers", "default_tls_container_ref", "sni_container_refs", "timeout_client_data", "allowed_cidrs"}
    | {"timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect", "client_ca_tls_container_ref"}
    | {"client_authentication", "client_crl_container_ref", "tls_ciphers", "tls_versions", "alpn_protocols"}
    | {"hsts_max_age", "hsts_include_subdomains", "hsts_preload"},
    "pool": STANDARD
    | {"description", "protocol", "lb_algorithm", "session_persistence", "loadbalancers", "listeners", "members"}
    | {"healthmonitor_id", "tls_enabled", "tls_container_ref", "ca_tls_container_ref", "crl_container_ref"}
    | {"tls_ciphers", "tls_versions", "alpn_protocols"},
    "member": STANDARD
    | {"address", "protocol_port", "weight", "backup", "subnet_id", "monitor_address", "monitor_port", "vnic_type"},
    "healthmonitor": STANDARD
    | {
        "type",
        "delay",
        "timeout",
        "max_retries",
        "max_retries_down",
        "http_method",
        "url_path",
        "expected_codes",
        "pools",
    }
    | {"http_version", "domain_name"},
}

pytestmark = [  # openstacksdk warns of its own doings
    pytest.mark.filterwarnings(f"ignore::{each}") for each in ("DeprecationWarning", "PendingDeprecationWarning")
]
MONITOR = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}


def settled(api: Api, id: str) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(f"{L}/loadbalancers/{id}")["loadbalancer"]
        return found if found["provisioning_status"] == "ACTIVE" else None

    return wait_for("the load balancer active", there)


def clear(api: Api) -> None:
    for each in api.get(f"{L}/loadbalancers")["loadbalancers"]:
        path = f"{L}/loadbalancers/{each['id']}?cascade=true"
        wait_for("the end", lambda path=path: api("DELETE", path).status_code in (204, 404))
    wait_for("no load balancers", lambda: not api.get(f"{L}/loadbalancers")["loadbalancers"])


@pytest.fixture(autouse=True)
def clean(api: Api) -> Iterator[None]:
    yield
    clear(api)


def make(api: Api, **more: Any) -> dict[str, Any]:
    """A load balancer, active."""
    body = {"name": "lb", "vip_subnet_id": api.network()["subnets"][0], **more}
    made = api.make(f"{L}/loadbalancers", {"loadbalancer": body})["loadbalancer"]
    assert made["provisioning_status"] == "PENDING_CREATE"
    return settled(api, made["id"])


def add(api: Api, balancer: str, kind: str, path: str, **values: Any) -> dict[str, Any]:
    """Another part, once the load balancer is active again."""
    made: dict[str, Any] = api.make(f"{L}/{path}", {kind: values})[kind]
    assert made["provisioning_status"] == "PENDING_CREATE"
    settled(api, balancer)
    return made


def fault(answer: Any) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"faultcode", "faultstring", "debuginfo"}
    return answer.status_code, body["faultstring"]


def refused(api: Api, path: str, kind: str, status: int, words: str, **values: Any) -> None:
    code, said = fault(api("POST", f"{L}/{path}", {kind: values}))
    assert (code, words in said) == (status, True), said


def test_a_load_balancer_is_built_part_by_part(api: Api) -> None:
    balancer = make(api, tags=["blue"])
    id = balancer["id"]
    listener = add(api, id, "listener", "listeners", loadbalancer_id=id, protocol="HTTP", protocol_port=80)
    pool = add(api, id, "pool", "pools", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    member = add(api, id, "member", f"pools/{pool['id']}/members", address="192.0.2.9", protocol_port=80)
    monitor = add(api, id, "healthmonitor", "healthmonitors", pool_id=pool["id"], **MONITOR)
    for kind, part in (("loadbalancer", balancer), ("listener", listener), ("pool", pool), ("member", member),
                       ("healthmonitor", monitor)):  # fmt: skip
        path = f"pools/{pool['id']}/members" if kind == "member" else f"{kind}s"
        shown = api.get(f"{L}/{path}/{part['id']}")[kind]
        assert set(shown) == KEYS[kind]
        assert shown["provisioning_status"] == "ACTIVE"
        assert [each["id"] for each in api.get(f"{L}/{path}")[f"{kind}s"]] == [part["id"]]
    assert api.get(f"{L}/listeners/{listener['id']}")["listener"]["default_pool_id"] == pool["id"]
    assert monitor["url_path"] == "/"
    assert monitor["max_retries_down"] == 3
    wait_for(
        "the monitor's word",
        lambda: api.get(f"{L}/loadbalancers/{id}")["loadbalancer"]["operating_status"] == "ERROR",
    )
    tree = api.get(f"{L}/loadbalancers/{id}/status")["statuses"]["loadbalancer"]
    assert tree["listeners"][0]["pools"][0]["members"][0]["operating_status"] == "ERROR"
    assert tree["pools"][0]["healthmonitor"]["id"] == monitor["id"]
    port = api.get(f"{Q}/ports/{balancer['vip_port_id']}")["port"]
    assert port["device_owner"] == "Octavia"
    assert port["fixed_ips"][0]["ip_address"] == balancer["vip_address"]


def test_a_load_balancer_is_built_in_one_request_and_goes_in_one(api: Api) -> None:
    members = [{"address": f"192.0.2.{number}", "protocol_port": 80} for number in (1, 2)]
    pool = {
        "name": "web",
        "protocol": "HTTP",
        "lb_algorithm": "SOURCE_IP",
        "members": members,
        "healthmonitor": MONITOR,
    }
    listeners = [
        {"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "web"}},
        {"protocol": "TCP", "protocol_port": 81, "default_pool": {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}},
    ]
    body = {"vip_network_id": api.network()["id"], "listeners": listeners, "pools": [pool]}
    made = api.make(f"{L}/loadbalancers", {"loadbalancer": body})["loadbalancer"]
    assert [len(each["members"]) for each in made["pools"]] == [2, 0]
    assert made["listeners"][0]["default_pool"]["healthmonitor"]["type"] == "HTTP"
    settled(api, made["id"])
    path = f"{L}/loadbalancers/{made['id']}"
    assert fault(api("DELETE", path)) == (400, f"Cannot delete Load Balancer {made['id']} - it has children")
    assert api("DELETE", f"{path}?cascade=true").status_code == 204
    assert api.get(path)["loadbalancer"]["provisioning_status"] == "PENDING_DELETE"
    wait_for("it gone", lambda: api("GET", path).status_code == 404)
    assert api.get(f"{L}/pools")["pools"] == api.get(f"{L}/listeners")["listeners"] == []
    assert api("GET", f"{Q}/ports/{made['vip_port_id']}").status_code == 404


def test_a_request_that_fails_half_way_leaves_nothing(api: Api) -> None:
    twice = [{"protocol": "HTTP", "protocol_port": 80}, {"protocol": "TCP", "protocol_port": 80}]
    ports = len(api.get(f"{Q}/ports")["ports"])
    words = "Another Listener on this Load Balancer is already using protocol_port 80"
    refused(api, "loadbalancers", "loadbalancer", 409, words, vip_network_id=api.network()["id"], listeners=twice)
    assert api.get(f"{L}/loadbalancers")["loadbalancers"] == []
    assert len(api.get(f"{Q}/ports")["ports"]) == ports


def test_a_load_balancer_that_is_busy_refuses_changes(api: Api) -> None:
    id = make(api)["id"]
    path = f"{L}/loadbalancers/{id}"
    assert api("PUT", path, {"loadbalancer": {"name": "new"}}).json()["loadbalancer"]["name"] == "new"
    busy = (409, f"Load Balancer {id} is immutable and cannot be updated.")
    assert fault(api("PUT", path, {"loadbalancer": {"name": "newer"}})) == busy
    assert fault(api("DELETE", path)) == busy
    listener = {"loadbalancer_id": id, "protocol": "HTTP", "protocol_port": 80}
    assert fault(api("POST", f"{L}/listeners", {"listener": listener})) == busy
    assert settled(api, id)["name"] == "new"


def test_what_does_not_fit_is_refused_by_name(api: Api) -> None:
    id = make(api)["id"]
    subnet = api.network()["subnets"][0]
    pool = add(api, id, "pool", "pools", loadbalancer_id=id, protocol="TCP", lb_algorithm="ROUND_ROBIN")["id"]
    listener = {"loadbalancer_id": id, "protocol": "HTTP", "protocol_port": 80}
    refused(api, "loadbalancers", "loadbalancer", 400, "VIP must contain one of")
    refused(api, "loadbalancers", "loadbalancer", 400, f"Subnet {NOBODY} not found.", vip_subnet_id=NOBODY)
    refused(api, "loadbalancers", "loadbalancer", 400, "not enabled", vip_subnet_id=subnet, provider="f5")
    refused(api, "loadbalancers", "loadbalancer", 400, "Unknown attribute", vip_subnet_id=subnet, colour="blue")
    refused(api, "loadbalancers", "loadbalancer", 409, "in use", vip_subnet_id=subnet,
            vip_address=settled(api, id)["vip_address"])  # fmt: skip
    refused(
        api,
        "listeners",
        "listener",
        404,
        f"Load Balancer {NOBODY} not found.",
        **{**listener, "loadbalancer_id": NOBODY},
    )
    refused(api, "listeners", "listener", 400, "protocol_port", **{**listener, "protocol_port": 70000})
    refused(api, "listeners", "listener", 400, "protocol", **{**listener, "protocol": "GOPHER"})
    refused(
        api, "listeners", "listener", 501, "protocol TERMINATED_HTTPS", **{**listener, "protocol": "TERMINATED_HTTPS"}
    )
    refused(api, "listeners", "listener", 400, "pool protocol 'TCP' is invalid", **listener, default_pool_id=pool)
    refused(api, "pools", "pool", 400, "loadbalancer_id or listener_id", protocol="TCP", lb_algorithm="ROUND_ROBIN")
    refused(api, "pools", "pool", 501, "HTTP_COOKIE", loadbalancer_id=id, protocol="TCP", lb_algorithm="ROUND_ROBIN",
            session_persistence={"type": "HTTP_COOKIE"})  # fmt: skip
    members = f"pools/{pool}/members"
    refused(api, members, "member", 400, "'ipv4'", address="not one", protocol_port=80)
    refused(
        api,
        members,
        "member",
        400,
        f"Subnet {NOBODY} not found.",
        address="192.0.2.1",
        protocol_port=80,
        subnet_id=NOBODY,
    )
    add(api, id, "member", members, address="192.0.2.1", protocol_port=80)
    refused(api, members, "member", 409, "already using ip 192.0.2.1", address="192.0.2.1", protocol_port=80)
    refused(api, "healthmonitors", "healthmonitor", 501, "type PING", **{**MONITOR, "type": "PING"}, pool_id=pool)
    refused(api, "healthmonitors", "healthmonitor", 400, "url_path", **MONITOR, pool_id=pool, url_path="/a\r\nb")
    refused(
        api, "healthmonitors", "healthmonitor", 400, "expected_codes", **MONITOR, pool_id=pool, expected_codes="many"
    )
    refused(api, "healthmonitors", "healthmonitor", 400, "delay", pool_id=pool, type="TCP", timeout=1, max_retries=1)
    add(api, id, "healthmonitor", "healthmonitors", **MONITOR, pool_id=pool)
    refused(api, "healthmonitors", "healthmonitor", 409, "already has a health monitor", **MONITOR, pool_id=pool)
    refused(api, "l7policies", "l7policy", 403, "Quota has been met")
    for body in (b"", b"[]", b'{"pool": 1}', b'{"pool": null}'):
        assert fault(api.http.post(f"{L}/pools", content=body))[0] == 400


def test_a_batch_makes_the_members_exactly_those(api: Api) -> None:
    id = make(api)["id"]
    pool = add(api, id, "pool", "pools", loadbalancer_id=id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")["id"]
    path = f"{L}/pools/{pool}/members"

    def batch(*numbers: int, query: str = "", **more: Any) -> dict[str, int]:
        members = [{"address": f"192.0.2.{number}", "protocol_port": 80, **more} for number in numbers]
        assert api("PUT", f"{path}{query}", {"members": members}).status_code == 202
        settled(api, id)
        return {each["address"].rsplit(".")[-1]: each["weight"] for each in api.get(path)["members"]}

    assert batch(1, 2) == {"1": 1, "2": 1}
    assert batch(2, 3, weight=5) == {"2": 5, "3": 5}
    assert batch(4, query="?additive_only=true") == {"2": 5, "3": 5, "4": 1}
    assert fault(api("PUT", path, {"members": [{"address": ["1"], "protocol_port": 80}]}))[0] == 400


def test_lists_are_filtered_sorted_and_paged(api: Api) -> None:
    for name in ("one", "two", "three"):
        make(api, name=name, tags=[name])

    def names(query: str) -> list[str]:
        return [each["name"] for each in api.get(f"{L}/loadbalancers?{query}")["loadbalancers"]]

    assert names("sort=name:desc") == ["two", "three", "one"]
    assert names("name=two") == names("tags=two") == ["two"]
    assert names("admin_state_up=false") == []
    page = api.get(f"{L}/loadbalancers?sort=name&limit=2&fields=name&fields=id")
    assert [set(each) for each in page["loadbalancers"]] == [{"name", "id"}] * 2
    assert len(api.get(page["loadbalancers_links"][0]["href"])["loadbalancers"]) == 1
    assert fault(api("GET", f"{L}/loadbalancers?limit=some"))[0] == 400


def test_another_projects_load_balancer_is_not_there(api: Api, alt: Api) -> None:
    id = make(api)["id"]
    assert alt.get(f"{L}/loadbalancers")["loadbalancers"] == []
    for method, body in (("GET", None), ("PUT", {"loadbalancer": {}}), ("DELETE", None)):
        assert fault(alt(method, f"{L}/loadbalancers/{id}", body)) == (404, f"Load Balancer {id} not found.")
    mine = {"loadbalancer_id": id, "protocol": "HTTP", "protocol_port": 80}
    assert alt("POST", f"{L}/listeners", {"listener": mine}).status_code == 404
    foreign = {"vip_subnet_id": api.network()["subnets"][0]}
    assert fault(alt("POST", f"{L}/loadbalancers", {"loadbalancer": foreign}))[0] == 400
    assert api.http.get(f"{L}/loadbalancers", headers={"X-Auth-Token": "none"}).status_code == 401


def test_versions_providers_and_quotas_are_told(api: Api) -> None:
    versions = api.get("/load-balancer/")["versions"]
    assert [each["status"] for each in versions].count("CURRENT") == 1
    assert api.get("/load-balancer/v2.0/lbaas/providers")["providers"][0]["name"] == "octavia"
    assert api.get(f"{L}/quotas/{api.project}")["quota"]["load_balancer"] == 10
    assert api.get(f"{L}/flavors")["flavors"] == []
    assert fault(api("GET", f"{L}/quotas/{NOBODY}"))[0] == 403
    assert fault(api("GET", f"{L}/gateways"))[0] == 404


def test_a_quota_is_the_limit(start: Callable[..., Running]) -> None:
    api = Api(start(quotas={"load_balancer": 1, "member": 1}))
    make(api)
    refused(api, "loadbalancers", "loadbalancer", 403, "Quota has been met for resources: Load Balancer",
            vip_network_id=api.network()["id"])  # fmt: skip


def test_a_port_of_ones_own_may_be_the_vip_and_stays(api: Api) -> None:
    port = api.make(f"{Q}/ports", {"port": {"network_id": api.network()["id"]}})["port"]
    made = make(api, vip_subnet_id=None, vip_port_id=port["id"])
    assert made["vip_address"] == port["fixed_ips"][0]["ip_address"]
    refused(api, "loadbalancers", "loadbalancer", 409, "is in use", vip_port_id=port["id"])
    clear(api)
    assert api("DELETE", f"{Q}/ports/{port['id']}").status_code == 204


def test_a_load_balancer_outlives_its_emulator_whatever_it_was_doing(start: Callable[..., Running]) -> None:
    running = start()
    api = Api(running)
    kept = make(api, listeners=[{"protocol": "HTTP", "protocol_port": 80}])
    body = {"vip_network_id": api.network()["id"], "listeners": [{"protocol": "TCP", "protocol_port": 80}]}
    begun = api.make(f"{L}/loadbalancers", {"loadbalancer": body})["loadbalancer"]
    going = make(api, name="going")
    assert api("DELETE", f"{L}/loadbalancers/{going['id']}").status_code == 204
    os.kill(running.pid, signal.SIGKILL)
    api = Api(start())
    assert {each["id"] for each in api.get(f"{L}/loadbalancers")["loadbalancers"]} == {kept["id"], begun["id"]}
    assert settled(api, kept["id"])["vip_address"] == kept["vip_address"]
    assert settled(api, begun["id"])["listeners"] == [{"id": begun["listeners"][0]["id"]}]
    assert api("GET", f"{Q}/ports/{going['vip_port_id']}").status_code == 404
    connection = http.client.HTTPConnection(kept["vip_address"], 80 + api.port_offset, timeout=LIMIT_SECONDS)
    try:
        connection.request("GET", "/")
        assert connection.getresponse().status == 503
    finally:
        connection.close()


def test_a_load_balancer_moves_with_its_cloud(start: Callable[..., Running]) -> None:
    running = start()
    api = Api(running)
    network = api.root.removeprefix("http://").rpartition(".0.1:")[0]
    pool = {
        "protocol": "TCP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": f"{network}.1.9", "protocol_port": 80}],
    }
    listener = {"protocol": "TCP", "protocol_port": 80, "allowed_cidrs": [f"{network}.1.0/24"], "default_pool": pool}
    made = make(api, listeners=[listener])
    control.stop(running.state_dir)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as squatter:
        squatter.bind(f"\0faafo-lab/{network}.0.0")
        api = Api(start())
    here = api.root.removeprefix("http://").rpartition(".0.1:")[0]
    assert here != network
    assert settled(api, made["id"])["vip_address"] == made["vip_address"].replace(network, here, 1)
    assert api.get(f"{L}/listeners")["listeners"][0]["allowed_cidrs"] == [f"{here}.1.0/24"]
    pool_id = api.get(f"{L}/pools")["pools"][0]["id"]
    assert api.get(f"{L}/pools/{pool_id}/members")["members"][0]["address"] == f"{here}.1.9"


def test_openstacksdk_works_unchanged(api: Api, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    import openstack

    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(running.clouds_yaml))
    conn = openstack.connect(cloud="embedded")
    lb = conn.load_balancer.create_load_balancer(name="sdk", vip_subnet_id=api.network()["subnets"][0])
    lb = conn.load_balancer.wait_for_load_balancer(lb.id, interval=0.1, wait=LIMIT_SECONDS)

    def then(part: Any) -> Any:
        conn.load_balancer.wait_for_load_balancer(lb.id, interval=0.1, wait=LIMIT_SECONDS)
        return part

    listener = then(
        conn.load_balancer.create_listener(load_balancer_id=lb.id, protocol="HTTP", protocol_port=80, name="l")
    )
    pool = then(conn.load_balancer.create_pool(listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN"))
    member = then(conn.load_balancer.create_member(pool, address="192.0.2.1", protocol_port=80))
    monitor = then(
        conn.load_balancer.create_health_monitor(pool_id=pool.id, type="TCP", delay=3, timeout=1, max_retries=1)
    )
    assert conn.load_balancer.find_load_balancer("sdk").listeners == [{"id": listener.id}]
    assert [each.id for each in conn.load_balancer.members(pool)] == [member.id]
    assert then(conn.load_balancer.update_member(member, pool, weight=7)).weight == 7
    assert conn.load_balancer.get_health_monitor(monitor).type == "TCP"
    assert conn.load_balancer.get_load_balancer_statistics(lb.id).total_connections == 0
    conn.load_balancer.delete_load_balancer(lb, cascade=True)
    wait_for("it gone", lambda: conn.load_balancer.find_load_balancer("sdk") is None)


def test_openstackclient_works_unchanged(api: Api, running: Running, tmp_path: Path) -> None:
    pipe: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    steps = (  # each when the load balancer has come to rest after the one before
        ("loadbalancers", "create --name cli --vip-subnet-id private-subnet"),
        ("listeners", "listener create --name web --protocol HTTP --protocol-port 80 cli"),
        ("pools", "pool create --name web-pool --listener web --protocol HTTP --lb-algorithm LEAST_CONNECTIONS"),
        (
            "healthmonitors",
            "healthmonitor create --delay 5 --timeout 2 --max-retries 2 --type HTTP --url-path /up web-pool",
        ),
        ("", "member create --address 192.0.2.1 --protocol-port 80 web-pool"),
    )
    with subprocess.Popen([OPENSTACK], env=environment(running), cwd=tmp_path, **pipe) as shell:
        assert shell.stdin is not None
        try:
            for path, words in steps:
                shell.stdin.write(f"loadbalancer {words}\n")
                shell.stdin.flush()
                path = path or f"pools/{api.get(f'{L}/pools')['pools'][0]['id']}/members"
                wait_for(words, lambda path=path: api.get(f"{L}/{path}")[path.rpartition("/")[2]])
                settled(api, api.get(f"{L}/loadbalancers")["loadbalancers"][0]["id"])
            said, _ = shell.communicate(
                "loadbalancer member list web-pool\nloadbalancer stats show cli\nloadbalancer status show cli\n",
                timeout=LIMIT_SECONDS,
            )
        finally:
            shell.kill()
    assert "192.0.2.1" in said
    assert "total_connections" in said
    assert api.get(f"{L}/pools")["pools"][0]["lb_algorithm"] == "LEAST_CONNECTIONS"
