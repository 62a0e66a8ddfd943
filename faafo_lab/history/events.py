"""What happened to orders: the events of a history, in a file of JSON lines, or on one time axis.

An `Event` is what a client did and saw (`what` is "order", or one of SEEN), or what the application said of an order
(one of SAID). Clients and the application have each their own clock; no verdict compares the two.
"""

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Clock = Literal["client", "application"]
CLIENT: Clock = "client"
APPLICATION: Clock = "application"

ORDER = "order"  # a try to order, with its answer's status
# What a client saw of an order when it read the application's list, and the picture if there was one.
ABSENT, WAITING, FAILED, UNREADABLE, MADE = "absent", "waiting", "given up", "unreadable", "made"
SEEN = (ABSENT, WAITING, FAILED, UNREADABLE, MADE)
# What the application said: GET /v1/event.
SAID = (
    "accepted",  # in the outbox
    "queued",  # its message was sent (noted just afterwards: a quick worker may have it before)
    "missing",  # the queue has lost the message: in the outbox again
    "leased",  # a worker has it
    "renewed",
    "lost",  # the lease is over, or the worker was stopped: in the outbox again
    "retry",  # its worker cannot make it: in the outbox again, for later
    "failed",  # it is tried no more: a dead letter
    "anew",  # somebody ordered again what had failed: in the outbox
    "done",
    "late",  # a second result, which was dropped
    "deleted",
)
FORMAT = 1


class HistoryError(Exception):
    """A history that cannot be read, or has no such order."""


@dataclass(frozen=True)
class Event:
    """One event: when it began (seconds since 1970, by `clock`), what it was, and of which order.

    `order` is the order's name for its client: the uuid, unless the client sends one order under several uuids; then
    `fractal` is the uuid. `ended`: when the answer had arrived (events of the application take no time). `who`: the API
    that answered, or the worker. `status`: an answer's HTTP status, None where none came. `generation`: which order of
    this uuid, as the application counts them; 0: unknown. `note`: an error, or when and by whom it was made.
    """

    at: float
    what: str
    order: str
    ended: float = math.nan  # as `at`, unless told otherwise
    who: str = ""
    status: int | None = None
    fractal: str = ""
    generation: int = 0
    note: str = ""
    clock: Clock = CLIENT

    def __post_init__(self) -> None:
        if math.isnan(self.ended):
            object.__setattr__(self, "ended", self.at)

    @property
    def acknowledged(self) -> bool:
        """Whether it is an order that an API accepted."""
        return self.what == ORDER and self.status is not None and self.status < 400

    @property
    def refused(self) -> bool:
        """Whether it is an order that an API refused for good. A 408, a 5xx or no answer leaves its client in doubt."""
        return self.what == ORDER and self.status is not None and 400 <= self.status < 500 and self.status != 408

    @property
    def present(self) -> bool:
        """Whether a client saw that the application has the order."""
        return self.what in SEEN and self.what != ABSENT

    def __str__(self) -> str:
        if self.what == ORDER:
            answer = f"answered {self.status}" if self.status else f"got no answer ({self.note or 'no reason known'})"
            return f"the order {answer}" + (f" by {self.who}" if self.who else "")
        told = f" ({self.note})" if self.note else ""
        if self.clock == CLIENT:
            return f"a client saw it {self.what}{told}"
        return f"the application said {self.what}" + (f", {self.who}" if self.who else "") + told


@dataclass
class History:
    """Events in any order. `ahead`: seconds that the application's clock is ahead of the clients', known to within
    `within` seconds either way."""

    events: list[Event] = field(default_factory=list)
    ahead: float = 0.0
    within: float = 0.0

    @property
    def orders(self) -> list[str]:
        """The names of the orders that clients of this history sent, the first one first."""
        sent = [event for event in self.events if event.what == ORDER]
        return list(dict.fromkeys(event.order for event in sorted(sent, key=lambda event: event.at)))

    def time_of(self, event: Event) -> float:
        """When it began by the clients' clock, as far as that is known."""
        return event.at - (self.ahead if event.clock == APPLICATION else 0.0)

    def of(self, order: str) -> list[Event]:
        """All about one order, the oldest first. Raises HistoryError where there is nothing."""
        found = [event for event in self.events if event.order == order]
        if not found:
            raise HistoryError(f"The history has no order {order!r}; history.orders are those that it has.")
        return sorted(found, key=self.time_of)

    def save(self, path: str | Path) -> Path:
        """Write it to this file: a line of JSON on its clocks, then one for each event; returns the path."""
        path = Path(path)
        head = {"history": FORMAT, "ahead": self.ahead, "within": self.within}
        lines = [json.dumps(head), *(json.dumps(_brief(event)) for event in self.events)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def __str__(self) -> str:
        said = sum(event.clock == APPLICATION for event in self.events)
        return (
            f"a history of {len(self.orders)} orders: {len(self.events) - said} events of clients, "
            f"{said} of the application"
        )

    __repr__ = __str__


def load(path: str | Path) -> History:
    """The history in a file that `History.save` wrote. Raises HistoryError for another file, and OSError."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    try:
        head, *events = map(json.loads, lines)
        if head["history"] != FORMAT:
            raise ValueError(f"its format is {head['history']!r}, not {FORMAT}")
        return History(list(map(_event, events)), float(head["ahead"]), float(head["within"]))
    except (ValueError, KeyError, TypeError) as error:
        raise HistoryError(f"{path} is no history that History.save wrote: {error}.") from error


def by_order(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each order, in the order given."""
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.order, []).append(event)
    return found


_DEFAULTS = {each.name: each.default for each in dataclasses.fields(Event)}


def _brief(event: Event) -> dict[str, Any]:
    """Its fields, without those that say nothing."""
    told = {name: value for name, value in dataclasses.asdict(event).items() if value != _DEFAULTS[name]}
    if event.ended == event.at:
        del told["ended"]
    return told


def _event(told: dict[str, Any]) -> Event:
    event = Event(**told)
    if event.what != ORDER and event.what not in (*SEEN, *SAID):
        raise ValueError(f"'what' is {event.what!r}")
    return event
