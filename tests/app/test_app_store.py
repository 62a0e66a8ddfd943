"""The store by itself: numbers and pages, accepting in groups, counters."""

import hashlib
import io
import random
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from faafo_lab.app import database, numbers, outbox, pieces
from faafo_lab.app.errors import BadRequest, Conflict, DatabaseAway, NotFound, TooManyWaiting
from faafo_lab.app.julia import Task
from faafo_lab.app.store import Store
from faafo_lab.app.transaction import Database, DatabaseError, Mode
from faafo_lab.app.validation import Heartbeat, Result
from tests.app.deployment import Deployment, a_task
from tests.app.engines import every_pair

pytestmark = every_pair


def new_task() -> Task:
    return Task(**a_task())


def accept(store: Store, task: Task) -> int:
    """Accept a task as an API does that has put it into the queue, too; its generation."""
    generation: int = store.add(task)[0]["generation"]
    store.write(outbox.published, [generation])
    return generation


def complete(store: Store, task: Task) -> tuple[dict[str, Any], bool]:
    image = random.randbytes(100)
    result = Result(0.5, hashlib.sha256(image).hexdigest(), len(image), "somebody", None)
    return store.complete(task.uuid, result, f"database:{uuid.uuid4()}", io.BytesIO(image))


def test_every_page_is_exact_whatever_was_deleted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "BLOCK", 4)  # many blocks, whole ones without a fractal among them
    dice = random.Random(4)
    there: list[str] = []

    def check() -> None:
        for per_page in (1, 3, 7, 1000):
            for page in range(1, len(there) // per_page + 3):
                wanted = there[(page - 1) * per_page : page * per_page]
                count, objects = store.page(page, per_page)
                assert (count, [one["uuid"] for one in objects]) == (len(there), wanted)
                wanted = there[::-1][(page - 1) * per_page : page * per_page]
                count, objects = store.page(page, per_page, "newest")
                assert (count, [one["uuid"] for one in objects]) == (len(there), wanted)
        assert [one["uuid"] for one in store.page(1, None)[1]] == there

    check()
    for round_ in range(6):
        added = [new_task() for _ in range(12)]
        assert all(isinstance(answer, tuple) and answer[1] for answer in store.add_many(added))
        there += [task.uuid for task in added]
        check()
        some = dice.sample(there, 7) if round_ % 2 else there[4:12]
        for one in some:
            store.delete(one)
            there.remove(one)
        check()
    for one in there[:]:
        store.delete(one)
        there.remove(one)
    check()


def test_counters_are_right_after_anything_that_happens_at_the_same_time(store: Store) -> None:
    wanted = [new_task() for _ in range(60)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store.add_many, [wanted[i : i + 7] for i in range(0, 60, 5)]))  # each overlaps the next
        list(pool.map(lambda task: complete(store, task), wanted[:40] + wanted[:40]))
        assert store.stats()[0] == {"waiting": 20, "working": 0, "done": 40, "failed": 0}

        def deleted(task: Task) -> bool:
            try:
                store.delete(task.uuid)
            except NotFound:
                return False
            return True

        assert sum(pool.map(deleted, wanted[30:50] + wanted[30:50])) == 20
    run = str(uuid.uuid4())
    assert store.heard(Heartbeat("w", run, "working", (wanted[50].uuid,), None, None, None, None))[1]
    assert store.stats()[0] == {"waiting": 9, "working": 1, "done": 30, "failed": 0}
    count, objects = store.page(1, None)
    assert count == len(objects) == 40
    count, objects = store.page(2, 20, "newest", completed=True)
    assert (count, len(objects)) == (30, 10)
    assert objects == sorted(objects, key=lambda one: one["completed_at"], reverse=True)


def test_what_is_known_and_what_clashes_does_not_keep_the_rest_of_a_group_out(store: Store) -> None:
    known, taken, first, second = (new_task() for _ in range(4))
    store.add_many([known, taken])
    other = Task(**a_task(uuid=taken.uuid, width=7))
    twice_other = Task(**a_task(uuid=first.uuid, height=7))
    answers = store.add_many([first, known, other, second, first, twice_other])
    outcomes = [answer[1] if isinstance(answer, tuple) else type(answer) for answer in answers]
    assert outcomes == [True, False, Conflict, True, False, Conflict]
    assert [one["uuid"] for one in store.page(1, 10)[1]] == [one.uuid for one in (known, taken, first, second)]
    for task in (known, first, second):
        shown = store.get(task.uuid)
        assert {name: shown[name] for name in task.as_dict()} == task.as_dict()


def test_two_that_add_the_same_at_once_both_hear_that_it_is_accepted(store: Store) -> None:
    for _ in range(20):
        wanted = [new_task() for _ in range(3)]
        together = threading.Barrier(3, timeout=30)

        def add(wanted: list[Task] = wanted, together: threading.Barrier = together) -> list[bool]:
            together.wait()
            return [answer[1] for answer in store.add_many(wanted) if isinstance(answer, tuple)]

        with ThreadPoolExecutor(3) as pool:
            answers = [future.result() for future in [pool.submit(add) for _ in range(3)]]
        assert sorted(answers) == [[False] * 3, [False] * 3, [True] * 3]
    assert store.page(1, 1)[0] == 60


def test_no_more_wait_than_may(database_url: str, store: Store) -> None:
    small = Store(database_url, waiting_max=3)
    try:
        wanted = [new_task() for _ in range(5)]
        answers = small.add_many(wanted)
        assert [type(answer) for answer in answers] == [tuple] * 3 + [TooManyWaiting] * 2
        assert small.add(wanted[0])[1] is False, "what is accepted already is no more"
        with pytest.raises(TooManyWaiting, match="3 fractals are waiting"):
            small.add(wanted[3])
        complete(small, wanted[0])
        small.delete(wanted[1].uuid)
        answers = small.add_many([*wanted[3:], new_task()])
        assert [type(answer) for answer in answers] == [tuple] * 2 + [TooManyWaiting]
        assert [one["uuid"] for one in small.page(1, 10)[1]] == [wanted[i].uuid for i in (0, 2, 3, 4)]
        assert small.stats()[0] == {"waiting": 3, "working": 0, "done": 1, "failed": 0}
    finally:
        small.close()


def test_numbers_moments_and_text_come_back_as_they_went_in(store: Store) -> None:
    dice = random.Random(7)
    for _ in range(50):
        xa, ya = dice.uniform(-3, 3) * 10 ** dice.randint(-12, 0), dice.uniform(-1000, 1000)
        task = Task(**a_task(xa=xa, xb=xa + 2.0, ya=ya, yb=999.9999999999999))
        made = store.add(task)[0]
        assert store.get(task.uuid) == made == made | task.as_dict()
    before = store.get(task.uuid)["created_at"]
    image = b"\x00\xff'\\\"%"
    result = Result(0.1 + 0.2, "0" * 64, len(image), "Ärger%s'\"\\ \U0001f600", (1e-300, -5e-324))
    made = store.complete(task.uuid, result, "database:a", io.BytesIO(image))[0]
    assert (made["duration"], made["c"], made["generated_by"]) == (
        result.duration,
        [1e-300, -5e-324],
        result.generated_by,
    )
    assert made["created_at"] == before < made["completed_at"]
    assert store.image(task.uuid) == (result.checksum, len(image), "database:a")
    assert store.read(pieces.read, "database:a", 0, 100) == image


def test_a_connection_that_breaks_while_tables_are_made_says_what_is_wrong(bare: Deployment) -> None:
    bare.database()
    engine = database.connect(bare.database_url(), 1)

    def broken_off() -> None:
        with engine.connect() as connection, database.alone(connection):
            bare.stop("database", signal.SIGKILL)
            connection.execute(sa.select(1))

    with pytest.raises(sa.exc.DBAPIError):
        broken_off()
    with (
        closing(Store(bare.database_url())) as store,
        pytest.raises(DatabaseAway, match="The database does not answer"),
    ):
        store.create_tables()
    bare.database()
    with engine.connect() as connection, database.alone(connection):
        assert connection.scalar(sa.select(1)) == 1
    engine.dispose()


def test_a_first_connection_that_breaks_is_no_other_error(bare: Deployment) -> None:
    bare.database()
    engine = database.connect(bare.database_url(), 1)
    sa.event.listen(engine, "connect", lambda *_: bare.stop("database", signal.SIGKILL), insert=True)
    with pytest.raises(DatabaseError) as raised, Database(engine).begin(Mode.READING):
        pass
    assert raised.value.means is database.Meaning.AWAY
    engine.dispose()


def test_an_order_that_is_none_is_refused(store: Store) -> None:
    with pytest.raises(BadRequest, match="oldest, newest"):
        store.page(1, 10, "sideways")
