"""Checks: whether all is ready (`setup`), and whether an exercise is solved (`exercise_C_N`), on your own cloud.

    check.setup()            # a list of what the workbook needs, each with how it is
    check.exercise_2_1()     # "passed", or one hint on what is still missing

A check looks at the cloud, and where it can it measures: it changes nothing. Each takes the cloud it is to look at;
without one it connects as `faafo_lab.connect()` does.
"""

import functools
import html
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Concatenate, ParamSpec

from faafo_lab import connect, load, reach
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, NotFound, NotReady
from faafo_lab.cloud.model import Rule, SecurityGroup, Server
from faafo_lab.reach import probe
from faafo_lab.topology import DATABASE_PORT, HTTP_PORT, SSH_PORT, Topology, discover, healthy

PYTHON_NEEDED = (3, 11)
LIBRARIES = ("jupyterlab", "ipywidgets", "matplotlib", "shade", "apache-libcloud")
# What the largest chapter builds at once.
SERVERS_NEEDED, ADDRESSES_NEEDED, GROUPS_NEEDED = 6, 2, 3
CONNECT_SECONDS = 3.0

P = ParamSpec("P")


@dataclass(frozen=True)
class Verdict:
    """What a check says: passed, or one hint."""

    exercise: str  # "2.1"
    hint: str = ""  # what is still missing; empty: nothing

    @property
    def passed(self) -> bool:
        """Whether the exercise is solved."""
        return not self.hint

    def __repr__(self) -> str:
        return f"✔ Exercise {self.exercise}: passed" if self.passed else f"○ Exercise {self.exercise}: {self.hint}"

    def _repr_html_(self) -> str:
        # A bar in Okabe and Ito's blue or orange beside the text, which keeps the theme's own colours.
        colour = "#0072B2" if self.passed else "#E69F00"
        words = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(repr(self)))
        return (
            f'<div style="border-left:5px solid {colour};padding:.3em .8em;font-family:var(--jp-ui-font-family,'
            f'sans-serif);color:var(--jp-ui-font-color1,inherit)">{words}</div>'
        )


@dataclass(frozen=True)
class Finding:
    """One thing that the workbook needs: whether it is there, and what was found or is to do."""

    what: str
    ready: bool
    words: str


@dataclass(frozen=True)
class Setup:
    """Everything that the workbook needs."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether the workbook can begin."""
        return all(finding.ready for finding in self.findings)

    def __repr__(self) -> str:
        width = max(len(finding.what) for finding in self.findings)
        return "\n".join(f"{'✔' if f.ready else '✘'} {f.what:<{width}}  {f.words}" for f in self.findings)

    def _repr_html_(self) -> str:
        left = 'style="text-align:left;vertical-align:top"'
        rows = "".join(
            f"<tr><td {left}>{'✔' if finding.ready else '<b>✘</b>'}</td><th {left}>{html.escape(finding.what)}</th>"
            f"<td {left}>{html.escape(finding.words)}</td></tr>"
            for finding in self.findings
        )
        return f"<table>{rows}</table>"


def setup(cloud: Cloud | None = None) -> Setup:
    """Look at Python, the libraries, the cloud, its image and flavor, and the room in its quota. Raises nothing."""
    here = sys.version_info[:2]
    findings = [
        Finding(
            "Python",
            here >= PYTHON_NEEDED,
            f"{here[0]}.{here[1]}" + ("" if here >= PYTHON_NEEDED else ": the lab needs 3.11 or newer"),
        ),
        _libraries(),
    ]
    try:
        cloud = cloud or connect()
        limits = cloud.limits()
    except CloudError as error:
        return Setup((*findings, Finding("cloud", False, str(error))))
    findings.append(
        Finding("cloud", True, f"{cloud.name} answers through {cloud.backend}; {limits.servers_used} servers are there")
    )
    app = Topology(cloud)
    found: dict[str, Any] = {}
    for what, name, find in (("image", app.image_name, cloud.image), ("flavor", app.flavor_name, cloud.flavor)):
        try:
            found[what] = find(name)
        except CloudError as error:
            findings.append(Finding(what, False, f"{error} Set FAAFO_LAB_{what.upper()} to one of them."))
        else:
            findings.append(Finding(what, True, name))
    if len(found) == 2:
        findings.append(_room(cloud, app, len(app.refresh().servers), len(app.endpoints)))
    return Setup(tuple(findings))


def _libraries() -> Finding:
    there, missing = [], []
    for name in LIBRARIES:
        try:
            there.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("libraries", False, f"{', '.join(missing)} not installed: run `make install`, or pip install.")
    return Finding("libraries", True, ", ".join(there))


def _room(cloud: Cloud, app: Topology, servers: int, addresses: int) -> Finding:
    """Whether the largest chapter fits beside what is there, with what the lab itself has built counted as room."""
    try:
        cloud.preflight(
            image=app.image_name,
            flavor=app.flavor_name,
            servers=max(0, SERVERS_NEEDED - servers),
            floating_ips=max(0, ADDRESSES_NEEDED - addresses),
            security_groups=GROUPS_NEEDED,
        )
    except NotReady as error:
        return Finding("room", False, " ".join(error.missing))
    except CloudError as error:
        return Finding("room", False, str(error))
    return Finding("room", True, f"for {SERVERS_NEEDED} servers and {ADDRESSES_NEEDED} floating addresses")


def exercise(looks: Callable[Concatenate[Cloud, P], str]) -> Callable[..., Verdict]:
    """A check, of a function that looks at a cloud and returns a hint, or "" where nothing is missing."""
    number = looks.__name__.removeprefix("exercise_").replace("_", ".")

    @functools.wraps(looks)
    def check(*args: Any, cloud: Cloud | None = None, **kwargs: Any) -> Verdict:
        try:
            return Verdict(number, looks(cloud or connect(), *args, **kwargs))
        except CloudError as error:  # such as no server of that name: it says itself what to do
            return Verdict(number, str(error))

    return check


# -- chapter 00 ----------------------------------------------------------------------------------------------------


@exercise
def exercise_0_1(cloud: Cloud) -> str:
    """A security group named `hello` exists."""
    if _group(cloud, "hello") is None:
        return "There is no security group named 'hello' yet: cloud.get_or_create_security_group makes one."
    return ""


@exercise
def exercise_0_2(cloud: Cloud) -> str:
    """The security group `hello` lets anybody in to port 80, and nobody to any other."""
    group = _group(cloud, "hello")
    if group is None:
        return "There is no security group named 'hello' yet: do exercise 0.1 first."
    opened = [rule for rule in group.rules if _for_anybody(rule)]
    if not any(_opens(rule, HTTP_PORT) for rule in opened):
        return f"The group 'hello' does not let anybody in to port {HTTP_PORT} yet: add a rule for it."
    if len(group.rules) > 1 or opened[0].port_min != opened[0].port_max:
        return f"The group 'hello' opens more than port {HTTP_PORT}: delete what is too much."
    return ""


@exercise
def exercise_0_3(cloud: Cloud, flavor: str | None = None) -> str:
    """The name of the flavor whose servers may compute most."""
    if flavor is None:
        return "Give the check your answer: check.exercise_0_3('the name of a flavor')."
    cores = {each.name: each.cores if each.cores is not None else float(each.vcpus) for each in cloud.flavors()}
    if flavor not in cores:
        return str(NotFound.among("flavor", flavor, cores))
    if cores[flavor] < max(cores.values()):
        return f"A server of flavor {flavor!r} may use {cores[flavor]:g} cores, and another flavor gives more."
    return ""


# -- chapter 01 ----------------------------------------------------------------------------------------------------


@exercise
def exercise_1_1(cloud: Cloud) -> str:
    """A server `greeter` whose user data said hello at its first boot."""
    greeter = _server(cloud, "greeter")
    if greeter is None:
        return "There is no server named 'greeter' yet: cloud.create_server makes one."
    if greeter.status != "ACTIVE":
        return f"The server 'greeter' is {greeter.status}: wait for it with cloud.wait_for."
    if "greetings from greeter" not in cloud.console(greeter):
        return "The console log of 'greeter' has no 'greetings from greeter': user data runs only at a first boot."
    return ""


@exercise
def exercise_1_2(cloud: Cloud) -> str:
    """The server `greeter` has a floating address."""
    greeter = _server(cloud, "greeter")
    if greeter is None:
        return "There is no server named 'greeter' yet: do exercise 1.1 first."
    if not greeter.floating_addresses:
        return "The server 'greeter' has no floating address yet: get a free one, then attach it."
    return ""


@exercise
def exercise_1_3(cloud: Cloud) -> str:
    """Three fractals of 320 by 200 pixels are made."""
    wanted = [one for one in discover(cloud).fractals() if (one["width"], one["height"]) == (320, 200)]
    done = sum(one["generated_by"] is not None for one in wanted)
    if len(wanted) < 3:
        return f"{len(wanted)} of 3 fractals of 320 by 200 pixels are ordered: `faafo create` on the server makes more."
    if done < 3:
        return f"{done} of 3 fractals are made so far: the worker is at it, so ask again in a moment."
    return ""


@exercise
def exercise_1_4(cloud: Cloud) -> str:
    """The application's page can be seen, and nobody can log in to its server."""
    app = discover(cloud)
    host = app.of_role("all-in-one")
    if not host:
        return "There is no server app-all-in-one: deploy the application first."
    group = cloud.security_group("all-in-one")
    if not any(_opens(rule, HTTP_PORT) for rule in group.rules) or not healthy(app.endpoint):
        return f"The page is not to be seen any more: give the group 'all-in-one' its rule for port {HTTP_PORT} back."
    kept, _ = probe.probe(host[0].floating_addresses[0], cloud.published_port(SSH_PORT), CONNECT_SECONDS)
    if kept or any(_opens(rule, SSH_PORT) for rule in group.rules):
        return f"Port {SSH_PORT} of app-all-in-one still answers: delete the rule that opens it."
    return ""


# -- chapter 02 ----------------------------------------------------------------------------------------------------


@exercise
def exercise_2_1(cloud: Cloud) -> str:
    """Two workers report to the controller."""
    return _reporting(discover(cloud), 2)


@exercise
def exercise_2_2(cloud: Cloud) -> str:
    """The API takes orders while no worker is there to do them."""
    app = discover(cloud)
    if not app.workers:
        return "There is no worker to stop: build the application of this chapter first."
    running = [server.name for server in app.workers if server.status != "SHUTOFF"]
    if running:
        return f"{', '.join(running)} still runs: stop every worker with cloud.stop_server."
    waiting = app.stats()["waiting"]
    if waiting < 6:
        return f"{waiting} orders wait, and there should be 6 at least: order some now that nobody works."
    return ""


@exercise
def exercise_2_3(cloud: Cloud) -> str:
    """A server of another kind, `watcher`, gets to the queue, and to nothing else that is not for all."""
    app = discover(cloud)
    watcher = _server(cloud, "watcher")
    if watcher is None:
        return "There is no server named 'watcher' yet: boot one, in a new security group."
    if watcher.status != "ACTIVE":
        return f"The server 'watcher' is {watcher.status}: wait for it with cloud.wait_for."
    if "worker" in watcher.security_groups:
        return "The server 'watcher' is a member of 'worker': give it a group of its own."
    controller = app.of_role("controller")
    if not controller:
        return "There is no app-controller: build the application of this chapter first."
    rules = [rule for rule in cloud.security_group("control").rules if _opens(rule, app.queue_port)]
    if any(_for_anybody(rule) for rule in rules):
        return f"Anybody may connect to port {app.queue_port} now: delete that rule, and name a remote group instead."
    host = controller[0].addresses[0]
    answer = reach.run_probe(cloud, watcher, [(host, app.queue_port), (host, DATABASE_PORT)])
    to_queue, to_database = answer.reasons
    if to_queue:
        return f"'watcher' does not get to the queue ({to_queue}): add a rule to 'control' that names its group."
    if not to_database:
        return f"'watcher' gets to the database too: delete the rule of 'control' that opens port {DATABASE_PORT}."
    return ""


# -- chapter 03 ----------------------------------------------------------------------------------------------------


@exercise
def exercise_3_1(cloud: Cloud) -> str:
    """Six workers report, and each has made fractals."""
    app = discover(cloud)
    if hint := _reporting(app, 6):
        return hint
    made = Counter(item.worker for item in load.completions(app.endpoint))
    few = [server.name for server in app.workers if made[server.name] < 3]
    if few:
        return f"{', '.join(few)} made fewer than 3 fractals: order enough of them for all six."
    return ""


@exercise
def exercise_3_2(cloud: Cloud) -> str:
    """The API server that the workers report to was deleted and is there again, and they report to the new one."""
    app = discover(cloud)
    names = {server.name: server for server in app.apis}
    if "app-api-1" not in names:
        return "app-api-1 is gone, and the workers have nobody to report to: deploy again, and it is mended."
    if "app-api-2" not in names:
        return "There is no app-api-2: deploy the application with two API servers first."
    first, second = names["app-api-1"].created, names["app-api-2"].created
    if first is None or second is None or first <= second:
        return "app-api-1 is older than app-api-2, so nobody has replaced it: delete it under load, then mend that."
    down = [name for name, url in app.endpoints.items() if not healthy(url)]
    if down or len(app.endpoints) < len(app.apis):
        return f"{', '.join(down) or 'an API server without a floating address'} does not serve: deploy again."
    return _reporting(app, 1)


@exercise
def exercise_3_3(cloud: Cloud) -> str:
    """A worker is drained: still there, and done with work."""
    app = discover(cloud)
    names = {server.name for server in app.workers}
    states = {node["name"]: node["state"] for node in app.nodes() if node["role"] == "worker" and node["name"] in names}
    if "draining" in states.values():
        return "A worker is draining, and has not finished what it has in hand: ask again in a moment."
    if "drained" not in states.values():
        return "No worker is drained yet: app.drain does it, and leaves the server where it is."
    if not {"idle", "working"} & set(states.values()):
        return "Every worker is drained, so nobody works any more: leave one at work."
    return ""


# -- what they share -----------------------------------------------------------------------------------------------


def _reporting(app: Topology, workers: int) -> str:
    """A hint where fewer workers than this exist, or one of those that do does not report."""
    if len(app.workers) < workers:
        return f"{len(app.workers)} of {workers} workers are there: add some with the topology's add_workers."
    heard = {node["name"] for node in app.nodes() if node["role"] == "worker" and node["state"] != "lost"}
    silent = [server.name for server in app.workers if server.name not in heard]
    return (
        f"{', '.join(silent)} does not report: wait a moment with app.wait_serving, or deploy again." if silent else ""
    )


def _group(cloud: Cloud, name: str) -> SecurityGroup | None:
    return next((group for group in cloud.security_groups() if group.name == name), None)


def _server(cloud: Cloud, name: str) -> Server | None:
    return next((server for server in cloud.servers() if server.name == name), None)


def _opens(rule: Rule, port: int) -> bool:
    return rule.protocol in ("tcp", None) and (
        rule.port_min is None or rule.port_min <= port <= (rule.port_max or port)
    )


def _for_anybody(rule: Rule) -> bool:
    return rule.remote_group is None and rule.remote_prefix in (None, "0.0.0.0/0")
