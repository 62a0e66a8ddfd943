"""An OpenStack's JSON records as the lab's dataclasses: what every backend needs alike, written once.

The field names are those of the Compute, Network, Image and Block Storage API references; shade's normalised records
keep them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from faafo_lab.cloud.model import (
    Flavor,
    FloatingIP,
    Image,
    Limits,
    Network,
    Rule,
    SecurityGroup,
    Server,
    Snapshot,
    Volume,
    VolumeLimits,
)

# What Glance says of every image; whatever else an image has was set by its owner.
IMAGE_FIELDS = frozenset(
    {
        "id",
        "name",
        "status",
        "visibility",
        "protected",
        "owner",
        "tags",
        "checksum",
        "size",
        "virtual_size",
        "min_disk",
        "min_ram",
        "created_at",
        "updated_at",
        "disk_format",
        "container_format",
        "locations",
        "direct_url",
        "stores",
        "file",
        "self",
        "schema",
        "os_hidden",
        "os_hash_algo",
        "os_hash_value",
    }
)

Record = Mapping[str, Any]
T = TypeVar("T", Server, Volume, Snapshot)


def server(record: Record) -> Server:
    """A server, from `GET /servers/{id}`, or from an entry of `GET /servers/detail`, which has no `fault`."""
    fixed, floating = addresses(record.get("addresses") or {})
    image = record.get("image") or {}  # "" when it was booted from a volume
    fault = record.get("fault") or {}
    groups = [group["name"] for group in record.get("security_groups") or ()]
    return Server(
        id=record["id"],
        name=record["name"],
        status=record["status"],
        addresses=fixed,
        floating_addresses=floating,
        image_id=image.get("id"),
        flavor_id=(record.get("flavor") or {}).get("id"),
        security_groups=tuple(dict.fromkeys(groups)),
        key_name=record.get("key_name"),
        metadata=dict(record.get("metadata") or {}),
        fault=fault.get("message"),
        created=datetime.fromisoformat(record["created"]) if record.get("created") else None,
    )


def addresses(networks: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fixed and the floating IPs among Nova's `addresses`, each with IPv4 first.

    Only `OS-EXT-IPS:type` tells them apart: address ranges don't (a private network may have any).
    """
    entries = [entry for network in networks.values() for entry in network]
    entries.sort(key=lambda entry: ipaddress.ip_address(entry["addr"]).version)
    floating = tuple(entry["addr"] for entry in entries if entry.get("OS-EXT-IPS:type") == "floating")
    fixed = tuple(entry["addr"] for entry in entries if entry.get("OS-EXT-IPS:type") != "floating")
    return fixed, floating


def oldest_first(things: list[T]) -> list[T]:
    """Servers, volumes or snapshots in the order of their creation; those of the same second by name."""
    return sorted(things, key=lambda thing: (str(thing.created), thing.name, thing.id))


def image(record: Record, properties: Record | None = None) -> Image:
    """An image, from an entry of `GET /v2/images`; `properties` where they are kept apart."""
    extra = record if properties is None else properties
    return Image(
        id=record["id"],
        name=record["name"] or record["id"],
        status=record["status"].lower(),
        min_ram_mb=int(record.get("min_ram") or 0),
        min_disk_gb=int(record.get("min_disk") or 0),
        properties={key: value for key, value in extra.items() if key not in IMAGE_FIELDS and isinstance(value, str)},
    )


def flavor(record: Record, extra_specs: Mapping[str, str]) -> Flavor:
    """A flavor, from an entry of `GET /flavors/detail` and its `os-extra_specs`."""
    vcpus = int(record["vcpus"])
    period, quota = extra_specs.get("quota:cpu_period"), extra_specs.get("quota:cpu_quota")
    capped = period and quota and int(quota) > 0  # Nova: quota is per vCPU; none, or a negative one: no cap
    cores = vcpus * int(quota or 0) / int(period or 1) if capped else None
    return Flavor(record["id"], record["name"], vcpus, int(record["ram"]), int(record["disk"]), cores)


def security_group(record: Record) -> SecurityGroup:
    """A security group, from an entry of `GET /v2.0/security-groups`: its IPv4 ingress rules."""
    rules = [
        rule(entry)
        for entry in record.get("security_group_rules") or ()
        if entry["direction"] == "ingress" and entry.get("ethertype", "IPv4") == "IPv4"
    ]
    rules.sort(key=lambda rule: (rule.port_min or 0, rule.port_max or 0, rule.protocol or "", rule.id))
    every = len(record.get("security_group_rules") or ())
    return SecurityGroup(record["id"], record["name"], record.get("description") or "", tuple(rules), every)


def rule(record: Record) -> Rule:
    """A rule, from an entry of a group's `security_group_rules`."""
    return Rule(
        id=record["id"],
        port_min=record.get("port_range_min"),
        port_max=record.get("port_range_max"),
        protocol=record.get("protocol"),
        remote_prefix=record.get("remote_ip_prefix"),
        remote_group=record.get("remote_group_id"),
    )


def floating_ip(record: Record) -> FloatingIP:
    """A floating IP, from an entry of `GET /v2.0/floatingips`."""
    port_id = record.get("port_id")
    # What it leads to may be no server (a load balancer), or not told: then it is still not free.
    holder = (record.get("port_details") or {}).get("device_id") or port_id
    return FloatingIP(
        id=record["id"],
        address=record["floating_ip_address"],
        server_id=holder if port_id else None,
        fixed_address=record.get("fixed_ip_address") if port_id else None,
        description=record.get("description") or "",
    )


def within_reach(record: Record, project_id: str) -> bool:
    """Whether a network is the project's, shared with it, or external: an administrator's list has all others, too."""
    owner = record.get("project_id") or record.get("tenant_id")
    return owner == project_id or bool(record.get("shared") or record.get("router:external"))


def network(record: Record) -> Network:
    """A network, from an entry of `GET /v2.0/networks`."""
    return Network(record["id"], record["name"], bool(record.get("router:external")))


def limits(compute: Record, network: Record, *, floating_ips: int, security_groups: int) -> Limits:
    """From Nova's `limits.absolute`, Neutron's `quota` (empty: not told), and what is there on the network."""
    return Limits(
        servers=_limit(compute.get("maxTotalInstances")),
        servers_used=int(compute.get("totalInstancesUsed") or 0),
        cores=_limit(compute.get("maxTotalCores")),
        cores_used=int(compute.get("totalCoresUsed") or 0),
        ram_mb=_limit(compute.get("maxTotalRAMSize")),
        ram_mb_used=int(compute.get("totalRAMUsed") or 0),
        floating_ips=_limit(network.get("floatingip")),
        floating_ips_used=floating_ips,
        security_groups=_limit(network.get("security_group")),
        security_groups_used=security_groups,
        security_group_rules=_limit(network.get("security_group_rule")),
        key_pairs=_limit(compute.get("maxTotalKeypairs")),
    )


def volume(record: Record) -> Volume:
    """A volume, from an entry of `GET /v3/{project}/volumes/detail`."""
    attachment: Record = next((each for each in record.get("attachments") or () if each), {})
    return Volume(
        id=record["id"],
        name=record.get("name") or "",
        status=record["status"],
        gigabytes=int(record["size"]),
        server_id=attachment.get("server_id"),
        device=attachment.get("device"),
        snapshot_id=record.get("snapshot_id"),
        description=record.get("description") or "",
        created=_moment(record.get("created_at")),
    )


def snapshot(record: Record) -> Snapshot:
    """A snapshot, from an entry of `GET /v3/{project}/snapshots/detail`."""
    return Snapshot(
        id=record["id"],
        name=record.get("name") or "",
        status=record["status"],
        gigabytes=int(record["size"]),
        volume_id=record["volume_id"],
        description=record.get("description") or "",
        created=_moment(record.get("created_at")),
    )


def volume_limits(absolute: Record) -> VolumeLimits:
    """From Cinder's `limits.absolute`."""
    return VolumeLimits(
        volumes=_limit(absolute.get("maxTotalVolumes")),
        volumes_used=int(absolute.get("totalVolumesUsed") or 0),
        snapshots=_limit(absolute.get("maxTotalSnapshots")),
        snapshots_used=int(absolute.get("totalSnapshotsUsed") or 0),
        gigabytes=_limit(absolute.get("maxTotalVolumeGigabytes")),
        gigabytes_used=int(absolute.get("totalGigabytesUsed") or 0),
    )


def _moment(text: str | None) -> datetime | None:
    """Cinder writes UTC without saying so."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def _limit(value: Any) -> int | None:
    """Nova, Neutron and Cinder write "no limit" as -1."""
    return int(value) if value is not None and int(value) >= 0 else None
