"""Whether all is there that the workbook needs."""

import html
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from faafo_lab import connect
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, NotReady
from faafo_lab.load import fit
from faafo_lab.tables import scrolling
from faafo_lab.topology import Layout, Topology

PYTHON_NEEDED = (3, 11)
LIBRARIES = ("jupyterlab", "ipywidgets", "matplotlib", "shade", "apache-libcloud", "openstacksdk")
API_SERVERS, WORKERS = 2, 5  # what the largest chapter has at once, beside the services


@dataclass(frozen=True)
class Finding:
    """One thing that the workbook needs: whether it is there, and what was found or is to do.

    `short`: it is there, but less of it than the chapters' measurements need.
    """

    what: str
    ready: bool
    words: str
    short: bool = False

    @property
    def mark(self) -> str:
        """✔, ✘, or ! where it is short."""
        return "✘" if not self.ready else "!" if self.short else "✔"


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
        return "\n".join(f"{f.mark} {f.what:<{width}}  {f.words}" for f in self.findings)

    def _repr_html_(self) -> str:
        left = 'style="text-align:left;vertical-align:top"'
        rows = "".join(
            f"<tr><td {left}><b>{finding.mark}</b></td><th {left}>{html.escape(finding.what)}</th>"
            f"<td {left}>{html.escape(finding.words)}</td></tr>"
            for finding in self.findings
        )
        return scrolling(rows)


def setup(cloud: Cloud | None = None) -> Setup:
    """Look at Python, the libraries, the cloud, its image and flavor, the room in its quota and, where the cloud is on
    this machine, at the CPU. Raises nothing."""
    here = sys.version_info[:2]
    new_enough = here >= PYTHON_NEEDED
    python = f"{here[0]}.{here[1]}" + ("" if new_enough else ": the lab needs 3.11 or newer")
    return Setup((Finding("Python", new_enough, python), _libraries(), *_of_cloud(cloud)))


def _of_cloud(cloud: Cloud | None) -> Iterator[Finding]:
    """What of the cloud is ready. What fails is a finding too, and what needs it is not looked at."""
    what = "cloud"
    try:
        cloud = cloud or connect()
        limits = cloud.limits()
        servers = "1 server is" if limits.servers_used == 1 else f"{limits.servers_used} servers are"
        yield Finding(what, True, f"{cloud.name} answers through {cloud.backend}; {servers} there")
        what = "lab's home"
        app = Topology(cloud)
        ready = True
        for what, name, find in (("image", app.image_name, cloud.image), ("flavor", app.flavor_name, cloud.flavor)):
            yield (found := _named(what, name, find))
            ready = ready and found.ready
        if ready:
            what = "room"
            yield _room(app)
            what = "CPU"
            if room := fit(app):
                yield Finding(what, True, str(room), short=not room.fits)
    except NotReady as error:
        yield Finding(what, False, " ".join(error.missing))
    except (CloudError, OSError) as error:
        yield Finding(what, False, str(error))


def _named(what: str, name: str, find: Callable[[str], object]) -> Finding:
    try:
        find(name)
    except CloudError as error:
        return Finding(what, False, f"{error} Set FAAFO_LAB_{what.upper()} to one of them.")
    return Finding(what, True, name)


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


def _room(app: Topology) -> Finding:
    """Whether the largest chapter fits beside what is there, with what the lab itself has built counted as room.

    Raises NotReady where it does not.
    """
    app.check_instead(Layout.scaled_out(API_SERVERS, WORKERS))
    return Finding("room", True, f"for {API_SERVERS + WORKERS + 1} servers and {API_SERVERS} floating IPs")
