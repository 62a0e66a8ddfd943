"""The kinds of server. A role is defined here and nowhere else.

User data, security groups, layouts, plans, picture, dashboard and checks read it: a new role is a new entry in
`ROLES`. Beyond that, a part of the application that other servers need has its URL in `Application._part_urls`, its
arguments for `faafo-install` are known to `app/install.sh`, and a column of its own is drawn by `living/still.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Literal

from faafo_lab.cloud.errors import NotFound

SSH_PORT, HTTP_PORT, DATABASE_PORT = 22, 80, 5432
VALKEY_PORT, RABBITMQ_PORT = 6379, 5672
QUEUE = 0  # in an `Opening`: the queue's port, VALKEY_PORT or RABBITMQ_PORT as the image has it

Part = Literal["endpoint", "queue", "database"]
Column = Literal["API", "Services", "Workers"]
PORTS: Mapping[Part, int] = {"endpoint": HTTP_PORT, "queue": QUEUE, "database": DATABASE_PORT}


@dataclass(frozen=True)
class Opening:
    """A TCP port that a security group opens: to anybody, or only to the members of the group `source`."""

    port: int
    source: str | None = None


@dataclass(frozen=True)
class Role:
    """A kind of server.

    `install`: the arguments of `faafo-install`. `needs`: the parts of the application whose addresses it is given,
    and `offers`: those that other servers reach on it. `nodes`: the roles under which the application lists it.
    """

    name: str
    group: str  # its security group, …
    description: str  # … its description, …
    openings: tuple[Opening, ...]  # … and the ports that it opens
    install: str
    needs: tuple[Part, ...] = ()
    offers: tuple[Part, ...] = ()
    nodes: tuple[Literal["api", "worker"], ...] = ()
    numbered: bool = False  # whether there may be several
    chooses_images: bool = False  # whether it has a setting for the place of pictures
    column: Column = "API"  # its column in the picture, …
    title: str = ""  # … and that column's title
    words: str = ""  # its activity, if the application does not list it

    @property
    def serves(self) -> bool:
        """Whether it serves people's requests: such a server has a floating IP."""
        return "api" in self.nodes

    @property
    def has_database(self) -> bool:
        """Whether the application's data is on it: another such server is another application."""
        return "-i database" in self.install

    @property
    def keeps_volume(self) -> bool:
        """Whether its database can be on a volume, which the next such server takes."""
        return "database" in self.offers

    def server_names(self, count: int) -> list[str]:
        """The names of `count` servers of this role."""
        return [f"app-{self.name}-{number + 1}" if self.numbered else f"app-{self.name}" for number in range(count)]


_SSH, _HTTP = Opening(SSH_PORT), Opening(HTTP_PORT)

# In the order in which servers are built: each after those that offer what it needs.
ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        Role(
            "all-in-one",
            group="all-in-one",
            description="for all of the application on one server",
            openings=(_HTTP, _SSH),
            install="-i database -i messaging -i faafo -r api -r worker -r demo",
            nodes=("api", "worker"),
            title="All in one",
        ),
        Role(
            "controller",
            group="control",
            description="for services that run on a control node",
            openings=(_HTTP, _SSH, Opening(QUEUE, "worker")),
            install="-i database -i messaging -i faafo -r api",
            offers=("endpoint", "queue"),
            nodes=("api",),
            title="Controller",
        ),
        Role(
            "services",
            group="services",
            description="for the database and the message queue only",
            openings=(_SSH, Opening(DATABASE_PORT, "api"), Opening(QUEUE, "worker"), Opening(QUEUE, "api")),
            install="-i database -i messaging",
            offers=("queue", "database"),
            column="Services",
            title="Services",
            words="database and queue",
        ),
        Role(
            "api",
            group="api",
            description="for API services only",
            openings=(_HTTP, _SSH),
            install="-i faafo -r api",
            needs=("queue", "database"),
            offers=("endpoint",),
            nodes=("api",),
            numbered=True,
            chooses_images=True,
            title="API",
        ),
        Role(
            "worker",
            group="worker",
            description="for services that run on a worker node",
            openings=(_SSH,),
            install="-i faafo -r worker",
            needs=("endpoint", "queue"),
            nodes=("worker",),
            numbered=True,
            column="Workers",
            title="Workers",
        ),
    )
}


def role_named(name: str) -> Role:
    """The role of this name. Raises NotFound."""
    if name not in ROLES:
        raise NotFound.among("role", name, ROLES)
    return ROLES[name]


@dataclass(frozen=True)
class Way:
    """A connection that the application needs: servers of the role `source` ("": people) to a port of `target`'s."""

    source: str
    target: str
    port: int  # or QUEUE


def ways(names: Iterable[str]) -> list[Way]:
    """The connections that an application needs whose servers have these roles."""
    roles = list(map(role_named, names))
    found = [Way("", role.name, HTTP_PORT) for role in roles if role.serves]
    for role in roles:
        offered = ((part, other) for part in role.needs for other in roles if part in other.offers)
        found += [Way(role.name, other.name, PORTS[part]) for part, other in offered]
    return found


def by_group(names: Iterable[str]) -> list[Role]:
    """These roles and those whose security groups their rules name, sorted so that a group comes before the groups
    whose rules name it."""
    chosen: dict[str, Role] = {}
    named: dict[str, list[str]] = {}  # lists: the order is always the same
    wanted = list(map(role_named, names))
    for role in wanted:  # which grows
        chosen[role.group] = role
        sources = dict.fromkeys(opening.source for opening in role.openings if opening.source)
        named[role.group] = [group for group in sources if group != role.group]
        wanted += [other for other in ROLES.values() if other.group in named[role.group] and other.group not in chosen]
    return [chosen[group] for group in TopologicalSorter(named).static_order()]
