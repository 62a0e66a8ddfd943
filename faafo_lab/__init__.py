"""A workbook that teaches how to scale out a cloud application, on an OpenStack that pip installs.

    import faafo_lab
    cloud = faafo_lab.connect()        # the embedded cloud, started where it does not run
    cloud.servers()

Its rooms, each after those that it builds on:

    paths       where the lab keeps what it must remember
    interpreter how its programs start
    app         the Fractals application: what runs on the instances
    cloud       provisioning: one small interface, its backends, and the embedded OpenStack
    topology    the application on a cloud: deploy, scale, discover, destroy; the client of its API
    load        requests in closed and open loops, and what became of them
    chaos       faults as verbs, each with an undo
    history     what happened to orders, and the verdict on it: made once, lost or made twice
    gameday     incidents on purpose, a score, and the post-mortem
    living      the application's events as one stream: live, recorded, shown
    reach       who can connect to whom, measured
    prove       all that the lab does, tried on a cloud, and a report
    plots       pictures of what happened
    widgets     live controls for the notebook
    check       whether all is ready, and whether an exercise is solved
    links       links to the instances' pages that are right where the reader's browser is
    workbook    runs the notebooks
    cli         the command `faafo-lab`

`app` imports nothing of `cloud`, and `cloud` nothing of `app`: they meet only in an instance's user data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from faafo_lab.cloud.base import Cloud
    from faafo_lab.cloud.compare import Comparison
    from faafo_lab.living.recording import Recorder, Recording
    from faafo_lab.topology import Topology
    from faafo_lab.widgets.replay import Replay

__all__ = ["__version__", "compare", "connect", "only_embedded", "record", "replay"]


def __getattr__(name: str) -> str:
    """`__version__`, looked up when somebody asks: each of an instance's commands would wait 40 ms for it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("faafo-lab")


def connect(cloud: str | None = None, backend: str | None = None) -> Cloud:
    """A project on a cloud: see `faafo_lab.cloud.connect`, which this calls (and imports only then)."""
    from faafo_lab.cloud import connect

    return connect(cloud, backend)


def compare(verb: str | Callable[..., Any]) -> Comparison:
    """A verb of the cloud in every backend, side by side: see `faafo_lab.cloud.compare`."""
    from faafo_lab.cloud.compare import compare

    return compare(verb)


def record(app: Topology, path: str | Path | None = None, *, title: str = "") -> Recorder:
    """A recording of what happens to an application, to the end of a block or `close()`: see
    `faafo_lab.living.recording.record`, which this calls."""
    from faafo_lab.living.recording import record

    return record(app, path, title=title)


def replay(*recordings: Recording | str | Path, titles: Sequence[str] | None = None, label: str = "") -> Replay:
    """Recordings, or the files that `record` wrote, as they play in a notebook, side by side and without any cloud.

    `titles`: one for each (None: their own). `label`: all of it, in words. Raises RecordingError for a file that is no
    recording.
    """
    from faafo_lab.widgets.replay import Replay

    return Replay(recordings, titles, label)


def only_embedded(cloud: Cloud, why: str) -> bool:
    """Whether this is the embedded cloud. Of another one it says that something is skipped there, and why."""
    from faafo_lab.cloud.config import EMBEDDED

    if cloud.name == EMBEDDED:
        return True
    print(f"skipped on cloud {cloud.name!r}: {why}")
    return False
