"""What can go wrong with the application on a cloud.

    CloudError (see `faafo_lab.cloud.errors`)
    └── TopologyError       the application can't be built, found, scaled or asked as wanted
        ├── Busy            somebody else on this machine changes the application now
        ├── NoAnswer        none of the application's APIs answers
        ├── Gone            the application has no such thing (404)
        └── TakenOver       another chapter has the application now

Each message is one clear sentence that says why, and what to do.
"""

from faafo_lab.cloud.errors import CloudError


class TopologyError(CloudError):
    """The application can't be built, found or scaled as wanted."""


class Busy(TopologyError):
    """Another process or thread changes the same application, and did not end in time."""


class NoAnswer(TopologyError):
    """None of the application's APIs answers."""


class Gone(TopologyError):
    """The application has no such thing, or no more (404)."""


class TakenOver(TopologyError):
    """Another chapter has started on this cloud since, and has the application now."""


def first_line(error: BaseException) -> str:
    """An error as one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
