"""One moment of the application, as SVG and in words: servers by role and how busy each is, who may talk to whom, the
queue, the tasks at their workers; and the throughput of the last minute.

    scene, tasks = scene_at(events, t), tasks_at(events, t)
    svg = picture(scene, tasks)
    html = image(svg)                                   # shown by pages that trust nothing
    html = image(throughput(rates_at(events, t)))
    svg = together([("One worker", svg), ("Three workers", other)])
    in_words(scene)

Pure functions. The SVG is valid XML and complete: its colours are JupyterLab's (CSS variables, with a light theme's as
fallback), and what a colour means is also said in words. `image` makes of one what any page shows.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape

from faafo_lab.living.events import YOU, Counts, Front, Gate, Scene, SceneServer
from faafo_lab.living.following import HISTORY_SECONDS
from faafo_lab.topology import ROLES
from faafo_lab.topology.roles import DATABASE_PORT, RABBITMQ_PORT, VALKEY_PORT, Column

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"  # Okabe and Ito's, as in `plots`
COLUMN_COLOURS: Mapping[Column, str] = {"API": BLUE, "Services": GREEN, "Workers": ORANGE}
PAGE = "var(--jp-layout-color0,#fff)"  # what is behind the picture
GROUND = "var(--jp-layout-color1,#fff)"
SHADE = "var(--jp-layout-color3,#ddd)"
INK = "var(--jp-ui-font-color1,#222)"
FAINT = "var(--jp-ui-font-color2,#666)"
FONT = "var(--jp-ui-font-family,sans-serif)"

BOX_WIDTH, BOX_HEIGHT, GAP = 172, 78, 12
YOU_WIDTH, COLUMN_GAP = 50, 72
HEAD, FOOT = 30, 56  # above: the columns' titles; below: the queue, and the way of the results
LINE_PIXELS = 18  # of the words at the foot
TITLE_PIXELS = 26  # of a picture's title, where several are one
ROWS_A_COLUMN = 5  # more workers go into another column
BAR_WIDTH, BAR_HEIGHT = 74, 8
LINE_WIDTH, LINE_HEIGHT = 400, 96
FULL_PERCENT = 90
GATE_PIXELS = 28  # from a gate to the box before or behind it
STACK_STEP, STACK_MOST, TASKS_MOST = 9, 19, 4
READABLE = 0.92  # of its size: the picture is drawn no smaller than this, and scrolls sideways where there is less room


@dataclass(frozen=True)
class _Box:
    """A server's box, or the load balancer's, by its upper left corner."""

    name: str
    server: SceneServer
    x: float
    y: float

    @property
    def right(self) -> float:
        """Where its right edge is."""
        return self.x + BOX_WIDTH

    @property
    def middle(self) -> float:
        """The height at which arrows arrive and leave."""
        return self.y + BOX_HEIGHT / 2

    @property
    def bottom(self) -> float:
        """Where its lower edge is."""
        return self.y + BOX_HEIGHT


def picture(scene: Scene, tasks: Mapping[str, str] | None = None) -> str:
    """The servers, left to right as a request goes: you, the load balancer if any, the APIs, the services, the
    workers. `tasks`: the tasks at work, by uuid, each with its worker's name."""
    servers = scene.get("servers", {})
    columns = [_of_column(servers, name) for name in COLUMN_COLOURS]
    rows = max(len(columns[0]), len(columns[1]), min(len(columns[2]), ROWS_A_COLUMN), 1)
    middle_y = HEAD + rows * (BOX_HEIGHT + GAP) / 2 - GAP / 2
    parts: list[str] = []
    x: float = YOU_WIDTH + COLUMN_GAP
    front = None
    if "front" in scene and servers:
        parts.append(_text(x, HEAD - 12, "Load balancer", size=12, colour=FAINT))
        front = _Box(scene["front"]["name"], _as_server(scene["front"]), x, middle_y - BOX_HEIGHT / 2)
        x += BOX_WIDTH + COLUMN_GAP
    placed: list[list[_Box]] = []
    for names in columns:
        boxes, end = _column(names, servers, x, rows)
        placed.append(boxes)
        if boxes:
            parts.append(_text(x, HEAD - 12, ROLES[boxes[0].server["role"]].title, size=12, colour=FAINT))
            x = end + COLUMN_GAP
    left, middle, right = placed
    words = _foot(scene)
    ground = HEAD + rows * (BOX_HEIGHT + GAP) + FOOT  # the picture's height, but for the words at its foot
    arrows = [
        *_requests(scene, front, left, middle_y),
        *_work(scene, left, middle, right),
        *(_results(scene, [front] if front else left, right, ground) if left and middle and right else []),
    ]
    parts += _queue(scene, left, middle)
    if left or front:
        parts.append(_you(middle_y, "" if _gates(scene, [YOU], left) else "port 80"))
    at_work: dict[str, list[str]] = {}
    for uuid, worker in (tasks or {}).items():
        at_work.setdefault(worker, []).append(uuid)
    drawn = [*left, *middle, *right, *([front] if front else [])]
    boxes_drawn = [_box(box, at_work.get(box.name, [])) for box in drawn]
    width = x - COLUMN_GAP
    if not servers:
        parts.append(_text(YOU_WIDTH, HEAD + BOX_HEIGHT / 2, "the application has no servers", size=14))
        width = YOU_WIDTH + 320
    for number, line in enumerate(words):
        parts.append(_text(4, ground + 14 + number * LINE_PIXELS, line, weight="bold"))
    height = ground + len(words) * LINE_PIXELS + 4
    return _svg(width + 4, height, in_words(scene), [*arrows, *parts, *boxes_drawn])


def in_words(scene: Scene) -> str:
    """What the picture shows: the numbers, the gates that are shut, then each server with what it does."""
    shut = [f"{_gate_words(gate)} is shut" for gate in scene.get("gates", {}).values() if not gate.get("open", True)]
    doing = []
    for name, server in _sorted(scene.get("servers", {})):
        used = f", CPU {server['cpu']:.0f} %" if "cpu" in server else ""
        doing.append(f"{name}: {server.get('words', server.get('status', ''))}{used}")
    return "; ".join([f"The application: {_summary(scene)}", *shut, *doing])


def image(svg: str) -> str:
    """The picture as an image (HTML), in a light theme's colours, with its description as the alternative text.

    Where a page does not trust what it shows (a notebook of somebody else's in JupyterLab, GitHub), it strips inline
    SVG but for its words, and keeps images.
    """
    found = re.search('aria-label="([^"]*)"', svg)
    data = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{found[1] if found else ""}">'


def together(pictures: Sequence[tuple[str, str]]) -> str:
    """Pictures as one, each below the one before, under its title."""
    parts, words = [], []
    width = height = 0.0
    for title, svg in pictures:
        found = re.fullmatch(
            r'<svg [^>]*aria-label="([^"]*)" viewBox="0 0 (\d+) (\d+)"[^>]*>(.*)</svg>', svg, re.DOTALL
        )
        if not found:
            raise ValueError(f"This is no picture of `picture`: {svg[:80]}")
        label, wide, high, inside = found.groups()
        words.append(f"{title}. {unescape(label)}" if title else unescape(label))
        parts.append(f'<g transform="translate(0,{height + TITLE_PIXELS:.0f})">{inside}</g>')
        parts.append(_text(4, height + 18, title, size=15, weight="bold"))
        width, height = max(width, float(wide)), height + TITLE_PIXELS + float(high) + GAP
    return _svg(width, height, " — ".join(words), parts)


def throughput(rates: Sequence[tuple[float, float | None]]) -> str:
    """Fractals per second over the last minute, as a line: (seconds ago, rate), the oldest first; None: not known."""
    values = [rate for _, rate in rates if rate is not None]
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
    for ago, rate in rates:  # where the rate is not known the line has a gap
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
    last = rates[-1][1] if rates else None
    if last is not None:
        x, y = place(0.0, last)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" style="fill:{BLUE}"/>')
        parts.append(_text(x + 7, y + 4, f"{last:.1f}", weight="bold"))
    now = "unknown" if last is None else f"{last:.1f}"
    return _svg(LINE_WIDTH, LINE_HEIGHT, f"Fractals per second over the last minute: now {now}", parts)


# -- words ---------------------------------------------------------------------------------------------------------


def _summary(scene: Scene) -> str:
    """The numbers in one sentence, as a `Moment` says them, and what the autoscaler wants."""
    servers = scene.get("servers", {})
    if not servers:
        return scene.get("problem") or "No server of the application is here."
    counted = []
    for node, noun in (("api", "API server"), ("worker", "worker")):
        roles = {role.name for role in ROLES.values() if node in role.nodes}
        number = sum(server.get("role") in roles for server in servers.values())
        counted.append(f"{number} {noun}{'s' * (number != 1)}")
    text = ", ".join(counted)
    counts = scene.get("counts", {})
    if "done" in counts:
        text += f"; fractals: {', '.join(_counts(counts))}"
    if "rate" in counts:
        text += f"; {counts['rate']:.1f} fractals/s"
    if "wanted" in scene:
        text += f"; wanted: {scene['wanted']} worker{'s' * (scene['wanted'] != 1)}"
    if "front" in scene:
        members = scene["front"].get("members", {})
        health = ", ".join(f"{name} {member.get('status', '')}" for name, member in members.items())
        text += f"; load balancer {scene['front']['name']}: {health or 'no members'}"
    return f"{text}. {scene.get('problem', '')}".strip()


def _counts(counts: Counts) -> list[str]:
    """What became of the fractals so far; failed ones are told where there are any."""
    told = [
        f"{counts.get('waiting', 0)} waiting",
        f"{counts.get('working', 0)} in work",
        f"{counts.get('done', 0)} done",
    ]
    return [*told, *([f"{counts['failed']} failed"] if counts.get("failed") else [])]


def _foot(scene: Scene) -> list[str]:
    """The lines below the picture: the numbers; what does not answer."""
    counts = scene.get("counts", {})
    told = _counts(counts) if "done" in counts else []
    if "rate" in counts:
        told.append(f"{counts['rate']:.1f} fractals/s")
    if "wanted" in scene:
        told.append(f"the autoscaler wants {scene['wanted']} worker{'s' * (scene['wanted'] != 1)}")
    return [line for line in (" · ".join(told), scene.get("problem", "")) if line]


def _gate_words(gate: Gate) -> str:
    """A gate in words, such as "the gate from worker to services, port 6379"."""
    return f"the gate from {gate['from']} to {gate['to']}, port {gate['port']}"


def _of_column(servers: Mapping[str, SceneServer], column: Column) -> list[str]:
    """The names of the servers that are drawn in this column."""
    roles = {role.name for role in ROLES.values() if role.column == column}
    return [name for name, server in _sorted(servers) if server.get("role") in roles]


def _sorted(servers: Mapping[str, SceneServer]) -> list[tuple[str, SceneServer]]:
    """Servers in the order in which they are built: by role, then by number."""
    order = {name: number for number, name in enumerate(ROLES)}

    def key(item: tuple[str, SceneServer]) -> tuple[int, list[tuple[int, str]]]:
        pieces = re.findall(r"\d+|\D+", item[0])
        return order.get(item[1].get("role", ""), len(order)), [
            (int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces
        ]

    return sorted(servers.items(), key=key)


# -- the parts -----------------------------------------------------------------------------------------------------


def _column(names: Sequence[str], servers: Mapping[str, SceneServer], x: float, rows: int) -> tuple[list[_Box], float]:
    """The boxes of a column, and where it ends; more than `rows` go into further columns beside it."""
    boxes: list[_Box] = []
    stacks = [names[at : at + rows] for at in range(0, len(names), rows)]
    for number, stack in enumerate(stacks):
        free = rows - len(stack) if len(stacks) == 1 else 0  # several columns have their rows side by side
        top = HEAD + free * (BOX_HEIGHT + GAP) / 2
        left = x + number * (BOX_WIDTH + GAP)
        boxes += [_Box(name, servers[name], left, top + at * (BOX_HEIGHT + GAP)) for at, name in enumerate(stack)]
    return boxes, max((box.right for box in boxes), default=x)


def _as_server(front: Front) -> SceneServer:
    """The load balancer as one of the boxes: it is no server of the project's."""
    members = front.get("members", {})
    online = sum(member.get("status") in ("ONLINE", "NO_MONITOR") for member in members.values())
    return {
        "status": front.get("status", ""),
        "words": f"{online} of {len(members)} members online",
        "address": front.get("floating") or front.get("address", ""),
        "well": front.get("status") == "ACTIVE",
    }


def _requests(scene: Scene, front: _Box | None, left: Sequence[_Box], y: float) -> list[str]:
    """The arrows from you to the APIs, through the load balancer and the gate, if any."""
    parts = []
    start: float = YOU_WIDTH
    if front:
        parts.append(_arrow(start, y, front.x, y, BLUE))
        start = front.right
    gates = _gates(scene, [YOU], left)
    if gates:
        parts.append(_line(f"M{start:.1f},{y:.1f} h{GATE_PIXELS}", BLUE))
        start += GATE_PIXELS
    members = scene["front"].get("members", {}) if front else {}
    for box in left:
        parts.append(_arrow(start, y, box.x, box.middle, BLUE))
        health = members.get(box.name, {}).get("status", "")
        beside = -8 if box.middle <= y else 16
        parts.append(_text(box.x - 4, box.middle + beside, health, anchor="end", size=10, halo=True))
    return [*parts, *_gates_drawn(gates, start, y)]


def _work(scene: Scene, left: Sequence[_Box], middle: Sequence[_Box], right: Sequence[_Box]) -> list[str]:
    """The arrows to the database and the queue: from the APIs, and from the workers."""
    hub = _hub(left, middle)
    if hub is None:
        return []
    parts = []
    senders = left if middle else []
    gates = _gates(scene, _roles(senders), [hub])
    to = hub.x
    if gates:
        to -= GATE_PIXELS
        parts.append(_arrow(to, hub.middle, hub.x, hub.middle, GREEN))
    parts += [_way(box.right, box.middle, to, hub.middle, GREEN, headed=not gates) for box in senders]
    parts += _gates_drawn(gates, to, hub.middle)
    gates = _gates(scene, _roles(right), [hub])
    to = hub.right
    if gates:
        to += GATE_PIXELS
        parts.append(_arrow(to, hub.middle, hub.right, hub.middle, ORANGE))
    front_x = min((box.x for box in right), default=0.0)
    for box in right:
        start_y = box.middle
        if box.x > front_x:  # from a column behind the first: between the boxes of those before it
            way_y = box.bottom + GAP / 2
            parts.append(_line(f"M{box.x:.1f},{start_y:.1f} h{-GAP / 2} V{way_y:.1f} H{front_x:.1f}", ORANGE))
            start_y = way_y
        parts.append(_way(front_x, start_y, to, hub.middle, ORANGE, headed=not gates))
    return [*parts, *_gates_drawn(gates, to, hub.middle)]


def _hub(left: Sequence[_Box], middle: Sequence[_Box]) -> _Box | None:
    """The server with the queue."""
    found = [box for box in (*middle, *left) if "queue" in ROLES[box.server["role"]].offers]
    return found[0] if found else None


def _queue(scene: Scene, left: Sequence[_Box], middle: Sequence[_Box]) -> list[str]:
    """Below the server with the queue: its ports, and what waits, as a stack of squares and a number."""
    hub = _hub(left, middle)
    if hub is None:
        return []
    y = max(box.bottom for box in (middle or left))
    parts = []
    names = {DATABASE_PORT: "database", VALKEY_PORT: "queue", RABBITMQ_PORT: "queue"}
    ports = sorted({gate["port"] for gate in scene.get("gates", {}).values() if gate["to"] == hub.server["role"]})
    told = ", ".join(f"{port} ({names[port]})" for port in ports if port in names)
    if told:
        words = f"port{'s' * (told.count('(') > 1)} {told}"
        parts.append(_text(hub.x + BOX_WIDTH / 2, y + 14, words, anchor="middle", size=11, halo=True))
    waiting = scene.get("counts", {}).get("waiting", 0)
    shown = waiting if waiting <= STACK_MOST else STACK_MOST - 5  # room for the number
    parts += [
        f'<rect x="{hub.x + number * STACK_STEP:.1f}" y="{y + 20:.1f}" width="7" height="10" style="fill:{ORANGE}"/>'
        for number in range(shown)
    ]
    if waiting > STACK_MOST:
        parts.append(_text(hub.right, y + 30, f"… {waiting}", anchor="end", size=11, weight="bold", halo=True))
    return parts


def _roles(boxes: Iterable[_Box]) -> list[str]:
    return list({box.server["role"]: None for box in boxes})


def _gates(scene: Scene, sources: Sequence[str], targets: Sequence[_Box]) -> list[Gate]:
    """The gates from these roles (or you) to the roles of these servers, by port."""
    roles = _roles(targets)
    found = [gate for gate in scene.get("gates", {}).values() if gate["from"] in sources and gate["to"] in roles]
    return sorted(found, key=_port)


def _port(gate: Gate) -> int:
    return gate["port"]


def _gates_drawn(gates: Sequence[Gate], x: float, y: float) -> list[str]:
    """Gates across a way, one below the other: two posts where one is open, a bar where it is shut. Ports above and
    below them."""
    if not gates:
        return []
    shut = [gate for gate in gates if not gate.get("open", True)]
    title = "; ".join(f"{_gate_words(gate)}: {'open' if gate not in shut else 'shut'}" for gate in gates)
    high = 26 / len(gates)
    bars = []
    for number, gate in enumerate(gates):
        upper = y - 13 + number * high
        if gate in shut:
            bars.append(
                f'<rect x="{x - 3:.1f}" y="{upper:.1f}" width="6" height="{high:.1f}" rx="1" style="fill:{RED}"/>'
            )
        else:
            post = 0.27 * high
            path = f"M{x:.1f},{upper:.1f} v{post:.1f} M{x:.1f},{upper + high - post:.1f} v{post:.1f}"
            bars.append(f'<path d="{path}" style="fill:none;stroke:{FAINT};stroke-width:4"/>')
    parts = [f"<g><title>{escape(title)}</title>{''.join(bars)}</g>"]
    for number, gate in enumerate(gates):
        at = y - 18 - 12 * (number // 2) if number % 2 == 0 else y + 24 + 12 * (number // 2)
        if gate in shut:
            parts.append(_text(x, at, f"{gate['port']} shut", anchor="middle", size=10, weight="bold", halo=True))
        else:
            parts.append(_text(x, at, f"{gate['port']}", anchor="middle", size=10, colour=FAINT, halo=True))
    return parts


def _box(box: _Box, tasks: Sequence[str]) -> str:
    server, x, y = box.server, box.x, box.y
    colour = COLUMN_COLOURS[ROLES[server["role"]].column] if server.get("role") else BLUE
    dashes = "" if server.get("well", True) else ";stroke-dasharray:5 4"
    words = server.get("words", "")
    parts = [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
        f'style="fill:{GROUND};stroke:{colour};stroke-width:1.6{dashes}"/>',
        f'<rect x="{x:.1f}" y="{y + 8:.1f}" width="5" height="{BOX_HEIGHT - 16}" style="fill:{colour}"/>',
        _text(x + 14, y + 19, _cut(box.name, 20), size=13, weight="bold"),
        _text(x + 14, y + 36, server.get("floating") or server.get("address", ""), colour=FAINT),
        _text(x + 14, y + (53 if "cpu" in server else 56), _cut(words, 24)),
    ]
    if "cpu" in server:
        used = max(0.0, min(100.0, server["cpu"]))
        bar_y = y + BOX_HEIGHT - 16
        weight = "bold" if used >= FULL_PERCENT else "normal"
        parts += [
            f'<rect x="{x + 14:.1f}" y="{bar_y:.1f}" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" rx="2" '
            f'style="fill:{SHADE}"/>',
            f'<rect x="{x + 14:.1f}" y="{bar_y:.1f}" width="{BAR_WIDTH * used / 100:.1f}" height="{BAR_HEIGHT}" '
            f'rx="2" style="fill:{colour}"/>',
            _text(x + 14 + BAR_WIDTH + 6, bar_y + BAR_HEIGHT, f"CPU {used:.0f} %", weight=weight),
        ]
    for number, uuid in enumerate(tasks[:TASKS_MOST]):
        at = x + BOX_WIDTH - 14 - number * STACK_STEP
        parts.append(
            f'<rect x="{at:.1f}" y="{y + 28:.1f}" width="7" height="10" style="fill:{ORANGE}">'
            f"<title>{escape(uuid)}</title></rect>"
        )
    details = f"{box.name}: {words}"
    if "load" in server:
        details += f", load average {server['load']:.2f}"
    if tasks:
        details += f", {len(tasks)} task{'s' * (len(tasks) != 1)}"
    return f"<g><title>{escape(details)}</title>{''.join(parts)}</g>"


def _you(y: float, words: str) -> str:
    """Somebody who asks for fractals."""
    x = YOU_WIDTH / 2
    return (
        f'<circle cx="{x}" cy="{y - 20:.1f}" r="7" style="fill:{FAINT}"/>'
        f'<path d="M{x - 13},{y + 8:.1f} q0,-18 13,-18 q13,0 13,18 z" style="fill:{FAINT}"/>'
        + _text(x, y + 24, "you", anchor="middle", size=12)
        + _text(x, y + 40, words, anchor="middle", colour=FAINT)
    )


def _way(x1: float, y1: float, x2: float, y2: float, colour: str, *, headed: bool) -> str:
    """An S-shaped way, level at both ends; with an arrow's head, if it ends there."""
    if headed:
        return _arrow(x1, y1, x2, y2, colour)
    bend = (x2 - x1) / 2
    return _line(f"M{x1:.1f},{y1:.1f} C{x1 + bend:.1f},{y1:.1f} {x2 - bend:.1f},{y2:.1f} {x2:.1f},{y2:.1f}", colour)


def _arrow(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """An S-shaped arrow, level at both ends."""
    way = 1 if x2 > x1 else -1
    return _way(x1, y1, x2 - way * 8, y2, colour, headed=False) + _head(x2, y2, way, 0, colour)


def _line(path: str, colour: str, more: str = "") -> str:
    """A line along this path (the attribute `d` of SVG's element path)."""
    return f'<path d="{path}" style="fill:none;stroke:{colour};stroke-width:1.6{more}"/>'


def _results(scene: Scene, takers: Sequence[_Box], right: Sequence[_Box], ground: float) -> list[str]:
    """The way of the results: from the workers, below everything, to the first of these, which are in one column."""
    first = takers[0]
    lowest = max(box.bottom for box in takers)
    start_x = right[0].x + BOX_WIDTH / 2
    start_y = max(box.bottom for box in right if box.x < start_x)
    low = ground - 12
    end_x = first.right + 14  # up beside them, and into the first one
    end_y = first.bottom - 14
    path = f"M{start_x:.1f},{start_y:.1f} L{start_x:.1f},{low:.1f} L{end_x:.1f},{low:.1f} L{end_x:.1f},{end_y:.1f}"
    if lowest == first.bottom:  # it is the only one: from below
        end_x, end_y = first.x + BOX_WIDTH / 2, lowest
        path = (
            f"M{start_x:.1f},{start_y:.1f} L{start_x:.1f},{low:.1f} L{end_x:.1f},{low:.1f} L{end_x:.1f},{end_y + 8:.1f}"
        )
        head = _head(end_x, end_y, 0, -1, BLUE)
    else:
        path += f" L{first.right + 8:.1f},{end_y:.1f}"
        head = _head(first.right, end_y, -1, 0, BLUE)
    middle_x = (start_x + end_x) / 2
    parts = [_line(path, BLUE, ";stroke-dasharray:6 3"), head]
    api = {role.name for role in ROLES.values() if role.serves}
    gates = scene.get("gates", {}).values()
    shut = [
        gate for gate in gates if gate["from"] in _roles(right) and gate["to"] in api and not gate.get("open", True)
    ]
    words = f"results to {first.name}, port 80"
    if shut:
        parts += _gates_drawn(shut[:1], start_x - 40, low)
        words += ": shut"
    parts.append(_text(middle_x, low - 5, words, anchor="middle", halo=True))
    return parts


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
