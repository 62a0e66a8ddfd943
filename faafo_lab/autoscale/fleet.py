"""The workers as cloud and application tell of them, and what has to change: the autoscaler's *act*, as pure functions.

    there = fleet(servers, nodes, now=…, answering_seconds=…, boot_seconds=…)
    changes(wanted, there)       # request, resume, cancel, drain, delete

All of it follows from what is there now, and nothing from what was done before: so an autoscaler that starts again,
or one that takes over, goes on with what it finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from faafo_lab.cloud.model import Server
from faafo_lab.topology import Node
from faafo_lab.topology.api import LOST

ENDED = ("ERROR", "SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED")  # does not come by itself
SILENT_SECONDS = 20.0  # after which a worker is replaced, while an API answers: two leases and a half


@dataclass(frozen=True)
class Fleet:
    """Each worker in one of these; `known`: whether the application told of them."""

    known: bool
    ready: tuple[Server, ...] = ()  # they take tasks; by number
    coming: tuple[Server, ...] = ()  # requested, and not arrived (or silent for a moment); the newest first
    leaving: tuple[Server, ...] = ()  # asked to drain, by whomever, with a task in work
    drained: tuple[Server, ...] = ()  # asked to drain, and done
    broken: tuple[tuple[Server, str], ...] = ()  # no longer any use, and why

    @property
    def requested(self) -> int:
        """How many workers there are or will be, without a further request."""
        return len(self.ready) + len(self.coming)


@dataclass(frozen=True)
class Changes:
    """What leads from a fleet to a wanted number of workers."""

    request: int = 0
    resume: tuple[Server, ...] = ()  # end their drain
    cancel: tuple[Server, ...] = ()  # delete before they arrive
    drain: tuple[Server, ...] = ()  # delete later, once they have finished their task
    delete: tuple[tuple[Server, str], ...] = ()  # with the reason

    def __bool__(self) -> bool:
        return bool(self.request or self.resume or self.cancel or self.drain or self.delete)


def fleet(
    servers: Sequence[Server],
    nodes: Sequence[Node] | None,
    *,
    now: datetime,
    answering_seconds: float,
    boot_seconds: float,
) -> Fleet:
    """The workers among these servers, the oldest first, with the application's nodes (None: it does not answer).

    A worker is judged by its silence only where the application has answered for `answering_seconds`: after a failure
    of all APIs every worker looks silent. One that has not arrived after `boot_seconds` never will.
    """
    told = {node["name"]: node for node in nodes or () if node["role"] == "worker"}
    ready, coming, leaving, drained = list[Server](), list[Server](), list[Server](), list[Server]()
    broken: list[tuple[Server, str]] = []
    for server in servers:
        node = told.get(server.name)
        if server.status in ENDED:
            broken.append((server, server.status))
        elif node and server.created and datetime.fromisoformat(node["last_heard"]) < server.created:
            coming.append(server)  # what the application tells is of an earlier server of this name
        elif node is None:
            age = (now - server.created).total_seconds() if server.created else 0.0
            if nodes is not None and min(age, answering_seconds) > boot_seconds:
                broken.append((server, f"has not arrived within {boot_seconds:g} s"))
            else:
                coming.append(server)
        elif node["state"] == LOST and min(node["seconds_since_heard"], answering_seconds) > SILENT_SECONDS:
            broken.append((server, f"silent for {node['seconds_since_heard']:.0f} s"))
        elif node["drain"]:
            (drained if node["state"] in ("drained", LOST) else leaving).append(server)
        else:
            (coming if node["state"] == LOST else ready).append(server)
    coming.reverse()
    return Fleet(nodes is not None, tuple(ready), tuple(coming), tuple(leaving), tuple(drained), tuple(broken))


def changes(wanted: int, there: Fleet) -> Changes:
    """What leads to so many workers: first drains end, then workers are requested; what has not arrived is cancelled
    before any worker drains. Nothing is removed where the application does not tell of its workers."""
    more = max(0, wanted - there.requested)
    if not there.known:
        return Changes(request=more)
    resumed = (*there.leaving, *there.drained)[:more]
    surplus = max(0, there.requested - wanted)
    cancelled = there.coming[:surplus]
    return Changes(
        request=more - len(resumed),
        resume=resumed,
        cancel=cancelled,
        drain=there.ready[len(there.ready) - surplus + len(cancelled) :],
        delete=(
            *((server, "drained") for server in there.drained if server not in resumed),
            *there.broken,
        ),
    )
