"""Checks before anything is built: image, flavors, quotas and networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import Ambiguous, NotFound, NotReady
from faafo_lab.cloud.lookup import pick, pick_network
from faafo_lab.cloud.model import (
    Flavor,
    FloatingIP,
    Image,
    KeyPair,
    Limits,
    Network,
    SecurityGroup,
    VolumeLimits,
)


@dataclass(frozen=True)
class Offer:
    """A cloud's resources for a project."""

    limits: Limits
    flavors: Sequence[Flavor]
    images: Sequence[Image]
    networks: Sequence[Network]
    floating_ips: Sequence[FloatingIP]
    security_groups: Sequence[SecurityGroup]
    key_pairs: Sequence[KeyPair]
    volumes: VolumeLimits | None = None  # None: no volume is wanted


@dataclass(frozen=True)
class Wanted:
    """The numbers of new resources; `flavors` has one for each server."""

    servers: int
    flavors: Sequence[Flavor | str]
    floating_ips: int
    security_groups: int
    security_group_rules: int
    key_pairs: int
    volumes: Sequence[int] = ()  # the gigabytes of each


def check(offer: Offer, config: CloudConfig, image: Image | str, wanted: Wanted) -> None:
    """See `Cloud.preflight`. Raises NotReady."""
    limits = offer.limits
    missing: list[str] = []
    chosen = _flavors(offer.flavors, wanted.flavors, missing)
    _image(offer.images, image, chosen, missing)
    _networks(offer.networks, config, wanted.floating_ips > 0, missing)
    free = sum(ip.server_id is None for ip in offer.floating_ips)
    storage = offer.volumes or VolumeLimits(None, 0, None, 0, None, 0)
    rules = sum(group.rules_of_all_kinds for group in offer.security_groups)
    for what, more, limit, used in (
        ("server", wanted.servers, limits.servers, limits.servers_used),
        ("core", sum(flavor.vcpus for flavor in chosen), limits.cores, limits.cores_used),
        ("MB of memory", sum(flavor.ram_mb for flavor in chosen), limits.ram_mb, limits.ram_mb_used),
        ("floating IP", wanted.floating_ips - free, limits.floating_ips, limits.floating_ips_used),
        ("security group", wanted.security_groups, limits.security_groups, limits.security_groups_used),
        ("security group rule", wanted.security_group_rules, limits.security_group_rules, rules),
        ("key pair", wanted.key_pairs, limits.key_pairs, len(offer.key_pairs)),
        ("volume", len(wanted.volumes), storage.volumes, storage.volumes_used),
        ("GB of volumes", sum(wanted.volumes), storage.gigabytes, storage.gigabytes_used),
    ):
        if limit is not None and more > 0 and more > limit - used:
            several = "" if more == 1 or what.startswith(("MB", "GB")) else "s"
            missing.append(
                f"{more} more {what}{several} {'is' if more == 1 else 'are'} wanted, and the quota of {limit} has "
                f"{max(0, limit - used)} left: delete what you don't need, or ask for a larger quota."
            )
    if missing:
        raise NotReady(missing)


def _flavors(known: Sequence[Flavor], wanted: Sequence[Flavor | str], missing: list[str]) -> list[Flavor]:
    """The wanted flavors that exist."""
    chosen = []
    for each in wanted:
        try:
            chosen.append(pick("flavor", known, each) if isinstance(each, str) else each)
        except (NotFound, Ambiguous) as error:
            if str(error) not in missing:
                missing.append(str(error))
    return chosen


def _image(known: Sequence[Image], image: Image | str, flavors: Sequence[Flavor], missing: list[str]) -> None:
    """Check that the image exists, is active, and fits the flavors."""
    try:
        image = pick("image", known, image) if isinstance(image, str) else image
    except (NotFound, Ambiguous) as error:
        missing.append(str(error))
        return
    if image.status != "active":
        missing.append(f"Image {image.name!r} is {image.status}, not active: wait, or choose another.")
    missing += [
        f"Flavor {flavor.name!r} ({flavor.ram_mb} MB of memory, {flavor.disk_gb} GB of disk) is too small for "
        f"image {image.name!r} ({image.min_ram_mb} MB, {image.min_disk_gb} GB): choose a larger one."
        for flavor in dict.fromkeys(flavors)
        if flavor.ram_mb < image.min_ram_mb or 0 < flavor.disk_gb < image.min_disk_gb  # no disk: any size
    ]


def _networks(networks: Sequence[Network], config: CloudConfig, floating: bool, missing: list[str]) -> None:
    """Check that there is one network for servers, and one for floating IPs if any are wanted."""
    for external in (False, True) if floating else (False,):
        try:
            pick_network(config, networks, external)
        except (NotFound, Ambiguous) as error:
            missing.append(str(error))
