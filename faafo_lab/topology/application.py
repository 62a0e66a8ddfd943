"""`Application`: the application's present servers, and what they are made from. It changes none of them."""

import functools
import hashlib
import os
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self

from faafo_lab import balancer
from faafo_lab.balancer import Balancer, NoBalancer
from faafo_lab.cloud import keys
from faafo_lab.cloud.arguments import checked
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, NotFound
from faafo_lab.cloud.lookup import floating_by_server
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Flavor, Image, Server, Volume
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology import objects, turn, user_data, volumes
from faafo_lab.topology.api import LOST, Api, Fractal, Node, Stats
from faafo_lab.topology.errors import TopologyError
from faafo_lab.topology.package import Package
from faafo_lab.topology.plan import numbered
from faafo_lab.topology.roles import HTTP_PORT, RABBITMQ_PORT, ROLES, VALKEY_PORT, Part, Role, role_named
from faafo_lab.topology.user_data import IMAGES_IN_DATABASE

DIGEST_CHARACTERS = 16
IMAGES_KEY = "faafo-lab-images"  # the metadata key of an API's place for pictures
WAITING_KEY = "faafo-lab-waiting-max"  # that of an API's bound on waiting fractals, if it is not the default
WAITING_LIMIT = 999_999_999
EMBEDDED_DISTRO = "faafo-lab"  # the Glance property os_distro of an image that includes the application

Say = Callable[[str], None]


class Application:
    """The application's servers on one cloud.

    Arguments: the cloud; the names of an image and a flavor (default: the environment's FAAFO_LAB_IMAGE and
    FAAFO_LAB_FLAVOR, else those of the embedded cloud); `say`, which is called with a line for each change; the chapter
    that works with it ("02"), if any: once another chapter has started, its methods raise TakenOver; how many fractals
    may wait at once at new APIs (None: as at the present ones, initially the application's own default). Raises
    TopologyError if that is out of range.

    `servers` are those of the lab as they were listed last, by name. Each change replaces the mapping, so that another
    thread may iterate over it meanwhile. If two share a name, the younger's key includes its id: "app-api-1 (ID)".
    """

    def __init__(
        self,
        cloud: Cloud,
        *,
        image: str | None = None,
        flavor: str | None = None,
        say: Say = print,
        chapter: str | None = None,
        waiting_max: int | None = None,
    ) -> None:
        if waiting_max is not None and not 1 <= waiting_max <= WAITING_LIMIT:
            raise TopologyError(f"waiting_max must be from 1 to {WAITING_LIMIT}, not {waiting_max}.")
        self.cloud = cloud
        self.chapter = chapter
        self.image_name = image or os.environ.get("FAAFO_LAB_IMAGE") or "faafo-lab"
        self.flavor_name = flavor or os.environ.get("FAAFO_LAB_FLAVOR") or "m1.tiny"
        self.say = say
        self.secret = keys.derive_secret("faafo")
        self._image: Image | None = None
        self._flavor: Flavor | None = None
        self._images: str | None = None
        self._waiting_max = waiting_max
        self.servers: dict[str, Server] = {}
        self._front: tuple[Balancer | None] | None = None  # the load balancer, if it was looked up
        self._volume: tuple[Volume | None] | None = None  # the database's volume, if it was looked up
        self._taken: set[str] = set()  # the private addresses of the project's other servers
        self.planned_vip: str | None = None  # during a change: the VIP that new workers are given; "": none
        self.built = 0  # how many servers this object created
        self.gone: set[tuple[str, str]] = set()  # name and start of the programs whose servers this object replaced

    def __repr__(self) -> str:
        there = ", ".join(self.servers) or "no servers"
        return f"<{type(self).__name__} on {self.cloud.name} through {self.cloud.backend}: {there}>"

    # -- what is there ---------------------------------------------------------------------------------------------

    def refresh(self) -> Self:
        """List the lab's servers on the cloud, with their floating IPs, which a server's own record shows
        seconds later."""
        turn.check(self.cloud, self.chapter)
        found: dict[str, Server] = {}
        floating = floating_by_server(self.cloud.floating_ips())
        others: set[str] = set()
        for server in self.cloud.servers():  # the oldest first
            if ROLE_KEY not in server.metadata:
                others.update(server.addresses)
            else:
                server = replace(server, floating_addresses=floating.get(server.id, ()))
                found[f"{server.name} ({server.id})" if server.name in found else server.name] = server
        self.servers = dict(sorted(found.items(), key=lambda item: numbered(item[1].name)))
        self._taken = others
        self._volume = None
        if self.planned_vip is None:  # a change knows itself what becomes of it
            self._front = None
        return self

    @property
    def doubles(self) -> list[str]:
        """The names that several servers have: somebody else built this application at the same time."""
        return sorted({server.name for name, server in self.servers.items() if name != server.name})

    def of_role(self, role: str) -> list[Server]:
        """The servers of this role, by number."""
        return [server for server in self.servers.values() if server.metadata[ROLE_KEY] == role]

    @property
    def apis(self) -> list[Server]:
        """The servers that serve the API, those of the smaller layouts included."""
        return [server for role in ROLES.values() if role.serves for server in self.of_role(role.name)]

    @property
    def workers(self) -> list[Server]:
        """The servers that only compute fractals."""
        return self.of_role("worker")

    @property
    def images(self) -> str:
        """The APIs' place for pictures: "database", "objects", or "file:///DIRECTORY" on their own disks."""
        known = (server.metadata[IMAGES_KEY] for server in self.apis if IMAGES_KEY in server.metadata)
        return self._images or next(known, IMAGES_IN_DATABASE)

    @property
    def volume(self) -> Volume | None:
        """The database's volume, looked up once after each `refresh`; None: app-services has its files."""
        if self._volume is None:
            self._volume = (volumes.find(self.cloud),)
        return self._volume[0]

    @volume.setter
    def volume(self, volume: Volume | None) -> None:
        self._volume = (volume,)

    @property
    def kept_address(self) -> str:
        """The private address of app-services that a new one is given where the database is on a volume, so that all
        others find it; "": any, as none is known or somebody else has it."""
        if self.volume is None:
            return ""
        for services in self.of_role("services"):
            return next(iter(services.addresses), "")
        known = {
            server.metadata[volumes.SERVICES_KEY]
            for server in self.servers.values()
            if volumes.SERVICES_KEY in server.metadata
        }
        taken = self._taken.union(*(server.addresses for server in self.servers.values()))
        return known.pop() if len(known) == 1 and not known & taken else ""

    @property
    def kept_parts(self) -> tuple[Part, ...]:
        """The parts of the application whose address stays, whatever becomes of app-services."""
        return role_named("services").offers if self.kept_address else ()

    @property
    def waiting_max(self) -> int | None:
        """The number of fractals that may wait at once; None: the application's own default."""
        known = (int(server.metadata[WAITING_KEY]) for server in self.apis if WAITING_KEY in server.metadata)
        return self._waiting_max or next(known, None)

    @property
    def endpoints(self) -> dict[str, str]:
        """The APIs' URLs at their floating IPs, by server name."""
        turn.check(self.cloud, self.chapter)
        return {
            server.name: self._url(server.floating_addresses[0]) for server in self.apis if server.floating_addresses
        }

    @property
    def front(self) -> Balancer | None:
        """The load balancer as it was when it was first asked for after the last `refresh`, or was changed since; None
        if there is none."""
        if self._front is None:
            self._front = (self.balancer,)
        return self._front[0]

    @front.setter
    def front(self, balancer: Balancer | None) -> None:
        self._front = (balancer,)

    @property
    def balancer(self) -> Balancer | None:
        """The load balancer in front of the APIs as it is now; None if there is none."""
        try:
            return balancer.find(self.cloud)
        except NoBalancer:
            return None

    @property
    def balanced(self) -> dict[str, str]:
        """The load balancer's URL, by its name, as `endpoints` has the APIs'. Raises TopologyError without one."""
        turn.check(self.cloud, self.chapter)
        if self.front is None or not self.front.floating_address:
            raise TopologyError(
                "The application has no load balancer with a floating IP: app.deploy(..., balancer=True) builds one, "
                "where the cloud has load balancers; app.endpoints are the APIs' own addresses."
            )
        return {self.front.name: self._url(self.front.floating_address)}

    @property
    def endpoint(self) -> str:
        """The load balancer's URL, else the first API's. Raises TopologyError if no API with a floating IP runs."""
        if self.front and self.front.floating_address:
            return next(iter(self.balanced.values()))
        try:
            return next(iter(self.endpoints.values()))
        except StopIteration:
            raise TopologyError("No API server with a floating IP is running: deploy the application first.") from None

    @property
    def api(self) -> Api:
        """A client of the application's API, which any of its servers may answer."""
        return Api(lambda: self.endpoints.values(), self.secret)

    def nodes(self) -> list[Node]:
        """Every API and worker as the application itself lists it: role, state, load, its tasks' uuids."""
        return self.api.nodes()

    def fractals(self) -> list[Fractal]:
        """Every fractal that was ordered, oldest first, as the API lists it."""
        return self.api.fractals()

    def stats(self) -> Stats:
        """The fractals' counts by state, and the age of the oldest waiting one (seconds)."""
        return self.api.stats()

    # -- workers finish first ---------------------------------------------------------------------------------------

    @checked
    def drain(self, names: Iterable[str]) -> None:
        """Drain these workers: they take no new task; returns when they have finished their in-flight work.

        Raises NotFound if the application has no worker of such a name; then none is drained.
        """
        api, names = self.api, list(names)
        workers = [node["name"] for node in api.nodes() if node["role"] == "worker"]
        for name in names:
            if name not in workers:
                raise NotFound.among("worker", name, workers)
        for name in names:
            api.drain(name)

        def look() -> Look:
            busy = [n for n in api.nodes() if n["name"] in names and n["state"] not in ("drained", LOST)]
            for node in busy:
                if not node["drain"]:  # its program has started anew since it was told
                    api.drain(node["name"])
            return Look(len(names) - len(busy), len(names), ", ".join(node["name"] for node in busy))

        self.cloud.wait_until(look, "workers drained")

    def drain_workers(self, servers: Sequence[Server]) -> dict[str, str]:
        """Drain the workers among these servers, if they and an API run; returns the words to report, by name."""
        names = [s.name for s in servers if s.metadata[ROLE_KEY] == "worker" and s.status == "ACTIVE"]
        if not names:
            return {}
        words = "drained and deleted"
        try:
            self.drain(names)
        except CloudError as error:
            words = f"deleted, but not drained ({str(error).splitlines()[0]})"
            self.say(f"not drained ({error}) Their in-flight work returns to the queue.")
        return dict.fromkeys(names, words)

    # -- what servers are made from --------------------------------------------------------------------------------

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
        """Whether the image includes the application, as the embedded cloud's does."""
        return self.image.properties.get("os_distro") == EMBEDDED_DISTRO

    @property
    def queue_port(self) -> int:
        """Valkey's port on the embedded image, RabbitMQ's on a distribution that installs it."""
        return VALKEY_PORT if self.embedded else RABBITMQ_PORT

    @functools.cached_property
    def package(self) -> Package | None:
        """The application's package for servers; None if their image includes the application."""
        return None if self.embedded else Package(self.cloud)

    def user_data(self, role: str, url: str = "") -> str:
        """The script that a new server of this role runs at its first boot, with the deployment's secret in it.

        `url`: the address of the application's package, "" for none. Raises NotFound if the script must name a server
        that does not exist yet.
        """
        kind = role_named(role)
        volume = self.volume.id if self.volume and kind.keeps_volume else ""
        return self._script(kind, {part: self._part_urls(part) for part in kind.needs}, url, volume)

    def _script(self, role: Role, urls: Mapping[Part, Sequence[str]], url: str = "", volume: str = "") -> str:
        return user_data.script(
            role,
            urls,
            before=self.package.script(url) if self.package else "",
            secret=self.secret,
            images=self._images_url() if role.chooses_images else user_data.IMAGES_IN_DATABASE,
            balanced=bool(self._vip),
            own_url=self._url(user_data.OWN_ADDRESS),
            waiting_max=self.waiting_max,
            volume=volume,
        )

    def _images_url(self) -> str:
        """The APIs' place for pictures, as they know it. Raises NotFound if the object store has no credential yet."""
        return objects.url(self.cloud) if self.images == objects.OBJECTS else self.images

    def _part_urls(self, part: Part) -> list[str]:
        """The URLs of this part of the application, one for each server of a role that offers it."""
        offering = [role for role in ROLES.values() if part in role.offers]
        hosts = [server.addresses[0] for role in offering for server in self.of_role(role.name) if server.addresses]
        if not hosts and part in self.kept_parts:
            hosts = [self.kept_address]
        if not hosts:
            raise NotFound(f"There is no server {offering[-1].server_names(1)[0]} with an address: build it first.")
        if part == "endpoint" and self._vip:
            hosts = [self._vip]
        urls: dict[Part, Callable[[str], str]] = {
            "endpoint": self._url,
            "queue": lambda host: user_data.queue_url(host, self.secret, embedded=self.embedded),
            "database": lambda host: user_data.database_url(host, self.secret),
        }
        return [urls[part](host) for host in hosts]

    def digest(self, role: Role) -> str:
        """The digest of what a new server of this role is made from; "" if a server that it needs is missing.

        The APIs' addresses do not count: workers learn them from the application, as APIs come and go. A load
        balancer's VIP does: it is all that its workers know. The database's volume does not: it can be moved there.
        """
        try:
            urls = {part: self._digested_urls(part) for part in role.needs}
            script = self._script(role, urls)
        except NotFound:
            return ""
        made_from = "\n".join([self.image.id, self.flavor.id, role.group, fingerprint(keys.public_key()), script])
        return hashlib.sha256(made_from.encode()).hexdigest()[:DIGEST_CHARACTERS]

    @property
    def _vip(self) -> str:
        """The VIP through which new workers hand in results; "": they go to the APIs themselves."""
        if self.planned_vip is not None:
            return self.planned_vip
        return self.front.address if self.front else ""

    def _digested_urls(self, part: Part) -> list[str]:
        if part != "endpoint":
            return self._part_urls(part)
        return [self._url(self._vip)] if self._vip else []

    # -- for those that change it -----------------------------------------------------------------------------------

    def know(self, servers: Iterable[Server]) -> None:
        """Update `servers` with these servers' present state."""
        known = {**self.servers, **{server.name: server for server in servers}}
        self.servers = dict(sorted(known.items(), key=lambda item: numbered(item[1].name)))

    def report(self, what: str, done: str) -> None:
        """Print in a line what was done to a server or group; "": unchanged."""
        self.say(f"{what}: {done or 'unchanged'}")

    def _url(self, address: str) -> str:
        port = self.cloud.published_port(HTTP_PORT)
        return f"http://{address}" if port == HTTP_PORT else f"http://{address}:{port}"


def fingerprint(public_key: str) -> str:
    """An OpenSSH public key's fingerprint in Nova's form: its MD5 sum."""
    digest = hashlib.md5(b64decode(public_key.split()[1]), usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
