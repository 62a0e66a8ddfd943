"""The living picture's module in a browser: what it makes of events, and what it leaves behind.

Skipped where no Chromium is installed (Debian's package `chromium`, or the path in CHROMIUM).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import faafo_lab
from tests.chromium import chromium, needs_chromium
from tests.test_browser import PHONE

pytestmark = [
    pytest.mark.long,
    needs_chromium,
]

ROOM = Path(faafo_lab.__file__).parent / "living"
WIDE = {"width": 1200, "height": 900}
PAGE = "<!doctype html><html lang='en'><title>The living picture</title><style>{css}</style><main></main></html>"
# Counts what the page asks for, so that what is left over shows.
COUNTING = """() => {
    window.counted = {frames: 0, listeners: 0, timers: 0, observers: 0};
    const request = requestAnimationFrame, cancel = cancelAnimationFrame;
    const open = new Set();
    window.requestAnimationFrame = call => {
        const id = request(now => { open.delete(id); counted.frames = open.size; call(now); });
        open.add(id);
        counted.frames = open.size;
        return id;
    };
    window.cancelAnimationFrame = id => { open.delete(id); counted.frames = open.size; cancel(id); };
    for (const target of [Document.prototype, MediaQueryList.prototype, Window.prototype]) {
        const add = EventTarget.prototype.addEventListener, remove = EventTarget.prototype.removeEventListener;
        target.addEventListener = function (...all) { counted.listeners += 1; add.apply(this, all); };
        target.removeEventListener = function (...all) { counted.listeners -= 1; remove.apply(this, all); };
    }
    const set = setInterval, clear = clearInterval;
    window.setInterval = (...all) => { counted.timers += 1; return set(...all); };
    window.clearInterval = id => { counted.timers -= 1; clear(id); };
    const observers = new Set();
    for (const Kind of [IntersectionObserver, ResizeObserver, MutationObserver]) {
        const observe = Kind.prototype.observe, disconnect = Kind.prototype.disconnect;
        Kind.prototype.observe = function (...all) {
            counted.observers = observers.add(this).size;
            observe.apply(this, all);
        };
        Kind.prototype.disconnect = function () {
            observers.delete(this);
            counted.observers = observers.size;
            disconnect.apply(this);
        };
    }
}"""
LOAD = """async code => {
    window.living = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
}"""
# What a story says of its orders at a time, as plain data.
LOOK = """([events, t]) => {
    const story = new living.Story();
    story.add(events);
    return look(story, t);
}"""
LOOKING = """() => { window.look = (story, t) => {
    const state = story.at(t);
    const found = living.moving(state, t);
    return {
        orders: [...state.orders.values()], counts: {...state.counts}, moving: found, scene: state.scene,
        asked: [...state.asked.values()].map(({e, at}) => [e.id, at]), unseen: state.unseen, gap: state.gap,
        hops: state.hops.filter(hop => hop.start <= t && hop.end > t)
            .map(({way, kind, from, to, start, end, flow, track}) => ({way, kind, from, to, start, end, flow, track})),
    };
}; }"""
AT = 1000.0  # when every story here begins
UUID = "1a2b3c4d-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def living(browser: Browser) -> Iterator[Page]:
    """A page for what leaves nothing in it."""
    yield from opened(browser, WIDE)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with the module as `living`, whose errors fail the test."""
    yield from opened(browser, WIDE)


def opened(browser: Browser, size: Any, **more: Any) -> Iterator[Page]:
    page = browser.new_page(viewport=size, **more)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.set_content(PAGE.format(css=(ROOM / "living.css").read_text()))
        page.evaluate(COUNTING)
        page.evaluate(LOAD, (ROOM / "living.js").read_text())
        page.evaluate(LOOKING)
        yield page
        assert not errors
    finally:
        page.close()


def scene(t: float = AT, *, gates: bool = True, **patch: Any) -> dict[str, Any]:
    """Two APIs, services and two workers."""
    kinds = {"api": ("API", 2), "worker": ("Workers", 2)}
    servers = {
        f"app-{role}-{number}": {"role": role, "column": column, "status": "ACTIVE", "well": True, "words": "serving"}
        for role, (column, count) in kinds.items()
        for number in range(1, count + 1)
    }
    services = {"role": "services", "column": "Services", "status": "ACTIVE", "well": True, "words": "database"}
    servers["app-services"] = {**services, "offers": ["queue", "database"]}
    ways = [("you", "api", 80), ("api", "services", 5432), ("api", "services", 6379), ("worker", "services", 6379)]
    opened = {f"{a}>{b}:{port}": {"from": a, "to": b, "port": port, "open": gates} for a, b, port in ways}
    whole = {"servers": servers, "gates": opened, "front": None, "leases": {"seconds": 8}, "problem": "", **patch}
    return {"k": "scene", "t": t, "patch": whole}


def task(after: float, what: str, worker: str | None = None, uuid: str = UUID) -> dict[str, Any]:
    event = {"k": "task", "t": AT + after, "what": what, "uuid": uuid}
    return event if worker is None else {**event, "worker": worker}


def request(after: float, end: float, number: int = 1, **more: Any) -> dict[str, Any]:
    about = {"id": f"r{number}", "from": "load", "method": "POST", "path": "/v1/fractal", "to": "app-api-1"}
    return {"k": "request", "t": AT + after, "end": AT + end, **about, "status": 201, **more}


def look(page: Page, events: list[dict[str, Any]], after: float) -> Any:
    return page.evaluate(LOOK, [events, AT + after])


def only(found: Any) -> Any:
    """The one order."""
    (order,) = found["orders"]
    return order


LIFE = [
    scene(),
    request(1.0, 1.05, uuid=UUID),
    task(1.04, "accepted"),
    task(1.06, "queued"),
    task(5.0, "leased", "app-worker-1"),
    task(7.0, "renewed", "app-worker-1"),
    task(15.5, "lost", "app-worker-1"),
    task(16.0, "queued"),
    task(18.0, "leased", "app-worker-2"),
    task(21.0, "done", "app-worker-2"),
    task(24.0, "late", "app-worker-1"),
]


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_merged_as_in_the_standard(living: Page, target: Any, patch: Any, merged: Any) -> None:
    """The examples of RFC 7396, appendix A."""
    before = [target, patch]
    assert living.evaluate("([t, p]) => [living.merge(t, p), [t, p]]", [target, patch]) == [merged, before]


def test_an_order_goes_from_place_to_place(living: Page) -> None:
    places = [
        (1.045, "database"),
        (2.0, "queue"),
        (6.0, "worker"),
        (15.6, "database"),
        (17.0, "queue"),
        (20.0, "worker"),
    ]
    for after, where in places:
        assert only(look(living, LIFE, after))["where"] == where
    assert only(look(living, LIFE, 20.0))["worker"] == "app-worker-2"
    assert look(living, LIFE, 22.0)["orders"] == []
    assert look(living, LIFE, 22.0)["counts"]["done"] == 1


def test_what_happens_is_a_dot_on_its_way(living: Page) -> None:
    """Each way begins when its event happens, or when the dot has arrived there; then the next one begins."""
    seen = [look(living, LIFE, 1.0 + 0.05 * step)["hops"] for step in range(60)]
    ways = [hop["way"] for hops in seen for hop in hops]
    assert list(dict.fromkeys(way for way in ways if way != "answer")) == ["ask", "store", "queue"]
    spans = {hop["way"]: (hop["start"], hop["end"]) for hops in seen for hop in hops}
    assert spans["ask"][0] == AT + 1.0
    assert spans["ask"][1] == spans["store"][0]
    assert spans["store"][1] == spans["queue"][0]
    (result,) = look(living, LIFE, 21.1)["hops"]
    assert (result["way"], result["kind"], result["from"]) == ("result", "result", "app-worker-2")
    (late,) = look(living, LIFE, 24.1)["hops"]
    assert (late["kind"], late["from"]) == ("dropped", "app-worker-1")


def test_a_lease_runs_from_its_last_renewal_and_comes_back_when_lost(living: Page) -> None:
    assert only(look(living, LIFE, 6.0))["leased"] == AT + 5.0
    assert only(look(living, LIFE, 9.0))["leased"] == AT + 7.0
    assert only(look(living, LIFE, 15.4))["leased"] == AT + 7.0  # it ran out at 15: nobody has said so yet
    (back,) = look(living, LIFE, 15.6)["hops"]
    assert (back["way"], back["kind"], back["from"], back["to"]) == ("return", "back", "app-worker-1", "database")


@pytest.mark.parametrize(
    ("what", "where", "counts"),
    [
        ("missing", "database", {"waiting": 1, "working": 0, "failed": 0}),
        ("retry", "database", {"waiting": 1, "working": 0, "failed": 0}),
        ("failed", "dead", {"waiting": 0, "working": 0, "failed": 1}),
        ("deleted", None, {"waiting": 0, "working": 0, "failed": 0}),
    ],
)
def test_a_task_may_take_another_way(living: Page, what: str, where: str | None, counts: dict[str, int]) -> None:
    leased = [] if what == "missing" else [task(5.0, "leased", "app-worker-1")]
    events = [*LIFE[:4], *leased, task(8.0, what, "app-worker-1" if leased else None)]
    found = look(living, events, 9.0)
    assert [order["where"] for order in found["orders"]] == ([where] if where else [])
    assert {name: found["counts"][name] for name in counts} == counts


def test_a_dead_letter_can_be_ordered_anew(living: Page) -> None:
    events = [*LIFE[:5], task(8.0, "failed", "app-worker-1"), task(12.0, "anew"), task(12.1, "queued")]
    assert only(look(living, events, 13.0))["where"] == "queue"
    assert look(living, events, 13.0)["counts"]["failed"] == 0


def test_a_quick_worker_has_a_task_before_it_is_noted_as_queued(living: Page) -> None:
    events = [*LIFE[:3], task(1.05, "leased", "app-worker-1"), task(1.06, "queued")]
    assert only(look(living, events, 2.0))["where"] == "worker"


def test_tasks_of_which_nothing_was_heard_are_counted(living: Page) -> None:
    """A story that begins while tasks wait: they are known by their number, until one of them is heard of."""
    counts = {"waiting": 5, "working": 0, "done": 9, "failed": 0}
    events = [scene(counts=counts), task(1.0, "accepted"), task(2.0, "leased", "app-worker-1", uuid="another")]
    assert look(living, events, 0.5)["unseen"] == 5
    found = look(living, events, 3.0)
    assert found["unseen"] == 4
    assert found["counts"] == {"waiting": 5, "working": 1, "done": 9, "failed": 0}


def test_a_count_that_is_a_little_old_invents_no_tasks(living: Page) -> None:
    """After a gap it may: what was not told then is known by its number alone."""
    counted = {"k": "scene", "t": AT + 5.5, "patch": {"counts": {"waiting": 3}}}
    events = [scene(counts={"waiting": 0, "working": 0, "done": 0, "failed": 0}), *LIFE[1:5], counted]
    assert look(living, events, 6.0)["unseen"] == 0
    gap = {"k": "gap", "t": AT + 5.4, "from": AT + 5.2, "text": "no API answered"}
    assert look(living, [*events, gap], 6.0)["unseen"] == 3


@pytest.mark.parametrize("speed", [0.1, 1, 5])
def test_seeking_shows_what_watching_shows(living: Page, speed: float) -> None:
    """Forwards in small steps, and straight to a time from anywhere: the same, of a story with many events."""
    events = [scene()]
    for number in range(400):
        at, uuid = number * 0.05, f"order {number}"
        events.append(request(at, at + 0.3, number, uuid=uuid, status=[201, 404, 503, None][number % 4]))
        events.append(task(at + 0.2, "accepted", uuid=uuid))
        events.append(task(at + 0.3, "queued", uuid=uuid))
        events.append(task(at + 1.3, "leased", f"app-worker-{1 + number % 2}", uuid=uuid))
        events.append(task(at + 2.9, ["done", "lost", "failed"][number % 3], f"app-worker-{1 + number % 2}", uuid=uuid))
    differ = living.evaluate(
        """([events, speed, from]) => {
            const watched = new living.Story({speed}), jumped = new living.Story();
            watched.add(events);
            jumped.add(events);
            jumped.setSpeed(speed);
            const seen = new Map();
            for (let step = 0; step <= 1500; step += 1) {
                const t = from + step / 60;
                if (step % 60) watched.at(t);
                else seen.set(t, JSON.stringify(look(watched, t)));
            }
            const times = [...seen.keys()];
            const mixed = times.map((_, at) => times[(at * 7) % times.length]);
            return mixed.filter(t => JSON.stringify(look(jumped, t)) !== seen.get(t)).map(t => t - from);
        }""",
        [events, speed, AT],
    )
    assert differ == []


def test_events_may_come_in_any_order(living: Page) -> None:
    """A story that hears of things late is in the end the same; what was shown already is counted as late."""
    outcome = living.evaluate(
        """([events, t]) => {
            const whole = new living.Story(), pieces = new living.Story();
            whole.add(events);
            const [first, ...others] = events;
            pieces.add([first]);
            let late = 0;
            for (const e of others.reverse()) {
                pieces.at(t);
                late += pieces.add([e], t);
            }
            return [late, pieces.late, JSON.stringify(look(whole, t)) === JSON.stringify(look(pieces, t))];
        }""",
        [LIFE, AT + 17.0],
    )
    assert outcome == [7, 7, True]  # all but those at 18, 21 and 24


def test_a_long_request_is_not_late_while_it_was_on_its_way(living: Page) -> None:
    """It is told of at its end: its answer is still drawn in its place."""
    script = "([first, e, t]) => { const s = new living.Story(); s.add([first]); s.at(t); return s.add([e], t); }"
    assert living.evaluate(script, [scene(), request(1.0, 9.0, status=None), AT + 8.0]) == 0
    assert living.evaluate(script, [scene(), request(1.0, 7.0, status=None), AT + 8.0]) == 1


def test_a_request_stops_at_a_shut_gate_and_comes_back_as_failed(living: Page) -> None:
    unanswered = request(1.0, 4.0, to="", status=None, error="timed out")
    for gates, place in [(False, "gate you>api:80"), (True, "api")]:
        found = look(living, [scene(gates=gates), unanswered], 3.0)
        assert found["asked"] == [["r1", place]]
        (back,) = look(living, [scene(gates=gates), unanswered], 4.1)["hops"]
        assert (back["kind"], back["from"], back["to"]) == ("none", place, "you")


@pytest.mark.parametrize(
    ("status", "kind"), [(200, "good"), (201, "good"), (404, "refused"), (503, "error"), (None, "none")]
)
def test_an_answer_is_drawn_by_its_status(living: Page, status: int | None, kind: str) -> None:
    hops = look(living, [scene(), request(1.0, 3.0, status=status)], 3.1)["hops"]
    assert [hop["kind"] for hop in hops] == [kind]


def test_each_kind_has_a_shape_of_its_own(living: Page) -> None:
    shapes = living.evaluate("() => Object.values(living.KINDS).map(({shape}) => shape)")
    assert len(set(shapes)) == len(shapes)


def test_a_way_becomes_a_flow_above_a_rate_and_all_are_counted(living: Page) -> None:
    most = living.evaluate("() => living.FLOW_PER_SECOND")
    for rate, flows in [(most - 1, False), (4 * most, True)]:
        events = [scene(), *(request(n / rate, n / rate + 3, n) for n in range(5 * rate))]
        found = look(living, events, 4.99)["moving"]
        assert (found["flows"] > 0) is flows
        assert found["ways"]["ask"]["rate"] == rate
        travel = living.evaluate("() => living.TRAVEL_SECONDS")
        moving = [n for n in range(5 * rate) if 4.99 - travel < n / rate <= 4.99]
        assert found["ways"]["ask"]["dots"] + found["ways"]["ask"]["flows"] == len(moving)
        assert found["dots"] + found["flows"] == len(look(living, events, 4.99)["hops"])


@pytest.mark.parametrize("balanced", [False, True])
def test_ways_to_two_servers_are_two_unless_a_balancer_shares_them(living: Page, balanced: bool) -> None:
    half = living.evaluate("() => living.FLOW_PER_SECOND") - 1
    to = [f"app-api-{n % 2 + 1}" for n in range(10 * half)]
    requests = (request(n / (2 * half), n / (2 * half) + 3, n, to=to[n], via=balanced) for n in range(10 * half))
    found = look(living, [scene(), *requests], 4.99)["moving"]["ways"]["ask"]
    assert found["rate"] == 2 * half
    assert (found["flows"] > 0) is balanced


def test_a_flow_says_how_many_of_it_failed(living: Page) -> None:
    events = [scene(), *(request(n / 200, n / 200 + 0.001, n, status=503 if n % 10 else 201) for n in range(1000))]
    way = look(living, events, 4.5)["moving"]["ways"]["answer"]
    assert way["dots"] == 0 < way["flows"]
    assert (way["rate"], way["failed"]) == (200, 180)


def test_no_more_dots_than_eyes_can_follow(living: Page) -> None:
    """Their number is bounded, whatever the ways; the others are flows, and counted."""
    events = [scene(), *(request(n / 30, n / 30 + 0.1, n) for n in range(150))]
    script = """([events, t, dots]) => {
        const story = new living.Story({dots});
        story.add(events);
        return living.moving(story.at(t), t);
    }"""
    most, few = (living.evaluate(script, [events, AT + 4.0, dots]) for dots in (500, 10))
    assert most["flows"] == 0
    assert few["dots"] + few["flows"] == most["dots"]
    assert few["dots"] < 15 < 30 < most["dots"]  # a few that had yet to begin were not counted


def test_slow_motion_shows_a_flows_dots(living: Page) -> None:
    events = [scene(), *(request(n / 200, n / 200 + 0.1, n) for n in range(800))]
    script = """([events, t, speed]) => {
        const story = new living.Story({speed});
        story.add(events);
        return living.moving(story.at(t), t);
    }"""
    quick, slow = (living.evaluate(script, [events, AT + 3.0, speed]) for speed in (1, 0.1))
    assert quick["dots"] == 0 < quick["flows"]
    assert slow["flows"] == 0 < slow["dots"]
    assert slow["ways"]["ask"]["rate"] == quick["ways"]["ask"]["rate"] == 200


def test_what_is_forgotten_changes_nothing_later(living: Page) -> None:
    events = [scene(), *(request(n / 10, n / 10 + 0.2, n) for n in range(3000)), *(LIFE[2:5])]
    before, after, items = living.evaluate(
        """([events, t]) => {
            const story = new living.Story();
            story.add(events);
            const before = JSON.stringify(look(story, t)), items = story.items.length;
            story.forget(t - 60);
            story.cursor = null;
            return [before, JSON.stringify(look(story, t)), story.items.length / items];
        }""",
        [events, AT + 250.0],
    )
    assert before == after
    assert items < 0.5


def test_everything_has_its_place_whatever_the_width(living: Page) -> None:
    """No box covers another, and no box and no way leaves the picture."""
    wrong = living.evaluate(
        """() => {
            const wrong = [];
            const server = (role, column, offers = []) => ({role, column, offers, status: "ACTIVE"});
            const inside = (x, y, plan) => x >= -1 && x <= plan.width + 1 && y >= -1 && y <= plan.height + 1;
            for (const width of [320, 380, 699, 700, 800, 1000, 1400]) for (const apis of [1, 2, 5])
            for (const workers of [0, 1, 3, 5, 9, 17]) for (const front of [false, true]) {
                const servers = {"app-services": server("services", "Services", ["queue", "database"])};
                for (let n = 1; n <= apis; n += 1) servers[`app-api-${n}`] = server("api", "API");
                for (let n = 1; n <= workers; n += 1) servers[`app-worker-${n}`] = server("worker", "Workers");
                const gates = {a: {from: "you", to: "api", port: 80}, b: {from: "api", to: "services", port: 5432},
                    c: {from: "api", to: "services", port: 6379}, d: {from: "worker", to: "services", port: 6379},
                    e: {from: "worker", to: "api", port: 80}};
                const plan = living.layout({servers, gates, front: front ? {name: "app-balancer"} : null}, width);
                const boxes = [...plan.boxes].map(([name, box]) => [name, plan.rectangle(box)]);
                const say = (...what) => wrong.push([width, apis, workers, front, ...what]);
                boxes.forEach(([name, a], at) => {
                    if (!inside(a.x, a.y, plan) || !inside(a.x + a.width, a.y + a.height, plan)) say(name);
                    if (a.width < 100) say(name, a.width);
                    for (const [other, b] of boxes.slice(at + 1)) {
                        const apart = a.x + a.width <= b.x || b.x + b.width <= a.x
                            || a.y + a.height <= b.y || b.y + b.height <= a.y;
                        if (!apart) say(name, other);
                    }
                });
                const ways = [["database", "queue"], ["you", "gate a"], ["api", "you"], ["you", "api"]];
                for (const name of Object.keys(servers)) {
                    if (name.includes("api")) ways.push(["you", name], [name, "you"], [name, "database"]);
                    if (name.includes("worker")) ways.push(["queue", name], [name, "results"], [name, "database"]);
                }
                for (const [from, to] of ways) for (const via of front ? [false, true] : [false]) {
                    const points = plan.path(from, to, via);
                    for (let at = 0; at < points.length; at += 2) {
                        if (inside(points[at], points[at + 1], plan)) continue;
                        say(from, to, points[at], points[at + 1]);
                        break;
                    }
                }
            }
            return wrong;
        }"""
    )
    assert wrong == []


def test_a_gap_is_known_as_such(page: Page) -> None:
    gap = {"k": "gap", "t": AT + 9.0, "from": AT + 4.0, "text": "no API answered"}
    assert look(page, [scene(), gap], 3.0)["gap"] is None
    assert look(page, [scene(), gap], 5.0)["gap"] == gap
    show(page, [{"title": "", "events": [scene(), gap, task(12.0, "accepted")]}])
    page.evaluate("() => shown.player.seek(5)")
    assert "Nothing is known from 4.0 s to 9.0 s: no API answered" in page.inner_text(".living-stage")
    page.evaluate("() => shown.player.seek(11)")
    assert "Nothing is known" not in page.inner_text(".living-stage")


def test_the_player_keeps_the_time(living: Page) -> None:
    """A recording: to its end, and from its start again; slow motion is slow."""
    times = living.evaluate(
        """() => {
            const player = new living.Player();
            player.range(0, 10);
            const times = [];
            const look = () => times.push([player.t, player.playing]);
            player.tick(1); look();
            player.play(); player.tick(1); look();
            player.setSpeed(0.1); player.tick(1); look();
            player.setSpeed(5); player.tick(3); look();
            player.play(); look();
            player.seek(99); look();
            return times;
        }"""
    )
    assert times == [[0, False], [1, True], [1.1, True], [10, False], [0, True], [10, True]]


def test_live_the_player_follows_and_finds_back(living: Page) -> None:
    times = living.evaluate(
        """() => {
            const player = new living.Player(true);
            const times = [];
            const look = () => times.push([player.t, player.following]);
            player.range(0, 10); player.tick(0.1); look();
            player.pause(); player.range(0, 20); player.tick(5); look();
            player.play(); player.tick(1); look();
            player.setSpeed(5); player.tick(1); look();
            player.tick(1); look();
            player.range(100, 400); look();
            return [...times, player.speed];
        }"""
    )
    assert times == [[10, True], [10, False], [11, False], [16, False], [20, True], [100, True], 1]


def test_the_kernels_clock_is_its_least_delayed_message(living: Page) -> None:
    times = living.evaluate(
        """() => {
            const clock = new living.KernelClock();
            clock.hear(1000, 10);
            clock.hear(1000.2, 10.5);
            return [clock.at(10.5), clock.at(99)];
        }"""
    )
    assert times[0] == pytest.approx(1000.5, abs=0.02)
    assert times[1] == pytest.approx(1001.5, abs=0.35)  # it is silent: no more than a second beyond its last word


def show(page: Page, panes: list[dict[str, Any]], **options: Any) -> None:
    """Mount it as `shown`; a recording stands still at its start."""
    page.evaluate(
        """([panes, options]) => {
            window.acts = [];
            const act = message => acts.push(message);
            window.shown = living.mount(document.querySelector("main"), {panes, ...options, act});
            if (!options.live) {
                shown.player.pause();
                shown.player.seek(0);
            }
        }""",
        [panes, options],
    )


def test_two_panes_share_one_player_and_each_has_its_own_start(page: Page) -> None:
    later = [
        {**event, "t": event["t"] + 500, **({"end": event["end"] + 500} if "end" in event else {})} for event in LIFE
    ]
    show(page, [{"title": "ROUND_ROBIN", "events": LIFE}, {"title": "LEAST_CONNECTIONS", "events": later}])
    page.evaluate("() => shown.player.seek(6)")
    titles = page.locator(".living-title").all_inner_texts()
    assert titles == ["ROUND_ROBIN", "LEAST_CONNECTIONS"]
    tiles = page.locator(".living-tiles").all_inner_texts()
    assert tiles[0] == tiles[1]
    left, right = (pane.bounding_box() for pane in page.locator(".living-pane").all())
    assert left
    assert right
    assert left["x"] + left["width"] <= right["x"]
    assert page.evaluate("() => shown.player.state().t") == 6


def test_each_picture_is_as_wide_as_its_place_whenever_that_changes(page: Page) -> None:
    show(page, [{"title": "one", "events": LIFE}, {"title": "two", "events": LIFE}])
    narrow = "() => { document.querySelectorAll('.living-pane')[1].style.width = '320px'; }"
    wide = "() => { document.querySelectorAll('.living-pane')[1].style.width = ''; }"
    same = """() => [...document.querySelectorAll(".living-stage")].every(
        stage => stage.clientWidth === stage.querySelector("canvas").clientWidth)"""
    for change in (narrow, wide):
        page.evaluate(change)
        page.wait_for_function(same)


def test_dots_that_begin_a_way_together_are_abreast(living: Page) -> None:
    uuids = [f"1a2b3c4d-0000-4000-8000-00000000000{number}" for number in range(4)]
    events = [scene(), *(task(0.2, "accepted", uuid=uuid) for uuid in uuids)]
    events += [task(2.0, "leased", "app-worker-1", uuid=uuid) for uuid in uuids[:3]]
    events += [task(2.1, "leased", "app-worker-1", uuid=uuids[3])]
    hops = [hop for hop in look(living, events, 2.2)["hops"] if hop["way"] == "lease"]
    assert [hop["track"] for hop in hops] == [0, 1, 2, 0]


def test_a_task_whose_worker_is_gone_stays_in_sight_at_the_queue_until_it_comes_back(page: Page) -> None:
    gone = {"k": "scene", "t": AT + 4, "patch": {"servers": {"app-worker-2": None}}}
    events = [scene(), task(1, "accepted"), task(1.1, "queued"), task(2, "leased", "app-worker-2"), gone]
    show(page, [{"title": "", "events": [*events, task(11, "lost", "app-worker-2"), task(15, "queued")]}])

    def rings(after: float) -> int:
        """Pixels of a lease's ring at the server with the queue."""
        page.evaluate("after => shown.player.seek(after)", after)
        return int(
            page.evaluate("""() => {
            const server = [...document.querySelectorAll(".living-server")]
                .find(each => each.textContent.includes("app-services")).getBoundingClientRect();
            const canvas = document.querySelector("canvas"), whole = canvas.getBoundingClientRect();
            const ratio = canvas.width / whole.width;
            const place = [server.x - whole.x, server.y - whole.y, server.width, server.height];
            const {data} = canvas.getContext("2d").getImageData(...place.map(each => Math.round(each * ratio)));
            let found = 0;
            for (let at = 0; at < data.length; at += 4) {
                found += data[at] > 200 && data[at + 1] > 120 && data[at + 1] < 190 && data[at + 2] < 60 ? 1 : 0;
            }
            return found;
        }""")
        )

    assert (rings(3.5), rings(14)) == (0, 0)
    assert rings(5) > 20
    page.evaluate("() => document.querySelector('.living-orders').closest('details').open = true")
    assert "at app-worker-2 (gone)" in page.locator(".living-orders").inner_text()


def test_a_cut_names_no_event_of_before(page: Page) -> None:
    """It begins with the scene, and with what had become of the tasks in flight before."""
    show(page, [{"title": "", "events": [scene(AT), task(-3, "accepted"), task(2, "leased", "app-worker-1")]}])
    assert "Last event" not in page.inner_text(".living-said")
    page.evaluate("() => shown.player.seek(3)")
    assert "Last event: 2.000 s" in page.inner_text(".living-said")


def test_it_fits_a_phone_from_top_to_bottom(browser: Browser) -> None:
    for page in opened(browser, PHONE):
        show(page, [{"title": "", "events": LIFE}])
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
        api, worker = (page.locator(".living-server", has_text=name).bounding_box() for name in ("api-1", "worker-1"))
        assert api
        assert worker
        assert api["y"] + api["height"] < worker["y"]


def test_less_motion_shows_numbers_and_no_dots(browser: Browser) -> None:
    for page in opened(browser, WIDE, reduced_motion="reduce"):
        show(page, [{"title": "", "events": LIFE}])
        page.evaluate("() => shown.player.seek(1.2)")
        assert page.evaluate("() => shown.player.state().dots") == 0
        assert "requests: 1" in page.inner_text(".living-said")
        page.evaluate("() => shown.player.play()")
        assert page.evaluate("() => [counted.frames, counted.timers]") == [0, 1]


def test_a_shut_gate_and_a_server_that_is_not_well_can_be_seen(page: Page) -> None:
    events = [scene(gates=False)]
    events[0]["patch"]["servers"]["app-worker-1"]["well"] = False
    show(page, [{"title": "", "events": events}])
    assert page.locator(".living-shut").count() == 4
    assert "port 80 from you to api: shut" in page.inner_text(".living-gates")
    assert "living-unwell" in (page.locator(".living-server", has_text="app-worker-1").get_attribute("class") or "")


def test_keys_play_step_and_change_the_speed_and_go_nowhere_else(page: Page) -> None:
    show(page, [{"title": "", "events": LIFE}])
    page.evaluate("() => { window.heard = []; document.addEventListener('keydown', event => heard.push(event.key)); }")
    page.evaluate("() => document.querySelector('.living').focus()")
    page.keyboard.press(" ")
    assert page.evaluate("() => shown.player.state().playing") is True
    page.keyboard.press(" ")
    page.evaluate("() => shown.player.seek(0)")
    page.keyboard.press(".")
    assert page.evaluate("() => shown.player.state().t") == 1.0
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => shown.player.state().t") == pytest.approx(1.04)
    page.keyboard.press("-")
    assert page.evaluate("() => shown.player.state().speed") == 0.25
    page.keyboard.press("+")
    for key in ("d", "b", "m", "ArrowDown", "Tab"):
        page.keyboard.press(key)
    assert page.evaluate("() => heard") == ["Tab"]


def test_a_server_has_a_menu_for_mouse_and_keyboard(page: Page) -> None:
    show(page, [{"title": "", "events": LIFE}], live=True, actions=["add", "remove", "drain", "undrain", "kill", "ask"])
    page.evaluate("events => shown.begin(events, 1030)", LIFE)
    page.locator(".living-server", has_text="app-worker-2").focus()
    page.keyboard.press("Enter")
    assert page.locator("[role=menuitem]").all_inner_texts() == [
        "Remove (finish its work first)",
        "Drain",
        "Cut its power: it boots again",
    ]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.locator("[role=menu]").count() == 0
    page.locator(".living-server", has_text="app-worker-2").click()
    page.keyboard.press("Escape")
    assert page.locator("[role=menu]").count() == 0
    assert "app-worker-2" in page.evaluate("() => document.activeElement.textContent")
    page.locator("button.living-you").click()
    page.get_by_role("button", name="Add an API").click()
    assert page.evaluate("() => acts") == [
        {"type": "act", "what": "kill", "server": "app-worker-2"},
        {"type": "act", "what": "ask"},
        {"type": "act", "what": "add", "role": "api"},
    ]


def test_an_order_has_a_card_with_its_history_so_far(page: Page) -> None:
    show(page, [{"title": "", "events": LIFE}])
    page.evaluate("() => shown.player.seek(16.2)")
    page.locator(".living-flight summary").click()
    orders = page.locator(".living-orders")
    orders.wait_for()  # until it is filled it is hidden, and can have no focus
    orders.focus()
    words = page.inner_text(".living-card")
    assert words.splitlines()[0] == UUID
    assert "15.500 s lease over, taken back from app-worker-1" in words
    assert "app-worker-2" not in words


def test_live_it_is_shown_a_little_late_and_late_events_are_said(page: Page) -> None:
    show(page, [], live=True)
    page.evaluate("events => shown.begin(events, 1010)", LIFE[:5])
    state = page.evaluate("() => shown.player.state()")
    assert state["playing"]
    assert 8.4 <= state["end"] <= 9.5
    page.evaluate("() => shown.player.pause()")
    page.evaluate("events => shown.feed(0, events, 1010.3)", [LIFE[5], LIFE[6]])
    assert page.evaluate("() => shown.player.state().late") == 1
    assert "1 arrived too late to be drawn in their place" in page.inner_text(".living-said")


def test_a_members_health_and_weight_are_said(page: Page) -> None:
    members = {"app-api-1": {"status": "ERROR", "weight": 1}, "app-api-2": {"status": "ONLINE", "weight": 3}}
    front = {"name": "app-balancer", "status": "ACTIVE", "algorithm": "ROUND_ROBIN", "members": members}
    show(page, [{"title": "", "events": [scene(front=front)]}])
    words = [page.locator(".living-server", has_text=name).inner_text() for name in ("api-1", "api-2", "balancer")]
    assert "serving · error" in words[0]
    assert "serving · weight 3" in words[1]
    assert "1 of 2 online" in words[2]
    assert "round robin" in words[2]


def test_no_frames_while_the_kernel_is_silent(page: Page) -> None:
    show(page, [], live=True)
    page.evaluate("events => shown.begin(events, 1010)", LIFE[:5])
    page.wait_for_function("() => counted.frames === 0")
    assert "nothing is heard of the kernel" in page.inner_text(".living-said")
    page.evaluate("() => shown.feed(0, [], 1020)")
    assert page.evaluate("() => counted.frames") == 1
    page.wait_for_function("() => !document.querySelector('.living-said').textContent.includes('nothing is heard')")


def test_closing_leaves_nothing_behind(page: Page) -> None:
    page.wait_for_function("() => true")  # the browser's driver has its own listeners from now on
    before = page.evaluate("() => ({...counted})")
    show(page, [{"title": "", "events": LIFE}, {"title": "", "events": LIFE}])
    page.evaluate("() => shown.player.play()")
    page.wait_for_function("() => shown.player.state().frames > 5")
    assert page.evaluate("() => counted.frames") == 1
    page.evaluate("() => shown.close()")
    assert page.evaluate("() => counted") == before
    assert page.inner_html("main") == ""


def test_nothing_is_drawn_while_it_is_paused_or_out_of_sight(page: Page) -> None:
    show(page, [{"title": "", "events": LIFE}])
    page.evaluate("() => shown.player.seek(3)")
    page.wait_for_function("() => counted.frames === 0")
    page.evaluate("() => shown.player.play()")
    page.wait_for_function("() => counted.frames === 1")
    page.evaluate("() => { document.querySelector('main').style.marginTop = '5000px'; }")
    page.wait_for_function("() => counted.frames === 0")
    page.evaluate("() => { document.querySelector('main').style.marginTop = '0'; }")
    page.wait_for_function("() => counted.frames === 1")


def test_a_picture_in_which_nothing_moves_is_painted_no_more_often_than_its_words(page: Page) -> None:
    end = {"k": "note", "t": AT + 600, "text": "the end"}
    requests = [request(100 + n / 5, 100 + n / 5 + 0.3, n) for n in range(100)]
    show(page, [{"title": "", "events": [scene(), *requests, end]}])
    script = """async from => {
        const canvas = document.querySelector(".living-dots").getContext("2d");
        let paints = 0;
        const clear = canvas.clearRect.bind(canvas);
        canvas.clearRect = (...all) => { paints += 1; clear(...all); };
        const frames = () => shown.player.state().frames;
        shown.player.seek(from);
        shown.player.play();
        const next = () => new Promise(requestAnimationFrame);
        while (shown.player.state().t < from + 0.5) await next();
        const first = frames(), began = performance.now();
        paints = 0;
        while (shown.player.state().t < from + 2.5) await next();
        return {paints, frames: frames() - first, seconds: (performance.now() - began) / 1000};
    }"""
    still, busy = page.evaluate(script, 10), page.evaluate(script, 100)
    assert 0 < still["paints"] <= still["seconds"] / 0.12 + 2
    assert busy["paints"] == busy["frames"]


def test_a_recording_plays_when_it_comes_into_sight(page: Page) -> None:
    page.evaluate(
        """events => {
            const main = document.querySelector("main");
            main.style.marginTop = "5000px";
            window.shown = living.mount(main, {panes: [{title: "", events}]});
        }""",
        LIFE,
    )
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("() => shown.player.state().t") == 0
    page.evaluate("() => { document.querySelector('main').style.marginTop = '0'; }")
    page.wait_for_function("() => shown.player.state().t > 0.1")


def test_as_a_widget_it_asks_for_events_and_cleans_up(page: Page) -> None:
    said = page.evaluate(
        """events => {
            const heard = new Map(), sent = [];
            const values = {panes: [], live: true, actions: ["ask"], label: "Two APIs", jobs: ["✔ add app-worker-2"]};
            const model = {
                get: name => values[name], send: message => sent.push(message),
                on: (name, call) => heard.set(name, call), off: name => heard.delete(name),
            };
            const el = document.querySelector("main");
            const stop = living.default.render({model, el});
            heard.get("msg:custom")({type: "start", now: 1010, events});
            const shown = el.textContent;
            el.querySelector(".living-you").click();
            stop();
            return [sent, shown.includes("app-worker-1"), shown.includes("add app-worker-2"), heard.size, el.innerHTML];
        }""",
        LIFE,
    )
    assert said == [[{"type": "ready"}, {"type": "act", "what": "ask"}], True, True, 0, ""]
