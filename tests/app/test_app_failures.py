"""What cannot be made is tried again ever more rarely, has failed in the end, and can be asked for again."""

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from faafo_lab.app import failures, outbox
from faafo_lab.app.database import connect, now
from faafo_lab.app.errors import NotFound, TooManyWaiting
from faafo_lab.app.julia import Task
from faafo_lab.app.schema import fractals
from faafo_lab.app.store import Store
from faafo_lab.app.validation import Failure, Heartbeat
from tests.app.deployment import AUTHORIZED, Deployment, a_task, counts, done
from tests.app.engines import every_pair
from tests.app.test_app_metrics import Scrape
from tests.app.test_app_store import accept, complete
from tests.app.test_app_worker import letters
from tests.programs import possible
from tests.waiting import wait_for

# A worker with a mistake: it cannot compute what is 61 pixels wide
MISTAKEN = """
from faafo_lab.app import fractal, worker
write = fractal.write_png
def write_unless(task, sink):
    if task.width == 61:
        raise ZeroDivisionError("61 is too odd")
    write(task, sink)
fractal.write_png = write_unless
worker.main()
"""
# A worker that keeps each picture on its disk, as it does with large ones
THRIFTY = "from faafo_lab.app import worker; worker.IN_MEMORY_BYTES = 1; worker.main()"


def shown(client: httpx.Client, uuid: str) -> dict[str, Any]:
    answer = client.get(f"/v1/fractal/{uuid}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@every_pair
def test_what_always_fails_has_failed_in_the_end_and_can_be_asked_for_again(
    services: Deployment, client: httpx.Client
) -> None:
    reason = "It cannot be computed: ZeroDivisionError: 61 is too odd"
    services.launch("mistaken", sys.executable, "-c", MISTAKEN, HOSTNAME="mistaken")
    odd, even = a_task(width=61), a_task(width=62)
    for task in (odd, even):
        client.post("/v1/fractal", json=task)
    wait_for("the one that can be made", lambda: done(client, [even["uuid"]]))
    let_go = {"failure": reason, "leased_by": None}  # one try may have begun after another
    first = wait_for("the other one to fail", lambda: (seen := shown(client, odd["uuid"])) | let_go == seen and seen)
    assert first["failed_at"] is None
    with closing(Clock(services.database_url())) as clock:
        failed = wait_for(
            "it to have failed", lambda: (seen := clock.hurried(client, odd["uuid"]))["failed_at"] and seen
        )
    assert (failed["failures"], failed["attempts"], failed["failure"]) == (failures.FAILURES_MAX,) * 2 + (reason,)
    ended = {"waiting": 0, "working": 0, "done": 1, "failed": 1, "queue_depth": 0, "dead": 1}
    wait_for("it to be left alone", lambda: counts(client) == ended)
    [letter] = letters(client)
    assert (letter["reason"], odd["uuid"] in letter["message"]) == (reason, True)
    assert services.log("mistaken").count("cannot compute it") == failures.FAILURES_MAX
    assert f"tried no more: {reason}" in services.log("api")
    assert Scrape(client)("faafo_fractals", state="failed") == 1
    assert "<dt>failed</dt><dd>1</dd>" in client.get("/").text
    assert Scrape(client)("faafo_failures_total", fault="task") >= failures.FAILURES_MAX

    assert f"| failure      | {reason} " in services.run("cli", "show", odd["uuid"]).stdout
    assert "failed" in next(line for line in services.run("cli", "list").stdout.splitlines() if odd["uuid"] in line)
    services.stop("mistaken")
    services.worker("repaired")
    again = services.run("cli", "retry", odd["uuid"])
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    wait_for("it to be made", lambda: done(client, [odd["uuid"]]))
    made = shown(client, odd["uuid"])
    assert (made["failed_at"], made["failure"], made["generated_by"]) == (None, None, "repaired")
    repaired = ended | {"done": 2, "failed": 0}
    wait_for("no work left", lambda: counts(client) == repaired)


@pytest.fixture
def full_disk(tmp_path: Path) -> list[str]:
    """Words before a command that then has a disk of 16 kB at `tmp_path`."""
    account = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = f"mount -t tmpfs -o size=16k none '{tmp_path}'"
    words = ["unshare", *account, "--mount", "--", "sh", "-c", f'{script} && exec "$@"', "sh"]
    if not possible(*words, "true"):
        pytest.skip("this machine lets nobody mount a disk of their own")
    return words


@every_pair
def test_a_worker_whose_disk_is_full_leaves_its_task_to_the_others(
    services: Deployment, client: httpx.Client, full_disk: list[str], tmp_path: Path
) -> None:
    process = services.launch("full", *full_disk, sys.executable, "-c", THRIFTY, HOSTNAME="full", TMPDIR=str(tmp_path))
    task = a_task(width=600, height=600)
    client.post("/v1/fractal", json=task)
    wait_for("more than one try", lambda: shown(client, task["uuid"])["attempts"] > 2)
    seen = shown(client, task["uuid"])
    assert (seen["failure"], seen["failures"]) == ("'full' cannot keep it: No space left on device.", 0)
    services.worker("roomy")
    made = wait_for("the other one to make it", lambda: (now := shown(client, task["uuid"]))["checksum"] and now)
    assert (made["generated_by"], made["failure"]) == ("roomy", None)
    more = [a_task(width=600, height=600) for _ in range(6)]
    for each in more:
        client.post("/v1/fractal", json=each)
    wait_for("all others", lambda: done(client, [each["uuid"] for each in more]))
    assert sum(shown(client, each["uuid"])["attempts"] - 1 for each in more) < 6  # the full one rests between two tries
    assert client.get("/v1/stats").json()["dead"] == 0
    assert "Traceback" not in services.log("full")
    assert "broker" not in services.log("full")
    assert process.poll() is None
    assert services.stop("full", signal.SIGTERM) == 0


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store that no API keeps, in which at most two fractals may wait."""
    with closing(Store(database_url, waiting_max=2)) as store:
        store.create_tables()
        yield store


class Clock:
    """When a task is tried again, and how to get there at once."""

    def __init__(self, url: str):
        self.engine = connect(url, 1)

    def now(self) -> datetime:
        """The database's time."""
        with self.engine.begin() as connection:
            moment: datetime = connection.execute(sa.select(now())).scalar_one()
            return moment

    def wait(self, task: Task, since: datetime) -> tuple[float, float] | None:
        """How many seconds it has been told to wait, at least and at most; None: it has not.

        The least is what is left. The most is what there was at `since`, before it was told. So a slow machine is fine.
        """
        with self.engine.begin() as connection:
            told = sa.select(fractals.c.retry_at, now()).where(fractals.c.uuid == task.uuid)
            [(retry_at, moment)] = connection.execute(told).all()
        return None if retry_at is None else ((retry_at - moment).total_seconds(), (retry_at - since).total_seconds())

    def pass_by(self, uuid: str) -> None:
        """The moment has come, where it waits for one."""
        waits = (fractals.c.uuid == uuid, fractals.c.retry_at > now())
        with self.engine.begin() as connection:
            connection.execute(sa.update(fractals).where(*waits).values(retry_at=now()))

    def hurried(self, client: httpx.Client, uuid: str) -> dict[str, Any]:
        """How a fractal stands; where it waits for another try, the moment has come."""
        self.pass_by(uuid)
        return shown(client, uuid)

    def close(self) -> None:
        self.engine.dispose()


@pytest.fixture
def clock(database_url: str) -> Iterator[Clock]:
    with closing(Clock(database_url)) as clock:
        yield clock


class Run:
    """A worker's run, as the store hears of it."""

    def __init__(self, store: Store):
        self.store, self.id = store, str(uuid.uuid4())

    def lease(self, task: Task) -> str:
        beat = Heartbeat("one", self.id, "working", (task.uuid,), None, None, None, None)
        return self.store.heard(beat)[1][task.uuid]

    def fail(self, task: Task, fault: str = "task", reason: str = "it is odd") -> bool:
        return self.store.fail(task.uuid, Failure(self.id, fault, reason))[1]


def published(store: Store) -> list[str]:
    """Publish the outbox: the uuids."""
    uuids: list[str] = []
    store.write(outbox.publish, lambda orders, again: uuids.extend(order.task.uuid for order in orders), 0.0)
    return uuids


def failed(store: Store, clock: Clock) -> Task:
    """A fractal that has failed."""
    task = Task(**a_task())
    accept(store, task)
    for number in range(1, failures.FAILURES_MAX + 1):
        run = Run(store)
        assert run.lease(task) == "yours"
        assert run.fail(task) is (number == failures.FAILURES_MAX)
        clock.pass_by(task.uuid)
    return task


@every_pair
def test_each_try_waits_longer_than_the_one_before(store: Store, clock: Clock) -> None:
    task = Task(**a_task())
    accept(store, task)
    for seconds in (1, 2, 4, 8, 16, 32, 64, 64, 64):
        run = Run(store)
        assert run.lease(task) == "yours"
        assert Run(store).fail(task) is False, "another run's word changes nothing"
        assert store.get(task.uuid)["leased_by"] == "one"
        began = clock.now()
        assert run.fail(task, "worker", "no room") is False
        told = clock.wait(task, began)
        assert told is not None
        least, most = told
        assert least <= seconds
        assert most > (seconds / 2 if seconds >= 16 else 0)
        assert store.get(task.uuid)["failures"] == 0
        if least > 4:  # it does not pass meanwhile
            assert published(store) == []
            assert run.lease(task) == "taken", "a heartbeat that was on its way does not take it back"
        clock.pass_by(task.uuid)
    run.lease(task)
    run.store.hand_back("one", run.id)
    assert published(store) == [task.uuid], "who leaves in good order makes nobody wait"


@every_pair
def test_a_task_over_which_workers_fall_silent_waits_from_the_fourth_on(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEASE_SECONDS", 0.0)
    task = Task(**a_task())
    accept(store, task)
    for seconds in (None, None, None, 1, 2, 4):
        assert Run(store).lease(task) == "yours"
        began = clock.now()
        assert wait_for("the lease to expire", lambda: store.write(outbox.take_back_expired)) == [(task.uuid, "one")]
        told = clock.wait(task, began)
        assert (told is None) if seconds is None else (told is not None and told[0] <= seconds and told[1] > 0)
        assert store.get(task.uuid)["failed_at"] is None
        clock.pass_by(task.uuid)
        assert published(store) == [task.uuid]


@every_pair
def test_what_has_failed_is_in_no_queue_and_no_hands(store: Store, clock: Clock) -> None:
    task = failed(store, clock)
    assert store.stats()[0] == {"waiting": 0, "working": 0, "done": 0, "failed": 1}
    assert Run(store).lease(task) == "failed"
    assert store.write(outbox.refill, queue_is_empty=True) == 0
    assert published(store) == []
    store.delete(task.uuid)
    assert store.stats()[0] == {"waiting": 0, "working": 0, "done": 0, "failed": 0}
    with pytest.raises(NotFound):
        Run(store).fail(task)


@every_pair
def test_what_has_failed_is_tried_anew_where_there_is_room(store: Store, clock: Clock) -> None:
    task = failed(store, clock)
    others = [Task(**a_task()) for _ in range(2)]
    for other in others:
        store.add(other)
    with pytest.raises(TooManyWaiting):
        store.add(task)
    assert store.stats()[0] == {"waiting": 2, "working": 0, "done": 0, "failed": 1}
    store.delete(others[0].uuid)
    fractal, new = store.add(task)
    assert (fractal["failed_at"], fractal["failure"], fractal["failures"], new) == (None, None, 0, False)
    assert store.stats()[0] == {"waiting": 2, "working": 0, "done": 0, "failed": 0}
    assert task.uuid in published(store)


@every_pair
def test_a_result_that_comes_late_is_kept_though_it_has_failed(store: Store, clock: Clock) -> None:
    task = failed(store, clock)
    fractal, won = complete(store, task)
    assert (won, fractal["failed_at"], fractal["failure"]) == (True, None, None)
    assert store.stats()[0] == {"waiting": 0, "working": 0, "done": 1, "failed": 0}


def test_a_report_that_is_none_is_refused_by_its_field(client: httpx.Client) -> None:
    task = a_task()
    client.post("/v1/fractal", json=task)
    address = f"/v1/fractal/{task['uuid']}/failure"
    good = {"run": str(uuid.uuid4()), "fault": "task", "reason": "it is odd"}
    assert client.post(address, json=good).status_code == 401
    for wrong, says in (
        ({"fault": "nobody"}, "'fault' must be one of task, worker."),
        ({"reason": ""}, "'reason' must be text of 1 to 1000 characters."),
        ({"reason": "x" * 1001}, "'reason' must be text of 1 to 1000 characters."),
        ({"run": "x"}, "'run' must be a uuid"),
        ({"more": 1}, "'more' is no field of this"),
    ):
        answer = client.post(address, json=good | wrong, headers=AUTHORIZED)
        assert (answer.status_code, says in answer.json()["error"]) == (400, True), answer.text
    assert client.post(address, json=good, headers=AUTHORIZED).json()["failures"] == 0, "it has no lease"
    nowhere = f"/v1/fractal/{uuid.uuid4()}/failure"
    assert client.post(nowhere, json=good, headers=AUTHORIZED).status_code == 404
