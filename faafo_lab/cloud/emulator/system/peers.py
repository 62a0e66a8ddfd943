"""Which socket is at the other end of a loopback connection: its inode and its user, as the kernel tells.

By a question to sock_diag about this one socket (20 us), or, where the kernel has none, from the tables in
/proc/net, which grow with every connection that the machine has had of late.

Source: sock_diag(7), proc_pid_net(5), linux/inet_diag.h.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from typing import NamedTuple

Address = tuple[str, int]

_NETLINK_SOCK_DIAG, _BY_FAMILY, _REQUEST, _ERROR = 4, 20, 1, 2
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST_HEAD = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_SOCKET_ID = struct.Struct("=2s2s4s12x4s12xIII")  # ports and addresses in network order, interface, cookie
_USER_AT = _HEADER.size + 4 + _SOCKET_ID.size + 12  # and the inode
_ANY = 0xFFFFFFFF
_ANSWER_BYTES = 4096
_ANSWER_LIMIT_SECONDS = 1.0
_MAPPED = b"0000000000000000FFFF0000" if sys.byteorder == "little" else b"00000000000000000000FFFF"


class Socket(NamedTuple):
    """A socket that some process has open."""

    inode: int
    uid: int  # whose it is


def peer_socket(peer: Address, local: Address) -> Socket | None:
    """The socket bound to `peer` and connected to `local` (IPv4); None when there is none any more."""
    with contextlib.suppress(OSError):
        if found := ask_kernel(peer, local):
            return found
    # "No such socket" is also what a kernel without tcp_diag says.
    return search_tables(peer, local)


def ask_kernel(peer: Address, local: Address) -> Socket | None:
    """The same from sock_diag, mapped IPv6 addresses too. Raises OSError where it does not answer."""
    head = _REQUEST_HEAD.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY)
    places = peer[1].to_bytes(2), local[1].to_bytes(2), socket.inet_aton(peer[0]), socket.inet_aton(local[0])
    ends = _SOCKET_ID.pack(*places, 0, _ANY, _ANY)
    request = _HEADER.pack(_HEADER.size + len(head) + len(ends), _BY_FAMILY, _REQUEST, 1, 0) + head + ends
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_ANSWER_LIMIT_SECONDS)
        kernel.send(request)
        answer = kernel.recv(_ANSWER_BYTES)
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind == _ERROR:
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        if -number == errno.ENOENT:
            return None
        raise OSError(-number, "sock_diag")
    uid, inode = struct.unpack_from("=II", answer, _USER_AT)
    return Socket(inode, uid) if inode else None


def search_tables(peer: Address, local: Address) -> Socket | None:
    """And from /proc/net/tcp and tcp6."""
    for table, prefix in (("/proc/net/tcp", b""), ("/proc/net/tcp6", _MAPPED)):
        wanted = b" %s%s %s%s " % (prefix, _hex(peer), prefix, _hex(local))
        try:
            with open(table, "rb") as file:
                text = file.read()
        except OSError:
            continue
        start = text.find(wanted)
        if start >= 0:
            fields = text[start : text.find(b"\n", start)].split()
            if inode := int(fields[8]):
                return Socket(inode, int(fields[6]))
    return None


def _hex(address: Address) -> bytes:
    """As the kernel prints it: the address' bytes as a number of this machine's byte order."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return b"%08X:%04X" % (number, address[1])
