"""The life of one order: order → queue → lease → death → lease over → again → done."""

from typing import Any

from faafo_lab.history import History, Stage, stages
from faafo_lab.history.events import ORDER, SEEN, Event
from faafo_lab.history.stages import DONE, OUTBOX, QUEUE
from faafo_lab.plots.over_time import by_number, looks_of
from faafo_lab.plots.picture import DARK_RED, GREEN, GREY, LEAST, RED, SKY, WIDTH_INCHES, Picture, drawn, new_figure

CLIENTS = "clients"
LANE_INCHES = 0.5
OPEN, REFUSED = {"facecolor": "white", "edgecolor": GREY, "hatch": "///"}, {"facecolor": RED}


@drawn
def life(history: History, uuid: str, title: str = "") -> Picture:
    """One order of a history over time: what its clients did and saw, and where it was meanwhile, a row for each place.

    Times are the clients', in seconds since the first event; the application's clock is set to theirs, as far as the
    history knows how (`History.within`). Raises HistoryError where the history has no such order.
    """
    events = history.of(uuid)
    stays = stages(history, uuid)
    first = history.time_of(events[0])
    last = max([*(event.ended - (event.at - history.time_of(event)) for event in events), first + 0.1])
    workers = by_number({stay.where for stay in stays if stay.leased})
    lanes = [CLIENTS, OUTBOX, QUEUE, *workers]
    looks = looks_of(workers) | {OUTBOX: {"facecolor": GREY}, QUEUE: {"facecolor": SKY}}
    figure = new_figure(WIDTH_INCHES, 1.2 + LANE_INCHES * len(lanes))
    axis = figure.subplots()
    rows: list[tuple[str, float, float, str]] = []
    for event in events:
        if event.what == ORDER or event.what in SEEN:
            start, end = event.at - first, event.ended - first
            words = _words(event)
            bad = event.what == ORDER and not event.acknowledged
            up = 8 * (-1) ** len(rows)  # neighbours' words, one above the other
            _bar(axis, 0, start, end, last - first, words, _look(event), bad, up)
            rows.append((CLIENTS, round(start, 3), round(end, 3), words))
    for before, stay in zip([None, *stays], stays, strict=False):
        start, end, lane = stay.start - first, stay.end - first, lanes.index(stay.where)
        broken = stay.how not in ("", DONE)
        look = {"facecolor": "white", "edgecolor": RED, "hatch": "xx"} if broken and stay.leased else looks[stay.where]
        _bar(axis, lane, start, end, last - first, stay.how, look, broken)
        beats = [at - first for at in stay.beats]
        axis.plot(beats, [lane + 0.3] * len(beats), "^", color="black", markersize=4, zorder=5)  # the lease renewed
        if stay.how == DONE:
            axis.plot([end], [lane], "D", color=GREEN, markeredgecolor="white", markersize=9, zorder=5)
        if before:
            between = [lanes.index(before.where), lane]
            axis.plot([start, start], between, color=GREY, linewidth=0.8, zorder=1)
        rows.append((stay.where, round(start, 3), round(end, 3), stay.how))
    axis.set_yticks(range(len(lanes)), lanes, fontsize=9)
    axis.set_ylim(len(lanes) - 0.4, -0.6)
    axis.set_xlim(0, 1.02 * (last - first))
    axis.set_xlabel("time (seconds)")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_title(title or f"The life of order {uuid}", fontsize=11)
    told = [_sentence(stay, first) for stay in stays] or ["the application said nothing of it"]
    clients = [f"{words} at {at:.2f} s" for where, at, _, words in rows if where == CLIENTS]
    alt = f"The life of order {uuid}. Clients: {', '.join(clients) or 'nothing'}. Then: {'; '.join(told)}."
    return Picture(figure, alt, ("where", "start (s)", "end (s)", "how it ended"), rows)


def _bar(
    axis: Any,
    lane: int,
    start: float,
    end: float,
    width: float,
    words: str,
    look: dict[str, Any],
    bad: bool,
    up: float = 0,
) -> None:
    """A bar with words beside it, so many points up."""
    axis.broken_barh(
        [(start, max(end - start, LEAST * width))], (lane - 0.3, 0.6), zorder=3, **{"linewidth": 0.8, **look}
    )
    if words:
        late = end > 0.85 * width  # no room to its right
        axis.annotate(
            words,
            (start if late else end, lane),
            xytext=(-7 if late else 7, up),
            textcoords="offset points",
            ha="right" if late else "left",
            va="center",
            fontsize=8.5,
            color=DARK_RED if bad else "black",
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.8},
            zorder=4,
        )


def _look(event: Event) -> dict[str, Any]:
    if event.what != ORDER:
        return {"facecolor": GREY}
    return {"facecolor": GREEN} if event.acknowledged else dict(REFUSED if event.refused else OPEN)


def _words(event: Event) -> str:
    if event.what != ORDER:
        return f"seen {event.what}"
    return f"ordered: {event.status or 'no answer'}"


def _sentence(stay: Stage, first: float) -> str:
    words = f"{stay.where} from {stay.start - first:.2f} to {stay.end - first:.2f} s"
    return words + (f" ({stay.how})" if stay.how else "")
