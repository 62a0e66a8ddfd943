"""Load balancers at work: real instances behind them, one of which dies under load and comes back."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.waiting import LIMIT_SECONDS, wait_for

from . import web_server
from .conftest import Api

L = "/load-balancer/v2/lbaas"
Q = "/networking/v2.0"


class Balanced:
    """A project's load balancer over three web servers."""

    def __init__(self, api: Api) -> None:
        self.api = api
        group = api.make(f"{Q}/security-groups", {"security_group": {"name": "web"}})["security_group"]["id"]
        self.group = group
        self.port = 80 + api.port_offset
        self.subnet = api.network()["subnets"][0]
        self.cidr = api.get(f"{Q}/subnets/{self.subnet}")["subnet"]["cidr"]
        self.rule(remote_ip_prefix=self.cidr)
        wanted = {"imageRef": api.image(), "flavorRef": "1", "user_data": web_server.user_data(),
                  "security_groups": [{"name": "web"}]}  # fmt: skip
        names = ("web-1", "web-2", "web-3")
        self.servers = {name: api.make("/compute/v2.1/servers", {"server": {**wanted, "name": name}})["server"]["id"]
                        for name in names}  # fmt: skip
        self.addresses = {}
        for name, id in self.servers.items():
            self.addresses[name] = api.until(id, "ACTIVE")["addresses"]["private"][0]["addr"]

    def rule(self, **more: Any) -> str:
        body = {"security_group_id": self.group, "direction": "ingress", "protocol": "tcp", "port_range_min": 80,
                "port_range_max": 80, **more}  # fmt: skip
        rule = self.api.make(f"{Q}/security-group-rules", {"security_group_rule": body})["security_group_rule"]
        return str(rule["id"])

    def members(self, **more: Any) -> list[dict[str, Any]]:
        return [{"name": name, "address": address, "protocol_port": 80, **more.get(name.replace("-", "_"), {})}
                for name, address in self.addresses.items()]  # fmt: skip

    def make(self, protocol: str = "HTTP", *, listener: Any = None, monitor: Any = None, **pool: Any) -> dict[str, Any]:
        """A fresh load balancer, complete, and active."""
        pool = {"protocol": protocol, "lb_algorithm": "ROUND_ROBIN", "members": self.members(), **pool}
        if monitor is not None:
            pool["healthmonitor"] = monitor
        listeners = [{"protocol": protocol, "protocol_port": 80, "default_pool": pool, **(listener or {})}]
        body = {"vip_subnet_id": self.subnet, "listeners": listeners}
        made: dict[str, Any] = self.api.make(f"{L}/loadbalancers", {"loadbalancer": body})["loadbalancer"]
        self.settled(made["id"])
        return made

    def settled(self, id: str) -> None:
        wait_for("the load balancer active", lambda: self.show(id)["provisioning_status"] == "ACTIVE")

    def show(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"{L}/loadbalancers/{id}")["loadbalancer"]
        return found

    def url(self, made: dict[str, Any]) -> str:
        return f"http://{made['vip_address']}:{self.port}"

    def statuses(self, made: dict[str, Any]) -> dict[str, str]:
        tree = self.api.get(f"{L}/loadbalancers/{made['id']}/status")["statuses"]["loadbalancer"]
        return {each["name"]: each["operating_status"] for each in tree["pools"][0]["members"]}

    def clear(self) -> None:
        for each in self.api.get(f"{L}/loadbalancers")["loadbalancers"]:
            self.settled(each["id"])
            assert self.api("DELETE", f"{L}/loadbalancers/{each['id']}?cascade=true").status_code == 204
        wait_for("no load balancer", lambda: not self.api.get(f"{L}/loadbalancers")["loadbalancers"])


@pytest.fixture(scope="module")
def web(api: Api) -> Balanced:
    """Servers that serve already."""
    made = Balanced(api)
    ready(made, made.make(monitor=QUICK))
    made.clear()
    return made


@pytest.fixture
def balanced(web: Balanced) -> Iterator[Balanced]:
    yield web
    web.clear()


def get(client: httpx.Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    return answer.text


def client() -> httpx.Client:
    return httpx.Client(trust_env=False, timeout=LIMIT_SECONDS)


def served(url: str, requests: int, *, keep: bool = True) -> Counter[str]:
    """Who has answered how often: over one connection, or each over its own."""
    if keep:
        with client() as one:
            return Counter(get(one, url) for _ in range(requests))
    found: Counter[str] = Counter()
    for _ in range(requests):
        with client() as one:
            found[get(one, url)] += 1
    return found


def ready(web: Balanced, made: dict[str, Any]) -> None:
    """All members serve."""
    wait_for("all members", lambda: set(web.statuses(made).values()) == {"ONLINE"})


QUICK = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2, "url_path": "/health"}


def test_requests_are_shared_out_by_weight_however_long_a_connection_lasts(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK, members=balanced.members(web_3={"weight": 2}))
    ready(balanced, made)
    url = balanced.url(made)
    assert served(url, 20) == {"web-1": 5, "web-2": 5, "web-3": 10}
    assert served(url, 8, keep=False) == {"web-1": 2, "web-2": 2, "web-3": 4}
    stats = balanced.api.get(f"{L}/loadbalancers/{made['id']}/stats")["stats"]
    assert stats["total_connections"] == 9
    assert stats["bytes_out"] == 28 * len("web-1")


def test_a_tcp_listener_shares_out_connections(balanced: Balanced) -> None:
    made = balanced.make("TCP", monitor={**QUICK, "type": "TCP", "url_path": None})
    ready(balanced, made)
    url = balanced.url(made)
    assert len(served(url, 6)) == 1
    assert served(url, 6, keep=False) == {"web-1": 2, "web-2": 2, "web-3": 2}
    large = b"0123456789abcdef" * (1 << 18)
    with client() as one:
        assert one.post(f"{url}/echo", content=large).content == large
    stats = f"{L}/loadbalancers/{made['id']}/stats"
    wait_for("all counted", lambda: balanced.api.get(stats)["stats"]["bytes_in"] > len(large))
    assert balanced.api.get(stats)["stats"]["active_connections"] == 0


def test_a_silent_tcp_connection_is_cut_and_nobody_there_is_a_reset(balanced: Balanced) -> None:
    made = balanced.make("TCP", listener={"timeout_client_data": 300})
    with socket.create_connection((made["vip_address"], balanced.port), timeout=LIMIT_SECONDS) as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one.recv(1000).startswith(b"HTTP/1.1 200 ")
        with contextlib.suppress(ConnectionResetError):
            while one.recv(1000):
                pass
    pool = f"{L}/pools/{made['pools'][0]['id']}"
    assert balanced.api("DELETE", pool).status_code == 204
    balanced.settled(made["id"])
    place = (made["vip_address"], balanced.port)
    with pytest.raises(ConnectionResetError), socket.create_connection(place, timeout=LIMIT_SECONDS) as one:
        one.recv(1)


def test_a_member_that_dies_under_load_is_taken_out_and_comes_back(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK)
    ready(balanced, made)
    log: list[tuple[float, str]] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            connection = http.client.HTTPConnection(made["vip_address"], balanced.port, timeout=LIMIT_SECONDS)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                said = answer.read().decode()
                log.append((time.monotonic(), said if answer.status == 200 else str(answer.status)))
            except (OSError, http.client.HTTPException) as error:
                log.append((time.monotonic(), repr(error)))
            finally:
                connection.close()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for each in threads:
        each.start()
    try:
        wait_for("some load", lambda: len(log) > 50)
        victim = balanced.servers["web-1"]
        assert balanced.api("POST", f"/compute/v2.1/servers/{victim}/action", {"os-stop": None}).status_code == 202
        wait_for("the monitor", lambda: balanced.statuses(made)["web-1"] == "ERROR")
        assert balanced.show(made["id"])["operating_status"] == "DEGRADED"
        out = time.monotonic()
        wait_for("more load", lambda: sum(moment > out for moment, _ in log) > 50)
        assert balanced.api("POST", f"/compute/v2.1/servers/{victim}/action", {"os-start": None}).status_code == 202
        ready(balanced, made)
        back = time.monotonic()
        wait_for("load on it again", lambda: any(moment > back and who == "web-1" for moment, who in log))
    finally:
        over.set()
        for each in threads:
            each.join()
    failed = [(moment, who) for moment, who in log if not who.startswith("web-")]
    print(f"{len(log)} requests, {len(failed)} failed: {failed}")
    assert not [who for moment, who in failed if moment > out]
    assert {who for moment, who in log if out < moment < back - 5} <= {"web-2", "web-3"}
    assert len(failed) <= len(threads)  # at most what the dying member had in its hands


def test_a_monitor_asks_what_it_is_told_and_takes_its_orders_anew(balanced: Balanced) -> None:
    made = balanced.make(monitor={**QUICK, "url_path": "/status/503", "expected_codes": "500-503"})
    ready(balanced, made)
    monitor = f"{L}/healthmonitors/{made['pools'][0]['healthmonitor']['id']}"
    assert balanced.api("PUT", monitor, {"healthmonitor": {"expected_codes": "200, 204"}}).status_code == 200
    wait_for("all out", lambda: set(balanced.statuses(made).values()) == {"ERROR"})
    balanced.settled(made["id"])
    assert balanced.api("DELETE", monitor).status_code == 204
    wait_for("no monitor", lambda: set(balanced.statuses(made).values()) == {"NO_MONITOR"})
    assert len(served(balanced.url(made), 3)) == 3


def test_nothing_stays_open_behind_many_connections(balanced: Balanced) -> None:
    files = f"/proc/{balanced.api.running.pid}/fd"
    made = balanced.make()
    served(balanced.url(made), 1, keep=False)
    before = len(os.listdir(files))
    for _ in range(50):
        for path in ("/", "/drop"):
            with socket.create_connection((made["vip_address"], balanced.port), timeout=LIMIT_SECONDS) as one:
                one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert one.recv(100)
        with socket.create_connection((made["vip_address"], balanced.port), timeout=LIMIT_SECONDS) as one:
            one.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")  # and does not wait
    stats = f"{L}/loadbalancers/{made['id']}/stats"
    wait_for("all ended", lambda: balanced.api.get(stats)["stats"]["active_connections"] == 0)
    wait_for("all closed", lambda: len(os.listdir(files)) <= before)


def test_bodies_pass_whole_in_both_directions(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK)
    ready(balanced, made)
    url = balanced.url(made)
    large = b"0123456789abcdef" * (1 << 18)
    with client() as one:
        assert one.post(f"{url}/echo", content=large).content == large
        assert one.post(f"{url}/echo", content=iter([b"in ", b"pieces"])).text == "in pieces"
        assert one.post(f"{url}/echo").content == b""
        head = one.head(url)
        assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "5", b"")
        assert one.delete(url).status_code == 200
        assert one.request("DELETE", url, content=iter([b"x"])).status_code == 200
        assert one.get(url).status_code == 200


def test_a_failing_member_is_a_502_and_a_silent_one_a_504(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK, listener={"timeout_member_data": 300})
    ready(balanced, made)
    url = balanced.url(made)
    with client() as one:
        assert one.get(f"{url}/drop").status_code == 502
        assert one.get(f"{url}/sleep").status_code == 504
        assert one.get(url).status_code == 200


def test_a_client_keeps_its_member_by_cookie_or_address(balanced: Balanced) -> None:
    for bound in ({"type": "HTTP_COOKIE"}, {"type": "SOURCE_IP"}):
        made = balanced.make(monitor=QUICK, session_persistence=bound)
        ready(balanced, made)
        assert len(served(balanced.url(made), 6)) == 1
        assert len(served(balanced.url(made), 6, keep=False)) == (1 if bound["type"] == "SOURCE_IP" else 3)
        balanced.clear()
    made = balanced.make(monitor=QUICK, session_persistence={"type": "APP_COOKIE", "cookie_name": "SESSION"})
    ready(balanced, made)
    with client() as one:
        chosen = get(one, f"{balanced.url(made)}/login")
        assert {get(one, balanced.url(made)) for _ in range(6)} == {chosen}
    assert len(served(balanced.url(made), 3)) == 3


def test_a_member_learns_who_asks(balanced: Balanced) -> None:
    wanted = {"X-Forwarded-For": "true", "X-Forwarded-Port": "true", "X-Forwarded-Proto": "true"}
    made = balanced.make(monitor=QUICK, listener={"insert_headers": wanted})
    ready(balanced, made)
    with client() as one:
        headers = {
            "X-Forwarded-For": "192.0.2.1",
            "X-Forwarded-Port": "1",
            "Connection": "keep-alive, X-Hop",
            "X-Hop": "1",
        }
        seen = json.loads(one.get(f"{balanced.url(made)}/headers", headers=headers).text)
    by_name: dict[str, list[str]] = {}
    for name, value in seen:
        by_name.setdefault(name, []).append(value)
    assert ", ".join(by_name["X-Forwarded-For"]) == "192.0.2.1,127.0.0.1".replace(",", ", ")
    assert by_name["X-Forwarded-Port"] == ["80"]
    assert by_name["X-Forwarded-Proto"] == ["http"]
    assert "Connection" not in by_name
    assert "X-Hop" not in by_name


def test_an_upgraded_connection_becomes_a_relay(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK)
    ready(balanced, made)
    with socket.create_connection((made["vip_address"], balanced.port), timeout=LIMIT_SECONDS) as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += one.recv(1000)
        assert answer.startswith(b"HTTP/1.1 101 ")
        one.sendall(b"hello")
        assert one.recv(5) == b"HELLO"


def test_the_least_busy_member_gets_the_next_connection(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK, lb_algorithm="LEAST_CONNECTIONS", members=balanced.members()[:2])
    ready(balanced, made)
    url = balanced.url(made)
    with client() as slow, client() as quick:
        answer: list[str] = []
        thread = threading.Thread(target=lambda: answer.append(get(slow, f"{url}/sleep")))
        stats = f"{L}/loadbalancers/{made['id']}/stats"
        thread.start()
        wait_for("the slow request", lambda: balanced.api.get(stats)["stats"]["active_connections"] == 1)
        others = {get(quick, url) for _ in range(4)}
        assert thread.is_alive()
        thread.join()
    assert others == {"web-1", "web-2"} - set(answer)


def test_backup_members_serve_when_no_other_can(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK, members=balanced.members(web_1={"backup": True}, web_2={"weight": 0}))
    ready_but = {"web-1": "ONLINE", "web-2": "DRAINING", "web-3": "ONLINE"}
    wait_for("the members", lambda: balanced.statuses(made) == ready_but)
    assert served(balanced.url(made), 4) == {"web-3": 4}
    pool = made["pools"][0]
    last = next(each for each in pool["members"] if each["name"] == "web-3")
    path = f"{L}/pools/{pool['id']}/members/{last['id']}"
    assert balanced.api("PUT", path, {"member": {"admin_state_up": False}}).status_code == 200
    balanced.settled(made["id"])
    assert served(balanced.url(made), 4) == {"web-1": 4}


def test_more_connections_than_the_limit_wait_for_their_turn(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK, listener={"connection_limit": 1})
    ready(balanced, made)
    with socket.create_connection((made["vip_address"], balanced.port), timeout=LIMIT_SECONDS) as first:
        stats = f"{L}/loadbalancers/{made['id']}/stats"
        wait_for("the connection", lambda: balanced.api.get(stats)["stats"]["active_connections"] == 1)
        with socket.create_connection((made["vip_address"], balanced.port), timeout=LIMIT_SECONDS) as second:
            second.sendall(b"GET / HTTP/1.0\r\n\r\n")
            second.settimeout(0.3)
            with pytest.raises(TimeoutError):
                second.recv(1)
            first.close()
            second.settimeout(LIMIT_SECONDS)
            assert second.recv(100).startswith(b"HTTP/1.1 200 ")


def test_the_members_security_group_decides_over_the_load_balancer_too(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK)
    ready(balanced, made)
    rules = balanced.api.get(f"{Q}/security-group-rules?security_group_id={balanced.group}&direction=ingress")
    for each in rules["security_group_rules"]:
        assert balanced.api("DELETE", f"{Q}/security-group-rules/{each['id']}").status_code == 204
    rule = balanced.rule(remote_group_id=balanced.group)  # the load balancer is in no group
    try:
        wait_for("all out", lambda: set(balanced.statuses(made).values()) == {"ERROR"})
        assert balanced.show(made["id"])["operating_status"] == "ERROR"
        with client() as one:
            assert one.get(balanced.url(made)).status_code == 503
    finally:
        assert balanced.api("DELETE", f"{Q}/security-group-rules/{rule}").status_code == 204
        balanced.rule(remote_ip_prefix=f"{made['vip_address']}/32")
        ready(balanced, made)
        assert len(served(balanced.url(made), 3)) == 3
        balanced.rule(remote_ip_prefix=balanced.cidr)


def test_a_listener_lets_in_only_whom_it_is_told_to(balanced: Balanced) -> None:
    made = balanced.make(listener={"allowed_cidrs": ["192.0.2.0/24"]})
    with client() as one:
        with pytest.raises(httpx.TransportError):
            one.get(balanced.url(made))
        listener = f"{L}/listeners/{made['listeners'][0]['id']}"
        assert balanced.api("PUT", listener, {"listener": {"allowed_cidrs": ["127.0.0.1/32"]}}).status_code == 200
        balanced.settled(made["id"])
        assert one.get(balanced.url(made)).status_code == 200


def test_a_floating_ip_leads_to_the_load_balancer(balanced: Balanced) -> None:
    made = balanced.make()
    body = {"floating_network_id": balanced.api.network("public")["id"], "port_id": made["vip_port_id"]}
    floating = balanced.api.make(f"{Q}/floatingips", {"floatingip": body})["floatingip"]
    try:
        url = f"http://{floating['floating_ip_address']}:{balanced.port}"

        def answers() -> bool:
            try:
                return len(served(url, 3)) == 3
            except httpx.TransportError:
                return False

        wait_for("the floating IP", answers)
        assert floating["port_details"]["device_owner"] == "Octavia"
    finally:
        balanced.api("DELETE", f"{Q}/floatingips/{floating['id']}")


def slow_answers(balanced: Balanced, made: dict[str, Any], number: int) -> tuple[list[threading.Thread], list[str]]:
    """So many requests of a second each, which have all reached their members."""
    said: list[str] = []

    def ask() -> None:
        with client() as one:
            try:
                answer = one.get(f"{balanced.url(made)}/sleep")
                said.append(answer.text if answer.status_code == 200 else str(answer.status_code))
            except httpx.TransportError as error:
                said.append(type(error).__name__)

    threads = [threading.Thread(target=ask) for _ in range(number)]
    stats = f"{L}/loadbalancers/{made['id']}/stats"
    for each in threads:
        each.start()
    wait_for("the requests", lambda: balanced.api.get(stats)["stats"]["active_connections"] == number)
    return threads, said


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
@pytest.mark.parametrize("change", ["drained", "deleted"])
def test_a_member_that_is_drained_or_deleted_finishes_what_it_has(
    balanced: Balanced, protocol: str, change: str
) -> None:
    made = balanced.make(protocol)
    threads, said = slow_answers(balanced, made, 6)
    pool = made["pools"][0]
    victim = next(each["id"] for each in pool["members"] if each["name"] == "web-1")
    path = f"{L}/pools/{pool['id']}/members/{victim}"
    if change == "drained":
        assert balanced.api("PUT", path, {"member": {"weight": 0}}).status_code == 200
    else:
        assert balanced.api("DELETE", path).status_code == 204
    balanced.settled(made["id"])
    assert served(balanced.url(made), 4, keep=False) == {"web-2": 2, "web-3": 2}
    for each in threads:
        each.join()
    assert Counter(said) == {"web-1": 2, "web-2": 2, "web-3": 2}


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_requests_in_flight_to_a_server_that_is_deleted_fail_at_once(balanced: Balanced, protocol: str) -> None:
    more = {"user_data": web_server.user_data(), "security_groups": [{"name": "web"}]}
    doomed = balanced.api.boot("doomed", **more)
    address = balanced.api.server(doomed)["addresses"]["private"][0]["addr"]
    members = [{"name": "doomed", "address": address, "protocol_port": 80}]
    made = balanced.make(protocol, monitor=QUICK if protocol == "HTTP" else None, members=members)

    def serves() -> bool:
        with client() as one, contextlib.suppress(httpx.TransportError):
            return one.get(balanced.url(made)).status_code == 200
        return False

    wait_for("the server", serves)
    stats = f"{L}/loadbalancers/{made['id']}/stats"
    wait_for("no request", lambda: balanced.api.get(stats)["stats"]["active_connections"] == 0)
    threads, said = slow_answers(balanced, made, 3)
    assert balanced.api("DELETE", f"/compute/v2.1/servers/{doomed}").status_code == 204
    for each in threads:
        each.join()
    assert set(said) <= ({"502", "503"} if protocol == "HTTP" else {"ReadError", "RemoteProtocolError"})
