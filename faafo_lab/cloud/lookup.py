"""Lookup by name or id, the same for every kind of resource, and the servers' floating IPs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import Ambiguous, NotFound
from faafo_lab.cloud.model import FloatingIP, Network


class Named(Protocol):
    """Anything with a name (key pairs have no other id)."""

    @property
    def name(self) -> str:
        """The name, unique only for key pairs."""


N = TypeVar("N", bound=Named)


def pick(kind: str, things: Sequence[N], name_or_id: str) -> N:
    """The one of `things` with this name or id. Raises NotFound (naming the others) or Ambiguous."""
    for thing in things:
        if str(getattr(thing, "id", "")).lower() == name_or_id.lower() != "":
            return thing
    named = [thing for thing in things if thing.name == name_or_id]
    if not named:
        raise NotFound.among(kind, name_or_id, [thing.name for thing in things])
    if len(named) > 1:
        ids = ", ".join(str(getattr(thing, "id", "")) for thing in named)
        raise Ambiguous(f"There are {len(named)} {kind}s named {name_or_id!r}: say which by its id ({ids}).")
    return named[0]


def pick_network(config: CloudConfig, networks: Sequence[Network], external: bool) -> Network:
    """The servers' network, or the floating IPs' external one: clouds.yaml's, else the only one.

    Raises NotFound, or Ambiguous if there are several.
    """
    setting, kind = ("external_network", "external network") if external else ("network", "network for servers")
    found = [network for network in networks if network.external == external]
    chosen = config.external_network if external else config.network
    if chosen:
        return pick(kind, found, chosen)
    found = [network for network in found if external and network.name in config.routed_networks] or found
    if not found:
        raise NotFound(f"The project has no {kind}: create one, or ask its administrator for one.")
    if len(found) > 1:
        names = ", ".join(sorted(network.name for network in found))
        raise Ambiguous(
            f"The project has more than one {kind} ({names}): choose one in the {config.entry}, with "
            f"`faafo_lab: {{{setting}: NAME}}`."
        )
    return found[0]


def floating_by_server(ips: Iterable[FloatingIP]) -> dict[str, tuple[str, ...]]:
    """The addresses of the attached floating IPs, by server id."""
    found: dict[str, tuple[str, ...]] = {}
    for ip in ips:
        if ip.server_id:
            found[ip.server_id] = (*found.get(ip.server_id, ()), ip.address)
    return found
