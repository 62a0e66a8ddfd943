"""The workbook in a real browser: JupyterLab in headless Chromium, as a learner sees it. Screenshots go to `build/`.

Skipped where no Chromium is installed (Debian's package `chromium`, or the path in CHROMIUM).
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError as PlaywrightTimeout

import faafo_lab
from faafo_lab import widgets
from faafo_lab.chapters import NOTEBOOKS
from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.base import Cloud
from faafo_lab.living import recording
from faafo_lab.topology import Topology, discover
from faafo_lab.workbook import BUILD, WIDGET_VIEW, make_copies, own_home
from tests.chromium import chromium, needs_chromium
from tests.living import synthetic
from tests.waiting import wait_for

START_LIMIT_SECONDS = 120
NOTEBOOK_LIMIT_SECONDS = 400
EFFECT_LIMIT_SECONDS = 60
STOP_LIMIT_SECONDS = 30
LOOK_SECONDS = 0.5
WIDTH, HEIGHT = 1400, 1250
PHONE = {"width": 400, "height": 800}
SERIOUS = {"serious", "critical"}
OUTPUTS = {"include": [[".jp-Cell-outputArea"]]}
OUR_OWN = {
    "exclude": [[".jp-InputPrompt"], [".jp-OutputPrompt"], [".highlight"]]
}  # the colours of these are nbconvert's

pytestmark = [
    pytest.mark.long,
    needs_chromium,
    pytest.mark.timeout(900),
]

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, not only those in sight
    "docmanager-extension/plugin": {"autosave": False},
}
CONFIG = """\
c.ServerApp.open_browser, c.ServerApp.ip, c.ServerApp.port = False, "127.0.0.1", 0
c.LabApp.expose_app_in_browser = c.JupyterNotebookApp.expose_app_in_browser = True"""
OPENINGS, OPEN_LIMIT_SECONDS = 3, 60
READY = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
# Every code cell has run, and the kernel waits for more.
FINISHED = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const cells = panel.content.widgets.filter(cell => cell.model.type === 'code');
    const kernel = panel.sessionContext.session?.kernel;
    return kernel?.status === 'idle' && cells.every(cell => cell.model.executionCount !== null);
}"""
DEPLOY = """\
import time
import faafo_lab
from faafo_lab import widgets
from faafo_lab.topology import Topology
app = Topology(faafo_lab.connect(), say=lambda line: None)
app.deploy(api=2, worker=1)"""
SCRATCH = [
    DEPLOY,
    "widgets.dashboard(app)",
    "widgets.load_panel(app)",
    "gallery = widgets.gallery(app, newest=6)\ngallery",
]

WAITING = """\
from faafo_lab.cloud.progress import Progress
with Progress("go-aheads", 2) as line:
    while not Path({name!r}).exists():
        line.update(1)
        time.sleep(0.3)
    line.update(2)"""
# From now on, count the frames that the page asks for.
COUNT_FRAMES = """() => {
    window.framesAsked = 0;
    window.askForFrame ??= window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = draw => { window.framesAsked += 1; return window.askForFrame(draw); };
}"""
GO_ON = "go on"  # the file that the busy cell waits for
BUSY = f"""\
from pathlib import Path
end = time.monotonic() + 120
while not Path({GO_ON!r}).exists() and time.monotonic() < end:
    time.sleep(0.2)"""


class Lab:
    """JupyterLab in one tab of a browser."""

    def __init__(self, page: Any, url: str, token: str, folder: Path) -> None:
        self.page, self.url, self.token, self.folder = page, url, token, folder

    def open(self, name: str) -> None:
        """Open a notebook of the folder, with a kernel that is ready.

        JupyterLab asks a new kernel once how it is; where the answer is lost, it says "Unknown" until loaded anew.
        """
        for left in reversed(range(OPENINGS)):
            self.page.goto(f"{self.url}lab/tree/{name}?token={self.token}&reset")
            try:
                self.page.wait_for_function(READY, timeout=OPEN_LIMIT_SECONDS * 1000)
                return
            except PlaywrightTimeout:
                if not left:
                    raise

    def run_all(self) -> None:
        """Run All Cells, to the end."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.page.wait_for_function(FINISHED, timeout=NOTEBOOK_LIMIT_SECONDS * 1000)

    def run_cell(self, index: int) -> None:
        """Start this cell, and don't wait for it."""
        self.page.evaluate(
            """index => {
                window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
                void window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            index,
        )

    def running(self, index: int) -> bool:
        """Whether this cell runs. (The kernel's own status tells less: handling a button sets it to idle.)"""
        script = "index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.executionState"
        return bool(self.page.evaluate(script, index) == "running")

    def command(self, name: str, **arguments: Any) -> None:
        """One of JupyterLab's own commands, by its id."""
        self.page.evaluate("([name, args]) => window.jupyterapp.commands.execute(name, args)", [name, arguments])

    def saved(self, name: str) -> Any:
        """The notebook as JupyterLab stores it."""
        self.command("docmanager:save")
        self.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
        return nbformat.read(self.folder / name, as_version=4)  # type: ignore[no-untyped-call]

    def press(self, name: str) -> None:
        """Press the widgets' button of this name, the first one."""
        self.page.locator(".widget-button", has_text=name).first.click()

    def picture(self, name: str) -> None:
        """Keep what the browser shows, in both themes."""
        for theme in ("Light", "Dark"):
            self.command("apputils:change-theme", theme=f"JupyterLab {theme}")
            self.page.wait_for_function(
                "dark => (document.body.dataset.jpThemeLight === 'false') === dark", arg=theme == "Dark"
            )
            self.page.wait_for_timeout(LOOK_SECONDS * 1000)  # for colours that fade
            self.page.screenshot(path=BUILD / f"browser-{name}-{theme.lower()}.png")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on an own home, and a browser that looks at it."""
    token = secrets.token_hex()
    BUILD.mkdir(exist_ok=True)
    with own_home(FAAFO_LAB_CLOUD="embedded") as home:
        folder, runtime, settings = home / "workbook", home / "jupyter" / "runtime", home / "jupyter/lab/user-settings"
        folder.mkdir()
        write(folder / "scratch.ipynb", SCRATCH)
        write(folder / "busy.ipynb", [DEPLOY, "widgets.dashboard(app)", BUSY])
        for name, values in SETTINGS.items():
            file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        (home / "jupyter" / "jupyter_server_config.py").write_text(f"{CONFIG}\nc.IdentityProvider.token = {token!r}\n")
        command = [sys.executable, "-m", "faafo_lab.workbook", "lab"]
        with (home / "lab.log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            url = wait_for("JupyterLab", lambda: server_url(server, runtime, home / "lab.log"), START_LIMIT_SECONDS)
            with chromium() as browser:
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
                page.set_default_timeout(EFFECT_LIMIT_SECONDS * 1000)
                try:
                    yield Lab(page, url, token, folder)
                finally:
                    page.screenshot(path=BUILD / "browser-last.png")  # what was seen when a test failed
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # JupyterLab ends its kernels first
            try:
                server.wait(STOP_LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(STOP_LIMIT_SECONDS)


@pytest.fixture(scope="module")
def cloud(lab: Lab) -> Cloud:
    """The same cloud as the kernel's, seen from here."""
    return faafo_lab.connect()


def server_url(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> str | None:
    """Where JupyterLab answers, once it does."""
    assert server.poll() is None, log.read_text()
    for file in runtime.glob("jpserver-*.json"):
        try:
            url = str(json.loads(file.read_text())["url"])
            if requests.get(f"{url}api", timeout=5).ok:
                return url
        except (requests.RequestException, ValueError):  # not up yet, or its file is being written
            pass
    return None


def write(path: Path, sources: list[str]) -> None:
    """A notebook of these cells."""
    write_cells(path, [nbformat.v4.new_code_cell(source) for source in sources])


def write_cells(path: Path, cells: list[Any]) -> None:
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def errors(notebook: Any) -> list[str]:
    """The errors that cells ended in."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]


def test_the_dashboard_adds_a_worker_and_the_throughput_rises(lab: Lab, cloud: Cloud) -> None:
    lab.open("scratch.ipynb")
    lab.run_all()
    notebook = lab.saved("scratch.ipynb")
    assert errors(notebook) == []
    [shown] = notebook.cells[1].outputs
    assert "<img" in shown.data["text/html"]
    assert "app-worker-1" in shown.data["text/plain"]
    assert "widgets" not in notebook.metadata, "a widget's state has the picture's whole module in it"

    page = lab.page
    page.locator(".jp-Notebook").first.evaluate("element => element.scrollTo(0, 0)")
    line = page.get_by_label("Fractals per second over the last minute")
    assert rate(line) < 0.5
    page.get_by_role("button", name="Add a worker").click()
    page.get_by_text("app-worker-2 serves").first.wait_for()
    assert "app-worker-2" in {server.name for server in cloud.servers()}
    server(page, "app-worker-2").wait_for()
    count = page.locator(".widget-text input[type=number]").first
    count.fill("60")
    count.press("Enter")
    lab.press("Order fractals")
    wait_for("the throughput line to rise", lambda: rate(line) > 2)
    assert in_a_row(page.locator(".living-tiles dd")), "JupyterLab lays out definition lists its own way"
    lab.picture("dashboard")

    choose(page, "app-worker-2", "Delete at once")
    page.get_by_text("the hard way").first.wait_for()
    wait_for("the worker to be gone", lambda: "app-worker-2" not in {server.name for server in cloud.servers()})

    assert serious(page, OUTPUTS) == []
    assert page.get_by_text("Jupyter news").count() == 0
    lab.press("Start")
    page.get_by_text("finished").first.wait_for()
    lab.press("Refresh")
    page.locator("figure img").first.wait_for()
    page.locator("figure img").first.scroll_into_view_if_needed()
    lab.picture("load-and-gallery")
    assert serious(page, OUTPUTS) == []

    with page.context.browser.new_page() as application:
        application.goto(discover(cloud).endpoint)
        application.locator("article").first.wait_for()
        assert serious(application) == []
        application.set_viewport_size(PHONE)
        fits(application)

    lab.press("Close")
    page.get_by_alt_text("app-worker-1: ").first.wait_for()  # its last state is in the notebook, in its place
    assert page.locator(".living").count() == 0
    [shown] = lab.saved("scratch.ipynb").cells[1].outputs
    assert set(shown.data) == {"text/html", "text/plain"}
    assert re.search(r"fractals: \d+ waiting, \d+ in work, [1-9]\d* done", shown.data["text/plain"])


def test_what_the_picture_s_menus_do_takes_effect_while_a_cell_runs(lab: Lab, cloud: Cloud) -> None:
    lab.open("busy.ipynb")
    page = lab.page
    for index in (0, 1):
        lab.run_cell(index)
    server(page, "app-worker-1").wait_for(timeout=START_LIMIT_SECONDS * 1000)
    lab.run_cell(2)
    wait_for("the cell to run", lambda: lab.running(2))
    try:
        page.get_by_role("button", name="Add a worker").click()
        page.get_by_text("app-worker-2 serves").first.wait_for()
        server(page, "app-worker-2").wait_for()
        assert lab.running(2)
        assert "app-worker-2" in {server.name for server in cloud.servers()}

        page.get_by_role("button", name="you").click()
        page.get_by_text(re.compile("app-api-[12] accepts it")).first.wait_for()
        lab.press("Order fractals")
        page.get_by_text("all accepted").first.wait_for()
        assert lab.running(2)
    finally:
        (lab.folder / GO_ON).touch()
    wait_for("the cell to end", lambda: not lab.running(2))
    cloud.delete_servers(["app-worker-2"])


@pytest.fixture
def page(lab: Lab, cloud: Cloud) -> Any:
    """JupyterLab's page with a dashboard in it, which moves."""
    write(lab.folder / "shown.ipynb", [DEPLOY, "board = widgets.dashboard(app)\nboard"])
    lab.open("shown.ipynb")
    lab.run_all()
    server(lab.page, "app-worker-1").wait_for()
    return lab.page


def test_a_server_s_menu_works_with_the_keyboard_alone(page: Any, cloud: Cloud) -> None:
    def states() -> set[str]:
        return {node["state"] for node in discover(cloud).nodes() if node["name"] == "app-worker-1"}

    for entry, state in (("Drain", "drained"), ("End the drain", "idle")):
        server(page, "app-worker-1").focus()
        page.keyboard.press("Enter")
        menu = page.get_by_role("menu", name="app-worker-1")
        menu.wait_for()
        page.keyboard.press("Escape")
        menu.wait_for(state="detached")
        wait_for("the way back", lambda: focused(page).startswith("app-worker-1"))
        wait_for(f"{entry} in the menu", lambda entry=entry: offered(page, entry))  # type: ignore[misc]
        while focused(page) != entry:
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        wait_for(state, lambda state=state: state in states())  # type: ignore[misc]
        wait_for("the way back", lambda: focused(page).startswith("app-worker-1"))


def offered(page: Any, entry: str) -> bool:
    """Whether the menu of the server that has the focus offers this now; if so, it is open."""
    page.keyboard.press("Enter")
    if page.get_by_role("menuitem", name=entry, exact=True).count():
        return True
    page.keyboard.press("Escape")
    return False


def focused(page: Any) -> str:
    """The text of the element that has the focus."""
    return str(page.evaluate("document.activeElement.textContent"))


def test_jupyterlab_s_keys_do_nothing_where_the_picture_has_the_focus(page: Any) -> None:
    cells = "() => window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type)"
    before = page.evaluate(cells)
    for key in ("b", "a", "m", "y", "x", "d", "d", "ArrowDown", "ArrowUp", "Escape"):
        server(page, "app-worker-1").focus()
        page.keyboard.press(key)
    server(page, "app-worker-1").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")
    assert page.evaluate(cells) == before
    page.locator(".jp-Cell").first.locator(".jp-InputPrompt").click()  # there, the same keys are the notebook's
    page.keyboard.press("b")
    wait_for("one more cell", lambda: page.evaluate(cells) == [*before, "code"])
    page.keyboard.press("d")
    page.keyboard.press("d")
    wait_for("one less", lambda: page.evaluate(cells) == before)


def test_a_dashboard_that_is_closed_draws_nothing_any_more(lab: Lab, page: Any) -> None:
    def drawn() -> int:
        """How often anything was drawn in a moment."""
        page.evaluate(COUNT_FRAMES)
        page.wait_for_timeout(LOOK_SECONDS * 1000)
        return int(page.evaluate("() => window.framesAsked"))

    wait_for("frames", lambda: drawn() > 5)
    lab.press("Close")
    page.get_by_alt_text("app-worker-1: ").first.wait_for()
    assert page.locator(".living").count() == 0
    wait_for("the last frame", lambda: drawn() == 0)


def test_a_recording_plays_in_a_notebook_and_where_its_kernel_is_gone(lab: Lab, tmp_path: Path) -> None:
    page = lab.page
    events = synthetic.small()
    recording.Recording(events, start=synthetic.START, title="A worker dies").save(lab.folder / "dies.jsonl")
    write(lab.folder / "replay.ipynb", ["import faafo_lab", "faafo_lab.replay('dies.jsonl')"])
    lab.open("replay.ipynb")
    lab.run_all()
    picture = page.locator(".living")
    picture.wait_for()
    picture.scroll_into_view_if_needed()
    picture.get_by_text("app-worker-2 was killed").first.wait_for()
    assert picture.get_by_role("button", name="Add a worker").count() == 0
    lab.picture("replay")
    assert serious(page, OUTPUTS) == []
    notebook = lab.saved("replay.ipynb")
    assert "widgets" not in notebook.metadata
    assert os.path.getsize(lab.folder / "replay.ipynb") < 1_100_000

    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", f"--output-dir={tmp_path}"]
    notebook.cells[1].outputs[0].data.pop(WIDGET_VIEW)  # as in every notebook that is stored
    nbformat.write(notebook, tmp_path / "stored.ipynb")
    subprocess.run([*command, str(tmp_path / "stored.ipynb")], check=True, capture_output=True)
    with page.context.browser.new_page() as exported:
        exported.route("http*://**", lambda route: route.abort())
        exported.goto((tmp_path / "stored.html").as_uri())
        exported.locator(".living").scroll_into_view_if_needed()
        exported.get_by_text("app-worker-2 was killed").first.wait_for()


def test_the_dashboard_moves_in_notebook_7_too(lab: Lab, cloud: Cloud) -> None:
    write(lab.folder / "seven.ipynb", [DEPLOY, "widgets.dashboard(app)"])
    page = lab.page
    page.goto(f"{lab.url}notebooks/seven.ipynb?token={lab.token}")
    page.wait_for_function(READY, timeout=OPEN_LIMIT_SECONDS * 1000)
    lab.run_all()
    server(page, "app-worker-1").wait_for()
    page.get_by_role("button", name="you").click()
    page.get_by_text(re.compile("app-api-[12] accepts it")).first.wait_for()
    page.evaluate(COUNT_FRAMES)
    wait_for("frames", lambda: page.evaluate("() => window.framesAsked") > 5)
    page.screenshot(path=BUILD / "browser-notebook-7.png")
    lab.press("Close")
    page.get_by_alt_text("app-worker-1: ").first.wait_for()


def test_what_a_page_shows_without_the_kernel_is_what_is_so(lab: Lab, cloud: Cloud) -> None:
    write(
        lab.folder / "loaded.ipynb",
        [f"{DEPLOY}\nfrom pathlib import Path", "widgets.dashboard(app)", WAITING.format(name="2")],
    )
    lab.open("loaded.ipynb")
    for index in (0, 1, 2):
        lab.run_cell(index)
    lab.page.get_by_text("1/2 go-aheads").wait_for(timeout=START_LIMIT_SECONDS * 1000)
    lab.command("docmanager:save")
    lab.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    lab.page.reload()
    (lab.folder / "2").touch()
    lab.page.get_by_text("✔ 2/2 go-aheads").wait_for()
    server(lab.page, "app-worker-1").wait_for()
    lab.picture("loaded-anew")

    lab.saved("loaded.ipynb")
    shutil.copy(lab.folder / "loaded.ipynb", lab.folder / "tomorrow.ipynb")
    make_copies()  # as `make lab` does, when no kernel runs
    lab.open("tomorrow.ipynb")
    lab.page.get_by_alt_text("app-worker-1: ").first.wait_for()
    lab.page.get_by_text("go-aheads. (If this line stays, the page missed the end: run the cell").wait_for()


def test_a_notebook_that_is_not_trusted_shows_the_panels_as_pictures(lab: Lab, cloud: Cloud) -> None:
    app = Topology(cloud, say=lambda line: None).deploy(api=1, worker=1)
    cells = []
    for panel in (widgets.dashboard(app), widgets.gallery(app)):
        with panel:
            data = {**panel._repr_mimebundle_(), WIDGET_VIEW: {"model_id": "of a kernel that is gone"}}
            output = nbformat.v4.new_output("display_data", data)
            cells.append(nbformat.v4.new_code_cell("panel", outputs=[output], execution_count=1))
    write_cells(lab.folder / "strange.ipynb", cells)
    lab.open("strange.ipynb")
    page = lab.page
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.cells.get(0).trusted") is False
    picture = page.get_by_alt_text("app-worker-1: ").first
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > WIDTH / 3
    assert page.locator(".jp-OutputArea-output svg").count() == 0
    assert serious(page, OUTPUTS) == []
    lab.picture("not-trusted")


@pytest.mark.parametrize("chapter", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def test_an_exported_chapter_is_readable_for_everybody_and_on_a_phone(lab: Lab, chapter: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", f"--output-dir={tmp_path}"]
    subprocess.run([*command, str(NOTEBOOKS / f"{chapter}.ipynb")], check=True, capture_output=True)
    shutil.copytree(NOTEBOOKS / "pictures", tmp_path / "pictures")
    with lab.page.context.browser.new_page() as page:
        page.route("http*://**", lambda route: route.abort())  # what the template loads: fonts, formulas
        page.goto((tmp_path / f"{chapter}.html").as_uri())
        assert serious(page, OUR_OWN) == []
        undescribed = "img:not([alt]), img[alt=''], img[alt^='No description']"
        assert page.locator(undescribed).count() == 0
        page.set_viewport_size(PHONE)
        page.screenshot(path=BUILD / f"phone-{chapter}.png")
        fits(page)


def server(page: Any, name: str) -> Any:
    """A server in the picture that moves: a button, which opens its menu."""
    return page.locator(".living-server", has_text=name).first


def in_a_row(elements: Any) -> bool:
    """Whether those of these elements that are shown are side by side."""
    boxes = [element.bounding_box() for element in elements.all() if element.is_visible()]
    return len(boxes) > 1 and len({box["y"] for box in boxes}) == 1


def choose(page: Any, name: str, entry: str) -> None:
    """Choose an entry of a server's menu."""
    server(page, name).click()
    page.get_by_role("menuitem", name=entry).click()


def serious(page: Any, context: Any = None) -> list[str]:
    """What keeps people from reading a page, by axe's rules: the rule, and the first of the elements."""
    found = Axe().run(page, context).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in SERIOUS]


def fits(page: Any) -> None:
    """Wait until the page is no wider than its window: it is laid out anew some time after the window has its size."""
    wider = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    wait_for(f"the page to fit {page.viewport_size}", lambda: page.evaluate(wider) == 0)


def rate(line: Any) -> float:
    """The throughput that the dashboard shows, as its picture says in words."""
    word = line.first.get_attribute("aria-label").rpartition(" ")[2]
    return 0.0 if word == "unknown" else float(word)


def test_a_chapter_runs_by_run_all(lab: Lab) -> None:
    name = "02_architecture.ipynb"
    lab.open(name)
    lab.run_all()
    notebook = lab.saved(name)
    assert errors(notebook) == []
    assert [cell.source for cell in notebook.cells if cell.cell_type == "code" and not cell.execution_count] == []
    lab.page.locator(".living").last.scroll_into_view_if_needed()
    lab.picture("architecture")


def test_the_libraries_are_compared_side_by_side(lab: Lab) -> None:
    write(lab.folder / "compared.ipynb", ["import faafo_lab", "faafo_lab.compare('create_server')"])
    lab.open("compared.ipynb")
    lab.run_all()
    columns = lab.page.locator(".faafo-compare th").all()
    tops = {column.bounding_box()["y"] for column in columns}
    assert (len(columns), len(tops)) == (len(BACKENDS), 1)
