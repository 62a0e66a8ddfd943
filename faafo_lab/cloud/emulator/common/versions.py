"""Microversions: which one a request is of, as its headers say: `OpenStack-API-Version: volume 3.70, compute 2.93`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from faafo_lab.cloud.emulator.common.service import Fault

Version = tuple[int, int]


def asked(headers: Mapping[str, str], service: str, oldest: Version, newest: Version, before: str | None) -> Version:
    """The version that the headers want of a service; without a word, the one of text `before`, or the oldest.

    Raises a 400 or 406 `Fault`.
    """
    text = before
    for part in headers.get("OpenStack-API-Version", "").split(","):
        name, _, version = part.strip().partition(" ")
        if name == service and version:
            text = version.strip()
    if text is None:
        return oldest
    if text == "latest":
        return newest
    if not re.fullmatch(r"[1-9][0-9]{0,5}\.(0|[1-9][0-9]{0,5})", text):
        raise Fault(400, f"API Version String {text[:40]} is of invalid format. Must be of format MajorNum.MinorNum.")
    major, minor = (int(number) for number in text.split("."))
    if not oldest <= (major, minor) <= newest:
        raise Fault(
            406,
            f"Version {text} is not supported by the API. Minimum is {shown(oldest)} and maximum is {shown(newest)}.",
        )
    return major, minor


def shown(version: Version) -> str:
    """A microversion as texts have it: 2.60."""
    return f"{version[0]}.{version[1]}"
