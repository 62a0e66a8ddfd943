"""The receipt: what was used on a cloud, and what of the lab's is left there. `cloud.receipt()` makes one.

A `Ledger` belongs to a `Cloud`. Each verb's result is noted in it: servers as they come, are seen and go, and what else
is created and deleted. What is left is asked of the cloud itself, so it is right whoever made it or deleted it.
"""

from __future__ import annotations

import html
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from faafo_lab.cloud.marks import BACKUPS_CONTAINER, DESCRIPTION, IMAGES_CONTAINER, KEY_PAIR_NAME, NAME_PREFIX, ROLE_KEY
from faafo_lab.cloud.model import Flavor, FloatingIP, KeyPair, SecurityGroup, Server, Snapshot, Volume
from faafo_lab.tables import scrolling

MOST_NAMES_SHOWN = 8
CREATED = {
    "create_server": "servers",
    "create_floating_ip": "floating IPs",
    "create_security_group": "security groups",
    "create_key_pair": "key pairs",
    "create_container": "containers",
    "create_volume": "volumes",
    "create_snapshot": "snapshots",
    "create_load_balancer": "load balancers",
    "create_application_credential": "application credentials",
}
DELETED = {verb.replace("create", "delete"): kind for verb, kind in CREATED.items()}
KINDS = tuple(CREATED.values())


@dataclass(frozen=True)
class Life:
    """A server, from its creation to its end."""

    name: str
    flavor_id: str | None
    created: datetime
    ended: datetime | None = None

    def minutes(self, now: datetime) -> float:
        """How long it has been there."""
        return max(0.0, ((self.ended or now) - self.created) / timedelta(minutes=1))


class Ledger:
    """What one cloud object created, deleted and saw. Threads may share it."""

    def __init__(self) -> None:
        self.since = datetime.now(UTC)
        self.created: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}  # kind → id → name
        self.deleted: Counter[str] = Counter()
        self.earlier: Counter[str] = Counter()  # of those deleted: what this object had not created
        self.lives: dict[str, Life] = {}  # the servers of the lab, and those created here, by id
        self._lock = threading.Lock()

    def note(self, verb: str, subject: Any, result: Any) -> None:
        """Note that a verb succeeded: its first argument and its result."""
        with self._lock:
            if verb == "servers":
                self._see(result)
            elif verb in CREATED:
                id, name = _id_and_name(result or subject)
                self.created[CREATED[verb]][id] = name
                if verb == "create_server":
                    self._see_one(result)
            elif verb in DELETED:
                kind = DELETED[verb]
                self.deleted[kind] += 1
                self.earlier[kind] += not {*_id_and_name(subject)} & {*self.created[kind], *self.created[kind].values()}
                if verb == "delete_server":
                    self._end(subject)

    def _see(self, servers: Iterable[Server]) -> None:
        there = {server.id: server for server in servers}
        for server in there.values():
            if server.id in self.lives or ROLE_KEY in server.metadata:
                self._see_one(server)
        for id, life in self.lives.items():
            if id not in there and life.ended is None:
                self.lives[id] = replace(life, ended=datetime.now(UTC))  # by someone else

    def _see_one(self, server: Server) -> None:
        before = self.lives.get(server.id)
        created = server.created or (before.created if before else datetime.now(UTC))
        flavor = server.flavor_id or (before.flavor_id if before else None)
        self.lives[server.id] = Life(server.name, flavor, created, before.ended if before else None)

    def _end(self, server: Server | str) -> None:
        named = server if isinstance(server, str) else server.id
        for id, life in self.lives.items():
            if named == id or (named == life.name and life.ended is None):
                self.lives[id] = replace(life, ended=datetime.now(UTC))


@dataclass(frozen=True)
class Receipt:
    """What was used, and what is left. Shows itself in a notebook and as text."""

    cloud: str
    backend: str
    since: datetime
    until: datetime
    created: Mapping[str, int]  # by kind ("servers", "floating IPs", …), by this cloud object
    deleted: Mapping[str, int]
    server_minutes: Mapping[str, float]  # by flavor name: the lab's servers, and those created here, added up
    servers: Mapping[str, int]  # by flavor name: how many servers' minutes those are
    earlier: Mapping[str, int]  # of those deleted: what was there before this cloud object
    saved_minutes: float  # what the servers that were deleted would have run on until now
    price_per_server_hour: float | None  # invented
    left: Mapping[str, tuple[str, ...]]  # names by kind: the lab's, and those created here, that are still there

    @property
    def nothing_left(self) -> bool:
        """Whether the cloud is as if the lab had never been there."""
        return not any(self.left.values())

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The receipt's lines but the last."""
        used = [
            (
                kind,
                f"{self.created[kind]} created, {self.deleted[kind]} deleted"
                + (f" ({self.earlier[kind]} of them from before)" if self.earlier[kind] else ""),
            )
            for kind in KINDS
            if self.created[kind] or self.deleted[kind] or kind == "servers"
        ]
        minutes = ", ".join(
            f"{minutes:.1f} of {name} ({_each(self.servers[name], minutes)})"
            for name, minutes in self.server_minutes.items()
        )
        return [used[0], ("server-minutes", minutes or "none"), *self._prices, *used[1:]]

    @property
    def _prices(self) -> list[tuple[str, str]]:
        price = self.price_per_server_hour
        if price is None:
            return []
        cost, saved = (minutes / 60 * price for minutes in (sum(self.server_minutes.values()), self.saved_minutes))
        return [
            ("cost", f"{cost:.4f}, at {price:g} per server-hour (an invented price)"),
            ("saved", f"{saved:.4f}, as servers that were deleted did not run on until now"),
        ]

    @property
    def title(self) -> str:
        """Which cloud, and since when."""
        minutes = (self.until - self.since) / timedelta(minutes=1)
        return f"Receipt of cloud {self.cloud!r}, connected through {self.backend} {minutes:.1f} minutes ago"

    @property
    def ending(self) -> str:
        """What is left, in one line."""
        if self.nothing_left:
            return "Nothing is left: no lab resources remain."
        things = "; ".join(f"{len(names)} {_kind(kind, names)} ({_some(names)})" for kind, names in self.left.items())
        return f"Left on the cloud: {things}. `faafo-lab clean-up` removes the application; delete the rest by name."

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self.rows)
        lines = [f"  {name:<{width}}  {value}" for name, value in self.rows]
        return "\n".join([self.title, *lines, self.ending])

    def _repr_html_(self) -> str:
        left = 'style="text-align: left"'
        rows = "".join(
            f"<tr><th {left}>{name}</th><td {left}>{html.escape(value)}</td></tr>" for name, value in self.rows
        )
        ending = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.ending))
        sign = "✓" if self.nothing_left else "⚠"
        return f"<p>{html.escape(self.title)}</p>{scrolling(rows)}<p><b>{sign} {ending}</b></p>"


def make(
    cloud_name: str,
    backend: str,
    ledger: Ledger,
    servers: Sequence[Server],
    floating_ips: Sequence[FloatingIP],
    security_groups: Sequence[SecurityGroup],
    key_pairs: Sequence[KeyPair],
    flavors: Sequence[Flavor],
    containers: Sequence[str] = (),
    credentials: Mapping[str, str] = MappingProxyType({}),
    price_per_server_hour: float | None = None,
    load_balancers: Sequence[str] = (),
    volumes: Sequence[Volume] = (),
    snapshots: Sequence[Snapshot] = (),
) -> Receipt:
    """What the cloud says that there is, beside what the ledger knows."""
    ours = {kind: set(ids) for kind, ids in ledger.created.items()}
    described: dict[str, Sequence[Any]] = {
        "floating IPs": floating_ips,
        "security groups": security_groups,
        "volumes": volumes,
        "snapshots": snapshots,
    }
    left = {
        "servers": [s.name for s in servers if ROLE_KEY in s.metadata or s.id in ours["servers"]],
        **{
            kind: [
                getattr(each, "address", None) or getattr(each, "name", None) or each.id
                for each in things
                if each.description.startswith(DESCRIPTION) or each.id in ours[kind]
            ]
            for kind, things in described.items()
        },
        "key pairs": [key.name for key in key_pairs if key.name == KEY_PAIR_NAME or key.name in ours["key pairs"]],
        "load balancers": list(load_balancers),
        "containers": [
            name
            for name in containers
            if name.startswith(NAME_PREFIX)
            or name in (IMAGES_CONTAINER, BACKUPS_CONTAINER)
            or name in ours["containers"]
        ],
        "application credentials": [
            name
            for id, name in credentials.items()
            if name.startswith(NAME_PREFIX) or id in ours["application credentials"]
        ],
    }
    now = datetime.now(UTC)
    there = {server.id for server in servers}
    names = {flavor.id: flavor.name for flavor in flavors}
    minutes: dict[str, float] = {}
    counted: Counter[str] = Counter()
    saved = 0.0
    for id, life in list(ledger.lives.items()):
        whole = replace(life, ended=None) if id in there else life  # asked to go, and still there
        saved += (now - whole.ended) / timedelta(minutes=1) if whole.ended else 0.0
        flavor = names.get(life.flavor_id or "", life.flavor_id or "a flavor that is not known")
        minutes[flavor] = minutes.get(flavor, 0.0) + whole.minutes(now)
        counted[flavor] += 1
    return Receipt(
        cloud=cloud_name,
        backend=backend,
        since=ledger.since,
        until=now,
        created={kind: len(ledger.created[kind]) for kind in KINDS},
        deleted={kind: ledger.deleted[kind] for kind in KINDS},
        earlier={kind: ledger.earlier[kind] for kind in KINDS},
        saved_minutes=saved,
        price_per_server_hour=price_per_server_hour,
        server_minutes=dict(sorted(minutes.items())),
        servers=counted,
        left={kind: tuple(names) for kind, names in left.items() if names},
    )


def _id_and_name(thing: Any) -> tuple[str, str]:
    """Key pairs have a name only, floating IPs have an address for it, containers are names."""
    if isinstance(thing, str):
        return thing, thing
    name = str(getattr(thing, "name", None) or getattr(thing, "address", ""))
    return str(getattr(thing, "id", name)), name


def _each(servers: int, minutes: float) -> str:
    """Whose minutes these are. They may be more than passed since the connection: servers run side by side."""
    if servers == 1:
        return "1 server, from its creation on"
    return f"{servers} servers, each from its creation on, {minutes / servers:.1f} minutes on average"


def _kind(kind: str, names: tuple[str, ...]) -> str:
    """The kind in the singular where there is one: "address" of "addresses"."""
    return kind.removesuffix("es" if kind.endswith("sses") else "s") if len(names) == 1 else kind


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_NAMES_SHOWN
    return ", ".join(names[:MOST_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
