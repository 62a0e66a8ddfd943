"""A workbook that teaches how to scale out a cloud application, on an OpenStack that pip installs.

    import faafo_lab
    cloud = faafo_lab.connect()        # the embedded cloud, started where it does not run
    cloud.servers()

Rooms: `app` (the Fractals application, which runs on the instances), `cloud` (provisioning, and the embedded cloud),
`topology` (services, APIs, workers), `load`, `plots`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from faafo_lab.cloud.base import Cloud
    from faafo_lab.cloud.compare import Comparison

__all__ = ["__version__", "compare", "connect"]


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
    """A verb of the cloud in shade and in libcloud, side by side: see `faafo_lab.cloud.compare`."""
    from faafo_lab.cloud.compare import compare

    return compare(verb)
