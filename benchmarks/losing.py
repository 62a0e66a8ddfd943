"""The requests that are lost when one of two servers is deleted under 20 requests/s, of 20 ms each, by the clock.

requests_lost_without_balancer   clients take turns between the two addresses
requests_lost_with_balancer      they ask a load balancer that checks the two each second
requests_lost_with_balancer_one_retry    the same, and each request that fails is sent once more
requests_lost_rolling            each server is drained, deleted, and replaced by a new one, one after the other
balancer_overhead_p50_ms         the median latency through the load balancer beside that of a server itself
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

from balancing import L, balancer, request, web
from http_load import Outcome, open_loop
from measure import Figures
from servers import until

from faafo_lab.cloud.emulator import control
from tests.emulator.conftest import Api

RATE, SECONDS, BEFORE_SECONDS = 20.0, 8.0, 2.0
ROLLING_SECONDS = 20.0
DRAIN_SECONDS = 1.0


class Site:
    """Two servers, and what is done to them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.more = web(api)
        self.servers = [api.boot(name, **self.more) for name in ("one", "two")]
        self.url = balancer(api, [self.address(id) for id in self.servers], protocol="HTTP")
        [made] = api.get(f"{L}/loadbalancers")["loadbalancers"]
        self.balancer = f"{L}/loadbalancers/{made['id']}"
        self.members = f"{L}/pools/{made['pools'][0]['id']}/members"

    def address(self, id: str) -> str:
        """A server's own."""
        return str(self.api.server(id)["addresses"]["private"][0]["addr"])

    def direct(self) -> list[str]:
        """The servers' own URLs."""
        return [f"http://{self.address(id)}:{80 + self.api.port_offset}" for id in self.servers]

    def change(self, method: str, path: str, body: Any = None) -> None:
        """Change the load balancer, and wait until it is so."""
        self.api(method, path, body).raise_for_status()
        until(
            "the load balancer", lambda: self.api.get(self.balancer)["loadbalancer"]["provisioning_status"] == "ACTIVE"
        )

    def delete(self) -> None:
        """Delete the first server, as anybody may."""
        self.api("DELETE", f"/compute/v2.1/servers/{self.servers.pop(0)}")

    def drop(self, address: str) -> None:
        """Take an address out of the pool."""
        [member] = [each["id"] for each in self.api.get(self.members)["members"] if each["address"] == address]
        self.change("PUT", f"{self.members}/{member}", {"member": {"weight": 0}})
        sleep(DRAIN_SECONDS)
        self.change("DELETE", f"{self.members}/{member}")

    def add(self) -> None:
        """Another server, and wait until the load balancer knows that it serves."""
        self.servers.append(self.api.boot("another", **self.more))
        self.change("POST", self.members, {"member": {"address": self.address(self.servers[-1]), "protocol_port": 80}})
        states = lambda: {each["operating_status"] for each in self.api.get(self.members)["members"]}  # noqa: E731
        until("all members", lambda: states() == {"ONLINE"})

    def replace(self) -> None:
        """A rolling replacement of both."""
        for _ in range(2):
            self.drop(self.address(self.servers[0]))
            self.delete()
            self.add()


def figures() -> Figures:
    """All of it, by name."""
    with tempfile.TemporaryDirectory(prefix="faafo-") as place:
        try:
            return _measured(Site(Api(control.start(Path(place)))))
        finally:
            control.stop(Path(place))


def _measured(site: Site) -> Figures:
    through = open_loop([site.url], request("/slow"), RATE, SECONDS)
    direct = open_loop(site.direct(), request("/slow"), RATE, SECONDS)
    rolling = _meanwhile([site.url], site.replace, seconds=ROLLING_SECONDS)
    lost = {}
    for name, tries in (("with_balancer", 1), ("with_balancer_one_retry", 2), ("without_balancer", 1)):
        victim = site.address(site.servers[0])
        places = site.direct() if name == "without_balancer" else [site.url]
        lost[name] = _lost(_meanwhile(places, site.delete, tries))
        site.drop(victim)
        site.add()
    overhead = through.percentile(50) - direct.percentile(50)
    words = f"of {RATE * SECONDS:.0f} requests"
    return {
        **{f"requests_lost_{name}": (number, words) for name, number in lost.items()},
        "requests_lost_rolling": (_lost(rolling), f"of {len(rolling.latencies)} requests"),
        "balancer_overhead_p50_ms": (overhead * 1000, f"ms beside {direct.percentile(50) * 1000:.1f} ms"),
    }


def _lost(outcome: Outcome) -> int:
    return len(outcome.latencies) - outcome.good


def _meanwhile(places: list[str], change: Callable[[], None], tries: int = 1, seconds: float = SECONDS) -> Outcome:
    """Requests while something is changed, which must be over before they are."""
    ended: list[float] = []

    def run() -> None:
        sleep(BEFORE_SECONDS)
        change()
        ended.append(monotonic())

    thread = Thread(target=run)
    thread.start()
    try:
        outcome = open_loop(places, request("/slow"), RATE, seconds, tries)
        over = monotonic()
    finally:
        thread.join()
    if not ended or ended[0] > over:
        raise RuntimeError("the change was not over before the requests were")
    return outcome
