"""Each verb of `Cloud`, tried on the proof's own resources; each verb's effect is looked up, not assumed."""

# ruff: noqa: D102

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

from faafo_lab.cloud import direct, keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, Forbidden, NotFound
from faafo_lab.cloud.model import Server
from faafo_lab.prove.steps import Absent, Step, Wrong

MARK = "faafo-lab-prove"  # the metadata key of its server, which is none of the application's
SSH_PORT, QUEUE_PORT = 22, 6379
STOPPED, RUNNING = "SHUTOFF", "ACTIVE"
OBJECT, CONTENT = "object", b"what the proof keeps there"
SEGMENT_BYTES = 10
SEGMENTS = -(-len(CONTENT) // SEGMENT_BYTES)
LINK_SECONDS = 300


class Verbs:
    """The steps for one cloud; every resource that they create is named `name…`."""

    def __init__(self, cloud: Cloud, name: str, image: str, flavor: str) -> None:
        self._cloud, self.name, self._image, self._flavor = cloud, name, image, flavor
        self._peers = f"{name}-peers"

    def steps(self) -> list[Step]:
        """A step for each verb, after those that it needs."""
        server, address = ("server ACTIVE",), ("create_floating_ip",)
        of_server = ("images", "flavors", "create_key_pair", "create_security_group")
        needs: dict[str, tuple[str, ...]] = {
            "limits": (),
            "images": (),
            "flavors": (),
            "networks": (),
            "key_pairs": (),
            "create_key_pair": (),
            "security_groups": (),
            "create_security_group": (),
            "add_rule": ("create_security_group",),
            "delete_rule": ("add_rule",),
            "servers": (),
            "create_server": of_server,
            "server ACTIVE": ("create_server",),
            "console": server,
            "floating_ips": (),
            "create_floating_ip": (),
            "attach_floating_ip": (*server, *address),
            "detach_floating_ip": ("attach_floating_ip",),
            "delete_floating_ip": address,
            "volume_limits": (),
            "volumes": ("volume_limits",),
            "create_volume": ("volume_limits",),
            "attach_volume": (*server, "create_volume"),
            "snapshots": ("volume_limits",),
            "create_snapshot": ("create_volume",),
            "detach_volume": ("attach_volume",),
            "delete_snapshot": ("create_snapshot",),
            "delete_volume": ("create_volume",),
            "stop_server": server,
            "start_server": ("stop_server",),
            "reboot_server": server,
            "delete_server": ("create_server",),
            "delete_security_group": ("create_security_group",),
            "delete_key_pair": ("create_key_pair",),
            "containers": (),
            "create_container": ("containers",),
            "container": ("create_container",),
            "upload_object": ("create_container",),
            "objects": ("upload_object",),
            "object": ("upload_object",),
            "update_object": ("upload_object",),
            "read_object": ("upload_object",),
            "download_object": ("upload_object",),
            "object_url": ("upload_object",),
            "temporary_url": ("upload_object",),
            "delete_object": ("upload_object",),
            "delete_container": ("create_container",),
        }
        return [Step(what, getattr(self, what.replace(" ", "_")), needs[what]) for what in needs]

    # ---- what there is ----

    def limits(self) -> str:
        limits = self._cloud.limits()
        return f"{limits.servers_used} of {limits.servers} servers used" if limits.servers else "no limit of servers"

    def images(self) -> str:
        image = self._cloud.image(self._image)
        return _told(image.status == "active", f"the image is {image.status}")

    def flavors(self) -> str:
        flavor = self._cloud.flavor(self._flavor)
        return f"{flavor.vcpus} vCPU, {flavor.ram_mb} MB of memory"

    def networks(self) -> str:
        networks = self._cloud.networks()
        outside = sum(network.external for network in networks)
        return _told(outside < len(networks), f"{len(networks) - outside} for servers, {outside} external")

    def key_pairs(self) -> str:
        return _number(self._cloud.key_pairs())

    def security_groups(self) -> str:
        groups = self._cloud.security_groups()
        return _told(any(group.name == "default" for group in groups), _number(groups))

    def servers(self) -> str:
        return _number(self._cloud.servers())

    def floating_ips(self) -> str:
        return _number(self._cloud.floating_ips())

    # ---- keys and groups ----

    def create_key_pair(self) -> str:
        made = self._cloud.create_key_pair(self.name, keys.public_key())
        there = self._cloud.key_pair(self.name)
        same = there.public_key.split()[:2] == keys.public_key().split()[:2]
        return _told(same and there.fingerprint == made.fingerprint, "listed, with the key that was sent")

    def create_security_group(self) -> str:
        for name in (self.name, self._peers):
            made = self._cloud.create_security_group(name, f"{MARK}: a proof")
            _told(self._cloud.security_group(name).id == made.id, "the group is not listed")
        return "two groups, listed"

    def add_rule(self) -> str:
        self._cloud.add_rule(self.name, SSH_PORT)
        self._cloud.add_rule(self.name, QUEUE_PORT, remote_group=self._peers)
        group, peers = self._cloud.security_group(self.name), self._cloud.security_group(self._peers)
        open_ = group.rule(SSH_PORT), group.rule(QUEUE_PORT, remote_group_id=peers.id)
        again = self._cloud.get_or_create_rule(self.name, QUEUE_PORT, remote_group=self._peers)
        return _told(None not in open_ and not again[1], "one for anybody, one for the members of a group")

    def delete_rule(self) -> str:
        for rule in self._cloud.security_group(self.name).rules:
            if rule.port_min == QUEUE_PORT:
                self._cloud.delete_rule(rule)
        left = [rule.port_min for rule in self._cloud.security_group(self.name).rules]
        return _told(QUEUE_PORT not in left and SSH_PORT in left, "that rule is deleted, the other remains")

    def delete_security_group(self) -> str:
        def delete() -> bool:  # a real cloud frees a deleted server's groups some time after the server
            try:
                self._cloud.delete_security_group(self.name)
            except NotFound:
                return True
            except CloudError:
                return False
            return True

        self._cloud.wait_until(delete, "the security group's deletion")
        self._cloud.delete_security_group(self._peers)
        return self._gone(self._cloud.security_groups)

    def delete_key_pair(self) -> str:
        self._cloud.delete_key_pair(self.name)
        return self._gone(self._cloud.key_pairs)

    # ---- servers ----

    def create_server(self) -> str:
        made = self._cloud.create_server(
            self.name,
            image=self._image,
            flavor=self._flavor,
            key_pair=self.name,
            security_groups=[self.name],
            user_data="#!/bin/sh\necho a proof\n",
            metadata={MARK: self.name},
        )
        there = self._cloud.server(self.name)
        return _told(there.id == made.id and there.metadata.get(MARK) == self.name, "listed, with its metadata")

    def server_ACTIVE(self) -> str:
        (server,) = self._cloud.wait_for(self.name)
        right = bool(server.addresses) and server.security_groups == (self.name,) and server.key_name == self.name
        return _told(right, f"{len(server.addresses)} address, {len(server.security_groups)} group, its key")

    def console(self) -> str:
        return f"{len(self._cloud.console(self.name).splitlines())} lines"

    def stop_server(self) -> str:
        self._cloud.stop_server(self.name)
        return self._become(STOPPED)

    def start_server(self) -> str:
        self._cloud.start_server(self.name)
        return self._become(RUNNING)

    def reboot_server(self) -> str:
        self._cloud.reboot_server(self.name, hard=True)
        return self._become(RUNNING)

    def delete_server(self) -> str:
        self._cloud.delete_servers([self.name])
        return self._gone(self._cloud.servers)

    # ---- floating IPs ----

    def create_floating_ip(self) -> str:
        self._address = self._cloud.create_floating_ip()
        return _told(self._cloud.floating_ip(self._address.id).server_id is None, "listed, and free")

    def attach_floating_ip(self) -> str:
        server = self._cloud.server(self.name)
        attached = self._cloud.attach_floating_ip(server, self._address)
        _told(attached.server_id == server.id, "the floating IP does not lead to the server")
        self._cloud.wait_until(
            lambda: self._address.address in self._server().floating_addresses, "the floating IP on the server"
        )
        return "the server has it"

    def detach_floating_ip(self) -> str:
        free = self._cloud.detach_floating_ip(self._address)
        return _told(free.server_id is None and free.id == self._address.id, "free again")

    def delete_floating_ip(self) -> str:
        self._cloud.delete_floating_ip(self._address)
        return _told(all(ip.id != self._address.id for ip in self._cloud.floating_ips()), "gone")

    # ---- volumes ----

    def volume_limits(self) -> str:
        try:
            limits = self._cloud.volume_limits()
        except (NotFound, Forbidden):
            raise Absent("no block storage for this user") from None
        return f"{limits.volumes_used} of {limits.volumes} volumes used" if limits.volumes else "no limit of volumes"

    def volumes(self) -> str:
        return _number(self._cloud.volumes())

    def snapshots(self) -> str:
        return _number(self._cloud.snapshots())

    def create_volume(self) -> str:
        made = self._cloud.create_volume(self.name, 1, description=f"{MARK}: a proof")
        again = self._cloud.get_or_create_volume(self.name, 1)
        return _told(again == (made, False), "1 GB, listed, and found again")

    def attach_volume(self) -> str:
        server = self._cloud.server(self.name)
        device = self._cloud.attach_volume(server, self.name)
        there = self._cloud.volume(self.name)
        return _told((there.server_id, there.device) == (server.id, device), f"the server has it as {device}")

    def create_snapshot(self) -> str:
        taken = self._cloud.create_snapshot(self.name, self.name, description=f"{MARK}: a proof")
        copy = self._cloud.create_volume(f"{self.name}-copy", 1, snapshot=taken, description=f"{MARK}: a proof")
        right = copy.snapshot_id == taken.id and taken.volume_id == self._cloud.volume(self.name).id
        self._cloud.delete_volume(copy)
        return _told(right, "of the volume, and a volume was made from it")

    def detach_volume(self) -> str:
        for _ in range(2):  # the second time it is free, which is no error
            self._cloud.detach_volume(self.name)
        return _told(self._cloud.volume(self.name).server_id is None, "twice, and it is free")

    def delete_snapshot(self) -> str:
        self._cloud.delete_snapshot(self.name)
        return self._gone(self._cloud.snapshots)

    def delete_volume(self) -> str:
        self._cloud.delete_volume(self.name)
        return self._gone(self._cloud.volumes)

    # ---- objects ----

    def containers(self) -> str:
        try:
            return _number(self._cloud.containers())
        except (NotFound, Forbidden):
            raise Absent("no object store for this user") from None

    def create_container(self) -> str:
        for _ in range(2):  # the second time it is there, which is no error
            self._cloud.create_container(self.name)
        return _told(self.name in self._cloud.containers(), "created twice, and listed")

    def container(self) -> str:
        metadata = {MARK: "a proof"}
        self._cloud.create_container(self.name, metadata)
        there = self._cloud.container(self.name)
        return _told(there.metadata.get(MARK) == "a proof", "with its metadata")

    def upload_object(self) -> str:
        self._cloud.upload_object(self.name, OBJECT, b"earlier", metadata={MARK: "earlier"})
        self._cloud.upload_object(self.name, OBJECT, CONTENT, segment_bytes=SEGMENT_BYTES)
        return f"{len(CONTENT)} bytes in {SEGMENTS} segments, in place of others"

    def objects(self) -> str:
        there = [(each.name, each.bytes) for each in self._cloud.objects(self.name, OBJECT[:2])]
        return _told(there == [(OBJECT, len(CONTENT))], "one, by the beginning of its name")

    def object(self) -> str:
        there = self._cloud.object(self.name, OBJECT)
        right = there.bytes == len(CONTENT) and there.segments == SEGMENTS and not there.metadata
        return _told(right, f"{there.bytes} bytes in {there.segments} segments")

    def update_object(self) -> str:
        self._cloud.update_object(self.name, OBJECT, metadata={MARK: "größer"}, expires_seconds=LINK_SECONDS)
        there = self._cloud.object(self.name, OBJECT)
        return _told(there.metadata == {MARK: "größer"} and bool(there.expires), "with metadata and an end")

    def read_object(self) -> str:
        return _told(self._cloud.read_object(self.name, OBJECT) == CONTENT, f"{len(CONTENT)} bytes")

    def download_object(self) -> str:
        received = io.BytesIO()
        self._cloud.download_object(self.name, OBJECT, received, progress=False)
        return _told(received.getvalue() == CONTENT, f"{len(CONTENT)} bytes")

    def object_url(self) -> str:
        url = self._cloud.object_url(self.name, OBJECT)
        return _told(url.endswith(f"/{self.name}/{OBJECT}"), "the account's, the container's, the object's")

    def temporary_url(self) -> str:
        try:
            url = self._cloud.temporary_url(self.name, OBJECT, LINK_SECONDS)
        except NotFound:
            raise Absent("no temporary URLs") from None
        answer = direct.get(url, verify=self._cloud.config.verify, timeout=self._cloud.config.timeout_seconds)
        return _told(answer.content == CONTENT, f"status {answer.status_code}, {len(answer.content)} bytes")

    def delete_object(self) -> str:
        for _ in range(2):  # the second time it is not there, which is no error
            self._cloud.delete_object(self.name, OBJECT)
        return "twice"

    def delete_container(self) -> str:
        for _ in range(2):
            self._cloud.delete_container(self.name)
        return _told(self.name not in self._cloud.containers(), "deleted twice, no error")

    # ---- what they share ----

    def _server(self) -> Server:
        return self._cloud.server(self.name)

    def _become(self, status: str) -> str:
        return self._cloud.wait_for(self.name, status)[0].status

    def _gone(self, listing: Callable[[], Iterable[Any]]) -> str:
        return _told(all(not thing.name.startswith(self.name) for thing in listing()), "gone")


def _told(right: bool, words: str) -> str:
    """Return these words if `right`; raises Wrong if not."""
    if not right:
        raise Wrong(f"not so: {words}")
    return words


def _number(things: list[Any]) -> str:
    return f"{len(things)} of the project"
