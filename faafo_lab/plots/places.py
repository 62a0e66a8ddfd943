"""Where pictures are, and which API shows which."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from faafo_lab.plots.picture import BLUE, GREY, RED, WIDTH_INCHES, Picture, drawn, new_figure, say_empty

NOWHERE = "nowhere"
SHOWN = 200  # the status of an answer with a picture
ROW_INCHES, FRAME_INCHES = 0.42, 1.15  # of height: a row, and what is above and below them
LONGEST_LABEL = 22  # characters


@drawn
def answers(statuses: Mapping[str, Sequence[int | None]], *, title: str = "") -> Picture:
    """Which API showed which picture: a row for each API, a column for each picture, which has the same place in all.

    `statuses`: by API the HTTP status of each answer, None where none came. A full square is a picture, a cross a
    failure; the number of successes is at the row's end.
    """
    names = list(statuses)
    figure = new_figure(WIDTH_INCHES, FRAME_INCHES + ROW_INCHES * max(1, len(names)))
    axis = figure.subplots()
    most = max(map(len, statuses.values()), default=0)
    sentences = []
    for row, (name, answered) in enumerate(statuses.items()):
        fine = [at for at, status in enumerate(answered, 1) if status == SHOWN]
        failed = [at for at, status in enumerate(answered, 1) if status != SHOWN]
        _marks(axis, row, fine, failed)
        axis.text(most + 1, row, f"{len(fine)} of {len(answered)}", va="center", fontsize=9.5)
        words = ", ".join(
            f"{count} × {status or 'no answer'}" for status, count in Counter(answered).items() if status != SHOWN
        )
        sentences.append(f"{name}: {len(fine)} of {len(answered)} succeeded" + (f" ({words})" if words else ""))
    _frame(axis, names, most, room=3.5)
    if not most:
        sentences.append("nothing was asked")
        say_empty(axis, sentences[-1])
    if title:
        axis.set_title(title, fontsize=11)
    table = [(name, at, status or "no answer") for name, each in statuses.items() for at, status in enumerate(each, 1)]
    return Picture(figure, f"Pictures asked of each API. {'; '.join(sentences)}.", ("API", "picture", "status"), table)


@drawn
def places(moments: Mapping[str, Mapping[str, str | None]], *, title: str = "") -> Picture:
    """Where each picture was at several moments, side by side: a row for each place, a column for each picture.

    `moments`: by title, for each picture the place that it was at, as the application names it ("database",
    "file://app-api-1", "swift://CONTAINER"); None: no API shows it.
    """
    rows = list(dict.fromkeys(place for moment in moments.values() for place in moment.values() if place))
    if any(place is None for moment in moments.values() for place in moment.values()):
        rows.append(NOWHERE)
    pictures = list(dict.fromkeys(picture for moment in moments.values() for picture in moment))
    figure = new_figure(WIDTH_INCHES, FRAME_INCHES + ROW_INCHES * max(1, len(rows)))
    axes = figure.subplots(1, max(1, len(moments)), sharey=True, squeeze=False)[0]
    sentences, table = [], []
    for axis, (when, moment) in zip(axes, moments.items(), strict=False):
        count = Counter(place or NOWHERE for place in moment.values())
        for row, place in enumerate(rows):
            there = [at for at, name in enumerate(pictures, 1) if name in moment and (moment[name] or NOWHERE) == place]
            _marks(axis, row, *(([], there) if place == NOWHERE else (there, [])), size=16)
            if there:
                axis.text(len(pictures) + 1, row, str(len(there)), va="center", fontsize=9)
        axis.set_title(when, fontsize=9.5)
        words = [f"{count[row]} {'' if row == NOWHERE else 'at '}{row}" for row in rows if count[row]]
        sentences.append(f"{when}: {', '.join(words) or 'no picture'}")
        table += [(when, name, place or NOWHERE) for name, place in moment.items()]
        _frame(axis, [_label(row) for row in rows], len(pictures), room=4)
    if not pictures:
        sentences = ["there is no picture"]
        _frame(axes[0], [], 0)
        say_empty(axes[0], sentences[-1])
    if title:
        figure.suptitle(title, fontsize=11)
    return Picture(figure, f"Where the pictures are. {'; '.join(sentences)}.", ("moment", "picture", "place"), table)


def _marks(axis: Any, row: int, fine: Sequence[int], bad: Sequence[int], size: float = 46) -> None:
    """Squares and crosses in a row."""
    axis.scatter(fine, [row] * len(fine), marker="s", s=size, color=BLUE, linewidths=0)
    axis.scatter(bad, [row] * len(bad), marker="x", s=0.6 * size, color=RED, linewidths=1.3)


def _frame(axis: Any, labels: Sequence[str], columns: int, room: float = 1) -> None:
    """Rows from the top, with their names, and columns with numbers; `room` for the numbers at the rows' ends."""
    axis.set_ylim(max(1, len(labels)) - 0.5, -0.5)
    axis.set_yticks(range(len(labels)), labels)
    axis.set_xlim(0, columns + room)
    axis.set_xticks([1, columns] if columns > 1 else [])
    axis.set_xlabel("picture", fontsize=9, color=GREY)
    axis.tick_params(length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _label(place: str) -> str:
    """A place, as a reader says it."""
    kind, _, name = place.partition("://")
    words = {"file": f"disk of {name}", "swift": f"object store\n{name}"}.get(kind, place)
    return words if len(words) <= LONGEST_LABEL or "\n" in words else words[: LONGEST_LABEL - 1] + "…"
