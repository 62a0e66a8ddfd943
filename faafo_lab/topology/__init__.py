"""The application on a cloud: services, API and workers. Deploy, scale, discover, destroy.

    app = Topology(faafo_lab.connect())
    app.deploy(api=2, worker=3)      # six servers, serving when this returns
    app.scale(worker=5)
    app.destroy()

A server of the lab carries the metadata `faafo-lab: ROLE`, and a digest of all that it was made from (image, flavor,
security groups, user data). So a new Python session finds a running application (`discover`), a second `deploy` changes
nothing that is right already, and a server that the lab did not make is never touched.

The layout is that of the First App guide's chapter on scaling out:

    you ──80──▶ app-api-1, app-api-2 …          security group `api`
                    │ 5432 database, 6379 queue
                    ▼
                app-services                    security group `services`
                    ▲ 6379 queue
                    │
                app-worker-1 … app-worker-3 …   security group `worker`      (results go to app-api-1, port 80)
"""

import hashlib
import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from faafo_lab.cloud import direct, keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, NotFound, TimedOut
from faafo_lab.cloud.marks import DESCRIPTION, ROLE_KEY, allocated_file
from faafo_lab.cloud.model import Flavor, FloatingIP, Image, Server
from faafo_lab.cloud.waiting import Look

log = logging.getLogger(__name__)

DIGEST_KEY = "faafo-lab-digest"
DIGEST_CHARACTERS = 16
IMAGES_KEY, IMAGES_IN_DATABASE = "faafo-lab-images", "database"
OWN_DISK = re.compile(r"file:///[\w./-]{1,200}")
SSH_PORT, HTTP_PORT, DATABASE_PORT = 22, 80, 5432
VALKEY_PORT, RABBITMQ_PORT = 6379, 5672
SERVING_LIMIT_SECONDS = 300  # a real cloud boots a machine and installs packages in this time
DRAIN_LIMIT_SECONDS = 60
CONSOLE_LINES = 8
CONSOLE_PAUSE_SECONDS = 5
FAILED_BOOT = re.compile(r"user data failed|scripts[-_]user.* failed|Failed to run module scripts", re.IGNORECASE)
SERVICE_START = re.compile(r"(Started|Failed to start) (faafo-[\w-]+)\.service")
HTTP_TIMEOUT_SECONDS = 10
EMBEDDED_DISTRO = "faafo-lab"  # the Glance property os_distro of an image that has the application on board

Say = Callable[[str], None]


class TopologyError(CloudError):
    """The application can't be built, found or scaled as asked: the message says why and what to do."""


@dataclass(frozen=True)
class Opening:
    """A TCP port that a security group opens: to anybody, or only to the members of the group `source`."""

    port: int
    source: str | None = None


@dataclass(frozen=True)
class Role:
    """A kind of server: its security group and what the group opens."""

    group: str
    description: str
    openings: tuple[Opening, ...]


def roles(queue_port: int) -> dict[str, Role]:
    """The kinds of server, by name, in the order in which their security groups can be made."""
    ssh = Opening(SSH_PORT)
    return {
        "api": Role("api", "for API services only", (Opening(HTTP_PORT), ssh)),
        "worker": Role("worker", "for services that run on a worker node", (ssh,)),
        "services": Role(
            "services",
            "for the database and the message queue only",
            (ssh, Opening(DATABASE_PORT, "api"), Opening(queue_port, "worker"), Opening(queue_port, "api")),
        ),
        "controller": Role(
            "control",
            "for services that run on a control node",
            (Opening(HTTP_PORT), ssh, Opening(queue_port, "worker")),
        ),
        "all-in-one": Role("all-in-one", "for all of the application on one server", (Opening(HTTP_PORT), ssh)),
    }


def group_description(role: Role) -> str:
    """How the lab marks the security groups that it made, which have no metadata."""
    return f"{DESCRIPTION}{role.description}"


class Topology:
    """The application's servers on one cloud.

    Arguments: the cloud; the names of an image and a flavor (default: the environment's FAAFO_LAB_IMAGE and
    FAAFO_LAB_FLAVOR, else those of the embedded cloud); `say`, which gets a line for each thing done.
    """

    def __init__(self, cloud: Cloud, *, image: str | None = None, flavor: str | None = None, say: Say = print) -> None:
        self.cloud = cloud
        self.image_name = image or os.environ.get("FAAFO_LAB_IMAGE") or "faafo-lab"
        self.flavor_name = flavor or os.environ.get("FAAFO_LAB_FLAVOR") or "m1.tiny"
        self.say = say
        self.secret = keys.derive_secret("faafo")
        self._image: Image | None = None
        self._flavor: Flavor | None = None
        self._images: str | None = None
        self.servers: dict[str, Server] = {}
        self.built = 0  # how many servers this object created
        self._gone: set[tuple[str, str]] = set()  # name and start of the programs whose servers this object replaced

    def __repr__(self) -> str:
        return (
            f"<Topology on {self.cloud.name} through {self.cloud.backend}: {', '.join(self.servers) or 'no servers'}>"
        )

    # -- what is there ---------------------------------------------------------------------------------------------

    def refresh(self) -> "Topology":
        """Ask the cloud which servers of the lab exist."""
        found = [server for server in self.cloud.servers() if ROLE_KEY in server.metadata]
        self.servers = {server.name: server for server in sorted(found, key=lambda s: numbered(s.name))}
        return self

    def of_role(self, role: str) -> list[Server]:
        """The servers of this role, by number."""
        return [server for server in self.servers.values() if server.metadata[ROLE_KEY] == role]

    @property
    def apis(self) -> list[Server]:
        """The servers that serve the API, those of the smaller topologies included."""
        return self.of_role("all-in-one") + self.of_role("controller") + self.of_role("api")

    @property
    def workers(self) -> list[Server]:
        """The servers that compute fractals."""
        return self.of_role("worker")

    @property
    def images(self) -> str:
        """Where the APIs keep the pictures: "database", or "file:///DIRECTORY" of their own disks."""
        known = (server.metadata[IMAGES_KEY] for server in self.of_role("api") if IMAGES_KEY in server.metadata)
        return self._images or next(known, IMAGES_IN_DATABASE)

    @property
    def endpoints(self) -> dict[str, str]:
        """The API's URLs as the learner reaches them (floating addresses), by server name."""
        return {
            server.name: self._url(server.floating_addresses[0]) for server in self.apis if server.floating_addresses
        }

    @property
    def endpoint(self) -> str:
        """The first API's URL."""
        try:
            return next(iter(self.endpoints.values()))
        except StopIteration:
            raise TopologyError(
                "No API server with a floating address is running: deploy the application first."
            ) from None

    def nodes(self) -> list[dict[str, Any]]:
        """Every API and worker as the application itself knows it: role, state, load, what it works on."""
        answer: list[dict[str, Any]] = self._ask("/v1/node")["objects"]
        return answer

    def fractals(self) -> list[dict[str, Any]]:
        """Every fractal that was ordered, oldest first, as the API lists it."""
        answer: list[dict[str, Any]] = self._ask("/v1/fractal?results_per_page=-1")["objects"]
        return answer

    def stats(self) -> dict[str, Any]:
        """How many fractals wait, are in work and are done."""
        answer: dict[str, Any] = self._ask("/v1/stats")
        return answer

    # -- building --------------------------------------------------------------------------------------------------

    def deploy(self, api: int = 2, worker: int = 3, images: str | None = None) -> "Topology":
        """Build services, `api` API servers and `worker` workers, and return when all of them serve.

        `images` says where the APIs keep the pictures: "database", which they share, or "file:///DIRECTORY", a disk of
        each API's own, so that the others do not have what it was given. None: as it is, at first in the database.
        What is right already stays as it is. On failure what this call made is removed again.
        Raises NotReady (before anything is built), ServerFailed, TimedOut, QuotaExceeded …: see `cloud.base`.
        """
        if api < 1 or worker < 0:
            raise TopologyError(f"An application has at least 1 API server and 0 workers, not {api} and {worker}.")
        if images is not None and images != IMAGES_IN_DATABASE and not OWN_DISK.fullmatch(images):
            raise TopologyError(f"images must be 'database' or 'file:///DIRECTORY', not {images!r}.")
        self.refresh()
        self._images = images or self.images
        wanted = (
            {"app-services"} | {f"app-api-{n + 1}" for n in range(api)} | {f"app-worker-{n + 1}" for n in range(worker)}
        )
        self.check(servers=len(wanted - set(self.servers)), addresses=api - len(self.endpoints))
        if self.of_role("controller") or self.of_role("all-in-one"):
            self.remove_old_app()
        self.make_groups("api", "worker", "services")
        self.add_services()
        self.add_apis(api)
        self.add_workers(worker)
        self.wait_serving()
        return self

    def deploy_controller(self, worker: int = 1) -> "Topology":
        """Build the small topology of the chapter before: a controller (API, queue and database) and its workers."""
        self.refresh()
        self.check(servers=max(0, 1 + worker - len(self.servers)), addresses=1 - len(self.endpoints))
        if self.of_role("all-in-one"):
            self.remove_old_app()
        self.make_groups("worker", "controller")
        self.add_controller()
        self.add_workers(worker)
        self.wait_serving()
        return self

    def deploy_all_in_one(self) -> "Topology":
        """Build the smallest topology: API, queue, database and worker on one server, which makes some fractals."""
        self.refresh()
        self.check(servers=1 - len(self.of_role("all-in-one")), addresses=1 - len(self.endpoints))
        self.make_groups("all-in-one")
        self._ensure("all-in-one", ["app-all-in-one"])
        self._publish(["app-all-in-one"])
        self.wait_serving()
        return self

    def check(self, servers: int, addresses: int) -> None:
        """Credentials, image, flavor and quota: raise NotReady naming everything that is missing."""
        self.cloud.preflight(
            image=self.image_name,
            flavor=self.flavor_name,
            servers=servers,
            floating_ips=max(0, addresses),
            security_groups=len(roles(0)),
        )

    def make_groups(self, *names: str, without: Collection[int] = ()) -> None:
        """Make the security groups of these roles (all of them, where none is named), rule by rule.

        Rules for the ports `without` are not added.
        """
        for name, role in roles(self.queue_port).items():
            if names and name not in names:
                continue
            group, made = self.cloud.get_or_create_security_group(role.group, group_description(role))
            if group.description != group_description(role):
                raise TopologyError(
                    f"A security group named {role.group!r} exists that the lab did not make "
                    f"({group.description or 'no description'}): rename or delete it, then run this again."
                )
            added = sum(
                self.cloud.get_or_create_rule(group, opening.port, remote_group=opening.source)[1]
                for opening in role.openings
                if opening.port not in without
            )
            self._report(f"security group {role.group}", "created" if made else f"{added} rules added" if added else "")

    def add_controller(self) -> None:
        """The API, the database and the message queue on one server, with a floating address."""
        self._ensure("controller", ["app-controller"])
        self._publish(["app-controller"])

    def add_services(self) -> None:
        """The database and the message queue, on a server of their own."""
        self._ensure("services", ["app-services"])

    def add_apis(self, count: int) -> None:
        """API servers app-api-1 … app-api-`count`, each with a floating address."""
        names = [f"app-api-{number + 1}" for number in range(count)]
        self._ensure("api", names)
        self._publish(names)

    def add_workers(self, count: int) -> None:
        """Workers app-worker-1 … app-worker-`count`."""
        self._ensure("worker", [f"app-worker-{number + 1}" for number in range(count)])

    def user_data(self, role: str) -> str:
        """What a fresh server of this role runs at its first boot: a script, with the deployment's secret in it.

        Raises NotFound where it must name a server that is not there yet.
        """
        settings = {"FAAFO_SECRET": self.secret}
        if role == "all-in-one":
            flags = "-i database -i messaging -i faafo -r api -r worker -r demo"
        elif role == "controller":
            flags = "-i database -i messaging -i faafo -r api"
        elif role == "services":
            flags = "-i database -i messaging"
        elif role == "api":
            services = self._private_address("app-services")
            flags = "-i faafo -r api"
            settings |= {"FAAFO_QUEUE_URL": self._queue(services), "FAAFO_DATABASE_URL": self._database(services)}
            if self.images != IMAGES_IN_DATABASE:
                flags += f" -o {self.images}"
        else:
            small = bool(self.of_role("controller"))
            endpoint = self._url(self._private_address("app-controller" if small else "app-api-1"))
            queue = self._queue(self._private_address("app-controller" if small else "app-services"))
            flags = f"-i faafo -r worker -e {endpoint}"
            settings["FAAFO_QUEUE_URL"] = queue
        lines = ["#!/usr/bin/env bash", "set -eu"]
        if not self.embedded:
            package = os.environ.get("FAAFO_LAB_PACKAGE", "faafo-lab")
            lines += [
                "apt-get update -q && apt-get install -q -y python3-venv",
                f"python3 -m venv /opt/faafo && /opt/faafo/bin/pip install -q {shlex.quote(package)}",
                "export PATH=/opt/faafo/bin:$PATH",
            ]
        # in the environment, which only root reads: everybody on the server sees the arguments of its processes
        lines += [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
        lines.append(f"faafo-install {flags}")
        return "\n".join(lines) + "\n"

    def wait_serving(self) -> None:
        """Wait until every API answers that it is healthy, and the application lists every API and worker."""
        self.refresh()
        waiting: list[str] = []
        consoles_due = time.monotonic() + CONSOLE_PAUSE_SECONDS

        def look() -> Look:
            nonlocal consoles_due
            waiting[:] = self._not_serving()
            if waiting and time.monotonic() > consoles_due:
                consoles_due = time.monotonic() + CONSOLE_PAUSE_SECONDS
                self._look_for_failed_boots()
            return Look(len(self.servers) - len(waiting), len(self.servers), ", ".join(waiting))

        try:
            self.cloud.wait_until(look, "the application to serve", timeout_seconds=SERVING_LIMIT_SECONDS)
        except TimedOut as error:
            raise TopologyError(f"{error}{self._consoles(waiting)}") from error
        self.say(f"serving: {', '.join(self.servers)}")

    def _look_for_failed_boots(self) -> None:
        """Raise where a server's console log says that its user data or a service failed: waiting would not help."""
        for name, server in self.servers.items():
            console = self.cloud.console(server)
            if FAILED_BOOT.search(console):
                failed = f"The user data of {name} failed: does image {self.image.name!r} suit?"
            elif services := failed_services(console):
                failed = f"{' and '.join(services)} on {name} failed: its console log says why."
            else:
                continue
            raise TopologyError(
                f"{failed} Remove the application, repair it, and deploy again.{self._consoles([name])}"
            )

    def _consoles(self, names: Sequence[str]) -> str:
        """The ends of these servers' console logs, to go with an error."""
        return "".join(
            f"\nThe end of {name}'s console log:\n{self.cloud.console(self.servers[name], CONSOLE_LINES)}"
            for name in names
            if name in self.servers
        )

    def _not_serving(self) -> list[str]:
        missing = [name for name, url in self.endpoints.items() if not healthy(url)]
        if missing or not self.endpoints:
            return missing or ["an API server"]
        try:
            known = {(node["role"], node["name"]) for node in self._alive()}
        except TopologyError:
            return list(self.endpoints)
        wanted = [("api", server.name) for server in self.apis] + [("worker", server.name) for server in self.workers]
        return [name for role, name in wanted if (role, name) not in known]

    def _alive(self) -> list[dict[str, Any]]:
        """The nodes that the application has heard lately, without those whose server this object replaced."""
        return [
            node
            for node in self.nodes()
            if node["state"] != "lost" and (node["name"], node["started_at"]) not in self._gone
        ]

    # -- scaling ---------------------------------------------------------------------------------------------------

    def scale(self, *, api: int | None = None, worker: int | None = None) -> "Topology":
        """Add or remove API servers and workers until there are so many.

        A worker is drained before its server is deleted: it takes no new task and finishes what it has in hand.
        """
        self.refresh()
        if not self.of_role("services"):
            raise TopologyError("There is no app-services to scale: deploy the application first.")
        if (api is not None and api < 1) or (worker is not None and worker < 0):
            raise TopologyError(f"Scale to at least 1 API server and 0 workers, not api={api}, worker={worker}.")
        extra = max(0, (api or 0) - len(self.apis)) + max(0, (worker or 0) - len(self.workers))
        if extra:
            self.check(servers=extra, addresses=(api or 0) - len(self.endpoints))
        if worker is not None:
            self.remove([server for server in self.workers if numbered(server.name)[1] > worker])
        if api is not None:
            self.remove([server for server in self.apis if numbered(server.name)[1] > api])
            self.add_apis(api)
        if worker is not None:
            self.add_workers(worker)
        self.wait_serving()
        return self

    def drain(self, names: Sequence[str]) -> None:
        """Ask these workers to take no new task, and wait until they have finished what they have in hand."""
        endpoint = self.endpoint
        for name in names:
            self._ask(f"/v1/node/{name}", method="PUT", json={"drain": True})

        def look() -> Look:
            nodes = self._ask("/v1/node", endpoint=endpoint)["objects"]
            busy = [n["name"] for n in nodes if n["name"] in names and n["state"] not in ("drained", "lost")]
            return Look(len(names) - len(busy), len(names), ", ".join(busy))

        self.cloud.wait_until(look, f"{', '.join(names)} to finish", timeout_seconds=DRAIN_LIMIT_SECONDS)

    def remove(self, servers: Sequence[Server]) -> dict[str, str]:
        """Delete these servers, workers when they have finished what they have in hand; what became of each."""
        if not servers:
            return {}
        draining = [
            server.name for server in servers if server.metadata[ROLE_KEY] == "worker" and server.status == "ACTIVE"
        ]
        drained = "drained and deleted"
        if draining:
            try:
                self.drain(draining)
            except CloudError as error:
                drained = f"deleted, but not drained ({str(error).splitlines()[0]})"
                self.say(f"not drained ({error}) What they had in hand goes back to the queue.")
        self.cloud.delete_servers(servers)
        became = {server.name: drained if server.name in draining else "deleted" for server in servers}
        for name, done in became.items():
            self._report(f"server {name}", done)
        self.refresh()
        return became

    # -- removing --------------------------------------------------------------------------------------------------

    def remove_old_app(self) -> None:
        """Delete the servers and security groups of the lab, earlier chapters' too; keep the floating addresses."""
        self.refresh()
        servers = list(self.servers.values())
        if servers:
            self.cloud.delete_servers(servers)
        for server in servers:
            self._report(f"server {server.name}", "deleted")
        groups = [group for group in self.cloud.security_groups() if group.description.startswith(DESCRIPTION)]
        # A group that another group's rule names goes after it.
        for group in sorted(groups, key=lambda group: not any(rule.remote_group for rule in group.rules)):
            self.cloud.delete_security_group(group)
            self._report(f"security group {group.name}", "deleted")
        if not servers and not groups:
            self.say("nothing to remove: no server and no security group of the lab is here")
        self.servers = {}

    def destroy(self) -> None:
        """Delete all that the lab made: servers, security groups, floating addresses and the key pair."""
        self.remove_old_app()
        allocated = self._allocated().read_text(encoding="utf-8").split() if self._allocated().exists() else []
        mine = [ip for ip in self.cloud.floating_ips() if ip.id in allocated and ip.server_id is None]
        for address in mine:
            self.cloud.delete_floating_ip(address)
        if mine:
            self._report(f"{len(mine)} floating address{'es' * (len(mine) != 1)}", "released")
        self._allocated().unlink(missing_ok=True)
        if any(pair.name == keys.KEY_PAIR_NAME for pair in self.cloud.key_pairs()):
            self.cloud.delete_key_pair(keys.KEY_PAIR_NAME)
            self._report(f"key pair {keys.KEY_PAIR_NAME}", "deleted")

    # -- the parts -------------------------------------------------------------------------------------------------

    @property
    def image(self) -> Image:
        """The image that servers boot from."""
        self._image = self._image or self.cloud.image(self.image_name)
        return self._image

    @property
    def flavor(self) -> Flavor:
        """The flavor of every server."""
        self._flavor = self._flavor or self.cloud.flavor(self.flavor_name)
        return self._flavor

    @property
    def embedded(self) -> bool:
        """Whether the image has the application on board, as the embedded cloud's has."""
        return self.image.properties.get("os_distro") == EMBEDDED_DISTRO

    @property
    def queue_port(self) -> int:
        """Valkey's port on the embedded image, RabbitMQ's on a distribution that installs it."""
        return VALKEY_PORT if self.embedded else RABBITMQ_PORT

    def _queue(self, host: str) -> str:
        return (
            f"redis://:{self.secret}@{host}:{VALKEY_PORT}/0"
            if self.embedded
            else f"amqp://faafo:{self.secret}@{host}:{RABBITMQ_PORT}//"
        )

    def _database(self, host: str) -> str:
        return f"postgresql://faafo:{self.secret}@{host}:{DATABASE_PORT}/faafo"

    def _url(self, address: str) -> str:
        port = self.cloud.published_port(HTTP_PORT)
        return f"http://{address}" if port == HTTP_PORT else f"http://{address}:{port}"

    def _ensure(self, role: str, names: Sequence[str]) -> None:
        """Get or create servers of a role, together; return when each is switched on and has an address.

        On failure those that were made here are removed again.
        """
        self.refresh()
        if not names:
            return
        key = keys.ensure_key_pair(self.cloud)
        script, group = self.user_data(role), roles(self.queue_port)[role].group
        made_from = "\n".join([self.image.id, self.flavor.id, group, key.fingerprint, script])
        digest = hashlib.sha256(made_from.encode()).hexdigest()[:DIGEST_CHARACTERS]
        metadata = {ROLE_KEY: role, DIGEST_KEY: digest}
        if role == "api" and self.images != IMAGES_IN_DATABASE:
            metadata[IMAGES_KEY] = self.images
        there = {name: self.servers.get(name) for name in names}
        right = {
            name
            for name, old in there.items()
            if old and old.status == "ACTIVE" and old.metadata.get(DIGEST_KEY) == digest
        }
        if wrong := set(names) - right:
            self._note_gone(wrong)
        with ExitStack() as undo:
            for name, old in there.items():
                if name in right:
                    self._report(f"server {name}", "")
                    continue
                if old is not None:
                    self.say(f"server {name}: {old.status}, or made from something else: replacing it")
                    self.cloud.delete_servers([old])
                made = self.cloud.create_server(
                    name,
                    image=self.image,
                    flavor=self.flavor,
                    key_pair=key.name,
                    security_groups=[group],
                    user_data=script,
                    metadata=metadata,
                )
                undo.callback(self.cloud.delete_servers, [made])
                self.servers[name] = made
                self.built += 1
                self._report(f"server {name}", "created")
            self.cloud.wait_for([self.servers[name] for name in names])
            undo.pop_all()
        self.refresh()

    def _note_gone(self, names: Collection[str]) -> None:
        """Remember what the application still tells of servers that are to be made anew under the same names."""
        if not self.endpoints:
            return
        try:
            self._gone |= {(node["name"], node["started_at"]) for node in self.nodes() if node["name"] in names}
        except TopologyError as error:
            log.debug("nothing is known of earlier nodes: %s", error)

    def _publish(self, names: Iterable[str]) -> None:
        """Give each of these servers a floating address: a free one, else a new one."""
        for name in names:
            if self.servers[name].floating_addresses:
                continue
            had = {ip.id for ip in self.cloud.floating_ips()}
            address: FloatingIP = self.cloud.free_floating_ip()
            if address.id not in had:
                with self._allocated().open("a", encoding="utf-8") as file:
                    file.write(f"{address.id}\n")
            self.cloud.attach_floating_ip(self.servers[name], address)
            self._report(f"floating address of {name}", "attached")
        self.refresh()

    def _allocated(self) -> Path:
        """The file with the ids of the floating addresses that this lab allocated: only those may it release."""
        return allocated_file(self.cloud.name)

    def _private_address(self, name: str) -> str:
        server = self.servers.get(name)
        if server is None or not server.addresses:
            raise NotFound(f"There is no server {name} with an address: build it first.")
        return server.addresses[0]

    def _ask(self, path: str, *, method: str = "GET", endpoint: str | None = None, json: Any = None) -> Any:
        """Ask the application: any of its APIs that answers, the first one first."""
        urls = [endpoint] if endpoint else list(self.endpoints.values()) or [self.endpoint]
        problem = ""
        for url in urls:
            try:
                answer = direct.request(
                    method,
                    url + path,
                    json=json,
                    auth=direct.bearer(self.secret),
                    timeout=HTTP_TIMEOUT_SECONDS,
                )
                answer.raise_for_status()
                return answer.json()
            except requests.RequestException as error:
                problem = f"{url}{path}: {error}"
        raise TopologyError(f"No API of the application answers ({problem}).")

    def _report(self, what: str, done: str) -> None:
        self.say(f"{what}: {done or 'as it should be'}")


def discover(cloud: Cloud, say: Say = print) -> Topology:
    """The application as it runs on this cloud, found from nothing but the cloud; no servers where there is none."""
    return Topology(cloud, say=say).refresh()


def healthy(url: str) -> bool:
    """Whether the API at this URL says that it, its database and its queue are well."""
    try:
        return direct.get(f"{url}/health", timeout=HTTP_TIMEOUT_SECONDS).ok
    except requests.RequestException:
        return False


def failed_services(console: str) -> list[str]:
    """The application's services that a server could not start, by the last that its console log says of each."""
    last = {service: word for word, service in SERVICE_START.findall(console)}
    return [service for service, word in last.items() if word != "Started"]


def numbered(name: str) -> tuple[str, int]:
    """`app-worker-10` as ("app-worker", 10): sorts after 9."""
    match = re.fullmatch(r"(.*?)-?(\d*)", name)
    assert match is not None
    return match[1], int(match[2] or 0)
