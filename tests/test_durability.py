"""What is lost when something dies; and the checks of chapter 04, against wrong answers and right ones."""

import hashlib
import hmac
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import requests

from faafo_lab import check, load
from faafo_lab.cloud.base import Cloud
from faafo_lab.load import Loss
from faafo_lab.topology import Topology
from faafo_lab.topology.api import Fractal
from tests.test_check import hint

HOUR = 3600


@pytest.fixture(scope="module")
def app(cloud: Cloud) -> Iterator[Topology]:
    """Two API servers with a disk each, and eight fractals."""
    app = Topology(cloud, say=lambda line: None)
    app.deploy(api=2, worker=1, images="file:///var/lib/faafo/images")
    tasks = load.same_tasks(8, width=96, height=64)
    load.create(app.endpoints, tasks, progress=False)
    load.watch(app, done=len(tasks))
    yield app
    app.destroy()


Audit = Callable[[Sequence[Fractal], Mapping[str, str]], Any]


def shows(url: str, fractal: Fractal, whole: bool) -> bool:
    answer = requests.get(f"{url}/fractal/{fractal['uuid']}", timeout=30)
    return answer.ok and (not whole or hashlib.sha256(answer.content).hexdigest() == fractal["checksum"])


def audit(fractals: Sequence[Fractal], endpoints: Mapping[str, str], whole: bool = True) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {fractal["uuid"]: [] for fractal in fractals}
    for fractal, (name, url) in itertools.product(fractals, endpoints.items()):
        with suppress(requests.RequestException):
            if shows(url, fractal, whole):
                found[fractal["uuid"]].append(name)
    return found


def believes(fractals: Sequence[Fractal], endpoints: Mapping[str, str]) -> dict[str, list[str]]:
    """An audit that believes the database: every finished picture is at every API that answers."""
    return {fractal["uuid"]: [name for name in endpoints if name in ("app-api-1", "app-api-2")] for fractal in fractals}


def gives_up(fractals: Sequence[Fractal], endpoints: Mapping[str, str]) -> dict[str, list[str]]:
    return {one["uuid"]: [name for name, url in endpoints.items() if shows(url, one, True)] for one in fractals}


def no_dead_ones(fractals: Sequence[Fractal], endpoints: Mapping[str, str]) -> dict[str, list[str]]:
    return dict(list(audit(fractals, endpoints).items())[1:])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (..., "no function of yours"),
        (3, "3 is not a function"),
        (lambda fractals, endpoints: None, "returned None"),
        (lambda fractals: {}, "failed with TypeError"),
        (gives_up, "one of the endpoints does not answer"),
        (no_dead_ones, "1 of 8 pictures are not in your answer"),
        (lambda fractals, endpoints: audit(fractals, endpoints, whole=False), "answers 200 to everything"),
        (lambda fractals, endpoints: {one["uuid"]: ["app-api-silent"] for one in fractals}, "nobody answers there"),
        (believes, "8 of 8 pictures are elsewhere"),
    ],
)
def test_an_audit_that_believes_what_it_should_look_at_gets_a_hint(
    cloud: Cloud, app: Topology, answer: Any, words: str
) -> None:
    assert words in hint(check.exercise_4_1, answer, cloud=cloud)


def test_an_audit_that_looks_passes_also_when_an_api_is_gone(cloud: Cloud, app: Topology) -> None:
    verdict = check.exercise_4_1(audit, cloud=cloud)
    assert verdict.passed, verdict
    assert "8 pictures: " in verdict.measured
    before = load.located(app)
    assert set(before.values()) <= {"file://app-api-1", "file://app-api-2"}
    gone = next(iter(before.values()))
    assert gone
    cloud.delete_servers([gone.removeprefix("file://")])
    app.refresh()
    after = load.located(app)
    assert after == {uuid: None if at == gone else at for uuid, at in before.items()}
    verdict = check.exercise_4_1(audit, cloud=cloud)
    assert verdict.passed, verdict
    assert f"{list(after.values()).count(None)} at none" in verdict.measured


def test_a_drill_counts_what_the_dead_servers_had_and_builds_them_anew(cloud: Cloud, app: Topology) -> None:
    app.deploy(api=2, worker=1)
    there = {server.id for server in app.apis}
    loss = load.loss(app, lambda: cloud.delete_servers(app.apis))
    assert loss == Loss(("app-api-1", "app-api-2"), "file:///var/lib/faafo/images", 12, 12, 12)
    assert loss.percent == 100
    assert "12 of 12 pictures lost, 12 of them still listed as finished" in repr(loss)
    assert len(app.apis) == 2
    assert not there & {server.id for server in app.apis}
    nothing = load.loss(app, lambda: None, pictures=2)
    assert (nothing.died, nothing.lost, nothing.listed) == ((), 0, 0)
    assert "no server died: 0 of 2 pictures lost" in repr(nothing)


def test_a_drill_needs_an_application_and_a_picture(cloud: Cloud, app: Topology) -> None:
    with pytest.raises(load.LoadError, match=r"app\.deploy\(api=2, worker=2\)"):
        load.loss(app, lambda: None, pictures=0)


def test_an_audit_of_too_few_pictures_says_nothing(cloud: Cloud, app: Topology) -> None:
    app.api.delete([fractal["uuid"] for fractal in app.fractals()][5:])
    assert "5 pictures are finished, and an audit needs 6" in hint(check.exercise_4_1, audit, cloud=cloud)


def sign(
    url: str,
    seconds: int,
    key: str,
    *,
    method: str = "GET",
    quoted: bool = False,
    counted: bool = True,
    after: str = "",
) -> str:
    expires = int(time.time()) + (seconds if counted else HOUR)
    path = urlsplit(url).path if quoted else unquote(urlsplit(url).path)
    lines = f"{method}\n{expires}\n{path}{after}"
    signature = hmac.new(key.encode(), lines.encode(), hashlib.sha256).hexdigest()
    return f"{url}?temp_url_sig={signature}&temp_url_expires={expires}"


def always(url: str, seconds: int, key: str) -> str:
    """A signer that never lets a time be over."""
    return sign(url, abs(seconds), key)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (..., "no function of yours"),
        (lambda url, seconds, key: None, "returned None"),
        (lambda url, seconds, key: 1 / 0, "failed with ZeroDivisionError"),
        (lambda url, seconds, key: url, "has no temp_url_sig and no temp_url_expires"),
        (lambda url, seconds, key: sign(url, seconds, key) + f"&key={key}", "has the key in it"),
        (lambda url, seconds, key: sign(url, seconds, key, counted=False), "for 60 seconds from now"),
        (lambda url, seconds, key: sign(url, seconds, key, method="PUT"), "answers 401 to GET"),
        (lambda url, seconds, key: sign(url, seconds, key, quoted=True), "You signed the path as it is in the URL"),
        (lambda url, seconds, key: sign(url, seconds, key, after="\n"), "a line break after the third line"),
        (lambda url, seconds, key: sign(url, seconds, "guessed"), "answers 401 to GET"),
        (always, "still works"),
    ],
)
def test_a_signature_of_something_else_gets_a_hint(cloud: Cloud, answer: Any, words: str) -> None:
    assert words in hint(check.exercise_4_2, answer, cloud=cloud)
    assert cloud.containers() == []


def test_a_signature_that_the_store_computes_too_passes(cloud: Cloud) -> None:
    verdict = check.exercise_4_2(sign, cloud=cloud)
    assert verdict.passed, verdict
    assert "the answer is 401" in verdict.measured


POLICY = {"previews/": HOUR, "reports/": 30 * 24 * HOUR}


def expire(cloud: Cloud, container: str, *, kept: bool = True, anew: bool = False, aged: bool = True) -> None:
    for prefix, seconds in POLICY.items():
        for listed in cloud.objects(container, prefix=prefix):
            stored = cloud.object(container, listed.name)
            if (kept and "keep" in stored.metadata) or (stored.expires and not anew):
                continue
            age = time.time() - stored.modified.timestamp() if aged else 0
            cloud.update_object(container, stored.name, expires_seconds=round(seconds - age))


def delete_all(cloud: Cloud, container: str) -> None:
    for stored in cloud.objects(container):
        cloud.delete_object(container, stored.name)


def expire_all(cloud: Cloud, container: str) -> None:
    for stored in cloud.objects(container):
        seconds = next((each for prefix, each in POLICY.items() if stored.name.startswith(prefix)), HOUR)
        if not (details := cloud.object(container, stored.name)).expires and "keep" not in details.metadata:
            age = time.time() - details.modified.timestamp()
            cloud.update_object(container, stored.name, expires_seconds=round(seconds - age))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (..., "no function of yours"),
        (lambda cloud, container: None, "previews/new.png has no end"),
        (lambda cloud: None, "failed with TypeError"),
        (delete_all, "previews/new.png is deleted"),
        (lambda cloud, container: expire(cloud, container, kept=False), "previews/best.png ends in"),
        (lambda cloud, container: expire(cloud, container, anew=True), "It had an end already, in 600 s"),
        (lambda cloud, container: expire(cloud, container, aged=False), "It was uploaded 20 minutes ago"),
        (expire_all, "notes.txt ends in"),
    ],
)
def test_a_policy_that_lets_the_wrong_thing_end_gets_a_hint(cloud: Cloud, answer: Any, words: str) -> None:
    assert words in hint(check.exercise_4_3, answer, cloud=cloud)
    assert cloud.containers() == []


def test_a_policy_that_may_run_every_night_passes(cloud: Cloud) -> None:
    verdict = check.exercise_4_3(expire, cloud=cloud)
    assert verdict.passed, verdict


def move(
    cloud: Cloud, source: str, target: str, *, compare: str = "checksum", bare: bool = False, keep: bool = False
) -> None:
    there = {} if compare == "nothing" else {one.name: one.checksum for one in cloud.objects(target)}
    for one in cloud.objects(source):
        known = one.name in there if compare == "name" else there.get(one.name) == one.checksum
        if not known:
            metadata = {} if bare else cloud.object(source, one.name).metadata
            cloud.upload_object(target, one.name, cloud.read_object(source, one.name), metadata=metadata)
        if not keep:
            cloud.delete_object(source, one.name)


def delete_first(cloud: Cloud, source: str, target: str) -> None:
    data = {one.name: cloud.read_object(source, one.name) for one in cloud.objects(source)}
    for name, content in data.items():
        cloud.delete_object(source, name)
        cloud.upload_object(target, name, content)


def from_the_start(cloud: Cloud, source: str, target: str) -> None:
    names = [one.name for one in cloud.objects(source)]
    for name in names:
        cloud.upload_object(target, name, cloud.read_object(source, name))
    for name in names:
        cloud.delete_object(source, name)


def hides_the_interruption(cloud: Cloud, source: str, target: str) -> None:
    with suppress(BaseException):
        move(cloud, source, target)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (..., "no function of yours"),
        (lambda cloud, source, target: None, "4 of 5 pictures are not in the target"),
        (lambda cloud, source, target: 1 / 0, "failed with ZeroDivisionError"),
        (delete_first, "was in neither container"),
        (from_the_start, "After 15 runs, each of them interrupted, 5 of 5 pictures are still in the source"),
        (lambda *given: move(*given, compare="name"), "has an object of that name, and a broken one"),
        (lambda *given: move(*given, compare="name", keep=True), "In the target photos/3.png is broken"),
        (lambda *given: move(*given, keep=True), "5 pictures are still in the source"),
        (lambda *given: move(*given, bare=True), "has lost its metadata"),
        (lambda *given: move(*given, compare="nothing"), "5 pictures were uploaded 9 times"),
    ],
)
def test_a_migrator_that_loses_or_repeats_gets_a_hint(cloud: Cloud, answer: Any, words: str) -> None:
    assert words in hint(check.exercise_4_4, answer, cloud=cloud)
    assert cloud.containers() == []


@pytest.mark.parametrize("answer", [move, hides_the_interruption])
def test_a_migrator_that_goes_on_passes(cloud: Cloud, answer: Any) -> None:
    verdict = check.exercise_4_4(answer, cloud=cloud)
    assert verdict.passed, verdict
    assert "5 uploads, nothing lost" in verdict.measured


WORKERS = Loss(("app-worker-1", "app-worker-2"), "objects", 12, 0, 0)
APIS = Loss(("app-api-1", "app-api-2"), "objects", 12, 0, 0)
SERVICES = Loss(("app-services",), "objects", 12, 12, 0)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (..., "no table of yours"),
        ({"every worker": 0}, "not what `load.loss` returned"),
        ([WORKERS, APIS, SERVICES], "not what `load.loss` returned"),
        ({"a": Loss(("app-api-1",), "file:///tmp", 12, 6, 6)}, "were not in the object store"),
        ({"a": Loss((), "objects", 12, 0, 0)}, "In the drill 'a' nothing died"),
        ({"a": APIS, "b": SERVICES}, "no drill yet in which every worker died"),
        ({"a": WORKERS, "b": Loss((*APIS.died, "app-services"), "objects", 12, 12, 0)}, "in which every API server"),
        ({"a": WORKERS, "b": APIS}, "in which app-services died"),
    ],
)
def test_a_table_with_a_row_too_few_gets_a_hint(cloud: Cloud, table: Any, words: str) -> None:
    assert words in hint(check.exercise_4_5, table, cloud=cloud)


def test_a_whole_table_passes_with_what_was_measured(cloud: Cloud) -> None:
    verdict = check.exercise_4_5({"workers": WORKERS, "APIs": APIS, "services": SERVICES}, cloud=cloud)
    assert verdict.passed
    assert verdict.measured == "workers: 0 % lost; APIs: 0 % lost; services: 100 % lost."
