"""Which of this machine's loopback addresses an embedded cloud may have: 127.N.0.0/16, with a number N of its own.

The number is claimed by an abstract Unix socket: one of its name can exist on a machine (in a network namespace, as
the addresses themselves), whoever asks, and it goes with the process, however that ends.
"""

from __future__ import annotations

import errno
import random
import socket
from dataclasses import dataclass

from faafo_lab.cloud.emulator.errors import AddressError

NUMBERS = range(10, 250)
PRIVILEGED_OFFSET = 8000  # ports below 1024 are published so much higher, where the user may not bind them


@dataclass
class Claim:
    """A number, and the socket that keeps it."""

    number: int
    _socket: socket.socket

    @classmethod
    def take(cls, wanted: int | None = None) -> Claim:
        """Claim this number, or, where it is taken or None, another. Raises `AddressError` where all are taken."""
        others = list(NUMBERS)
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
        raise AddressError("All loopback networks of this machine are taken by embedded clouds: stop one of them.")

    def close(self) -> None:
        """Give the number back."""
        self._socket.close()


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
