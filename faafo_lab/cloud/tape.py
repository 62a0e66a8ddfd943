"""The tape: which HTTP calls the cloud got, as a table. `cloud.tape()` shows those of the last cell.

A `Recorder` belongs to a `Cloud`. It listens where requests hands a call to the network (`Recorder.tap`), so every
backend that is built on requests is recorded alike, retries and logins too. Kept of a call are its method, address,
status and times, never a header or a body: no password, token or user data can get on the tape.
"""

from __future__ import annotations

import functools
import html
import json
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import responses
from itertools import groupby
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from faafo_lab.tables import scrolling

MOST_CALLS_KEPT = 2000
MOST_CALLS_OF_A_VERB = 100
LONGEST_REPEAT = 4  # polls are folded when up to so many calls come again and again in the same order
LONGEST_NAME = 40  # a part of a path that is longer is shortened
NO_ANSWER = 0  # the status of a call that nothing answered

COLUMNS = ("after s", "service", "call", "status", "took ms")

UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
VERSION = re.compile(r"v[0-9]+(\.[0-9]+)?")
SECRET = re.compile(r"pass|secret|token|key|sig|credential", re.IGNORECASE)  # names of values that are not kept
VARYING = re.compile(r"(?<=/)(?:[^/?]{1,8}…|[0-9]+)(?=[/?.]|$)")  # the ids in a shortened path
ACTION = re.compile(r'\s*\{\s*"([\w-]+)"')


@dataclass(frozen=True)
class Call:
    """One HTTP call, as it went to the cloud."""

    at: float  # when it began, in seconds of time.monotonic()
    seconds: float  # until its answer's headers were there
    method: str
    url: str = field(repr=False)
    status: int  # NO_ANSWER: the connection failed
    action: str = ""  # what is done to a server (POST …/action): "reboot", "os-stop"
    cell: int | None = 0  # the running number of the cell that made it; None: made in the background
    number: int = 0  # its running number on the tape


@dataclass(frozen=True)
class Row:
    """A line of the tape: a call, or equal ones that came one after the other."""

    at_seconds: float  # since the first call shown
    service: str
    method: str
    path: str
    status: int
    milliseconds: float  # of one call; the mean where there are several
    count: int = 1


class Services:
    """Which service an address belongs to, learnt from the catalog in the answer to a login."""

    def __init__(self) -> None:
        self._endpoints: dict[str, str] = {}  # the address up to the version → the service's type
        self._projects: set[str] = set()

    @property
    def endpoints(self) -> dict[str, str]:
        """The address up to the version of each service, by its type: the public one, which catalogs have last."""
        return {service: address for address, service in self._endpoints.items()}

    def learn(self, body: bytes) -> None:
        """Read Keystone's answer to `POST /v3/auth/tokens`; anything else teaches nothing."""
        with suppress(ValueError, KeyError, TypeError):
            token = json.loads(body)["token"]
            found = {
                _unversioned(endpoint["url"]): service["type"]
                for service in token["catalog"]
                for endpoint in service["endpoints"]
            }
            self._endpoints = self._endpoints | found  # not in place: another thread may be reading
            self._projects.add(token["project"]["id"])

    def split(self, url: str) -> tuple[str, str]:
        """The service of an address, and its path there: ("compute", "/servers/3f2a…")."""
        address, _, query = url.partition("?")
        bases = [base for base in self._endpoints if address == base or address.startswith(base + "/")]
        if bases:
            base = max(bases, key=len)
            service, path = self._endpoints[base], address[len(base) :]
        else:  # before the first login: its own address
            parts = urlsplit(address)
            service, path = parts.hostname or "?", parts.path
            if "/auth/tokens" in path:
                service, path = "identity", "/auth/tokens"
        names = [name for name in path.split("/") if name]
        if len(names) > 1 and VERSION.fullmatch(names[0]):
            del names[0]
        if names and names[0].removeprefix("AUTH_") in self._projects:
            del names[0]
        path = "/" + "/".join(_short(name) for name in names)
        return service, f"{path}?{_short(query, len(query))}" if query else path


class Recorder:
    """Keeps the last MOST_CALLS_KEPT calls of one cloud object, from all of its threads."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.services = Services()
        self._calls: deque[Call] = deque(maxlen=MOST_CALLS_KEPT)
        self._lock = threading.Lock()
        self._count = 0
        self._shown = 0  # outside of IPython: up to which call tapes were shown already
        self._verbs = threading.local()
        cells.follow()

    def tap(self, session: Any) -> None:
        """Record everything that goes through a requests session from now on; once, however often this is called."""
        for prefix, adapter in list(session.adapters.items()):
            if not isinstance(adapter, _Tap):
                session.mount(prefix, _Tap(adapter, self))

    def add(self, at: float, request: Any, response: Any) -> None:
        """Put a call on the tape: `request` is requests' PreparedRequest, `response` its answer or None."""
        seconds = time.monotonic() - at
        address = urlsplit(request.url)
        if response is not None and response.status_code == 201 and address.path.endswith("/auth/tokens"):
            self.services.learn(response.content)
        action = ACTION.match(_text(request.body)) if address.path.endswith("/action") else None
        with self._lock:
            self._count += 1
            call = Call(
                at=at,
                seconds=seconds,
                method=request.method,
                url=_clean(address),
                status=response.status_code if response is not None else NO_ANSWER,
                action=action[1] if action else "",
                cell=cells.current(),
                number=self._count,
            )
            self._calls.append(call)
        for calls in self._stack():
            calls.append(call)

    @contextmanager
    def during(self, verb: str) -> Iterator[None]:
        """Note the calls made inside as those of this verb, for `compare`; where it fails, they are not."""
        calls: deque[Call] = deque(maxlen=MOST_CALLS_OF_A_VERB)
        self._stack().append(calls)
        try:
            yield
        finally:
            self._stack().pop()
        if calls:
            last_calls[self.backend, verb] = Tape(tuple(calls), self.services, f"through {self.backend}")

    def tape(self, last: int | None = None) -> Tape:
        """The calls of the last cell that made any, or the `last` so many calls, whoever made them.

        Outside of IPython there are no cells: the calls since the tape was looked at last.
        """
        if last is not None and last < 1:
            raise ValueError(f"last is a number of calls, at least 1, not {last}.")
        with self._lock:
            calls, shown = list(self._calls), self._shown
            if last is None:
                self._shown = self._count
        if last is not None:
            return Tape(tuple(calls[-last:]), self.services, f"through {self.backend}")
        if not cells.followed:
            new = tuple(call for call in calls if call.number > shown)
            return Tape(new, self.services, f"through {self.backend}")
        cell = max((call.cell for call in calls if call.cell is not None), default=None)
        mine = tuple(call for call in calls if call.cell == cell and cell is not None)
        began = mine[0].number if mine else 0
        background = sum(call.cell is None and call.number > began for call in calls)
        return Tape(mine, self.services, f"of the last cell through {self.backend}", background)

    def _stack(self) -> list[deque[Call]]:
        """The calls of each verb that runs in this thread, the outermost first."""
        if not hasattr(self._verbs, "stack"):
            self._verbs.stack = []
        stack: list[deque[Call]] = self._verbs.stack
        return stack


class _Tap:
    """A requests transport adapter around another one, that records what goes through."""

    def __init__(self, inner: Any, recorder: Recorder) -> None:
        self.inner, self.recorder = inner, recorder

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        at, response = time.monotonic(), None
        try:
            response = self.inner.send(request, *args, **kwargs)
            return response
        finally:
            self.recorder.add(at, request, response)

    def close(self) -> None:
        self.inner.close()


class _Cells:
    """Which cell of the notebook runs: counted by IPython's events, once for all tapes."""

    def __init__(self) -> None:
        self._shell: Any = None
        self._number = 0
        self._thread: int | None = None  # that runs the cell; None: no cell runs

    @property
    def followed(self) -> bool:
        """Whether this is IPython."""
        return self._shell is not None

    def follow(self) -> None:
        """Begin to count where IPython runs. The cell that calls this counts too."""
        get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
        shell = get_ipython() if get_ipython else None
        if shell is not None and shell is not self._shell:
            shell.events.register("pre_run_cell", self._begin)
            shell.events.register("post_run_cell", self._end)
            self._shell = shell
            self._begin()

    def current(self) -> int | None:
        """The number of the cell that runs in this thread; None: another thread, or between cells."""
        if not self.followed:
            return 0
        return self._number if self._thread == threading.get_ident() else None

    def _begin(self, info: Any = None) -> None:
        self._number += 1
        self._thread = threading.get_ident()

    def _end(self, result: Any = None) -> None:
        self._thread = None


cells = _Cells()


class Tape:
    """Some calls, as a table: in a notebook, as text, and as `rows`."""

    def __init__(self, calls: tuple[Call, ...], services: Services, which: str, background: int = 0) -> None:
        self.calls = calls
        self.which = which  # which calls these are: "through shade"
        self.background = background  # how many calls were made meanwhile by other threads, or between cells
        self._services = services

    def __len__(self) -> int:
        return len(self.calls)

    @functools.cached_property
    def rows(self) -> list[Row]:
        """The table's lines: what is repeated (polls) is folded into one line each."""
        return fold(self.calls, self._services)

    @property
    def lines(self) -> list[str]:
        """The calls with their statuses, without services and times: "POST /servers 202"."""
        return [f"{_words(row)} {_status(row)}" for row in self.rows]

    @property
    def summary(self) -> str:
        """One line on all of it."""
        number = len(self.calls)
        text = f"{number or 'No'} call{'s' * (number != 1)} {self.which}"
        if number:
            took = max(call.at + call.seconds for call in self.calls) - self.calls[0].at
            answering = sum(call.seconds for call in self.calls)
            text += f" in {took:.2f} s, {answering:.2f} s of it waiting for answers"
        if self.background:
            shows = f"cloud.tape(last={number + self.background})"
            text += f"; {self.background} more in the background, which {shows} shows"
        return f"{text}."

    def __repr__(self) -> str:
        if not self.calls:
            return self.summary
        cells_ = [COLUMNS]
        cells_ += [(_at(row), row.service, _words(row), _status(row), f"{row.milliseconds:.0f}") for row in self.rows]
        widths = [max(len(line[column]) for line in cells_) for column in range(5)]
        lines = [
            f"{at:>{widths[0]}}  {service:<{widths[1]}}  {call:<{widths[2]}}  {status:<{widths[3]}}  {ms:>{widths[4]}}"
            for at, service, call, status, ms in cells_
        ]
        return "\n".join([*lines, self.summary])

    def _repr_html_(self) -> str:
        if not self.calls:
            return f"<p>{html.escape(self.summary)}</p>"
        left, right = (f'style="text-align: {side}; white-space: nowrap"' for side in ("left", "right"))
        sides = (right, left, left, left, right)
        head = "".join(f"<th {side}>{name}</th>" for side, name in zip(sides, COLUMNS, strict=True))
        body = "".join(
            f"<tr><td {right}>{_at(row)}</td><td {left}>{html.escape(row.service)}</td>"
            f'<td {left}><code style="white-space: nowrap">{html.escape(f"{row.method} {row.path}")}</code>'
            f"{f' <b>× {row.count}</b>' if row.count > 1 else ''}</td>"
            f"<td {left}>{f'<b>{_status(row)}</b>' if _bad(row) else _status(row)}</td>"
            f"<td {right}>{row.milliseconds:.0f}</td></tr>"
            for row in self.rows
        )
        return f"{scrolling(body, f'<tr>{head}</tr>')}<p>{html.escape(self.summary)}</p>"


# The calls that each verb made when it last succeeded in this process, by (backend, verb).
last_calls: dict[tuple[str, str], Tape] = {}


def fold(calls: Sequence[Call], services: Services) -> list[Row]:
    """The calls as rows; where up to LONGEST_REPEAT of them come again in the same order, each has one row.

    Calls are the same where only ids tell them apart: `GET /flavors/…/os-extra_specs × 4`.
    """
    paths = [services.split(call.url) for call in calls]
    seen = [
        (service, call.method, VARYING.sub("…", path), call.action, call.status)
        for call, (service, path) in zip(calls, paths, strict=True)
    ]
    rows: list[Row] = []
    start = 0
    while start < len(calls):
        period, count = _repeats(seen, start)
        for what, group in groupby(range(start, start + period), key=seen.__getitem__):
            same = [index + period * turn for index in group for turn in range(count)]
            service, method, shape, action, status = what
            exact = {paths[index][1] for index in same}
            path = exact.pop() if len(exact) == 1 else shape
            path += f" ({action})" if action else ""
            mean = sum(calls[index].seconds for index in same) / len(same)
            rows.append(Row(calls[same[0]].at - calls[0].at, service, method, path, status, mean * 1000, len(same)))
        start += period * count
    return rows


def _repeats(seen: Sequence[object], start: int) -> tuple[int, int]:
    """How many things from `start` on come again (at most LONGEST_REPEAT, the fewest first), and how often."""
    for period in range(1, LONGEST_REPEAT + 1):
        block, count = seen[start : start + period], 1
        while seen[start + period * count : start + period * (count + 1)] == block:
            count += 1
        if count > 1:
            return period, count
    return 1, 1


def _words(row: Row) -> str:
    return f"{row.method} {row.path}" + (f" × {row.count}" if row.count > 1 else "")


def _at(row: Row) -> str:
    return f"{row.at_seconds:.2f}"


def _bad(row: Row) -> bool:
    return row.status == NO_ANSWER or row.status >= 400


def _status(row: Row) -> str:
    """The status, and what HTTP calls it: "202 Accepted", "409 ✗ Conflict"."""
    if row.status == NO_ANSWER:
        return "no answer"
    return f"{row.status}{' ✗' * _bad(row)} {responses.get(row.status, '')}".rstrip()


def _short(name: str, longest: int = LONGEST_NAME) -> str:
    """Ids as their first four characters; any other part of a path as it is, unless it is very long."""
    name = UUID.sub(lambda id: f"{id[0][:4]}…", name)
    return name if len(name) <= longest else f"{name[:8]}…"


def _unversioned(url: str) -> str:
    """An endpoint's address up to its version: `http://cloud/compute` of `http://cloud/compute/v2.1/`."""
    parts = urlsplit(url)
    path = [part for part in parts.path.split("/") if part]
    kept = path[: next((index for index, part in enumerate(path) if VERSION.fullmatch(part)), len(path))]
    return "/".join([f"{parts.scheme}://{_host(parts.netloc)}", *kept])


def _clean(address: Any) -> str:
    """An address without user, password and the values of what may be secret."""
    query = [(name, "…" if SECRET.search(name) else value) for name, value in parse_qsl(address.query, True)]
    url = f"{address.scheme}://{_host(address.netloc)}{re.sub('/+', '/', address.path)}"
    return f"{url}?{'&'.join(f'{name}={value}' for name, value in query)}" if query else url


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]


def _text(body: Any) -> str:
    """The beginning of a request's body, where it is text."""
    if isinstance(body, bytes):
        return body[:100].decode(errors="replace")
    return body[:100] if isinstance(body, str) else ""
