"""`Cloud`: the one small interface to an OpenStack.

A backend (`shade.py`, `libcloud.py`, `openstacksdk.py`) implements the abstract methods, one short `@verb` per verb of
the tutorial, and says which errors its library raises and what they mean. Whatever all backends share is written
once, here (lookup by name, get-or-create, waiting, preflight checks, running commands) and in `objects.py` (the verbs
of the object store) and `volumes.py` (those of block storage).
Methods take and return the dataclasses of `model.py`, and raise the errors of `errors.py`.

Where a method takes a server, image, flavor, group, … it takes the dataclass, or a name or id.
"""

from __future__ import annotations

import html
import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, TypeVar

from faafo_lab.cloud import console_log, direct, marks, preflight, receipt, records, sdk, ssh
from faafo_lab.cloud.arguments import checked
from faafo_lab.cloud.config import CloudConfig, load
from faafo_lab.cloud.errors import (
    BadRequest,
    CloudError,
    CloudFailed,
    Forbidden,
    Interrupted,
    InUse,
    NotFound,
    ServerFailed,
    Unreachable,
)
from faafo_lab.cloud.lookup import pick, pick_network
from faafo_lab.cloud.model import (
    STATUSES,
    Flavor,
    FloatingIP,
    Image,
    KeyPair,
    Limits,
    Made,
    Network,
    Rule,
    SecurityGroup,
    Server,
    Snapshot,
    Volume,
)
from faafo_lab.cloud.objects import ObjectStore
from faafo_lab.cloud.objects import temporary_key as temporary_key
from faafo_lab.cloud.receipt import Ledger, Receipt
from faafo_lab.cloud.tape import Recorder, Tape
from faafo_lab.cloud.volumes import BlockStorage
from faafo_lab.cloud.waiting import Look, wait_until
from faafo_lab.tables import scrolling

T = TypeVar("T")

CONSOLE_LINES = 20  # how much of a failed server's console log its error shows
USER_DATA_BYTES_MAX = 49_149  # Nova's limit: 65,535 characters in base64


class Cloud(ObjectStore, BlockStorage):
    """A project on an OpenStack. Get one from `faafo_lab.connect()`.

    Methods raise only `CloudError`s. Several threads may call them; one object's calls run one at a time.
    """

    backend: ClassVar[str]  # the name of the client library: one of `BACKENDS`
    library_errors: ClassVar[tuple[type[Exception], ...]]  # its exceptions, which `_translate` converts to the lab's

    def __init__(self, config: CloudConfig) -> None:
        self.config = config
        self.name = config.name
        self._recorder = Recorder(self.backend)
        self._ledger = Ledger()
        self._lock = threading.RLock()
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()  # of requests, that the library sends with
        self._openstacksdk: Any = None  # see `sdk.connection`

    # ---- what every backend implements: its library's errors, and the verbs ----

    @abstractmethod
    def _translate(self, error: Exception) -> CloudError:
        """The lab's error for one of `library_errors`."""

    @abstractmethod
    def _alone(self, id: str) -> Server:
        """One server by a request of its own: Nova's list has no `fault`."""

    @abstractmethod
    def images(self) -> list[Image]:
        """All images that the project may use."""

    @abstractmethod
    def flavors(self) -> list[Flavor]:
        """All flavors, smallest memory first."""

    @abstractmethod
    def key_pairs(self) -> list[KeyPair]:
        """The user's key pairs."""

    @abstractmethod
    def create_key_pair(self, name: str, public_key: str) -> KeyPair:
        """Import an OpenSSH public key. Raises AlreadyExists where the name is taken."""

    @abstractmethod
    def delete_key_pair(self, key_pair: KeyPair | str) -> None:
        """Delete a key pair; existing servers keep its public key."""

    @abstractmethod
    def security_groups(self) -> list[SecurityGroup]:
        """The project's security groups, with their rules."""

    @abstractmethod
    def create_security_group(self, name: str, description: str = "") -> SecurityGroup:
        """Create a group that lets nobody in. (OpenStack allows several with one name: see `get_or_create_…`.)"""

    @abstractmethod
    def delete_security_group(self, group: SecurityGroup | str) -> None:
        """Delete a group, and the rules of other groups that name it. Raises InUse while a server has it."""

    @abstractmethod
    def add_rule(
        self,
        group: SecurityGroup | str,
        port_min: int,
        port_max: int | None = None,
        protocol: str = "tcp",
        remote_prefix: str | None = None,
        remote_group: SecurityGroup | str | None = None,
    ) -> Rule:
        """Allow connections to ports `port_min`..`port_max` (default: that one), from a CIDR, from the members of
        a group, or, with neither, from anywhere. Raises AlreadyExists if the group has this rule."""

    @abstractmethod
    def delete_rule(self, rule: Rule) -> None:
        """Delete a rule; connections that it allowed may stay open."""

    @abstractmethod
    def servers(self) -> list[Server]:
        """All of the project's servers, in one call, oldest first."""

    @abstractmethod
    def create_server(
        self,
        name: str,
        *,
        image: Image | str,
        flavor: Flavor | str,
        key_pair: KeyPair | str | None = None,
        security_groups: Iterable[SecurityGroup | str] = (),
        user_data: str = "",
        metadata: Mapping[str, str] | None = None,
        network: Network | str | None = None,
        address: str | None = None,
    ) -> Server:
        """Request a server and return at once (status BUILD): see `wait_for`.

        `user_data` is a script that runs at the first boot. Without `network` the server joins the one that
        clouds.yaml names, else the project's only one; without `address` it is given any free private address there.
        """

    @abstractmethod
    def delete_server(self, server: Server | str) -> None:
        """Request a server's deletion and return at once: see `delete_servers`."""

    @abstractmethod
    def reboot_server(self, server: Server | str, hard: bool = False) -> None:
        """Reboot; `hard` cuts the power instead of shutting down."""

    @abstractmethod
    def stop_server(self, server: Server | str) -> None:
        """Shut down, keeping disk and addresses (status SHUTOFF)."""

    @abstractmethod
    def start_server(self, server: Server | str) -> None:
        """Boot a stopped server."""

    @abstractmethod
    def console(self, server: Server | str, lines: int | None = None) -> str:
        """The console log, or its last `lines` lines, as text without escape codes (`console_log.readable`)."""

    @abstractmethod
    def networks(self) -> list[Network]:
        """The project's networks, and those that are shared with it."""

    @abstractmethod
    def floating_ips(self) -> list[FloatingIP]:
        """The project's floating IPs."""

    @abstractmethod
    def create_floating_ip(self, description: str = marks.ALLOCATED) -> FloatingIP:
        """Allocate a floating IP from the external network (clouds.yaml may name which).

        Its description marks it as the lab's, so that it is found again even if nobody read the cloud's answer.
        """

    @abstractmethod
    def attach_floating_ip(self, server: Server | str, ip: FloatingIP | str) -> FloatingIP:
        """Attach a floating IP (or its address, "203.0.113.7") to a server's first private address.

        Raises InUse if the server has none yet, NotFound if no router leads to its network.
        """

    @abstractmethod
    def detach_floating_ip(self, ip: FloatingIP | str) -> FloatingIP:
        """Detach a floating IP from its server; the project keeps it."""

    @abstractmethod
    def delete_floating_ip(self, ip: FloatingIP | str) -> None:
        """Release a floating IP: the project loses it."""

    @abstractmethod
    def limits(self) -> Limits:
        """The project's quotas, and how much of each is used."""

    # ---- looking up, by name or id: NotFound names what exists, Ambiguous asks for an id ----

    @checked
    def image(self, name_or_id: str) -> Image:
        """The image of this name or id."""
        return pick("image", self.images(), name_or_id)

    @checked
    def flavor(self, name_or_id: str) -> Flavor:
        """The flavor of this name or id."""
        return pick("flavor", self.flavors(), name_or_id)

    @checked
    def key_pair(self, name: str) -> KeyPair:
        """The key pair of this name."""
        return pick("key pair", self.key_pairs(), name)

    @checked
    def security_group(self, name_or_id: str) -> SecurityGroup:
        """The security group of this name or id."""
        return pick("security group", self.security_groups(), name_or_id)

    @checked
    def server(self, name_or_id: str) -> Server:
        """The server of this name or id; with its `fault`, if it is in ERROR."""
        server = pick("server", self.servers(), name_or_id)
        return self._alone(server.id) if server.status == "ERROR" else server

    @checked
    def network(self, name_or_id: str) -> Network:
        """The network of this name or id."""
        return pick("network", self.networks(), name_or_id)

    @checked
    def floating_ip(self, address_or_id: str) -> FloatingIP:
        """The floating IP of this address or id."""
        ips = self.floating_ips()
        for ip in ips:
            if address_or_id.lower() in (ip.address, ip.id):
                return ip
        raise NotFound.among("floating IP", address_or_id, [ip.address for ip in ips])

    @checked
    def volume(self, name_or_id: str) -> Volume:
        """The volume of this name or id."""
        return pick("volume", self.volumes(), name_or_id)

    @checked
    def snapshot(self, name_or_id: str) -> Snapshot:
        """The snapshot of this name or id."""
        return pick("snapshot", self.snapshots(), name_or_id)

    # ---- get or create: `server, made = …`; `made` says whether it was created now ----

    @checked
    def get_or_create_security_group(self, name: str, description: str = "") -> Made[SecurityGroup]:
        """The security group of this name."""
        try:
            return Made(self.security_group(name), False)
        except NotFound:
            return Made(self.create_security_group(name, description), True)

    @checked
    def get_or_create_rule(
        self,
        group: SecurityGroup | str,
        port_min: int,
        port_max: int | None = None,
        protocol: str = "tcp",
        remote_prefix: str | None = None,
        remote_group: SecurityGroup | str | None = None,
    ) -> Made[Rule]:
        """The rule that `add_rule` would make; the group is looked up afresh."""
        group = self.security_group(group if isinstance(group, str) else group.id)
        remote_group = self._group(remote_group) if remote_group else None
        rule = group.rule(port_min, port_max, protocol, remote_prefix, remote_group.id if remote_group else None)
        if rule is not None:
            return Made(rule, False)
        return Made(self.add_rule(group, port_min, port_max, protocol, remote_prefix, remote_group), True)

    @checked
    def get_or_create_server(self, name: str, **arguments: Any) -> Made[Server]:
        """The server of this name, else a new one (`create_server`'s arguments)."""
        try:
            return Made(self.server(name), False)
        except NotFound:
            return Made(self.create_server(name, **arguments), True)

    @checked
    def get_or_create_volume(
        self, name: str, gigabytes: int, *, snapshot: Snapshot | str | None = None, description: str = marks.CREATED
    ) -> Made[Volume]:
        """The volume of this name, whatever its size and content, once it can be used."""
        try:
            return Made(self._usable(self.volume(name)), False)
        except NotFound:
            return Made(self.create_volume(name, gigabytes, snapshot=snapshot, description=description), True)

    def free_floating_ip(self) -> FloatingIP:
        """A floating IP without a server: one of the project's, else a new one."""
        for ip in self.floating_ips():
            if ip.server_id is None:
                return ip
        return self.create_floating_ip()

    # ---- waiting ----

    @checked
    def wait_until(
        self,
        look: Callable[[], Look | bool],
        what: str,
        timeout_seconds: float | None = None,
        progress: bool = True,
    ) -> None:
        """Wait until `look()` is done, with a progress bar that names `what`: see `waiting.wait_until`.

        Without `timeout_seconds` the limit is the cloud's own, `config.wait_seconds`, as in every wait here.
        """
        limit_seconds = self.config.wait_seconds if timeout_seconds is None else timeout_seconds
        wait_until(look, what, limit_seconds, progress=progress)

    @checked
    def wait_for(
        self,
        servers: Server | str | Iterable[Server | str],
        status: str = "ACTIVE",
        timeout_seconds: float | None = None,
        progress: bool = True,
    ) -> list[Server]:
        """Wait until all these servers have this status; returns their new records, in the given order.

        Raises ServerFailed if one is in ERROR, NotFound if one was deleted or no such status exists, TimedOut at the
        limit.
        """
        status = status.upper()
        if status not in STATUSES:
            raise NotFound.among("server status", status, STATUSES)
        ids = [self._server(server).id for server in _many(servers)]
        names: dict[str, str] = {}
        found: dict[str, Server] = {}

        def look() -> Look:
            found.clear()
            found.update((server.id, server) for server in self.servers() if server.id in ids)
            for id in ids:
                if id not in found:
                    raise NotFound(f"Server {names.get(id, id)!r} was deleted during the wait.")
                names[id] = found[id].name
                if found[id].status == "ERROR" and status != "ERROR":
                    raise self._failure(found[id])
            late = [server for server in found.values() if server.status != status]
            seen = ", ".join(f"{server.name} {server.status}" for server in late)
            return Look(len(ids) - len(late), len(ids), seen)

        if ids:
            self.wait_until(look, f"servers {status}", timeout_seconds, progress)
        return [found[id] for id in ids]

    @checked
    def delete_servers(
        self,
        servers: Iterable[Server | str],
        timeout_seconds: float | None = None,
        progress: bool = True,
    ) -> None:
        """Delete these servers together and wait until none is left; no error for those that don't exist."""
        ids = []
        for server in _many(servers):
            with suppress(NotFound):
                server = self._server(server)
                ids.append(server.id)
                self.delete_server(server)

        def look() -> Look:
            left = [server for server in self.servers() if server.id in ids]
            return Look(len(ids) - len(left), len(ids), ", ".join(f"{s.name} {s.status}" for s in left))

        if ids:
            self.wait_until(look, "servers deleted", timeout_seconds, progress)

    # ---- before anything is built ----

    @checked
    def preflight(
        self,
        servers: int,
        flavor: Flavor | str | Sequence[Flavor | str],
        image: Image | str,
        floating_ips: int = 0,
        security_groups: int = 0,
        security_group_rules: int = 0,
        key_pairs: int = 0,
        volumes: Sequence[int] = (),
    ) -> Limits:
        """Check, before anything is built, that the project has room for all this.

        Each number counts new resources (`floating_ips`: the needed ones, for which free ones serve); a new security
        group has two rules by itself, which count. `flavor` is one for all `servers`, or one for each; `volumes` are
        the gigabytes of each. Returns the limits. Raises AuthError or Unreachable if the cloud can't be queried, else
        NotReady with all that is missing.
        """
        offer = preflight.Offer(
            self.limits(),  # the first call: it shows whether the cloud answers and accepts the credentials
            self.flavors(),
            [image] if isinstance(image, Image) else self.images(),
            self.networks(),
            self.floating_ips() if floating_ips > 0 else [],
            self.security_groups() if security_group_rules > 0 else [],
            self.key_pairs() if key_pairs > 0 else [],
            self.volume_limits() if volumes else None,
        )
        flavors = [flavor] * servers if isinstance(flavor, str | Flavor) else flavor
        wanted = preflight.Wanted(
            servers, flavors, floating_ips, security_groups, security_group_rules, key_pairs, volumes
        )
        preflight.check(offer, self.config, image, wanted)
        return offer.limits

    # ---- on the servers ----

    @checked
    def published_port(self, port: int) -> int:
        """The port at which a server's `port` is reached from outside.

        On a real cloud it is the same port. The embedded one, where its user may not bind ports below 1024, publishes
        those higher (80 → 8080) and says so in clouds.yaml.
        """
        return port + self.config.port_offset if port < 1024 else port

    @checked
    def run(self, server: Server | str, command: str, timeout_seconds: float = 60, check: bool = False) -> ssh.Result:
        """Run a shell command on a server over SSH, from a jump host where it has no floating IP: see `ssh.run`."""
        return ssh.run(self, self._there(server), command, timeout_seconds=timeout_seconds, check=check)

    @checked
    def upload(self, server: Server | str, data: bytes, path: str, timeout_seconds: float = 600) -> None:
        """Write a file on a server over SSH: see `ssh.upload`."""
        ssh.upload(self, self._there(server), data, path, timeout_seconds=timeout_seconds)

    # ---- what was done ----

    @checked
    def tape(self, last: int | None = None) -> Tape:
        """The HTTP calls of the last cell that made any, or the `last` N calls: see `tape.py`."""
        return self._recorder.tape(last)

    @checked
    def receipt(self, price_per_server_hour: float | None = None) -> Receipt:
        """What was used since this object was created, and which lab resources remain on the cloud: see `receipt.py`.

        With a price that you invent, it says what the servers cost, and what deleting some saved.
        """
        servers = self.servers()  # which the ledger sees too
        return receipt.make(
            self.name,
            self.backend,
            self._ledger,
            servers,
            self.floating_ips(),
            self.security_groups(),
            self.key_pairs(),
            self.flavors() if self._ledger.lives else [],
            _if_any(self.containers),
            {each["id"]: each["name"] for each in _if_any(lambda: sdk.application_credentials(self))},
            price_per_server_hour,
            _if_any(lambda: sdk.load_balancers(self)),
            _if_any(self.volumes),
            _if_any(self.snapshots),
        )

    @property
    def created(self) -> Mapping[str, Mapping[str, str]]:
        """The resources that this object created, also deleted ones: for each kind ("servers", …), names by id."""
        return self._ledger.created

    @property
    def services(self) -> Mapping[str, str]:
        """The services' unversioned addresses by type ("compute", …), from the last login; none before it."""
        return self._recorder.services.endpoints

    def again(self) -> Cloud:
        """Another connection to the same project, for another thread: with the same receipt, and a tape of its own."""
        other = type(self)(load(self.name))  # read anew: a session, and its login, belong to what was read
        other._ledger = self._ledger
        return other

    def close(self) -> None:
        """Close the connections. (Client libraries keep them until the process ends.) A later call opens new ones."""
        for session in list(self._sessions):
            session.close()

    # ---- how it shows ----

    def __repr__(self) -> str:
        project, region = self.config.project or "?", self.config.region or "?"
        return f"<Cloud {self.name!r} through {self.backend}: project {project}, region {region}>"

    def _repr_html_(self) -> str:
        cells = {"cloud": self.name, "backend": self.backend, "project": self.config.project or "?"}
        cells |= {"region": self.config.region or "?", "identity": self.config.auth_url or "?"}
        rows = "".join(f"<tr><th>{key}</th><td>{html.escape(value)}</td></tr>" for key, value in cells.items())
        return scrolling(rows)

    # ---- for the backends ----

    @contextmanager
    def _calling(
        self, what: str, errors: tuple[type[Exception], ...], translate: Callable[[Exception], CloudError]
    ) -> Iterator[None]:
        """Around a library's calls: one thread at a time, noted as `what`'s; its errors become the lab's, and an
        interrupt says what it interrupted."""
        try:
            with self._lock, self._recorder.during(what):
                yield
        except errors as error:
            raise translate(error) from error
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted(f"{what} was in progress") from None

    def _taped(self, session: Any) -> None:
        """Record a requests session on the tape; with a cloud on this machine, it ignores the environment's
        settings."""
        direct.settle(session, self.config.auth_url)
        self._recorder.tap(session)
        self._sessions.add(session)

    def _image(self, image: Image | str) -> Image:
        return self.image(image) if isinstance(image, str) else image

    def _flavor(self, flavor: Flavor | str) -> Flavor:
        return self.flavor(flavor) if isinstance(flavor, str) else flavor

    def _server(self, server: Server | str) -> Server:
        return self.server(server) if isinstance(server, str) else server

    def _there(self, server: Server | str) -> Server:
        """The server's present record, or the given one if the cloud does not answer. Raises NotFound."""
        if isinstance(server, str):
            return self.server(server)
        try:
            there = {now.id: now for now in self.servers()}
        except (Unreachable, CloudFailed):
            return server
        if server.id not in there:
            raise NotFound(f"There is no server {server.name!r} any more: it was deleted. Create it again.")
        return there[server.id]

    def _group(self, group: SecurityGroup | str) -> SecurityGroup:
        return self.security_group(group) if isinstance(group, str) else group

    def _ip(self, ip: FloatingIP | str) -> FloatingIP:
        return self.floating_ip(ip) if isinstance(ip, str) else ip

    def _group_names(self, groups: Iterable[SecurityGroup | str]) -> list[str]:
        return [group if isinstance(group, str) else group.name for group in groups]

    def _named(self, name: str) -> str:
        """A new server's name. Raises BadRequest if it is empty."""
        if not name:
            raise BadRequest("A server needs a name: give it one, such as 'app-worker-1'.")
        return name

    def _script(self, user_data: str) -> str:
        """User data within Nova's limit. Raises BadRequest for more."""
        size = len(user_data.encode())
        if size > USER_DATA_BYTES_MAX:
            raise BadRequest(
                f"The user data has {size:,} bytes, and OpenStack accepts {USER_DATA_BYTES_MAX:,}: "
                f"shorten it, or let it download the large parts."
            )
        return user_data

    def _attached(self, server: Server, ip: FloatingIP) -> FloatingIP:
        """The floating IP's record after it was attached. Raises InUse if it leads to no server."""
        ip = self.floating_ip(ip.id)
        if ip.server_id is None:
            raise self._no_port(server, ip)
        return ip

    def _no_port(self, server: Server, ip: FloatingIP) -> InUse:
        return InUse(
            f"Server {server.name!r} has no port yet that {ip.address} could lead to: wait until it is ACTIVE "
            f"(`cloud.wait_for`), and try again."
        )

    def _key_name(self, key_pair: KeyPair | str | None) -> str | None:
        return key_pair.name if isinstance(key_pair, KeyPair) else key_pair

    def _network_for(self, network: Network | str | None, address: str | None = None) -> Network | None:
        """A new server's network: the requested one, else clouds.yaml's, else the only one (None, unless Nova needs it
        for a fixed address)."""
        name = network or self.config.network
        if address and not name:
            return pick_network(self.config, self.networks(), external=False)
        return self.network(name) if isinstance(name, str) else name

    def _external_network(self) -> Network:
        """The network that floating IPs come from: clouds.yaml's, else the only external one."""
        return pick_network(self.config, self.networks(), external=True)

    def _limits(self, compute: records.Record, quota: records.Record) -> Limits:
        """From Nova's `limits.absolute`, Neutron's `quota`, and what is there on the network."""
        addresses, groups = len(self.floating_ips()), len(self.security_groups())
        return records.limits(compute, quota, floating_ips=addresses, security_groups=groups)

    def _failure(self, server: Server) -> ServerFailed:
        try:
            console = console_log.tail(self.console(server), CONSOLE_LINES)
        except CloudError:  # a server that never started may have no console: its fault matters more
            console = ""
        return ServerFailed(server.name, self._alone(server.id).fault, console)


ABSTRACT = [name for name in vars(Cloud) if name in Cloud.__abstractmethods__]
VERBS = tuple(name for name in (*ABSTRACT, *vars(ObjectStore), *vars(BlockStorage)) if not name.startswith("_"))


def _many(servers: Server | str | Iterable[Server | str]) -> list[Server | str]:
    return [servers] if isinstance(servers, Server | str) else list(servers)


def _if_any(listed: Callable[[], list[T]]) -> list[T]:
    """What a service lists; nothing if the cloud has no such service, or not for this user."""
    with suppress(NotFound, Forbidden):
        return listed()
    return []
