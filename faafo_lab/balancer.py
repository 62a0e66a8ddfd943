"""Load balancers (OpenStack's Octavia): one address in front of several servers, which a health monitor examines.

    from faafo_lab import balancer

    front = balancer.create(cloud, app.apis)              # a VIP, a listener, a pool with a member for each server
    front.members                                         # with what the health monitor found
    balancer.set_weight(cloud, front, "app-api-1", 2)     # twice its share
    balancer.remove_member(cloud, front, "app-api-2")     # after a drain
    balancer.delete(cloud, front)

This is one small module above the `Cloud` interface, and no verbs in it: neither shade nor libcloud has Octavia's API,
so three backends would have the same code, that of openstacksdk. It is written once, here, with openstacksdk's
`load_balancer` client on the cloud's own entry (`cloud/sdk.py`), and works beside every backend.

A load balancer takes one change at a time: while one is under way (PENDING_UPDATE), it refuses others (409). Each
function here waits for its turn and until its change is ACTIVE, with a progress line; the limit is the cloud's own.
Every function takes a `Balancer`, or its name or id; those that change it return it as it is then. All of them raise
NoBalancer where the cloud has no load balancers for this user, and NotFound if there is no such balancer or member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from faafo_lab.cloud import marks, notes, sdk
from faafo_lab.cloud.arguments import checked
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import (
    AlreadyExists,
    BadRequest,
    CloudError,
    CloudFailed,
    Forbidden,
    InUse,
    NoService,
    NotFound,
    TimedOut,
)
from faafo_lab.cloud.lookup import pick, pick_network
from faafo_lab.cloud.model import FloatingIP, Server
from faafo_lab.cloud.waiting import Look

if TYPE_CHECKING:
    from openstack.connection import Connection

NAME = "app-balancer"
DESCRIPTION = f"{marks.DESCRIPTION}in front of the application"
HTTP_PORT = 80
ALGORITHMS = ("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP")
WEIGHT_MAX = 256
TRIES_MAX = 10  # the most failures, or successes, that a health monitor may wait for
DRAIN_SECONDS = 30.0

Change = Callable[[Any], object]  # a call on openstacksdk's load balancer client


class NoBalancer(CloudError):
    """The cloud has no load balancers, or none for this user."""


@dataclass(frozen=True)
class Member:
    """A server behind a balancer."""

    id: str
    name: str  # the server's
    address: str  # the server's private address
    port: int
    weight: int  # its share of the requests, beside the others' weights; 0: none, it is drained
    status: str  # what the health monitor found: ONLINE, ERROR, OFFLINE (not examined yet), DRAINING, NO_MONITOR


@dataclass(frozen=True)
class Monitor:
    """How members are examined: GET `path` every `delay_seconds`, with 200 within `timeout_seconds` as the answer."""

    path: str = "/health"
    delay_seconds: int = 3
    timeout_seconds: int = 2
    failures: int = 2  # so many in a row take a member out, …
    successes: int = 1  # … and so many bring it back


@dataclass(frozen=True)
class Balancer:
    """A load balancer with one listener and one pool."""

    id: str
    name: str
    address: str  # the VIP, on the servers' network
    floating_address: str | None  # leads to the VIP from outside
    algorithm: str  # one of ALGORITHMS
    members: tuple[Member, ...]  # by name
    monitor: Monitor | None
    status: str  # ACTIVE, PENDING_CREATE, PENDING_UPDATE, PENDING_DELETE or ERROR
    port: int = HTTP_PORT
    vip_port_id: str = field(default="", repr=False)
    pool_id: str = field(default="", repr=False)
    monitor_id: str = field(default="", repr=False)

    def member(self, name_or_id: str) -> Member:
        """The member of this name or id. Raises NotFound."""
        return pick("member", self.members, name_or_id)


@dataclass(frozen=True)
class Statistics:
    """What has passed through a balancer since it was made, and what is open now."""

    active_connections: int
    total_connections: int
    request_errors: int  # requests that the client broke off, or that were malformed
    bytes_in: int
    bytes_out: int


# ---- looking ----


@checked
def available(cloud: Cloud) -> bool:
    """Whether this cloud has load balancers, and lets this user list them."""
    try:
        find(cloud)
    except NoBalancer:
        return False
    return True


@checked
def find(cloud: Cloud, name: str = NAME) -> Balancer | None:
    """The balancer of this name or id, that the lab made; None if there is none. Raises Ambiguous."""
    with suppress(NotFound):
        return _there(cloud, name)
    return None


@checked
def statistics(cloud: Cloud, balancer: Balancer | str) -> Statistics:
    """What has passed through the balancer, and what is open now. A real cloud's numbers are up to 10 s old."""
    id = _there(cloud, balancer).id
    with _asking(cloud, "read a load balancer's statistics") as connection:
        row = connection.load_balancer.get_load_balancer_statistics(id)
        return Statistics(*(int(getattr(row, each.name) or 0) for each in fields(Statistics)))


# ---- creating and deleting ----


@checked
def create(
    cloud: Cloud,
    servers: Iterable[Server | str] = (),
    *,
    name: str = NAME,
    port: int = HTTP_PORT,
    algorithm: str = "ROUND_ROBIN",
    monitor: Monitor = Monitor(),
    wait: bool = True,
) -> Balancer:
    """Create a load balancer for HTTP at `port`, with these servers as members at the same port.

    Its VIP is on the network of the project's servers (clouds.yaml names it if there are several). Without `wait` it
    returns at once (status PENDING_CREATE), and there may be no servers yet. `publish` gives it a floating IP.
    Raises AlreadyExists if there is one of this name, QuotaExceeded, …
    """
    behind = [cloud.server(server) if isinstance(server, str) else server for server in servers]
    _check_algorithm(algorithm)
    _check_monitor(monitor)
    if behind and not wait:
        raise BadRequest("create: a balancer takes members once it is ACTIVE: give servers, or wait=False, not both.")
    if find(cloud, name):
        raise AlreadyExists(f"There is a load balancer {name!r} already: use it, or delete it first.")
    network = pick_network(cloud.config, cloud.networks(), external=False)
    examined = {"type": "HTTP", "http_method": "GET", "expected_codes": "200", **_body(monitor)}
    pool = {"name": name, "protocol": "HTTP", "lb_algorithm": algorithm, "healthmonitor": examined}
    listener = {"name": name, "protocol": "HTTP", "protocol_port": port, "default_pool": pool}
    with _asking(cloud, "create_load_balancer") as connection:
        row = connection.load_balancer.create_load_balancer(
            name=name, description=DESCRIPTION, vip_network_id=network.id, listeners=[listener]
        )
    cloud._ledger.note("create_load_balancer", name, row)
    notes.note(cloud.name, f"load balancer {name} was requested")
    made = _wait(cloud, row.id) if wait else _there(cloud, row.id)
    for server in behind:
        made = add_member(cloud, made, server)
    return made


@checked
def publish(cloud: Cloud, balancer: Balancer | str, ip: FloatingIP | str | None = None) -> Balancer:
    """Lead a floating IP to the balancer's VIP, unless one does: this one, or else a free or new one of the project."""
    there = _there(cloud, balancer)
    if there.floating_address:
        return there
    ip = cloud.free_floating_ip() if ip is None else cloud.floating_ip(ip) if isinstance(ip, str) else ip
    with _asking(cloud, "attach_floating_ip") as connection:
        connection.network.update_ip(ip.id, port_id=there.vip_port_id)
    return replace(there, floating_address=ip.address)


@checked
def delete(cloud: Cloud, balancer: Balancer | str) -> None:
    """Delete a balancer with its listener, pool and members, and wait until it is gone. Its floating IP stays the
    project's; requests that are in flight fail."""
    there = _there(cloud, balancer)

    def look() -> Look:
        try:
            status = _there(cloud, there.id).status
        except NotFound:
            return Look(1)
        if status in ("ACTIVE", "ERROR"):
            with suppress(InUse), _asking(cloud, "delete_load_balancer") as connection:
                connection.load_balancer.delete_load_balancer(there.id, cascade=True)
        return Look(0, 1, f"{there.name} {status}")

    cloud.wait_until(look, "load balancers deleted")
    cloud._ledger.note("delete_load_balancer", there, None)
    notes.note(cloud.name, f"load balancer {there.name} was deleted")


# ---- members ----


@checked
def add_member(cloud: Cloud, balancer: Balancer | str, server: Server | str, weight: int = 1) -> Balancer:
    """Put a server behind the balancer. It gets requests at once, so let it serve first.

    Raises AlreadyExists if it is a member, InUse if the server has no address yet.
    """
    _check_weight("add_member", weight)
    server = cloud.server(server) if isinstance(server, str) else server
    there = _there(cloud, balancer)
    if not server.addresses:
        raise InUse(f"Server {server.name!r} has no address yet: wait until it is ACTIVE (`cloud.wait_for`).")
    with _asking(cloud, "find_subnet") as connection:
        homes = [home for port in connection.network.ports(device_id=server.id) for home in port.fixed_ips]
    subnet = next((home["subnet_id"] for home in homes if home["ip_address"] == server.addresses[0]), None)
    member = {"name": server.name, "address": server.addresses[0], "protocol_port": there.port, "weight": weight}
    member |= {"subnet_id": subnet} if subnet else {}
    after = _wait(cloud, there.id, lambda client: client.create_member(there.pool_id, **member))
    notes.note(cloud.name, f"{server.name} is behind the load balancer", server.name)
    return after


@checked
def set_weight(cloud: Cloud, balancer: Balancer | str, member: Member | str, weight: int) -> Balancer:
    """Set a member's share of the requests (0 to 256), beside the others' weights. With 0 it gets no new ones."""
    _check_weight("set_weight", weight)
    there, one = _member(cloud, balancer, member)
    after = _wait(cloud, there.id, lambda client: client.update_member(one.id, there.pool_id, weight=weight))
    notes.note(cloud.name, f"{one.name} has weight {weight} behind the load balancer", one.name)
    return after


@checked
def drain(
    cloud: Cloud,
    balancer: Balancer | str,
    member: Member | str,
    drain_seconds: float = DRAIN_SECONDS,
    is_idle: Callable[[], bool] | None = None,
) -> Balancer:
    """Give a member no new requests, and wait until those that it has are finished, at most `drain_seconds`.

    OpenStack does not count a member's requests. `is_idle` says when it has none, such as by its server's own metrics;
    without it the member is idle when the whole balancer has no open connection. A member in ERROR is not waited for.
    """
    if drain_seconds < 0:
        raise BadRequest(f"drain: drain_seconds must be 0 or more, not {drain_seconds:g}.")
    there, one = _member(cloud, balancer, member)
    if one.weight:
        there = set_weight(cloud, there, one, 0)
    idle = is_idle or (lambda: statistics(cloud, there).active_connections == 0)
    if one.status != "ERROR" and drain_seconds:
        with suppress(TimedOut):
            cloud.wait_until(lambda: Look(int(idle()), 1, one.name), "members drained", drain_seconds)
    return there


@checked
def remove_member(
    cloud: Cloud,
    balancer: Balancer | str,
    member: Member | str,
    drain_seconds: float = DRAIN_SECONDS,
    is_idle: Callable[[], bool] | None = None,
) -> Balancer:
    """Take a server out from behind the balancer, after a `drain`."""
    there, one = _member(cloud, balancer, member)
    there = drain(cloud, there, one, drain_seconds, is_idle)
    after = _wait(cloud, there.id, lambda client: client.delete_member(one.id, there.pool_id))
    notes.note(cloud.name, f"{one.name} is no longer behind the load balancer", one.name)
    return after


# ---- how it balances ----


@checked
def set_algorithm(cloud: Cloud, balancer: Balancer | str, algorithm: str) -> Balancer:
    """Choose how the next member is found: one of ALGORITHMS."""
    _check_algorithm(algorithm)
    there = _there(cloud, balancer)
    after = _wait(cloud, there.id, lambda client: client.update_pool(there.pool_id, lb_algorithm=algorithm))
    notes.note(cloud.name, f"the load balancer's algorithm is {algorithm}")
    return after


@checked
def set_monitor(
    cloud: Cloud,
    balancer: Balancer | str,
    *,
    delay_seconds: int | None = None,
    timeout_seconds: int | None = None,
    failures: int | None = None,
    successes: int | None = None,
    path: str | None = None,
) -> Balancer:
    """Change how members are examined: see `Monitor`. None: unchanged."""
    there = _there(cloud, balancer)
    wanted: dict[str, Any] = {
        "delay_seconds": delay_seconds,
        "timeout_seconds": timeout_seconds,
        "failures": failures,
        "successes": successes,
        "path": path,
    }
    if there.monitor is None:
        raise NotFound(f"The load balancer {there.name!r} has no health monitor: delete it, and create it again.")
    monitor = replace(there.monitor, **{name: value for name, value in wanted.items() if value is not None})
    _check_monitor(monitor)
    return _wait(cloud, there.id, lambda client: client.update_health_monitor(there.monitor_id, **_body(monitor)))


# ---- how it is done ----


@contextmanager
def _asking(cloud: Cloud, what: str) -> Iterator[Connection]:
    """The connection of openstacksdk. Raises NoBalancer where the service is not there, or not for this user."""
    try:
        with sdk.asking(cloud, what) as connection:
            yield connection
    except NoService:
        raise NoBalancer(
            f"Cloud {cloud.name!r} has no load balancers (Octavia): let clients take turns among the APIs instead."
        ) from None
    except Forbidden as error:
        raise NoBalancer(
            f"Cloud {cloud.name!r} does not let this user have load balancers: ask its administrator for the role "
            f"load-balancer_member, or let clients take turns among the APIs instead. Its words: {error}"
        ) from None


def _there(cloud: Cloud, balancer: Balancer | str) -> Balancer:
    """The balancer as it is now. Raises NotFound, which names those that there are."""
    wanted = balancer if isinstance(balancer, str) else balancer.id
    with _asking(cloud, "find_load_balancer") as connection:
        client = connection.load_balancer
        rows = [row for row in client.load_balancers(project_id=connection.current_project_id) if _is_ours(row)]
        row = pick("load balancer", rows, wanted)
        pool = client.get_pool(row.pools[0]["id"]) if row.pools else None
        listener = client.get_listener(row.listeners[0]["id"]) if row.listeners else None
        floating = next(connection.network.ips(port_id=row.vip_port_id), None)
        monitor = client.get_health_monitor(pool.health_monitor_id) if pool and pool.health_monitor_id else None
        members = [_as_member(each) for each in client.members(pool.id)] if pool else []
    return Balancer(
        id=row.id,
        name=row.name,
        address=row.vip_address,
        floating_address=floating.floating_ip_address if floating else None,
        algorithm=pool.lb_algorithm if pool else "",
        members=tuple(sorted(members, key=lambda member: (len(member.name), member.name))),
        monitor=_as_monitor(monitor) if monitor else None,
        status=row.provisioning_status,
        port=listener.protocol_port if listener else HTTP_PORT,
        vip_port_id=row.vip_port_id,
        pool_id=pool.id if pool else "",
        monitor_id=monitor.id if monitor else "",
    )


def _is_ours(row: Any) -> bool:
    return str(row.description or "").startswith(marks.DESCRIPTION)


def _as_member(row: Any) -> Member:
    return Member(row.id, row.name, row.address, row.protocol_port, row.weight, row.operating_status)


def _as_monitor(row: Any) -> Monitor:
    return Monitor(row.url_path, row.delay, row.timeout, row.max_retries_down, row.max_retries)


def _body(monitor: Monitor) -> dict[str, Any]:
    """A monitor's settings with Octavia's names."""
    return {
        "url_path": monitor.path,
        "delay": monitor.delay_seconds,
        "timeout": monitor.timeout_seconds,
        "max_retries_down": monitor.failures,
        "max_retries": monitor.successes,
    }


def _member(cloud: Cloud, balancer: Balancer | str, member: Member | str) -> tuple[Balancer, Member]:
    there = _there(cloud, balancer)
    return there, there.member(member if isinstance(member, str) else member.id)


def _wait(cloud: Cloud, id: str, change: Change | None = None) -> Balancer:
    """Make a change as soon as the balancer takes one, and wait until it is ACTIVE; the balancer as it is then."""
    there: Balancer | None = None

    def look() -> Look:
        nonlocal there, change
        there = _there(cloud, id)
        if there.status == "ERROR":
            raise CloudFailed(
                f"The load balancer {there.name!r} is in ERROR: delete it (`balancer.delete`), and create it again."
            )
        if there.status == "ACTIVE" and change is None:
            return Look(1)
        if there.status == "ACTIVE" and change is not None:
            with suppress(InUse), _asking(cloud, "change_load_balancer") as connection:
                change(connection.load_balancer)
                change = None
        return Look(0, 1, f"{there.name} {there.status}")

    cloud.wait_until(look, "load balancers ACTIVE")
    assert there is not None
    return there


def _check_weight(where: str, weight: int) -> None:
    if not 0 <= weight <= WEIGHT_MAX:
        raise BadRequest(f"{where}: weight must be from 0 to {WEIGHT_MAX}, not {weight}.")


def _check_algorithm(algorithm: str) -> None:
    if algorithm not in ALGORITHMS:
        raise NotFound.among("algorithm", algorithm, ALGORITHMS)


def _check_monitor(monitor: Monitor) -> None:
    for name in ("delay_seconds", "timeout_seconds"):
        if getattr(monitor, name) < 1:
            raise BadRequest(f"A health monitor's {name} must be 1 or more, not {getattr(monitor, name)}.")
    for name in ("failures", "successes"):
        if not 1 <= getattr(monitor, name) <= TRIES_MAX:
            raise BadRequest(f"A health monitor's {name} must be from 1 to {TRIES_MAX}, not {getattr(monitor, name)}.")
    if not monitor.path.startswith("/"):
        raise BadRequest(f"A health monitor's path must begin with '/', not {monitor.path!r}.")
