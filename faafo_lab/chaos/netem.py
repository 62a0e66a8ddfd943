"""Network faults on a real server: latency, loss and bandwidth of what it sends, by Linux's traffic control.

The server's network device is given a `prio` queue whose first band is for all, and one band more for each link that
something is wrong with, with `netem` behind it; SSH stays in the first. Faults on one link become one `netem`. `tc`
is told of all of a server's faults each time, so that their order does not matter. See tc(8), tc-netem(8), tc-u32(8).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faafo_lab.chaos.errors import ChaosError, NotPossible
from faafo_lab.cloud import ssh
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import NotFound
from faafo_lab.cloud.model import Server

KINDS = ("latency", "loss", "bandwidth")
LINKS_MAX = 15  # a prio queue has 16 bands at most
COMMAND_SECONDS = 60.0
NO_NETEM = "kind is unknown"  # tc's words where the kernel has no such queue
CLEAR = """\
for device in $(tc qdisc show 2>/dev/null | sed -n 's/^qdisc prio 1: dev \\([^ ]*\\) root.*/\\1/p'); do
    sudo tc qdisc del dev $device root
done
"""


@dataclass(frozen=True)
class Shape:
    """One fault of what a server sends to `address` (None: to anybody) from its port `port` (None: from any).

    `values`, by `kind`: latency {"latency", "jitter"} in milliseconds, loss {"percent"}, bandwidth {"rate"} in kB/s.
    """

    address: str | None
    port: int | None
    kind: str
    values: Mapping[str, Any] = field(hash=False)


_shapes: dict[tuple[str, str], list[Shape]] = {}  # what this program has done, by cloud and server id
_lock = threading.Lock()


def script(shapes: Sequence[Shape]) -> str:
    """The shell commands by which a server has exactly these faults."""
    links: dict[tuple[str | None, int | None], list[Shape]] = {}
    for shape in shapes:
        links.setdefault((shape.address, shape.port), []).append(shape)
    if len(links) > LINKS_MAX:
        raise ChaosError(f"A server can have faults on {LINKS_MAX} links at once: undo one first.")
    if not links:
        return CLEAR
    # The narrowest first: the first filter that fits is followed.
    order = sorted(links.items(), key=lambda link: (link[0][0] is None) + (link[0][1] is None))
    known = next((address for address, _ in links if address), None)
    route = f"get {known}" if known else "show default"
    lines = [
        f"device=$(ip -o -4 route {route} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n 1)",
        "sudo modprobe -q sch_netem || true",
        CLEAR.rstrip(),
        f"sudo tc qdisc add dev $device root handle 1: prio bands {len(links) + 1} priomap{' 0' * 16}",
        _filter(1, "match ip sport 22 0xffff", 1),
    ]
    for number, ((address, port), faults) in enumerate(order, 2):
        match = f"match ip dst {address or '0.0.0.0/0'}" + (f" match ip sport {port} 0xffff" if port else "")
        lines += [
            f"sudo tc qdisc add dev $device parent 1:{number} handle {number}0: netem {netem(faults)}",
            _filter(number, match, number),
        ]
    return "set -e\n" + "\n".join(lines) + "\n"


def netem(shapes: Iterable[Shape]) -> str:
    """One link's faults in netem's words: latencies add up, what remains after every loss counts, the narrowest
    bandwidth rules."""
    delay = jitter = 0
    passes, rates = 1.0, []
    for shape in shapes:
        delay += shape.values.get("latency", 0)
        jitter += shape.values.get("jitter", 0)
        passes *= 1 - min(shape.values.get("percent", 0), 100) / 100
        rates += [shape.values["rate"]] if "rate" in shape.values else []
    words = []
    if delay or jitter:
        words.append(f"delay {delay}ms" + (f" {jitter}ms" if jitter else ""))
    if passes < 1:
        words.append(f"loss {100 * (1 - passes):.4g}%")
    if rates:
        words.append(f"rate {max(1, round(8 * min(rates)))}kbit")
    return " ".join(words)


def add(cloud: Cloud, servers: Iterable[Server], shape: Shape) -> None:
    """One fault more on these servers. Raises NotPossible if their kernel has no netem, and what `Cloud.run` does."""
    for server in servers:
        with _lock:
            shapes = [*_shapes.get((cloud.name, server.id), []), shape]
            _tell(cloud, server, script(shapes))
            _shapes[cloud.name, server.id] = shapes


def remove(cloud: Cloud, servers: Iterable[Server], shape: Shape) -> None:
    """One fault less on those of these servers that still exist and have it."""
    for server in servers:
        with _lock:
            shapes = list(_shapes.get((cloud.name, server.id), []))
            if shape in shapes:
                shapes.remove(shape)
                try:
                    _tell(cloud, server, script(shapes))
                except NotFound:
                    shapes = []
                _shapes[cloud.name, server.id] = shapes


def clear(cloud: Cloud, servers: Sequence[Server]) -> None:
    """No fault of this kind on any of these servers, whoever injected it."""
    ssh.run_all(cloud, [(server, CLEAR) for server in servers], timeout_seconds=COMMAND_SECONDS)
    with _lock:
        for server in servers:
            _shapes.pop((cloud.name, server.id), None)


def _filter(priority: int, match: str, band: int) -> str:
    return f"sudo tc filter add dev $device parent 1: protocol ip prio {priority} u32 {match} flowid 1:{band}"


def _tell(cloud: Cloud, server: Server, commands: str) -> None:
    done = cloud.run(server, commands, timeout_seconds=COMMAND_SECONDS)
    if done.exit_code:
        cloud.run(server, CLEAR, timeout_seconds=COMMAND_SECONDS)
        words = done.stderr.strip() or f"exit code {done.exit_code}"
        if NO_NETEM in words or "not found" in words:
            raise NotPossible(
                f"{server.name} has no traffic control (tc with netem: {words.splitlines()[-1]}): on Ubuntu, install "
                f"iproute2 and linux-modules-extra-$(uname -r) there."
            )
        raise ChaosError(f"tc on {server.name} failed: {words}")
