"""The live controls on a real application: what a button does, what is shown, and that nothing is left running."""

import base64
import csv
import html
import io
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import requests

import faafo_lab
from faafo_lab import load, widgets
from faafo_lab.balancer import Balancer, Member
from faafo_lab.cloud import direct
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.model import Server
from faafo_lab.topology import Api, Machine, Moment, Topology
from faafo_lab.topology.api import PAGE, Fractal
from faafo_lab.topology.moment import observe
from faafo_lab.widgets import picture
from faafo_lab.widgets.gallery import THUMBNAIL_PIXELS, newest_fractals
from faafo_lab.widgets.panel import THREAD_NAME, controls
from faafo_lab.workbook import own_home, stop_cloud
from tests.waiting import LIMIT_SECONDS, wait_for

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with own_home(FAAFO_LAB_CLOUD="embedded") as home:
        yield home


@pytest.fixture(scope="module")
def cloud(home: Path) -> Cloud:
    return faafo_lab.connect()


@pytest.fixture(scope="module")
def app(cloud: Cloud) -> Topology:
    """One API and one worker, serving."""
    return Topology(cloud, say=lambda line: None).deploy(api=1, worker=1)


@pytest.fixture(scope="module")
def board(app: Topology) -> Iterator[widgets.Dashboard]:
    with widgets.dashboard(app) as board:
        assert isinstance(board, widgets.Dashboard)
        yield board


def press(panel: widgets.Panel, name: str) -> None:
    """Press the button of this name, as the browser does."""
    [found] = [widget for widget in controls(panel.view) if getattr(widget, "description", "").startswith(name)]
    found.click()


def names(cloud: Cloud) -> set[str]:
    return {server.name for server in cloud.servers()}


def ended(panel: widgets.Panel) -> str:
    """The last job, once it has ended."""
    wait_for("the job to end", lambda: not panel.jobs[-1].running)
    return str(panel.jobs[-1])


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith((THREAD_NAME, "load"))]


def svgs(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]  # noqa: S314


# -- the picture ---------------------------------------------------------------------------------------------------


def crowd(apis: int, workers: int, name: str = "app") -> Moment:
    machines = [Machine(f"{name}-api-{n}", "api", "ACTIVE", f"10.0.0.{n}", "serving", 10.0) for n in range(1, apis + 1)]
    machines.append(Machine("app-services", "services", "ACTIVE", "10.0.1.1"))
    machines += [
        Machine(f"app-worker-{n}", "worker", "ACTIVE", f"10.0.2.{n}", "working", 99.6, 1.0, (f"{n:08}-more",))
        for n in range(1, workers + 1)
    ]
    return Moment(1.0, tuple(machines), {}, 3, workers, 12, 1.5, ((3.0, 1.0), (2.0, None), (1.0, 1.2), (0.0, 1.5)))


@pytest.mark.parametrize(("apis", "workers"), [(0, 0), (1, 0), (1, 1), (2, 3), (6, 2), (2, 23)])
def test_every_server_is_drawn_inside_the_picture_and_none_on_another(apis: int, workers: int) -> None:
    moment = crowd(apis, workers)
    [svg] = svgs(picture.topology(moment))
    _, _, width, height = (float(word) for word in svg.attrib["viewBox"].split())
    boxes = [rect for rect in svg.iter(f"{SVG}rect") if rect.attrib["width"] == str(picture.BOX_WIDTH)]
    corners = [(float(box.attrib["x"]), float(box.attrib["y"])) for box in boxes]
    assert len(corners) == len(moment.machines)
    assert all(0 <= x <= width - picture.BOX_WIDTH and 0 <= y <= height - picture.BOX_HEIGHT for x, y in corners)
    for number, (x, y) in enumerate(corners):
        for other_x, other_y in corners[:number]:
            assert abs(x - other_x) >= picture.BOX_WIDTH or abs(y - other_y) >= picture.BOX_HEIGHT
    texts = {text.text for text in svg.iter(f"{SVG}text")}
    assert {machine.name for machine in moment.machines} <= texts


@pytest.mark.parametrize(("apis", "workers"), [(1, 0), (2, 3), (6, 12)])
def test_a_load_balancer_is_drawn_before_the_apis_and_takes_requests_and_results(apis: int, workers: int) -> None:
    health = ("ONLINE", "ERROR", "DRAINING", "ONLINE", "ONLINE", "ONLINE")
    members = tuple(Member(str(n), f"app-api-{n + 1}", f"10.0.0.{n}", 80, 1, health[n]) for n in range(apis))
    front = Balancer("1", "app-balancer", "10.0.0.99", "192.0.2.7", "ROUND_ROBIN", members, None, "ACTIVE")
    moment = replace(crowd(apis, workers), front=front)
    [svg] = svgs(picture.topology(moment))
    boxes = [rect for rect in svg.iter(f"{SVG}rect") if rect.attrib["width"] == str(picture.BOX_WIDTH)]
    assert len(boxes) == len(moment.machines) + 1
    *machines, (x, y) = [(float(box.attrib["x"]), float(box.attrib["y"])) for box in boxes]
    assert x + picture.BOX_WIDTH < min(x for x, _ in machines)
    assert 0 <= y <= float(svg.attrib["viewBox"].split()[3]) - picture.BOX_HEIGHT
    heads = [each for each in svg.iter(f"{SVG}polygon") if picture.BLUE in each.attrib["style"]]
    assert len(heads) == 1 + apis + bool(workers)  # to the balancer, from it to each API, and the results to it
    texts = [text.text or "" for text in svg.iter(f"{SVG}text")]
    online = sum(each == "ONLINE" for each in health[:apis])
    assert {"app-balancer", "192.0.2.7", f"{online} of {apis} members online"} <= {*texts}
    assert [text for text in texts if text.startswith("results")] == ["results to app-balancer, port 80"] * bool(
        workers
    )
    assert [text for text in texts if text in health] == [*health[:apis]], "beside each API's arrow"
    assert "app-api-1 ONLINE" in svg.attrib["aria-label"]


def test_every_worker_has_an_arrow_to_the_queue() -> None:
    for workers in (1, 5, 6, 12):
        [svg] = svgs(picture.topology(crowd(2, workers)))
        heads = [each for each in svg.iter(f"{SVG}polygon") if picture.ORANGE in each.attrib["style"]]
        assert len(heads) == workers


def test_an_image_of_the_picture_says_in_words_all_that_it_shows() -> None:
    moment = crowd(1, 2, name='<b>"&')
    drawn = picture.topology(moment)
    [(data, alt)] = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', picture.image(drawn))
    assert base64.b64decode(data).decode() == drawn
    assert html.unescape(alt) == picture.in_words(moment)
    assert '<b>"&-api-1: serving, CPU 10 %' in html.unescape(alt)


def small(role: str, workers: int) -> Moment:
    machines = [Machine(f"app-{role}", role, "ACTIVE", "10.0.0.1", "serving", 10.0)]
    machines += [Machine(f"app-worker-{n}", "worker", "ACTIVE", f"10.0.2.{n}", "idle") for n in range(1, workers + 1)]
    return Moment(1.0, (*machines, Machine("watcher", "exercise", "ACTIVE", "10.0.0.9")))


@pytest.mark.parametrize(
    ("role", "title", "workers"), [("all-in-one", "All in one", 0), ("controller", "Controller", 2)]
)
def test_the_smaller_layouts_are_drawn_too(role: str, title: str, workers: int) -> None:
    moment = small(role, workers)
    [svg] = svgs(picture.topology(moment))
    boxes = [rect for rect in svg.iter(f"{SVG}rect") if rect.attrib["width"] == str(picture.BOX_WIDTH)]
    assert len(boxes) == 1 + workers
    assert not [box for box in boxes if "dasharray" in box.attrib["style"]]
    assert {title, f"app-{role}"} <= {text.text for text in svg.iter(f"{SVG}text")}
    assert f"1 API server, {max(workers, int(role == 'all-in-one'))} worker" in str(moment)


def test_names_that_look_like_markup_stay_text() -> None:
    [svg] = svgs(picture.topology(crowd(1, 1, name='<b>"&')))
    assert '<b>"&-api-1' in {text.text for text in svg.iter(f"{SVG}text")}


def test_the_line_has_a_gap_where_the_rate_is_not_known() -> None:
    moment = crowd(1, 1)
    [svg] = svgs(picture.throughput(moment))
    assert svg.attrib["aria-label"].endswith("now 1.5")
    assert len(list(svg.iter(f"{SVG}polyline"))) == 1  # of the last two; one point alone is no line
    [empty] = svgs(picture.throughput(Moment(0.0)))
    assert empty.attrib["aria-label"].endswith("now unknown")


def test_a_high_rate_fits_beside_its_line() -> None:
    [svg] = svgs(picture.throughput(replace(crowd(1, 1), rate=123.4, rates=((1.0, 90.0), (0.0, 123.4)))))
    [label] = [text for text in svg.iter(f"{SVG}text") if text.text == "123.4"]
    digit = 0.7 * 12  # pixels: the widest bold figures are seven tenths as wide as high
    assert float(label.attrib["x"]) + 4.5 * digit <= picture.LINE_WIDTH


def test_without_an_application_the_picture_says_so() -> None:
    [svg] = svgs(picture.topology(Moment(0.0)))
    assert "the application has no servers" in {text.text for text in svg.iter(f"{SVG}text")}


# -- the dashboard -------------------------------------------------------------------------------------------------


def test_the_dashboard_has_a_live_a_static_and_a_plain_form(board: widgets.Dashboard) -> None:
    bundle = board._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert svgs(bundle["text/html"]) == [], "pages that do not trust it strip them"
    assert bundle["text/html"].count('<img src="data:image/svg+xml') == 2
    for text in (bundle["text/html"], bundle["text/plain"]):
        assert "app-worker-1" in text
        assert "1 API server, 1 worker" in text


def test_add_makes_one_worker_that_serves_and_remove_drains_it(board: widgets.Dashboard, cloud: Cloud) -> None:
    press(board, "Add a worker")
    assert "✔ add app-worker-2" in ended(board)
    assert "app-worker-2" in names(cloud)
    wait_for("the picture to show it", lambda: "app-worker-2" in str(board.moment.of_role("worker")))
    assert "app-worker-2" in board.view.children[0].value
    press(board, "Remove a worker")
    assert "drained and deleted" in ended(board)
    assert "app-worker-2" not in names(cloud)


def test_two_presses_make_two_workers(board: widgets.Dashboard, cloud: Cloud) -> None:
    press(board, "Add a worker")
    press(board, "Add a worker")
    wait_for("both to end", lambda: not any(job.running for job in board.jobs))
    assert {"app-worker-2", "app-worker-3"} <= names(cloud)


def test_what_was_clicked_first_is_done_first(board: widgets.Dashboard, cloud: Cloud) -> None:
    clicked = ["Add an API", "Remove an API", "Add an API", "Remove an API"]
    seen = [press(board, name) for name in clicked] and list(board.jobs)[-len(clicked) :]
    wait_for("all to end", lambda: not any(job.running for job in seen))
    assert [str(job).split(" (")[0] for job in seen] == ["✔ add app-api-2", "✔ remove app-api-2"] * 2
    assert "app-api-2" not in names(cloud)


def test_the_log_keeps_what_was_done_the_newest_first(board: widgets.Dashboard) -> None:
    wanted = [board.delete(f"app-worker-{number}") or f"delete app-worker-{number}" for number in range(90, 99)]
    wait_for("all to end", lambda: not any(job.running for job in board.jobs))
    shown = re.findall(r"delete app-worker-9\d", board._log.value)
    assert shown == wanted[::-1]
    assert board._log.layout.overflow == "auto"


def test_the_services_are_shown_with_their_cpu_use(board: widgets.Dashboard) -> None:
    def services() -> Machine:
        [machine] = board.moment.of_role("services")
        return machine

    wait_for("a first look", lambda: board.moment.done is not None)
    before = board.moment.done or 0
    board.order(12)
    wait_for("the CPU use of the services", lambda: (services().cpu_percent or 0) > 0)
    assert services().load_average is not None
    assert re.search(r"app-services: database and queue, CPU \d+ %", board.html())
    wait_for("all fractals finished", lambda: board.moment.done == before + 12)


def test_orders_are_made_and_counted_and_the_line_rises(board: widgets.Dashboard) -> None:
    wait_for("a first look", lambda: board.moment.done is not None)
    before = board.moment.done or 0
    board._count.value = 20
    press(board, "Order fractals")
    wait_for("the throughput to rise", lambda: (board.moment.rate or 0) > 1)
    assert "✔ order 20 fractals" in ended(board)
    wait_for("all fractals finished", lambda: board.moment.done == before + 20)


def test_a_server_deleted_the_hard_way_is_gone_and_the_next_add_takes_its_place(
    board: widgets.Dashboard, cloud: Cloud
) -> None:
    while len(board.moment.of_role("worker")) < 3:  # where this test runs alone
        board.add("worker")
        assert "✔" in ended(board)
        wait_for("the picture to show it", lambda: board.moment.machines[-1].name in board.jobs[-1].what)
    wait_for("the choice to show it", lambda: "app-worker-2" in board._victim.options)
    board._victim.value = "app-worker-2"
    press(board, "Delete at once")
    assert "✔ delete app-worker-2" in ended(board)
    assert "app-worker-2" not in names(cloud)
    wait_for("the choice to drop it", lambda: "app-worker-2" not in board._victim.options)
    board.add("worker")
    assert "✔ add app-worker-2" in ended(board)
    assert {"app-worker-1", "app-worker-2", "app-worker-3"} <= names(cloud)


def test_an_api_is_added_with_an_address_and_the_last_one_stays(board: widgets.Dashboard, cloud: Cloud) -> None:
    press(board, "Add an API")
    assert "✔ add app-api-2" in ended(board)
    assert cloud.server("app-api-2").floating_addresses
    press(board, "Remove an API")
    assert "✔ remove app-api-2" in ended(board)
    press(board, "Remove an API")
    assert "✘ remove an API" in ended(board)
    assert "The last API server stays" in board.html()


def test_what_the_dashboard_builds_is_on_the_receipt_and_not_on_the_tape(
    board: widgets.Dashboard, app: Topology
) -> None:
    assert board._follower.topology.cloud is not app.cloud
    assert app.cloud.receipt().created["servers"] > 3
    assert not any("app-worker-3" in call.url for call in app.cloud.tape(last=1).calls)


def test_a_dashboard_says_that_the_cloud_is_away_and_recovers(board: widgets.Dashboard, home: Path) -> None:
    stop_cloud()
    wait_for("the dashboard to see it", lambda: "The cloud does not answer" in board.moment.problem)
    assert board.moment.problem in board.view.children[0].value.replace("&#x27;", "'").replace("&quot;", '"')
    press(board, "Add a worker")
    assert "✘ add a worker" in ended(board)
    faafo_lab.connect()
    wait_for("the dashboard to recover", lambda: not board.moment.problem)
    wait_for("the application to be back", lambda: board.moment.of_role("worker")[0].state == "idle")


def test_a_worker_that_does_not_measure_its_machine_is_drawn_without_its_load(app: Topology) -> None:
    run, headers = str(uuid.uuid4()), {"Authorization": f"Bearer {app.secret}"}
    beat = {"name": "app-worker-99", "run": run, "state": "idle"}
    requests.post(f"{app.endpoint}/v1/node", json=beat, headers=headers, timeout=30).raise_for_status()
    server = Server("99", "app-worker-99", "ACTIVE", metadata={"faafo-lab": "worker"})
    moment = observe([server], app.api)
    requests.delete(f"{app.endpoint}/v1/node/app-worker-99?run={run}", headers=headers, timeout=30).raise_for_status()
    assert moment.machines[0].state == "idle"
    assert moment.load == moment.cpu == {}
    [svg] = svgs(picture.topology(moment))
    assert "app-worker-99" in {text.text for text in svg.iter(f"{SVG}text")}


def test_the_same_cell_run_again_closes_the_older_dashboard(board: widgets.Dashboard, app: Topology) -> None:
    with widgets.dashboard(app) as second:
        assert board.closed
        assert not second.closed
        assert all(widget.disabled for widget in controls(board.view))
    wait_for("all threads to end", lambda: not threads())
    assert "app-worker-1" in str(board)
    board.close()


def test_closing_ends_what_is_under_way(app: Topology) -> None:
    board = widgets.Dashboard(app)
    board.add("worker")
    wait_for("a server to be built", lambda: "ACTIVE" in board.jobs[-1].seen or not board.jobs[-1].running)
    board.order(400)
    press(board, "Close")
    wait_for("all threads to end", lambda: not threads())
    assert board.closed


# -- load and gallery ----------------------------------------------------------------------------------------------


def test_the_load_panel_keeps_a_row_for_each_request_and_writes_them(app: Topology, tmp_path: Path) -> None:
    with widgets.LoadPanel(app) as panel:
        panel._loop.value, panel._rate.value, panel._number.value = "open", 50, 40
        panel._size.value = (320, 200)
        press(panel, "Start")
        assert "✔ 40 requests, open loop, 50 a second" in ended(panel)
        assert len(panel.rows) == 40
        assert all(row.ok for row in panel.rows)
        wait_for("the makers to be known", lambda: all(row.worker for row in panel.rows))
        assert panel._bar.value == panel._bar.max == 40
        with panel.save(tmp_path / "rows.csv").open() as file:
            assert [row["uuid"] for row in csv.DictReader(file)] == [row.uuid for row in panel.rows]
        bundle = panel._repr_mimebundle_()
        assert "p99" in bundle["text/html"]
        assert "40 requests" in bundle["text/plain"]
    wait_for("all threads to end", lambda: not threads())


def test_values_that_make_no_load_are_named(app: Topology) -> None:
    with widgets.LoadPanel(app) as panel:
        panel._number.value = 10**9
        press(panel, "Start")
        assert "✘ start (0 s): That makes 1000000000 requests: a run has 1 to 100000." in ended(panel)
        panel._number.value, panel._at_once.value = 10, 0
        press(panel, "Start")
        assert "at_once is 0: give 1 to " in ended(panel)
        assert not panel._start_button.disabled


def test_the_load_panel_opens_with_a_choice_made_and_no_two_are_the_same(app: Topology) -> None:
    with widgets.LoadPanel(app) as panel:
        assert panel._size.label == "read the list of fractals"
        assert panel._load().size is None
        assert len({value for _, value in panel._size.options}) == len(panel._size.options)


def test_an_order_of_too_many_is_refused_in_a_sentence(app: Topology) -> None:
    with widgets.Dashboard(app) as board:
        board._count.value = 501
        press(board, "Order fractals")
        assert "Order 1 to 500 fractals at a time, not 501." in ended(board)


def test_a_run_of_the_load_panel_can_be_stopped_and_started_again(app: Topology) -> None:
    with widgets.LoadPanel(app) as panel:
        panel._loop.value, panel._rate.value, panel._number.value = "open", 10, 5000
        press(panel, "Start")
        wait_for("the first answers", lambda: len(panel.rows) > 3)
        press(panel, "Stop")
        assert "stopped after" in ended(panel)
        kept = len(panel.rows)
        assert 3 < kept < 5000
        panel._loop.value, panel._number.value = "closed", 30
        wait_for("the first run to end", lambda: not panel.running)
        press(panel, "Start")
        press(panel, "Start")  # the second press of a double click
        assert "closed loop, 4 clients" in ended(panel)
        assert len(panel.rows) == 30
        assert len(panel.jobs) == 2


def test_the_gallery_shows_the_newest_fractals_and_who_made_them(app: Topology) -> None:
    from PIL import Image

    with widgets.Gallery(app, 5) as gallery:
        finished = sorted(load.completions(app.endpoint), key=lambda item: item.at, reverse=True)
        assert [item.uuid for item in gallery.fractals] == [item.uuid for item in finished[:5]]
        html = gallery.html()
        pictures = re.findall(r'src="data:image/png;base64,([^"]+)" alt="([^"]+)"', html)
        assert len(pictures) == 5
        for (data, alt), item in zip(pictures, finished, strict=False):
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                assert max(image.size) <= 2 * max(THUMBNAIL_PIXELS)
            assert item.worker in alt
            assert item.uuid[:8] in str(gallery)
        press(gallery, "Refresh")
        assert "✔" in ended(gallery)


def test_the_gallery_finds_finished_fractals_behind_many_that_wait(app: Topology) -> None:
    for worker in app.refresh().workers:
        app.api.drain(worker.name)
    idle = {"drained", "lost", "serving"}
    wait_for("the workers to be drained", lambda: {node["state"] for node in app.api.nodes()} <= idle)
    newest = [fractal["uuid"] for fractal in app.api.newest(3)]
    waiting = list(itertools.islice(load.new_tasks(), PAGE + 50))
    load.create(app.endpoints, waiting)
    try:
        assert [item.uuid for item in newest_fractals(app, 3)] == newest
    finally:
        for task in waiting:
            direct.request("DELETE", f"{app.endpoint}/v1/fractal/{task['uuid']}", auth=direct.bearer(app.secret))
        for worker in app.workers:
            app.api.drain(worker.name, False)


def test_a_fractal_that_is_replaced_meanwhile_is_left_out(app: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Fractal] = []
    newest = Api.newest

    def and_then_the_first_is_ordered_anew(api: Api, number: int) -> list[Fractal]:
        rows[:] = newest(api, number)
        first = f"{app.endpoint}/v1/fractal/{rows[0]['uuid']}"
        assert direct.request("DELETE", first, auth=direct.bearer(app.secret)).ok
        box = {"uuid": rows[0]["uuid"], "width": 33, "height": 22, "xa": -0.8, "xb": -0.5, "ya": -0.1, "yb": 0.1}
        assert direct.request("POST", f"{app.endpoint}/v1/fractal", json={**box, "iterations": 320}).status_code == 201
        wait_for("it is made anew", lambda: direct.get(first).json()["completed_at"])
        return rows

    monkeypatch.setattr(Api, "newest", and_then_the_first_is_ordered_anew)
    shown = newest_fractals(app, 5)
    assert len(rows) == 5
    assert [item.uuid for item in shown] == [row["uuid"] for row in rows[1:]]


def test_without_an_api_each_panel_says_so_in_a_sentence(cloud: Cloud) -> None:
    nothing = Topology(cloud, say=lambda line: None)
    with widgets.Gallery(nothing, 3) as gallery:
        assert "deploy the application first" in str(gallery)
        assert "deploy the application first" in gallery.html()


def test_the_end_of_the_process_is_not_held_up_by_open_panels(app: Topology) -> None:
    code = (
        "import faafo_lab; from faafo_lab import widgets; from faafo_lab.topology import discover\n"
        "app = discover(faafo_lab.connect())\n"
        "panel = widgets.load_panel(app); panel._number.value = 9000; panel.start()\n"
        "board = widgets.dashboard(app); board.order(100); print('open', flush=True)\n"
        "import time, sys\n"
        "while sys.argv[1:]: time.sleep(0.1)"  # an interrupt that comes when a sleep begins is seen when it ends
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "open\n", "")
    with subprocess.Popen(
        [sys.executable, "-c", code, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"open\n"
        os.kill(child.pid, signal.SIGINT)
        child.communicate(timeout=LIMIT_SECONDS)
