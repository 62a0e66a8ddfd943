"""Images are moved from one place to another while all of them are read."""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from faafo_lab.app import moving
from faafo_lab.app.images import Places
from faafo_lab.app.schema import PIECE_BYTES
from faafo_lab.app.store import Store
from tests.app.conftest import once_a_pair
from tests.app.deployment import AUTHORIZED, Deployment, no_fractals, wait_for
from tests.app.engines import Pair, every_pair
from tests.app.object_store import ObjectStore, running
from tests.app.test_app_images import a_png, accepted, announced, expire, pieces, put

KINDS = ("database", "file", "local", "swift")
NAMES = {"database": "database", "file": "file://disk", "local": "local://fractals", "swift": "swift://fractals"}
KILLS = 12


class Lab:
    """A deployment with an API for each kind of place, and a second one with a disk of its own."""

    def __init__(self, machine: Deployment, store: ObjectStore) -> None:
        self.machine, self.store = machine, store
        self.objects = machine.place / "objects/fractals"
        self.objects.mkdir(parents=True, exist_ok=True)
        self.urls = {
            "database": "database",
            "file": "file:///disk",
            "local": f"local://{self.objects}",
            "swift": store.url(),
        }
        self.apis = {kind: self._api(HOSTS[kind], 110 + n, self.urls[kind]) for n, kind in enumerate(KINDS)}
        self.other_disk = self._api("other-disk", 120, "file:///other")
        self._asking = machine.client(110)  # of its own: a client that two threads use may close a connection in use

    def _api(self, name: str, port: int, url: str) -> httpx.Client:
        return self.machine.api(name, port, FAAFO_IMAGES_URL=url)

    def files(self, kind: str) -> list[str]:
        """What is in a place, half-made or whole."""
        found = {
            "database": lambda: pieces(self.machine),
            "file": lambda: os.listdir(self.machine.root / "disk"),
            "local": lambda: [one.name for one in self.objects.iterdir()],
            "swift": self.store.names,
        }
        return sorted(found[kind]())

    def made(self, kind: str, sizes: Sequence[int]) -> dict[str, bytes]:
        """Fractals whose images are in a place, by uuid."""
        images = {accepted(self.apis[kind]): a_png(size) for size in sizes}
        for uuid, png in images.items():
            assert put(self.apis[kind], uuid, png).status_code == 200
        return images

    def environment(self, source: str, target: str, at: str = "disk") -> dict[str, str]:
        """The mover's on one of the machines."""
        own = {"disk": "file:///disk", "other-disk": "file:///other"}[at]
        return {
            "HOSTNAME": at,
            "FAAFO_IMAGES_URL": own,
            "FAAFO_MOVE_FROM": self.urls.get(source, source),
            "FAAFO_MOVE_TO": self.urls.get(target, target),
        }

    def move(self, source: str, target: str, *options: str, at: str = "disk") -> subprocess.CompletedProcess[str]:
        return self.machine.run("cli", "move-images", *options, **self.environment(source, target, at))

    def start(self, name: str, source: str, target: str) -> subprocess.Popen[bytes]:
        return self.machine.start(name, "cli", "move-images", **self.environment(source, target))

    def at(self) -> dict[str, int]:
        """How many images are where, as the API says."""
        listed = self._asking.get("/v1/fractal?results_per_page=-1").json()["objects"]
        places = [one["image_at"] for one in listed if one["checksum"]]
        return {place: places.count(place) for place in places}

    def reading(self, *kinds: str) -> list[httpx.Client]:
        """The APIs that reach all these places: those of a disk's own machine alone, where there is a disk."""
        return [self.apis["file"]] if "file" in kinds else [*self.apis.values(), self.other_disk]

    @contextlib.contextmanager
    def places(self) -> Iterator[Places]:
        """All places, as the machine "disk" reaches them."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("INSTANCE_ROOT", str(self.machine.root))
            store = Store(self.machine.database_url())
            try:
                yield Places("file:///disk", store, "disk")
            finally:
                store.close()

    def sweep_an_hour_later(self) -> None:
        expire(self.machine)
        with self.places() as places:
            places.sweep()


HOSTS = {"database": "rows", "file": "disk", "local": "local", "swift": "objects"}


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with running() as store:
        yield store


@pytest.fixture(scope="module")
def labs(object_store: ObjectStore) -> Iterator[Callable[[Pair], Lab]]:
    started: dict[int, Lab] = {}

    def start(machine: Deployment) -> None:
        machine.database()
        machine.messaging()
        started[id(machine)] = Lab(machine, object_store)

    with contextlib.contextmanager(once_a_pair)(start) as deployments:
        yield lambda pair: started[id(deployments(pair))]


@pytest.fixture
def lab(labs: Callable[[Pair], Lab], pair: Pair) -> Iterator[Lab]:
    """A lab without fractals and images; nothing is left in any place in the end that no row refers to."""
    lab = labs(pair)
    yield lab
    no_fractals(lab.apis["database"])
    with lab.places() as places:
        places.sweep()
    assert [kind for kind in KINDS if lab.files(kind)] == []
    assert announced(lab.machine) == []


@contextlib.contextmanager
def readers(clients: Sequence[httpx.Client], images: dict[str, bytes]) -> Iterator[list[str]]:
    """Read all pictures through all these APIs, over and over, and once more in the end; what failed."""
    failed: list[str] = []
    end = threading.Event()

    def read(client: httpx.Client) -> int:
        rounds = 0
        while not end.is_set() or rounds == 0:
            for uuid, png in images.items():
                answer = client.get(f"/fractal/{uuid}")
                if (answer.status_code, answer.content == png) != (200, True):
                    failed.append(f"{answer.headers['X-Served-By']}: {answer.status_code} {answer.text[:200]}")
            rounds += 1
        return rounds

    with ThreadPoolExecutor(len(clients)) as pool:
        rounds = [pool.submit(read, client) for client in clients]
        try:
            yield failed
        finally:
            end.set()
        assert all(one.result() for one in rounds)
    assert all_read(clients, images)


def all_read(clients: Sequence[httpx.Client], images: dict[str, bytes]) -> bool:
    return all(client.get(f"/fractal/{uuid}").content == png for client in clients for uuid, png in images.items())


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *(("database", kind) for kind in KINDS[1:]),
        *(("file", kind) for kind in ("database", "local", "swift")),
        *(("swift", kind) for kind in ("database", "file", "local")),
    ],
)
def test_images_are_moved_while_all_of_them_are_read(lab: Lab, source: str, target: str) -> None:
    images = lab.made(source, [2000 + n for n in range(30)] + [3 * PIECE_BYTES + 5])
    with readers(lab.reading(source, target), images) as failed:
        done = lab.move(source, target)
    assert (failed, done.returncode, done.stderr) == ([], 0, "")
    size = sum(map(len, images.values()))
    assert done.stdout == f"31 images ({size} bytes) moved to {NAMES[target]}; 0 already there.\n"
    assert lab.at() == {NAMES[target]: 31}
    assert (len(lab.files(source)), len(lab.files(target)), announced(lab.machine)) == (0, 31, [])
    again = lab.move(source, target)
    assert (again.returncode, again.stdout) == (0, f"0 images (0 bytes) moved to {NAMES[target]}; 31 already there.\n")


@every_pair
def test_images_move_back_and_forth_on_every_database(lab: Lab) -> None:
    images = lab.made("database", [2000 + n for n in range(10)] + [PIECE_BYTES, PIECE_BYTES + 1])
    with readers([lab.apis["file"]], images) as failed:
        for source, target in (("database", "local"), ("local", "file"), ("file", "swift"), ("swift", "database")):
            done = lab.move(source, target)
            assert (done.returncode, done.stderr) == (0, "")
            assert lab.at() == {NAMES[target]: 12}
            assert (len(lab.files(source)), len(lab.files(target))) == (0, 12)
    assert failed == []


def test_all_that_a_machine_reaches_is_moved_unless_told_otherwise(lab: Lab) -> None:
    images = lab.made("database", [1000, 1001]) | lab.made("file", [1002]) | lab.made("swift", [1003])
    uuid, png = accepted(lab.other_disk), a_png(1004)
    assert put(lab.other_disk, uuid, png).status_code == 200
    done = lab.move("", "local")
    assert done.stdout == (
        "4 images (4006 bytes) moved to local://fractals; 0 already there.\n"
        "1 image at file://other-disk: move them there.\n"
    )
    assert (done.returncode, lab.at()) == (0, {"local://fractals": 4, "file://other-disk": 1})
    assert lab.apis["file"].get(f"/fractal/{uuid}").status_code == 404, "a disk of its own is no shared place"
    there = lab.move("", "local://fractals", at="other-disk")  # the APIs know it by now
    assert there.stdout == "1 image (1004 bytes) moved to local://fractals; 4 already there.\n"
    assert all_read([*lab.apis.values(), lab.other_disk], images | {uuid: png})


def test_an_image_that_is_missing_or_damaged_is_reported_and_left_alone(lab: Lab) -> None:
    images = lab.made("file", [2000 + n for n in range(8)])
    missing, damaged, shorter, *good = sorted(images)
    files = {uuid: next((lab.machine.root / "disk").glob(f"{uuid}*")) for uuid in images}
    files[missing].unlink()
    changed = bytearray(images[damaged])
    changed[-1] ^= 1
    files[damaged].write_bytes(changed)
    os.truncate(files[shorter], 1000)
    for moved, there in ((5, 0), (0, 5)):
        done = lab.move("file", "swift")
        size = sum(len(images[uuid]) for uuid in good) if moved else 0
        first, second, third = done.stdout.splitlines()
        assert first == f"{moved} images ({size} bytes) moved to swift://fractals; {there} already there."
        assert second == f"1 image missing, of {missing}."
        assert third.startswith("2 images damaged, and left alone, of ")
        assert sorted(third.rpartition("of ")[2].removesuffix(".").split(", ")) == sorted([damaged, shorter])
        assert done.returncode == 3
    assert files[damaged].read_bytes() == changed
    assert lab.at() == {"swift://fractals": 5, "file://disk": 3}
    assert all_read([*lab.apis.values()], {uuid: images[uuid] for uuid in good})
    assert len(lab.files("swift")) == 5


def test_for_programs_each_step_is_a_line(lab: Lab) -> None:
    lab.made("database", [1000, 2000])
    put(lab.other_disk, accepted(lab.other_disk), a_png(1000))
    done = lab.move("", "swift", "--lines")
    *steps, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert steps[0] == {"moved": 0, "of": 2}
    assert last == {
        "to": "swift://fractals",
        "moved": 2,
        "bytes": 3000,
        "already": 0,
        "left": 0,
        "missing": [],
        "damaged": [],
        "out_of_reach": {"file://other-disk": 1},
    }
    assert lab.move("", "database", at="other-disk").returncode == 0


# Whatever happens in between


@pytest.mark.parametrize(("source", "target"), [("file", "swift"), ("database", "swift"), ("swift", "database")])
def test_a_mover_that_is_killed_at_any_moment_loses_nothing(lab: Lab, source: str, target: str) -> None:
    images = lab.made(source, [3000 + n for n in range(60)] + [2 * PIECE_BYTES + n for n in range(4)])
    chance = random.Random(7)
    killed = 0
    with readers(lab.reading(source, target), images) as failed:
        for _ in range(KILLS):
            before = lab.at().get(NAMES[target], 0)
            mover = lab.start("mover", source, target)
            goal = before + chance.randrange(4)  # a few images further, then at any moment

            def further(mover: subprocess.Popen[bytes] = mover, goal: int = goal) -> bool:
                return mover.poll() is not None or lab.at().get(NAMES[target], 0) >= goal

            wait_for("some images", further)
            time.sleep(chance.random() * 0.05)
            killed += lab.machine.stop("mover", signal.SIGKILL) == -signal.SIGKILL
        assert lab.move(source, target).returncode == 0
    assert failed == []
    assert killed >= KILLS // 2
    lab.sweep_an_hour_later()
    assert lab.at() == {NAMES[target]: 64}
    assert (len(lab.files(source)), len(lab.files(target)), announced(lab.machine)) == (0, 64, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_mover_that_is_asked_to_stop_finishes_what_it_is_at(lab: Lab, number: signal.Signals) -> None:
    images = lab.made("database", [3000 + n for n in range(150)])
    mover = lab.start("mover", "database", "swift")
    wait_for("the first images", lambda: mover.poll() is not None or lab.at().get("swift://fractals"))
    assert lab.machine.stop("mover", number) == 1
    at = lab.at()
    assert 0 < at["swift://fractals"] < 150
    assert f"Interrupted: {at['database']} images left. The same command goes on." in lab.machine.log("mover")
    assert (len(lab.files("swift")), announced(lab.machine)) == (at["swift://fractals"], [])
    assert lab.move("database", "swift").returncode == 0
    assert all_read(lab.reading(), images)


def test_two_movers_at_once_move_each_image_once(lab: Lab) -> None:
    images = lab.made("database", [3000 + n for n in range(100)])
    with readers(lab.reading(), images) as failed:
        movers = {name: lab.start(name, "database", "swift") for name in ("one", "two")}
        for name, mover in movers.items():
            assert mover.wait(90) == 0, lab.machine.log(name)
    assert failed == []
    moved = [int(lab.machine.log(name).rpartition(" images (")[0].split()[-1]) for name in movers]
    assert sum(moved) == 100, moved
    assert (len(lab.files("database")), len(lab.files("swift")), announced(lab.machine)) == (0, 100, [])


def test_two_movers_in_opposite_directions_lose_nothing(lab: Lab) -> None:
    images = lab.made("database", [3000 + n for n in range(40)])
    with readers(lab.reading(), images) as failed:
        for source, target in (("database", "swift"), ("swift", "database")):
            lab.start(source, source, target)
        mover = lab.machine.processes["swift"]
        wait_for("one of them", lambda: mover.poll() is not None)
        for name in ("database", "swift"):
            lab.machine.stop(name)
        assert lab.move("", "swift").returncode == 0
    assert failed == []
    assert lab.at() == {"swift://fractals": 40}
    lab.sweep_an_hour_later()
    assert (len(lab.files("database")), len(lab.files("swift"))) == (0, 40)


def test_an_image_that_is_moved_while_it_is_sent_is_sent_to_its_end(lab: Lab) -> None:
    [(uuid, png)] = lab.made("file", [30 * PIECE_BYTES]).items()
    with lab.apis["file"].stream("GET", f"/fractal/{uuid}") as answer:
        parts = answer.iter_raw()
        begun = next(parts)
        assert lab.move("file", "swift").returncode == 0
        assert lab.files("file") == []
        assert begun + b"".join(parts) == png


def test_a_row_that_was_looked_up_just_before_the_old_image_went_is_looked_up_again(lab: Lab) -> None:
    """Where it is deleted for good, that is 404."""
    [uuid, other] = lab.made("file", [1000, 1001])
    with lab.places() as places:
        checksum, size, image = places._store.image(uuid)
        assert lab.move("file", "swift").returncode == 0
        with pytest.raises(Exception, match="missing at file://disk"):
            places.read(image, 0, size)
    assert lab.apis["file"].get(f"/fractal/{uuid}", params={"checksum": checksum}).status_code == 200
    [name] = [name for name in lab.files("swift") if other in name]
    lab.store.api("DELETE", lab.store.path(name=name))
    answer = lab.apis["file"].get(f"/fractal/{other}")
    assert (answer.status_code, "is missing at swift://fractals" in answer.json()["error"]) == (404, True)


def test_a_copy_that_took_too_long_is_given_up_and_made_again(lab: Lab) -> None:
    """As when a machine sleeps: its announcement has been swept before the row could say so."""
    [(uuid, png)] = lab.made("file", [1000]).items()
    with lab.places() as places, pytest.MonkeyPatch.context() as patch:
        store, target = places._store, places.find(lab.urls["swift"])
        places.note(target)
        move, late = store.move, [True]

        def slow(*arguments: str) -> bool:
            if late.pop() if late else False:
                lab.sweep_an_hour_later()
            return move(*arguments)  # type: ignore[arg-type]

        patch.setattr(store, "move", slow)
        moved = moving.Mover(store, places, target, ["file://disk"]).run()
    assert (moved.moved, moved.complete, late) == (1, True, [])
    assert (len(lab.files("swift")), lab.files("file"), announced(lab.machine)) == (1, [], [])
    assert all_read(lab.reading(), {uuid: png})


def test_images_that_come_meanwhile_and_fractals_that_go_meanwhile(lab: Lab) -> None:
    images = lab.made("file", [1000 + n for n in range(20)])
    with lab.places() as places, pytest.MonkeyPatch.context() as patch:
        store, target = places._store, places.find(lab.urls["swift"])
        places.note(target)
        take, first = target.take, []

        def meanwhile(uuid: str, *arguments: object) -> bool:
            if not first:
                first.append(uuid)
                images.update(lab.made("file", [5000]))
                assert lab.apis["file"].delete(f"/v1/fractal/{uuid}", headers=AUTHORIZED).status_code == 204
            return take(uuid, *arguments)  # type: ignore[arg-type]

        patch.setattr(target, "take", meanwhile)
        patch.setattr(moving, "AT_ONCE", 1)
        moved = moving.Mover(store, places, target, ["file://disk"]).run()
        places.sweep()
    del images[first[0]]
    assert (moved.moved, moved.complete, len(images)) == (20, True, 20)
    assert (len(lab.files("swift")), lab.files("file"), announced(lab.machine)) == (20, [], [])
    assert all_read(lab.reading(), images)


def test_an_object_store_that_is_away_or_full_ends_the_run_and_the_next_one_goes_on(lab: Lab) -> None:
    images = lab.made("database", [3000 + n for n in range(10)])
    full = lab.store.path("full")
    assert lab.store.api("PUT", full, headers={"X-Container-Meta-Quota-Bytes": "10000"}).status_code in (201, 202)
    with readers(lab.reading(), images) as failed:
        done = lab.move("database", lab.store.url("full"))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert done.stderr.startswith("faafo: The object store does not answer")
        lab.store.api("POST", full, headers={"X-Container-Meta-Quota-Bytes": "1000000"})
        assert lab.move("database", "swift://full").returncode == 0
    assert failed == []
    assert lab.at() == {"swift://full": 10}
    assert lab.move("swift://full", "database").returncode == 0
    lab.sweep_an_hour_later()
    assert lab.store.names("full") == []


# What it is told


def test_the_settings_of_the_api_are_the_movers(lab: Lab) -> None:
    [(uuid, png)] = lab.made("file", [1000]).items()
    at, place = lab.machine.root / "etc/faafo", lab.machine.place
    at.mkdir(parents=True, exist_ok=True)
    (at / "faafo-api.env").write_text(
        'MALLOC_ARENA_MAX=2\nFAAFO_IMAGES_URL="file:///disk"\nFAAFO_DATABASE_URL="nonsense"\n'
    )
    try:
        url = lab.machine.database_url()
        done = lab.machine.run("cli", "move-images", "--from", "file://disk", "--to", "database", HOSTNAME="disk")
        assert (done.returncode, "database URL must begin with" in done.stderr) == (1, True)
        words = {"HOSTNAME": "disk", "FAAFO_DATABASE_URL": url}
        done = lab.machine.run("cli", "move-images", "--from", "file://disk", "--to", "database", **words)
        assert (done.returncode, lab.at()) == (0, {"database": 1}), done.stderr
    finally:
        (at / "faafo-api.env").unlink()
    assert place.exists()
    assert all_read(lab.reading(), {uuid: png})


@pytest.mark.parametrize(
    ("source", "target", "at", "says"),
    [
        ("", "ftp://host/x", "disk", "--to must begin with one of database, file, swift"),
        ("swift://nowhere", "database", "disk", "--from must end in the container's name"),
        ("file://other-disk", "database", "disk", "--from must be file:///DIRECTORY with three slashes"),
        ("database", "database", "disk", "--from and --to are both database"),
        ("database", "swift://u:hush@host", "disk", "--to must end in the container's name"),
        ("database", "file:///else", "disk", "it can't have two places"),
        ("database", "file:///else", "laptop", "No API serves on 'laptop', so nobody could read from its disk."),
    ],
)
def test_a_wrong_place_is_one_sentence(lab: Lab, source: str, target: str, at: str, says: str) -> None:
    environment = {"HOSTNAME": at, **({"FAAFO_IMAGES_URL": "file:///disk"} if at == "disk" else {})}
    words = [*(["--from", source] if source else []), "--to", target]
    done = lab.machine.run("cli", "move-images", *words, **environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert says in done.stderr
    assert "hush" not in done.stderr


def test_without_a_target_it_is_a_wrong_option(lab: Lab) -> None:
    done = lab.machine.run("cli", "move-images")
    assert (done.returncode, "--to" in done.stderr) == (2, True)
