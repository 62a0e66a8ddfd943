"""The backend that drives an OpenStack through shade. `base.py` describes the verbs."""

# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keystoneauth1 import exceptions as keystone
from keystoneauth1.adapter import Adapter
from requests import Response

from faafo_lab.cloud import console_log, records
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import CloudError, NotFound
from faafo_lab.cloud.keystone import translate
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
from faafo_lab.cloud.shade_compat import shade
from faafo_lab.cloud.verbs import verb


class ShadeCloud(Cloud):
    """An OpenStack through shade: `self._shade` is shade's own cloud object."""

    backend = "shade"
    library_errors = (shade.OpenStackCloudException, keystone.ClientException, OSError)

    def __init__(self, config: CloudConfig) -> None:
        super().__init__(config)
        self._shade = shade.OpenStackCloud(cloud_config=config.loaded)
        self._taped(self._shade.keystone_session.session)

    # ---- images, flavors, key pairs ----

    @verb
    def images(self) -> list[Image]:
        return [records.image(image, image.properties) for image in self._shade.list_images()]

    @verb
    def flavors(self) -> list[Flavor]:
        flavors = [records.flavor(flavor, flavor.extra_specs) for flavor in self._shade.list_flavors()]
        return sorted(flavors, key=lambda flavor: (flavor.ram_mb, flavor.name))

    @verb
    def key_pairs(self) -> list[KeyPair]:
        return [KeyPair(key.name, key.fingerprint, key.public_key) for key in self._shade.list_keypairs()]

    @verb
    def create_key_pair(self, name: str, public_key: str) -> KeyPair:
        key = self._shade.create_keypair(name, public_key)
        return KeyPair(key.name, key.fingerprint, key.public_key)

    @verb
    def delete_key_pair(self, key_pair: KeyPair | str) -> None:
        name = key_pair if isinstance(key_pair, str) else key_pair.name
        if not self._shade.delete_keypair(name):
            raise NotFound.among("key pair", name, [key.name for key in self.key_pairs()])

    # ---- security groups ----

    @verb
    def security_groups(self) -> list[SecurityGroup]:
        return [records.security_group(group) for group in self._shade.list_security_groups(self._own)]

    @verb
    def create_security_group(self, name: str, description: str = "") -> SecurityGroup:
        return records.security_group(self._shade.create_security_group(name, description))

    @verb
    def delete_security_group(self, group: SecurityGroup | str) -> None:
        group = self._group(group)
        if not self._shade.delete_security_group(group.id):
            raise NotFound.among("security group", group.name, [other.name for other in self.security_groups()])

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
        rule = self._shade.create_security_group_rule(
            self._group(group).id,
            port_range_min=port_min,
            port_range_max=port_max or port_min,
            protocol=protocol,
            remote_ip_prefix=remote_prefix,
            remote_group_id=self._group(remote_group).id if remote_group else None,
        )
        return records.rule(rule)

    @verb
    def delete_rule(self, rule: Rule) -> None:
        if not self._shade.delete_security_group_rule(rule.id):
            raise NotFound(f"There is no security group rule {rule.id}: it may have been deleted already.")

    # ---- servers ----

    @verb
    def servers(self) -> list[Server]:
        found = self._shade.list_servers(bare=True)  # unless bare, it queries each server's ports and addresses
        return records.oldest_first([records.server(server) for server in found])

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
        fixed = {"v4-fixed-ip": address} if address else {}
        try:
            server = self._shade.create_server(
                self._named(name),
                image={"id": self._image(image).id},
                flavor={"id": self._flavor(flavor).id},
                key_name=self._key_name(key_pair),
                security_groups=self._group_names(security_groups),
                userdata=self._script(user_data),
                meta=dict(metadata or {}),
                nics=[{"net-id": on.id, **fixed}] if on else [],
                auto_ip=False,
                wait=False,
            )
        except shade.OpenStackCloudCreateException as error:  # it is in ERROR already: the wait reports the reason
            return self.server(error.resource_id)
        return records.server(server)

    @verb
    def delete_server(self, server: Server | str) -> None:
        server = self._server(server)
        if not self._shade.delete_server(server.id):
            raise NotFound.among("server", server.name, [other.name for other in self.servers()])

    @verb
    def reboot_server(self, server: Server | str, hard: bool = False) -> None:
        self._action(server, {"reboot": {"type": "HARD" if hard else "SOFT"}})

    @verb
    def stop_server(self, server: Server | str) -> None:
        self._action(server, {"os-stop": None})

    @verb
    def start_server(self, server: Server | str) -> None:
        self._action(server, {"os-start": None})

    @verb
    def console(self, server: Server | str, lines: int | None = None) -> str:
        length = console_log.length(lines)
        return console_log.readable(self._shade.get_server_console({"id": self._server(server).id}, length), lines)

    # ---- networks and floating IPs ----

    @verb
    def networks(self) -> list[Network]:
        project = self._shade.current_project_id
        return [records.network(each) for each in self._shade.list_networks() if records.within_reach(each, project)]

    @verb
    def floating_ips(self) -> list[FloatingIP]:
        return [records.floating_ip(ip) for ip in self._shade.list_floating_ips(self._own)]

    @verb
    def create_floating_ip(self, description: str = ALLOCATED) -> FloatingIP:
        body = {"floating_network_id": self._external_network().id, "description": description}
        # shade's create_floating_ip() knows no description.
        answer = self._shade._network_client.post("/floatingips.json", json={"floatingip": body})
        return records.floating_ip(answer["floatingip"])

    @verb
    def attach_floating_ip(self, server: Server | str, ip: FloatingIP | str) -> FloatingIP:
        server, ip = self._server(server), self._ip(ip)
        port, fixed_address = self._shade._nat_destination_port({"id": server.id})
        if port is None:
            raise self._no_port(server, ip)
        # shade's add_ip_list() would take Neutron's refusal (404: no router) as the sign of an old cloud.
        body = {"floatingip": {"port_id": port.id, "fixed_ip_address": fixed_address}}
        self._shade._network_client.put(f"/floatingips/{ip.id}.json", json=body)
        return self._attached(server, ip)

    @verb
    def detach_floating_ip(self, ip: FloatingIP | str) -> FloatingIP:
        ip = self._ip(ip)
        self._shade.detach_ip_from_server(ip.server_id, ip.id)
        return self.floating_ip(ip.id)

    @verb
    def delete_floating_ip(self, ip: FloatingIP | str) -> None:
        ip = self._ip(ip)
        if not self._shade.delete_floating_ip(ip.id):
            raise NotFound.among("floating IP", ip.address, [other.address for other in self.floating_ips()])

    # ---- the object store: see `objects.py` ----

    def _stored(self, method: str, path: str, **arguments: Any) -> Response:
        # shade's own request() reads every answer whole.
        arguments |= {"stream": True, "raise_exc": False}
        answer: Response = Adapter.request(self._shade._object_store_client, path, method, **arguments)
        return answer

    def _store_url(self) -> str:
        return str(self._shade._object_store_client.get_endpoint())

    # ---- block storage: see `volumes.py` ----

    @verb
    def volumes(self) -> list[Volume]:
        return records.oldest_first([records.volume(volume) for volume in self._shade.list_volumes()])

    @verb
    def snapshots(self) -> list[Snapshot]:
        return records.oldest_first([records.snapshot(each) for each in self._shade.list_volume_snapshots()])

    def _make_volume(self, name: str, gigabytes: int, description: str, snapshot: Snapshot | None) -> str:
        content = {"snapshot_id": snapshot.id} if snapshot else {}
        made = self._shade.create_volume(gigabytes, wait=False, name=name, description=description, **content)
        return str(made.id)

    def _attach(self, server: Server, volume: Volume) -> None:
        there = {"id": volume.id, "status": volume.status, "attachments": []}
        self._shade.attach_volume({"id": server.id}, there, wait=False)

    def _detach(self, volume: Volume) -> None:
        self._shade.detach_volume({"id": volume.server_id}, {"id": volume.id}, wait=False)

    def _remove_volume(self, volume: Volume) -> None:
        self._shade.delete_volume(volume.id, wait=False)

    def _make_snapshot(self, volume: Volume, name: str, description: str) -> str:
        # Unless the volume service is of version 2, shade's create_volume_snapshot() says display_description for the
        # description, which Cinder refuses.
        wanted = {"volume_id": volume.id, "force": True, "name": name, "description": description}
        taken = self._shade._volume_client.post("/snapshots", json={"snapshot": wanted})["snapshot"]
        return str(taken["id"])

    def _remove_snapshot(self, snapshot: Snapshot) -> None:
        self._shade.delete_volume_snapshot(snapshot.id)

    def _volume_limits(self) -> records.Record:
        limits: records.Record = self._shade._volume_client.get("/limits")["limits"]["absolute"]
        return limits

    # ---- the project ----

    @verb
    def limits(self) -> Limits:
        compute = self._shade._compute_client.get("/limits")["limits"]["absolute"]
        # shade's get_network_quotas() lists all projects first, which only administrators may.
        quota = self._shade._network_client.get(f"/quotas/{self._shade.current_project_id}.json")["quota"]
        return self._limits(compute, quota)

    @property
    def _own(self) -> dict[str, str]:
        """The filter that limits an administrator's Neutron lists to the project."""
        return {"project_id": self._shade.current_project_id}

    @verb
    def _alone(self, id: str) -> Server:
        return records.server(self._shade.get_server_by_id(id, bare=True))

    def _action(self, server: Server | str, action: dict[str, Any]) -> None:
        """A server action that shade has no method for."""
        self._shade._compute_client.post(f"/servers/{self._server(server).id}/action", json=action)

    def _translate(self, error: Exception) -> CloudError:
        return translate(error, self.backend, self.config)
