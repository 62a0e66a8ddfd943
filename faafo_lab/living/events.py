"""The kinds of events that a living picture is drawn from, and the scene that they change.

An event is a JSON object; `k` says of which kind it is, `t` when it happened, in seconds since 1970 by the client's
clock. Events are in the order in which they became known, which is not that of their times.

The scene is one JSON object: all that stands (servers, gates, counts). A scene event carries a JSON merge patch (RFC
7396) on it: a value replaces, an object is merged, null deletes. So a scene never holds null: what is not known is
absent.

    before = scene_at(events, t)
    patch = difference(before, after)          # {"servers": {"app-worker-2": None}}: it is gone
    merge(before, patch) == after
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypedDict, cast

SCENE: Final = "scene"
REQUEST: Final = "request"
TASK: Final = "task"
NOTE: Final = "note"
GAP: Final = "gap"
KINDS = (SCENE, REQUEST, TASK, NOTE, GAP)
DIGITS = 4  # of seconds: events are observed within milliseconds

YOU = "you"  # who sends requests by hand: beside the roles, an end of gates
LOAD = "load"  # who sends all other requests

# -- the scene -----------------------------------------------------------------------------------------------------


class SceneServer(TypedDict, total=False):
    """A server: its role and column (`topology.ROLES`), its state in words, and how busy it is."""

    role: str
    column: Literal["API", "Services", "Workers"]
    status: str  # the cloud's: ACTIVE, BUILD, ERROR …
    state: str
    words: str
    well: bool
    address: str
    floating: str
    cpu: float  # per cent of its share
    load: float  # its load average
    cores: float  # its share
    offers: list[str]
    drain: bool


class Member(TypedDict, total=False):
    """A server behind the load balancer."""

    status: str
    weight: int


class Front(TypedDict, total=False):
    """The load balancer, and its members by the servers' names."""

    name: str
    address: str
    floating: str
    status: str
    algorithm: str
    members: dict[str, Member]


Gate = TypedDict("Gate", {"from": str, "to": str, "port": int, "group": str, "open": bool}, total=False)
Gate.__doc__ = (
    "Whether servers of the role `from` (or `YOU`) may connect to those of the role `to`, by their group's rules."
)


class Counts(TypedDict, total=False):
    """Fractals by what became of them so far, and how many are done per second."""

    waiting: int
    working: int
    done: int
    failed: int
    rate: float


class Leases(TypedDict, total=False):
    """How long a worker keeps a task that it does not renew."""

    seconds: float


class Clock(TypedDict, total=False):
    """By how much the application's clock is ahead of the client's, ± `within`, in seconds: `t` is corrected by it."""

    ahead: float
    within: float


class Scene(TypedDict, total=False):
    """What stands."""

    servers: dict[str, SceneServer]
    front: Front
    gates: dict[str, Gate]
    counts: Counts
    wanted: int  # workers, by an autoscaler
    leases: Leases
    clock: Clock
    problem: str


# -- events --------------------------------------------------------------------------------------------------------


class SceneEvent(TypedDict):
    """The scene has changed: by this patch."""

    k: Literal["scene"]
    t: float
    patch: dict[str, Any]


RequestEvent = TypedDict(
    "RequestEvent",
    {
        "k": Literal["request"],
        "t": float,
        "end": float,
        "id": str,
        "from": str,
        "method": str,
        "path": str,
        "to": str,
        "via": bool,
        "status": int | None,
        "error": str,
        "uuid": str,
    },
    total=False,
)
RequestEvent.__doc__ = """A request that is over: from `t` to `end`.

`to`: who answered, or who was asked where nobody did. `via`: through the load balancer. `uuid`: of an order. Where they
are absent: from `LOAD`, not via the load balancer, no error.
"""


class TaskEvent(TypedDict, total=False):
    """Something happened to a task: `what` is one of `history.events.SAID`. At this worker, if at any."""

    k: Literal["task"]
    t: float
    what: str
    uuid: str
    worker: str


class NoteEvent(TypedDict, total=False):
    """Somebody did something to the application, to this server if to one."""

    k: Literal["note"]
    t: float
    text: str
    server: str


GapEvent = TypedDict("GapEvent", {"k": Literal["gap"], "t": float, "from": float, "text": str}, total=False)
GapEvent.__doc__ = "From `from` to `t` nothing of the application was seen: what happened in between is not known."

Event = SceneEvent | RequestEvent | TaskEvent | NoteEvent | GapEvent


def rounded(seconds: float) -> float:
    """A time with as many digits as it is good for."""
    return round(seconds, DIGITS)


# -- how the scene changes -----------------------------------------------------------------------------------------


def merge(scene: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The scene after this JSON merge patch (RFC 7396). Neither of the two is changed."""
    merged = dict(scene)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            before = merged.get(name)
            merged[name] = merge(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest JSON merge patch that makes `after` of `before`: {} where nothing has changed.

    A name whose value is None counts as absent: a merge patch cannot set null.
    """
    patch: dict[str, Any] = {name: None for name in before if before[name] is not None and after.get(name) is None}
    for name, value in after.items():
        was = before.get(name)
        if value is None or value == was:
            continue
        if isinstance(value, Mapping) and isinstance(was, Mapping):
            if inner := difference(was, value):
                patch[name] = inner
        else:
            patch[name] = merge({}, value) if isinstance(value, Mapping) else value
    return patch


def scene_at(events: Iterable[Event], t: float) -> Scene:
    """The scene at this time: the patches that happened until then, in the order in which they became known."""
    scene: dict[str, Any] = {}
    for event in events:
        if event["k"] == "scene" and event["t"] <= t:
            scene = merge(scene, event["patch"])
    return cast(Scene, scene)
