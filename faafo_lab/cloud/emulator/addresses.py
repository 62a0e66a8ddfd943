"""Which of this machine's loopback addresses an embedded cloud may have: 127.N.0.0/16, with a number N of its own.

The number is claimed by an abstract Unix socket: one of its name can exist on a machine (in a network namespace, as
the addresses themselves), whoever asks, and it goes with the process, however that ends. `FAAFO_LAB_NETWORKS=20-29`
says which numbers there are to choose from.
"""

from __future__ import annotations

import errno
import os
import random
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from faafo_lab.cloud.emulator.errors import AddressError

NUMBERS = range(10, 250)
PUBLIC_OCTET = 2  # 127.N.2.0/24 has the floating IPs
PRIVILEGED_OFFSET = 8000  # ports below 1024 are published so much higher, where the user may not bind them


def numbers(environ: Mapping[str, str] = os.environ) -> range:
    """The numbers that a cloud may have. Raises `AddressError`."""
    text = environ.get("FAAFO_LAB_NETWORKS", "")
    if not text:
        return NUMBERS
    found = re.fullmatch(r"(\d{1,3})-(\d{1,3})", text, re.ASCII)
    if not found or not 0 < int(found[1]) <= int(found[2]) < 255:
        raise AddressError(f"FAAFO_LAB_NETWORKS is {text!r}: give a range such as 20-29, with numbers from 1 to 254.")
    return range(int(found[1]), int(found[2]) + 1)


@dataclass
class Claim:
    """A number, and the socket that keeps it."""

    number: int
    _socket: socket.socket

    @classmethod
    def take(cls, wanted: int | None = None) -> Claim:
        """Claim this number, or, where it is taken or None, another. Raises `AddressError` where all are taken."""
        others = list(numbers())
        random.shuffle(others)
        for number in [*([] if wanted is None else [wanted]), *others]:
            found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                found.bind(f"\0faafo-lab/127.{number}.0.0")
            except OSError as error:
                found.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return cls(number, found)
        raise AddressError(
            f"All loopback networks from 127.{min(others)} to 127.{max(others)} are taken by embedded clouds: "
            "stop one of them, or widen FAAFO_LAB_NETWORKS."
        )

    def close(self) -> None:
        """Give the number back."""
        self._socket.close()


def public_block(host: str) -> IPv4Network:
    """The floating IPs of the cloud whose APIs are at the address `host`. Raises ValueError for no address."""
    return IPv4Network((int(IPv4Address(host)) & 0xFFFF0000 | PUBLIC_OCTET << 8, 24))


def port_offset() -> int:
    """How much higher a port below 1024 is published: 0 where this user may bind port 80."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.254", 81))
        except PermissionError:
            return PRIVILEGED_OFFSET
        except OSError:
            return 0  # taken, so it may be bound
    return 0
