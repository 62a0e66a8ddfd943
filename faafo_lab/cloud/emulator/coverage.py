"""COVERAGE.md: what the embedded cloud implements, from the services' route tables and docstrings.

python -m faafo_lab.cloud.emulator.coverage     write it (`make coverage`); a test holds that it is current
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faafo_lab.cloud.emulator.server  # noqa: F401  loads every service
from faafo_lab.cloud.emulator.common.service import Service

PAGE = Path(__file__).with_name("COVERAGE.md")
HEAD = """\
# What the embedded cloud implements

`make coverage` writes this page from the services' route tables. All other requests get 404 or 405, and no advertised
version, extension or microversion promises them. `make interop` measures it by OpenStack's own tests.
"""
ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "COPY", "DELETE", "OPTIONS")


def page() -> str:
    """The page."""
    services = sorted(_services(Service), key=lambda service: service.type)
    return "\n".join([HEAD, *(line for service in services for line in _section(service))])


def _services(base: type[Service]) -> set[type[Service]]:
    """The classes of the services themselves: those that no other is made from."""
    below = base.__subclasses__()
    return {found for each in below for found in _services(each)} if below else {base}


def _section(service: type[Service]) -> Iterator[str]:
    """A service's heading and table."""
    names = ((service.type, service.name), *service.aliases)
    yield f"## {', '.join(f'{type} ({name})' for type, name in names)}\n"
    for name, values in service.choices.items():
        yield f"`{{{name}}}` is one of {', '.join(values)}.\n"
    yield "| | path | |\n|---|---|---|"
    rows = set(_operations(service))
    for path, method, words in sorted(rows, key=lambda row: (row[0], ORDER.index(row[1]), row[2])):
        yield f"| {method} | `{path}` | {words} |"
    yield ""


def _operations(service: type[Service]) -> Iterator[tuple[str, str, str]]:
    """Each operation's path, method, and what it does."""
    roots = getattr(service, "roots", ())  # paths beside the service's prefix
    for owner, name, route in service.operations():
        path = route.template if route.template in roots else service.prefix + route.template
        yield path, route.method, _words(getattr(owner, name))


def _words(function: Callable[..., Any]) -> str:
    """The first line of a docstring, without its full stop."""
    return (inspect.getdoc(function) or "").partition("\n")[0].removesuffix(".").replace("|", "\\|")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE} has {page().count('| `')} operations.")


if __name__ == "__main__":
    main()
