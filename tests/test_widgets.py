"""The live controls on a real application: what a button does, what is shown, and that nothing is left running."""

import base64
import csv
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
from pathlib import Path
from typing import Any

import pytest
import requests

import faafo_lab
from faafo_lab import chaos, load, widgets
from faafo_lab.cloud import direct
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.model import Server
from faafo_lab.living.stream import THREAD_NAME as STREAM_THREAD_NAME
from faafo_lab.topology import Api, Machine, Topology, in_thread
from faafo_lab.topology.api import PAGE, Fractal
from faafo_lab.topology.moment import observe
from faafo_lab.widgets.gallery import THUMBNAIL_PIXELS, newest_fractals
from faafo_lab.widgets.panel import THREAD_NAME, controls
from faafo_lab.workbook import own_home, stop_cloud
from tests.living.pages import Page
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


@pytest.fixture
def page(board: widgets.Dashboard, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page that shows the dashboard from now on."""
    page = Page(monkeypatch, board._moving)
    page.say({"type": "ready"})
    return page


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
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith((THREAD_NAME, STREAM_THREAD_NAME, "load"))
    ]


def ask(board: widgets.Dashboard, what: object, **more: object) -> None:
    """Choose an entry of the picture's menus, as the page does."""
    board._moving._handle_custom_msg({"type": "act", "what": what, **more}, [])


def asked(board: widgets.Dashboard, what: object, **more: object) -> str:
    """The same, and the job that it made, once that has ended."""
    ask(board, what, **more)
    return ended(board)


# -- the dashboard -------------------------------------------------------------------------------------------------


def test_the_dashboard_has_a_live_a_static_and_a_plain_form(board: widgets.Dashboard) -> None:
    bundle = board._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert "<svg" not in bundle["text/html"], "pages that do not trust it strip them"
    assert bundle["text/html"].count('<img src="data:image/svg+xml') == 2
    for text in (bundle["text/html"], bundle["text/plain"]):
        assert "app-worker-1" in text
        assert "1 API server, 1 worker" in text


def test_add_makes_one_worker_that_serves_and_remove_drains_it(
    board: widgets.Dashboard, cloud: Cloud, page: Page
) -> None:
    ask(board, "add", role="worker")
    assert "✔ add app-worker-2" in ended(board)
    assert "app-worker-2" in names(cloud)
    wait_for("the picture to show it", lambda: "app-worker-2" in str(board.moment.of_role("worker")))
    wait_for("the page to know it", lambda: "app-worker-2" in page.scene["servers"])
    ask(board, "remove", server="app-worker-2")
    assert "drained and deleted" in ended(board)
    assert "app-worker-2" not in names(cloud)
    wait_for("the page to know that", lambda: "app-worker-2" not in page.scene["servers"])


def test_two_presses_make_two_workers(board: widgets.Dashboard, cloud: Cloud) -> None:
    ask(board, "add", role="worker")
    ask(board, "add", role="worker")
    wait_for("both to end", lambda: not any(job.running for job in board.jobs))
    assert {"app-worker-2", "app-worker-3"} <= names(cloud)


def test_what_was_clicked_first_is_done_first(board: widgets.Dashboard, cloud: Cloud) -> None:
    clicked = [board.add, board.remove, board.add, board.remove]
    seen = [press("api") for press in clicked] and list(board.jobs)[-len(clicked) :]
    wait_for("all to end", lambda: not any(job.running for job in seen))
    assert [str(job).split(" (")[0] for job in seen] == ["✔ add app-api-2", "✔ remove app-api-2"] * 2
    assert "app-api-2" not in names(cloud)


def test_the_log_keeps_what_was_done_the_newest_first(board: widgets.Dashboard) -> None:
    wanted = [board.delete(f"app-worker-{number}") or f"delete app-worker-{number}" for number in range(90, 99)]
    wait_for("all to end", lambda: not any(job.running for job in board.jobs))
    shown = re.findall(r"delete app-worker-9\d", "\n".join(board._moving.jobs))
    assert shown == wanted[::-1]


def test_the_services_are_shown_with_their_cpu_use(board: widgets.Dashboard) -> None:
    def services() -> Machine:
        [machine] = board.moment.of_role("services")
        return machine

    wait_for("a first look", lambda: board.moment.done is not None)
    before = board.moment.done or 0
    board.order(12)
    wait_for("the CPU use of the services", lambda: (services().cpu_percent or 0) > 0)
    assert services().load_average is not None
    words = re.compile(r"app-services: database and queue, CPU \d+ %")
    wait_for("it in the picture, too", lambda: words.search(board.html()))
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
    assert "✔ delete app-worker-2" in asked(board, "delete", server="app-worker-2")
    assert "app-worker-2" not in names(cloud)
    board.add("worker")
    assert "✔ add app-worker-2" in ended(board)
    assert {"app-worker-1", "app-worker-2", "app-worker-3"} <= names(cloud)


def test_an_api_is_added_with_an_address_and_the_last_one_stays(board: widgets.Dashboard, cloud: Cloud) -> None:
    ask(board, "add", role="api")
    assert "✔ add app-api-2" in ended(board)
    assert cloud.server("app-api-2").floating_addresses
    board.remove("api")
    assert "✔ remove app-api-2" in ended(board)
    board.remove("api")
    assert "✘ remove an API" in ended(board)
    assert "The last API server stays" in board.html()


def test_you_ask_for_one_fractal_and_the_page_sees_who_answered(board: widgets.Dashboard, page: Page) -> None:
    wait_for("the last look to see one API", lambda: len(board.moment.endpoints or {}) == 1)
    assert "✔ ask for a fractal" in asked(board, "ask")
    mine = wait_for("the request", lambda: [e for e in page.events if e["k"] == "request" and e.get("from") == "you"])
    assert [(each["method"], each["to"], each["status"]) for each in mine] == [("POST", "app-api-1", 201)]
    uuid = mine[0]["uuid"]
    wait_for("its end", lambda: {"leased", "done"} <= whats(page, uuid))


def whats(page: Page, uuid: str) -> set[str]:
    """What the page knows of a task."""
    return {event["what"] for event in page.events if event["k"] == "task" and event["uuid"] == uuid}


def test_a_frozen_server_does_nothing_until_it_is_thawed(board: widgets.Dashboard, cloud: Cloud, page: Page) -> None:
    assert "✔ freeze app-worker-1" in asked(board, "freeze", server="app-worker-1")
    assert cloud.server("app-worker-1").status == "PAUSED"
    assert "is frozen already" in asked(board, "freeze", server="app-worker-1")
    wait_for("the page to know it", lambda: page.scene["servers"]["app-worker-1"]["status"] == "PAUSED")
    assert "✔ thaw app-worker-1" in asked(board, "thaw", server="app-worker-1")
    assert cloud.server("app-worker-1").status == "ACTIVE"
    assert "app-worker-1 is not frozen" in asked(board, "thaw", server="app-worker-1")
    wait_for("the page to know that", lambda: page.scene["servers"]["app-worker-1"]["status"] == "ACTIVE")
    wait_for("the note", lambda: "app-worker-1 is frozen" in page.notes())


def test_a_killed_server_boots_again(board: widgets.Dashboard, cloud: Cloud, page: Page) -> None:
    booted = started(board, "app-worker-1")
    assert "✔ kill app-worker-1" in asked(board, "kill", server="app-worker-1")
    assert cloud.server("app-worker-1").status == "ACTIVE"
    wait_for("the note", lambda: "app-worker-1 lost its power" in page.notes())
    wait_for("the worker's new process", lambda: started(board, "app-worker-1") not in ("", booted))


def started(board: widgets.Dashboard, worker: str) -> str:
    """When this worker's process started, as the application says."""
    nodes = in_thread(board._topology).refresh().nodes()
    return next((node["started_at"] for node in nodes if node["name"] == worker), "")


def test_a_drained_worker_takes_no_task_until_that_ends(board: widgets.Dashboard, page: Page) -> None:
    wait_for("the worker to be idle", lambda: board.moment.of_role("worker")[0].state == "idle")
    assert "✔ drain app-worker-1" in asked(board, "drain", server="app-worker-1")
    wait_for("the page to know it", lambda: page.scene["servers"]["app-worker-1"].get("drain"))
    assert "✔ end the drain of app-worker-1" in asked(board, "undrain", server="app-worker-1")
    wait_for("the page to know that", lambda: not page.scene["servers"]["app-worker-1"].get("drain"))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"what": "explode", "server": "app-worker-1"}, "This is nothing that the dashboard can do."),
        ({"what": "close"}, "This is nothing that the dashboard can do."),
        ({"what": ["add"], "role": {"a": 1}}, "This is nothing that the dashboard can do."),
        ({}, "This is nothing that the dashboard can do."),
        ({"what": "add", "role": "king"}, "king"),
        ({"what": "add", "role": "services"}, "An application has one server of role services"),
        ({"what": "kill"}, "There is no server"),
        ({"what": "kill", "server": "<b>" * 1000}, "There is no server"),
        ({"what": "freeze", "server": "db"}, "There is no server of the application"),
        ({"what": "delete", "server": "app-worker-77"}, "Server app-worker-77 no longer exists."),
        ({"what": "delete", "server": "app-services"}, "app-services has the database"),
        ({"what": "remove", "server": "app-services"}, "app-services stays"),
        ({"what": "remove", "server": "app-api-1"}, "The last API server stays"),
        ({"what": "drain", "server": "app-api-1"}, "a worker can be, or an API behind a load balancer"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    board: widgets.Dashboard, cloud: Cloud, message: dict[str, Any], words: str
) -> None:
    before = names(cloud)
    line = asked(board, **{"what": "", **message})
    assert line.startswith("✘")
    assert words in line
    assert len(line) < 500
    assert names(cloud) == before


def test_what_the_dashboard_builds_is_on_the_receipt_and_not_on_the_tape(
    board: widgets.Dashboard, app: Topology
) -> None:
    assert app.cloud.receipt().created["servers"] > 3
    assert not any("app-worker-3" in call.url for call in app.cloud.tape(last=1).calls)


def test_a_dashboard_says_that_the_cloud_is_away_and_recovers(board: widgets.Dashboard, home: Path, page: Page) -> None:
    stop_cloud()
    wait_for("the dashboard to see it", lambda: "The cloud does not answer" in board.moment.problem)
    wait_for("the page to say it", lambda: "The cloud does not answer" in page.scene.get("problem", ""))
    assert "The cloud does not answer" in board.html()
    ask(board, "add", role="worker")
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


def test_the_same_cell_run_again_closes_the_older_dashboard(board: widgets.Dashboard, app: Topology) -> None:
    known = board._stream.recent()
    with widgets.Dashboard(app) as second:
        assert board.closed
        assert known[-1] in second._stream.recent(), "the last minutes are still there"
        assert not second.closed
        assert all(widget.disabled for widget in controls(board.view))
    wait_for("all threads to end", lambda: not threads())
    assert "app-worker-1" in str(board)
    board.close()


def test_closing_thaws_what_the_dashboard_has_frozen(app: Topology) -> None:
    with widgets.Dashboard(app) as board:
        board.freeze("app-worker-1")
        assert "✔ freeze app-worker-1" in ended(board)
    assert app.cloud.server("app-worker-1").status == "ACTIVE"
    assert chaos.active() == []


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
