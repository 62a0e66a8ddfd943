"""COVERAGE.md: what the embedded cloud implements, from the services' route tables and docstrings.

python -m faafo_lab.cloud.emulator.coverage     write it (`make coverage`); a test holds that it is current
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from faafo_lab.cloud.emulator.common.service import Service
from faafo_lab.cloud.emulator.server import SERVICES

PAGE = Path(__file__).with_name("COVERAGE.md")
HEAD = """\
# What the embedded cloud implements

`make coverage` writes this page from the services' route tables. All other requests get 404 or 405, and no advertised
version, extension or microversion promises them. `make interop` measures it by tests of others.

All addresses are loopback ones, 127.*N*.0.0/16. **Apache Libcloud** tells private from public by range alone: 10/8,
172.16/12 and 192.168/16 are private to it, everything else is public, whatever Nova's `OS-EXT-IPS:type` and the
network's name say. So `node.private_ips` is empty here, and the guide's `scaling_out.py` for libcloud stops at
`private_ips[0]`. No answer of the API can change that: without root, nothing on this machine listens on a private
range. (On a cloud whose servers have private addresses alone, the sample stops one line earlier: `wait_until_running`
waits 600 s for a public one.) `node.extra["addresses"]` has each address with its type, here as on any cloud; the
guide's samples for shade and the lab's own `--backend libcloud` need no such line.

**What the tests of others ask for and do not find**: `make interop` lists each test that does not apply, with the
reason, in `interop/suites/*/tests.txt`. What they miss:

* An administrator: there is none. Users, projects, flavors, volume types, quotas and networks for everybody answer 403.
* Glance's metadata definitions: their lists are empty, and there is nothing to make or describe.
* Neutron's flavors, QoS, trunks, segments, port forwarding, agents, VPN, BGP, firewalls: no extension tells of them.
* Cinder's incremental backups and volume groups; Keystone's EC2 credentials; Nova's old way to an image's metadata.
* Swift's archives that are unpacked, forms, style sheets of static pages, and synchronized containers.
* Graphical consoles, disks of random bytes that boot, and other services: DNS, Heat, Magnum, Manila, Barbican.
* A root of its own for each instance: packer's scripts and files go to the home (`"remote_folder": "."`), which is on
  the image; what they write to other places below `/` changes this machine instead.
* Cinder's detaching of what Nova has attached: 409 since CVE-2023-2088, at which packer 1.6 stops where it builds from
  a volume (`use_blockstorage_volume`).
"""
ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "COPY", "DELETE", "OPTIONS")


def page() -> str:
    """The page."""
    services = sorted(SERVICES, key=lambda service: service.type)
    return "\n".join([HEAD, *(line for service in services for line in _section(service))])


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
    for owner, name, route in service.operations():
        path = route.template if route.template in service.roots else service.prefix + route.template
        words = (inspect.getdoc(getattr(owner, name)) or "").partition("\n")[0].removesuffix(".").replace("|", "\\|")
        yield path, route.method, words


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE} has {page().count('| `')} operations.")


if __name__ == "__main__":
    main()
