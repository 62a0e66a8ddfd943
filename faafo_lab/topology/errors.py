"""What can go wrong with the application on a cloud.

    CloudError (see `faafo_lab.cloud.errors`)
    └── TopologyError       the application can't be deployed, found, scaled or queried as requested
        ├── Busy            another process or thread on this machine is changing the application
        ├── NoAnswer        none of the application's APIs answers
        ├── Gone            the application does not have this resource (404)
        └── TakenOver       another chapter has the application now

Each message is one clear sentence that says why, and what to do.
"""

from faafo_lab.cloud.errors import CloudError


class TopologyError(CloudError):
    """The application can't be deployed, found, scaled or queried as requested."""


class Busy(TopologyError):
    """Another process or thread is changing the same application, and did not finish in time."""


class NoAnswer(TopologyError):
    """None of the application's APIs answers."""


class Gone(TopologyError):
    """The application does not, or no longer, have this resource (404)."""


class TakenOver(TopologyError):
    """Another chapter has started on this cloud since, and has the application now."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
