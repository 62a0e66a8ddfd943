"""The backend that drives an OpenStack through Apache Libcloud. `base.py` describes the verbs."""

# ruff: noqa: D102
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from http.client import responses
from typing import Any, NamedTuple

import requests
from keystoneauth1 import exceptions as keystone

from faafo_lab.cloud import console_log, direct, records
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import CloudError, from_status, unreachable
from faafo_lab.cloud.keystone import endpoint, session, translate
from faafo_lab.cloud.marks import ALLOCATED
from faafo_lab.cloud.model import (
    Flavor,
    FloatingIP,
    Image,
    KeyPair,
    Limits,
    Network,
    Rule,
    SecurityGroup,
    Server,
    Snapshot,
    Volume,
)
from faafo_lab.cloud.verbs import verb

with direct.without("SSL_CERT_FILE"):  # whose file libcloud reads at import, whatever the cloud
    from libcloud.common.base import ConnectionUserAndKey
    from libcloud.common.exceptions import BaseHTTPError
    from libcloud.common.openstack import OpenStackBaseConnection
    from libcloud.common.types import LibcloudError, MalformedResponseError
    from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver
    from libcloud.http import LibcloudConnection


VERSION = re.compile(r"/v[0-9.]+/?$")


class Driver(OpenStack_2_NodeDriver):
    """libcloud's driver, keeping the cloud's own `record` beside each of its objects.

    Its objects lack fields that the lab needs: a server's status in Nova's words and its groups, a rule's direction, an
    image's properties; and it tells public from private addresses by range, not by the cloud's own type.
    """

    def _to_node(self, api_node: Any) -> Any:
        return _with(super()._to_node(api_node), api_node)

    def _create_args_to_params(self, node: Any, **kwargs: Any) -> Any:
        params = super()._create_args_to_params(node, **kwargs)
        for wanted, network in zip(params.get("networks", ()), kwargs["networks"], strict=True):
            wanted |= {"fixed_ip": network.address} if network.address else {}
        return params

    def _to_image(self, api_image: Any) -> Any:
        return _with(super()._to_image(api_image), api_image)

    def _to_size(self, api_flavor: Any, *args: Any, **kwargs: Any) -> Any:
        return _with(super()._to_size(api_flavor, *args, **kwargs), api_flavor)

    def _get_size_price(self, size_id: str) -> float:
        return 0.0  # it would read a file of cloud prices, 60 ms per flavor, without this cloud's

    def _to_network(self, obj: Any) -> Any:
        return _with(super()._to_network(obj), obj)

    def _to_security_group(self, obj: Any) -> Any:
        return _with(super()._to_security_group(obj), obj)

    def _to_security_group_rule(self, obj: Any) -> Any:
        return _with(super()._to_security_group_rule(obj), obj)

    def _to_floating_ip(self, obj: Any) -> Any:
        return _with(super()._to_floating_ip(obj), obj)

    def _to_volume(self, api_node: Any) -> Any:
        return _with(super()._to_volume(api_node), api_node)

    def _to_snapshot(self, data: Any) -> Any:
        return _with(super()._to_snapshot(data), data)

    def _get_volume_connection(self) -> Any:
        return self.volumev3_connection  # it would fall back to Cinder v2, which no cloud has any more


class Unread:
    """An answer whose body is not read yet: libcloud's own class reads it whole."""

    def __init__(self, response: requests.Response, connection: Any) -> None:
        self.answer = response


class StoreConnection(OpenStackBaseConnection):
    """libcloud's connection to an OpenStack service, for the object store: bodies are streams in both directions."""

    responseCls: Any = Unread
    service_type: Any = "object-store"

    def add_default_headers(self, headers: dict[str, str]) -> dict[str, str]:
        """The token, beside the request's own headers."""
        return {"X-Auth-Token": str(self.auth_token), **headers}

    def morph_action_hook(self, action: str) -> str:
        """The path on the host: libcloud's own makes one slash of two."""
        self._populate_hosts_and_request_paths()
        return f"{self.request_path.rstrip('/')}{action}"

    def request(self, action: str, **kwargs: Any) -> Any:  # type: ignore[override]
        """Send a request."""
        return ConnectionUserAndKey.request(self, action, **kwargs, stream=True)


class LibcloudCloud(Cloud):
    """An OpenStack through libcloud: `self._driver` is its driver (which takes the lab's dataclasses as they are)."""

    backend = "libcloud"
    library_errors = (LibcloudError, BaseHTTPError, keystone.ClientException, requests.RequestException, OSError)

    def __init__(self, config: CloudConfig) -> None:
        super().__init__(config)
        self._session = session(config)
        self._taped(self._session.session)
        self._arguments = {"ex_force_auth_url": config.auth_url, "timeout": config.timeout_seconds}
        self._driver: Any = Driver("", **self._arguments)
        for name in [name for name in vars(self._driver) if name.endswith("connection")]:
            self._logged_in(getattr(self._driver, name))

    # ---- images, flavors, key pairs ----

    @verb
    def images(self) -> list[Image]:
        return [records.image(image.record) for image in self._driver.list_images()]

    @verb
    def flavors(self) -> list[Flavor]:
        sizes = self._driver.list_sizes()
        flavors = [records.flavor(size.record, self._driver.ex_get_size_extra_specs(size.id)) for size in sizes]
        return sorted(flavors, key=lambda flavor: (flavor.ram_mb, flavor.name))

    @verb
    def key_pairs(self) -> list[KeyPair]:
        return [KeyPair(key.name, key.fingerprint, key.public_key) for key in self._driver.list_key_pairs()]

    @verb
    def create_key_pair(self, name: str, public_key: str) -> KeyPair:
        key = self._driver.import_key_pair_from_string(name, public_key)
        return KeyPair(key.name, key.fingerprint, key.public_key)

    @verb
    def delete_key_pair(self, key_pair: KeyPair | str) -> None:
        self._driver.delete_key_pair(self.key_pair(key_pair) if isinstance(key_pair, str) else key_pair)

    # ---- security groups ----

    @verb
    def security_groups(self) -> list[SecurityGroup]:
        return [records.security_group(group) for group in self._neutron("security-groups")["security_groups"]]

    @verb
    def create_security_group(self, name: str, description: str = "") -> SecurityGroup:
        return records.security_group(self._driver.ex_create_security_group(name, description).record)

    @verb
    def delete_security_group(self, group: SecurityGroup | str) -> None:
        self._driver.ex_delete_security_group(self._group(group))

    @verb
    def add_rule(
        self,
        group: SecurityGroup | str,
        port_min: int,
        port_max: int | None = None,
        protocol: str = "tcp",
        remote_prefix: str | None = None,
        remote_group: SecurityGroup | str | None = None,
    ) -> Rule:
        rule = self._driver.ex_create_security_group_rule(
            self._group(group),
            ip_protocol=protocol,
            from_port=port_min,
            to_port=port_max or port_min,
            cidr=remote_prefix,
            source_security_group=self._libcloud_group(remote_group),
        )
        return records.rule(rule.record)

    @verb
    def delete_rule(self, rule: Rule) -> None:
        self._driver.ex_delete_security_group_rule(rule)

    # ---- servers ----

    @verb
    def servers(self) -> list[Server]:
        return records.oldest_first([records.server(node.record) for node in self._driver.list_nodes()])

    @verb
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
        on = self._network_for(network, address)
        node = self._driver.create_node(
            name=self._named(name),  # without one, libcloud would look for it elsewhere
            image=self._image(image),
            size=self._flavor(flavor),
            ex_keyname=self._key_name(key_pair),
            ex_security_groups=[_Named(group) for group in self._group_names(security_groups)],
            ex_userdata=self._script(user_data),
            ex_metadata=dict(metadata or {}),
            networks=[_At(on.id, address)] if on else [],
        )
        return records.server(node.record)

    @verb
    def delete_server(self, server: Server | str) -> None:
        self._driver.destroy_node(self._server(server))

    @verb
    def reboot_server(self, server: Server | str, hard: bool = False) -> None:
        reboot = self._driver.ex_hard_reboot_node if hard else self._driver.ex_soft_reboot_node
        reboot(self._server(server))

    @verb
    def stop_server(self, server: Server | str) -> None:
        self._driver.stop_node(self._server(server))

    @verb
    def start_server(self, server: Server | str) -> None:
        self._driver.start_node(self._server(server))

    @verb
    def console(self, server: Server | str, lines: int | None = None) -> str:
        length = console_log.length(lines)
        return console_log.readable(
            self._driver.ex_get_console_output(self._server(server), length=length)["output"], lines
        )

    # ---- networks and floating IPs ----

    @verb
    def networks(self) -> list[Network]:
        networks = [network.record for network in self._driver.ex_list_networks()]
        return [records.network(each) for each in networks if records.within_reach(each, self._project)]

    @verb
    def floating_ips(self) -> list[FloatingIP]:
        return [records.floating_ip(ip) for ip in self._neutron("floatingips")["floatingips"]]

    @verb
    def create_floating_ip(self, description: str = ALLOCATED) -> FloatingIP:
        body = {"floating_network_id": self._external_network().id, "description": description}
        # libcloud's ex_create_floating_ip() knows no description.
        connection = self._driver.network_connection
        answer = connection.request("/v2.0/floatingips", method="POST", data={"floatingip": body})
        return records.floating_ip(answer.object["floatingip"])

    @verb
    def attach_floating_ip(self, server: Server | str, ip: FloatingIP | str) -> FloatingIP:
        server, ip = self._server(server), self._ip(ip)
        if not self._driver.ex_attach_floating_ip_to_node(server, ip):
            raise self._no_port(server, ip)
        return self._attached(server, ip)

    @verb
    def detach_floating_ip(self, ip: FloatingIP | str) -> FloatingIP:
        ip = self._ip(ip)
        self._driver.ex_detach_floating_ip_from_node(None, ip)
        return self.floating_ip(ip.id)

    @verb
    def delete_floating_ip(self, ip: FloatingIP | str) -> None:
        self._driver.ex_delete_floating_ip(self._ip(ip))

    # ---- the object store: see `objects.py` ----

    def _stored(self, method: str, path: str, **arguments: Any) -> requests.Response:
        answer = self._store.request(path, method=method, **arguments).answer
        if answer.status_code == 401:  # the token may have been revoked
            self._session.invalidate()
            answer = self._store.request(path, method=method, **arguments).answer
        return answer  # type: ignore[no-any-return]

    def _store_url(self) -> str:
        return endpoint(self.config, self._session, "object-store")

    @functools.cached_property
    def _store(self) -> Any:
        """A connection to the object store, which libcloud's driver of servers does not have."""
        return self._logged_in(StoreConnection("", "", **self._arguments))

    # ---- block storage: see `volumes.py` ----

    @verb
    def volumes(self) -> list[Volume]:
        return records.oldest_first([records.volume(volume.record) for volume in self._driver.list_volumes()])

    @verb
    def snapshots(self) -> list[Snapshot]:
        return records.oldest_first([records.snapshot(each.record) for each in self._driver.ex_list_snapshots()])

    def _make_volume(self, name: str, gigabytes: int, description: str, snapshot: Snapshot | None) -> str:
        content = {"snapshot_id": snapshot.id} if snapshot else {}
        # libcloud's create_volume() makes the name its description.
        wanted = {"name": name, "size": gigabytes, "description": description, **content}
        answer = self._volumes.request("/volumes", method="POST", data={"volume": wanted})
        return str(answer.object["volume"]["id"])

    def _attach(self, server: Server, volume: Volume) -> None:
        self._driver.attach_volume(server, volume)

    def _detach(self, volume: Volume) -> None:
        self._driver.detach_volume(self._driver.ex_get_volume(volume.id))

    def _remove_volume(self, volume: Volume) -> None:
        self._driver.destroy_volume(volume)

    def _make_snapshot(self, volume: Volume, name: str, description: str) -> str:
        return str(self._driver.create_volume_snapshot(volume, name, description).id)

    def _remove_snapshot(self, snapshot: Snapshot) -> None:
        self._driver.destroy_volume_snapshot(snapshot)

    def _volume_limits(self) -> records.Record:
        limits: records.Record = self._volumes.request("/limits").object["limits"]["absolute"]
        return limits

    @property
    def _volumes(self) -> Any:
        """The connection to Cinder v3."""
        return self._driver.volumev3_connection

    # ---- the project ----

    @verb
    def limits(self) -> Limits:
        compute = self._driver.connection.request("/limits").object["limits"]["absolute"]
        quota = self._driver.network_connection.request(f"/v2.0/quotas/{self._project}").object["quota"]
        return self._limits(compute, quota)

    @property
    def _project(self) -> str:
        """The project's id."""
        return str(self._session.get_project_id())

    def _neutron(self, kind: str) -> Any:
        """The project's own resources of a kind: an administrator's list has every project's."""
        params = {"project_id": self._project}
        return self._driver.network_connection.request(f"/v2.0/{kind}", params=params).object

    @verb
    def _alone(self, id: str) -> Server:
        return records.server(self._driver.connection.request(f"/servers/{id}").object["server"])

    def _logged_in(self, connection: Any) -> Any:
        """A libcloud connection with the lab's login; libcloud's own supports no tokens, ids or interfaces."""
        connection.conn_class = self._connection
        connection.get_auth_class = lambda: self
        connection.request = _twice(connection.request)
        connection._populate_hosts_and_request_paths = functools.partial(self._log_in, connection)
        return connection

    def _connection(self, **arguments: Any) -> Any:
        """One of libcloud's connections, on the tape, which checks certificates as clouds.yaml says."""
        connection: Any = LibcloudConnection(**arguments)
        verify = self.config.verify
        connection.verify = bool(verify)
        # libcloud's default is a file: requests would not look at REQUESTS_CA_BUNDLE.
        connection.ca_cert = verify if isinstance(verify, str) else None
        connection.session.cert = self.config.certificate
        self._taped(connection.session)
        return connection

    def _log_in(self, connection: Any) -> None:
        """Called by libcloud before each request: ensures a valid token and the service's address."""
        connection.auth_token = self._session.get_token()
        url = endpoint(self.config, self._session, connection.service_type)
        if connection.service_type != "compute":  # to others' addresses it adds the version by itself
            url = VERSION.sub("", url)
        connection._set_up_connection_info(url)

    def clear_cached_auth_context(self) -> None:
        """Called by libcloud when a token is refused: the next request logs in again."""
        self._session.invalidate()

    def _libcloud_group(self, group: SecurityGroup | str | None) -> Any:
        """The group as libcloud's own object, for methods that accept no other."""
        if group is None:
            return None
        id = self._group(group).id
        return next(other for other in self._driver.ex_list_security_groups() if other.id == id)

    def _translate(self, error: Exception) -> CloudError:
        """The lab's error for libcloud's, or for one of requests, which it lets through."""
        if isinstance(error, BaseHTTPError):
            prefix = f"{error.code} {responses.get(error.code, '')} "  # which libcloud puts before the cloud's words
            words = str(error.message).removeprefix(prefix)
            return from_status(error.code, words)
        if isinstance(error, MalformedResponseError):
            return unreachable(self.config.auth_url, f"the answer can't be understood ({error.value})")
        return translate(error, self.backend, self.config)


def _twice(request: Callable[..., Any]) -> Callable[..., Any]:
    """A connection's `request` that logs in again where its token is refused: it may have been revoked."""

    @functools.wraps(request)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return request(*args, **kwargs)
        except BaseHTTPError as error:
            if error.code != 401:
                raise
        return request(*args, **kwargs)  # libcloud has forgotten the token: it asks for a new one

    return wrapper


class _At(NamedTuple):
    """A network in the form that `create_node` needs, with the address that the server is to have there."""

    id: str
    address: str | None


class _Named:
    """A security group in the form that `create_node` needs: an object with a name."""

    def __init__(self, name: str) -> None:
        self.name = name


def _with(thing: Any, record: Any) -> Any:
    thing.record = record
    return thing
