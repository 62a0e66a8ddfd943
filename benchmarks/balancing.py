"""Load balancers: the cost of a request through one, and the failed requests when a member is killed under load.

Two instances serve; the rates are taken in turn and compared by their medians: at an instance's own address (that is
through the switch already), through a TCP listener and through an HTTP one.

balanced_http_vs_haproxy, balanced_tcp_vs_haproxy    HAProxy's CPU time per request against the load balancer's

Beside HAProxy the proxy has one core, the client and the servers, which are the same for both, the other one. They are
what is slow there, so not the rates are compared but what a request costs the proxy's process.
"""

import base64
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Thread
from time import monotonic, sleep
from typing import Any

from http_load import Outcome, closed_loop
from measure import Figures
from servers import until

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.system.sockets import sockets_dir
from tests.emulator.conftest import Api

L, Q = "/load-balancer/v2/lbaas", "/networking/v2.0"
ROUNDS, ROUND_SECONDS, CLIENTS = 3, 2.0, 8
BESIDE_ROUNDS = 7
KILL_AFTER_SECONDS, KILL_ROUND_SECONDS = 2.0, 8.0
SERVE = """
import asyncio, os
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello"
class Server(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        if b" /slow " in data: asyncio.get_running_loop().call_later(0.02, self.transport.write, ANSWER)
        else: self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_unix_server(Server, os.environ["INSTANCE_PORTS"] + "/80")
    await server.serve_forever()
asyncio.run(main())
"""
USER_DATA = f"""#!/bin/bash
cat > "$INSTANCE_ROOT/tmp/serve.py" <<'END'{SERVE}END
setsid {sys.executable} "$INSTANCE_ROOT/tmp/serve.py" < /dev/null > /dev/null 2>&1 &
"""
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
HAPROXY_PORTS = {"http": 18080, "tcp": 18081}
MONITOR = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}


def request(path: str) -> Callable[[], bytes]:
    """A request, always the same."""
    return lambda: f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def balancer(api: Api, members: list[str], **pool: Any) -> str:
    """The URL of a new load balancer over these addresses, once all serve."""
    protocol = pool["protocol"]
    pool |= {"lb_algorithm": "ROUND_ROBIN", "members": [{"address": each, "protocol_port": 80} for each in members]}
    listener = {"protocol": protocol, "protocol_port": 80, "default_pool": {**pool, "healthmonitor": MONITOR}}
    body = {"vip_network_id": api.network()["id"], "listeners": [listener]}
    made = api.make(f"{L}/loadbalancers", {"loadbalancer": body})["loadbalancer"]
    members_path = f"{L}/pools/{made['pools'][0]['id']}/members"
    until("all members", lambda: {each["operating_status"] for each in api.get(members_path)["members"]} == {"ONLINE"})
    return f"http://{made['vip_address']}:{80 + api.port_offset}"


def figures() -> Figures:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="faafo-") as place:
        directory = Path(place)
        try:
            return _measured(Api(control.start(directory)), directory)
        finally:
            control.stop(directory)


def web(api: Api) -> dict[str, Any]:
    """What a server that serves is booted with."""
    group = api.make(f"{Q}/security-groups", {"security_group": {"name": "web"}})["security_group"]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    api.make(f"{Q}/security-group-rules", {"security_group_rule": rule})
    flavors = api.get("/compute/v2.1/flavors/detail")["flavors"]
    large = max(flavors, key=lambda flavor: flavor["vcpus"])["id"]
    return {"flavorRef": large, "security_groups": [{"name": "web"}],
            "user_data": base64.b64encode(USER_DATA.encode()).decode()}  # fmt: skip


def _measured(api: Api, directory: Path) -> Figures:
    more = web(api)
    servers = [api.boot(name, **more) for name in ("one", "two")]
    members = [api.server(id)["addresses"]["private"][0]["addr"] for id in servers]
    places = {
        "tcp": balancer(api, members, protocol="TCP"),
        "http": balancer(api, members, protocol="HTTP"),
        "direct": f"http://{members[0]}:{80 + api.port_offset}",
    }
    rates: dict[str, list[float]] = {name: [] for name in places}
    for _ in range(ROUNDS):
        for name in random.sample(sorted(places), len(places)):
            rates[name].append(closed_loop([places[name]], request("/"), CLIENTS, ROUND_SECONDS).rate)
    direct = median(rates["direct"])
    beside = _beside_haproxy(api, directory, places)
    outcome = _killed(api, places["http"], servers[0])
    return {
        "balanced_direct_rate": (direct, "requests/s at an instance's address"),
        "balanced_tcp_ratio": (median(rates["tcp"]) / direct, "of that through a TCP listener"),
        "balanced_http_ratio": (median(rates["http"]) / direct, "of that through an HTTP listener"),
        **beside,
        "balanced_kill_requests": (len(outcome.latencies), "requests around the kill of a member"),
        "balanced_kill_failed": (len(outcome.latencies) - outcome.good, f"of them failed ({CLIENTS} clients)"),
    }


@contextmanager
def _haproxy(directory: Path) -> Iterator[int]:
    """HAProxy with one thread in front of the instances' sockets; its process number."""
    servers = "".join(f"\n server s{n} unix@{path}" for n, path in enumerate(sockets_dir(directory).glob("*/80")))
    listeners = "".join(
        f"\nlisten {mode}\n mode {mode}\n bind 127.0.0.1:{port}\n balance roundrobin{servers}\n"
        for mode, port in HAPROXY_PORTS.items()
    )
    limits = "defaults\n timeout connect 5s\n timeout client 50s\n timeout server 50s\n"
    config = directory / "haproxy.cfg"
    config.write_text(f"global\n nbthread 1\n{limits}{listeners}")
    with subprocess.Popen([str(HAPROXY), "-db", "-q", "-f", str(config)]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def _cpu_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _beside_haproxy(api: Api, directory: Path, places: dict[str, str]) -> Figures:
    """What a request costs each of the two, in turns."""
    if HAPROXY is None:
        print("HAProxy isn't installed (Debian and Ubuntu: apt install haproxy): it is not compared.")
        return {}
    cores = sorted(os.sched_getaffinity(0))
    with _haproxy(directory) as haproxy:
        costs: dict[tuple[str, int], list[float]] = {}
        others = [int(each) for each in os.listdir("/proc") if each.isdigit() and _is_server(int(each))]
        for pid in (os.getpid(), *others):
            os.sched_setaffinity(pid, cores[:1])
        for pid in (api.running.pid, haproxy):
            os.sched_setaffinity(pid, cores[-1:])
        try:
            turns = [(mode, pid) for mode in HAPROXY_PORTS for pid in (api.running.pid, haproxy)]
            for _ in range(BESIDE_ROUNDS):
                for mode, pid in random.sample(turns, len(turns)):
                    url = places[mode] if pid != haproxy else f"http://127.0.0.1:{HAPROXY_PORTS[mode]}"
                    before = _cpu_seconds(pid)
                    outcome = closed_loop([url], request("/"), CLIENTS, ROUND_SECONDS / 2)
                    costs.setdefault((mode, pid), []).append((_cpu_seconds(pid) - before) / outcome.good)
        finally:
            for pid in (os.getpid(), api.running.pid):
                os.sched_setaffinity(pid, cores)
    found: Figures = {}
    for mode in HAPROXY_PORTS:
        ours, theirs = median(costs[mode, api.running.pid]), median(costs[mode, haproxy])
        found[f"balanced_{mode}_cpu_us"] = (ours * 1e6, f"µs of CPU per request (HAProxy: {theirs * 1e6:.1f})")
        found[f"balanced_{mode}_vs_haproxy"] = (theirs / ours, "HAProxy's CPU time per request against that")
    return found


def _is_server(pid: int) -> bool:
    try:
        return b"/tmp/serve.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _killed(api: Api, url: str, victim: str) -> Outcome:
    """Requests of 20 ms each while a member is deleted."""

    def kill() -> None:
        end = monotonic() + KILL_AFTER_SECONDS
        while monotonic() < end:
            sleep(0.1)
        api("DELETE", f"/compute/v2.1/servers/{victim}")

    thread = Thread(target=kill)
    thread.start()
    try:
        return closed_loop([url], request("/slow"), CLIENTS, KILL_ROUND_SECONDS)
    finally:
        thread.join()
