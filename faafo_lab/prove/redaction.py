"""What a report must not reveal: user, cloud, and credentials.

redactor = Redactor({"project": ["alpha"], "password": ["s3cret"]})
redactor.clean("No quota in project alpha at https://cloud.example.org:5000/v3")     # "No quota in <project> …at <url>"

Two filters: known words (from the entry in clouds.yaml and the cloud's lists), and patterns for unknown ones
(addresses, ids, URLs, tokens, quoted names). In doubt a word is redacted.
"""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from faafo_lab.cloud.base import Cloud

OWN_NAME = re.compile(r"(app|faafo-prove)(-[\w-]+)?")  # the proof's own resources may be named
USUAL = {"default", "Default", "RegionOne"}  # names that every cloud has reveal nothing
SHORT = 5  # a known word up to this length is redacted only where it is a whole word
FILES = "yaml|yml|json|py|sh|md|txt|log|service|ipynb|conf|whl"

FORMS: Mapping[str, re.Pattern[str]] = {
    label: re.compile(pattern, re.IGNORECASE)
    for label, pattern in {
        "url": r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)]+",
        "mail": r"[\w.+-]+@[\w.-]+",
        "id": r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b",
        "token": r"\bgAAAA[\w=-]+|\b(?=[\w+/-]*[0-9])(?=[\w+/-]*[a-z])[\w+/-]{32,}=*",
        "mac": r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b",
        "address": r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?(?::[0-9]+)?(?![\w.]*\w)"
        r"|(?<![\w:])(?=[0-9a-f:]*:[0-9a-f:]*:)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:%\w+)?(?:/[0-9]{1,3})?(?![\w:])",
        "path": r"(?<![\w<.])/[\w.<>-]+(?:/[\w.@+<>-]+)+",
        "host": rf"(?<![\w.-])(?:[a-z0-9-]+\.)+(?!(?:{FILES})\b)[a-z][a-z0-9-]+(?![\w(])",
        "names": r"(?<=There are: ).+",
    }.items()
}
HOST = re.compile(r"\b(host|node)([ :=]+)(?!(?:was|is|name|key|found|not)\b)([\w.-]+)", re.IGNORECASE)
QUOTED = re.compile(r"(?<!\w)(['\"])([^'\"\n]+)\1(?!\w)")


class Redactor:
    """Replaces in texts the words that it knows by what they are ("<project>"), and what looks like an address or a
    secret."""

    def __init__(self, words: Mapping[str, Iterable[str]] | None = None) -> None:
        self._labels: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        for label, known in (words or {}).items():
            self.learn(label, known)

    def learn(self, label: str, words: Iterable[Any]) -> None:
        """Replace these words by the label from now on."""
        for word in words:
            if word and str(word) not in USUAL and not OWN_NAME.fullmatch(str(word)):
                self._labels.setdefault(str(word).casefold(), label)
        longest_first = sorted(self._labels, key=len, reverse=True)
        self._pattern = re.compile("|".join(_pattern(word) for word in longest_first), re.IGNORECASE)

    def learn_cloud(self, cloud: Cloud) -> None:
        """Learn the words in a clouds.yaml entry and in the cloud's lists. Raises CloudErrors."""
        for key, value in _leaves(cloud.config.auth):
            self.learn(key.removesuffix("_name").removesuffix("_id").replace("username", "user"), [value])
        self.learn("cloud", [cloud.name])
        self.learn("region", [cloud.config.region])
        for url in (cloud.config.auth_url, *cloud.services.values()):
            self.learn("host", [urlsplit(url or "").hostname])
        listed = (cloud.images(), cloud.flavors(), cloud.networks(), cloud.servers(), cloud.security_groups())
        for things in listed:
            self.learn("name", [thing.name for thing in things])
            self.learn("id", [thing.id for thing in things if len(thing.id) > SHORT])  # a flavor's may be "1"
        self.learn("name", [pair.name for pair in cloud.key_pairs()])
        self.learn("address", [ip.address for ip in cloud.floating_ips()])

    def learn_machine(self) -> None:
        """Learn this machine's name, its user's name, and the user's home directory."""
        self.learn("host", [platform.node()])
        try:
            self.learn("path", [str(Path.home())])
            self.learn("user", [getpass.getuser()])
        except (KeyError, OSError, RuntimeError):  # a user id without an account
            return

    def clean(self, value: Any, keep: frozenset[str] = frozenset()) -> Any:
        """The redacted text, or list or mapping of texts (its values); values of the keys in `keep` stay."""
        if isinstance(value, str):
            return value if value in keep else self._text(value)
        if isinstance(value, Mapping):
            return {key: self.clean(each, keep) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(each, keep) for each in value]
        return value

    def _text(self, text: str) -> str:
        if self._pattern is not None and self._pattern.pattern:
            text = self._pattern.sub(lambda match: f"<{self._labels[match[0].casefold()]}>", text)
        for label, form in FORMS.items():
            text = form.sub(f"<{label}>", text)
        text = HOST.sub(r"\1\2<host>", text)
        return QUOTED.sub(lambda match: match[0] if OWN_NAME.fullmatch(match[2]) else "<name>", text)


def _leaves(value: Any, key: str = "auth") -> list[tuple[str, Any]]:
    """(key, value) of every leaf: each value that is neither a mapping nor a list."""
    if isinstance(value, Mapping):
        return [leaf for name, each in value.items() for leaf in _leaves(each, str(name))]
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in _leaves(each, key)]
    return [(key, value)]


def _pattern(word: str) -> str:
    literal = re.escape(word)
    return literal if len(word) > SHORT else rf"(?<![^\W_]){literal}(?![^\W_])"
