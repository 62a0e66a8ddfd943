"""The database is backed up while it runs, and goes back to a named second; what is interrupted is whole or gone."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from faafo_lab.app import database
from faafo_lab.app.backups import archive
from faafo_lab.app.julia import Task
from faafo_lab.app.store import Store
from tests.app.deployment import AUTHORIZED, Deployment, a_task, done, lasting, node
from tests.app.object_store import running
from tests.waiting import LIMIT_SECONDS, wait_for

KILLS = 5


class Machine(Deployment):
    """A deployment whose database is started again whenever it ends, as a service manager does; its place of backups
    is the directory `objects`."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = self.place / "objects/backups"
        self.objects.mkdir(parents=True)
        self._told |= {"FAAFO_BACKUP_URL": f"local://{self.objects}"}
        self._ends = threading.Event()
        self.database()
        self._manager = threading.Thread(target=self._manage)
        self._manager.start()
        self.store = Store(self.database_url())
        self.store.create_tables()

    def _manage(self) -> None:
        while not self._ends.wait(0.05):
            if self.processes["database"].poll() is not None:
                self._database.launch()  # and does not wait until it serves: it may be killed before

    def close(self) -> None:
        self._ends.set()
        self._manager.join()
        self.store.close()
        super().close()

    def orders(self, number: int = 1) -> list[str]:
        """Order so many, in the database alone; their uuids."""
        return [self.store.add(Task(**a_task()))[0]["uuid"] for _ in range(number)]

    def there(self) -> set[str]:
        """The uuids of all orders."""
        return {each["uuid"] for each in self.store.page(1, None)[1]}

    def faafo(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("cli", *words, **environment)

    def succeeds(self, *words: str, **environment: str) -> str:
        ran = self.faafo(*words, **environment)
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout

    def backups(self) -> list[str]:
        """Those that are listed."""
        return re.findall(r"\d{8}T\d{12}Z", self.succeeds("backup", "--list"))

    def room(self) -> set[str]:
        """What is beside the database's directory."""
        return set(os.listdir(self.root / "var/lib/postgresql"))


@pytest.fixture
def machine() -> Iterator[Machine]:
    with contextlib.closing(Machine()) as machine:
        yield machine


@pytest.fixture(scope="module")
def backed_up() -> Iterator[Machine]:
    """A machine with a backup, for tests that break nothing."""
    with contextlib.closing(Machine()) as machine:
        machine.orders(2)
        machine.succeeds("backup")
        yield machine


def now() -> str:
    return datetime.now(UTC).isoformat()


def test_a_delete_without_where_is_undone_and_the_application_goes_on(machine: Machine) -> None:
    machine.messaging()
    api = machine.api()
    waiting = [a_task() for _ in range(3)]
    long = lasting(15.0)
    for task in (long, *waiting):
        assert api.post("/v1/fractal", json=task).status_code == 201
    machine.worker("first")
    wait_for("a lease", lambda: node(api, "first").get("working_on"))
    machine.succeeds("backup", "--log-seconds", "1")
    late = a_task()
    assert api.post("/v1/fractal", json=late).status_code == 201
    before = now()
    machine.stop("first", signal.SIGKILL)

    engine = database.connect(machine.database_url(), 1)
    with engine.connect() as connection:
        connection.execute(sa.text("DELETE FROM fractals"))
    engine.dispose()
    lost = a_task()  # ordered after that: in the queue, and not in the restored database
    assert api.post("/v1/fractal", json=lost).status_code in (201, 503)

    assert "5 orders" in machine.succeeds("restore", "--to", before)
    uuids = [task["uuid"] for task in (*waiting, late)]
    assert machine.there() == {*uuids, long["uuid"]}
    assert api.delete(f"/v1/fractal/{long['uuid']}", headers=AUTHORIZED).status_code == 204
    machine.worker("second")
    wait_for("all that was ordered", lambda: done(api, uuids))
    assert [api.get(f"/v1/fractal/{uuid}").json().get("lost") or [] for uuid in uuids] == [[]] * len(uuids)
    more = a_task()
    assert api.post("/v1/fractal", json=more).status_code == 201
    wait_for("a new order", lambda: done(api, [more["uuid"]]))
    assert api.get(f"/v1/fractal/{lost['uuid']}").status_code == 404


def test_it_goes_back_and_forth_between_moments(machine: Machine) -> None:
    first = set(machine.orders(2))
    machine.succeeds("backup")
    one = now()
    second = set(machine.orders(2))
    two = now()
    machine.succeeds("restore", "--to", one)
    assert machine.there() == first
    third = set(machine.orders())
    three = now()
    machine.succeeds("restore", "--to", two)  # which was given up when it went back
    assert machine.there() == first | second
    machine.succeeds("restore", "--to", three)
    assert machine.there() == first | third
    assert machine.room() == {"data", "before-restore", "lock", "backups.lock", "backup.env"}


def test_a_backup_is_proved_beside_the_running_database(backed_up: Machine) -> None:
    more = backed_up.orders()
    before = backed_up.there()
    said = backed_up.succeeds("restore", "--beside")
    assert f"{len(before)} orders, 0 done" in said
    assert backed_up.there() == before >= set(more)
    assert backed_up.room() == {"data", "lock", "backups.lock", "backup.env"}
    assert not [name for name in os.listdir(backed_up.objects) if name.startswith("branch")]


def test_a_database_without_a_server_is_restored_on_another_one(backed_up: Machine) -> None:
    known = backed_up.there()
    with contextlib.closing(Machine()) as other:
        copy = other.place / "copy/backups"
        shutil.copytree(backed_up.objects, copy)
        there = {"FAAFO_BACKUP_URL": f"local://{copy}"}
        other.orders()
        other.succeeds("restore", **there)
        assert other.there() <= known
        newer = other.orders()
        assert f"{len(other.there())} orders" in other.succeeds("restore", "--beside", **there)  # its log goes there
        assert set(newer) <= other.there()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("restore", "--to", (datetime.now(UTC) + timedelta(days=1)).isoformat()), "is in the future"),
        (("restore", "--to", "2020-01-31"), "No backup is old enough for 2020-01-31 00:00:00 UTC"),
        (("backup", "--keep", "0"), "--keep must be at least 1"),
        (("backup", "--log-seconds", "0"), "--log-seconds must be from 1 to 86400"),
    ],
)
def test_what_can_not_be_done_is_refused_in_one_sentence(backed_up: Machine, words: tuple[str, ...], says: str) -> None:
    ran = backed_up.faafo(*words)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert says in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_without_a_database_or_a_place_or_a_backup_one_sentence_says_so(bare: Deployment, backed_up: Machine) -> None:
    no_database = bare.run("cli", "backup")
    assert "There is no PostgreSQL on this machine" in no_database.stderr
    empty = backed_up.place / "empty/backups"
    empty.mkdir(parents=True)
    nothing = backed_up.faafo("restore", FAAFO_BACKUP_URL=f"local://{empty}")
    assert "There is no backup here: 'faafo backup' makes one." in nothing.stderr
    bad = backed_up.faafo("backup", FAAFO_BACKUP_URL="swift://u:hush@host")
    assert "FAAFO_BACKUP_URL must end in the container's name" in bad.stderr
    assert "hush" not in bad.stderr
    assert (nothing.returncode, bad.returncode, no_database.returncode) == (1, 1, 1)


def test_a_damaged_backup_is_not_restored(backed_up: Machine) -> None:
    copy = backed_up.place / "damaged/backups"
    shutil.copytree(backed_up.objects, copy)
    [base] = copy.glob("base-*.tar.gz")
    content = bytearray(base.read_bytes())
    content[len(content) // 2] ^= 1
    base.write_bytes(content)
    ran = backed_up.faafo("restore", FAAFO_BACKUP_URL=f"local://{copy}")
    assert ran.returncode == 1
    assert "is damaged" in ran.stderr
    assert "restored" not in backed_up.room()


def test_a_backup_that_is_killed_is_not_listed_and_leaves_nothing(machine: Machine) -> None:
    machine.orders(2)
    machine.succeeds("backup")
    whole = len(machine.backups())
    for kill in range(KILLS):
        process = machine.start(f"backup-{kill}", "cli", "backup")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.3, 3.0))
        machine.signal(f"backup-{kill}", signal.SIGKILL)
        process.wait(LIMIT_SECONDS)
    listed = machine.backups()
    assert whole <= len(listed) <= whole + KILLS
    records = [name for name in os.listdir(machine.objects) if name.endswith(".json")]
    assert len(records) == len(listed)
    machine.succeeds("backup", "--keep", "2")
    bases = [name for name in os.listdir(machine.objects) if name.endswith(".tar.gz")]
    assert len(bases) == len(machine.backups()) == 2
    assert "2 orders" in machine.succeeds("restore", "--beside")
    assert "backing-up" not in machine.room()


def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(machine: Machine) -> None:
    first = set(machine.orders(2))
    machine.succeeds("backup")
    one = now()
    both = first | set(machine.orders(2))
    seen = []
    for kill in range(KILLS):
        process = machine.start(f"restore-{kill}", "cli", "restore", "--to", one)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(1.0, 8.0))
        machine.signal(f"restore-{kill}", signal.SIGKILL)
        process.wait(LIMIT_SECONDS)
        machine.signal("database", signal.SIGKILL)
        before = machine.log("database").count("ready to accept connections")
        wait_for("the database", lambda: machine.log("database").count("ready to accept connections") > before)  # noqa: B023
        seen.append(machine.there())
        assert seen[-1] in (first, both)
    machine.succeeds("restore", "--to", one)
    assert machine.there() == first


def test_a_place_that_is_away_is_said_and_the_log_goes_on_when_it_is_back(machine: Machine) -> None:
    there = {"FAAFO_BACKUP_URL": "file:///backups"}
    machine.succeeds("backup", "--log-seconds", "1", **there)
    place, away = machine.root / "backups", machine.root / "away"
    place.rename(away)
    place.write_text("no directory")
    machine.orders()
    wait_for("a word about it", lambda: "of the log can't be archived" in machine.log("database"))
    assert re.search(r"can't be archived: .+ \d+ of them, \d+ MB, wait on the database's disk", machine.log("database"))
    wait_for("PostgreSQL's word", lambda: "archive command failed" in machine.log("database"))
    seen = machine.succeeds("backup", "--list", FAAFO_BACKUP_URL="file:///away")
    assert "The log can't be archived since its piece" in seen
    assert "what came later would be lost" in seen
    place.unlink()
    away.rename(place)
    machine.orders()
    wait_for("the log", lambda: "can't be archived" not in machine.succeeds("backup", "--list", **there))
    assert "2 orders" in machine.succeeds("restore", "--beside", **there)


def test_before_the_disk_is_full_the_log_is_given_up_and_says_so(
    backed_up: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = backed_up.root / "var/lib/postgresql/data"
    piece = min(path.name for path in (data / "pg_wal").iterdir() if re.fullmatch("[0-9A-F]{24}", path.name))
    monkeypatch.setattr(archive, "WAITING_BYTES", -1)
    monkeypatch.setattr(archive, "NOTE", "note-of-nowhere")
    (data.parent / "note-of-nowhere").write_text("local:///nowhere/backups\n")
    monkeypatch.setattr("sys.argv", ["archive", f"pg_wal/{piece}"])
    monkeypatch.chdir(data)
    try:
        with pytest.raises(SystemExit) as ended:
            archive.main()
    finally:
        (data.parent / "note-of-nowhere").unlink()
    assert ended.value.code == 0  # PostgreSQL may delete it
    assert f"{piece} of the log can't be archived" in (said := capsys.readouterr().err)
    assert "only a new backup leads further" in said


def test_one_backup_or_restore_at_a_time(backed_up: Machine) -> None:
    backed_up.start("first", "cli", "restore", "--beside")
    wait_for("the first one", lambda: "restoring" in backed_up.room())
    second = backed_up.faafo("backup")
    assert (second.returncode, "is under way on this machine" in second.stderr) == (1, True)
    assert backed_up.processes.pop("first").wait(LIMIT_SECONDS) == 0


def test_the_object_store_keeps_backups_with_an_application_credential(backed_up: Machine) -> None:
    with running() as store:
        credential = store.credential()
        there = {"FAAFO_BACKUP_URL": store.url_with(credential, "backups")}
        note = backed_up.root / "var/lib/postgresql/backup.env"
        kept = note.read_text()
        try:
            backed_up.succeeds("backup", **there)
            assert len(store.names("backups")) >= 2
            assert f"{len(backed_up.there())} orders" in backed_up.succeeds("restore", "--beside", **there)
            assert Path(note).stat().st_mode & 0o077 == 0
            store.revoke(credential)
            refused = backed_up.faafo("backup", **there)
        finally:
            note.write_text(kept)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "The object store does not answer" in refused.stderr
    assert credential.partition(":")[2] not in refused.stderr
