"""Network faults, by the names of Toxiproxy's toxics, on a link: the connections from `source` to `target`.

Source and target are names of the application's servers, or "anywhere"; `port` restricts a fault to one of the target's
ports (80 is the API's, 5432 the database's). What comes back from the target on such a connection is delayed, narrowed
or cut, also on connections that are open already. SSH is spared: it is how a server is repaired.

In the embedded cloud its switch does it, told through that cloud's own admin API (`emulator/admin.py`). On any other
cloud the target's own network device does latency, loss and bandwidth, told by `tc` over SSH (`netem`); the others
raise NotPossible there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from faafo_lab.chaos import netem
from faafo_lab.chaos.errors import ChaosError, NotPossible
from faafo_lab.chaos.fault import Fault, inject
from faafo_lab.chaos.servers import server_of
from faafo_lab.cloud import direct
from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.model import Server
from faafo_lab.topology import Topology

ANYWHERE = "anywhere"
TIMEOUT_SECONDS = 10.0


def latency(
    app: Topology, source: str, target: str, *, milliseconds: int, jitter: int = 0, port: int | None = None
) -> Fault:
    """Delay each answer by `milliseconds`, give or take up to `jitter`."""
    words = f"{milliseconds} ms" + (f" ± {jitter} ms" if jitter else "")
    values = {"latency": milliseconds, "jitter": jitter}
    return _on_link(app, source, target, port, "latency", values, f"a latency of {words}")


def bandwidth(app: Topology, source: str, target: str, *, kilobytes_per_second: int, port: int | None = None) -> Fault:
    """Let through so much of the answers on each connection (in the embedded cloud) or on all together (by `tc`)."""
    values = {"rate": kilobytes_per_second}
    return _on_link(app, source, target, port, "bandwidth", values, f"a bandwidth of {kilobytes_per_second} kB/s")


def loss(app: Topology, source: str, target: str, *, percent: float, port: int | None = None) -> Fault:
    """Lose so many of the packets. Not in the embedded cloud: raises NotPossible."""
    return _on_link(app, source, target, port, "loss", {"percent": percent}, f"a loss of {percent:g} %")


def slow_close(app: Topology, source: str, target: str, *, milliseconds: int, port: int | None = None) -> Fault:
    """Tell the end of each connection so much later."""
    return _on_link(
        app, source, target, port, "slow_close", {"delay": milliseconds}, f"closes that take {milliseconds} ms"
    )


def timeout(app: Topology, source: str, target: str, *, milliseconds: int = 0, port: int | None = None) -> Fault:
    """Hold all answers; close each connection after `milliseconds`, or, with 0, let them pass when the fault ends."""
    after = f", and an end after {milliseconds} ms" if milliseconds else ""
    return _on_link(app, source, target, port, "timeout", {"timeout": milliseconds}, f"no answers at all{after}")


def reset_peer(app: Topology, source: str, target: str, *, milliseconds: int = 0, port: int | None = None) -> Fault:
    """Reset each connection after `milliseconds`."""
    return _on_link(
        app, source, target, port, "reset_peer", {"timeout": milliseconds}, f"resets after {milliseconds} ms"
    )


def limit_data(app: Topology, source: str, target: str, *, kilobytes: int, port: int | None = None) -> Fault:
    """End each connection after so much of its answers."""
    return _on_link(
        app, source, target, port, "limit_data", {"bytes": 1000 * kilobytes}, f"an end after {kilobytes} kB"
    )


def end_all(app: Topology) -> None:
    """End all network faults of the present servers, whoever injected them."""
    if app.cloud.config.admin_token:
        _ask(app.cloud.config, "DELETE")
    else:
        netem.clear(app.cloud, list(app.servers.values()))


def _on_link(
    app: Topology, source: str, target: str, port: int | None, kind: str, values: Mapping[str, Any], words: str
) -> Fault:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
            raise ChaosError(f"{kind}: {name} must be a number from 0, not {value!r}.")
    servers = app.refresh().servers
    origin = None if source == ANYWHERE else server_of(app, source)
    ends = [each for each in servers.values() if each != origin] if target == ANYWHERE else [server_of(app, target)]
    server = "" if target == ANYWHERE else target
    where = f"{words} from {source} to {target}" + (f", port {port}" if port else "")
    if app.cloud.config.admin_token:
        if kind == "loss":
            raise NotPossible(
                "The embedded cloud's links are streams, in which no packet can be lost: use latency, or timeout."
            )
        faults: list[str] = []
        return inject(
            app,
            where,
            partial(_break, app.cloud.config, kind, origin, ends, port, values, faults),
            partial(_end, app.cloud.config, faults),
            server,
        )
    if kind not in netem.KINDS:
        raise NotPossible(
            f"{kind} is possible in the embedded cloud, whose switch does it; on {app.cloud.name} there are "
            f"{', '.join(netem.KINDS)}."
        )
    shape = netem.Shape(origin.addresses[0] if origin else None, port, kind, dict(values))
    begin, end = (partial(verb, app.cloud, ends, shape) for verb in (netem.add, netem.remove))
    return inject(app, where, begin, end, server)


def _break(
    config: CloudConfig,
    kind: str,
    source: Server | None,
    targets: list[Server],
    port: int | None,
    values: Mapping[str, Any],
    faults: list[str],
) -> None:
    for target in targets:
        link = {"source": source.id if source else None, "target": target.id, "port": port}
        faults.append(_ask(config, "POST", body={"type": kind, **link, "attributes": dict(values)})["id"])


def _end(config: CloudConfig, faults: list[str]) -> None:
    while faults:
        _ask(config, "DELETE", f"/{faults[-1]}")
        faults.pop()


def _ask(config: CloudConfig, method: str, path: str = "", body: Any = None) -> Any:
    """The admin API's answer. Raises ChaosError with its own words; an end of what has ended is none."""
    assert config.admin_token is not None
    assert config.auth_url is not None
    url = config.auth_url.partition("/identity")[0] + "/admin/faults" + path
    try:
        auth = direct.bearer(config.admin_token.read_text(encoding="utf-8"))
        answer = direct.request(method, url, json=body, auth=auth, timeout=TIMEOUT_SECONDS)
    except OSError as error:  # requests' errors are, too
        raise ChaosError(f"The embedded cloud's admin API does not answer ({error}): does the cloud run?") from error
    if answer.ok:
        return answer.json() if answer.content else None
    if method == "DELETE" and answer.status_code == 404:
        return None
    try:
        words = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        words = answer.reason
    raise ChaosError(f"The embedded cloud's admin API refuses ({answer.status_code}): {words}")
