"""Load balancers at work: real instances behind them, one of which dies under load and comes back."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import LIMIT_SECONDS, wait_for

from .conftest import Api

L = "/load-balancer/v2/lbaas"
Q = "/networking/v2.0"

SERVE = """
import http.server, json, os, signal, socketserver, time
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads, request_queue_size = True, 128
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *arguments): pass
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        if self.path.startswith("/sleep"): time.sleep(1)
        if self.path == "/drop": return setattr(self, "close_connection", True)
        body = os.environ["HOSTNAME"].encode()
        if self.path == "/echo": body = content
        if self.path == "/headers": body = json.dumps(self.headers.items()).encode()
        sick = self.path == "/health" and os.path.exists(os.environ["INSTANCE_ROOT"] + "/tmp/sick")
        self.send_response(503 if sick else 200)
        if self.path == "/login": self.send_header("Set-Cookie", "SESSION=" + os.environ["HOSTNAME"] + "; path=/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    do_GET = do_HEAD = do_POST = do_DELETE = answer
Server(os.environ["INSTANCE_PORTS"] + "/80", Handler).serve_forever()
"""
WEB = f"""#!/bin/sh
cd "$INSTANCE_ROOT/tmp" && exec 2>&1
rm -f "$INSTANCE_PORTS/80"
cat > serve.py <<'END'{SERVE}END
setsid {sys.executable} serve.py < /dev/null &
"""


def encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


class Balanced:
    """A project's load balancer over three web servers."""

    def __init__(self, api: Api) -> None:
        self.api = api
        group = api.make(f"{Q}/security-groups", {"security_group": {"name": "web"}})["security_group"]["id"]
        self.group = group
        self.subnet = api.network()["subnets"][0]
        self.cidr = api.get(f"{Q}/subnets/{self.subnet}")["subnet"]["cidr"]
        self.rule(remote_ip_prefix=self.cidr)
        wanted = {"imageRef": api.image(), "flavorRef": "1", "user_data": encoded(WEB),
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
        return f"http://{made['vip_address']}:{80 + self.api.port_offset}"

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
    return Balanced(api)


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


def test_a_member_that_dies_under_load_is_taken_out_and_comes_back(balanced: Balanced) -> None:
    made = balanced.make(monitor=QUICK)
    ready(balanced, made)
    url = balanced.url(made)
    log: list[tuple[float, str]] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            with client() as one:
                try:
                    answer = one.get(url)
                    log.append((time.monotonic(), answer.text if answer.status_code == 200 else f"{answer}"))
                except httpx.TransportError as error:
                    log.append((time.monotonic(), repr(error)))

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
