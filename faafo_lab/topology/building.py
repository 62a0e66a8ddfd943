"""Building: a plan's security groups and servers, each with an undo step."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from faafo_lab.cloud import keys
from faafo_lab.cloud.lookup import pick
from faafo_lab.cloud.marks import DESCRIPTION, ROLE_KEY
from faafo_lab.cloud.model import KeyPair, SecurityGroup, Server
from faafo_lab.topology import volumes
from faafo_lab.topology.addresses import free_address
from faafo_lab.topology.api import Node
from faafo_lab.topology.application import IMAGES_KEY, WAITING_KEY, Application
from faafo_lab.topology.balanced import leave
from faafo_lab.topology.errors import TopologyError
from faafo_lab.topology.plan import DIGEST_KEY, Layout, Plan, Step
from faafo_lab.topology.roles import QUEUE, ROLES, Role
from faafo_lab.topology.turn import CHAPTER_KEY
from faafo_lab.topology.undo import Undo
from faafo_lab.topology.user_data import IMAGES_IN_DATABASE

log = logging.getLogger(__name__)

RULES_OF_A_NEW_GROUP = 2  # that let everything out, of IPv4 and of IPv6


class Builder:
    """Builds for one topology; `undo` removes it all if the call fails."""

    def __init__(self, app: Application, undo: Undo) -> None:
        self._app, self._undo, self._cloud = app, undo, app.cloud
        self._prepared = False
        self._programs: list[Node] = []  # on servers that will be replaced under the same names

    def groups(self, roles: Iterable[Role], without: Collection[int] = ()) -> None:
        """Create these roles' missing security groups and rules, except rules for the ports `without`."""
        known = self._cloud.security_groups()
        for role in roles:
            made = all(group.name != role.group for group in known)
            if made:
                known.append(self._cloud.create_security_group(role.group, group_description(role)))
            group = pick("security group", known, role.group)
            if made:
                self._undo.add(
                    f"security group {role.group}", functools.partial(self._cloud.delete_security_group, group)
                )
            if group.description != group_description(role):
                raise TopologyError(
                    f"A security group named {role.group!r} exists that the lab did not make "
                    f"({group.description or 'no description'}): rename or delete it, then run this again."
                )
            rules = []
            for port, source in openings(self._app, role):
                if port not in without and not _opens(group, port, source, known):
                    remote = pick("security group", known, source) if source else None
                    rules.append(self._cloud.add_rule(group, port, remote_group=remote))
            if not made:
                for rule in rules:
                    self._undo.add(f"a rule of {role.group}", functools.partial(self._cloud.delete_rule, rule))
            self._app.report(
                f"security group {role.group}", "created" if made else f"{len(rules)} rules added" if rules else ""
            )

    def servers(self, plan: Plan, layout: Layout, *, wait: bool = True) -> None:
        """Create the plan's new and replaced servers, role by role, and wait until each is ACTIVE and has addresses.

        Without `wait`, new workers are only requested, unless the package must be uploaded to them.
        """
        package, url = self._app.package, ""
        if plan.made:
            key = self._key_pair()
            if package:
                self._undo.add("the application's package", package.withdraw)
                url = package.offer()
            self.prepare(plan)
        for role in ROLES.values():
            steps = [step for step in plan.made if step.role is role]
            kept = [step for step in plan.keep if step.role is role]
            for step in kept if layout.count(role) is not None else []:
                self._app.report(f"server {step.name}", "")
            if steps:
                self._make(role, steps, key, url, wait or bool(package and not url))
            if booting := [step.server for step in kept if step.server and step.server.status == "BUILD"]:
                self._cloud.wait_for(booting)
                self._app.refresh()
            if role.keeps_volume:
                self._attach([step.name for step in (*kept, *steps)])
            if role.serves:
                self._publish([step.name for step in (*kept, *steps)])
        if package and not url:
            package.upload([self._app.servers[step.name] for step in plan.made], self._app.servers.values())

    def _make(self, role: Role, steps: Sequence[Step], key: KeyPair, url: str, wait: bool) -> None:
        """Create the servers of one role together, and (with `wait`) wait until they are ACTIVE."""
        script = self._app.user_data(role.name, url)
        metadata = {ROLE_KEY: role.name, DIGEST_KEY: self._app.digest(role)}
        if self._app.chapter:
            metadata[CHAPTER_KEY] = self._app.chapter
        if role.chooses_images and self._app.images != IMAGES_IN_DATABASE:
            metadata[IMAGES_KEY] = self._app.images
        if role.serves and self._app.waiting_max is not None:
            metadata[WAITING_KEY] = str(self._app.waiting_max)
        for services in self._app.of_role("services"):
            if role.needs and services.addresses:
                metadata[volumes.SERVICES_KEY] = services.addresses[0]
        address = None
        if role.keeps_volume and self._app.volume:
            metadata[volumes.DATABASE_KEY] = self._app.volume.id
            address = self._app.kept_address or None
        if old := [step.server for step in steps if step.server]:
            for step in steps:
                if step.server:
                    self._app.say(f"server {step.name}: {step.why}: replacing it")
            leave(self._app, old)
            replaced = {server.name for server in old}
            self._app.gone |= {
                (each["name"], each["started_at"]) for each in self._programs if each["name"] in replaced
            }
            self._cloud.delete_servers(old)
        made: list[Server] = []
        self._undo.add(f"servers of role {role.name}", lambda: self._cloud.delete_servers(made))
        for step in steps:
            made.append(
                self._cloud.create_server(
                    step.name,
                    image=self._app.image,
                    flavor=self._app.flavor,
                    key_pair=key.name,
                    security_groups=[role.group],
                    user_data=script,
                    metadata=metadata,
                    address=address,
                )
            )
            self._app.built += 1
            self._app.report(f"server {step.name}", "created")
        self._app.know(self._cloud.wait_for(made) if wait else made)

    def _attach(self, names: Iterable[str]) -> None:
        """Attach the database's volume to the server that was built for it, if it has not got it."""
        for server in (self._app.servers[name] for name in names):
            volume = self._app.volume if volumes.DATABASE_KEY in server.metadata else None
            if volume and volume.server_id != server.id:
                volumes.attach(self._cloud, server, volume)
                self._app.report(f"volume {volume.name}", f"attached to {server.name}")

    def _key_pair(self) -> KeyPair:
        """The lab's key pair on the cloud, created (with an undo step) if missing."""
        if keys.KEY_PAIR_NAME not in {pair.name for pair in self._cloud.key_pairs()}:
            self._undo.add("key pair", lambda: self._cloud.delete_key_pair(keys.KEY_PAIR_NAME))
        return keys.ensure_key_pair(self._cloud)

    def _publish(self, names: Iterable[str]) -> None:
        """Give each of these servers a floating IP: a free one, else a new one."""
        for name in names:
            if self._app.servers[name].floating_addresses:
                continue
            address = free_address(self._cloud, self._undo)
            address = self._cloud.attach_floating_ip(self._app.servers[name], address)
            self._app.know([replace(self._app.servers[name], floating_addresses=(address.address,))])
            self._app.report(f"floating IP of {name}", "attached")

    def prepare(self, plan: Plan) -> None:
        """Take leave of the servers that are replaced, as `servers` does first: for a caller who stops APIs before."""
        if not self._prepared:
            self._prepared = True
            self._note_programs([step.name for step in plan.made])
            self._drain_replaced(plan)

    def _drain_replaced(self, plan: Plan) -> None:
        """Drain the workers that are replaced, if an API runs that can tell them."""
        if any(server.status == "ACTIVE" for server in self._app.apis):
            for worker in self._app.drain_workers([step.server for step in plan.replace if step.server]):
                self._undo.add(f"drained {worker}", functools.partial(self._app.api.drain, worker, False))

    def _note_programs(self, names: Collection[str]) -> None:
        """Remember the application's nodes on servers of these names, while an API can tell them."""
        if not self._app.endpoints:
            return
        try:
            self._programs = [node for node in self._app.nodes() if node["name"] in names]
        except TopologyError as error:
            log.debug("earlier nodes are unknown: %s", error)


def openings(app: Application, role: Role) -> list[tuple[int, str | None]]:
    """The ports that a role's security group opens, each with the group whose members may connect (None: anybody)."""
    ports = [app.queue_port if opening.port == QUEUE else opening.port for opening in role.openings]
    return [(port, opening.source) for port, opening in zip(ports, role.openings, strict=True)]


def _opens(group: SecurityGroup, port: int, source: str | None, known: Iterable[SecurityGroup]) -> bool:
    """Whether a group opens a port, to anybody or to the members of the group named `source`."""
    if source is None:
        return group.rule(port) is not None
    return any(group.rule(port, remote_group_id=other.id) for other in known if other.name == source)


def missing_groups(app: Application, roles: Iterable[Role], known: Sequence[SecurityGroup]) -> tuple[int, int]:
    """The number of these roles' security groups that are missing, and of missing rules, including the rules that a new
    group has by itself."""
    there = {group.name: group for group in known}
    groups = rules = 0
    for role in roles:
        if role.group not in there:
            groups += 1
            rules += RULES_OF_A_NEW_GROUP + len(role.openings)
        else:
            rules += sum(not _opens(there[role.group], *opening, known) for opening in openings(app, role))
    return groups, rules


def is_ours(group: SecurityGroup) -> bool:
    """Whether the lab made this security group."""
    return group.description.startswith(DESCRIPTION)


def group_description(role: Role) -> str:
    """The description by which the lab marks its security groups, which have no metadata."""
    return f"{DESCRIPTION}{role.description}"
