"""The account of PostgreSQL: it refuses to run as root, and `initdb` asks the machine for the name of its user id.

In a container there may be nobody but root, or it runs under a user id that no account has. So, in this order:
a user namespace in which our id is an account's (nothing to create, no file to hand over); for root, where that is
refused (in a chroot, in most containers), the id of another account, with the right to read and write what is root's;
for everybody else, the id as it is, and a name for it from an account file of our own.
"""

import contextlib
import os
import pwd
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faafo_lab.app.errors import SettingsError

NOBODY = 65534
ACCOUNT_FILE, OUR_ACCOUNT_FILE, DESCRIPTOR = b"/etc/passwd\0", b"/dev/fd//99\0", 99  # two names of one length
C_LIBRARY = re.compile(r"/(libc|libnss_files)(-2\.\d+)?\.so(\.\d)?$")
SONAMES = {"libc": "libc.so.6", "libnss_files": "libnss_files.so.2"}  # the second reads accounts until glibc 2.33


@dataclass(frozen=True)
class Account:
    """How to run a program that wants to be an ordinary user with a name."""

    words: tuple[str, ...]
    """What to put before its command."""
    uid: int
    """Who owns its files, seen from outside."""
    missing: str
    """The line that the machine's /etc/passwd lacks: see `named`."""

    def own(self, directory: Path) -> None:
        """Take over a directory that belonged to another account's program, such as a snapshot's."""
        if directory.stat().st_uid != self.uid:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, self.uid, -1, follow_symlinks=False)

    @contextlib.contextmanager
    def named(self) -> Iterator[dict[str, str]]:
        """The variables with which a program finds the account's name; it has to inherit DESCRIPTOR.

        Where the machine has no such account, the program loads a copy of the C library that reads accounts from a
        file of ours. Raises SettingsError where this is another C library.
        """
        if not self.missing:
            yield {}
            return
        with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile() as accounts:
            copies = {name: code.replace(ACCOUNT_FILE, OUR_ACCOUNT_FILE) for name, code in _c_library().items()}
            if not any(OUR_ACCOUNT_FILE in code for code in copies.values()):
                raise SettingsError(
                    f"PostgreSQL needs an account for user id {self.uid}, and this machine has none: add a line such "
                    f"as {self.missing!r} to /etc/passwd, or allow user namespaces (unshare --user)."
                )
            for name, code in copies.items():
                (Path(place) / name).write_bytes(code)
            accounts.write(self.missing.encode() + b"\n")
            accounts.flush()
            os.dup2(accounts.fileno(), DESCRIPTOR)
            try:
                yield {"LD_LIBRARY_PATH": place}
            finally:
                os.close(DESCRIPTOR)


def find() -> Account:
    """The account for PostgreSQL. Raises SettingsError where this machine gives root none."""
    uid, gid = os.geteuid(), os.getegid()
    known = _known(uid)
    inside, group = (known.pw_uid, known.pw_gid) if known else (NOBODY, NOBODY)
    missing = "" if known else _line(NOBODY, NOBODY)
    namespace = ("unshare", "--user", f"--map-user={inside}", f"--map-group={group}")
    # System V memory of its own, too, where the kernel lets us: what a killed server leaves there goes with it
    for words in ((*namespace, "--ipc", "--"), (*namespace, "--")):
        if _works(words):
            return Account(words, uid, missing)
    if uid:
        return Account((), uid, "" if known and inside == uid else _line(uid, gid))
    # programs and data may be below root's own home; the bit is for access(2), which else looks without our rights
    reach = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup")
    other = ("setpriv", f"--reuid={inside}", f"--regid={group}", "--clear-groups", *reach, "--")
    if _works(other):
        return Account(other, inside, missing)
    raise SettingsError(
        "PostgreSQL does not run as root, and this machine lets root neither make a user namespace (unshare --user) "
        "nor become another user (setpriv): run this as an ordinary user, or allow one of the two."
    )


def _known(uid: int) -> pwd.struct_passwd | None:
    """The account of this user; for root and for whoever has none, another one (nobody's, if there is one)."""
    with contextlib.suppress(KeyError):
        if uid:
            return pwd.getpwuid(uid)
    others = [entry for entry in pwd.getpwall() if entry.pw_uid]
    return min(others, key=lambda entry: entry.pw_name != "nobody", default=None)


def _line(uid: int, gid: int) -> str:
    return f"postgres:x:{uid}:{gid}::/:/bin/sh"


def _works(words: tuple[str, ...]) -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    return False


def _c_library() -> dict[str, bytes]:
    """The parts of the C library that may read accounts, as this process has loaded them, by the names they go by."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    paths = {line.split(maxsplit=5)[-1].rstrip() for line in maps.splitlines()}
    found = {match[1]: Path(path) for path in paths if (match := C_LIBRARY.search(path))}
    return {SONAMES[name]: path.read_bytes() for name, path in found.items()}
