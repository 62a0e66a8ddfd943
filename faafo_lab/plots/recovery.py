"""What an accident with the database costs, with a backup alone and with the log since."""

from bisect import bisect
from collections.abc import Iterable
from datetime import datetime

from faafo_lab.plots.picture import BLUE, GREY, HEIGHT_INCHES, ORANGE, RED, WIDTH_INCHES, Picture, drawn, new_figure


@drawn
def recovery(
    arrivals: Iterable[datetime],
    backup: datetime,
    accident: datetime,
    restored: datetime,
    orders: int,
    title: str = "",
) -> Picture:
    """How many orders the database knew over time, the orders since the backup shaded: only the log has them.

    `arrivals`: when each order of before the accident came; `backup`, `accident`, `restored`: when the backup ended,
    when all orders were deleted, and when the restored database served; `orders`: how many it had then.
    """
    came = sorted(moment.timestamp() for moment in arrivals)
    start = min(came[0] if came else backup.timestamp(), backup.timestamp())
    made, lost, back = (moment.timestamp() - start for moment in (backup, accident, restored))
    times = [moment - start for moment in came]
    saved = bisect(times, made)
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    axis = figure.subplots()
    line = [(0.0, 0), *((at, number) for number, at in enumerate(times, 1)), (lost, len(times)), (lost, 0), (back, 0)]
    line += [(back, orders), (back + 0.1 * max(back, 1.0), orders)]
    axis.step(*zip(*line, strict=True), where="post", color=BLUE, linewidth=2)
    axis.fill_between([made, lost], saved, len(times), color=ORANGE, alpha=0.25, linewidth=0, hatch="//")
    axis.axvspan(lost, back, color=RED, alpha=0.12, linewidth=0)
    top = max(len(times), orders, 1)
    marks = [(made, "backup made", GREY), (lost, "DELETE", RED), (back, "restored", BLUE)]
    for at, words, colour in marks:
        axis.axvline(at, color=colour, linestyle="--", linewidth=1)
        axis.annotate(words, (at, 1.2 * top), (3, 0), textcoords="offset points", fontsize=9, va="top")
    if len(times) > saved:
        words = f"{len(times) - saved} only in the log"
        axis.annotate(words, (made, len(times)), (3, 3), textcoords="offset points", fontsize=9)
    axis.set_ylim(0, 1.22 * top)
    axis.set_xlim(left=0)
    axis.set_xlabel("time (seconds)")
    axis.set_ylabel("orders in the database")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(title or "What came back", fontsize=11)
    alt = (
        f"Orders in the database over time: {saved} when the backup was made, {len(times)} at {lost:.1f} s, when all "
        f"were deleted, and {orders} again at {back:.1f} s. {len(times) - saved} of them were only in the log."
    )
    return Picture(figure, alt, ("second", "orders"), [(round(at, 3), number) for at, number in line])
