"""The exercises of chapter 04: durability."""

import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import cycle, islice
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from requests import RequestException

from faafo_lab.check.impostor import OTHER, SILENT, Impostors
from faafo_lab.check.interruption import Interruption, Unplugged
from faafo_lab.check.questions import failed, no_function
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud import direct
from faafo_lab.cloud.base import Cloud, temporary_key
from faafo_lab.cloud.errors import NotFound
from faafo_lab.cloud.marks import NAME_PREFIX
from faafo_lab.cloud.model import StoredObject
from faafo_lab.load import Loss
from faafo_lab.topology import discover
from faafo_lab.topology.api import Fractal

PICTURES = 6  # that an audit has to tell apart at least
PICTURES_MOST = 12  # the newest ones: each is asked of each API
ANSWER_SECONDS = 30.0
URL_SECONDS = 60
TOLERANCE_SECONDS = 120
HOUR = 3600
MONTH = 30 * 24 * HOUR
PREVIEW_SECONDS = 600  # until the end that one preview has already
AGE_MINUTES = 20  # since another one was uploaded
PHOTOS = 5
CHANGES = (3, 1, 2)  # after so many a migrator is interrupted, in turn: after uploads and after deletions
RUNS_MOST = 3 * PHOTOS  # one that goes on needs about PHOTOS of them


@exercise
def exercise_4_1(cloud: Cloud, audit: Callable[..., Any] | None = None) -> Hint | str:
    """Your `audit(fractals, endpoints)` says for each picture which APIs show it, and which picture none shows.

    The check calls it with the newest finished fractals and the APIs' URLs, by name, and with two more: one where
    nobody answers, and one where another program answers 200 with a page of its own. It returns a dict: for each uuid
    a list of the names of the APIs that show the picture whole, an empty one where none does.
    """
    app = discover(cloud)
    if not callable(audit):
        return no_function(audit, "check.exercise_4_1(audit)")
    finished = [fractal for fractal in app.fractals() if fractal["completed_at"]][-PICTURES_MOST:]
    if len(finished) < PICTURES:
        return Hint(
            f"{len(finished)} pictures are finished, and an audit needs {PICTURES}.",
            "Order some more, and wait until they are done.",
            f"load.create(app.endpoints, load.same_tasks({PICTURES}, width=360, height=240))",
        )
    with Impostors() as impostors:
        try:
            found = audit(finished, {**impostors, **app.endpoints})
        except RequestException as error:
            return Hint(
                f"audit(fractals, endpoints) failed with {type(error).__name__}: one of the endpoints does not answer.",
                "An API that does not answer shows no picture: go on with the next one.",
                "except requests.RequestException",
            )
        except Exception as error:
            return failed("audit(fractals, endpoints)", error)
    if not isinstance(found, Mapping):
        return Hint(
            f"audit(fractals, endpoints) returned {found!r}.",
            "It returns a dict: for each fractal's uuid a list of the APIs that show its picture.",
            'return {fractal["uuid"]: […] for fractal in fractals}',
        )
    if missing := [fractal["uuid"] for fractal in finished if fractal["uuid"] not in found]:
        return Hint(
            f"{len(missing)} of {len(finished)} pictures are not in your answer.",
            "A picture that no API shows belongs there, too, with an empty list: those are the ones to know of.",
            'found[fractal["uuid"]] = []',
        )
    said = {fractal["uuid"]: set(found[fractal["uuid"]] or ()) for fractal in finished}
    if any(OTHER in names for names in said.values()):
        return Hint(
            f"Your answer says that {OTHER} shows pictures; it answers 200 to everything, with another page.",
            "The status alone does not say what came: compare the bytes with the fractal's checksum.",
            'hashlib.sha256(answer.content).hexdigest() == fractal["checksum"]',
        )
    if any(SILENT in names for names in said.values()):
        return Hint(f"Your answer says that {SILENT} shows pictures; nobody answers there.")
    shown = _shown(finished, app.endpoints)
    wrong = [uuid for uuid, names in shown.items() if said[uuid] != names]
    if wrong:
        one = wrong[0]
        return Hint(
            f"{len(wrong)} of {len(shown)} pictures are elsewhere: {one} is shown by {_names(shown[one])}, and your "
            f"answer says {_names(said[one])}.",
            "Ask every API for every picture: what the database says of its place is not what the API can show.",
            'requests.get(f"{url}/fractal/{uuid}", timeout=30)',
        )
    counts = Counter(_names(names) for names in shown.values())
    places = "; ".join(f"{count} at {where}" for where, count in counts.items())
    return f"{'The newest ' * (len(shown) == PICTURES_MOST)}{len(shown)} pictures: {places}."


@exercise
def exercise_4_2(cloud: Cloud, sign: Callable[[str, int, str], Any] | None = None) -> Hint | str:
    """Your `sign(url, seconds, key)` makes a URL that anybody may read an object from, until its time is over.

    `url` is the object's own URL, `key` the container's key for temporary URLs. The check downloads an object through
    your URL, without credentials, and then tries one whose time is over.
    """
    if not callable(sign):
        return no_function(sign, "check.exercise_4_2(sign)")
    key, content = temporary_key(), b"for whoever has the URL"
    with _scratch(cloud, "4-2") as container:
        name = "a picture.png"
        cloud.upload_object(container, name, content)
        url = cloud.object_url(container, name)
        try:
            signed, ended = sign(url, URL_SECONDS, key), sign(url, -URL_SECONDS, key)
        except Exception as error:
            return failed("sign(url, seconds, key)", error)
        if not isinstance(signed, str) or not signed.startswith(url):
            return Hint(
                f"sign(url, seconds, key) returned {signed!r}.",
                "It returns the object's URL, with two parameters after it: temp_url_sig and temp_url_expires.",
                'f"{url}?temp_url_sig={signature}&temp_url_expires={expires}"',
            )
        query = parse_qs(urlsplit(signed).query)
        if missing := [each for each in ("temp_url_sig", "temp_url_expires") if each not in query]:
            return Hint(f"The URL has no {' and no '.join(missing)}: {signed}")
        if key in signed:
            return Hint("The URL has the key in it: whoever sees it can sign whatever they like.")
        expires = query["temp_url_expires"][0]
        if not expires.isdecimal() or abs(int(expires) - time.time() - URL_SECONDS) > TOLERANCE_SECONDS:
            return Hint(
                f"temp_url_expires is {expires}, for {URL_SECONDS} seconds from now.",
                "It is the moment when the time is over, in whole seconds since 1970.",
                "int(time.time()) + seconds",
            )
        answer = direct.get(signed, verify=cloud.config.verify, timeout=ANSWER_SECONDS)
        if answer.status_code != 200 or answer.content != content:
            said = f"The object store answers {answer.status_code} to GET: it computes another signature than yours."
            path = urlsplit(url).path
            wrong = {
                f"GET\n{expires}\n{unquote(path)}\n": "You signed a line break after the third line, too: it belongs "
                "between two lines alone.",
                f"GET\n{expires}\n{path}": "You signed the path as it is in the URL. Its characters are signed as they "
                "are: the URL says %20 for a blank.",
                f"GET\n{expires}\n{url}": "You signed the whole URL: the third line is its path, without the host.",
            }
            for lines, mistake in wrong.items():
                if hmac.new(key.encode(), lines.encode(), hashlib.sha256).hexdigest() == query["temp_url_sig"][0]:
                    return Hint(said, mistake, 'f"GET\\n{expires}\\n{unquote(urlsplit(url).path)}"')
            return Hint(
                said,
                "Three lines are signed: the method, the moment, and the object's path. The path has no host, and its "
                "characters are as they are: the URL says %20 for a blank (unquote, of urllib.parse, makes one of it).",
                'hmac.new(key.encode(), f"GET\\n{expires}\\n{path}".encode(), hashlib.sha256).hexdigest()',
            )
        late = direct.get(str(ended), verify=cloud.config.verify, timeout=ANSWER_SECONDS)
        if late.status_code == 200:
            return Hint(
                "A URL whose time was over a minute ago still works.",
                "Take the moment from `seconds`, and sign that same moment.",
                "expires = int(time.time()) + seconds",
            )
    return f"Your URL shows the object; a minute too late, the answer is {late.status_code}."


@exercise
def exercise_4_3(cloud: Cloud, expire: Callable[..., Any] | None = None) -> Hint | str:
    """Your `expire(cloud, container)` gives each object the end that the policy says, however often it runs.

    The policy: objects below `previews/` end an hour after they were uploaded, those below `reports/` after 30 days;
    what has the metadata `keep` stays, and so does everything else. An end that an object has already stays as it is.
    One of the previews says that it was uploaded 20 minutes ago.
    """
    if not callable(expire):
        return no_function(expire, "check.exercise_4_3(expire)")
    with _scratch(cloud, "4-3") as container:
        kept = {"keep": "yes"}
        cloud.upload_object(container, "previews/new.png", b"new")
        cloud.upload_object(container, "previews/old.png", b"old", expires_seconds=PREVIEW_SECONDS)
        cloud.upload_object(container, "previews/earlier.png", b"earlier")
        cloud.upload_object(container, "previews/best.png", b"best", metadata=kept)
        cloud.upload_object(container, "reports/2026.csv", b"1,2,3")
        cloud.upload_object(container, "notes.txt", b"to do")
        began = time.time()
        seen = Older(cloud, "previews/earlier.png", timedelta(minutes=AGE_MINUTES))
        wanted = {
            "previews/new.png": HOUR,
            "previews/old.png": PREVIEW_SECONDS,
            "previews/earlier.png": HOUR - 60 * AGE_MINUTES,
            "previews/best.png": None,
            "reports/2026.csv": MONTH,
            "notes.txt": None,
        }
        try:
            expire(seen, container)
            expire(seen, container)  # as in the next night
        except Exception as error:
            return failed("expire(cloud, container)", error)
        for name, seconds in wanted.items():
            try:
                now = cloud.object(container, name)
            except NotFound:
                return Hint(
                    f"{name} is deleted.",
                    "A policy says when an object ends; the store deletes it then.",
                    f'cloud.update_object(container, "{name}", expires_seconds=…)',
                )
            left = None if now.expires is None else now.expires - began
            if seconds is None and left is not None:
                return Hint(
                    f"{name} ends in {left:.0f} s, and the policy says that it stays.",
                    "Metadata are not in the list: ask for the object itself.",
                    'cloud.object(container, name).metadata.get("keep")',
                )
            if seconds is not None and left is None:
                return Hint(
                    f"{name} has no end.",
                    "Ask for the objects below each of the policy's prefixes.",
                    'for stored in cloud.objects(container, prefix="previews/")',
                )
            if seconds is None or left is None or abs(left - seconds) <= TOLERANCE_SECONDS:
                continue
            if name == "previews/old.png":
                return Hint(
                    f"{name} ends in {left:.0f} s now. It had an end already, in {seconds} s, and that one stays.",
                    "A policy that counts from now, and runs every night, keeps everything forever: leave an object "
                    "alone that has an end.",
                    "cloud.object(container, name).expires",
                )
            if name == seen.name:
                return Hint(
                    f"{name} ends in {left:.0f} s. It was uploaded {AGE_MINUTES} minutes ago: {seconds} s are left.",
                    "The policy counts from the upload, and `expires_seconds` from now: subtract the object's age.",
                    "time.time() - cloud.object(container, name).modified.timestamp()",
                )
            return Hint(f"{name} ends in {left:.0f} s, and the policy says {seconds} s.")
    return "Three previews and a report end, each in its time; what is kept stays."


@exercise
def exercise_4_4(cloud: Cloud, move: Callable[..., Any] | None = None) -> Hint | str:
    """Your `move(cloud, source, target)` moves all objects, though it is interrupted again and again.

    The check interrupts it after one, two or three changes that it makes, and starts it again. At no moment may a
    picture be in neither container; what has arrived whole is not sent again; and in the end all of them are in the
    target, with their metadata, and the source is empty. In the target there is one of them already, broken: an earlier
    try.
    """
    if not callable(move):
        return no_function(move, "check.exercise_4_4(move)")
    photos = {f"photos/{number}.png": hashlib.sha256(bytes([number])).digest() * 64 for number in range(PHOTOS)}
    sums = {name: _md5(content) for name, content in photos.items()}
    with _scratch(cloud, "4-4-source") as source, _scratch(cloud, "4-4-target") as target:
        for name, content in photos.items():
            cloud.upload_object(source, name, content, content_type="image/png", metadata={"camera": "2"})
        cloud.upload_object(target, "photos/3.png", b"half of a pic")
        uploads = runs = 0
        for changes in islice(cycle(CHANGES), RUNS_MOST):
            runs += 1
            interruption = Interruption(cloud, changes)
            try:
                move(interruption, source, target)
            except Unplugged:
                pass
            except Exception as error:
                return failed("move(cloud, source, target)", error)
            uploads += interruption.made["upload_object"]
            here, there = _sums(cloud, source), _sums(cloud, target)
            lost = [name for name, total in sums.items() if total not in (here.get(name), there.get(name))]
            if lost:
                if lost[0] in there:
                    return Hint(
                        f"When it was interrupted, {lost[0]} was in neither container: that picture is lost.",
                        "The target has an object of that name, and a broken one, from an earlier try: compare the "
                        "checksums before you delete.",
                        "cloud.object(target, name).checksum == cloud.object(source, name).checksum",
                    )
                return Hint(
                    f"When it was interrupted, {lost[0]} was in neither container: that picture is lost.",
                    "First upload, then compare the checksums, then delete: in that order, for each object.",
                    "cloud.object(target, name).checksum == cloud.object(source, name).checksum",
                )
            if not interruption.happened:
                break
        else:
            return Hint(
                f"After {runs} runs, each of them interrupted, {len(here)} of {PHOTOS} pictures are still in the "
                "source.",
                "What a run before has done is done: look at what is in the target first, and go on from there.",
                "{stored.name: stored.checksum for stored in cloud.objects(target)}",
            )
        if left := sums.keys() - there.keys():
            return Hint(
                f"move() ended without an interruption, and {len(left)} of {PHOTOS} pictures are not in the target.",
                "Go through all objects of the source, each time.",
                "for stored in cloud.objects(source)",
            )
        if broken := [name for name, total in sums.items() if there[name] != total]:
            return Hint(
                f"In the target {broken[0]} is broken: it was there before, under the right name, from an earlier try.",
                "A name says nothing about the content: compare the checksums.",
                "cloud.object(target, name).checksum",
            )
        if here:
            return Hint(
                f"{len(here)} pictures are still in the source.",
                "Delete each there as soon as the target has it whole.",
                "cloud.delete_object(source, name)",
            )
        if uploads > PHOTOS:
            return Hint(
                f"{PHOTOS} pictures were uploaded {uploads} times.",
                "One that arrived whole before the interruption needs no second upload: compare checksums first.",
                "{stored.name: stored.checksum for stored in cloud.objects(target)}",
            )
        bare = [name for name in sums if cloud.object(target, name).metadata.get("camera") != "2"]
        if bare:
            return Hint(
                f"{bare[0]} has lost its metadata.",
                "An object's metadata belong to it: read them, and give them to the upload.",
                "cloud.upload_object(target, name, data, metadata=cloud.object(source, name).metadata)",
            )
    return f"{PHOTOS} pictures moved in {runs} runs, {runs - 1} of them interrupted: {uploads} uploads, nothing lost."


@exercise
def exercise_4_5(cloud: Cloud, table: Mapping[str, Loss] | None = None) -> Hint | str:
    """Your table says how many pictures are lost when every worker, every API server, and app-services dies.

    `table` has a row for each: a name, and what `load.loss` counted, with the pictures in the object store.
    """
    if table is None:
        return Hint(
            "The check has no table of yours yet: check.exercise_4_5(table).",
            "A row for each: a name, and a drill in which something dies.",
            '{"every worker": load.loss(app, lambda: cloud.delete_servers(app.workers))}',
        )
    if not isinstance(table, Mapping) or not all(isinstance(row, Loss) for row in table.values()):
        return Hint(
            "A row of your table is not what `load.loss` returned.",
            "The table is a dict: a name, and the drill's result.",
            '{"every worker": load.loss(app, kill)}',
        )
    rows = [row for row in table.values() if row.images == "objects"]
    if len(rows) < len(table):
        return Hint(
            "In one of your drills the pictures were not in the object store.",
            "Deploy the application so first, then drill.",
            'app.deploy(api=2, worker=2, images="objects")',
        )
    if idle := [name for name, row in table.items() if not row.died]:
        return Hint(f"In the drill {idle[0]!r} nothing died: its `kill` must delete a server.")
    cases = {
        "every worker": ("app-worker-", "app.workers"),
        "every API server": ("app-api-", "app.apis"),
        "app-services": ("app-services", '["app-services"]'),
    }
    for case, (prefix, servers) in cases.items():
        if not any(all(name.startswith(prefix) for name in row.died) for row in rows):
            return Hint(
                f"There is no drill yet in which {case} died, and nothing else.",
                "One drill for each row: `kill` deletes just those servers.",
                f"load.loss(app, lambda: cloud.delete_servers({servers}))",
            )
    return "; ".join(f"{name}: {row.percent:.0f} % lost" for name, row in table.items()) + "."


class Older:
    """A cloud that says of one object that it was uploaded earlier than it was."""

    def __init__(self, cloud: Cloud, name: str, age: timedelta) -> None:
        self._cloud, self.name, self._age = cloud, name, age

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cloud, name)

    def object(self, container: str, name: str) -> StoredObject:
        """The verb of this name; the one object is older."""
        return self._dated(self._cloud.object(container, name))

    def objects(self, container: str, *args: Any, **kwargs: Any) -> list[StoredObject]:
        """The verb of this name; the one object is older."""
        return [self._dated(each) for each in self._cloud.objects(container, *args, **kwargs)]

    def _dated(self, stored: StoredObject) -> StoredObject:
        return replace(stored, modified=stored.modified - self._age) if stored.name == self.name else stored


@contextmanager
def _scratch(cloud: Cloud, name: str) -> Iterator[str]:
    """A container for one check, which is emptied and deleted at the end."""
    container = f"{NAME_PREFIX}check-{name}"

    def clear() -> None:
        with suppress(NotFound):
            for stored in cloud.objects(container):
                cloud.delete_object(container, stored.name)
        cloud.delete_container(container)

    if container in cloud.containers():  # an earlier check was interrupted
        clear()
    cloud.create_container(container)
    try:
        yield container
    finally:
        clear()


def _sums(cloud: Cloud, container: str) -> dict[str, str]:
    return {stored.name: stored.checksum for stored in cloud.objects(container)}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _shown(fractals: Sequence[Fractal], endpoints: Mapping[str, str]) -> dict[str, set[str]]:
    """For each of these fractals the names of the APIs that show its picture whole."""

    def shows(url: str, fractal: Fractal) -> bool:
        try:
            answer = direct.get(f"{url}/fractal/{fractal['uuid']}", timeout=ANSWER_SECONDS)
        except RequestException:
            return False
        return answer.ok and hashlib.sha256(answer.content).hexdigest() == fractal["checksum"]

    return {fractal["uuid"]: {name for name, url in endpoints.items() if shows(url, fractal)} for fractal in fractals}


def _names(names: set[str]) -> str:
    return " and ".join(sorted(names)) or "none"
