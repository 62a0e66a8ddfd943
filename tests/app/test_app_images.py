"""Images on their way in and out, in every place where they may be kept."""

import contextlib
import hashlib
import io
import os
import random
import signal
import socket
import subprocess
import sys
import uuid as uuids
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from faafo_lab.app import database, validation
from faafo_lab.app.errors import ImagesAway
from faafo_lab.app.images import Places
from faafo_lab.app.schema import PIECE_BYTES, image_pieces, loose_images
from faafo_lab.app.store import Store
from tests.app.deployment import AUTHORIZED, Deployment, a_task, wait_for
from tests.app.engines import Pair, every_pair
from tests.app.object_store import ObjectStore, running
from tests.app.test_app_rest import a_result

PNG = {"Content-Type": "image/png"}
LARGE_BYTES = 2 * PIECE_BYTES + 12_345


def a_png(size: int) -> bytes:
    """So many bytes that nothing can compress, with a PNG's signature."""
    return validation.PNG_SIGNATURE + random.Random(size).randbytes(size - len(validation.PNG_SIGNATURE))


def told(png: bytes, **changes: Any) -> dict[str, Any]:
    """What a worker says of a PNG in the address."""
    checksum = hashlib.sha256(png).hexdigest()
    return {"duration": 1.5, "checksum": checksum, "size": len(png), "generated_by": "w", "c": "-0.4,0.6"} | changes


def put(client: httpx.Client, uuid: str, png: bytes, **changes: Any) -> httpx.Response:
    return client.put(f"/v1/fractal/{uuid}", params=told(png, **changes), content=png, headers=AUTHORIZED | PNG)


def accepted(client: httpx.Client) -> str:
    """A fractal that is to be made."""
    return str(client.post("/v1/fractal", json=a_task()).json()["uuid"])


@dataclass
class Place:
    """An API that keeps its images somewhere, and how many it has there."""

    client: httpx.Client
    url: str
    files: Callable[[], list[str]]


PLACES = ("database", "file", "local", "swift")


@pytest.fixture
def client(services: Deployment) -> Iterator[httpx.Client]:
    """A client of the API that keeps its images in the database; the other places' go on."""
    with services.client() as client:
        yield client


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def place_of(
    shared: Callable[[Pair], Deployment], object_store: ObjectStore
) -> Iterator[Callable[[str, Deployment], Place]]:
    """Places by their name, each with an API of its own; it lasts as long as the module's tests."""
    with contextlib.ExitStack() as stack:
        started: dict[tuple[str, Deployment], Place] = {}

        def place_of(name: str, machine: Deployment) -> Place:
            if (name, machine) not in started:
                directory = machine.root / "images"
                (machine.place / "objects/fractals").mkdir(parents=True, exist_ok=True)
                urls = {
                    "database": "database",
                    "file": "file:///images",
                    "local": f"local://{machine.place}/objects/fractals",
                    "swift": object_store.url(),
                }
                files: dict[str, Callable[[], list[str]]] = {
                    "database": lambda: pieces(machine),
                    "file": lambda: sorted(one.name for one in directory.iterdir()),
                    "local": lambda: sorted(one.name for one in (machine.place / "objects/fractals").iterdir()),
                    "swift": object_store.names,
                }
                port = 100 + len(started)
                client = machine.api(f"{name}-api", port, FAAFO_IMAGES_URL=urls[name])
                stack.callback(machine.stop, f"{name}-api", signal.SIGKILL)
                stack.callback(client.close)
                started[name, machine] = Place(client, urls[name], files[name])
            return started[name, machine]

        yield place_of


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, place_of: Callable[[str, Deployment], Place], services: Deployment) -> Place:
    return place_of(request.param, services)


@contextlib.contextmanager
def tables(machine: Deployment) -> Iterator[sa.Connection]:
    """The database, as its owner sees it."""
    engine = database.connect(machine.database_url(), 1)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def pieces(machine: Deployment) -> list[str]:
    with tables(machine) as connection:
        return sorted(connection.scalars(sa.select(image_pieces.c.image).where(image_pieces.c.start == 0)))


def announced(machine: Deployment) -> list[str]:
    with tables(machine) as connection:
        return sorted(connection.scalars(sa.select(loose_images.c.image)))


# Out and in, everywhere


def test_a_large_image_is_put_and_read_whole_and_in_ranges(place: Place) -> None:
    uuid, png = accepted(place.client), a_png(LARGE_BYTES)
    before = place.files()
    shown = put(place.client, uuid, png).json()
    assert {key: shown[key] for key in ("duration", "size", "generated_by", "c")} == {
        "duration": 1.5,
        "size": LARGE_BYTES,
        "generated_by": "w",
        "c": [-0.4, 0.6],
    }
    assert len(place.files()) == len(before) + 1
    address = f"/fractal/{uuid}"
    whole = place.client.get(address)
    assert (whole.status_code, whole.content == png) == (200, True)
    assert whole.headers["ETag"] == f'"{hashlib.sha256(png).hexdigest()}"'
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert "Transfer-Encoding" not in whole.headers
    for asked, first, stop in (
        ("bytes=0-0", 0, 1),
        (f"bytes={PIECE_BYTES - 1}-{PIECE_BYTES}", PIECE_BYTES - 1, PIECE_BYTES + 1),
        (f"bytes={2 * PIECE_BYTES}-", 2 * PIECE_BYTES, LARGE_BYTES),
        ("bytes=-7", LARGE_BYTES - 7, LARGE_BYTES),
        ("bytes=5-99999999", 5, LARGE_BYTES),
        (f"bytes=-{10 * LARGE_BYTES}", 0, LARGE_BYTES),
    ):
        part = place.client.get(address, headers={"Range": asked})
        assert part.status_code == 206, asked
        assert part.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{LARGE_BYTES}"
        assert part.headers["Content-Length"] == str(stop - first)
        assert part.content == png[first:stop], asked


def test_the_api_says_where_an_image_is_once_it_is_somewhere(place: Place) -> None:
    uuid = accepted(place.client)
    assert place.client.get(f"/v1/fractal/{uuid}").json()["image_at"] is None
    put(place.client, uuid, a_png(1000))
    at = {"database": "database", "file": "file://file-api", "local": "local://fractals", "swift": "swift://fractals"}
    one, *_ = place.client.get("/v1/fractal?order=newest&results_per_page=1").json()["objects"]
    assert (one["uuid"], one["image_at"]) == (uuid, at[place.url.partition(":")[0].partition("+")[0]])
    assert place.client.get(f"/v1/fractal/{uuid}").json() == one


def test_what_a_client_has_is_not_sent_again(place: Place) -> None:
    uuid, png = accepted(place.client), a_png(1000)
    put(place.client, uuid, png)
    address, etag = f"/fractal/{uuid}", f'"{hashlib.sha256(png).hexdigest()}"'
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = place.client.get(address, headers={"If-None-Match": known, "Range": "bytes=0-1"})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag), known
    assert place.client.get(address, headers={"If-None-Match": '"other"'}).content == png
    head = place.client.head(address, headers={"Range": "bytes=0-1"})  # which is for GET alone
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "1000", b"")
    assert head.headers["ETag"] == etag


def test_a_range_that_makes_no_sense_is_refused_or_ignored(place: Place) -> None:
    uuid, png = accepted(place.client), a_png(1000)
    put(place.client, uuid, png)
    address, etag = f"/fractal/{uuid}", f'"{hashlib.sha256(png).hexdigest()}"'
    for beyond in ("bytes=1000-", "bytes=5000-6000", "bytes=-0"):
        answer = place.client.get(address, headers={"Range": beyond})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */1000"), beyond
        assert "1000 bytes" in answer.json()["error"]
    for ignored in ("bytes=5-1", "bytes=0-1,5-6", "bytes=x", "pixels=0-1", "bytes=-", f"bytes={'9' * 40}-"):
        answer = place.client.get(address, headers={"Range": ignored})
        assert (answer.status_code, answer.content == png) == (200, True), ignored
    assert place.client.get(address, headers={"Range": "Bytes=-3"}).content == png[-3:], "units have no case"
    for condition, status in ((etag, 206), ('"other"', 200), ("Sat, 01 Jan 2050 00:00:00 GMT", 200)):
        answer = place.client.get(address, headers={"Range": "bytes=0-1", "If-Range": condition})
        assert answer.status_code == status, condition


def test_a_client_that_goes_away_or_a_file_that_got_shorter_ends_the_answer(
    place_of: Callable[[str, Deployment], Place], services: Deployment
) -> None:
    place = place_of("file", services)
    uuid, png = accepted(place.client), a_png(20 * PIECE_BYTES)
    put(place.client, uuid, png)
    with place.client.stream("GET", f"/fractal/{uuid}") as answer:
        assert next(answer.iter_raw())
    wait_for("the API to notice", lambda: in_flight(place) == 0)
    [file] = (services.root / "images").glob(f"{uuid}*")
    os.truncate(file, 5 * PIECE_BYTES)
    with pytest.raises(httpx.RemoteProtocolError):
        place.client.get(f"/fractal/{uuid}")
    os.truncate(file, 0)
    answer = place.client.get(f"/fractal/{uuid}")
    assert (answer.status_code, "ends after 0 bytes" in answer.json()["error"]) == (503, True)
    log = services.log("file-api")
    assert ("the client went away" in log, "broken off" in log, "Traceback" in log) == (True, True, False)
    assert in_flight(place) == 0


def test_the_first_result_wins_and_the_second_does_it_no_harm(place: Place, services: Deployment) -> None:
    uuid, first, second = accepted(place.client), a_png(5000), a_png(6000)
    assert put(place.client, uuid, first, generated_by="first").json()["generated_by"] == "first"
    files = place.files()
    for png in (second, first):  # another picture, and the same again
        answer = put(place.client, uuid, png, generated_by="second")
        assert (answer.status_code, answer.json()["generated_by"]) == (200, "first")
    sweep(place, services)
    assert place.files() == files
    assert place.client.get(f"/fractal/{uuid}").content == first
    assert announced(services) == []


def test_a_deleted_fractals_image_goes_with_it(place: Place, services: Deployment) -> None:
    before = place.files()
    uuid = accepted(place.client)
    put(place.client, uuid, a_png(LARGE_BYTES))
    assert place.client.delete(f"/v1/fractal/{uuid}", headers=AUTHORIZED).status_code == 204
    sweep(place, services)
    assert place.client.get(f"/fractal/{uuid}").status_code == 404
    assert place.files() == before
    assert announced(services) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"checksum": "0" * 64}, "'checksum'"),
        ({"checksum": "short"}, "'checksum'"),
        ({"size": LARGE_BYTES - 1}, f"'size' must be the image's length, {LARGE_BYTES} bytes"),
        ({"size": validation.IMAGE_MAX_BYTES + 1}, f"from 0 to {validation.IMAGE_MAX_BYTES}"),
        ({"size": "x"}, "'size' must be a number: got 'x'"),
        ({"size": "\u0661"}, "'size' must be a number: got '\u0661'"),  # an Arabic 1
        ({"size": " 1"}, "'size' must be a number"),
        ({"size": "1_0"}, "'size' must be a number"),
        ({"generation": "1\0"}, "'generation' must be a number"),
        ({"duration": "\u0661"}, "'duration'"),
        ({"duration": "nan"}, "'duration'"),
        ({"duration": ""}, "'duration'"),
        ({"generated_by": ""}, "'generated_by'"),
        ({"c": "1"}, "'c'"),
        ({"c": "1,x"}, "'c'"),
        ({"c": "1,inf"}, "'c'"),
        ({"colour": "red"}, "'colour' is no field"),
    ],
)
def test_an_upload_that_is_not_what_it_says_leaves_nothing(
    place: Place, services: Deployment, changes: dict[str, Any], says: str
) -> None:
    before = place.files()
    uuid, png = accepted(place.client), a_png(LARGE_BYTES)
    answer = put(place.client, uuid, png, **changes)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True), answer.text
    assert place.client.get(f"/v1/fractal/{uuid}").json()["checksum"] is None
    assert place.files() == before
    assert announced(services) == []


def test_bytes_that_are_no_png_and_fractals_that_are_none_are_refused(place: Place, services: Deployment) -> None:
    before = place.files()
    answer = put(place.client, accepted(place.client), b"GIF89a" * 1000)
    assert (answer.status_code, "PNG" in answer.json()["error"]) == (400, True)
    answer = put(place.client, str(uuids.uuid4()), a_png(1000))
    assert (answer.status_code, "There is no fractal" in answer.json()["error"]) == (404, True)
    without = place.client.put(f"/v1/fractal/{accepted(place.client)}", params=told(b""), content=b"x", headers=PNG)
    assert without.status_code == 401
    expire(services)
    sweep(place, services)
    assert place.files() == before


def test_an_upload_that_is_broken_off_leaves_nothing(place: Place, services: Deployment) -> None:
    before = place.files()
    uuid, png = accepted(place.client), a_png(LARGE_BYTES)
    half_an_upload(place, uuid, png)
    wait_for("the API to notice", lambda: in_flight(place) == 0)
    assert place.client.get(f"/v1/fractal/{uuid}").json()["checksum"] is None
    assert place.files() == before
    assert announced(services) == []
    assert put(place.client, uuid, png).status_code == 200
    assert place.client.get(f"/fractal/{uuid}").content == png


def half_an_upload(place: Place, uuid: str, png: bytes) -> None:
    """Send half of it, wait until the API has that, and go away."""
    arguments = str(httpx.QueryParams(told(png)))
    secret = AUTHORIZED["Authorization"]
    head = f"PUT /v1/fractal/{uuid}?{arguments} HTTP/1.1\r\nHost: api\r\nAuthorization: {secret}\r\n"
    head += f"Content-Type: image/png\r\nContent-Length: {len(png)}\r\n\r\n"
    transport = place.client._transport
    assert isinstance(transport, httpx.HTTPTransport)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(transport._pool._uds)
        connection.sendall(head.encode() + png[: len(png) // 2])
        wait_for("the upload to begin", lambda: in_flight(place) == 1)


def in_flight(place: Place) -> int:
    """How many requests the API has in hand beside the one that asks."""
    told = place.client.get("/metrics").text
    [line] = [line for line in told.splitlines() if line.startswith("faafo_http_requests_in_flight ")]
    return int(float(line.split()[1])) - 1


@contextlib.contextmanager
def library(place: Place, machine: Deployment) -> Iterator[Places]:
    """The same images without the API's process: what its sweep does every minute can be done at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTANCE_ROOT", str(machine.root))
        store = Store(machine.database_url())
        try:
            yield Places(place.url, store, place.client.get("/v1/load").json()["hostname"])
        finally:
            store.close()


def sweep(place: Place, machine: Deployment) -> None:
    with library(place, machine) as opened:
        opened.sweep()


def expire(machine: Deployment) -> None:
    """Let an hour pass for what was announced."""
    with tables(machine) as connection:
        connection.execute(sa.update(loose_images).values(delete_after=sa.func.now()))


# Whatever breaks in between

CRASH = """
import io, os, sys
from faafo_lab.app import images
from faafo_lab.app.store import Store
from faafo_lab.app.validation import Result

url, database, host, uuid, moment = sys.argv[1:]
store = Store(database)
images = images.Places(url, store, host)
class Crash(io.BytesIO):
    def read(self, *size):
        return super().read(1000) if self.tell() == 0 else os._exit(9)
    __next__ = read
if moment == "meanwhile":
    picture = Crash(bytes(5000))
else:
    picture = io.BytesIO(bytes(5000))
    store.complete = lambda *arguments: os._exit(9)
images.keep(uuid, Result(1.0, "0" * 64, 5000, "w", None), picture)
"""


@pytest.mark.parametrize("moment", ["meanwhile", "before its row"])
def test_an_api_that_dies_while_it_puts_an_image_leaves_nothing(
    place: Place, services: Deployment, moment: str
) -> None:
    before = place.files()
    uuid = accepted(place.client)
    host = place.client.get("/v1/load").json()["hostname"]
    done = subprocess.run(
        [sys.executable, "-c", CRASH, place.url, services.database_url(), host, uuid, moment],
        env=services.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    assert place.client.get(f"/fractal/{uuid}").status_code == 404
    assert place.client.get(f"/v1/fractal/{uuid}").json()["checksum"] is None
    sweep(place, services)  # which would not touch what may still get its row
    put(place.client, uuid, png := a_png(5000))
    assert place.client.get(f"/fractal/{uuid}").content == png
    expire(services)
    sweep(place, services)
    assert len(place.files()) == len(before) + 1
    assert announced(services) == []
    assert place.client.get(f"/fractal/{uuid}").content == png


def test_an_image_that_was_given_up_does_not_get_its_row(place_of: Any, services: Deployment) -> None:
    place = place_of("file", services)
    uuid = accepted(place.client)
    with library(place, services) as opened, pytest.MonkeyPatch.context() as patch:
        store = opened._store
        complete = store.complete

        def late(*arguments: Any) -> Any:
            expire(services)
            opened.sweep()
            return complete(*arguments)

        patch.setattr(store, "complete", late)
        with pytest.raises(ImagesAway, match="send it again"):
            opened.keep(uuid, validation.Result(1.0, "0" * 64, 3, "w", None), io.BytesIO(b"abc"))
    assert place.client.get(f"/v1/fractal/{uuid}").json()["checksum"] is None


def test_an_answer_that_got_lost_counts_as_won(place: Place, services: Deployment) -> None:
    """The row was written, and the API could not learn it: it asks again, and must not drop the image."""
    uuid, png = accepted(place.client), a_png(5000)
    result = validation.Result(1.0, hashlib.sha256(png).hexdigest(), len(png), "w", None)
    with library(place, services) as opened, pytest.MonkeyPatch.context() as patch:
        store = opened._store
        complete = store.complete

        def twice(*arguments: Any) -> Any:
            complete(*arguments)
            return complete(*arguments)

        patch.setattr(store, "complete", twice)
        assert opened.keep(uuid, result, io.BytesIO(png))[1] is True
    sweep(place, services)
    assert place.client.get(f"/fractal/{uuid}").content == png


def test_an_api_that_is_killed_meanwhile_leaves_no_file(deployment: Deployment) -> None:
    client = deployment.api(FAAFO_IMAGES_URL="file:///images", TMPDIR=str(deployment.place))
    place = Place(client, "file:///images", lambda: os.listdir(deployment.root / "images"))
    uuid, png = accepted(client), a_png(LARGE_BYTES)
    there = set(deployment.place.iterdir())
    half_an_upload(place, uuid, png)
    deployment.stop("api", signal.SIGKILL)
    assert place.files() == []
    assert set(deployment.place.iterdir()) == there
    client = deployment.api(FAAFO_IMAGES_URL="file:///images")
    assert put(client, uuid, png).status_code == 200
    assert len(place.files()) == 1


# The bounds


def test_a_body_that_is_too_long_is_refused_by_its_bound(services: Deployment, client: httpx.Client) -> None:
    address = f"/v1/fractal/{accepted(client)}"
    too_long = validation.RESULT_BODY_MAX_BYTES + 1
    zeros = bytes(1024 * 1024)

    def chunked() -> Iterator[bytes]:
        for _ in range(too_long // len(zeros) + 1):
            yield zeros

    for content in (bytes(too_long), chunked()):
        answer = client.put(address, content=content, headers=AUTHORIZED)
        assert answer.status_code == 413
        assert f"at most {validation.RESULT_BODY_MAX_BYTES} bytes" in answer.json()["error"]
    for method, path in (("POST", "/v1/fractal"), ("POST", "/v1/node"), ("PUT", "/v1/node/x"), ("GET", "/nowhere")):
        answer = client.request(method, path, content=bytes(5_000_000), headers=AUTHORIZED)
        assert answer.status_code == 413, path
        assert f"at most {validation.TASK_BODY_MAX_BYTES} bytes" in answer.json()["error"]
    # who waits for leave to send is answered before
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(services.ports / "80"))
        length = validation.IMAGE_MAX_BYTES + 1
        head = f"PUT {address} HTTP/1.1\r\nHost: api\r\nAuthorization: {AUTHORIZED['Authorization']}\r\n"
        head += f"Content-Type: image/png\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        said = connection.makefile().read()
    assert said.startswith("HTTP/1.1 413")
    assert f"at most {validation.IMAGE_MAX_BYTES} bytes" in said
    assert client.get(address).json()["checksum"] is None


def test_the_largest_fractal_of_the_original_is_accepted(client: httpx.Client) -> None:
    assert client.post("/v1/fractal", json=a_task(width=9999, height=9999)).status_code == 201
    assert validation.SIZE_MAX_PIXELS**2 < validation.IMAGE_MAX_BYTES, "a byte a pixel, uncompressed"


# One place and another


@every_pair
def test_both_ways_to_report_a_result_stand_side_by_side(services: Deployment, client: httpx.Client) -> None:
    old, new = a_task(), a_task()
    for task in (old, new):
        client.post("/v1/fractal", json=task)
    result = a_result(old)
    assert client.put(f"/v1/fractal/{old['uuid']}", json=result, headers=AUTHORIZED).status_code == 200
    assert put(client, new["uuid"], a_png(LARGE_BYTES)).status_code == 200
    assert client.get(f"/fractal/{old['uuid']}").headers["ETag"] == f'"{result["checksum"]}"'
    assert client.get(f"/fractal/{new['uuid']}").content == a_png(LARGE_BYTES)
    for task, first in ((old, result["generated_by"]), (new, "w")):
        again = client.put(f"/v1/fractal/{task['uuid']}", json=a_result(task, generated_by="x"), headers=AUTHORIZED)
        assert again.json()["generated_by"] == first
        assert put(client, task["uuid"], a_png(500), generated_by="y").json()["generated_by"] == first
    part = client.get(f"/fractal/{new['uuid']}", headers={"Range": f"bytes={PIECE_BYTES - 5}-{PIECE_BYTES + 5}"})
    assert part.content == a_png(LARGE_BYTES)[PIECE_BYTES - 5 : PIECE_BYTES + 6]
    for task in (old, new):
        assert client.delete(f"/v1/fractal/{task['uuid']}", headers=AUTHORIZED).status_code == 204
    assert not [image for image in pieces(services) if old["uuid"] in image or new["uuid"] in image]


def test_two_apis_with_a_disk_each_do_not_share_their_images(deployment: Deployment) -> None:
    one = deployment.api("api-1", 81, FAAFO_IMAGES_URL="file:///var/one")
    two = deployment.api("api-2", 82, FAAFO_IMAGES_URL="file:///var/two")
    uuid, png = accepted(one), a_png(1000)
    put(one, uuid, png)
    assert one.get(f"/fractal/{uuid}").content == png
    assert two.get(f"/v1/fractal/{uuid}").json()["checksum"], "the row is shared"
    for answer in (two.get(f"/fractal/{uuid}"), two.get(f"/fractal/{uuid}", headers={"Range": "bytes=0-1"})):
        assert answer.status_code == 404
        assert answer.json()["error"] == (
            "The image is at file://api-1, and this API has only what is at file://api-2: it is not shared."
        )
        assert "immutable" not in answer.headers.get("Cache-Control", "")
    assert two.head(f"/fractal/{uuid}").status_code == 404
    # the other's image is deleted by who has it
    assert two.delete(f"/v1/fractal/{uuid}", headers=AUTHORIZED).status_code == 204
    [file] = (deployment.root / "var/one").iterdir()
    place = Place(two, "file:///var/two", list)
    sweep(place, deployment)
    assert file.exists()
    sweep(Place(one, "file:///var/one", list), deployment)
    assert not file.exists()
    # a directory that both have is no broken case
    three = deployment.api("api-3", 83, FAAFO_IMAGES_URL="file:///var/one")
    put(one, again := accepted(one), png)
    assert three.get(f"/fractal/{again}").content == png


def test_images_of_earlier_days_in_the_database_are_still_served(
    place_of: Callable[[str, Deployment], Place], services: Deployment
) -> None:
    rows, disk = place_of("database", services), place_of("file", services)
    uuid, png = accepted(rows.client), a_png(LARGE_BYTES)
    put(rows.client, uuid, png)
    assert disk.client.get(f"/fractal/{uuid}").content == png
    assert disk.client.delete(f"/v1/fractal/{uuid}", headers=AUTHORIZED).status_code == 204
    put(disk.client, other := accepted(disk.client), png)
    answer = rows.client.get(f"/fractal/{other}")
    assert (answer.status_code, "this API has only what is at database" in answer.json()["error"]) == (404, True)


def test_an_object_store_that_forgets_its_tokens_or_is_full_or_away(
    place_of: Callable[[str, Deployment], Place], services: Deployment
) -> None:
    with running() as server:
        container = server.path("made-when-missing")
        client = services.api("forgetful", 90, FAAFO_IMAGES_URL=server.url("made-when-missing"))
        uuid, png = accepted(client), a_png(1000)
        assert put(client, uuid, png).status_code == 200
        server.forget_tokens()
        assert client.get(f"/fractal/{uuid}").content == png
        full = server.api("POST", container, headers={"X-Container-Meta-Quota-Bytes": "1"})
        assert full.status_code == 204
        answer = put(client, accepted(client), png)
        assert (answer.status_code, "object store" in answer.json()["error"]) == (503, True)
        assert answer.headers["Retry-After"]
        [name] = server.names("made-when-missing")
        server.api("DELETE", f"{container}/{name}")
        answer = client.get(f"/fractal/{uuid}")
        assert (answer.status_code, "is missing at swift://made-when-missing" in answer.json()["error"]) == (404, True)
    answer = client.get(f"/fractal/{uuid}")
    assert (answer.status_code, "object store" in answer.json()["error"]) == (503, True)
    assert services.stop("forgetful") == 0
    assert "Traceback" not in services.log("forgetful")


def test_an_application_credential_opens_the_store_until_it_is_revoked(
    services: Deployment, object_store: ObjectStore
) -> None:
    credential = object_store.credential()
    url = object_store.url_with(credential, "with-a-credential")
    with contextlib.closing(services.api("credential", 91, FAAFO_IMAGES_URL=url)) as client:
        uuid, png = accepted(client), a_png(1000)
        assert put(client, uuid, png).status_code == 200
        assert client.get(f"/fractal/{uuid}").content == png
        object_store.forget_tokens()  # it logs in again
        assert client.get(f"/fractal/{uuid}").content == png
        object_store.revoke(credential)
        answer = client.get(f"/fractal/{uuid}")
        assert (answer.status_code, "object store" in answer.json()["error"]) == (503, True)
        assert put(client, accepted(client), png).status_code == 503
    assert services.stop("credential") == 0
    log = services.log("credential")
    assert credential.partition(":")[2] not in log
    assert "Traceback" not in log


def test_a_full_disk_is_said_and_the_fractal_stays_to_do(deployment: Deployment) -> None:
    client = deployment.api(FAAFO_IMAGES_URL="file:///images")
    directory = deployment.root / "images"
    directory.rmdir()
    directory.write_text("no directory any more")
    uuid = accepted(client)
    answer = put(client, uuid, a_png(1000))
    assert (answer.status_code, "The disk of 'api' takes no files" in answer.json()["error"]) == (503, True)
    directory.unlink()
    directory.mkdir()
    assert put(client, uuid, a_png(1000)).status_code == 200


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://host/x", "must begin with one of database, file, swift, swift+http, s3, s3+http, local"),
        ("file://host/dir", "file:///DIRECTORY"),
        ("file:///", "file:///DIRECTORY"),
        ("file:///proc/none", "cannot be made"),
        ("swift://host/c?project=p", "must name user, password and host"),
        ("swift://u:hush@host/c", "must name the project"),
        ("swift://u:hush@host", "must end in the container's name"),
        ("swift://u:hu/sh@host/c?project=p", "%2F"),
        ("swift://u:hush@host:x/c?project=p", "is no URL"),
        ("s3://k:hush@host/b?colour=red", "unknown option 'colour'"),
        ("swift://id:hush@host/c?credential=user", "unknown credential 'user'"),
        ("swift://id:hush@host/c?credential=application&project=p", "unknown option 'project'"),
    ],
)
def test_a_wrong_images_url_is_one_sentence_without_the_password(bare: Deployment, url: str, says: str) -> None:
    (bare.root / "proc").touch()
    done = bare.run("api", FAAFO_IMAGES_URL=url)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert says in done.stderr
    assert "hush" not in done.stderr
    assert "hu/sh" not in done.stderr


def test_objects_are_asked_for_one_request_a_piece(
    place_of: Callable[[str, Deployment], Place], services: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    place = place_of("swift", services)
    uuid, png = accepted(place.client), a_png(LARGE_BYTES)
    put(place.client, uuid, png)
    with library(place, services) as opened:
        [image] = [f"swift://fractals/{name}" for name in place.files() if uuid in name]
        opened.read(image, 0, 1)  # it connects
        with caplog.at_level("DEBUG", "urllib3.connectionpool"):  # a line for each request
            parts = [opened.read(image, start, start + PIECE_BYTES) for start in range(0, len(png), PIECE_BYTES)]
    assert b"".join(parts) == png
    lines = [one.getMessage() for one in caplog.records if uuid in one.getMessage()]
    assert ['"GET /v1/' in line for line in lines] == [True] * len(parts), lines
