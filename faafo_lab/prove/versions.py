"""The versions in a proof: the lab, its client libraries, and the cloud's services as far as they state them."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import requests

from faafo_lab.cloud import direct
from faafo_lab.cloud.base import Cloud

LIBRARIES = ("faafo-lab", "shade", "openstacksdk", "keystoneauth1", "apache-libcloud", "asyncssh")
CURRENT = ("current", "stable")
TELL_SECONDS = 10
WORD = re.compile(r"[\w.-]{1,20}")  # the form of a version: nothing else from an answer enters a report
SERVICE = re.compile(r"[a-z0-9-]{1,30}")


def of_lab() -> dict[str, str]:
    """The versions of Python, the lab and its client libraries on this machine, by name."""
    found = {"Python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def of_services(cloud: Cloud) -> dict[str, str]:
    """What each service in the catalog states, such as "v2.1, microversions 2.1 to 2.93"; services that answer."""
    found = {}
    for service, address in sorted(cloud.services.items()):
        if SERVICE.fullmatch(service) and (words := _of_service(cloud, service, address)):
            found[service] = words
    return found


def _of_service(cloud: Cloud, service: str, address: str) -> str:
    path = "/info" if service == "object-store" else "/"  # Swift has no list of versions
    try:
        answer = direct.get(address + path, timeout=TELL_SECONDS, verify=cloud.config.verify)
        body = answer.json()
        return told(body)
    except (requests.RequestException, ValueError, AttributeError, TypeError, KeyError):
        return ""


def told(body: Mapping[str, Any]) -> str:
    """A service's list of versions in one line; "" for any other answer."""
    if "swift" in body:
        return _words(body["swift"].get("version"))
    listed = body.get("versions") or [body["version"]]
    versions = listed["values"] if isinstance(listed, Mapping) else listed
    current = [each for each in versions if str(each.get("status", "")).lower() in CURRENT] or versions
    newest = current[-1] if len(current) > 1 and current[-1].get("status") == current[0].get("status") else current[0]
    text = _words(newest.get("id"))
    least = _words(newest.get("min_version"))
    most = _words(newest.get("version") or newest.get("max_version"))
    return f"{text}, microversions {least} to {most}" if least and most else text


def _words(value: object) -> str:
    return str(value) if value and WORD.fullmatch(str(value)) else ""
