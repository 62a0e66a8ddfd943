"""What a block of addresses (a CIDR) allows: the gateway and the pools of a subnet, addresses that follow from a MAC.

Source: https://docs.openstack.org/api-ref/network/v2/#subnets
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from faafo_lab.cloud.emulator.common.service import JSON
from faafo_lab.cloud.emulator.services.network.words import refused

Block = ipaddress.IPv4Network | ipaddress.IPv6Network


def hosts(block: Block) -> tuple[int, int]:
    """The first and the last address that a host may have; IPv6 has no broadcast address."""
    return int(block[0]) + 1, int(block[-1]) - (1 if block.version == 4 else 0)


def check_gateway(block: Block, gateway: str | None) -> None:
    """Check that a gateway is neither the network nor the broadcast address; outside the block it may be any.

    Raises a 400 `Fault`.
    """
    if gateway is None:
        return
    address, (first, last) = ipaddress.ip_address(gateway), hosts(block)
    if address.version != block.version:
        raise refused("InvalidInput", f"gateway_ip '{gateway}' does not match the ip_version '{block.version}'")
    if address in block and block.version == 4 and not first <= int(address) <= last:
        raise refused("InvalidInput", "Gateway is not valid on subnet")


def all_but(block: Block, gateway: str | None) -> list[JSON]:
    """The pools of a subnet that was given none: all hosts' addresses but the gateway."""
    first, last = hosts(block)
    middle = int(ipaddress.ip_address(gateway)) if gateway else first - 1
    ranges = [(first, middle - 1), (middle + 1, last)] if first <= middle <= last else [(first, last)]
    return [{"start": _text(block, start), "end": _text(block, end)} for start, end in ranges if start <= end]


def check_pools(block: Block, gateway: str | None, pools: Iterable[JSON]) -> list[JSON]:
    """The pools as they are kept: in the block, apart from each other and from the gateway. Raises a `Fault`."""
    first, last = hosts(block)
    found: list[tuple[int, int]] = []
    for pool in pools:
        try:
            start, end = ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"])
            fits = start.version == end.version == block.version and first <= int(start) <= int(end) <= last
        except (KeyError, ValueError, TypeError):
            fits = False
        if not fits or set(pool) != {"start", "end"}:
            raise refused("InvalidAllocationPool", pool, block)
        for other in found:
            if int(start) <= other[1] and other[0] <= int(end):
                had = "-".join(_text(block, number) for number in other)
                raise refused("OverlappingAllocationPools", had, f"{start}-{end}", block)
        found.append((int(start), int(end)))
        if gateway is not None and int(start) <= int(ipaddress.ip_address(gateway)) <= int(end):
            raise refused("GatewayConflictWithAllocationPools", gateway, f"{start}-{end}")
    return [{"start": _text(block, start), "end": _text(block, end)} for start, end in found]


def eui64(block: Block, mac: str) -> str:
    """The address that a host with this MAC address gives itself in an IPv6 block (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return _text(block, int(block[0]) | int.from_bytes(identifier))


def free_block(prefixes: Iterable[str], taken: Iterable[Block], length: int) -> Block | None:
    """The first block of this prefix length in one of the prefixes that overlaps none of those taken, or None."""
    used = sorted(taken, key=lambda block: int(block[0]))
    for text in prefixes:
        prefix = ipaddress.ip_network(text)
        if length < prefix.prefixlen:
            continue
        size = 1 << (prefix.max_prefixlen - length)
        start = int(prefix[0])
        for block in used:
            if block.version == prefix.version and start <= int(block[-1]) and int(block[0]) < start + size:
                start = (int(block[-1]) // size + 1) * size
        if start + size - 1 <= int(prefix[-1]):
            return ipaddress.ip_network(f"{_text(prefix, start)}/{length}")
    return None


def _text(block: Block, number: int) -> str:
    return str(block[0] + (number - int(block[0])))
