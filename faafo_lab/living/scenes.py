"""What stands, as the scene of a living picture: from a look at the application, its servers and their groups' rules.

scene = scenes.scene(moment, follower.topology.servers.values(), follower.groups, clock=clock, wanted=3)
events.difference(before, scene)      # what has changed
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import cast

from faafo_lab.app.settings import LEASE_SECONDS
from faafo_lab.balancer import Balancer
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Rule, SecurityGroup, Server
from faafo_lab.history.clocks import Clock
from faafo_lab.living import events
from faafo_lab.living.events import YOU, Scene, rounded
from faafo_lab.topology import ROLES, Machine, Moment
from faafo_lab.topology.roles import QUEUE, ways


def scene(
    moment: Moment,
    servers: Iterable[Server],
    groups: Sequence[SecurityGroup],
    *,
    clock: Clock | None = None,
    wanted: int | None = None,
) -> Scene:
    """The scene at this moment. What is not known is absent: gates while no groups are known, counts before the
    application's first answer."""
    known = list(servers)
    listed = {server.name: server for server in known}
    counts = {"waiting": moment.waiting, "working": moment.working, "done": moment.done, "failed": moment.failed}
    rate = None if moment.rate is None else round(moment.rate, 2)
    whole = {
        "servers": {each.name: _server(each, listed.get(each.name)) for each in moment.machines},
        "front": _front(moment.front) if moment.front else None,
        "gates": _gates(known, groups, moment.queue_port),
        "counts": {**counts, "rate": rate} if moment.done is not None else None,
        "wanted": wanted,
        "leases": {"seconds": LEASE_SECONDS},
        "clock": clock_of(clock) if clock else None,
        "problem": moment.problem,
    }
    return cast(Scene, events.merge({}, whole))  # which leaves out what is None


def _server(machine: Machine, server: Server | None) -> dict[str, object]:
    role = ROLES.get(machine.role)
    private, floating = (server.addresses, server.floating_addresses) if server else ((), ())
    return {
        "role": machine.role,
        "column": role.column if role else "Services",
        "status": machine.status,
        "state": machine.state,
        "words": machine.words,
        "well": machine.is_well,
        "address": next(iter(private), machine.address),
        "floating": next(iter(floating), None),
        "cpu": None if machine.cpu_percent is None else round(machine.cpu_percent, 1),
        "load": None if machine.load_average is None else round(machine.load_average, 2),
        "cores": machine.cores,
        "offers": list(role.offers) if role else [],
        "drain": machine.drain,
    }


def _front(balancer: Balancer) -> dict[str, object]:
    return {
        "name": balancer.name,
        "address": balancer.address,
        "floating": balancer.floating_address,
        "status": balancer.status,
        "algorithm": balancer.algorithm,
        "members": {each.name: {"status": each.status, "weight": each.weight} for each in balancer.members},
    }


def clock_of(clock: Clock) -> dict[str, object] | None:
    """The scene's clock; None while nobody has answered."""
    if not clock.known:
        return None
    return {"ahead": rounded(clock.ahead), "within": rounded(clock.within)}


# -- gates ---------------------------------------------------------------------------------------------------------


def _gates(servers: Sequence[Server], groups: Sequence[SecurityGroup], queue_port: int) -> dict[str, object]:
    """The ports that the present roles need of each other, and whether their groups let them in: all of their servers,
    to all."""
    if not groups:
        return {}
    there: dict[str, list[Server]] = {}
    for server in servers:
        if server.metadata[ROLE_KEY] in ROLES:
            there.setdefault(server.metadata[ROLE_KEY], []).append(server)
    gates: dict[str, object] = {}
    for way in ways(there):
        port = queue_port if way.port == QUEUE else way.port
        sources: Sequence[Server | None] = there[way.source] if way.source else [None]
        gate = {
            "from": way.source or YOU,
            "to": way.target,
            "port": port,
            "group": ROLES[way.target].group,
            "open": all(lets(source, target, port, groups) for source in sources for target in there[way.target]),
        }
        gates[f"{way.source or YOU}>{way.target}:{port}"] = gate
    return gates


def lets(source: Server | None, target: Server, port: int, groups: Iterable[SecurityGroup]) -> bool:
    """Whether these groups' rules let `source` (None: people, from anywhere) in to a port of `target`.

    Of people only rules for all addresses are known to let them in, or for those of this machine itself where that is
    where the target is (in the embedded cloud).
    """
    groups = list(groups)
    mine = {group.id for group in groups if source and group.name in _groups_of(source)}
    rules = [rule for group in groups if group.name in _groups_of(target) for rule in group.rules if rule.opens(port)]
    return any(_matches(rule, source, target, mine) for rule in rules)


def _matches(rule: Rule, source: Server | None, target: Server, groups_of_source: set[str]) -> bool:
    if rule.remote_group:
        return rule.remote_group in groups_of_source
    if not rule.remote_prefix:
        return True
    prefix = ipaddress.ip_network(rule.remote_prefix, strict=False)
    if source is not None:
        return any(ipaddress.ip_address(address) in prefix for address in source.addresses)
    here = ipaddress.ip_address("127.0.0.1")
    local = target.address is not None and ipaddress.ip_address(target.address).is_loopback
    return prefix.prefixlen == 0 or (local and here in prefix)


def _groups_of(server: Server) -> tuple[str, ...]:
    """The names of its groups; its role's, where the cloud does not list them."""
    return server.security_groups or (ROLES[server.metadata[ROLE_KEY]].group,)
