"""What became of requests over time: who answered them, and which of them failed."""

import math
from collections.abc import Mapping, Sequence

from faafo_lab.load import Request
from faafo_lab.plots.events import mark_events
from faafo_lab.plots.over_time import by_number, looks_of, patch
from faafo_lab.plots.picture import RED, WIDTH_INCHES, Picture, drawn, new_figure, say_empty

BIN_SECONDS = 0.5
PANEL_INCHES = 1.5
FAILED = "failed"


@drawn
def outcomes(
    groups: Mapping[str, Sequence[Request]], events: Sequence[tuple[float, str]] = (), *, title: str = ""
) -> Picture:
    """Requests over time, a panel for each group: stacked by the server that answered, with those that failed on top.

    `groups` are runs by label, for instance {"turns": rows}; `events` are (seconds since 1970, text), marked in every
    panel. A request counts when it should have started, in bins of BIN_SECONDS; the bars' area is the number of
    requests.
    """
    begins = [row.intended for rows in groups.values() for row in rows]
    first, last = min(begins, default=0.0), max(begins, default=0.0)
    bins = max(1, math.ceil((last - first) / BIN_SECONDS + 1e-9))
    times = [index * BIN_SECONDS for index in range(bins + 1)]
    servers = by_number({row.api for rows in groups.values() for row in rows if row.ok})
    styles = looks_of(servers) | {FAILED: {"facecolor": "white", "edgecolor": RED, "hatch": "xxxx"}}
    marked = sorted((at - first, text) for at, text in events if first <= at <= last + BIN_SECONDS)
    figure = new_figure(WIDTH_INCHES, 1.5 + PANEL_INCHES * max(1, len(groups)))
    panels = figure.subplots(max(1, len(groups)), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    sentences, data = [], []
    top = 0.0
    for axis, (label, rows) in zip(panels, groups.items(), strict=False):
        below = [0.0] * bins
        counted = []
        for name in [*servers, FAILED]:
            found = [row for row in rows if (row.api if row.ok else FAILED) == name]
            if not found:
                continue
            heights = [0.0] * bins
            for row in found:
                heights[min(bins - 1, int((row.intended - first) / BIN_SECONDS))] += 1 / BIN_SECONDS
            above = [low + more for low, more in zip(below, heights, strict=True)]
            axis.fill_between(times, [*below, below[-1]], [*above, above[-1]], step="post", linewidth=0, **styles[name])
            below = above
            span = f" from {found[0].intended - first:.1f} to {found[-1].intended - first:.1f} s"
            counted.append(f"{len(found)} failed{span}" if name == FAILED else f"{name} answered {len(found)}")
            data += [(label, at, name, height) for at, height in zip(times, heights, strict=False)]
        top = max(top, *below)
        axis.set_title(label, fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        sentences.append(f"{label}: {', '.join(counted) or 'no requests'}")
    if not groups:
        sentences.append("No run was given: there is nothing to show")
        say_empty(panels[0], sentences[0])
    panels[0].set_xlim(0, times[-1])
    panels[0].set_ylim(0, max(top, 1.0) * 1.05)
    panels[-1].set_xlabel("time at which the request should have started (seconds)")
    figure.supylabel("requests per second", fontsize=10)
    names = [name for name in [*servers, FAILED] if any(row[2] == name for row in data)]
    if names:
        handles = [patch(styles[name]) for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=min(6, len(names)), frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    mark_events(figure, [(panels[0], marked)])
    for axis in panels[1:]:
        for at, _ in marked:
            axis.axvline(at, color=RED, linewidth=1.2, zorder=4)
    alt = "Requests over time, by who answered. " + "; ".join(sentences)
    if marked:
        alt += ". Events: " + ", ".join(f"{text} at {at:.1f} s" for at, text in marked)
    return Picture(figure, alt + ".", ("run", "second", "answered by", "requests/s"), data)
