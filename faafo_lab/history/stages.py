"""The life of one order: where it was when, worker by worker, as the application told it."""

from dataclasses import dataclass, field

from faafo_lab.history.events import APPLICATION, Event, History

OUTBOX, QUEUE = "outbox", "queue"
BACK = ("accepted", "missing", "lost", "retry", "anew")  # what puts an order into the outbox
# What ended a stay, in words
ENDS = {
    "missing": "lost by the queue",
    "lost": "lost: lease over",
    "retry": "cannot make it",
    "failed": "given up",
    "deleted": "deleted",
}
DONE, LATE = "done", "too late: dropped"


@dataclass
class Stage:
    """A stay of an order, in OUTBOX, in QUEUE, or at the worker of this name: from `start` to `end` (seconds since
    1970, by the clients' clock), and how it ended; `beats`: when the lease was renewed."""

    where: str
    start: float
    end: float
    how: str = ""
    beats: list[float] = field(default_factory=list)

    @property
    def leased(self) -> bool:
        """Whether it was at a worker."""
        return self.where not in (OUTBOX, QUEUE)

    def __str__(self) -> str:
        return f"{self.where}: {self.end - self.start:.2f} s" + (f", {self.how}" if self.how else "")


def stages(history: History, order: str) -> list[Stage]:
    """The stays of an order, the first one first; the last one ends with the last event where nothing else ended it.

    A result that was dropped is a stage without length, at its worker. Raises HistoryError for an unknown order.
    """
    told = [(history.time_of(event), event) for event in history.of(order) if event.clock == APPLICATION]
    found: list[Stage] = []
    current: Stage | None = None
    for at, event in told:
        if event.what == "renewed":
            if current and current.where == event.who:
                current.beats.append(at)
            continue
        if event.what == "late" or (event.what == "done" and not (current and current.where == event.who)):
            found.append(Stage(event.who, at, at, LATE if event.what == "late" else DONE))
        if event.what == "late" or (event.what == "queued" and not (current and current.where == OUTBOX)):
            continue  # a quick worker has it before its message is noted as sent
        if current:
            current.end, current.how = at, _end(current, event)
        where = OUTBOX if event.what in BACK else {"queued": QUEUE, "leased": event.who}.get(event.what)
        current = Stage(where, at, at) if where else None
        found += [current] if current else []
    if current:
        current.end = told[-1][0]
    return sorted(found, key=lambda stage: stage.start)


def _end(stay: Stage, event: Event) -> str:
    """How a stay ended, in words; "": as it should."""
    if event.what == "done":
        return DONE if stay.where == event.who else "overtaken" if stay.leased else ""
    return ENDS.get(event.what, "")
