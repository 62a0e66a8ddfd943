"""The checker of histories: is every order that was acknowledged made, and made once?

`verdict` is a pure function of the events. Its manner is Jepsen's (https://jepsen.io; `jepsen.checker/set-full`): an
order is an operation that was acknowledged, was refused, or is *indeterminate*: no answer came, or one that leaves open
whether the order was stored. Readings follow, and the verdict is true, false, or *unknown*: what was not looked at, or
is not made yet, is neither kept nor lost.

Only what clients saw can acquit: a picture that was read whole. What the application says of itself counts where it
accuses itself: two results kept for one order.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from faafo_lab.history.events import (
    ABSENT,
    APPLICATION,
    FAILED,
    MADE,
    ORDER,
    SEEN,
    UNREADABLE,
    WAITING,
    Event,
    History,
    by_order,
)

# What an order's client knows when its last try has ended
ACKNOWLEDGED, INDETERMINATE, REFUSED = "acknowledged", "indeterminate", "refused"
# What became of it; NOT_MADE: nothing, and nothing had to
MADE_ONCE, MADE_TWICE, LOST, NOT_YET, NOT_MADE, UNSEEN = (
    "made once",
    "made twice",
    "lost",
    "not made yet",
    "not made",
    "not looked at",
)
# Violations beside LOST and MADE_TWICE
VANISHED, UNWANTED = "vanished", "refused and accepted"

CONFLICT = 409  # the uuid belongs to another fractal
WORDS = {True: "true", False: "false", None: "unknown"}


@dataclass(frozen=True)
class Witness:
    """A violation: what it is ("lost", "made twice", "vanished", "refused and accepted"), of which order, and the
    fewest events that show it."""

    what: str
    order: str
    events: tuple[Event, ...]

    def __str__(self) -> str:
        return f"{self.what}: order {self.order}: " + "; then ".join(map(str, self.events))

    __repr__ = __str__


@dataclass(frozen=True)
class Verdict:
    """Whether each acknowledged order is made once: `valid` is True, False, or None for unknown, which `why` explains.

    How many orders were `acknowledged`, `indeterminate` and `refused`; and how many of all of them are `made_once`,
    `lost`, `made_twice`, or `waiting` (not made yet). `fates` has what became of each. `violations` are all that were
    found, and `witness` is the smallest of them: the fewest events, and the earliest of those.
    """

    valid: bool | None
    acknowledged: int = 0
    indeterminate: int = 0
    refused: int = 0
    made_once: int = 0
    lost: int = 0
    made_twice: int = 0
    waiting: int = 0
    violations: tuple[Witness, ...] = field(default=(), repr=False)
    why: tuple[str, ...] = ()
    fates: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def witness(self) -> Witness | None:
        """The smallest violation; None where there is none."""
        return min(self.violations, key=lambda each: (len(each.events), each.events[0].at), default=None)

    def __str__(self) -> str:
        words = (
            f"{WORDS[self.valid]}: {self.acknowledged} orders acknowledged, {self.indeterminate} indeterminate, "
            f"{self.refused} refused; {self.made_once} made once, {self.lost} lost, {self.made_twice} made twice"
        )
        if self.waiting:
            words += f", {self.waiting} not made yet"
        if self.witness:
            words += f". The smallest witness: {self.witness}"
        return words + (f" ({'; '.join(self.why)})" if self.why else "")

    __repr__ = __str__


def verdict(history: History, *, may_fail: Collection[str] = ()) -> Verdict:
    """Check each order that clients of this history sent. `may_fail`: those that no worker can make, so that the
    application may give them up."""
    known: list[str] = []  # what each order's client knows
    fates: dict[str, str] = {}
    violations: list[Witness] = []
    for order, events in by_order(history.events).items():
        tries = [event for event in events if event.what == ORDER]
        if tries:  # else it is another client's
            known.append(_known(tries))
            fates[order], found = _judged(order, events, order in may_fail)
            violations += found
    count = list(fates.values()).count
    why = [f"{fate}: {count(fate)} of {len(fates)} orders" for fate in (NOT_YET, UNSEEN) if count(fate)]
    if ACKNOWLEDGED not in known:
        why.append("no order was acknowledged")
    return Verdict(
        False if violations else None if why else True,
        known.count(ACKNOWLEDGED),
        known.count(INDETERMINATE),
        known.count(REFUSED),
        count(MADE_ONCE),
        count(LOST),
        count(MADE_TWICE),
        count(NOT_YET),
        tuple(violations),
        () if violations else tuple(why),
        fates,
    )


def _known(tries: Sequence[Event]) -> str:
    """What the client knows of an order after all these tries."""
    if any(each.acknowledged for each in tries):
        return ACKNOWLEDGED
    return REFUSED if all(each.refused for each in tries) else INDETERMINATE


def _judged(order: str, events: Sequence[Event], may_fail: bool) -> tuple[str, list[Witness]]:
    """What became of one order, and what is wrong with that."""
    events = sorted(events, key=lambda event: event.at)
    tries = [event for event in events if event.what == ORDER]
    readings = [event for event in events if event.what in SEEN]
    if twice := _twice(events, readings):
        return MADE_TWICE, [Witness(MADE_TWICE, order, twice)]
    # What first made certain that the application has the order: an acknowledgement, or a reading
    proofs = [each for each in (*tries, *readings) if each.acknowledged or each.present]
    certain = min(proofs, key=lambda event: event.ended, default=None)
    refused = _known(tries) == REFUSED
    if refused and any(each.status == CONFLICT for each in tries):
        return NOT_MADE, []  # what is there is another order
    if refused and certain and certain.at >= tries[0].at:
        found = [Witness(UNWANTED, order, (tries[0], certain))]
    else:
        found = [Witness(VANISHED, order, pair) for pair in _missed(certain, readings)]
    last = next((each for each in reversed(readings) if each.at >= max(one.ended for one in tries)), None)
    if last is None:
        return NOT_MADE if refused and not certain else UNSEEN, found
    if last.what == MADE:
        return MADE_ONCE, found
    if last.what == WAITING:
        return NOT_YET, found
    if certain is None or (last.what == FAILED and may_fail):
        return NOT_MADE, found
    return LOST, [Witness(LOST, order, (certain, last))]


def _missed(certain: Event | None, readings: Sequence[Event]) -> Iterator[tuple[Event, Event]]:
    """The first reading that misses what was certain before it began, and the first that misses what was made."""
    made = next((each for each in readings if each.what == MADE), None)
    for proof, missing in ((certain, {ABSENT}), (made, {ABSENT, WAITING, FAILED, UNREADABLE})):
        for reading in readings:
            if proof and reading.what in missing and reading.at >= proof.ended:
                yield proof, reading
                break


def _twice(events: Sequence[Event], readings: Sequence[Event]) -> tuple[Event, Event] | None:
    """Two events that show two results of one order."""
    made: dict[tuple[str, int, str], Event] = {}
    for reading in readings:
        if reading.what in (MADE, UNREADABLE):
            made.setdefault((reading.fractal, reading.generation, reading.note), reading)
    done: dict[tuple[str, int], Event] = {}
    for event in events:
        if event.clock == APPLICATION and event.what == "done":
            if earlier := done.get((event.fractal, event.generation)):
                return earlier, event
            done[event.fractal, event.generation] = event
    if len(made) > 1:
        first, second, *_ = made.values()
        return first, second
    return None
