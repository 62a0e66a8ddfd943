"""Backups of the application's database in the project's object store: `faafo backup` and `faafo restore` over SSH.

    app.backup()                        # <Backup 20260131T182919123456Z: 4.7 MB>
    app.backups()                       # all of them, and the moment to which the log goes on from there
    app.restore_beside()                # proves the newest one, and leaves the running database as it is
    app.restore(to="2026-01-31T18:29:18")

A backup is a copy of the database's files. From the first one on, the database's write-ahead log goes to the object
store, too, every `log_seconds` at the latest; with both, any moment since can be restored. The list is read from the
object store, so it needs no server.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from faafo_lab.app.backups.place import read_log
from faafo_lab.app.errors import AppError
from faafo_lab.cloud import ssh
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CommandFailed, Forbidden, NotFound
from faafo_lab.cloud.marks import BACKUPS_CONTAINER, ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology import objects
from faafo_lab.topology.application import Application
from faafo_lab.topology.errors import TopologyError
from faafo_lab.topology.roles import ROLES
from faafo_lab.topology.undo import Undo

LIMIT_SECONDS = 3600.0  # for a backup, or a restore
# A server for the database alone, on a real cloud, has only the installer: the wheel that it came with has the rest.
INSTALL = """command -v faafo >/dev/null || sudo -n sh -c '
PATH=/opt/faafo/bin:$PATH
wheel=$(ls /opt/faafo-lab/*.whl 2>/dev/null)
if [ -z "$wheel" ]; then exec faafo-install -i faafo; fi
FAAFO_WHEEL=$wheel exec bash /opt/faafo-lab/faafo_lab/app/install.sh -i faafo
' >&2 || exit
"""
# The place has a secret in it: by standard input, not in the arguments, which everybody on the server sees.
COMMAND = (
    INSTALL + "IFS= read -r FAAFO_BACKUP_URL && export FAAFO_BACKUP_URL && "
    "exec sudo -n --preserve-env=FAAFO_BACKUP_URL faafo "
)


@dataclass(frozen=True)
class Backup:
    """A backup: any moment from `ended_at` (UTC) on can be restored from it. `size`: bytes in the object store."""

    name: str
    started_at: datetime
    ended_at: datetime
    size: int

    def __repr__(self) -> str:
        return f"<Backup {self.name}: {self.size / 1e6:.1f} MB>"


@dataclass(frozen=True)
class Backups:
    """All backups, the oldest first. `reaches`: the last moment (UTC) that can be restored, None without a backup;
    what came later is lost with the server. `gap`: a piece of the log is missing after it."""

    backups: tuple[Backup, ...]
    reaches: datetime | None
    gap: bool

    def __iter__(self) -> Iterator[Backup]:
        return iter(self.backups)

    def __len__(self) -> int:
        return len(self.backups)

    def __getitem__(self, number: int) -> Backup:
        return self.backups[number]

    def __repr__(self) -> str:
        reaches = f", then the log up to {self.reaches:%Y-%m-%d %H:%M:%S} UTC" if self.reaches else ""
        gap = "; a piece of it is missing after that: make a new backup" if self.gap else ""
        return f"<{len(self)} backups{reaches}{gap}>"


@dataclass(frozen=True)
class Restored:
    """What a restored database has: the application's `orders`, those `done` and `failed`, and when the newest one
    came (UTC, None: there is none); `damaged` pictures are not what their rows say. It is as it was at `to` (UTC)."""

    backup: Backup
    to: datetime
    orders: int
    done: int
    failed: int
    newest: datetime | None
    damaged: int
    seconds: float

    def __repr__(self) -> str:
        damaged = f", {self.damaged} pictures damaged" if self.damaged else ""
        words = f"{self.orders} orders, {self.done} done{damaged}, in {self.seconds:.1f} s"
        return f"<Restored to {self.to:%Y-%m-%d %H:%M:%S} UTC: {words}>"


def make(app: Application, undo: Undo, keep: int | None, log_seconds: int | None) -> Backup:
    """Make a backup; `keep`: then delete all but so many. Raises TopologyError with the command's own words."""
    objects.check(app.cloud, "Backups", "")
    app.report("backups in the object store", objects.ensure(app.cloud, undo, BACKUPS_CONTAINER))
    options = [f"--keep {keep}" if keep is not None else "", f"--log-seconds {log_seconds}" if log_seconds else ""]
    return _backup(_run(app, " ".join(["backup --lines", *filter(None, options)]), "databases backed up")["backup"])


def listed(cloud: Cloud) -> Backups:
    """All backups."""
    names = [each.name for each in cloud.objects(BACKUPS_CONTAINER)] if _any(cloud) else []
    try:
        log = read_log(names, functools.partial(_text, cloud))
        choice = log.choose(None, datetime.now(UTC)) if log.backups else None
    except AppError as error:
        raise TopologyError(str(error)) from None
    backups = tuple(_backup(each.as_dict()) for each in log.backups)
    return Backups(backups, choice.reaches if choice else None, bool(choice and choice.beyond))


def restore(app: Application, undo: Undo, to: datetime | str | None, beside: bool) -> Restored:
    """Restore the database, or beside it. Raises TopologyError with the command's own words."""
    if not _any(app.cloud):
        raise TopologyError("There is no backup: app.backup() makes one.")
    objects.ensure(app.cloud, undo, BACKUPS_CONTAINER)  # the credential
    words = "restore --lines" + " --beside" * beside + (f" --to {_moment(to)}" if to is not None else "")
    answer = _run(app, words, "databases restored" + " beside the running one" * beside)
    numbers = {name: answer[name] for name in ("orders", "done", "failed", "damaged", "seconds")}
    newest = datetime.fromisoformat(answer["newest"]) if answer["newest"] else None
    return Restored(_backup(answer["backup"]), datetime.fromisoformat(answer["to"]), newest=newest, **numbers)


def remove(cloud: Cloud) -> str:
    """Delete all backups; returns what was done in words."""
    return objects.empty(cloud, BACKUPS_CONTAINER, "files")


def _any(cloud: Cloud) -> bool:
    """Whether there is a place of backups."""
    with suppress(NotFound, Forbidden):
        return BACKUPS_CONTAINER in cloud.containers()
    return False


def _text(cloud: Cloud, name: str) -> str:
    try:
        return cloud.read_object(BACKUPS_CONTAINER, name).decode()
    except NotFound:
        raise FileNotFoundError(name) from None


def _moment(to: datetime | str) -> str:
    try:
        found = to if isinstance(to, datetime) else datetime.fromisoformat(to)
    except ValueError:
        raise TopologyError(f"to={to!r} is no moment: write '2026-01-31T18:29:19' (UTC), or a datetime.") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC) if isinstance(to, str) else found.astimezone()
    return found.isoformat()


def _run(app: Application, words: str, what: str) -> dict[str, Any]:
    server = _server(app)
    place = objects.url(app.cloud, BACKUPS_CONTAINER)
    [result] = ssh.run_all(
        app.cloud, [(server, COMMAND + words)], timeout_seconds=LIMIT_SECONDS, what=what, inputs=[f"{place}\n"]
    )
    if result.exit_code:
        said = (result.stderr.strip() or f"exit code {result.exit_code}").splitlines()[-1]
        raise TopologyError(said.removeprefix("faafo: "))
    try:
        answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise CommandFailed(f"{words!r} on {server.name} said nothing: {result.stdout[:200]!r}.") from None
    return answer


def _server(app: Application) -> Server:
    """The server with the database."""
    for server in app.servers.values():
        if ROLES[server.metadata[ROLE_KEY]].has_database:
            return server
    raise TopologyError("There is no server with the database: deploy the application first.")


def _backup(values: dict[str, Any]) -> Backup:
    times = {name: datetime.fromisoformat(values[name]) for name in ("started_at", "ended_at")}
    return Backup(values["name"], times["started_at"], times["ended_at"], values["size"])
