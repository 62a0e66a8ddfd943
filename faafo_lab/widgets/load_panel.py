"""Send requests to the application's APIs, in an open or a closed loop, and see how long each takes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import ipywidgets

from faafo_lab.living.still import BLUE
from faafo_lab.load import HEIGHT_PIXELS, WIDTH_PIXELS, Load, LoadError, workers_of
from faafo_lab.load.rows import Rows, human
from faafo_lab.load.runner import Run
from faafo_lab.tables import scrolling
from faafo_lab.topology import Topology, TopologyError, in_thread
from faafo_lab.widgets.panel import FAINT, LABEL, TEXT, Closed, Job, Panel, button, row

LOOK_PAUSE_SECONDS = 0.5
WORKERS_LIMIT_SECONDS = 120.0  # how long after a run its fractals' makers are asked for
WORKERS_PAUSE_SECONDS = 2.0
LIST = "list"
MEASURES = (("latency", "from when it was due"), ("service_time", "from when it was sent"))
SIZES = (
    ("read the list of fractals", LIST),
    ("order small fractals, 320 × 200", (320, 200)),
    (f"order fractals, {WIDTH_PIXELS} × {HEIGHT_PIXELS}", (WIDTH_PIXELS, HEIGHT_PIXELS)),
    (f"order large fractals, {2 * WIDTH_PIXELS} × {2 * HEIGHT_PIXELS}", (2 * WIDTH_PIXELS, 2 * HEIGHT_PIXELS)),
)


class LoadPanel(Panel):
    """See `widgets.load_panel`. `rows`: the requests of the last run, also while it runs (`running`)."""

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology.cloud.name)
        self._topology = topology
        self._run: Run | None = None
        self._starting = threading.Lock()
        self.running = False
        self.rows = Rows()
        self._loop = ipywidgets.ToggleButtons(
            options=[("closed loop", "closed"), ("open loop", "open")],
            tooltips=["each client waits for its answer, then sends the next", "requests come by the clock"],
            style={"button_width": "110px"},
        )
        narrow = {"width": "170px"}
        self._at_once = ipywidgets.IntText(value=4, description="clients", layout=narrow)
        self._rate = ipywidgets.FloatText(value=20, description="rate (1/s)", layout=narrow)
        self._number = ipywidgets.IntText(value=200, description="how many", layout=narrow)
        self._size = ipywidgets.Dropdown(options=SIZES, description="request", style=LABEL, layout={"width": "310px"})
        self._start_button = button("Start", "play", self.start, style="primary")
        self._stop_button = button("Stop", "stop", self.stop)
        self._stop_button.disabled = True
        self._bar = ipywidgets.IntProgress(value=0, max=1, layout={"width": "200px"}, style={"bar_color": BLUE})
        self._results = ipywidgets.HTML()
        self._loop.observe(lambda _: self._suit_loop(), "value")
        self._suit_loop()
        self._show()
        self._open(
            ipywidgets.VBox(
                [
                    row(self._loop, self._size),
                    row(self._at_once, self._rate, self._number),
                    row(
                        self._start_button,
                        self._stop_button,
                        self._bar,
                        button("Save as CSV", "download", self._save, "Write every request to a file"),
                        self._close_button,
                    ),
                    self._log,
                    self._results,
                ]
            )
        )

    def start(self) -> None:
        """Start a run with the values that are set; `rows` fill as answers come. Returns at once.

        Invalid values end the run with a sentence that names the wrong one.
        """
        with self._starting:
            if self.running or self.closed:
                return
            self.running = True
        self._start_button.disabled = True

        def work(job: Job) -> str:
            try:
                load = self._load()
                job.what = str(load)
                app = in_thread(self._topology).refresh()
                with load.start(app.endpoints) as run:
                    self._run, self._stop_button.disabled = run, False
                    self._bar.max = load.requests
                    while run.running and not self._stop.wait(LOOK_PAUSE_SECONDS):
                        self._look(run, job)
                self._look(run, job)
                if self.closed:
                    raise Closed
                if load.size is not None:
                    self._in_background(
                        lambda: self._find_workers(self.rows, app.endpoint), "which worker made which fractal"
                    )
                return self.rows.note or "finished"
            finally:
                self._run, self.running = None, False
                self._start_button.disabled, self._stop_button.disabled = self.closed, True

        self._act("start", work)

    def _load(self) -> Load:
        """The `Load` that the fields describe. Raises LoadError."""
        number = int(self._number.value)
        size = None if self._size.value == LIST else self._size.value
        if self._loop.value == "open":
            return Load(loop="open", rate=float(self._rate.value), number=number, size=size)
        return Load(at_once=int(self._at_once.value), number=number, size=size)

    def stop(self) -> None:
        """Stop the run; its rows stay. Returns at once."""
        if run := self._run:
            self._in_background(run.stop, "stop the load")

    def save(self, path: str | Path | None = None) -> Path:
        """Write the rows to this CSV file (default: a new one, named by the time); returns its path."""
        return self.rows.to_csv(path or time.strftime("load-%Y%m%d-%H%M%S.csv"))

    def _save(self) -> None:
        def work(job: Job) -> str:
            if not self.rows:
                raise LoadError("There is no request to save yet: start a run first.")
            return f"{len(self.rows)} rows in {self.save()}"

        self._act("save as CSV", work)

    def _look(self, run: Run, job: Job) -> None:
        self.rows = run.rows
        self._bar.value = len(self.rows)
        job.seen = f"{len(self.rows)} of {run.total} answered, {run.in_flight} in flight"
        self._show_jobs()
        self._show()

    def _find_workers(self, rows: Rows, endpoint: str) -> None:
        """Fill in the workers of the ordered fractals, as they are finished."""
        end = time.monotonic() + WORKERS_LIMIT_SECONDS
        while rows is self.rows and time.monotonic() < end:
            try:
                workers_of(rows, endpoint)
            except TopologyError:
                return  # the table then shows no worker
            self._show()
            if all(request.worker for request in rows if request.ok) or self._stop.wait(WORKERS_PAUSE_SECONDS):
                return

    def _suit_loop(self) -> None:
        """Show the values that the chosen loop has."""
        is_open = self._loop.value == "open"
        self._rate.layout.display = "" if is_open else "none"
        self._at_once.layout.display = "none" if is_open else ""

    def _show(self) -> None:
        self._results.value = self._results_html()

    def _results_html(self) -> str:
        """The summary by both clocks, and the first and last rows."""
        if not self.rows:
            return f'<p style="{TEXT};{FAINT}">No request was sent yet.</p>'
        head = "<th></th><th>p50</th><th>p95</th><th>p99</th><th>worst</th>"
        body = ""
        for measure, words in MEASURES:
            summary = self.rows.summary(measure)  # type: ignore[arg-type]
            times = (summary.p50, summary.p95, summary.p99, summary.worst)
            cells = "".join(f"<td>{human(seconds)}</td>" for seconds in times)
            body += f'<tr><td style="text-align:left">{measure.replace("_", " ")}, {words}</td>{cells}</tr>'
        tables = scrolling(body, f"<tr>{head}</tr>") + self.rows._repr_html_()
        tables = tables.replace("<table>", '<table style="margin-left:0">')  # JupyterLab centres them
        return f'<div class="jp-RenderedHTMLCommon" style="{TEXT};padding:0">{tables}</div>'

    def html(self) -> str:
        """The last run's summary and rows."""
        return f"<div>{self._jobs_html()}{self._results_html()}</div>"

    def __str__(self) -> str:
        if not self.rows:
            return "Load panel: no request was sent yet."
        return f"Load panel: {self.rows.summary()}" + (f" ({self.rows.note})" if self.rows.note else "")
