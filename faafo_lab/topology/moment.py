"""The application at one moment: the cloud's data on its servers, combined with its own reports.

moment = observe(app.servers.values(), app.api)
moment.machines              # servers: role, state, CPU use, what each works on
moment.waiting, moment.load  # counts of fractals; load averages by server
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from faafo_lab.balancer import Balancer
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology.api import LOST, Api, Node
from faafo_lab.topology.roles import ROLES, VALKEY_PORT


@dataclass(frozen=True)
class Machine:
    """One server: its `status` from the cloud; its `state` and the other fields from the application."""

    name: str
    role: str
    status: str
    address: str
    state: str = ""  # "serving", "working", "idle", "drained", "lost" …; "" where the application doesn't know it
    cpu_percent: float | None = None  # of what its flavor may use
    load_average: float | None = None  # over a minute
    working_on: tuple[str, ...] = ()  # uuids of fractals
    cores: float | None = None  # its share of them
    drain: bool = False  # whether it takes no new task

    @property
    def words(self) -> str:
        """The server's activity in a few words, such as "works on 1a2b3c4d"."""
        if self.status != "ACTIVE":
            return self.status
        if self.working_on:
            more = f" and {len(self.working_on) - 1} more" if len(self.working_on) > 1 else ""
            return f"works on {self.working_on[0][:8]}{more}"
        if not self.state and self.role in ROLES and ROLES[self.role].words:
            return ROLES[self.role].words
        return {"": "starting", LOST: "not heard of", "working": "takes a task"}.get(self.state, self.state)

    @property
    def is_well(self) -> bool:
        """Whether the server runs and fulfils its role, as far as is known."""
        listed = self.role in ROLES and bool(ROLES[self.role].nodes)
        return self.status == "ACTIVE" and self.state != LOST and (bool(self.state) or not listed)


@dataclass(frozen=True)
class Moment:
    """The whole application at one time (`at`, seconds since 1970). Counts are None until its first answer."""

    at: float
    machines: tuple[Machine, ...] = ()
    endpoints: Mapping[str, str] | None = None
    waiting: int | None = None
    working: int | None = None
    done: int | None = None
    failed: int | None = None
    rate: float | None = None  # fractals per second, lately
    rates: tuple[tuple[float, float | None], ...] = ()  # (seconds ago, rate) of the last minute, oldest first
    problem: str = ""
    queue_port: int = VALKEY_PORT
    oldest_waiting_seconds: float | None = None  # the age of the oldest fractal that no worker has; 0 where none waits

    front: Balancer | None = None  # the load balancer, with its members' health

    def of_role(self, *roles: str) -> list[Machine]:
        """The servers of these roles."""
        return [machine for machine in self.machines if machine.role in roles]

    @property
    def load(self) -> dict[str, float]:
        """Each server's load average over a minute, where it is known."""
        return {each.name: each.load_average for each in self.machines if each.load_average is not None}

    @property
    def cpu(self) -> dict[str, float]:
        """Each server's CPU use (%), where it is known."""
        return {each.name: each.cpu_percent for each in self.machines if each.cpu_percent is not None}

    def __str__(self) -> str:
        if not self.machines:
            return self.problem or "No server of the application is here."
        counts = []
        for node, noun in (("api", "API server"), ("worker", "worker")):
            number = len(self.of_role(*(role.name for role in ROLES.values() if node in role.nodes)))
            counts.append(f"{number} {noun}{'s' * (number != 1)}")
        text = ", ".join(counts)
        if self.done is not None:
            text += f"; fractals: {self.waiting} waiting, {self.working} in work, {self.done} done"
        if self.rate is not None:
            text += f"; {self.rate:.1f} fractals/s"
        if self.front is not None:
            health = ", ".join(f"{member.name} {member.status}" for member in self.front.members)
            text += f"; load balancer {self.front.name}: {health or 'no members'}"
        return f"{text}. {self.problem}".strip()


def machines(servers: Iterable[Server], nodes: Iterable[Node] = ()) -> tuple[Machine, ...]:
    """These servers, each with the application's report on it."""
    known = {(node["name"], node["role"]): node for node in nodes}
    return tuple(_machine(server, known) for server in servers)


def observe(servers: Iterable[Server], api: Api) -> Moment:
    """Query the application, and combine its answer with these servers. Raises NoAnswer."""
    stats, nodes = api.stats(), api.nodes()
    return Moment(
        time.time(),
        machines(servers, nodes),
        waiting=stats["waiting"],
        working=stats["working"],
        done=stats["done"],
        failed=stats["failed"],
        oldest_waiting_seconds=stats["oldest_waiting_seconds"],
    )


def _machine(server: Server, known: Mapping[tuple[str, str], Node]) -> Machine:
    role = server.metadata[ROLE_KEY]
    machine = Machine(server.name, role, server.status, server.address or "")
    for kind in ROLES[role].nodes if role in ROLES else ():  # with several tasks, the last one says more
        node = known.get((server.name, kind))
        if node is None:
            continue
        if node["state"] == LOST:
            machine = replace(machine, state=LOST)
            continue
        averages = node["load_average"]
        machine = replace(
            machine,
            state=node["state"],
            cpu_percent=node["cpu_percent"],
            load_average=averages[0] if averages else None,
            working_on=(*machine.working_on, *node["working_on"]),
            cores=node["cores"],
            drain=machine.drain or node["drain"],
        )
    return machine
