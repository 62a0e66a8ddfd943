"""The application drawn: servers by role, how busy each is, and who may talk to whom; and a line of the last minute.

Pure functions from a `Moment` to SVG, which is valid XML and complete: its colours are JupyterLab's (CSS variables,
with a light theme's as fallback), and every colour's meaning is also in words. `image` makes of one what any page
shows.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape

from faafo_lab.balancer import Balancer
from faafo_lab.living.following import HISTORY_SECONDS
from faafo_lab.topology import ROLES, Machine, Moment
from faafo_lab.topology.roles import Column

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"  # Okabe and Ito's, as in `plots`
COLUMN_COLOURS: Mapping[Column, str] = {"API": BLUE, "Services": GREEN, "Workers": ORANGE}
PAGE = "var(--jp-layout-color0,#fff)"  # what is behind the picture
GROUND = "var(--jp-layout-color1,#fff)"
SHADE = "var(--jp-layout-color3,#ddd)"
INK = "var(--jp-ui-font-color1,#222)"
FAINT = "var(--jp-ui-font-color2,#666)"
FONT = "var(--jp-ui-font-family,sans-serif)"

BOX_WIDTH, BOX_HEIGHT, GAP = 172, 78, 12
YOU_WIDTH, COLUMN_GAP = 50, 56
HEAD, FOOT = 30, 34  # above: the columns' titles; below: the way of the results
ROWS_A_COLUMN = 5  # more workers go into another column
BAR_WIDTH, BAR_HEIGHT = 74, 8
LINE_WIDTH, LINE_HEIGHT = 400, 96
FULL_PERCENT = 90
READABLE = 0.92  # of its size: the picture is drawn no smaller than this, and scrolls sideways where there is less room


def topology(moment: Moment) -> str:
    """The servers, left to right as a request goes: you, the load balancer if any, the APIs, the services, the
    workers."""
    left, middle, right = (_of_column(moment, name) for name in COLUMN_COLOURS)
    rows = min(max(len(left), len(middle), min(len(right), ROWS_A_COLUMN), 1), max(ROWS_A_COLUMN, len(left)))
    height = HEAD + rows * (BOX_HEIGHT + GAP) + FOOT
    parts: list[str] = []
    x: float = YOU_WIDTH + COLUMN_GAP
    places: dict[str, tuple[float, float]] = {}

    def column(machines: Sequence[Machine], x: float) -> float:
        """Place the machines; returns where the next column begins."""
        columns = [machines[at : at + max(rows, 1)] for at in range(0, len(machines), max(rows, 1))] or [[]]
        if machines:
            title = ROLES[machines[0].role].title
            parts.append(_text(x, HEAD - 12, title, size=12, colour=FAINT))
        for stack in columns:
            free = rows - len(stack) if len(columns) == 1 else 0  # several columns have their rows side by side
            top = HEAD + free * (BOX_HEIGHT + GAP) / 2
            for index, machine in enumerate(stack):
                places[machine.name] = (x, top + index * (BOX_HEIGHT + GAP))
            x += BOX_WIDTH + GAP
        return x - GAP + COLUMN_GAP

    middle_y = HEAD + rows * (BOX_HEIGHT + GAP) / 2 - GAP / 2
    front = _front(moment.front) if moment.front and moment.machines else None
    if front:
        parts.append(_text(x, HEAD - 12, "Load balancer", size=12, colour=FAINT))
        places[front.name] = (x, middle_y - BOX_HEIGHT / 2)
        x += BOX_WIDTH + COLUMN_GAP
    x = column(left, x)
    if middle:
        x = column(middle, x)
    end = column(right, x) - COLUMN_GAP if right else x - COLUMN_GAP

    arrows: list[str] = []
    entry: float = YOU_WIDTH
    if left or front:
        parts.append(_you(middle_y))
    if front:
        arrows.append(_arrow(entry, middle_y, places[front.name][0], middle_y, BLUE))
        entry = places[front.name][0] + BOX_WIDTH
    members = moment.front.members if moment.front else ()
    for machine in left:
        to_x, to_y = places[machine.name]
        arrows.append(_arrow(entry, middle_y, to_x, to_y + BOX_HEIGHT / 2, BLUE))
        health = next((each.status for each in members if each.name == machine.name), "")
        parts.append(_text(to_x - 4, to_y + BOX_HEIGHT / 2 - 8, health, anchor="end", size=10, halo=True))
    hub = [machine for machine in (*middle, *left) if "queue" in ROLES[machine.role].offers]
    for target in hub[:1]:
        hub_x, hub_y = places[target.name][0], places[target.name][1] + BOX_HEIGHT / 2
        for machine in left if middle else []:
            from_x, from_y = places[machine.name]
            arrows.append(_arrow(from_x + BOX_WIDTH, from_y + BOX_HEIGHT / 2, hub_x, hub_y, GREEN))
        front_x = min((places[machine.name][0] for machine in right), default=0.0)
        for machine in right:
            from_x, from_y = places[machine.name]
            start_y = from_y + BOX_HEIGHT / 2
            if from_x > front_x:  # from a column behind the first: between the boxes of those before it
                way_y = from_y + BOX_HEIGHT + GAP / 2
                arrows.append(_line(f"M{from_x:.1f},{start_y:.1f} h{-GAP / 2} V{way_y:.1f} H{front_x:.1f}", ORANGE))
                start_y = way_y
            arrows.append(_arrow(front_x, start_y, hub_x + BOX_WIDTH, hub_y, ORANGE))
        queue = f"{moment.queue_port} (queue)"
        ports = f"ports 5432 (database), {queue}" if middle else f"port {queue}"
        parts.append(_text(hub_x + BOX_WIDTH / 2, hub_y + BOX_HEIGHT / 2 + 14, ports, anchor="middle", halo=True))
    if left and right and middle:
        arrows.append(_results(places, [front] if front else left, right, height))
    drawn = [*moment.machines, *([front] if front else [])]
    boxes = [_box(machine, *places[machine.name]) for machine in drawn if machine.name in places]
    if not moment.machines:
        parts.append(_text(YOU_WIDTH, HEAD + BOX_HEIGHT / 2, "the application has no servers", size=14))
        end = YOU_WIDTH + 320
    return _svg(end + 4, height, in_words(moment), [*arrows, *parts, *boxes])


def in_words(moment: Moment) -> str:
    """What the picture shows: the numbers, then each server with what it does."""
    servers = []
    for machine in moment.machines:
        used = "" if machine.cpu_percent is None else f", CPU {machine.cpu_percent:.0f} %"
        servers.append(f"{machine.name}: {machine.words}{used}")
    return "; ".join([f"The application: {moment}", *servers])


def image(svg: str) -> str:
    """The picture as an image (HTML), in a light theme's colours, with its description as the alternative text.

    Where a page does not trust what it shows (a notebook of somebody else's in JupyterLab, GitHub), it strips inline
    SVG but for its words, and keeps images.
    """
    found = re.search('aria-label="([^"]*)"', svg)
    data = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{found[1] if found else ""}">'


def throughput(moment: Moment) -> str:
    """Fractals per second over the last minute, as a line."""
    values = [rate for _, rate in moment.rates if rate is not None]
    top = _round_up(max([1.0, *values]))
    left, right, upper, lower = 30.0, LINE_WIDTH - 48.0, 14.0, LINE_HEIGHT - 20.0

    def place(ago: float, rate: float) -> tuple[float, float]:
        return right - (right - left) * min(1.0, ago / HISTORY_SECONDS), lower - (lower - upper) * rate / top

    parts = [
        f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" style="stroke:{SHADE};stroke-width:1"/>'
        for y in (upper, (upper + lower) / 2, lower)
    ]
    parts += [
        _text(left - 5, upper + 4, f"{top:g}", anchor="end", colour=FAINT),
        _text(left - 5, lower + 4, "0", anchor="end", colour=FAINT),
        _text(left, LINE_HEIGHT - 5, f"{HISTORY_SECONDS:.0f} s ago", colour=FAINT),
        _text(right, LINE_HEIGHT - 5, "now", anchor="end", colour=FAINT),
    ]
    piece: list[tuple[float, float]] = []
    pieces = [piece]
    for ago, rate in moment.rates:  # where the rate is not known the line has a gap
        if rate is None:
            piece = []
            pieces.append(piece)
        else:
            piece.append(place(ago, rate))
    for points in pieces:
        if len(points) > 1:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            ground = f"{points[0][0]:.1f},{lower:.1f} {line} {points[-1][0]:.1f},{lower:.1f}"
            parts.append(f'<polygon points="{ground}" style="fill:{BLUE};opacity:.18"/>')
            parts.append(
                f'<polyline points="{line}" style="fill:none;stroke:{BLUE};stroke-width:2;stroke-linejoin:round"/>'
            )
    if moment.rate is not None:
        x, y = place(0.0, moment.rate)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" style="fill:{BLUE}"/>')
        parts.append(_text(x + 7, y + 4, f"{moment.rate:.1f}", weight="bold"))
    now = "unknown" if moment.rate is None else f"{moment.rate:.1f}"
    return _svg(LINE_WIDTH, LINE_HEIGHT, f"Fractals per second over the last minute: now {now}", parts)


# -- the parts -----------------------------------------------------------------------------------------------------


def _of_column(moment: Moment, column: Column) -> list[Machine]:
    """The servers that are drawn in this column."""
    return moment.of_role(*(role.name for role in ROLES.values() if role.column == column))


def _front(balancer: Balancer) -> Machine:
    """The load balancer as one of the boxes: it is no server of the project's."""
    online = sum(member.status in ("ONLINE", "NO_MONITOR") for member in balancer.members)
    address = balancer.floating_address or balancer.address
    return Machine(balancer.name, "", balancer.status, address, f"{online} of {len(balancer.members)} members online")


def _box(machine: Machine, x: float, y: float) -> str:
    colour = COLUMN_COLOURS[ROLES[machine.role].column] if machine.role else BLUE
    dashes = "" if machine.is_well else ";stroke-dasharray:5 4"
    parts = [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
        f'style="fill:{GROUND};stroke:{colour};stroke-width:1.6{dashes}"/>',
        f'<rect x="{x:.1f}" y="{y + 8:.1f}" width="5" height="{BOX_HEIGHT - 16}" style="fill:{colour}"/>',
        _text(x + 14, y + 19, _cut(machine.name, 20), size=13, weight="bold"),
        _text(x + 14, y + 36, machine.address, colour=FAINT),
        _text(x + 14, y + (53 if machine.cpu_percent is not None else 56), _cut(machine.words, 24)),
    ]
    if machine.cpu_percent is not None:
        used = max(0.0, min(100.0, machine.cpu_percent))
        bar_y = y + BOX_HEIGHT - 16
        parts += [
            f'<rect x="{x + 14:.1f}" y="{bar_y:.1f}" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" rx="2" '
            f'style="fill:{SHADE}"/>',
            f'<rect x="{x + 14:.1f}" y="{bar_y:.1f}" width="{BAR_WIDTH * used / 100:.1f}" height="{BAR_HEIGHT}" '
            f'rx="2" style="fill:{colour}"/>',
            _text(
                x + 14 + BAR_WIDTH + 6,
                bar_y + BAR_HEIGHT,
                f"CPU {used:.0f} %",
                weight="bold" if used >= FULL_PERCENT else "normal",
            ),
        ]
    details = f"{machine.name}: {machine.words}"
    if machine.load_average is not None:
        details += f", load average {machine.load_average:.2f}"
    return f"<g><title>{escape(details)}</title>{''.join(parts)}</g>"


def _you(y: float) -> str:
    """Somebody who asks for fractals."""
    x = YOU_WIDTH / 2
    return (
        f'<circle cx="{x}" cy="{y - 20:.1f}" r="7" style="fill:{FAINT}"/>'
        f'<path d="M{x - 13},{y + 8:.1f} q0,-18 13,-18 q13,0 13,18 z" style="fill:{FAINT}"/>'
        + _text(x, y + 24, "you", anchor="middle", size=12)
        + _text(x, y + 40, "port 80", anchor="middle", colour=FAINT)
    )


def _arrow(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """An S-shaped arrow, level at both ends."""
    way = 1 if x2 > x1 else -1
    tip = x2 - way * 8
    bend = (tip - x1) / 2
    path = f"M{x1:.1f},{y1:.1f} C{x1 + bend:.1f},{y1:.1f} {tip - bend:.1f},{y2:.1f} {tip:.1f},{y2:.1f}"
    return _line(path, colour) + _head(x2, y2, way, 0, colour)


def _line(path: str, colour: str, more: str = "") -> str:
    """A line along this path (the attribute `d` of SVG's element path)."""
    return f'<path d="{path}" style="fill:none;stroke:{colour};stroke-width:1.6{more}"/>'


def _results(
    places: dict[str, tuple[float, float]], takers: Sequence[Machine], right: Sequence[Machine], height: float
) -> str:
    """The way of the results: from the workers, below everything, to the first of these, which are in one column."""
    first_x, first_y = places[takers[0].name]
    lowest = max(places[machine.name][1] for machine in takers) + BOX_HEIGHT
    start_x = places[right[0].name][0] + BOX_WIDTH / 2
    start_y = max(places[machine.name][1] for machine in right if places[machine.name][0] < start_x) + BOX_HEIGHT
    low = height - 12
    end_x = first_x + BOX_WIDTH + 14  # up beside them, and into the first one
    end_y = first_y + BOX_HEIGHT - 14
    path = f"M{start_x:.1f},{start_y:.1f} L{start_x:.1f},{low:.1f} L{end_x:.1f},{low:.1f} L{end_x:.1f},{end_y:.1f}"
    if lowest == first_y + BOX_HEIGHT:  # it is the only one: from below
        end_x, end_y = first_x + BOX_WIDTH / 2, lowest
        path = (
            f"M{start_x:.1f},{start_y:.1f} L{start_x:.1f},{low:.1f} L{end_x:.1f},{low:.1f} L{end_x:.1f},{end_y + 8:.1f}"
        )
        head = _head(end_x, end_y, 0, -1, BLUE)
    else:
        path += f" L{first_x + BOX_WIDTH + 8:.1f},{end_y:.1f}"
        head = _head(first_x + BOX_WIDTH, end_y, -1, 0, BLUE)
    words = f"results to {takers[0].name}, port 80"
    label = _text((start_x + end_x) / 2, low - 5, words, anchor="middle", halo=True)
    return _line(path, BLUE, ";stroke-dasharray:6 3") + head + label


def _head(x: float, y: float, right: int, down: int, colour: str) -> str:
    """An arrow's head whose tip is at (x, y)."""
    back_x, back_y = x - 8 * right, y - 8 * down
    across_x, across_y = 4 * abs(down), 4 * abs(right)
    points = (
        f"{x:.1f},{y:.1f} {back_x + across_x:.1f},{back_y + across_y:.1f} {back_x - across_x:.1f},"
        f"{back_y - across_y:.1f}"
    )
    return f'<polygon points="{points}" style="fill:{colour}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    weight: str = "normal",
    colour: str = INK,
    anchor: str = "start",
    halo: bool = False,
) -> str:
    around = f";stroke:{GROUND};stroke-width:3px;paint-order:stroke" if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
        f'style="font:{weight} {size}px {FONT};fill:{colour}{around}">{escape(text)}</text>'
    )


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    """A picture with its description, as wide as it is or as there is room, but still to be read."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'style="max-width:100%;min-width:{READABLE * width:.0f}px;height:auto;display:block">'
        f'<rect width="100%" height="100%" style="fill:{PAGE}"/>{"".join(parts)}</svg>'
    )


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 …"""
    unit = 1.0
    while True:
        for step in (1, 2, 5):
            if value <= step * unit:
                return step * unit
        unit *= 10
