"""Provisioning: one small interface to an OpenStack, and the backends that implement it.

model.py      the dataclasses: Server, Image, FloatingIP, …
base.py       Cloud, the interface: the verbs, and what every backend needs alike
verbs.py      what all verbs have in common
objects.py    the verbs of the object store (streams.py: the bytes on their way)
errors.py     everything that can go wrong, as a tree
config.py     one entry of clouds.yaml (clouds_yaml.py reads the files, and says where something is wrong)
keystone.py   how every backend logs in, and the errors that it shares
shade.py      the backend through shade (shade_compat.py repairs that library)
libcloud.py   the backend through Apache Libcloud
openstacksdk.py  the backend through openstacksdk
records.py    an OpenStack's JSON records as dataclasses, for every backend
direct.py     requests to this machine bypass proxies and the like
tape.py       the HTTP calls that were made
receipt.py    what was used, and what is left
marks.py      how the lab marks its own resources
lookup.py     lookup by name or id
preflight.py  what is missing, before anything is built
compare.py    a verb in each backend, side by side
waiting.py    waits, each with a limit and a progress line
progress.py   the progress line
keys.py       the lab's SSH key and secrets
console_log.py  a console log as people read it
ssh/          commands and files on servers
emulator/     the embedded OpenStack
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from faafo_lab.cloud.errors import ConfigError, Unreachable

if TYPE_CHECKING:  # imported by `connect` alone: every instance's guest agent imports this package
    from faafo_lab.cloud.base import Cloud

__all__ = ["BACKENDS", "connect", "start_embedded"]

# The module and class of each backend, the default first: a new backend adds one line here.
BACKENDS = {
    "shade": ("faafo_lab.cloud.shade", "ShadeCloud"),
    "libcloud": ("faafo_lab.cloud.libcloud", "LibcloudCloud"),
    "openstacksdk": ("faafo_lab.cloud.openstacksdk", "OpenstacksdkCloud"),
}


def connect(cloud: str | None = None, backend: str | None = None) -> Cloud:
    """A project on a cloud: `cloud` is an entry of clouds.yaml, `backend` one of BACKENDS.

    They default to `FAAFO_LAB_CLOUD` (else "embedded") and `FAAFO_LAB_BACKEND` (else "shade").
    The embedded cloud is started unless it runs. No other cloud gets a request yet: wrong credentials show with the
    first call, or with `preflight`. If the cloud is on this machine, NO_PROXY is set for loopback addresses, for this
    process's own requests to servers. Raises ConfigError.
    """
    from faafo_lab.cloud.config import EMBEDDED, load
    from faafo_lab.cloud.direct import is_local, spare_proxies

    cloud = cloud or os.environ.get("FAAFO_LAB_CLOUD") or EMBEDDED
    backend = backend or os.environ.get("FAAFO_LAB_BACKEND") or "shade"
    if backend not in BACKENDS:
        raise ConfigError(f"There is no backend {backend!r}: choose one of {', '.join(BACKENDS)}.")
    if cloud == EMBEDDED:
        start_embedded()
    module, name = BACKENDS[backend]
    config = load(cloud)
    if is_local(config.auth_url):
        spare_proxies()
    made: Cloud = getattr(importlib.import_module(module), name)(config)
    return made


def start_embedded() -> None:
    """Start the embedded cloud in the lab's home, unless it runs. Raises Unreachable."""
    from faafo_lab.cloud.emulator import control
    from faafo_lab.cloud.emulator.errors import EmulatorError
    from faafo_lab.paths import embedded_state_dir

    try:
        control.start(embedded_state_dir())
    except EmulatorError as error:
        raise Unreachable(str(error)) from error
