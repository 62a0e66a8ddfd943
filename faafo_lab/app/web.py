"""The web page of the fractals: ``/`` and ``/index/PAGE``, five a page, the newest first, and who is at work.

The server renders all of it, so it works without a script. Where there is one (``static/page.js``), it asks for the
same address again and again with the ETag of what it shows: an idle page gets 304. The ETag is that of what the page
tells, whichever API tells it. The script accepts what is a second old (``Cache-Control: max-age=1``), so that a class
of open pages costs the database no more than one does; who loads the page gets it as it is now.
"""

import hashlib
import json
import math
import re
import time
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler

from faafo_lab.app import nodes
from faafo_lab.app.backend import Backend
from faafo_lab.app.durations import duration
from faafo_lab.app.errors import AppError, DatabaseAway, NotFound, RequestError
from faafo_lab.app.handler import RETRY_AFTER_SECONDS, Handler
from faafo_lab.app.store import Store

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
FRACTALS_PER_PAGE = 5
SHARED_SECONDS = 1.0  # how old what an open page is told may be
CPU_STEP_PERCENT, LOAD_STEP = 5, 0.5  # a change that is smaller is no news
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class View:
    """What one page tells: its number, and all that the template shows."""

    page: int
    pages: int
    fractals: list[dict[str, Any]]
    stats: dict[str, int]
    nodes: list[dict[str, Any]]

    @classmethod
    def read(cls, store: Store, page: int) -> "View":
        """Ask the database; raises ``NotFound`` where there is no such page."""
        count, fractals = store.page(max(page, 1), FRACTALS_PER_PAGE, "newest", True)
        pages = max(math.ceil(count / FRACTALS_PER_PAGE), 1)
        if not 1 <= page <= pages:
            raise NotFound(f"There is no page {page}: the last one is {pages}.")
        at_work = sorted(map(_at_work, store.read(nodes.listed)), key=_in_order)
        return cls(page, pages, fractals, store.stats()[0], at_work)

    @cached_property
    def etag(self) -> str:
        """Another one where the page tells something else."""
        told = json.dumps([self.page, self.pages, self.fractals, self.stats, self.nodes, version("")])
        return f'W/"{hashlib.sha256(told.encode()).hexdigest()[:32]}"'


class Views:
    """The pages as they were read last."""

    def __init__(self, api: Backend):
        self._api = api
        self._read: dict[int, tuple[float, View]] = {}

    async def get(self, page: int, oldest_seconds: float) -> View:
        """A page as it was so many seconds ago, or later."""
        read_at, view = self._read.get(page, (-math.inf, None))
        if view and time.monotonic() - read_at < oldest_seconds:
            return view
        read_at = time.monotonic()
        view = await self._api.ask(View.read, self._api.store, page)
        recent = {one: seen for one, seen in self._read.items() if read_at - seen[0] <= SHARED_SECONDS}
        self._read = recent | {page: (read_at, view)}
        return view


class PageHandler(Handler):
    """One page of finished fractals."""

    route = "/index/{page}"

    async def head(self, number: str = "1") -> None:
        """What GET would say."""
        await self.get(number)

    async def get(self, number: str = "1") -> None:
        """Show it, or say that nothing is new."""
        views: Views = self.settings["views"]
        accepted = re.search(r"\bmax-age=([0-9]{1,9})", self.request.headers.get("Cache-Control", ""))  # the script's
        view = await views.get(int(number[:9]), min(float(accepted[1]), SHARED_SECONDS) if accepted else 0.0)
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Etag", view.etag)
        if self.check_etag_header():
            self.set_status(304)
            return
        self.render("index.html", view=view, served_by=self.api.name)

    def set_default_headers(self) -> None:
        """Nothing but what this server serves runs or is shown in the page."""
        super().set_default_headers()
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    def get_template_namespace(self) -> dict[str, Any]:
        """Links are relative, so that the page works under any prefix of a proxy: `root` leads to the first page."""
        root = "../" * (self.request.path.count("/") - 1) or "./"

        def static(name: str) -> str:
            return f"{root}static/{name}?v={version(name)}"

        return super().get_template_namespace() | {
            "root": root,
            "static": static,
            "duration": duration,
            "away": False,
            "etag": "",
        }

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """One sentence, as a page."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        message = str(error) if isinstance(error, AppError) else "The page cannot be shown."
        if isinstance(error, DatabaseAway):
            status_code = 503
            self.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
        elif isinstance(error, RequestError):
            status_code = error.status
        elif status_code == 405:
            message = f"{self.request.method} does not exist for this page."
            self.set_header("Allow", ", ".join(self.methods()))
        self.clear_header("Etag")
        self.set_header("Cache-Control", "no-store")
        self.set_status(status_code)
        self.render("error.html", message=message, away=status_code >= 500)


class StaticHandler(Handler, StaticFileHandler):
    """The page's script, style and icon: for a year where the address says which version of them is meant."""

    route = "/static/{name}"
    compute_etag = StaticFileHandler.compute_etag

    def initialize(self, api: Backend) -> None:  # type: ignore[override]  # each has its own arguments
        """Serve from ``STATIC``."""
        Handler.initialize(self, api)
        StaticFileHandler.initialize(self, str(STATIC))

    def set_default_headers(self) -> None:
        """A file is what it says it is."""
        super().set_default_headers()
        self.set_header("X-Content-Type-Options", "nosniff")


@cache
def version(name: str) -> str:
    """A file's version, or that of all that the page is made of (""); the same for as long as this program runs."""
    files = [STATIC / name] if name else sorted([*STATIC.iterdir(), *TEMPLATES.iterdir()])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:12]


def _at_work(node: dict[str, Any]) -> dict[str, Any]:
    """What the page tells about a node: nothing that changes while nothing happens."""
    state, percent, averages = node["state"], node["cpu_percent"], node["load_average"]
    heard = state != "lost"
    return {
        "name": node["name"],
        "role": node["role"],
        "state": "draining" if node["drain"] and state in ("idle", "working") else state,
        "working_on": node["working_on"] if heard else [],
        "cpu": CPU_STEP_PERCENT * round(percent / CPU_STEP_PERCENT) if heard and percent is not None else None,
        "load": f"{LOAD_STEP * round(averages[0] / LOAD_STEP):.1f}" if heard and averages else None,
    }


def _in_order(node: dict[str, Any]) -> list[str | int]:
    """worker-2 before worker-10."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", node["name"]))]


ROUTES: list[tuple[str, type[Handler]]] = [
    (r"/", PageHandler),
    (r"/index/?", PageHandler),
    (r"/index/([0-9]+)/?", PageHandler),
    (r"/static/([a-z]+\.(?:css|js|svg))", StaticHandler),
]
