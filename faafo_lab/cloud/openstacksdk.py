"""The backend that drives an OpenStack through openstacksdk. `base.py` describes the verbs."""

# ruff: noqa: D102

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from requests import Response

from faafo_lab.cloud import console_log, records, sdk
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import CloudError
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


class OpenstacksdkCloud(Cloud):
    """An OpenStack through openstacksdk: `self._sdk` is its connection, with a proxy for each service."""

    backend = sdk.BACKEND
    library_errors = sdk.library_errors()

    def __init__(self, config: CloudConfig) -> None:
        super().__init__(config)
        self._sdk = sdk.connection(self)

    # ---- images, flavors, key pairs ----

    @verb
    def images(self) -> list[Image]:
        # Some properties, such as os_distro, are attributes of their own; the others are kept apart.
        return [records.image(_record(image) | image.properties) for image in self._sdk.image.images()]

    @verb
    def flavors(self) -> list[Flavor]:
        found = self._sdk.compute.flavors(get_extra_specs=True)
        flavors = [records.flavor(_record(flavor), flavor.extra_specs) for flavor in found]
        return sorted(flavors, key=lambda flavor: (flavor.ram_mb, flavor.name))

    @verb
    def key_pairs(self) -> list[KeyPair]:
        return [KeyPair(key.name, key.fingerprint, key.public_key) for key in self._sdk.compute.keypairs()]

    @verb
    def create_key_pair(self, name: str, public_key: str) -> KeyPair:
        key = self._sdk.compute.create_keypair(name=name, public_key=public_key)
        return KeyPair(key.name, key.fingerprint, key.public_key)

    @verb
    def delete_key_pair(self, key_pair: KeyPair | str) -> None:
        name = self.key_pair(key_pair).name if isinstance(key_pair, str) else key_pair.name
        self._sdk.compute.delete_keypair(name, ignore_missing=False)

    # ---- security groups ----

    @verb
    def security_groups(self) -> list[SecurityGroup]:
        found = self._sdk.network.security_groups(project_id=self._project)
        return [records.security_group(_record(group)) for group in found]

    @verb
    def create_security_group(self, name: str, description: str = "") -> SecurityGroup:
        group = self._sdk.network.create_security_group(name=name, description=description)
        return records.security_group(_record(group))

    @verb
    def delete_security_group(self, group: SecurityGroup | str) -> None:
        self._sdk.network.delete_security_group(self._group(group).id, ignore_missing=False)

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
        rule = self._sdk.network.create_security_group_rule(
            security_group_id=self._group(group).id,
            direction="ingress",
            port_range_min=port_min,
            port_range_max=port_max or port_min,
            protocol=protocol,
            remote_ip_prefix=remote_prefix,
            remote_group_id=self._group(remote_group).id if remote_group else None,
        )
        return records.rule(_record(rule))

    @verb
    def delete_rule(self, rule: Rule) -> None:
        self._sdk.network.delete_security_group_rule(rule.id, ignore_missing=False)

    # ---- servers ----

    @verb
    def servers(self) -> list[Server]:
        return records.oldest_first([records.server(_record(server)) for server in self._sdk.compute.servers()])

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
        on, key_name = self._network_for(network, address), self._key_name(key_pair)
        fixed = {"fixed_ip": address} if address else {}
        server = self._sdk.compute.create_server(
            name=self._named(name),
            image_id=self._image(image).id,
            flavor_id=self._flavor(flavor).id,
            security_groups=[{"name": group} for group in self._group_names(security_groups)],
            user_data=base64.b64encode(self._script(user_data).encode()).decode(),
            metadata=dict(metadata or {}),
            **({"key_name": key_name} if key_name else {}),
            **({"networks": [{"uuid": on.id, **fixed}]} if on else {}),
        )
        return records.server(_record(self._sdk.compute.get_server(server.id)))  # the first answer has only its id

    @verb
    def delete_server(self, server: Server | str) -> None:
        self._sdk.compute.delete_server(self._server(server).id, ignore_missing=False)

    @verb
    def reboot_server(self, server: Server | str, hard: bool = False) -> None:
        self._sdk.compute.reboot_server(self._server(server).id, "HARD" if hard else "SOFT")

    @verb
    def stop_server(self, server: Server | str) -> None:
        self._sdk.compute.stop_server(self._server(server).id)

    @verb
    def start_server(self, server: Server | str) -> None:
        self._sdk.compute.start_server(self._server(server).id)

    @verb
    def console(self, server: Server | str, lines: int | None = None) -> str:
        length = console_log.length(lines)
        output = self._sdk.compute.get_server_console_output(self._server(server).id, length=length)["output"]
        return console_log.readable(output, lines)

    # ---- networks and floating IPs ----

    @verb
    def networks(self) -> list[Network]:
        found = [_record(network) for network in self._sdk.network.networks()]
        return [records.network(each) for each in found if records.within_reach(each, self._project)]

    @verb
    def floating_ips(self) -> list[FloatingIP]:
        found = self._sdk.network.ips(project_id=self._project)
        return [records.floating_ip(_record(ip)) for ip in found]

    @verb
    def create_floating_ip(self, description: str = ALLOCATED) -> FloatingIP:
        ip = self._sdk.network.create_ip(floating_network_id=self._external_network().id, description=description)
        return records.floating_ip(_record(ip))

    @verb
    def attach_floating_ip(self, server: Server | str, ip: FloatingIP | str) -> FloatingIP:
        server, ip = self._server(server), self._ip(ip)
        port = next(self._sdk.network.ports(device_id=server.id), None)
        if port is None:
            raise self._no_port(server, ip)
        self._sdk.network.update_ip(ip.id, port_id=port.id)
        return self._attached(server, ip)

    @verb
    def detach_floating_ip(self, ip: FloatingIP | str) -> FloatingIP:
        ip = self._ip(ip)
        self._sdk.network.update_ip(ip.id, port_id=None)
        return self.floating_ip(ip.id)

    @verb
    def delete_floating_ip(self, ip: FloatingIP | str) -> None:
        self._sdk.network.delete_ip(self._ip(ip).id, ignore_missing=False)

    # ---- the object store: see `objects.py` ----

    def _stored(self, method: str, path: str, **arguments: Any) -> Response:
        return self._sdk.object_store.request(path, method, stream=True, **arguments)

    def _store_url(self) -> str:
        return str(self._sdk.object_store.get_endpoint())

    # ---- block storage: see `volumes.py` ----

    @verb
    def volumes(self) -> list[Volume]:
        return records.oldest_first([records.volume(_record(volume)) for volume in self._sdk.block_storage.volumes()])

    @verb
    def snapshots(self) -> list[Snapshot]:
        return records.oldest_first([records.snapshot(_record(each)) for each in self._sdk.block_storage.snapshots()])

    def _make_volume(self, name: str, gigabytes: int, description: str, snapshot: Snapshot | None) -> str:
        content = {"snapshot_id": snapshot.id} if snapshot else {}
        storage = self._sdk.block_storage
        return str(storage.create_volume(name=name, size=gigabytes, description=description, **content).id)

    def _attach(self, server: Server, volume: Volume) -> None:
        self._sdk.compute.create_volume_attachment(server.id, volume.id)

    def _detach(self, volume: Volume) -> None:
        self._sdk.compute.delete_volume_attachment(str(volume.server_id), volume.id, ignore_missing=False)

    def _remove_volume(self, volume: Volume) -> None:
        self._sdk.block_storage.delete_volume(volume.id, ignore_missing=False)

    def _make_snapshot(self, volume: Volume, name: str, description: str) -> str:
        wanted = {"volume_id": volume.id, "name": name, "description": description, "is_forced": True}
        return str(self._sdk.block_storage.create_snapshot(**wanted).id)

    def _remove_snapshot(self, snapshot: Snapshot) -> None:
        self._sdk.block_storage.delete_snapshot(snapshot.id, ignore_missing=False)

    def _volume_limits(self) -> records.Record:
        return _record(self._sdk.block_storage.get_limits().absolute)

    # ---- the project ----

    @verb
    def limits(self) -> Limits:
        compute = self._sdk.compute.get_limits().absolute
        quota = self._sdk.network.get_quota(self._project)
        return self._limits(_record(compute), _record(quota))

    @verb
    def _alone(self, id: str) -> Server:
        return records.server(_record(self._sdk.compute.get_server(id)))

    @property
    def _project(self) -> str:
        """The project's id, which limits an administrator's Neutron lists to the project."""
        return str(self._sdk.current_project_id)

    def _translate(self, error: Exception) -> CloudError:
        return sdk.lab_error(error, self.config)


def _record(resource: Any) -> dict[str, Any]:
    """The cloud's own record of a resource, with the field names of the API references."""
    record: dict[str, Any] = resource.to_dict(computed=False, original_names=True)
    return record
