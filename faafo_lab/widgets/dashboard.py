"""The running application as a picture that moves, with what can be done to it in the picture's menus."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets

from faafo_lab import load
from faafo_lab.living import still
from faafo_lab.living.events import scene_at
from faafo_lab.living.moments import tasks_at
from faafo_lab.living.stream import Stream
from faafo_lab.topology import Moment, Topology, TopologyError, in_thread
from faafo_lab.widgets import actions
from faafo_lab.widgets.moving import Moving
from faafo_lab.widgets.panel import BANNER, FAINT, JOBS_STORED, LABEL, TEXT, Closed, Job, Panel, button, row

JOBS_PAUSE_SECONDS = 1.0  # between two looks at how long the jobs run already
ORDER_LOOK_PAUSE_SECONDS = 0.25
FRACTALS_MOST = 500  # at one press
ASKED_PIXELS = (320, 200)  # a small fractal: some hundredths of a second of a worker's time
WORDS_MOST = 60  # characters of what a page asks for, in an error

OnServer = Callable[[Topology, str], str]


class Dashboard(Panel):
    """See `widgets.dashboard`. `moment`: the application as last observed."""

    def __init__(self, topology: Topology) -> None:
        self._stream = Stream.of(topology)  # that of an older dashboard, with its last minutes, which closes next
        super().__init__(topology.cloud.name)
        self._topology = topology
        self._faults = actions.Faults()
        self._on_server: dict[str, Callable[[str], None]] = {
            "remove": self.remove,
            "delete": self.delete,
            "kill": self.kill,
            "freeze": self.freeze,
            "thaw": self.thaw,
            "drain": self.drain,
            "undrain": self.undrain,
        }
        self._moving = Moving(
            self._stream, label="The application", actions=["ask", "add", *self._on_server], act=self._asked
        )
        self._ends += [self._thaw_all, self._moving.end, self._stream.close]
        self._count = ipywidgets.IntText(value=30, description="number", style=LABEL, layout={"width": "140px"})
        more = row(
            button("Order fractals:", "paper-plane", lambda: self.order(self._count.value), style="primary"),
            self._count,
            self._close_button,
        )
        self._open(ipywidgets.VBox([self._moving, more]))
        self._in_background(self._follow_jobs, "dashboard")

    @property
    def moment(self) -> Moment:
        """The application as last observed."""
        return self._stream.moment

    # -- what the menus and buttons do -----------------------------------------------------------------------------

    def add(self, role: str) -> None:
        """Add a server of this role ("worker" or "api"), and wait until it serves. Returns at once."""

        def work(job: Job) -> str:
            name = in_thread(self._topology).add(role)
            job.what = f"add {name}"
            self._stream.look_closer()
            return f"{name} serves"

        self._act(f"add {_a(role)}", work, in_turn=True)

    def remove(self, name: str) -> None:
        """Remove this server, or the last one of this role; a worker finishes what it works on first. Returns at
        once."""

        def work(job: Job) -> str:
            server, words = actions.remove(in_thread(self._topology).refresh(), name)
            job.what = f"remove {server}"
            self._stream.look_closer()
            return words

        self._act(f"remove {_a(name)}", work, in_turn=True)

    def delete(self, name: str) -> None:
        """Delete this server without a drain: its in-flight tasks are lost and repeated. Returns at once."""
        self._do(f"delete {name} the hard way", actions.delete, name)

    def kill(self, name: str) -> None:
        """Cut this server's power: it boots again. Its in-flight tasks are lost and repeated. Returns at once."""
        self._do(f"kill {name}", actions.kill, name)

    def freeze(self, name: str) -> None:
        """Freeze this server: it does nothing until `thaw`, or until the panel is closed. Returns at once."""
        self._do(f"freeze {name}", self._faults.freeze, name)

    def thaw(self, name: str) -> None:
        """Let a frozen server go on. Returns at once."""
        self._do(f"thaw {name}", self._faults.thaw, name)

    def drain(self, name: str) -> None:
        """Let this worker finish what it works on and take no new tasks, or an API behind the load balancer get no new
        requests. Returns at once."""
        self._do(f"drain {name}", actions.drain, name)

    def undrain(self, name: str) -> None:
        """End a drain. Returns at once."""
        self._do(f"end the drain of {name}", actions.undrain, name)

    def ask(self) -> None:
        """Order one small fractal, as "you". Returns at once."""

        def work(job: Job) -> str:
            width, height = ASKED_PIXELS
            answer = self._stream.ask(next(load.new_tasks(width=width, height=height)))
            if answer.status is None:
                raise TopologyError(f"no answer ({answer.error}).")
            if answer.status >= 400:
                raise TopologyError(f"{answer.server} refuses it ({answer.status}).")
            return f"{answer.server} accepts it"

        self._act("ask for a fractal", work)

    def order(self, number: int) -> None:
        """Order so many new fractals, 1 to FRACTALS_MOST, from the APIs in turn. Returns at once."""

        def work(job: Job) -> str:
            if not 1 <= number <= FRACTALS_MOST:
                raise load.LoadError(f"Order 1 to {FRACTALS_MOST} fractals at a time, not {number}.")
            fractals = load.Load(number=number, size=(load.WIDTH_PIXELS, load.HEIGHT_PIXELS))
            with fractals.start(in_thread(self._topology).refresh().endpoints) as run:
                while run.running:
                    job.seen = f"{run.ended} of {number}"
                    self._show_jobs()
                    if self._stop.wait(ORDER_LOOK_PAUSE_SECONDS):
                        raise Closed
                accepted = sum(request.ok for request in run.rows)
            if accepted < number:
                raise TopologyError(f"{accepted} of {number} were accepted: {run.rows.summary()}")
            return f"all accepted within {run.elapsed:.1f} s"

        self._act(f"order {number} fractal{'s' * (number != 1)}", work)

    def _do(self, what: str, on_server: OnServer, name: str) -> None:
        """Do this to this server in the background."""

        def work(job: Job) -> str:
            try:
                return on_server(in_thread(self._topology).refresh(), name)
            finally:
                self._stream.look_closer()

        self._act(what, work)

    def _asked(self, message: Mapping[str, Any]) -> None:
        """A page's menu asks for something. Whatever it is, the answer is in the log."""
        what, role, server = (str(message.get(key) or "") for key in ("what", "role", "server"))
        if what == "ask":
            self.ask()
        elif what == "add":
            self.add(role[:WORDS_MOST])
        elif what in self._on_server:
            self._on_server[what](server[:WORDS_MOST])
        else:
            self._act(what[:WORDS_MOST] or "nothing", _refuse)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def _thaw_all(self) -> None:
        for problem in self._faults.undo():
            self.jobs.append(Job.over("✘", "thaw", problem))
        self._show_jobs()

    def _follow_jobs(self) -> None:
        """Say how long the jobs take, until the panel is closed."""
        while not self._stop.wait(JOBS_PAUSE_SECONDS):
            if any(job.running for job in tuple(self.jobs)):
                self._show_jobs()

    def _show_jobs(self) -> None:
        with self._drawing:  # or an older list could replace a newer one
            self._moving.jobs = [str(job) for job in tuple(self.jobs)[::-1]]

    def html(self) -> str:
        """The picture, the numbers and the last jobs, as they are now, for any page."""
        moment = self.moment
        banner = ""
        if moment.problem:
            banner = f'<div role="status" style="{TEXT};{BANNER}">{html.escape(moment.problem)}</div>'
        known = self._stream.now()
        drawn = still.image(still.picture(scene_at(known, math.inf), tasks_at(known, math.inf)))
        line = still.image(still.throughput(moment.rates))
        at = time.strftime("%H:%M:%S", time.localtime(moment.at))
        words = f'<p style="{TEXT};{FAINT}">At {at}: {html.escape(str(moment))}</p>'
        jobs = self._jobs_html(JOBS_STORED)
        return f'<div><div style="overflow-x:auto">{banner}{drawn}</div>{line}{jobs}{words}</div>'

    def __str__(self) -> str:
        lines = [f"Dashboard: {self.moment}"]
        for machine in self.moment.machines:
            load_ = "" if machine.cpu_percent is None else f"CPU {machine.cpu_percent:.0f} %"
            lines.append(f"  {machine.name:15} {machine.address:15} {load_:10} {machine.words}".rstrip())
        return "\n".join([*lines, *(f"  {job}" for job in tuple(self.jobs))])


def _a(name: str) -> str:
    """A role with its article; a server's name as it is."""
    return {"api": "an API", "worker": "a worker"}.get(name, name)


def _refuse(job: Job) -> str:
    raise TopologyError("This is nothing that the dashboard can do.")
