"""Links to the instances' web pages that work in the reader's browser, on this machine or another.

    page(app.endpoint)          shown by a notebook as a link
    link("http://127.9.2.5")    "http://127.9.2.5/" here, "/user/ada/proxy/127.9.2.5:80/" in ada's JupyterHub

The embedded cloud's addresses are loopback addresses: to a browser on another machine they mean that machine. There,
Jupyter's server fetches the pages (jupyter-server-proxy), under a path of its own that begins with

FAAFO_LAB_PROXY              set by binder/start; or by you, such as to / if you reach JupyterLab through a tunnel
JUPYTERHUB_SERVICE_PREFIX    set by JupyterHub

With neither, the browser is on this machine and needs no help. Addresses of real clouds stay as they are.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from urllib.parse import SplitResult, urlsplit, urlunsplit

from faafo_lab.cloud.emulator.addresses import public_block
from faafo_lab.paths import embedded_state_dir

PREFIX_VARIABLES = ("FAAFO_LAB_PROXY", "JUPYTERHUB_SERVICE_PREFIX")  # the first that is set counts
HTTP_PORT = 80


@dataclass(frozen=True)
class Page:
    """A web page of an instance: a link in a notebook, its address elsewhere."""

    href: str  # for the browser: an address, or a path on Jupyter's server
    text: str

    def __str__(self) -> str:
        return self.text if self.text == self.href else f"{self.text}: {self.href}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f'<a href="{html.escape(self.href)}" target="_blank" rel="noopener">{html.escape(self.text)}</a>'


def page(url: str, text: str | None = None) -> Page:
    """A link to a web page of an instance, with the address as its text unless told otherwise.

    Raises ValueError if `url` is not an http:// or https:// address.
    """
    return Page(link(url), text or urlunsplit(_parts(url)))


def link(url: str, environ: Mapping[str, str] = os.environ) -> str:
    """The browser's address for an instance's `url`. Raises ValueError if that is not an http(s) address."""
    parts = _parts(url)
    prefix = next((environ[name] for name in PREFIX_VARIABLES if environ.get(name)), None)
    if prefix is None or parts.scheme != "http" or not _loopback(parts.hostname or ""):
        return urlunsplit(parts)
    inside = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
    base = f"/{prefix.strip('/')}".rstrip("/")
    return f"{base}/proxy/{parts.hostname}:{parts.port or HTTP_PORT}{inside}"


def allowed(handler: object, host: str) -> bool:
    """Whether Jupyter's server may fetch pages from `host`: a floating IP of this lab's embedded cloud.

    This is jupyter-server-proxy's `ServerProxy.host_allowlist`: see binder/jupyter_server_config.py.
    """
    import yaml

    try:
        entries = yaml.safe_load((embedded_state_dir() / "clouds.yaml").read_text(encoding="utf-8"))
        own = urlsplit(entries["clouds"]["embedded"]["auth"]["auth_url"]).hostname or ""
        return IPv4Address(host) in public_block(own)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False


def _parts(url: str) -> SplitResult:
    """The URL's parts; its path begins with a slash, from which the page's own links are counted."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is not a number
        usable = False
    if not usable:
        raise ValueError(f"{url!r} is not a web page's address: give one like http://127.9.2.5:8080/.")
    return parts._replace(path=parts.path or "/")


def _loopback(host: str) -> bool:
    try:
        return IPv4Address(host).is_loopback
    except ValueError:
        return False
