"""Recordings as a page, in headless Chromium: from a file, for everybody, beside others, and where no script runs.

Screenshots go to `build/`. Skipped where no Chromium is installed.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, Page

from faafo_lab.living import page
from faafo_lab.living.recording import Recording
from faafo_lab.workbook import BUILD, PAGES
from tests.chromium import chromium, needs_chromium
from tests.living import synthetic
from tests.test_browser import EFFECT_LIMIT_SECONDS, LOOK_SECONDS, fits, serious

pytestmark = [
    pytest.mark.long,
    needs_chromium,
    pytest.mark.timeout(300),
]

SIZES = [(1200, 900), (800, 900), (400, 800)]
MOVED = "place => place.shown && place.shown.player.state().t > 0.5 && place.shown.player.state().frames > 10"
STATE = "place => place.shown.player.state()"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    BUILD.mkdir(exist_ok=True)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of one recording."""
    path = tmp_path_factory.mktemp("page") / "small.html"
    path.write_text(page.page([synthetic.pane(synthetic.small())], "A worker dies"), encoding="utf-8")
    return path


@contextmanager
def opened(browser: Browser, path: Path, **context: Any) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what it complained about: errors in its console, and all that it asked others for."""
    complaints: list[str] = []

    def failed(error: Any) -> None:
        complaints.append(f"error: {error}")

    def said(message: Any) -> None:
        if message.type == "error":
            complaints.append(f"console: {message.text}")

    def requested(request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            complaints.append(f"request: {request.url}")

    with browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **context}) as made:
        tab = made.new_page()
        tab.set_default_timeout(EFFECT_LIMIT_SECONDS * 1000)
        tab.on("request", requested)
        tab.on("pageerror", failed)
        tab.on("console", said)
        tab.goto(path.as_uri())
        yield tab, complaints


@contextmanager
def moving(browser: Browser, path: Path, **context: Any) -> Iterator[tuple[Page, Any]]:
    """A page whose picture moves; nothing may be wrong at the end."""
    with opened(browser, path, **context) as (tab, complaints):
        tab.wait_for_function(f"() => ({MOVED})(document.querySelector('.faafo-recording'))")
        yield tab, tab.locator(".faafo-recording").first
        assert complaints == []


def state(place: Any) -> dict[str, Any]:
    """What the player of this recording says."""
    found: dict[str, Any] = place.evaluate(STATE)
    return found


def wait_until(place: Any, condition: str) -> None:
    """Wait until this holds of the player's state (`state`), in JavaScript."""
    place.page.wait_for_function(
        f"place => {{ const state = place.shown.player.state(); return {condition}; }}", arg=place.element_handle()
    )


def in_notebook(*outputs: str) -> Any:
    """A notebook whose cells have these outputs."""
    cells = []
    for number, html in enumerate(outputs, 1):
        output = nbformat.v4.new_output("display_data", {"text/html": html, "text/plain": "a recording"})
        cells.append(nbformat.v4.new_code_cell(f"show({number})", outputs=[output], execution_count=number))
    return nbformat.v4.new_notebook(cells=cells)


def exported(notebook: Any, folder: Path) -> Path:
    """The notebook as nbconvert writes it for browsers."""
    nbformat.write(notebook, folder / "book.ipynb")
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", str(folder / "book.ipynb")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "book.html"


def test_a_page_plays_from_a_file_and_asks_nobody(browser: Browser, small: Path) -> None:
    with moving(browser, small) as (tab, place):
        assert tab.locator(".faafo-still").count() == 0
        wait_until(place, "state.t > 1.5")
        tab.screenshot(path=BUILD / "page.png")


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.html")), ids=lambda path: path.stem)
def test_a_page_that_the_readme_links_to_plays_from_a_file(browser: Browser, path: Path) -> None:
    with moving(browser, path) as (tab, place):
        wait_until(place, "state.dots + state.flows > 0")
        tab.screenshot(path=BUILD / f"docs-{path.stem}.png")


def test_without_scripts_the_still_and_words_are_there(browser: Browser, small: Path) -> None:
    with opened(browser, small, java_script_enabled=False) as (tab, complaints):
        picture = tab.get_by_alt_text("The application: 2 API servers, 3 workers")
        picture.wait_for()
        tab.get_by_alt_text("Fractals per second").wait_for()
        tab.get_by_text("12.0 s: app-worker-2 was killed").wait_for()
        tab.get_by_text("It moves where the browser runs scripts.").wait_for()
        tab.screenshot(path=BUILD / "page-still.png", full_page=True)
        assert complaints == []


def test_where_the_browser_cannot_unpack_it_the_still_stays_and_says_why(browser: Browser, small: Path) -> None:
    with browser.new_context() as context:
        tab = context.new_page()
        tab.add_init_script("delete window.DecompressionStream")
        tab.goto(small.as_uri())
        tab.get_by_text("This browser cannot play the recording").wait_for()
        tab.get_by_alt_text("The application: 2 API servers, 3 workers").wait_for()


def test_fragments_of_an_exported_notebook_move_and_leave_each_other_alone(browser: Browser, tmp_path: Path) -> None:
    fragments = [page.fragment([synthetic.pane(synthetic.small(), title)], title) for title in ("One", "Two")]
    path = exported(in_notebook(*fragments), tmp_path)
    with opened(browser, path, offline=True, viewport={"width": 1200, "height": 2400}) as (tab, complaints):
        tab.wait_for_function(f"() => [...document.querySelectorAll('.faafo-recording')].every({MOVED})")
        one, two = tab.locator(".faafo-recording").all()
        tiles = one.locator(".living-tiles > div:visible").all()
        tops = {tile.bounding_box()["y"] for tile in tiles}
        assert len(tops) == 1, "its counts are side by side: the styles of notebooks leave them alone"
        one.evaluate("place => place.shown.player.pause()")
        paused = state(one)
        wait_until(two, f"state.t > {state(two)['t'] + 1}")
        assert state(one)["t"] == paused["t"]
        assert state(two)["playing"]
        tab.screenshot(path=BUILD / "page-exported.png", full_page=True)
        ours = [said for said in complaints if said.startswith("error")]  # the template asks for fonts and formulas
        assert ours == []


def test_several_recordings_are_side_by_side_and_share_one_player(browser: Browser, tmp_path: Path) -> None:
    panes = [synthetic.pane(synthetic.small(), title) for title in ("Round robin", "Weights", "Sticky")]
    path = tmp_path / "three.html"
    path.write_text(page.page(panes, "Three algorithms"), encoding="utf-8")
    with moving(browser, path) as (tab, _):
        for title in ("Round robin", "Weights", "Sticky"):
            tab.get_by_text(title, exact=True).first.wait_for()
        tab.screenshot(path=BUILD / "page-three.png", full_page=True)


def test_it_is_paused_stepped_and_slowed_down_by_keyboard(browser: Browser, small: Path) -> None:
    with moving(browser, small) as (tab, place):
        tab.keyboard.press("Tab")
        assert tab.evaluate("() => document.activeElement.textContent") == "Pause"
        tab.keyboard.press("Enter")
        assert not state(place)["playing"]
        before = state(place)["t"]
        tab.keyboard.press(".")
        assert before < state(place)["t"] < before + 5.0
        steps = [state(place)["t"]]
        for _ in range(10):
            tab.keyboard.press(".")
            steps.append(state(place)["t"])
        assert steps == sorted(set(steps)), "each step goes on"
        for _ in range(5):
            tab.keyboard.press("-")
        assert state(place)["speed"] == 0.1
        tab.keyboard.press("Enter")
        assert state(place)["playing"]
        clock, t = tab.evaluate("() => performance.now()"), state(place)["t"]
        wait_until(place, f"state.t > {t + 0.15}")
        passed = (tab.evaluate("() => performance.now()") - clock) / 1000
        assert state(place)["t"] - t < 0.2 * passed, "a tenth of the time passes"


def test_a_cut_recording_begins_at_its_cut(browser: Browser, tmp_path: Path) -> None:
    end = synthetic.START + synthetic.SMALL_SECONDS
    whole = Recording(synthetic.small(), start=synthetic.START, end=end, title="A worker dies")
    cut = whole.cut(13.0, 20.0)
    assert min(event["t"] for event in cut.events) < cut.start, "tasks in flight are older"
    path = tmp_path / "cut.html"
    path.write_text(page.page([{"title": "The lease", "events": cut.events}], "The lease"), encoding="utf-8")
    with moving(browser, path) as (_, place):
        place.evaluate("place => { place.shown.player.pause(); place.shown.player.seek(0.05); }")
        found = state(place)
        assert len(found["scene"]["servers"]) == 6
        assert found["end"] < 10.0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_it_can_be_read_by_everybody_at_every_width(browser: Browser, small: Path, scheme: str, motion: str) -> None:
    with opened(browser, small, color_scheme=scheme, reduced_motion=motion) as (tab, complaints):
        tab.wait_for_function("() => document.querySelector('.faafo-recording').shown")
        place = tab.locator(".faafo-recording")
        place.evaluate("place => { place.shown.player.pause(); place.shown.player.seek(12.7); }")
        for width, height in SIZES:
            tab.set_viewport_size({"width": width, "height": height})
            tab.wait_for_timeout(LOOK_SECONDS * 1000)  # for what follows the size
            tab.screenshot(path=BUILD / f"page-{width}-{scheme}-{motion}.png", full_page=True)
            fits(tab)
            assert serious(tab) == [], f"at {width} pixels"
        assert complaints == []


def test_where_less_motion_is_preferred_nothing_moves_and_the_counts_go_on(browser: Browser, small: Path) -> None:
    with opened(browser, small, reduced_motion="reduce") as (tab, _):
        tab.wait_for_function("() => document.querySelector('.faafo-recording').shown")
        place = tab.locator(".faafo-recording")
        wait_until(place, "state.t > 3")
        found = state(place)
        assert found["dots"] == 0
        assert found["frames"] < 20, "about one picture a second"


def test_without_scripts_nothing_overflows_either(browser: Browser, small: Path) -> None:
    for scheme in ("light", "dark"):
        with opened(browser, small, java_script_enabled=False, color_scheme=scheme) as (tab, _):
            for width, height in SIZES:
                tab.set_viewport_size({"width": width, "height": height})
                fits(tab)
            tab.screenshot(path=BUILD / f"page-still-phone-{scheme}.png", full_page=True)
