"""What can go wrong with a cloud, the same through every backend.

    CloudError
    ├── ConfigError         no such cloud in clouds.yaml, an entry that lacks something, an unknown backend
    ├── Unreachable         nothing answers at the cloud's address
    ├── AuthError           the cloud answers, and refuses the credentials
    ├── NotFound            no such server, image, …: names those that exist, near matches first
    │   └── NoService       the cloud does not have this service at all
    ├── Ambiguous           several of that name: an id is needed
    ├── AlreadyExists       the name, or the rule, is taken
    ├── InUse               can't be deleted or changed while something uses it
    ├── QuotaExceeded       the project may not have more of these
    ├── BadRequest          the cloud refuses a value
    ├── Forbidden           the credentials are right, but not allowed to do this
    ├── ServerFailed        a server is in ERROR: its fault, and the end of its console log
    ├── TimedOut            a wait reached its limit: what for, how long, what was seen last
    ├── NotReady            a preflight found something missing: all of it, in one list
    ├── CommandFailed       a command on a server could not run (SSH), or its exit code was wrong
    └── CloudFailed         the cloud itself failed (5xx), or gave an answer that can't be understood

    KeyboardInterrupt
    └── Interrupted         a wait or a call was interrupted: which one, and its progress

Each message is one clear sentence (or a short list): what is wrong and what to do, with the cloud's own words.
In IPython and Jupyter these errors show that message alone, without a traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

__all__ = [
    "AlreadyExists",
    "Ambiguous",
    "AuthError",
    "BadRequest",
    "CloudError",
    "CloudFailed",
    "CommandFailed",
    "ConfigError",
    "Forbidden",
    "InUse",
    "Interrupted",
    "NoService",
    "NotFound",
    "NotReady",
    "QuotaExceeded",
    "ServerFailed",
    "TimedOut",
    "Unreachable",
]

MOST_NAMES_SHOWN = 12
MOST_CHARACTERS_SHOWN = 40  # of a word without end, such as user data in base64


class OneLine:
    """An exception that IPython shows as its message alone."""

    def _render_traceback_(self) -> list[str]:
        """What `InteractiveShell.showtraceback` shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class CloudError(OneLine, Exception):
    """Base of all errors of the cloud; `str(error)` is what to show a user."""


class Interrupted(OneLine, KeyboardInterrupt):
    """A wait or a call was interrupted. `at` says which, and its progress."""

    def __init__(self, at: str) -> None:
        self.at = at
        super().__init__(f"{at}. To go on, run the cell again: it continues with the resources that exist.")


class ConfigError(CloudError):
    """The cloud's configuration is missing or incomplete."""


class Unreachable(CloudError):
    """Nothing answers at the cloud's address (refused, unknown host, timeout, TLS)."""


class AuthError(CloudError):
    """The cloud refuses the credentials (401)."""


class Forbidden(CloudError):
    """The cloud does not let this user do this (403 that is not about a quota)."""


class NotFound(CloudError):
    """The resource does not exist (404, or no such name in a list)."""

    @classmethod
    def among(cls, kind: str, name: str, existing: Iterable[str]) -> NotFound:
        """An error for `name`, with the names that exist, those most alike first."""
        names = sorted(set(existing))
        if not names:
            return cls(f"There is no {kind} {name!r}: this project has no {kind} yet.")
        alike = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        hint = f"Did you mean {alike[0]!r}? " if alike else ""
        return cls(f"There is no {kind} {name!r}. {hint}There are: {_some(alike, names)}.")


class NoService(NotFound):
    """The cloud's catalog does not have the service in this region."""


class Ambiguous(CloudError):
    """More than one resource has this name."""


class AlreadyExists(CloudError):
    """The name or the rule is taken (409)."""


class InUse(CloudError):
    """Something still uses this resource, or it is not in a state for this (409)."""


class QuotaExceeded(CloudError):
    """The project's quota is used up (403 or 409, or 413 of old Novas)."""


class BadRequest(CloudError):
    """The cloud refuses a value (400)."""


class CloudFailed(CloudError):
    """The cloud itself failed (5xx), or gave an answer that its client library does not understand."""


class TimedOut(CloudError):
    """A wait reached its limit."""

    def __init__(self, what: str, timeout_seconds: float, last_seen: str = "", how_far: str = "") -> None:
        self.what = what
        self.timeout_seconds = timeout_seconds
        self.last_seen = last_seen
        seen = f" Last seen: {last_seen}." if last_seen else ""
        at = f"at {how_far} {what}" if how_far else f"waiting for {what}"
        super().__init__(f"Timed out after {timeout_seconds:g} s, {at}.{seen}")


class ServerFailed(CloudError):
    """A server went to ERROR. `fault` is Nova's word on it, `console` the end of its console log."""

    def __init__(self, name: str, fault: str | None, console: str = "") -> None:
        self.name = name
        self.fault = fault
        self.console = console.rstrip()
        reason = (fault or "the cloud gives no reason").rstrip(".")
        text = f"Server {name!r} failed: {reason}. Delete it and create it again."
        if self.console:
            text += f" The end of its console log:\n{self.console}"
        super().__init__(text)


class NotReady(CloudError):
    """Something is missing before anything can be built. `missing` holds one sentence for each."""

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__("Nothing was built, because this is missing:\n" + "\n".join(f"  • {m}" for m in missing))


class CommandFailed(CloudError):
    """A command could not be run on a server, or ended with another exit code than 0 where that was asked."""


# What the cloud says where its status alone would mislead: these words, what they mean, and what to do.
KNOWN: tuple[tuple[str, type[CloudError], str], ...] = (
    (
        "Multiple possible networks found",
        Ambiguous,
        "Choose one of `cloud.networks()`: with `network=`, or in clouds.yaml with `faafo_lab: {network: NAME}`.",
    ),
    (
        "is not reachable from subnet",
        NotFound,
        "No router connects the server's network to the external one: add one, or put the server on another network.",
    ),
    (
        "removing default security group",
        Forbidden,
        "Every project keeps its group 'default': delete its rules instead.",
    ),
    ("already has a floating IP", AlreadyExists, "Use that one, or detach it first."),
    ("Unable to find security_group", NotFound, "`cloud.security_groups()` lists those that there are."),
    ("Invalid key_name", NotFound, "`cloud.key_pairs()` lists those that there are."),
    ("Request Entity Too Large", BadRequest, "Send less at once."),
    ("while it is in", InUse, "Wait until its state allows this, and try again."),
    ("tatus must be available", InUse, "Detach it, delete its snapshots, or wait for what is in progress: try again."),
    ("is not ready", InUse, "Wait until it is ACTIVE, and try again."),
)


def from_status(status: int, words: str) -> CloudError:
    """The error for an HTTP status and the cloud's own words on it: the one place that knows what they mean."""
    words = _plain(words) or f"HTTP status {status}"
    for known, kind, advice in KNOWN:
        if known in words:
            return kind(f"{words}. {advice}")
    about_quota = "quota" in words.lower()
    if status == 401:
        return AuthError(
            f"The cloud refuses the credentials: {words}. Check user, password and project in clouds.yaml."
        )
    if status == 413 or (status in (403, 409) and about_quota):
        return QuotaExceeded(f"{words}. Delete what you don't need, or ask for a larger quota.")
    if status == 403:
        return Forbidden(f"The cloud does not allow this: {words}. Its administrator can, or use another project.")
    if status == 404:
        return NotFound(f"{words}. It may have been deleted meanwhile: list what there is.")
    if status == 409 and ("already" in words.lower() or "Duplicate entry" in words):  # Keystone's words
        return AlreadyExists(f"{words}. Use the one that exists, or delete it first.")
    if status == 409:
        return InUse(f"{words}. Delete or detach what uses it, and try again.")
    if 400 <= status < 500:
        return BadRequest(f"The cloud refuses the request ({status}): {words}. Correct the value and try again.")
    return CloudFailed(f"The cloud failed ({status}): {words}. Try again; if it stays so, ask its administrator.")


def _plain(words: str) -> str:
    """The words in one line: those of a page (a proxy's, say) without its tags, and endless ones cut."""
    if "<html" in words.lower():
        words = re.sub(r"(?i)</h1>", ": ", words)
        words = re.sub(r"(?is)<head.*?</head>|<[^>]*>", " ", words)
    words = " ".join(words.split()).rstrip(".")
    return re.sub(r"\S{100,}", lambda endless: endless[0][:MOST_CHARACTERS_SHOWN] + "…", words)


# What client libraries wrap in several layers of their own, and what it comes to.
REASONS = {
    "Connection refused": "the connection is refused",
    "Failed to resolve": "the host name is unknown",
    "Name or service not known": "the host name is unknown",
    "certificate verify failed": "its certificate can't be verified",
    "timed out": "it does not answer in time",
}


def unreachable(auth_url: str | None, why: str, otherwise: str | None = None) -> Unreachable:
    """The error when nothing answers, or something that is no OpenStack.

    `why` are a library's words; `otherwise` is what to say where they are none of the known reasons.
    """
    known = next((plain for words, plain in REASONS.items() if words in why), None)
    reason = known or otherwise or why.strip().rstrip(".")
    return Unreachable(
        f"No OpenStack answers at {auth_url}: {reason}. Check the address in clouds.yaml and your network; "
        f"the embedded cloud starts with `faafo-lab cloud start`."
    )


def _some(alike: Sequence[str], names: Sequence[str]) -> str:
    """The names in a row, near matches first, and cut where there are many."""
    ordered = [*alike, *(name for name in names if name not in alike)]
    more = len(ordered) - MOST_NAMES_SHOWN
    return ", ".join(ordered[:MOST_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
