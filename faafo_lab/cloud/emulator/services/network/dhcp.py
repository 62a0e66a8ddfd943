"""What a port may say beside its addresses: DHCP options, and pairs of addresses that it may also send from.

They are kept, checked and shown as Neutron does; instances have no DHCP to use them for.
Source: https://docs.openstack.org/api-ref/network/v2/#ports
"""

from __future__ import annotations

import re
from typing import Any

from faafo_lab.cloud.emulator.common.schema import shown
from faafo_lab.cloud.emulator.common.service import JSON
from faafo_lab.cloud.emulator.services.network.checks import address, cidr, mapping
from faafo_lab.cloud.emulator.services.network.words import refused

MAX_PAIRS = 10
_KEYS = frozenset(("opt_name", "opt_value", "ip_version"))


def mac(value: Any) -> str:
    """A MAC address, in small letters."""
    if not isinstance(value, str) or not re.fullmatch(r"(?i)([0-9a-f]{2}:){5}[0-9a-f]{2}", value):
        raise ValueError(f"{shown(value)} is not a valid MAC address.")
    return value.lower()


def option(value: Any) -> JSON:
    """A DHCP option; a value of null removes it."""
    name, text, version = (mapping(value).get(each) for each in ("opt_name", "opt_value", "ip_version"))
    if not isinstance(name, str) or not name or not set(value) <= _KEYS:
        raise ValueError(f"{shown(value)} is not a DHCP option: it has opt_name, opt_value and ip_version.")
    if text is not None and (not isinstance(text, str) or not text):
        raise ValueError(f"{shown(text)} is not a valid value of a DHCP option.")
    if version not in (None, 4, 6, "4", "6"):
        raise ValueError(f"{shown(version)} is not in [4, 6].")
    return {"opt_name": name, "opt_value": text, "ip_version": int(version or 4)}


def merged(before: list[JSON], changes: list[JSON]) -> list[JSON]:
    """The options after a change: others stay, and those without a value go."""
    options = {(each["opt_name"], each["ip_version"]): each for each in [*before, *changes]}
    return [each for each in options.values() if each["opt_value"] is not None]


def pair(value: Any) -> JSON:
    """An address, or a block of them, with the MAC address that sends from it."""
    if not set(mapping(value)) <= {"ip_address", "mac_address"} or "ip_address" not in value:
        raise refused("AllowedAddressPairsMissingIP")
    ip = value["ip_address"]
    ip = cidr(ip) if isinstance(ip, str) and "/" in ip else address(ip)
    return {"ip_address": ip, **({"mac_address": mac(value["mac_address"])} if value.get("mac_address") else {})}


def pairs_of(port_mac: str, pairs: list[JSON]) -> list[JSON]:
    """A port's pairs, each with a MAC address: its own where none is named. Raises a `Fault`."""
    found = [{"mac_address": port_mac, **each} for each in pairs]
    keys = [(each["ip_address"], each["mac_address"]) for each in found]
    if len(set(keys)) != len(keys):
        raise refused("DuplicateAddressPairInRequest")
    if len(keys) > MAX_PAIRS:
        raise refused("AllowedAddressPairExhausted", MAX_PAIRS)
    return found
