"""`Topology`: every change of the application: deploy, scale, remove, and their single steps."""

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from faafo_lab.cloud import keys
from faafo_lab.cloud.arguments import checked
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import Ambiguous, CloudError, NotFound, NotReady
from faafo_lab.cloud.lookup import pick
from faafo_lab.cloud.marks import DESCRIPTION, ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology import backups as kept
from faafo_lab.topology import moving, objects, serving, turn, volumes
from faafo_lab.topology import plan as plans
from faafo_lab.topology.application import IMAGES_KEY, Application, Say
from faafo_lab.topology.backups import Backup, Backups, Restored
from faafo_lab.topology.balanced import Front, leave, remove
from faafo_lab.topology.building import Builder, is_ours, missing_groups
from faafo_lab.topology.errors import TopologyError
from faafo_lab.topology.lock import alone
from faafo_lab.topology.objects import OBJECTS
from faafo_lab.topology.package import Package
from faafo_lab.topology.plan import Layout, Plan, Step
from faafo_lab.topology.roles import ROLES, Role, by_group, role_named
from faafo_lab.topology.undo import Undo
from faafo_lab.topology.user_data import IMAGES_IN_DATABASE
from faafo_lab.topology.volumes import VOLUME

OWN_DISK = re.compile(r"file:///[\w./-]{1,200}")


class Topology(Application):
    """The application on one cloud, with every change of it; `Application` has the arguments and its present state."""

    # -- three layouts of the application --------------------------------------------------------------------------

    @checked
    def deploy(
        self,
        api: int = 2,
        worker: int = 3,
        images: str | None = None,
        balancer: bool | None = None,
        database: str | None = None,
    ) -> "Topology":
        """Build services, `api` API servers and `worker` workers, and return when all of them serve.

        `images` says where the APIs keep them: "database", which they share, or "file:///DIRECTORY", each API's own
        disk, which the other APIs can't read, or "objects", the project's object store, which the APIs open with a
        credential for that alone. None: unchanged, initially "database". A change of it first moves the pictures
        that are only on the disk of an API which is replaced or removed. Nothing else does: without such a change,
        or with `scale` and `remove`, pictures on an API's own disk are lost with it.

        `balancer` says whether a load balancer is in front of the APIs, with a floating IP; then workers hand in
        results through it, so those that don't are replaced. None: unchanged, initially none. Raises NoBalancer,
        before anything is built, where the cloud has none.

        `database` says where its files are: "volume", on the volume app-database, which outlives app-services: if that
        server is gone, deploy builds one that takes the volume, at the same address, so that all others connect to it
        again. None: unchanged, initially app-services' own disk, with which they are lost. A database on that disk
        moves to the volume, and is away until it is there.

        Correct servers stay unchanged, a worker is drained before it is replaced or removed, and an application
        of another layout is removed. On failure this call's new resources are removed; replaced servers stay deleted.
        Each of its waits has the cloud's own limit, `cloud.config.wait_seconds`.
        Raises NotReady (before anything is built), ServerFailed, TimedOut, QuotaExceeded …: see `cloud.errors`; and
        TopologyError if somebody else changed the application at the same time.
        """
        layout = Layout.scaled_out(api, worker)
        if images not in (None, IMAGES_IN_DATABASE, OBJECTS) and not OWN_DISK.fullmatch(str(images)):
            raise TopologyError(f"images must be 'database', 'objects' or 'file:///DIRECTORY', not {images!r}.")
        if database not in (None, VOLUME):
            raise TopologyError(f"database must be {VOLUME!r} or None, not {database!r}.")
        return self._become(layout, "deploy the application", images, balancer=balancer, database=database)

    @checked
    def deploy_controller(self, worker: int = 1) -> "Topology":
        """As `deploy`, the small layout of the chapter before: a controller (API, queue, database) and its workers."""
        return self._become(Layout.small(worker), "deploy a controller and workers", balancer=False)

    def deploy_all_in_one(self) -> "Topology":
        """As `deploy`, the smallest layout: the whole application on one server, which orders some fractals itself."""
        return self._become(Layout(all_in_one=1), "deploy the application on one server", balancer=False)

    @checked
    def scale(self, *, api: int | None = None, worker: int | None = None) -> "Topology":
        """Add or remove API servers and workers to reach these numbers; None: as many as there are.

        As `deploy`, but the security groups and the server with database and queue stay unchanged.
        """
        if (api is not None and api < 1) or (worker is not None and worker < 0):
            raise TopologyError(f"Scale to at least 1 API server and 0 workers, not api={api}, worker={worker}.")
        return self._become(Layout.only(api=api, worker=worker), "scale the application", scales=True)

    @checked
    def move_images(self, to: str) -> moving.Moved:
        """Move the pictures that exist to "database" or "objects"; all can be read meanwhile. Repeated, it goes on.

        New pictures go where `deploy(images=...)` said. Raises TopologyError with the mover's own words.
        """
        with self._changing("move pictures") as undo:
            self.refresh()
            if not self.apis:
                raise TopologyError("There is no API that has pictures: deploy the application first.")
            if to == OBJECTS:
                objects.check(self.cloud)
                self.report("pictures in the object store", objects.ensure(self.cloud, undo))
            return moving.move(self, to)

    # -- backups of the database: see `backups` ----------------------------------------------------------------------

    @checked
    def backup(self, keep: int | None = None, log_seconds: int | None = None) -> Backup:
        """Back up the database to the project's object store, and from now on its log, too.

        `keep`: then delete all but the newest so many backups, and the log before them; None: none. `log_seconds`: a
        piece of the log goes to the object store at the latest after so many, so that much may be lost with the
        server (None: unchanged, initially 30); each costs the server a quarter of a second of CPU. Interrupted, no
        backup is listed. Raises TopologyError.
        """
        with self._changing("back up the database") as undo:
            self.refresh()
            return kept.make(self, undo, keep, log_seconds)

    def backups(self) -> Backups:
        """The database's backups in the object store, and the last moment that they and the log lead to."""
        turn.check(self.cloud, self.chapter)
        return kept.listed(self.cloud)

    @checked
    def restore(self, to: datetime | str | None = None) -> Restored:
        """Let the database be as it was at `to` (None: at the last known moment), with all that is to do queued again.

        `to`: a datetime, or text as "2026-01-31T18:29:19" (UTC). Pictures outside the database stay as they are.
        Interrupted, the database is the old one or the new one. Raises TopologyError for a moment in the future,
        before the oldest backup, or after the end of the log.
        """
        with self._changing("restore the database") as undo:
            self.refresh()
            return kept.restore(self, undo, to, beside=False)

    @checked
    def restore_beside(self, to: datetime | str | None = None) -> Restored:
        """As `restore`, but beside the running database, which stays as it is: it proves the backup, and what is in it,
        and leaves nothing."""
        with self._changing("restore beside the database") as undo:
            self.refresh()
            return kept.restore(self, undo, to, beside=True)

    @checked
    def plan(self, layout: Layout) -> Plan:
        """The plan that leads from the present servers to this layout. Nothing is changed."""
        self.refresh()
        return self._plan(layout)

    # -- a chapter of the workbook ---------------------------------------------------------------------------------

    def start_chapter(self) -> None:
        """Begin this chapter on a clean slate: print what exists and whose it is, take it over, and remove it.

        From now on the application is this chapter's: in another chapter's open notebook, `app` raises
        TakenOver. A change that is under way finishes first. Floating IPs stay.
        """
        if not self.chapter:
            raise TopologyError('Which chapter starts? Name it: Topology(cloud, chapter="02").')
        with alone(self.cloud, f"start chapter {self.chapter}"):
            turn.take(self.cloud, self.chapter)
            self.refresh()
            if line := turn.found(list(self.servers.values()), self.chapter):
                self.say(line)
            self.remove_old_app()
            self._remove_backups()

    # -- step by step ----------------------------------------------------------------------------------------------

    def check(self, servers: int, addresses: int, groups: int = 0, rules: int = 0, volumes: Sequence[int] = ()) -> None:
        """Check credentials, image, flavor and quota for these additional servers, and volumes of so many gigabytes.
        Raises NotReady with all that is missing."""
        has_key = any(pair.name == keys.KEY_PAIR_NAME for pair in self.cloud.key_pairs())
        missing: list[str] = []
        try:
            self.cloud.preflight(
                image=self.image_name,
                flavor=self.flavor_name,
                servers=servers,
                floating_ips=addresses,
                security_groups=groups,
                security_group_rules=rules,
                key_pairs=int(servers > 0 and not has_key),
                volumes=volumes,
            )
        except NotReady as error:
            missing += error.missing
        with suppress(NotFound, Ambiguous):  # of the image: reported already
            if servers > 0 and self.package:
                missing += self.package.missing(self.image)
        if missing:
            raise NotReady(missing)

    @checked
    def check_instead(self, layout: Layout) -> None:
        """As `check`, for this layout in place of the lab's present resources, which count as free."""
        self.refresh()
        self._check(plans.make(layout, [], self.digest), by_group(layout.roles), instead=True)

    @checked
    def make_groups(self, *names: str, without: Collection[int] = ()) -> None:
        """Create these roles' security groups (default: every role's), rule by rule.

        Rules for the ports `without` are not added. On failure this call's new resources are removed.
        """
        with self._changing("make security groups") as undo:
            Builder(self, undo).groups(by_group(names or ROLES), without)

    def add_controller(self) -> None:
        """Build the controller: API, database and message queue on one server, with a floating IP."""
        self._add(Layout.only(controller=1), "add the controller")

    def add_services(self) -> None:
        """Build app-services: the database and the message queue on a server of their own."""
        self._add(Layout.only(services=1), "add the services")

    @checked
    def ensure_apis(self, count: int) -> None:
        """Build those of app-api-1 … app-api-`count` that are missing, each with a floating IP."""
        self._add(Layout.only(api=count), "build API servers")

    @checked
    def ensure_workers(self, count: int) -> None:
        """Build those of app-worker-1 … app-worker-`count` that are missing."""
        self._add(Layout.only(worker=count), "build workers")

    @checked
    def add(self, role: str) -> str:
        """Add a server of this role ("api" or "worker") with the first free number; returns its name once it serves."""
        with self._changing(f"add a server of role {role}") as undo, Front(self, undo, None) as front:
            kind = role_named(role)
            if not kind.numbered:
                several = " and ".join(name for name, each in ROLES.items() if each.numbered)
                raise TopologyError(f"An application has one server of role {role}; of {several} it can have more.")
            plan = self._more(kind, 1)
            [name] = [step.name for step in plan.create]
            Builder(self, undo).servers(plan, Layout.only())
            self._wait_serving([name])
            front.join([name] if kind.serves else [])
            return name

    @checked
    def request_workers(self, count: int) -> list[str]:
        """Request `count` more workers with the first free numbers; returns their names without a wait.

        `refresh` and `nodes` show later what became of them. Raises NotReady, before anything is requested, where the
        quota has no room for all of them.
        """
        with self._changing("request workers") as undo:
            self.refresh()
            plan = self._more(role_named("worker"), count)
            Builder(self, undo).servers(plan, Layout.only(), wait=False)
            return [step.name for step in plan.create]

    @checked
    def replace(self, server: Server | str) -> Server:
        """Build this server anew under its name, and return it once it serves.

        A worker is drained first. An API is drained by the load balancer, if there is one, and is a member again once
        it serves. Raises NotFound, and TopologyError for the server with the database, unless that is on a volume.
        """
        with self._changing("replace a server") as undo, Front(self, undo, None) as front:
            name = server if isinstance(server, str) else server.name
            old = pick("server of the application", list(self.servers.values()), name)
            role = role_named(old.metadata[ROLE_KEY])
            if role.has_database and not (role.keeps_volume and self.volume):
                raise TopologyError(f"{old.name} has the database: a new one would be another application.")
            if role.keeps_volume:
                self._move_database(again=False)
            Builder(self, undo).servers(Plan(replace=(Step(role, old.name, old, "as requested"),)), Layout.only())
            self._wait_serving([old.name])
            front.join([old.name] if role.serves else [])
            return self.servers[old.name]

    @checked
    def wait_serving(self, timeout_seconds: float | None = None) -> None:
        """Wait until every API answers that it is healthy, and the application lists every API and worker.

        Without `timeout_seconds` the limit is the cloud's own. Raises TopologyError at the limit, or if a server
        failed to boot; every server stays unchanged.
        """
        self.refresh()
        self._wait_serving(list(self.servers), timeout_seconds)
        self.say(f"serving: {', '.join(self.servers)}")

    @checked
    def remove(self, servers: Iterable[Server | str]) -> dict[str, str]:
        """Delete these servers (or names), workers after a drain; returns the result for each by name.
        Raises NotFound, before anything is deleted, if the application has no server of such a name."""
        there = list(self.servers.values())
        chosen = [pick("server of the application", there, one) if isinstance(one, str) else one for one in servers]
        if not chosen:
            return {}
        with self._changing("remove servers"):
            leave(self, chosen)
            drained = self.drain_workers(chosen)
            self.cloud.delete_servers(chosen)
            became = {server.name: drained.get(server.name, "deleted") for server in chosen}
            for name, done in became.items():
                self.report(f"server {name}", done)
            self.refresh()
        return became

    def remove_old_app(self) -> None:
        """Delete the lab's servers and security groups, earlier chapters' too, its volumes and snapshots, and its
        pictures in the object store with the credential that opens them; keep the floating IPs, and the database's
        backups."""
        with self._changing("remove the application"):
            self.refresh()
            fronted = remove(self)
            servers = list(self.servers.values())
            if servers:
                self.cloud.delete_servers(servers)
            for server in servers:
                self.report(f"server {server.name}", "deleted")
            groups = list(filter(is_ours, self.cloud.security_groups()))
            # A group that another group's rule names goes after it.
            for group in sorted(groups, key=lambda group: not any(rule.remote_group for rule in group.rules)):
                self.cloud.delete_security_group(group)
                self.report(f"security group {group.name}", "deleted")
            disks = volumes.remove(self.cloud)
            for what, done in disks.items():
                self.report(what, done)
            self.volume = None
            kept = objects.remove(self.cloud)
            if kept:
                self.report("pictures in the object store", kept)
            if not (servers or groups or fronted or disks or kept):
                self.say("nothing to remove: the lab has no servers and no security groups")
            self.servers = {}

    def destroy(self) -> None:
        """Delete all of the lab's resources: servers, volumes, security groups, floating IPs and the key pair."""
        with self._changing("remove all of the lab"):
            self.remove_old_app()
            self._remove_backups()
            addresses = self.cloud.floating_ips()
            mine = [ip for ip in addresses if ip.description.startswith(DESCRIPTION) and ip.server_id is None]
            for address in mine:
                self.cloud.delete_floating_ip(address)
            if mine:
                self.report(f"{len(mine)} floating IP{'s' * (len(mine) != 1)}", "released")
            if Package(self.cloud).withdraw():
                self.report("the application's package in the object store", "deleted")
            if any(pair.name == keys.KEY_PAIR_NAME for pair in self.cloud.key_pairs()):
                self.cloud.delete_key_pair(keys.KEY_PAIR_NAME)
                self.report(f"key pair {keys.KEY_PAIR_NAME}", "deleted")

    def _remove_backups(self) -> None:
        if removed := kept.remove(self.cloud):
            self.report("backups in the object store", removed)

    # -- how a layout is reached -----------------------------------------------------------------------------------

    @contextmanager
    def _changing(self, what: str) -> Iterator[Undo]:
        """Keep others on this machine from changing the application meanwhile; on failure undo what was created."""
        with alone(self.cloud, what):
            turn.check(self.cloud, self.chapter)
            try:
                with Undo(self.say) as undo:
                    yield undo
            except BaseException:
                with suppress(CloudError):
                    self.refresh()
                raise

    def _plan(self, layout: Layout) -> Plan:
        return plans.make(layout, list(self.servers.values()), self.digest, self.kept_parts)

    def _become(
        self,
        layout: Layout,
        what: str,
        images: str | None = None,
        scales: bool = False,
        balancer: bool | None = None,
        database: str | None = None,
    ) -> "Topology":
        """Reach this layout: plan, check, build, wait until it serves, remove extra servers, confirm the result."""
        with self._changing(what) as undo, Front(self, undo, balancer) as front:
            if scales and not self.of_role("services"):
                raise TopologyError("There is no app-services to scale: deploy the application first.")
            if images == OBJECTS:
                objects.check(self.cloud)
            if images:
                undo.add("the place of images", functools.partial(setattr, self, "_images", self._images))
                self._images = images
            if database == VOLUME:
                volumes.check(self.cloud)
            plan = self._plan(layout)
            new_volumes = [volumes.GIGABYTES] if database == VOLUME and not self.volume else []
            groups = by_group([] if scales else layout.roles)
            if any(step.role.has_database and not step.why for step in plan.remove):  # it is another application
                plan = plans.make(layout, [], self.digest)
                self._check(plan, groups, instead=True, addresses=front.new_addresses, new_volumes=new_volumes)
                self.remove_old_app()
            elif groups or plan.made:
                self._check(plan, groups, addresses=front.new_addresses, new_volumes=new_volumes)
            if self.images == OBJECTS and any(step.role.chooses_images for step in plan.wanted):
                self.report("pictures in the object store", objects.ensure(self.cloud, undo))
            if database == VOLUME:
                self.volume, done = volumes.ensure(self.cloud, undo)
                self.report(f"volume {volumes.NAME}", done)
            builder = Builder(self, undo)
            if images:
                self._rescue_images(plan, images, builder, undo)
            self._move_database(again=database == VOLUME, plan=plan)
            front.build()
            builder.groups(groups)
            builder.servers(plan, layout)
            if front.wanted:  # no worker reaches an API before
                apis = [step.name for step in plan.wanted if step.role.serves]
                self._wait_serving(apis)
                front.join(apis)
            self._wait_serving([step.name for step in plan.wanted])
            front.finish()
            self.remove([step.server for step in plan.remove if step.server])
            if plan.changes:
                self._confirm(plan)
            self.say(f"serving: {', '.join(self.servers)}")
        return self

    def _move_database(self, again: bool, plan: Plan | None = None) -> None:
        """Move a database that is on app-services' own disk to the volume: before the plan replaces that server, and
        `again` in any case.

        Raises TopologyError if the volume that app-services was built with is gone.
        """
        replaced = [step.name for step in plan.replace] if plan else list(self.servers)
        for server in self.of_role("services"):
            built_with = server.metadata.get(volumes.DATABASE_KEY)
            if built_with and built_with != (self.volume.id if self.volume else None):
                raise TopologyError(
                    f"The volume {built_with}, which {server.name} has its database on, is gone, and the database with "
                    f"it: app.destroy() removes the rest, then deploy again."
                )
            if not built_with and (again or server.name in replaced) and self.volume:
                seconds = volumes.move(self.cloud, server, self.volume)
                done = f"moved to volume {volumes.NAME} in {seconds:.1f} s" if seconds else ""
                self.report(f"database of {server.name}", done)

    def _rescue_images(self, plan: Plan, images: str, builder: Builder, undo: Undo) -> None:
        """Move the pictures that are only on the disks of APIs that the plan replaces or removes.

        Workers that are replaced are drained before: the rescue stops the APIs, to which they hand in results.
        """
        servers = [
            step.server
            for step in (*plan.replace, *plan.remove)
            if step.server
            and step.server.status == "ACTIVE"
            and (place := step.server.metadata.get(IMAGES_KEY, IMAGES_IN_DATABASE)).startswith("file:")
            and place != images
        ]
        if servers:
            builder.prepare(plan)
            undo.add("the APIs whose pictures were moved", functools.partial(moving.restart, self, servers))
            to = OBJECTS if images == OBJECTS else IMAGES_IN_DATABASE
            moved = moving.rescue(self, servers, to)
            where = "object store" if to == OBJECTS else "database"
            self.say(f"pictures of {', '.join(server.name for server in servers)}: moved into the {where}")
            if moved.missing:
                self.say(f"not moved: {len(moved.missing)} pictures, which are missing on these servers")

    def _more(self, role: Role, count: int) -> Plan:
        """The plan, checked, for so many more servers of this role, with the first free numbers."""
        there = {server.name for server in self.of_role(role.name)}
        try:
            self.user_data(role.name)
        except NotFound as error:
            raise TopologyError(f"{error} app.deploy() builds an application that can be scaled.") from None
        free = [name for name in role.server_names(len(there) + count) if name not in there][:count]
        plan = Plan(create=tuple(Step(role, name) for name in free))
        self._check(plan)
        return plan

    def _add(self, layout: Layout, what: str) -> None:
        """Build this layout's missing servers, and remove none. Does not wait until they serve."""
        with self._changing(what) as undo:
            self.refresh()
            Builder(self, undo).servers(self._plan(layout).without_removing(), layout)

    def _check(
        self,
        plan: Plan,
        roles: Sequence[Role] = (),
        instead: bool = False,
        addresses: int = 0,
        new_volumes: Sequence[int] = (),
    ) -> None:
        """Check the room for the plan's new servers, these roles' groups, and further floating IPs and volumes;
        `instead`: the lab's present ones count as free."""
        known = self.cloud.security_groups() if roles else []
        freed, gone = (list(self.servers.values()), [*filter(is_ours, known)]) if instead else ([], [])
        groups, rules = missing_groups(self, roles, [group for group in known if group not in gone])
        there = [step.server.floating_addresses if step.server else () for step in plan.wanted if step.role.serves]
        self.check(
            servers=len(plan.create) - len(freed),
            addresses=addresses + there.count(()) - sum(len(server.floating_addresses) for server in freed),
            groups=groups - len(gone),
            rules=rules - sum(group.rules_of_all_kinds for group in gone),
            volumes=new_volumes,
        )

    def _wait_serving(self, names: Sequence[str], timeout_seconds: float | None = None) -> None:
        serving.wait_serving(self, names, lambda node: (node["name"], node["started_at"]) in self.gone, timeout_seconds)

    def _confirm(self, plan: Plan) -> None:
        """Check that the cloud lists exactly the wanted servers. Raises TopologyError if somebody else interfered."""
        self.refresh()
        if difference := plan.difference(self.servers.values()):
            raise TopologyError(
                f"The application is not as wanted: {difference}. Somebody else changed it at the same time: "
                f"agree on who changes it, and run this again."
            )


def discover(cloud: Cloud, say: Say = print, chapter: str | None = None) -> Topology:
    """The application on this cloud, found by the servers' metadata alone; without servers if there is none."""
    return Topology(cloud, say=say, chapter=chapter).refresh()


def in_thread(topology: Topology) -> Topology:
    """The same application for another thread: a connection of its own, and nothing printed."""
    return Topology(
        topology.cloud.again(),
        image=topology.image_name,
        flavor=topology.flavor_name,
        say=lambda line: None,
        chapter=topology.chapter,
    )
