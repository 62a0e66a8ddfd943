"""What all tests share: a home of their own, whose cloud is stopped at the end, and how they run side by side."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import faafo_lab
from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.direct import spare_proxies
from faafo_lab.cloud.emulator.addresses import NUMBERS
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home
from tests.libraries import EACH, IN_TURN, is_in_turn

SCOPES = ("module", "package", "session")  # the narrowest first

# What tests start are many small processes: without Python's bytecode files each takes three times as long to start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell makes what runs in its background deaf to interrupts, which some tests send.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--libraries",
        choices=(EACH, IN_TURN),
        default=EACH,
        help="slow tests through each library, or through one in turn",
    )


@pytest.fixture(scope="session", autouse=True)
def lab_home() -> Iterator[Path]:
    """A home for these tests alone (side by side, each process has its own), with nothing of the user's settings.

    Each process has its own share of the loopback networks, too, so that a cloud which is away for a moment finds its
    addresses free again.
    """
    saved = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("OS_", "FAAFO_", "PG"))]:
        del os.environ[name]
    spare_proxies()
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = len(NUMBERS) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    networks = NUMBERS[number * share : (number + 1) * share]
    try:
        with own_home(FAAFO_LAB_NETWORKS=f"{networks[0]}-{networks[-1]}") as home:
            os.environ["OS_CLIENT_CONFIG_FILE"] = str(home / "clouds.yaml")  # where no test writes one there is none
            yield home
    finally:
        os.environ.clear()
        os.environ.update(saved)


@pytest.fixture(scope="module", params=BACKENDS)
def backend_home(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """Each backend in turn, with a home of its own."""
    with own_home(FAAFO_LAB_BACKEND=request.param, FAAFO_LAB_CLOUD="embedded") as home:
        yield request.param, home


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A module's own embedded cloud, through one backend: for what is the same through each."""
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        yield faafo_lab.connect()


@pytest.fixture(scope="module")
def app(cloud: Cloud) -> Iterator[Topology]:
    """A small application on it, destroyed at the end."""
    app = Topology(cloud, say=lambda line: None)
    yield app.deploy(api=1, worker=2)
    app.destroy()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Side by side, tests that share a fixture go to one process.

    What takes longest starts first, so that no process has much left when the others have ended: tests that are marked
    `long`, then those that deploy the application.
    """
    if config.getoption("libraries") == IN_TURN:
        left = [item for item in items if not is_in_turn(item)]
        items[:] = [item for item in items if is_in_turn(item)]
        config.hook.pytest_deselected(items=left)
    if not hasattr(config, "workerinput"):
        return (yield)
    for item in items:
        if group := shares(item):
            item.add_marker(pytest.mark.xdist_group(group))
    yield
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, bool, int]:
    """Whose turn is first: the least."""
    is_long = item.get_closest_marker("long") is not None
    return (not is_long, "backend_home" not in item.fixturenames, len(item.path.parts))


def shares(item: pytest.Item) -> str:
    """With whom a test shares its widest fixture: a module's tests or a folder's, with its parameter; or "": nobody."""
    known = item._fixtureinfo.name2fixturedefs
    wide = [known[name][-1] for name in item.fixturenames if name in known and name != "lab_home"]
    wide = [fixture for fixture in wide if fixture.baseid and fixture.scope in SCOPES]  # a plugin's have no place
    if not wide:
        return ""
    widest = max(wide, key=lambda fixture: SCOPES.index(fixture.scope))
    place = item.nodeid.partition("::")[0] if widest.scope == "module" else widest.baseid
    values = item.callspec.params if hasattr(item, "callspec") else {}
    chosen = [str(values[fixture.argname]) for fixture in wide if fixture.argname in values]
    return "-".join([Path(place).stem, *chosen])


NOTEBOOK_BUDGET_SECONDS = 60


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long each notebook took, for which a learner waits, and how evenly processes were busy."""
    _notebooks(terminalreporter)
    _processes(terminalreporter)


def _processes(terminalreporter: pytest.TerminalReporter) -> None:
    ends: dict[str, float] = {}
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if node := getattr(report, "node", None):
            ends[node.gateway.id] = max(ends.get(node.gateway.id, 0.0), report.stop)
    if ends:
        idle = sorted(round(max(ends.values()) - end) for end in ends.values())
        terminalreporter.section("processes that work side by side")
        terminalreporter.line(f"before the last of them they ended by {', '.join(map(str, idle))} s")


def _notebooks(terminalreporter: pytest.TerminalReporter) -> None:
    times = [
        dict(report.user_properties)
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        if report.when == "call" and "notebook" in dict(report.user_properties)
    ]
    if not times:
        return
    terminalreporter.section(f"notebooks: {NOTEBOOK_BUDGET_SECONDS} s each are the budget")
    for took in sorted(times, key=lambda took: (took["notebook"], took["backend"])):
        over = "  over the budget" if took["seconds"] > NOTEBOOK_BUDGET_SECONDS else ""
        terminalreporter.line(f"{took['seconds']:6.1f} s  {took['notebook']} through {took['backend']}{over}")
