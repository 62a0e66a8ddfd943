"""One moment as SVG and in words: all of it is there, inside the picture, and none of it on another part."""

import base64
import copy
import html
import re
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from faafo_lab.living import still
from faafo_lab.living.events import Event, Scene, scene_at
from faafo_lab.living.moments import busiest, rates_at, scene_then, span, tasks_at
from tests.living import synthetic

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314


def texts(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def boxes(svg: ElementTree.Element) -> list[ElementTree.Element]:
    return [rect for rect in svg.iter(f"{SVG}rect") if rect.attrib["width"] == str(still.BOX_WIDTH)]


def heads(svg: ElementTree.Element, colour: str) -> int:
    return len([each for each in svg.iter(f"{SVG}polygon") if colour in each.attrib["style"]])


def crowd(apis: int, workers: int, name: str = "app") -> Scene:
    """So many APIs and workers, beside the services; the workers are busy."""
    servers: dict[str, Any] = {
        f"app-worker-{n}": {"role": "worker", "words": f"works on {n:08}", "address": f"10.0.2.{n}", "cpu": 99.6}
        for n in range(workers, 0, -1)
    }
    servers["app-services"] = {"role": "services", "words": "database and queue", "address": "10.0.1.1"}
    for n in range(1, apis + 1):
        servers[f"{name}-api-{n}"] = {"role": "api", "words": "serving", "address": f"10.0.0.{n}", "cpu": 10.0}
    return {"servers": servers, "counts": {"waiting": 3, "working": workers, "done": 12, "rate": 1.5}}


def balanced(scene: Scene, *health: str) -> Scene:
    """The same behind a load balancer whose members are in these states."""
    members = {f"app-api-{number}": {"status": status} for number, status in enumerate(health, 1)}
    front = {"name": "app-balancer", "floating": "192.0.2.7", "status": "ACTIVE", "members": members}
    return cast(Scene, {**scene, "front": front})


def gated(scene: Scene, *shut: str) -> Scene:
    """The same with the application's gates, of which these are shut."""
    gates = {name: {**gate, "open": name not in shut} for name, gate in synthetic.scene()["gates"].items()}
    return cast(Scene, {**scene, "gates": gates})


@pytest.mark.parametrize("gates", [False, True])
@pytest.mark.parametrize(("apis", "workers"), [(0, 0), (1, 0), (1, 1), (2, 3), (6, 2), (2, 23)])
def test_every_server_is_drawn_inside_the_picture_and_none_on_another(apis: int, workers: int, gates: bool) -> None:
    scene = gated(crowd(apis, workers)) if gates else crowd(apis, workers)
    svg = parsed(still.picture(scene))
    _, _, width, height = (float(word) for word in svg.attrib["viewBox"].split())
    corners = [(float(box.attrib["x"]), float(box.attrib["y"])) for box in boxes(svg)]
    assert len(corners) == len(scene["servers"])
    assert all(0 <= x <= width - still.BOX_WIDTH and 0 <= y <= height - still.BOX_HEIGHT for x, y in corners)
    for number, (x, y) in enumerate(corners):
        for other_x, other_y in corners[:number]:
            assert abs(x - other_x) >= still.BOX_WIDTH or abs(y - other_y) >= still.BOX_HEIGHT
    assert {*scene["servers"]} <= {*texts(svg)}
    assert all(0 < float(text.attrib["y"]) < height for text in svg.iter(f"{SVG}text"))


def test_servers_are_in_the_order_of_their_numbers() -> None:
    drawn = [text for text in texts(parsed(still.picture(crowd(1, 11)))) if text.startswith("app-worker")]
    assert drawn == [f"app-worker-{number}" for number in range(1, 12)]


@pytest.mark.parametrize(("apis", "workers"), [(1, 0), (2, 3), (6, 12)])
def test_a_load_balancer_is_drawn_before_the_apis_and_takes_requests_and_results(apis: int, workers: int) -> None:
    health = ("ONLINE", "ERROR", "DRAINING", "ONLINE", "ONLINE", "ONLINE")[:apis]
    svg = parsed(still.picture(balanced(crowd(apis, workers), *health)))
    drawn = boxes(svg)
    assert len(drawn) == apis + workers + 2
    *machines, (x, y) = [(float(box.attrib["x"]), float(box.attrib["y"])) for box in drawn]
    assert x + still.BOX_WIDTH < min(x for x, _ in machines)
    assert 0 <= y <= float(svg.attrib["viewBox"].split()[3]) - still.BOX_HEIGHT
    assert heads(svg, still.BLUE) == 1 + apis + bool(workers)  # to the balancer, to each API, and the results to it
    said = texts(svg)
    assert {"app-balancer", "192.0.2.7", f"{health.count('ONLINE')} of {apis} members online"} <= {*said}
    results = [text for text in said if text.startswith("results")]
    assert results == ["results to app-balancer, port 80"] * bool(workers)
    assert [text for text in said if text in health] == [*health], "beside each API's arrow"
    assert "app-api-1 ONLINE" in svg.attrib["aria-label"]


@pytest.mark.parametrize("workers", [1, 5, 6, 12])
def test_every_worker_has_a_way_to_the_queue(workers: int) -> None:
    assert heads(parsed(still.picture(crowd(2, workers))), still.ORANGE) == workers
    assert heads(parsed(still.picture(gated(crowd(2, workers)))), still.ORANGE) == 1, "all through one gate"


def test_a_gate_that_is_shut_is_drawn_and_said() -> None:
    opened = parsed(still.picture(gated(crowd(2, 3))))
    assert not [text for text in texts(opened) if "shut" in text]
    assert "shut" not in opened.attrib["aria-label"]
    shut = parsed(still.picture(gated(crowd(2, 3), "worker>services:6379", "worker>api:80")))
    assert "6379 shut" in texts(shut)
    assert "results to app-api-1, port 80: shut" in texts(shut)
    assert "the gate from worker to services, port 6379 is shut" in shut.attrib["aria-label"]
    assert [rect for rect in shut.iter(f"{SVG}rect") if still.RED in rect.attrib["style"]]


def test_what_waits_is_a_stack_that_says_how_much_it_leaves_out() -> None:
    def stack(waiting: int) -> tuple[int, list[str]]:
        scene = cast(Scene, {**crowd(1, 0), "counts": {"waiting": waiting, "working": 0, "done": 0}})
        svg = parsed(still.picture(scene))
        squares = [rect for rect in svg.iter(f"{SVG}rect") if rect.attrib["width"] == "7"]
        return len(squares), [text for text in texts(svg) if text.startswith("…")]

    assert stack(0) == (0, [])
    assert stack(still.STACK_MOST) == (still.STACK_MOST, [])
    drawn, said = stack(240)
    assert 0 < drawn < still.STACK_MOST
    assert said == ["… 240"]


def test_tasks_are_at_their_workers() -> None:
    svg = parsed(still.picture(crowd(1, 2), {"a-task": "app-worker-2", "of-another": "app-worker-9"}))
    [group] = [group for group in svg.iter(f"{SVG}g") if "app-worker-2" in (group[0].text or "")]
    assert [title.text for title in group.iter(f"{SVG}title")][1:] == ["a-task"]
    assert group[0].text == "app-worker-2: works on 00000002, 1 task"
    assert "of-another" not in ElementTree.tostring(svg, encoding="unicode")


def test_an_image_of_the_picture_says_in_words_all_that_it_shows() -> None:
    scene = crowd(1, 2, name='<b>"&')
    drawn = still.picture(scene)
    [(data, alt)] = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', still.image(drawn))
    assert base64.b64decode(data).decode() == drawn
    assert html.unescape(alt) == still.in_words(scene)
    assert '<b>"&-api-1: serving, CPU 10 %' in html.unescape(alt)
    assert "1 API server, 2 workers; fractals: 3 waiting, 2 in work, 12 done; 1.5 fractals/s" in alt


@pytest.mark.parametrize(
    ("role", "title", "workers"), [("all-in-one", "All in one", 0), ("controller", "Controller", 2)]
)
def test_the_smaller_layouts_are_drawn_too(role: str, title: str, workers: int) -> None:
    servers: dict[str, Any] = {f"app-{role}": {"role": role, "words": "serving", "address": "10.0.0.1"}}
    servers |= {f"app-worker-{n}": {"role": "worker", "words": "idle"} for n in range(1, workers + 1)}
    scene: Scene = {"servers": {**servers, "watcher": {"role": "exercise"}}, "counts": {"waiting": 2, "done": 1}}
    svg = parsed(still.picture(scene))
    assert len(boxes(svg)) == 1 + workers
    assert {title, f"app-{role}"} <= {*texts(svg)}
    assert f"1 API server, {max(workers, int(role == 'all-in-one'))} worker" in still.in_words(scene)


def test_names_that_look_like_markup_stay_text() -> None:
    assert '<b>"&-api-1' in texts(parsed(still.picture(crowd(1, 1, name='<b>"&'))))


def test_without_an_application_the_picture_says_so() -> None:
    svg = parsed(still.picture({"problem": "There is no application yet."}))
    assert {"the application has no servers", "There is no application yet."} <= {*texts(svg)}


# -- the line ------------------------------------------------------------------------------------------------------


def test_the_line_has_a_gap_where_the_rate_is_not_known() -> None:
    svg = parsed(still.throughput([(3.0, 1.0), (2.0, None), (1.0, 1.2), (0.0, 1.5)]))
    assert svg.attrib["aria-label"].endswith("now 1.5")
    assert len(list(svg.iter(f"{SVG}polyline"))) == 1  # of the last two; one point alone is no line
    assert parsed(still.throughput([])).attrib["aria-label"].endswith("now unknown")


def test_a_high_rate_fits_beside_its_line() -> None:
    svg = parsed(still.throughput([(1.0, 90.0), (0.0, 123.4)]))
    [label] = [text for text in svg.iter(f"{SVG}text") if text.text == "123.4"]
    digit = 0.7 * 12  # pixels: the widest bold figures are seven tenths as wide as high
    assert float(label.attrib["x"]) + 4.5 * digit <= still.LINE_WIDTH


# -- moments -------------------------------------------------------------------------------------------------------


def test_a_task_is_at_its_worker_from_the_lease_until_it_is_done_or_lost() -> None:
    events = synthetic.small()
    [lost] = [event for event in events if event["k"] == "task" and event["what"] == "lost"]
    before, after = (tasks_at(events, lost["t"] + by) for by in (-0.001, 0.001))
    assert before[lost["uuid"]] == synthetic.VICTIM
    assert lost["uuid"] not in {uuid for uuid, worker in after.items() if worker == synthetic.VICTIM}
    assert tasks_at(events, synthetic.START + 6.0) == {}, "the gate is shut"
    assert tasks_at(events, synthetic.START + synthetic.SMALL_SECONDS) == {}


def test_events_that_arrive_late_count_at_their_time() -> None:
    early: Event = {"k": "task", "t": 1.0, "what": "leased", "uuid": "a", "worker": "app-worker-1"}
    done: Event = {"k": "task", "t": 2.0, "what": "done", "uuid": "a", "worker": "app-worker-1"}
    assert tasks_at([done, early], 1.5) == {"a": "app-worker-1"}
    assert tasks_at([done, early], 2.0) == {}


def test_the_throughput_counts_what_is_done_and_is_not_known_in_a_gap() -> None:
    events: list[Event] = [{"k": "task", "t": 100.0 + n / 2, "what": "done", "uuid": str(n)} for n in range(41)]
    rates = dict(rates_at(events, 120.0))
    assert rates[0.0] == pytest.approx(2.0)
    assert rates[30.0] is None, "before it began"
    gap: Event = {"k": "gap", "t": 119.0, "from": 117.0, "text": "no API answered"}
    assert dict(rates_at([*events, gap], 120.0))[0.0] is None
    assert dict(rates_at([*events, gap], 115.0))[0.0] == pytest.approx(2.0)


def test_the_still_of_a_recording_is_of_the_moment_when_most_was_under_way() -> None:
    events = synthetic.small()
    at = busiest(events)
    start, end = span(events)
    assert (start, round(end - start, 1)) == (synthetic.START, 30.5)
    assert synthetic.OPENS < at - start < synthetic.DIES
    counts = [
        sum(scene_at(events, start + second)["counts"][kind] for kind in ("waiting", "working")) for second in range(31)
    ]
    assert abs(counts.index(max(counts)) - (at - start)) < 1.0
    assert busiest([]) == 0.0


def test_a_stills_numbers_are_those_of_its_moment_and_not_of_the_last_report() -> None:
    events = synthetic.small()
    at = busiest(events)
    told = [
        (event["uuid"], event["what"])
        for event in sorted(events, key=lambda event: event["t"])
        if event["k"] == "task" and event["t"] <= at
    ]
    last = dict(told)
    counts = scene_then(events, at)["counts"]
    assert counts["waiting"] == sum(what in ("accepted", "queued", "retry", "lost") for what in last.values())
    assert counts["working"] == len(tasks_at(events, at)) > 0
    assert counts["done"] == [what for _, what in told].count("done")
    assert scene_then([events[0]], at)["counts"] == scene_at([events[0]], at)["counts"], "nothing is known of tasks"


def test_a_still_of_requests_alone_is_of_the_moment_when_most_were_under_way() -> None:
    first = synthetic.small()[0]
    times = [(1.0, 9.0), (2.0, 5.0), (3.0, 4.0), (6.0, 7.0)]
    asked: list[Event] = [
        {"k": "request", "id": str(n), "t": first["t"] + t, "end": first["t"] + end, "to": "app-api-1", "status": 200}
        for n, (t, end) in enumerate(times)
    ]  # type: ignore[typeddict-item]
    at = busiest([first, *asked])
    assert at - first["t"] == pytest.approx(3.5)
    assert scene_then([first, *asked], at)["servers"]["app-api-1"]["words"].endswith(", 3 requests")
    assert "request" not in scene_then([first, *asked], at + 30)["servers"]["app-api-1"]["words"]


def test_of_two_gates_on_a_way_each_is_open_or_shut_by_itself() -> None:
    scene = copy.deepcopy(scene_at(synthetic.small(), synthetic.START))
    gates = [gate for gate in scene["gates"].values() if gate["from"] == "api"]
    assert len(gates) == 2
    heights = []
    for shut in ([], gates[:1], gates):
        for gate in gates:
            gate["open"] = gate not in shut
        drawn = parsed(still.picture(scene))
        bars = [each for each in drawn.iter() if each.tag.endswith("rect") and each.attrib["width"] == "6"]
        heights.append([float(bar.attrib["height"]) for bar in bars])
    assert [len(each) for each in heights[1:]] == [len(heights[0]) + 1, len(heights[0]) + 2]
    assert sum(heights[2]) - sum(heights[0]) == pytest.approx(26)


def test_pictures_are_put_together_below_each_other_each_with_its_title_and_words() -> None:
    first, second = (still.picture(scene_at(synthetic.small(), synthetic.START + at)) for at in (1.0, 20.0))
    both = still.together([("Before", first), ("A & B", second)])
    drawn = parsed(both)
    assert [float(size) for size in drawn.attrib["viewBox"].split()[2:]] >= [
        float(size) for size in parsed(first).attrib["viewBox"].split()[2:]
    ]
    texts = [text for text in drawn.itertext() if text.strip()]
    assert texts.index("Before") < texts.index("A & B")
    assert texts.count("app-worker-1") == 2
    assert drawn.attrib["aria-label"].startswith("Before. The application:")
    assert " — A & B. The application:" in drawn.attrib["aria-label"]
