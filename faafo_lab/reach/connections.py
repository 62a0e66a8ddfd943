"""Connections that are tried, from here and from the servers over SSH, and the table of what came of them."""

import html
import json
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CommandFailed
from faafo_lab.cloud.model import Server
from faafo_lab.cloud.waiting import Look
from faafo_lab.reach import probe
from faafo_lab.topology import DATABASE_PORT, HTTP_PORT, RABBITMQ_PORT, SSH_PORT, VALKEY_PORT, Topology

YOU = "you"
CONNECT_SECONDS = 3.0  # a security group of a real cloud does not refuse, it says nothing: no answer by then is none
COMMAND_SECONDS = 60.0
SERVICES = {
    SSH_PORT: "SSH",
    HTTP_PORT: "HTTP",
    DATABASE_PORT: "database",
    VALKEY_PORT: "queue",
    RABBITMQ_PORT: "queue",
}

State = Literal["open", "shut", "nothing"]
SIGNS: Mapping[State, str] = {"open": "✔", "shut": "✘", "nothing": "·"}
MEANINGS: Mapping[State, str] = {"open": "can connect", "shut": "something listens there, but no connection gets there"}
# Okabe and Ito's blue and vermilion, which people with any colour vision can tell apart; the sign says it again.
STYLES: Mapping[State, str] = {
    "open": "background:#0072B2;color:#fff",
    "shut": "background:transparent;color:inherit;box-shadow:inset 0 0 0 2px #D55E00",
}
_BADGE = (
    '<span title="{title}" style="display:inline-block;border-radius:4px;padding:1px 7px;margin:1px;{style}">'
    "{text}</span>"
)
_CELL = "text-align:left;padding:4px 10px"


@dataclass(frozen=True)
class Matrix:
    """Connections that were tried. `states` has one for each (source, target, port); the first source is "you"."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    states: Mapping[tuple[str, str, int], State]
    reasons: Mapping[tuple[str, str, int], str]  # why not, of those that are not open

    def __getitem__(self, key: tuple[str, str, int]) -> State:
        return self.states[key]

    def ports(self, target: str) -> list[int]:
        """Where something listens on this server."""
        return sorted({port for (_, to, port), state in self.states.items() if to == target and state != "nothing"})

    def rows(self) -> list[tuple[str, str, int, State, str]]:
        """(source, target, port, state, why not) of everything that listens."""
        return [
            (source, target, port, self.states[source, target, port], self.reasons.get((source, target, port), ""))
            for source in self.sources
            for target in self.targets
            for port in self.ports(target)
            if source != target
        ]

    def __repr__(self) -> str:
        from prettytable import PrettyTable

        table = PrettyTable(["from \\ to", *self.targets], align="l")
        for source in self.sources:
            table.add_row(
                [source, *("–" if source == target else self._words(source, target) for target in self.targets)]
            )
        return f"{table}\n" + ", ".join(f"{SIGNS[state]} {meaning}" for state, meaning in MEANINGS.items())

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="{_CELL}">{html.escape(name)}</th>' for name in ("from \\ to", *self.targets))
        body = ""
        for source in self.sources:
            cells = "".join(
                f'<td style="{_CELL}">{"–" if source == target else self._badges(source, target)}</td>'
                for target in self.targets
            )
            body += f'<tr><th style="{_CELL}">{html.escape(source)}</th>{cells}</tr>'
        legend = " ".join(
            f"{_BADGE.format(title='', style=STYLES[state], text=SIGNS[state])} {meaning}"
            for state, meaning in MEANINGS.items()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{legend}</p>"

    def _words(self, source: str, target: str) -> str:
        return "  ".join(self._text(source, target, port) for port in self.ports(target))

    def _text(self, source: str, target: str, port: int) -> str:
        return f"{SIGNS[self.states[source, target, port]]} {port} {SERVICES.get(port, '')}".rstrip()

    def _badges(self, source: str, target: str) -> str:
        return "".join(
            _BADGE.format(
                title=MEANINGS[self.states[source, target, port]],
                style=STYLES[self.states[source, target, port]],
                text=self._text(source, target, port),
            )
            for port in self.ports(target)
        )


def matrix(app: Topology, ports: Sequence[int] | None = None) -> Matrix:
    """Try every port (default: SSH, HTTP, database, queue) of every server, from every other one and from here.

    "open": the connection was made and kept. "shut": something listens, and the connection did not come about.
    "nothing": nothing listens there. Raises CloudErrors, when a server can't be reached by SSH above all.
    """
    cloud = app.cloud
    ports = ports or (SSH_PORT, HTTP_PORT, DATABASE_PORT, app.queue_port)
    servers = [server for server in app.refresh().servers.values() if server.status == "ACTIVE"]
    inside = {server.name: server.addresses[0] for server in servers}
    outside = {server.name: server.address or "" for server in servers}
    found: dict[str, dict[tuple[str, int], str]] = {}
    listens: dict[str, set[int]] = {}

    def ask_here() -> None:
        targets = [(name, port) for name in outside for port in ports]
        mine = probe.answers([(outside[name], cloud.published_port(port)) for name, port in targets], CONNECT_SECONDS)
        found[YOU] = {target: "" if kept else why for target, (_, _, kept, why) in zip(targets, mine, strict=True)}

    def ask(server: Server) -> None:
        targets = [(name, port) for name in inside if name != server.name for port in ports]
        answer = run_probe(cloud, server, [(inside[name], cloud.published_port(port)) for name, port in targets])
        listens[server.name] = set(answer.listening)
        found[server.name] = dict(zip(targets, answer.reasons, strict=True))

    with ThreadPoolExecutor(1 + len(servers)) as pool:
        jobs = [pool.submit(ask_here), *(pool.submit(ask, server) for server in servers)]

        def look() -> Look:
            return Look(sum(job.done() for job in jobs), len(jobs))

        cloud.wait_until(look, f"you and {len(servers)} servers to try their connections", COMMAND_SECONDS)
        for job in jobs:
            job.result()
    sources = (YOU, *inside)
    states: dict[tuple[str, str, int], State] = {}
    reasons: dict[tuple[str, str, int], str] = {}
    for source in sources:
        for (target, port), why in found[source].items():
            key = (source, target, port)
            states[key] = "nothing" if port not in listens[target] else "shut" if why else "open"
            if why:
                reasons[key] = why
    return Matrix(sources, tuple(inside), states, reasons)


@dataclass(frozen=True)
class ProbeAnswer:
    """What a server says: the ports at which it listens, and for each target why not ("" where it gets there)."""

    listening: tuple[int, ...]
    reasons: tuple[str, ...]


def run_probe(cloud: Cloud, server: Server, targets: Sequence[tuple[str, int]]) -> ProbeAnswer:
    """Try these (address, port) from a server, which needs a python3 and SSH. Raises CommandFailed."""
    words = " ".join(shlex.quote(f"{host}:{port}") for host, port in targets)
    source = Path(probe.__file__).read_text(encoding="utf-8")
    command = f"python3 - {CONNECT_SECONDS} {words} <<'END_OF_PROBE'\n{source}\nEND_OF_PROBE"
    result = cloud.run(server, command, timeout_seconds=COMMAND_SECONDS, check=True)
    try:
        answer = json.loads(result.stdout)
    except ValueError:
        raise CommandFailed(f"Server {server.name!r} gave no answer to the probe: {result.stdout[:200]!r}.") from None
    reasons = tuple("" if kept else why for _, _, kept, why in answer["answers"])
    return ProbeAnswer(tuple(answer["listening"]), reasons)
