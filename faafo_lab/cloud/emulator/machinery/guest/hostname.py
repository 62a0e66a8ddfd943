"""The instance's own host name, in a UTS namespace of its own, where the kernel lets us.

Root needs no more than that namespace. Everybody else needs a user namespace around it, in which they stay
themselves. Some systems allow the user namespace and refuse everything in it; as there is no way back from one, a
child tries it all first.
"""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

_NEW_UTS, _NEW_USER = 0x04000000, 0x10000000


def set_hostname(name: str) -> bool:
    """Give the calling process (one thread) a namespace with this host name; False where that is refused.

    Then HOSTNAME and the instance's `hostname` command have to do.
    """
    if not (child := os.fork()):
        try:
            _unshare(name)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        return False
    _unshare(name)
    return True


def _unshare(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = _NEW_UTS if uid == 0 else _NEW_UTS | _NEW_USER
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")
    if flags & _NEW_USER:
        Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="utf-8")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="utf-8")
    change_hostname(name)


def change_hostname(name: str) -> None:
    """Change the host name of a process that has a namespace of its own. Raises OSError."""
    socket.sethostname(os.fsdecode(name.encode()[:63]))
