"""A wanted layout, and the plan that leads there, which can be shown before it is carried out.

    plan = app.plan(Layout.scaled_out(api=2, worker=3))
    print(plan)          # create app-worker-3 …; replace …; remove …; keep …

A plan comes from one listing of the cloud's servers. Planning changes nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology.errors import TopologyError
from faafo_lab.topology.roles import ROLES, Part, Role

DIGEST_KEY = "faafo-lab-digest"  # the metadata key of a server's digest
FINE = ("ACTIVE", "BUILD")


class Layout:
    """How many servers of each role are wanted; None: the present ones, unchanged.

    The keywords are names of roles, with `_` for `-`; `others` is the number of all that are not named.
    """

    def __init__(self, others: int | None = 0, **counts: int | None) -> None:
        self._others, self._counts = others, {name.replace("_", "-"): count for name, count in counts.items()}
        if unknown := self._counts.keys() - ROLES.keys():
            raise TopologyError(f"There is no role {', '.join(sorted(unknown))}: the roles are {', '.join(ROLES)}.")
        if negative := [f"{count} of role {name}" for name, count in self._counts.items() if (count or 0) < 0]:
            raise TopologyError(f"There can be 0 servers or more, not {', '.join(negative)}.")

    @classmethod
    def scaled_out(cls, api: int, worker: int) -> "Layout":
        """A server for database and queue, `api` API servers, `worker` workers. Raises TopologyError."""
        if api < 1 or worker < 0:
            raise TopologyError(f"An application has at least 1 API server and 0 workers, not {api} and {worker}.")
        return cls(services=1, api=api, worker=worker)

    @classmethod
    def small(cls, worker: int) -> "Layout":
        """A controller (API, database and queue), and its workers. Raises TopologyError."""
        if worker < 0:
            raise TopologyError(f"An application has at least 0 workers, not {worker}.")
        return cls(controller=1, worker=worker)

    @classmethod
    def only(cls, **counts: int | None) -> "Layout":
        """These numbers of servers for these roles; all other roles stay unchanged."""
        return cls(others=None, **counts)

    def count(self, role: Role) -> int | None:
        """The wanted number of servers of this role; None: as many as there are."""
        return self._counts.get(role.name, self._others)

    @property
    def roles(self) -> list[str]:
        """The names of the roles that have servers in it."""
        return [role.name for role in ROLES.values() if self.count(role)]


@dataclass(frozen=True)
class Step:
    """One server of a plan: the present one (None: none), and why it can't stay."""

    role: Role
    name: str
    server: Server | None = None
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name


@dataclass(frozen=True)
class Plan:
    """The way to a layout: the servers to create, replace, remove and keep."""

    create: tuple[Step, ...] = ()
    replace: tuple[Step, ...] = ()
    remove: tuple[Step, ...] = ()
    keep: tuple[Step, ...] = ()

    @property
    def made(self) -> list[Step]:
        """The servers to create or replace, in the order of their roles."""
        order = list(ROLES.values())
        return sorted((*self.create, *self.replace), key=lambda step: order.index(step.role))

    @property
    def wanted(self) -> list[Step]:
        """The servers that exist after the plan was carried out."""
        return [*self.made, *self.keep]

    @property
    def changes(self) -> bool:
        """Whether the plan changes any server."""
        return bool(self.create or self.replace or self.remove)

    def without_removing(self) -> "Plan":
        """The same plan, but extra servers are kept."""
        return Plan(self.create, self.replace, (), (*self.keep, *self.remove))

    def difference(self, servers: Iterable[Server]) -> str:
        """How this listing differs from the plan's wanted servers, in words; "" if it does not."""
        wanted = Counter(step.name for step in self.wanted)
        there = Counter(server.name for server in servers if server.metadata.get(ROLE_KEY) in ROLES)
        words = [f"{', '.join(sorted(missing))} missing" for missing in [wanted - there] if missing]
        words += [f"{', '.join(sorted(extra.elements()))} extra" for extra in [there - wanted] if extra]
        return " and ".join(words)

    def __str__(self) -> str:
        lines = [
            f"{verb:8} {', '.join(map(str, sorted(steps, key=lambda step: numbered(step.name))))}"
            for verb, steps in (
                ("create", self.create),
                ("replace", self.replace),
                ("remove", self.remove),
                ("keep", self.keep),
            )
            if steps
        ]
        return "\n".join(lines) or "no servers exist, and none are wanted"

    __repr__ = __str__


def make(layout: Layout, servers: Sequence[Server], digest: Callable[[Role], str], stay: Collection[Part] = ()) -> Plan:
    """The plan from this listing to the layout. `digest` gives the present digest for a role's servers; the parts that
    `stay` keep their address when their server is built anew."""
    create: list[Step] = []
    renew: list[Step] = []
    remove: list[Step] = []
    keep: list[Step] = []
    anew: set[Part] = set()  # parts of the application without a server that stays
    for role in ROLES.values():
        there = [server for server in servers if server.metadata.get(ROLE_KEY) == role.name]
        moved = bool(anew.intersection(role.needs))
        count = layout.count(role)
        names = list(dict.fromkeys(server.name for server in there)) if count is None else role.server_names(count)
        right = None
        if count is not None and not moved and any(server.name in names for server in there):
            right = digest(role)
        for name in names:
            faults = [(_fault(server, moved, right), server) for server in there if server.name == name]
            faults.sort(key=lambda pair: pair[0])  # what is right comes first, then the oldest
            why, best = faults[0] if faults else ("", None)
            step = Step(role, name, best, why)
            (create if best is None else renew if why else keep).append(step)
            remove += [Step(role, name, server, "one of two with this name") for _, server in faults[1:]]
        remove += [Step(role, server.name, server) for server in there if server.name not in names]
        if names and not any(step.role is role for step in keep):
            anew.update(set(role.offers).difference(stay))
    return Plan(tuple(create), tuple(renew), tuple(remove), tuple(keep))


def _fault(server: Server, moved: bool, right: str | None) -> str:
    """Why this server can't stay, "" if it can; `right` is the required digest, None for any."""
    if moved:
        return "the server that it connects to is replaced"
    if right is None:
        return ""
    if server.status not in FINE:
        return server.status
    return "its image, flavor, groups or user data changed" if server.metadata.get(DIGEST_KEY) != right else ""


def numbered(name: str) -> tuple[str, int]:
    """`app-worker-10` as ("app-worker", 10): sorts after 9."""
    match = re.fullmatch(r"(.*?)-?([0-9]*)", name)
    assert match is not None
    return match[1], int(match[2] or 0)
