"""Connection attempts, from here and from the servers over SSH, and the table of their results."""

import html
import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faafo_lab.cloud import ssh
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CommandFailed
from faafo_lab.cloud.model import Server
from faafo_lab.reach import probe
from faafo_lab.tables import scrolling
from faafo_lab.topology import DATABASE_PORT, HTTP_PORT, RABBITMQ_PORT, SSH_PORT, VALKEY_PORT, Topology

YOU = "you"
CONNECT_SECONDS = (
    3.0  # a real cloud's security group drops packets instead of refusing: a silent port counts as closed after this
)
COMMAND_SECONDS = 60.0
SERVICES = {
    SSH_PORT: "SSH",
    HTTP_PORT: "HTTP",
    DATABASE_PORT: "database",
    VALKEY_PORT: "queue",
    RABBITMQ_PORT: "queue",
}

Key = tuple[str, str, int]  # source, target, port
State = Literal["open", "shut", "private", "nothing"]
SIGNS: Mapping[State, str] = {"open": "✔", "shut": "✘", "private": "○", "nothing": "·"}
MEANINGS: Mapping[State, str] = {
    "open": "can connect",
    "shut": "something listens there, but the connection fails",
    "private": "not reachable from here: the address is private",
}
# Okabe and Ito's blue and vermilion, distinct for any colour vision; the sign repeats the meaning.
STYLES: Mapping[State, str] = {
    "open": "background:#0072B2;color:#fff",
    "shut": "background:transparent;color:inherit;box-shadow:inset 0 0 0 2px #D55E00",
    "private": "background:transparent;color:inherit;box-shadow:inset 0 0 0 1px #767676",
}
_BADGE = (
    '<span title="{title}" style="display:inline-block;border-radius:4px;padding:1px 7px;margin:1px;{style}">'
    "{text}</span>"
)
_CELL = "text-align:left;padding:4px 10px"


@dataclass(frozen=True)
class Matrix:
    """The attempted connections. `states` has a state for each (source, target, port); the first source is "you"."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    states: Mapping[Key, State]
    reasons: Mapping[Key, str]  # the reason, for connections that are not open

    def __getitem__(self, key: Key) -> State:
        return self.states[key]

    def ports(self, target: str) -> list[int]:
        """The TCP ports on which something listens on this server."""
        return sorted({port for (_, to, port), state in self.states.items() if to == target and state != "nothing"})

    def rows(self) -> list[tuple[str, str, int, State, str]]:
        """(source, target, port, state, reason) for every port on which something listens."""
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
        return f"{table}\n" + ", ".join(f"{SIGNS[state]} {meaning}" for state, meaning in self._legend())

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
            for state, meaning in self._legend()
        )
        return f"{scrolling(body, f'<tr>{head}</tr>')}<p>{legend}</p>"

    def _legend(self) -> list[tuple[State, str]]:
        """The signs' meanings; that of a private address only if there is one."""
        return [each for each in MEANINGS.items() if each[0] != "private" or "private" in self.states.values()]

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

    "open": the connection was accepted and kept. "shut": something listens, and the connection failed.
    "private": the same from here, if none of the server's ports answers and it has no floating IP, so that its
    security groups remain unknown. "nothing": nothing listens there.
    Raises CloudErrors, above all if a server can't be reached by SSH.
    """
    cloud = app.cloud
    ports = ports or (SSH_PORT, HTTP_PORT, DATABASE_PORT, app.queue_port)
    servers = [server for server in app.refresh().servers.values() if server.status == "ACTIVE"]
    inside = {server.name: server.addresses[0] for server in servers}
    floating = {ip.server_id: ip.address for ip in cloud.floating_ips()}
    outside = {server.name: floating.get(server.id, inside[server.name]) for server in servers}

    def targets(source: str, addresses: Mapping[str, str]) -> dict[tuple[str, int], tuple[str, int]]:
        others = [(name, port) for name in addresses if name != source for port in ports]
        return {(name, port): (addresses[name], cloud.published_port(port)) for name, port in others}

    def ask_here() -> list[str]:
        mine = probe.answers(list(targets(YOU, outside).values()), CONNECT_SECONDS)
        return ["" if kept else why for _, _, kept, why in mine]

    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(ask_here)
        theirs = _probe_all(
            cloud,
            [(server, list(targets(server.name, inside).values())) for server in servers],
            "servers probed",
        )
    listens = {server.name: answer.listening for server, answer in zip(servers, theirs, strict=True)}
    said = {(YOU, *target): why for target, why in zip(targets(YOU, outside), mine.result(), strict=True)}
    for server, answer in zip(servers, theirs, strict=True):
        for target, why in zip(targets(server.name, inside), answer.reasons, strict=True):
            said[server.name, *target] = why
    states = judge(said, listens, {server.name for server in servers if server.id not in floating})
    return Matrix((YOU, *inside), tuple(inside), states, {key: why for key, why in said.items() if why})


def judge(
    said: Mapping[Key, str], listens: Mapping[str, Collection[int]], only_private: Collection[str]
) -> dict[Key, State]:
    """The states of these connections by their failures' reasons ("": the connection succeeded).

    `listens`: each server's ports at which something listens; `only_private`: the servers without a floating IP.
    """
    answers = {target for (source, target, _), why in said.items() if source == YOU and why not in probe.NOBODY}

    def state(source: str, target: str, port: int) -> State:
        if port not in listens[target]:
            return "nothing"
        if not said[source, target, port]:
            return "open"
        return "private" if source == YOU and target in only_private and target not in answers else "shut"

    return {key: state(*key) for key in said}


@dataclass(frozen=True)
class ProbeAnswer:
    """A server's report: the ports on which it listens, and for each target the failure ("": connected)."""

    listening: tuple[int, ...]
    reasons: tuple[str, ...]


def run_probe(cloud: Cloud, server: Server, targets: Sequence[tuple[str, int]]) -> ProbeAnswer:
    """Try these (address, port) pairs from a server, which needs python3 and SSH. Raises CommandFailed."""
    [answer] = _probe_all(cloud, [(server, targets)])
    return answer


def _probe_all(
    cloud: Cloud, servers: Sequence[tuple[Server, Sequence[tuple[str, int]]]], what: str = ""
) -> list[ProbeAnswer]:
    """Probe each server's targets from that server, all servers at the same time."""
    source = Path(probe.__file__).read_text(encoding="utf-8")
    commands = []
    for server, targets in servers:
        words = " ".join(shlex.quote(f"{host}:{port}") for host, port in targets)
        commands.append((server, f"python3 - {CONNECT_SECONDS} {words} <<'END_OF_PROBE'\n{source}\nEND_OF_PROBE"))
    results = ssh.run_all(cloud, commands, timeout_seconds=COMMAND_SECONDS, check=True, what=what)
    return [_answer(server, result.stdout) for (server, _), result in zip(servers, results, strict=True)]


def _answer(server: Server, output: str) -> ProbeAnswer:
    try:
        answer = json.loads(output)
    except ValueError:
        raise CommandFailed(f"Server {server.name!r} did not answer the probe: {output[:200]!r}.") from None
    reasons = tuple("" if kept else why for _, _, kept, why in answer["answers"])
    return ProbeAnswer(tuple(answer["listening"]), reasons)
