"""Pictures: they are drawn, they say in words what they show, and nothing in them overlaps."""

import html
import io
import itertools
import os
import subprocess
import sys
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from nbconvert import HTMLExporter
from PIL import Image

from faafo_lab import load, plots
from faafo_lab.autoscale import Run, Sample
from faafo_lab.chaos import Journal
from faafo_lab.gameday import Objective, Order, Survival
from faafo_lab.history import Event, History, HistoryError
from faafo_lab.load import Done, Lost, Timeline
from faafo_lab.load.rows import Request, Rows
from faafo_lab.plots import usl
from faafo_lab.plots.events import mark_events
from faafo_lab.plots.outcomes import BIN_SECONDS
from faafo_lab.plots.over_time import _lanes, looks_of
from faafo_lab.plots.picture import HEIGHT_INCHES, WIDTH_INCHES, new_figure

EVENTS = [(2.0, "worker 1 deleted"), (2.2, "API 2 deleted"), (2.3, "API 2 is back"), (9.8, "all of them are done")]


@pytest.fixture
def timeline() -> Timeline:
    """Two workers, ten seconds: one makes a fractal a second, the other two, and stops halfway."""
    done = [Done(f"a{n}", n + 1.0, "app-worker-1", 0.9) for n in range(10)]
    done += [Done(f"b{n}", n / 2 + 0.5, "app-worker-10", 0.25) for n in range(10)]
    return Timeline({item.uuid: item for item in done}, list(EVENTS))


def rows(*latencies: float, failed: int = 0) -> Rows:
    fine = [Request(n, latency, 200, "app-api-1") for n, latency in enumerate(latencies)]
    return Rows(fine + [Request(0, 0.001, 503, "app-api-1")] * failed)


def check(picture: plots.Picture) -> Image.Image:
    """A picture with a white ground, its words, and a table as long as its data."""
    image = Image.open(io.BytesIO(picture.png))
    assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    assert repr(picture) == picture.alt
    data, metadata = picture._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == picture.alt
    assert len(picture.table().splitlines()) == len(picture.rows) + 4
    return image


DRAW = """
from faafo_lab import load, plots
from faafo_lab.load import Done, Lost, Timeline
from faafo_lab.load.rows import Request, Rows
done = {f"a{n}": Done(f"a{n}", n + 1.0, "app-worker-1", 0.9) for n in range(10)}
timeline = Timeline(done, [(2.0, "worker 1 deleted")])
pictures = [
    plots.throughput(timeline, [("all", 0, 10)]),
    plots.gantt(timeline, 0, 10),
    plots.latency({"now": Rows([Request(n, n / 10, 200, "app-api-1") for n in range(10)])}),
    plots.scaling([(1, 0.75), (2, 1.4)]),
]
import hashlib, matplotlib
print([hashlib.sha256(picture.png).hexdigest() for picture in pictures], matplotlib.rcParams["text.usetex"])
"""


def drawn_with(home: Path, settings: str, **environment: str) -> str:
    """What DRAW prints in a process of its own, whose user has these settings of matplotlib's."""
    (home / "matplotlibrc").write_text(settings)
    environ = {**os.environ, "MATPLOTLIBRC": str(home / "matplotlibrc"), **environment}
    done = subprocess.run([sys.executable, "-c", DRAW], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_users_settings_of_matplotlib_change_no_picture_and_stay_theirs(tmp_path: Path) -> None:
    plain = drawn_with(tmp_path, "")
    odd = "text.usetex: True\npath.effects: [x]\nimage.cmap: nope\nfont.size: 30\nsavefig.bbox: tight\n"
    assert drawn_with(tmp_path, odd, MPLBACKEND="nonsense") == plain.replace("False", "True")


def test_throughput_names_rates_workers_and_events(timeline: Timeline) -> None:
    picture = plots.throughput(timeline, [("first half", 0, 5), ("second half", 5.1, 10)])
    check(picture)
    assert "first half: 3.1 fractals/s by app-worker-1, app-worker-10 (worker 1 deleted at 2 s" in picture.alt
    assert "second half: 1.0 fractals/s by app-worker-1 (all of them are done at 5 s)" in picture.alt
    assert {row[0] for row in picture.rows} == {"first half", "second half"}


def test_gantt_says_how_much_each_worker_made_and_how_busy_it_was(timeline: Timeline) -> None:
    picture = plots.gantt(timeline, 0, 10)
    check(picture)
    assert "app-worker-1 made 10 and was busy 90 % of the time" in picture.alt
    assert "app-worker-10 made 10 and was busy 25 % of the time" in picture.alt
    assert "API 2 is back at 2 s" in picture.alt
    assert ("app-worker-1", "a0", 0.1, 1.0) in picture.rows


def test_tasks_that_overlap_get_rows_of_their_own() -> None:
    one = [Done("a", 1.0, "w", 1.0), Done("b", 1.98, "w", 1.0), Done("c", 3.0, "w", 1.0)]  # 0.02 s: the API's delay
    assert [len(lane) for lane in _lanes(one)] == [3]
    assert [len(lane) for lane in _lanes([*one, Done("d", 2.5, "w", 2.0)])] == [3, 1]


def test_latency_names_the_percentiles_of_each_run_and_its_failures() -> None:
    before = rows(*(0.1 + n / 1000 for n in range(98)), failed=2)
    picture = plots.latency({"before": before, "after": rows(*(0.01 + n / 10000 for n in range(100)))})
    check(picture)
    assert "before: 100 requests, 2 failed, p50 149 ms, p95 194 ms; after" in picture.alt
    assert "after: 100 requests, 0 failed, p50 15 ms, p95 19 ms, p99 20 ms" in picture.alt
    assert ("after", "p50", 14.9) in picture.rows
    assert not [row for row in picture.rows if row[:2] == ("before", "p99")]


def test_outcomes_say_who_answered_what_failed_and_when() -> None:
    def row(number: int, dead: bool) -> Request:
        fails = dead and number % 2 == 0 and number >= 10
        status, api = (None, "http://192.0.2.1") if fails else (200, f"app-api-{number % 2 + 1}")
        return Request(1000 + number / 10, 0.01, status, api)

    groups = {name: Rows(row(number, name == "turns") for number in range(20)) for name in ("turns", "balanced")}
    picture = plots.outcomes(groups, [(1001.0, "app-api-1 deleted"), (2000.0, "much later")])
    check(picture)
    assert "turns: app-api-1 answered 5, app-api-2 answered 10, 5 failed from 1.0 to 1.8 s" in picture.alt
    assert "balanced: app-api-1 answered 10, app-api-2 answered 10." in picture.alt
    assert picture.alt.endswith("Events: app-api-1 deleted at 1.0 s.")
    drawn = {(run, name): 0.0 for run, _, name, _ in picture.rows}
    for run, _, name, rate in picture.rows:
        drawn[run, name] += rate * BIN_SECONDS
    assert drawn["turns", "failed"] == 5, "the bars' area is the number of requests"
    assert plots.outcomes({}).alt.endswith("No run was given: there is nothing to show.")


def test_scaling_draws_prediction_ideal_and_law_and_names_its_limits() -> None:
    law = usl.Law(0.75, 0.05, 0.02)
    picture = plots.scaling([(n, law(n)) for n in (1, 2, 3, 4)], prediction={1: 0.75, 4: 3.0})
    check(picture)
    assert "predicted 0.75 with 1, 3.00 with 4" in picture.alt
    assert "σ = 0.050, κ = 0.0200, from too few measurements to tell more" in picture.alt
    assert picture.rows[3] == (4, 3.0, round(law(4), 3), 3.0, round(law(4), 3))


def test_scaling_says_how_certain_it_is_and_leaves_out_what_the_host_had_no_cpu_for() -> None:
    law = usl.Law(4.0, 0.05, 0.02)
    rates = {n: [law(n) * factor for factor in (0.99, 1.0, 1.01)] for n in (1, 2, 3, 5)}
    short = load.Measured(8, (3.0, 3.1, 3.2), 0.0, 1.0, idle_cores=0.01, cores=2)
    picture = plots.scaling({**rates, 8: short}, prediction={1: 4.0, 5: ...})
    check(picture)
    assert "5.00 (4.95 to 5.05)" not in picture.alt
    assert "3.10 (3.00 to 3.20) with 8" in picture.alt
    assert "with 8 workers the host was short of CPU: left out of the law" in picture.alt
    certain = usl.certainty((n, rate) for n, each in rates.items() for rate in each)
    assert certain.contention is not None
    assert certain.coherency is not None
    assert certain.contention[0] <= 0.05 <= certain.contention[1]
    assert certain.coherency[0] <= 0.02 <= certain.coherency[1]
    assert certain.tells
    assert str(certain).replace("\n", " ") in picture.alt
    assert "predicted 4.00 with 1;" in picture.alt
    line = {n: [4.0 * n * factor for factor in (0.97, 1.0, 1.03)] for n in (1, 2, 3)}
    assert "no bend shows beyond the noise" in plots.scaling(line).alt


def test_the_area_of_the_bars_is_the_number_made(timeline: Timeline) -> None:
    picture = plots.throughput(timeline, [("odd", 0.3, 7.7)])
    assert sum(row[3] for row in picture.rows) == len(timeline.between(0.3, 7.7))
    assert timeline.interval(0.3, 7.7) == (0.5, 7.0)


def test_gantt_shows_a_lost_attempt_and_who_made_the_task_then() -> None:
    lost = Done("a", 9.0, "app-worker-1", 3.0, (Lost("app-worker-2", 1.0, 5.0),))
    picture = plots.gantt([lost, Done("b", 3.0, "app-worker-1", 2.0)], 0, 10)
    check(picture)
    assert "app-worker-2 began a task at 1 s and lost it, its lease was over at 5 s" in picture.alt
    assert "app-worker-1 made it by 9 s" in picture.alt


def test_a_prediction_is_drawn_before_anything_is_measured() -> None:
    picture = plots.scaling({}, prediction=lambda workers: 0.7 * workers)
    check(picture)
    assert "predicted 0.70 with 1" in picture.alt
    assert [row[2:] for row in picture.rows] == [("", "", "")] * 4


def test_answers_count_each_apis_successes_and_name_its_failures() -> None:
    picture = plots.answers({"app-api-1": [200, 404, None], "app-api-2": [404, 200, 200]})
    check(picture)
    assert "app-api-1: 1 of 3 succeeded (1 × 404, 1 × no answer); app-api-2: 2 of 3 succeeded (1 × 404)" in picture.alt
    assert ("app-api-1", 3, "no answer") in picture.rows


def test_places_tell_moments_apart_and_what_is_nowhere() -> None:
    first = {"a": "file://app-api-1", "b": "file://app-api-2"}
    picture = plots.places({"first": first, "moved": {"a": None, "b": "swift://faafo-images"}, "gone": {}})
    check(picture)
    assert "first: 1 at file://app-api-1, 1 at file://app-api-2; moved: 1 at swift://faafo-images" in picture.alt
    assert "1 nowhere; gone: no picture." in picture.alt
    assert ("moved", "a", "nowhere") in picture.rows


def test_survival_shows_waves_faults_and_deeds_late_orders_and_what_is_left_of_the_budget() -> None:
    journal, wave, fault = Journal("survival, seed 7", started=100.0), "wave 1: 1 orders per second; kill", "a fault"
    journal.note(wave, 100.0)
    journal.note(fault, 103.0)
    journal.note(f"undone: {fault}", 105.0, ends=fault)
    journal.note("1 → 2 workers", 104.0)
    journal.note("wave 1 is over", 110.0, ends=wave)
    orders = [Order(100.0 + n, 1.0) for n in range(8)] + [Order(102.0, 12.0), Order(103.0, None)]
    picture = plots.survival(Survival(7, Objective(share=0.8, seconds=5), orders, 0.5, journal))
    check(picture)
    assert f"{wave} (0 to 10 s); a fault (3 to 5 s); 1 → 2 workers (at 4 s)." in picture.alt
    assert "8 of 10 orders done within 5 s, 0.5 server-minutes, 100 % of the error budget burnt" in picture.alt
    assert [row[1:] for row in picture.rows if row[0] == "error budget left (%)"] == [(0, 100), (7, 50), (8, 0)]
    assert ("an order", 2.0, 14.0) in picture.rows
    assert ("an order", 3.0, "never") in picture.rows
    assert ("a fault", 3.0, 5.0) in picture.rows
    for number in range(40):
        journal.note(f"deed {number}", 106.0)
    check(plots.survival(Survival(7, Objective(), orders, 0.5, journal)))  # more than there are lanes


def test_pictures_of_nothing_are_drawn_too() -> None:
    for picture in (
        plots.throughput(Timeline(), [("quiet", 0, 3)]),
        plots.gantt([]),
        plots.latency({"nobody asked": rows(), "all failed": rows(failed=3)}),
        plots.throughput(Timeline(), []),
        plots.latency({}),
        plots.scaling({}),
        plots.answers({}),
        plots.places({}),
        plots.places({"now": {}}),
        plots.survival(Survival(1, Objective(), [], 0.0, Journal("nothing"))),
    ):
        check(picture)
    assert plots.throughput(Timeline(), []).alt.endswith("No phase was given: there is nothing to show.")
    assert plots.latency({}).alt.endswith("No run was given: there is nothing to show.")
    assert plots.scaling({}).alt.endswith("nothing was measured or predicted yet.")
    assert plots.gantt([]).alt.endswith("Nothing was finished.")


def test_a_picture_is_saved_as_it_is_shown(tmp_path: Path) -> None:
    picture = plots.scaling({1: 1.0})
    assert picture.save(tmp_path / "picture.png").read_bytes() == picture.png


def test_labels_of_events_overlap_neither_each_other_nor_the_data() -> None:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axis = figure.subplots()
    axis.set_xlim(0, 10)
    axis.set_ylim(0, 8)
    mark_events(figure, [(axis, EVENTS)])
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [
        child.get_window_extent(canvas.get_renderer()) for child in axis.get_children() if isinstance(child, Annotation)
    ]
    assert len(boxes) == len(EVENTS)
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert min(box.y0 for box in boxes) >= axis.transData.transform((0, 8))[1] - 1
    assert max(box.x1 for box in boxes) <= figure.bbox.x1


def test_more_workers_than_colours_still_look_different() -> None:
    looks = looks_of([f"app-worker-{number}" for number in range(20)])
    assert len({(look["facecolor"], look["hatch"]) for look in looks.values()}) == 20


def exported(shown: plots.Picture, theme: str = "light") -> str:
    """The page that nbconvert makes of a notebook with this one output."""
    data, metadata = DisplayFormatter().format(shown)
    bundle = {kind: b64encode(each).decode() if isinstance(each, bytes) else each for kind, each in data.items()}
    output = nbformat.v4.new_output("display_data", bundle, metadata=metadata)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("shown", outputs=[output])])
    return str(HTMLExporter(theme=theme).from_notebook_node(notebook)[0])


def test_alt_text_survives_the_export_to_html(timeline: Timeline) -> None:
    pictures = [
        plots.throughput(timeline, [("all", 0, 10)]),
        plots.gantt(timeline, 0, 10),
        plots.latency({"a < b": rows(0.1, 0.2)}),
        plots.scaling({1: 1.0, 2: 1.9}),
        plots.bottleneck({("read", 1, 1): 250.0}),
        plots.autoscaling(
            Run((Sample(at=0.0, waiting=1, oldest_waiting_seconds=0.5, wanted=1, requested=1, workers=1),), 1, 6)
        ),
    ]
    for shown in pictures:
        page = exported(shown)
        assert f'alt="{shown.alt}"' in html.unescape(page)
        assert "No description" not in page
    dark = exported(pictures[0], "dark")
    assert 'data-jp-theme-light="false"' in dark  # what the picture's style for dark pages looks for
    assert "[data-jp-theme-light=false] img.faafo-plot" in dark
    assert 'class="faafo-plot"' in dark


def test_a_host_without_cpu_to_spare_says_nothing_of_the_ideal_or_the_law() -> None:
    short = [load.Measured(n, (3.0, 3.1), 0.0, 1.0, idle_cores=0.01, cores=2) for n in (1, 2)]
    picture = plots.scaling({each.workers: each for each in short})
    check(picture)
    assert "no law: it takes two numbers of workers, measured with CPU to spare" in picture.alt
    assert [row[3:] for row in picture.rows] == [("", ""), ("", "")]
    assert plots.scaling([(1, short[0]), (2, 6.0)]).rows[1][3] == 6.0
    assert "with 1 worker the host was short" in plots.scaling({1: short[0]}).alt


def test_the_bottleneck_shows_what_gained_and_what_did_not() -> None:
    read = {("read", 1, 1): 250.0, ("read", 2, 1): 510.0, ("read", 1, 3): 240.0, ("read", 2, 3): 500.0}
    compute = {("compute", 1, 1): 4.0, ("compute", 2, 1): 4.1, ("compute", 1, 3): 12.0}
    picture = plots.bottleneck({**read, **compute}, prediction={("read", 2, 1): 500, ("compute", 2, 3): ...})
    check(picture)
    assert "240 with 1 API and 3 workers (gains nothing), 510 with 2 APIs and 1 worker (predicted 500)" in picture.alt
    assert "12 with 1 API and 3 workers, 4.1 with 2 APIs and 1 worker (gains nothing)" in picture.alt
    assert ("read", 2, 1, 500.0, 510.0) in picture.rows
    check(plots.bottleneck({}, ...))


@pytest.mark.parametrize("guess", [500, 520, 540, 560])
def test_a_prediction_hides_no_number_of_the_bottleneck(guess: float, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    monkeypatch.setattr(sys.modules["faafo_lab.plots.bottleneck"], "new_figure", lambda *_: figure)
    cells = {("read", 1, 1): 250.0, ("read", 2, 1): 510.0, ("read", 1, 3): 500.0, ("read", 2, 3): 505.0}
    plots.bottleneck(cells, prediction=dict.fromkeys(list(cells)[1:], guess))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    axis = figure.axes[0]
    [marks] = axis.lines
    half = marks.get_markersize() * figure.dpi / 72 / 2  # pixels
    middles = axis.transData.transform(marks.get_xydata())
    for number in (text for text in axis.texts if isinstance(text, Annotation)):
        box = number.get_window_extent(renderer)
        assert not any(box.x0 - half < x < box.x1 + half and box.y0 - half < y < box.y1 + half for x, y in middles), (
            f"a mark hides {number.get_text()!r}"
        )


def test_a_surges_tries_requests_and_answers_are_lines() -> None:
    tried = tuple(load.Try(2.0 + n / 4, 0.2, None, "a", "timed out") for n in range(4))
    rows = Rows([Request(1.0, 0.1, 200, "a"), Request(2.0, 1.0, None, "a", "timed out", tried=tried)])
    surge = load.Surge(rows, 1.0, 1.8, 2.5)
    picture = plots.storm({"eager": surge})
    totals = {
        line: sum(row[3] for row in picture.rows if row[1] == line) for line in ("tries", "requests", "succeeded")
    }
    assert totals == {"tries": 10.0, "requests": 4.0, "succeeded": 2.0}
    assert "2.50 tries for each request" in picture.alt


def test_the_life_of_an_order_names_each_stay_and_what_clients_saw() -> None:
    def said(at: float, what: str, worker: str = "") -> Event:
        return Event(at, what, "b59c", who=worker, generation=1, clock="application")

    events = [Event(0, "order", "b59c", 1.5), Event(1.6, "order", "b59c", 1.7, "app-api-2", 200)]
    events += [said(0.1, "accepted"), said(0.2, "queued"), said(0.3, "leased", "app-worker-1")]
    events += [said(2.3, "renewed", "app-worker-1"), said(12, "lost", "app-worker-1"), said(12.5, "queued")]
    events += [said(13, "leased", "app-worker-2"), said(16, "done", "app-worker-2"), said(17, "late", "app-worker-1")]
    picture = plots.life(History([*events, Event(18, "made", "b59c", 18.3)]), "b59c")
    check(picture)
    for words in (
        "Clients: ordered: no answer at 0.00 s, ordered: 200 at 1.60 s, seen made at 18.00 s",
        "app-worker-1 from 0.30 to 12.00 s (lost: lease over); outbox from 12.00 to 12.50 s; queue from 12.50 to 13.00",
        "app-worker-2 from 13.00 to 16.00 s (done); app-worker-1 from 17.00 to 17.00 s (too late: dropped)",
    ):
        assert words in picture.alt
    assert [row[0] for row in picture.rows][:5] == ["clients", "clients", "clients", "outbox", "queue"]
    check(plots.life(History(events[:1]), "b59c"))
    with pytest.raises(HistoryError, match="has no order 'x'"):
        plots.life(History(events), "x")


def test_an_accident_shows_what_only_the_log_has() -> None:
    def moment(second: float) -> datetime:
        return datetime.fromtimestamp(1_800_000_000 + second, UTC)

    arrivals = [moment(second) for second in (0, 1, 2, 11, 12)]
    picture = plots.recovery(arrivals, moment(10), moment(20), moment(30), 5)
    check(picture)
    assert "3 when the backup was made, 5 at 20.0 s" in picture.alt
    assert "5 again at 30.0 s. 2 of them were only in the log" in picture.alt
    assert picture.rows[-4:-1] == [(20.0, 0), (30.0, 0), (30.0, 5)]
    check(plots.recovery([], moment(10), moment(20), moment(30), 0))
