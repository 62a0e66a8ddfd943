"""One row per request: the load generator's record, and its summary.

    rows = load.run(app.endpoints, loop="open", rate=20, seconds=10)
    rows                       # a table in the notebook: the first and the last rows, and the summary
    rows.summary().p99         # seconds
    rows.to_csv("run.csv")

A request of an open loop has two times. `latency` counts from when it *should* have started: a visitor's
wait. `service_time` counts from when it did start: the server's time for the request. Both include all tries of a
request that was sent again, and the waits between them; `tried` has each.
"""

import csv
import html
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, SupportsIndex, overload

from faafo_lab.tables import scrolling

ROWS_SHOWN = 5  # of the first, and as many of the last
PERCENT = 100
MILLISECONDS = 1000
NEVER_SENT = "never sent"  # the error of a request that the run had no time for
NEW = 201  # the status of an order that was new; one that was there already gets 200
COLUMNS = ("start (s)", "late (ms)", "latency (ms)", "service (ms)", "status", "API", "worker")
CSV_COLUMNS = (
    "intended",
    "started",
    "latency_seconds",
    "service_seconds",
    "status",
    "api",
    "worker",
    "uuid",
    "error",
    "tries",
)

Measure = Literal["latency", "service_time"]


@dataclass(frozen=True)
class Try:
    """One try of a request: when it started (seconds since 1970), how long it took, and how it ended, as in Request."""

    started: float
    seconds: float
    status: int | None
    api: str
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the request got what it asked for."""
        return self.status is not None and self.status < 400


@dataclass(frozen=True)
class Request:
    """One request: when it should have started, when it did (both in seconds since 1970), and how it ended.

    `latency` is in seconds, from the intended start to the last byte of the answer. `status` is the HTTP status, or
    None where no answer came; `error` then says why. `api` is the server that answered (its URL where none did). A
    task's request knows the task's `uuid`, and, after `load.workers_of`, the `worker` that made the fractal. `tried`:
    its tries, in order; the request ended as the last one did.
    """

    started: float
    latency: float
    status: int | None
    api: str
    error: str = ""
    intended: float = math.nan  # as `started`, if no other start was intended
    uuid: str = ""
    worker: str = ""
    tried: tuple[Try, ...] = field(default=(), repr=False)  # one try, unless told otherwise

    def __post_init__(self) -> None:
        if math.isnan(self.intended):
            object.__setattr__(self, "intended", self.started)
        if not self.tried and self.error != NEVER_SENT:
            only = Try(self.started, self.service_time, self.status, self.api, self.error)
            object.__setattr__(self, "tried", (only,))

    @property
    def tries(self) -> int:
        """How often it was sent; 0: never."""
        return len(self.tried)

    @property
    def ok(self) -> bool:
        """Whether the request got what it asked for."""
        return self.status is not None and self.status < 400

    @property
    def late(self) -> float:
        """Seconds between the intended and the actual start: waiting that happened on the client's side."""
        return self.started - self.intended

    @property
    def service_time(self) -> float:
        """Seconds from the actual start to the last byte of the answer."""
        return max(0.0, self.latency - self.late)


@dataclass(frozen=True)
class Summary:
    """A run in numbers; times in seconds, rates in requests per second.

    `p50`, `p95`, `p99`: so many percent of *all* requests got what they asked for within this time. A request that
    failed never got it, so it counts as slower than any other: where more than 1 % failed, `p99` is infinite.
    `tries`: of all requests together; `retried`: requests with several; `most_tries`: of one that failed.
    """

    requests: int
    errors: int
    seconds: float
    per_second: float  # requests that succeeded, per second of the run
    p50: float
    p95: float
    p99: float
    worst: float
    statuses: dict[str, int]
    measure: Measure = "latency"
    known: int = 0  # orders that were placed before
    resent: int = 0  # requests that repeated an order
    tries: int = 0
    retried: int = 0
    most_tries: int = 0

    @property
    def amplification(self) -> float:
        """How many tries there were for each request: 1 without retries."""
        return self.tries / self.requests if self.requests else 1.0

    def __str__(self) -> str:
        if not self.requests:
            return "no requests"
        fine = self.requests - self.errors
        failed = ", ".join(f"{count} × {status}" for status, count in self.statuses.items() if status[0] not in "123")
        after = f" after up to {self.most_tries} tries" if self.most_tries > 1 else ""
        words = (
            f"{fine} of {self.requests} requests succeeded in {self.seconds:.1f} s ({self.per_second:.1f}/s)"
            f"{f', {self.errors} failed{after} ({failed})' if failed else ''}"
        )
        if self.retried:
            words += f"; {self.retried} were sent again, {self.amplification:.2f} tries for each request"
        if self.known:
            words += f"; {fine - self.known} of these orders were new, {self.known} had been placed before"
        if self.resent:
            words += f"; {self.resent} of the requests sent an order again"
        return f"{words}; {self.measure.replace('_', ' ')} {self.percentiles}"

    @property
    def percentiles(self) -> str:
        """p50, p95 and p99 of all requests in words, as far as they are defined: a failed request got no answer."""
        values = {"p50": self.p50, "p95": self.p95, "p99": self.p99}
        words = ", ".join(f"{name} {human(value)}" for name, value in values.items() if math.isfinite(value))
        undefined = [name for name, value in values.items() if not math.isfinite(value)]
        if "p50" in undefined:
            return "undefined (more than half failed)" if self.requests else "undefined"
        if undefined:
            words += f", {' and '.join(undefined)} undefined (too many failed)"
        return f"{words}, slowest answer {human(self.worst)}"

    __repr__ = __str__


class Rows(list[Request]):
    """Requests, in the order of the plan. A list that shows itself as a table.

    `note` is a remark on the whole run, for instance that it was stopped early.
    """

    def __init__(self, rows: Iterable[Request] = (), note: str = "") -> None:
        super().__init__(rows)
        self.note = note

    @overload
    def __getitem__(self, which: SupportsIndex) -> Request: ...
    @overload
    def __getitem__(self, which: slice) -> "Rows": ...
    def __getitem__(self, which: SupportsIndex | slice) -> "Request | Rows":
        if isinstance(which, slice):
            return Rows(super().__getitem__(which), self.note)
        return super().__getitem__(which)

    def summary(self, measure: Measure = "latency") -> Summary:
        """The run in numbers, by `latency` (what a visitor waits) or by `service_time` (see the module's text)."""
        times = sorted(answer_time(row, measure) for row in self)
        end = max((row.intended + row.latency for row in self), default=0.0)
        seconds = end - min((row.intended for row in self), default=0.0)
        fine = sum(row.ok for row in self)
        return Summary(
            requests=len(self),
            errors=len(self) - fine,
            seconds=seconds,
            per_second=fine / seconds if seconds > 0 else 0.0,
            p50=percentile(times, 50),
            p95=percentile(times, 95),
            p99=percentile(times, 99),
            worst=max((answer_time(row, measure) for row in self if row.ok), default=math.inf),
            statuses=dict(Counter(str(row.status) if row.status else row.error or "no answer" for row in self)),
            measure=measure,
            known=sum(bool(row.uuid) and row.ok and row.status != NEW for row in self),
            resent=self.resent,
            tries=self.tries,
            retried=sum(row.tries > 1 for row in self),
            most_tries=max((row.tries for row in self if not row.ok), default=0),
        )

    @property
    def tries(self) -> int:
        """How many tries all these requests had together."""
        return sum(row.tries for row in self)

    @property
    def new(self) -> int:
        """How many of these orders were new: their uuids had not been ordered before."""
        return sum(bool(row.uuid) and row.status == NEW for row in self)

    @property
    def resent(self) -> int:
        """How many of these requests sent an order again that an earlier one had sent."""
        orders = [row.uuid for row in self if row.uuid]
        return len(orders) - len(set(orders))

    def to_csv(self, path: str | Path) -> Path:
        """Write every row to this file, starts in seconds since 1970; returns its path."""
        path = Path(path)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(CSV_COLUMNS)
            for row in self:
                times = (row.intended, row.started, row.latency, row.service_time)
                status = "" if row.status is None else row.status
                writer.writerow(
                    [*(f"{time:.6f}" for time in times), status, row.api, row.worker, row.uuid, row.error, row.tries]
                )
        return path

    def __repr__(self) -> str:
        if not self:
            return "no requests" + (f" ({self.note})" if self.note else "")
        from prettytable import PrettyTable

        table = PrettyTable(["", *COLUMNS])
        table.align = "r"
        table.align["status"] = table.align["API"] = table.align["worker"] = "l"
        for cells in self._cells():
            table.add_row(cells)
        return "\n".join([str(table), str(self.summary()), *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Sequence[str]) -> str:
            align = ["right"] * 5 + ["left"] * 3
            return (
                "<tr>"
                + "".join(
                    f'<{tag} style="text-align:{side};white-space:nowrap">{html.escape(cell)}</{tag}>'
                    for side, cell in zip(align, cells, strict=True)
                )
                + "</tr>"
            )

        words = (
            f"<p>{html.escape(str(self.summary()))}" + (f"<br>{html.escape(self.note)}" if self.note else "") + "</p>"
        )
        if not self:
            return words
        body = "".join(line("td", cells) for cells in self._cells())
        return scrolling(body, line("th", ["", *COLUMNS])) + words

    def _cells(self) -> list[list[str]]:
        """The first and the last rows, as text."""
        first = self[0].intended
        shown = list(enumerate(self))
        if len(shown) > 2 * ROWS_SHOWN + 1:
            cut: list[tuple[int, Request] | None] = [*shown[:ROWS_SHOWN], None, *shown[-ROWS_SHOWN:]]
        else:
            cut = list(shown)
        cells = []
        for item in cut:
            if item is None:
                cells.append(["…"] * (len(COLUMNS) + 1))
                continue
            number, row = item
            times = (row.late, row.latency, row.service_time)
            cells.append(
                [
                    str(number + 1),
                    f"{row.intended - first:.3f}",
                    *(f"{seconds * MILLISECONDS:.1f}" for seconds in times),
                    str(row.status) if row.status else row.error or "no answer",
                    row.api,
                    row.worker,
                ]
            )
        return cells


def answer_time(row: Request, measure: Measure = "latency") -> float:
    """Seconds until the request got what it asked for: infinite where it did not."""
    seconds: float = getattr(row, measure)
    return seconds if row.ok else math.inf


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of these values, sorted upwards, that `percent` % of them don't exceed (nearest rank)."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(percent * len(ordered) / PERCENT) - 1)]


def human(seconds: float) -> str:
    """A time as people write it: "0.8 ms", "25 ms", "1.20 s", or "never" where it is infinite."""
    if math.isnan(seconds):
        return "unknown"
    if math.isinf(seconds):
        return "never"
    milliseconds = seconds * MILLISECONDS
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 999.5 else f"{seconds:.2f} s"
