"""The application as a picture that follows it, about once a second, with buttons to change it."""

from __future__ import annotations

import html
import time

import ipywidgets

from faafo_lab import load
from faafo_lab.cloud import progress
from faafo_lab.living.following import METER_PAUSE_SECONDS, Follower, Meter
from faafo_lab.topology import ROLES, Topology, TopologyError, in_thread
from faafo_lab.widgets import picture
from faafo_lab.widgets.panel import BANNER, FAINT, JOBS_STORED, LABEL, TEXT, Closed, Job, Panel, button, row

LOOK_PAUSE_SECONDS = 1.0
ORDER_LOOK_PAUSE_SECONDS = 0.25
FRACTALS_MOST = 500  # at one press


class Dashboard(Panel):
    """See `widgets.dashboard`. `moment`: the application as last observed."""

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology.cloud.name)
        self._topology = topology
        self._follower = Follower(topology)
        self._picture, self._numbers = ipywidgets.HTML(), ipywidgets.HTML()
        self._victim = ipywidgets.Dropdown(description="server", style=LABEL, layout={"width": "200px"})
        self._count = ipywidgets.IntText(value=30, description="number", style=LABEL, layout={"width": "140px"})
        self.moment = self._follower.look()
        self._show()
        buttons = row(
            button("Add a worker", "plus", lambda: self.add("worker")),
            button("Remove a worker", "minus", lambda: self.remove("worker"), "Drain the last worker, then delete it"),
            button("Add an API", "plus", lambda: self.add("api")),
            button("Remove an API", "minus", lambda: self.remove("api"), "Delete the last API server"),
        )
        more = row(
            button("Order fractals:", "paper-plane", lambda: self.order(self._count.value), style="primary"),
            self._count,
            button("Delete at once:", "bolt", lambda: self.delete(str(self._victim.value or "")), style="danger"),
            self._victim,
            self._close_button,
        )
        self._open(ipywidgets.VBox([self._picture, self._numbers, buttons, more, self._log]))
        self._in_background(self._follow, "dashboard")
        self._in_background(self._measure, "CPU of the services")

    # -- what the buttons do ---------------------------------------------------------------------------------------

    def add(self, role: str) -> None:
        """Add a server of this role ("worker" or "api"), and wait until it serves. Returns at once."""

        def work(job: Job) -> str:
            name = in_thread(self._topology).add(role)
            job.what = f"add {name}"
            self._follower.look_closer()
            return f"{name} serves"

        self._act(f"add {_a(role)}", work, in_turn=True)

    def remove(self, role: str) -> None:
        """Remove the last server of this role; a worker finishes what it works on first. Returns at once."""

        def work(job: Job) -> str:
            app = in_thread(self._topology).refresh()
            servers = app.of_role(role)
            if not servers:
                raise TopologyError(f"There is no {role} server to remove.")
            if role == "api" and len(servers) == 1:
                raise TopologyError("The last API server stays: without it the application has no API.")
            name = servers[-1].name
            job.what = f"remove {name}"
            words = app.remove([servers[-1]])[name]
            self._follower.look_closer()
            return words

        self._act(f"remove {_a(role)}", work, in_turn=True)

    def delete(self, name: str) -> None:
        """Delete this server without a drain: its in-flight tasks are lost and repeated. Returns at once."""

        def work(job: Job) -> str:
            if not name:
                raise TopologyError("There is no server to delete.")
            app = in_thread(self._topology).refresh()
            if name not in app.servers:
                raise TopologyError(f"Server {name} no longer exists.")
            app.cloud.delete_servers([app.servers[name]])
            self._follower.look_closer()
            return "deleted; its in-flight tasks return to the queue"

        self._act(f"delete {name} the hard way", work)

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

    # -- what it shows ---------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Look about once a second until the panel is closed."""
        try:
            while not self._stop.wait(LOOK_PAUSE_SECONDS):
                self.moment = self._follower.look()
                self._show()
                if any(job.running for job in tuple(self.jobs)):
                    self._show_jobs()
        finally:
            self._follower.close()

    def _measure(self) -> None:
        """Read the CPU use of the servers that don't report theirs, until the panel is closed."""
        progress.listener.set(self._heed_close)
        meter = Meter(self._topology)
        while not self.closed:
            self._follower.measured = meter.read(list(self._follower.topology.servers.values()))
            self._stop.wait(METER_PAUSE_SECONDS)

    def _heed_close(self, _: str) -> None:
        if self.closed:
            raise Closed

    def _show(self) -> None:
        self._picture.value = self._picture_html(picture.topology(self.moment))
        self._numbers.value = self._numbers_html(picture.throughput(self.moment))
        several = [role.name for role in ROLES.values() if role.numbered]
        names = tuple(machine.name for machine in self.moment.of_role(*several))
        if names != tuple(self._victim.options):
            chosen = self._victim.value
            self._victim.options = names
            self._victim.value = chosen if chosen in names else next(reversed(names), None)

    def _picture_html(self, drawn: str) -> str:
        banner = ""
        if self.moment.problem:
            banner = f'<div role="status" style="{TEXT};{BANNER}">{html.escape(self.moment.problem)}</div>'
        return f'<div style="overflow-x:auto">{banner}{drawn}</div>'

    def _numbers_html(self, drawn: str) -> str:
        moment = self.moment
        numbers = [
            ("waiting", moment.waiting),
            ("in work", moment.working),
            ("done", moment.done),
            ("fractals/s", None if moment.rate is None else f"{moment.rate:.1f}"),
        ]
        tiles = "".join(
            f'<div style="min-width:70px"><div style="font-size:24px;line-height:1.2">'
            f'{"–" if number is None else number}</div><div style="{FAINT}">{name}</div></div>'
            for name, number in numbers
        )
        return (
            f'<div style="{TEXT};display:flex;flex-wrap:wrap;gap:8px 20px;align-items:center">'
            f"{tiles}<div>{drawn}</div></div>"
        )

    def html(self) -> str:
        """The picture, the numbers and the last jobs, as they are now, for any page."""
        at = time.strftime("%H:%M:%S", time.localtime(self.moment.at))
        words = f'<p style="{TEXT};{FAINT}">At {at}: {html.escape(str(self.moment))}</p>'
        drawn, line = (picture.image(draw(self.moment)) for draw in (picture.topology, picture.throughput))
        jobs = self._jobs_html(JOBS_STORED)
        return f"<div>{self._picture_html(drawn)}{self._numbers_html(line)}{jobs}{words}</div>"

    def __str__(self) -> str:
        lines = [f"Dashboard: {self.moment}"]
        for machine in self.moment.machines:
            load_ = "" if machine.cpu_percent is None else f"CPU {machine.cpu_percent:.0f} %"
            lines.append(f"  {machine.name:15} {machine.address:15} {load_:10} {machine.words}".rstrip())
        return "\n".join([*lines, *(f"  {job}" for job in tuple(self.jobs))])


def _a(role: str) -> str:
    return "an API" if role == "api" else f"a {role}"
