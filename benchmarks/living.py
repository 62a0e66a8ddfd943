"""The picture that moves: how many frames a second the browser shows, and what a live one costs the kernel.

picture_fps          frames a second in Chromium, measured in the page, with some 500 dots that move
picture_dots         how many they were: the median of a look every LOOK_SECONDS
pictures_fps         the same where as many dots move in PANES pictures side by side: pictures_dots
picture_kernel_cpu   the kernel's CPU, in cores, while a dashboard follows an application and its page is sent 200
                     events a second
picture_events       how many the page was sent, a second

More than 40 a second on a way become a flow, so one picture has some 500 dots where there are many ways: that of an
application of APIS APIs and WORKERS workers. The small application of the chapters has less than a hundred.

The application of the kernel's part is real. Its tasks' events are not: so that there are 200 a second on any machine,
a server of this benchmark's answers GET /v1/event as an API does, and the kernel reads them by HTTP. All else that a
stream asks for, it asks the cloud and the application for.
"""

import json
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jupyter_client.manager import start_new_kernel
from measure import Figures

from faafo_lab.living import page
from faafo_lab.living.events import Event
from faafo_lab.workbook import own_home
from tests.chromium import CHROMIUM, chromium
from tests.living import synthetic

APIS, WORKERS, ORDERS_PER_SECOND = 8, 14, 260.0
PANES, PANE_ORDERS_PER_SECOND = 7, 36.0
WARM_UP_SECONDS, MEASURED_SECONDS, LOOK_SECONDS = 3.0, 12.0, 0.5
PLAYED_SECONDS = WARM_UP_SECONDS + MEASURED_SECONDS + 5
WIDTH, HEIGHT = 1400, 2000  # all panes are in sight: what is not is not drawn
EVENTS_PER_SECOND = 200
LIFE = ("accepted", "queued", "leased", "done")
KERNEL_LIMIT_SECONDS = 180
OPEN = """\
import time
import faafo_lab
from faafo_lab import widgets
from faafo_lab.living.reading import Reading
from faafo_lab.topology import Api, Topology
app = Topology(faafo_lab.connect(), say=lambda line: None).deploy(api=2, worker=3)
board = widgets.dashboard(app)
board._stream._reading = Reading(Api(lambda: [{url!r}]).events)
print(board._moving.model_id)"""
MEASURE = """\
worked, began = time.process_time(), time.monotonic()
time.sleep({seconds})
print((time.process_time() - worked) / (time.monotonic() - began))"""


def figures() -> Figures:
    """All of it, by name."""
    found: Figures = {}
    if CHROMIUM is None:
        print("no Chromium here: no frames are counted", flush=True)
    else:
        large = synthetic.rush(ORDERS_PER_SECOND, PLAYED_SECONDS, WORKERS, APIS, balanced=False)
        small = synthetic.rush(PANE_ORDERS_PER_SECOND, PLAYED_SECONDS)
        for name, runs in (("picture", [large]), ("pictures", [small] * PANES)):
            rate, dots = frames(runs)
            found |= {f"{name}_fps": (rate, "frames/s"), f"{name}_dots": (dots, "dots")}
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        return found | kernel()


def frames(runs: list[list[Event]]) -> tuple[float, float]:
    """Frames a second, and dots, of a page that plays these recordings side by side."""
    panes = [synthetic.pane(events, f"Run {number}") for number, events in enumerate(runs, 1)]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "page.html"
        path.write_text(page.page(panes, "Many dots"), encoding="utf-8")
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(path.as_uri())
        looks = tab.evaluate(
            """async ([warmUp, measured, pause]) => {
                const wait = seconds => new Promise(done => setTimeout(done, 1000 * seconds));
                const place = document.querySelector(".faafo-recording");
                while (!place.shown) await wait(0.1);
                const {player} = place.shown;
                await wait(warmUp);
                const looks = [];
                const end = performance.now() + 1000 * measured;
                while (performance.now() < end) {
                    const {frames, dots, flows} = player.state();
                    looks.push([performance.now() / 1000, frames, dots, flows]);
                    await wait(pause);
                }
                return looks;
            }""",
            [WARM_UP_SECONDS, MEASURED_SECONDS, LOOK_SECONDS],
        )
    dots, flows = (sorted(look[at] for look in looks) for at in (2, 3))
    (began, first, *_), (ended, last, *_) = looks[0], looks[-1]
    rate = (last - first) / (ended - began)
    print(f"{dots[0]} to {dots[-1]} dots, {flows[0]} to {flows[-1]} in flows: {rate:.1f} frames/s", flush=True)
    return rate, median(dots)


def kernel() -> Figures:
    """The CPU of a kernel in which a dashboard is open, and how many events its page is sent."""
    manager, client = start_new_kernel(extra_arguments=["--log-level=ERROR"])
    sent: list[int] = []

    def hear(message: Any) -> str:
        """Count what a page is sent; returns what was printed."""
        content = message["content"]
        if message["msg_type"] == "error":
            raise RuntimeError("\n".join(content["traceback"]))
        if message["msg_type"] == "comm_msg" and content["data"].get("content", {}).get("type") == "events":
            sent.append(len(content["data"]["content"]["events"]))
        return str(content["text"]) if message["msg_type"] == "stream" and content["name"] == "stdout" else ""

    def run(code: str) -> str:
        printed: list[str] = []
        client.execute_interactive(
            code, timeout=KERNEL_LIMIT_SECONDS, output_hook=lambda message: printed.append(hear(message))
        )
        return "".join(printed).strip()

    try:
        with events_server() as url:
            view = run(OPEN.format(url=url))
            ready = {"comm_id": view, "data": {"method": "custom", "content": {"type": "ready"}}}
            client.shell_channel.send(client.session.msg("comm_msg", ready))
            run(MEASURE.format(seconds=WARM_UP_SECONDS))
            sent.clear()
            cores = float(run(MEASURE.format(seconds=MEASURED_SECONDS)))
            events = sum(sent) / MEASURED_SECONDS
            run("board.close(); app.destroy()")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    print(f"{cores:.3f} cores at {events:.0f} events/s in {len(sent)} messages", flush=True)
    return {"picture_kernel_cpu": (cores, "cores"), "picture_events": (events, "events/s")}


@contextmanager
def events_server() -> Iterator[str]:
    """A server in this process that answers GET /v1/event as an API does: EVENTS_PER_SECOND since it began."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Events)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Events(BaseHTTPRequestHandler):
    """Orders that are accepted, queued, leased and done, one event after the other."""

    protocol_version = "HTTP/1.1"
    began = time.time()

    def do_GET(self) -> None:
        after = int(parse_qs(urlsplit(self.path).query).get("after", ["0"])[0])
        now = time.time()
        last = int((now - self.began) * EVENTS_PER_SECOND)
        objects = [] if after < 0 else [self._event(number) for number in range(after + 1, last + 1)]
        answer = {"objects": objects, "last": last, "more": False, "forgotten": False, "now": _iso(now)}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _event(self, number: int) -> dict[str, object]:
        order, step = divmod(number, len(LIFE))
        return {
            "id": number,
            "at": _iso(self.began + number / EVENTS_PER_SECOND),
            "what": LIFE[step],
            "worker": f"app-worker-{order % 3 + 1}" if step > 1 else None,
            "uuid": str(uuid.UUID(int=order)),
            "generation": 1,
        }

    def log_message(self, *_: object) -> None:
        """Nothing is printed for a request."""


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
