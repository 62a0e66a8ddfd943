"""Questions that several exercises ask."""

from faafo_lab.check.verdict import Hint
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.model import Rule, SecurityGroup, Server
from faafo_lab.topology import Topology
from faafo_lab.topology.api import LOST


def reporting(app: Topology, workers: int) -> Hint | None:
    """A hint where fewer workers than this exist, or one of those that do does not report."""
    if len(app.workers) < workers:
        return Hint(
            f"{len(app.workers)} of {workers} workers exist.",
            "The Topology adds the workers that are missing: say how many there should be in all.",
            f"app.ensure_workers({workers})",
        )
    heard = working(app)
    silent = [server.name for server in app.workers if server.name not in heard]
    if silent:
        return Hint(
            f"{', '.join(silent)} {'does' if len(silent) == 1 else 'do'} not report to the API.",
            "A server that has just booted reports within seconds; one that is stopped does not.",
            "app.wait_serving()",
        )
    return None


def working(app: Topology) -> set[str]:
    """The names of the workers that the application hears."""
    return {node["name"] for node in app.nodes() if node["role"] == "worker" and node["state"] != LOST}


def no_function(answer: object, call: str) -> Hint:
    """The hint to an answer that is not a function; None: there is no answer yet. `call` is the check's right call."""
    if answer is None or unwritten(answer):
        return Hint(
            f"The check has no function of yours yet: {call}.", "Its body is still empty." * (answer is not None)
        )
    return Hint(
        f"{answer!r} is not a function.",
        "Give the check the function itself: its name, without parentheses after it.",
        call,
    )


def failed(call: str, error: Exception, pointer: str = "", method: str = "") -> Hint:
    """The hint where the learner's own code failed: `call` is what was called."""
    return Hint(f"{call} failed with {type(error).__name__}: {str(error).rstrip('.')}.", pointer, method)


def unwritten(function: object) -> bool:
    """Whether it is a function whose body is still `...`."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_code == _empty.__code__.co_code and not code.co_names


def _empty() -> None: ...


def active(server: Server) -> Hint | None:
    """A hint where a server is not ACTIVE."""
    if server.status == "ACTIVE":
        return None
    return Hint(
        f"The server {server.name!r} is {server.status}, not ACTIVE.",
        "A server that boots needs a moment: wait for it. One that is stopped has to be started.",
        f'cloud.wait_for("{server.name}"), or cloud.start_server("{server.name}")',
    )


def group_named(cloud: Cloud, name: str) -> SecurityGroup | None:
    """The security group of this name, None where there is none."""
    return next((group for group in cloud.security_groups() if group.name == name), None)


def server_named(cloud: Cloud, name: str) -> Server | None:
    """The server of this name, None where there is none."""
    return next((server for server in cloud.servers() if server.name == name), None)


def for_anybody(rule: Rule) -> bool:
    """Whether a rule lets anybody in."""
    return rule.remote_group is None and rule.remote_prefix in (None, "0.0.0.0/0")
