"""What the API and the worker log, on standard error (a systemd service's journal keeps it).

For people, the default::

    18:29:19 INFO made in 0.110 s fractal=cd037888-37db-5519-ba85-64c00ad055d4 node=app-worker-1

For machines, with ``FAAFO_LOG=json``, one object a line::

    {"time": "2026-01-31T18:29:19.041+00:00", "level": "INFO", "logger": "faafo_lab.app.worker",
     "message": "made in 0.110 s", "fractal": "cd037888-37db-5519-ba85-64c00ad055d4", "node": "app-worker-1"}

``FAAFO_LOG_LEVEL=debug`` also says when the API accepts, completes and deletes a fractal. The deployment's secret and
the passwords of database and broker are blotted out, wherever they come from: an error's text, an address.
"""

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

from faafo_lab.app import settings
from faafo_lab.app.errors import SettingsError

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
BLOT = "*****"

_fractal: ContextVar[str] = ContextVar("fractal", default="")


@contextlib.contextmanager
def about(uuid: str) -> Iterator[None]:
    """What is logged meanwhile, in this thread or asyncio task, is about the fractal ``uuid``."""
    token = _fractal.set(uuid)
    try:
        yield
    finally:
        _fractal.reset(token)


def concerns(uuid: str) -> None:
    """The rest of this asyncio task, such as one request, is about the fractal ``uuid``."""
    _fractal.set(uuid)


class Blotted(logging.Formatter):
    """A line that names the node and has no secret in it."""

    def __init__(self, node: str, secrets: list[str]):
        super().__init__()
        self._node = node
        self._blot = Blot(secrets)


class Text(Blotted):
    """A line for people: time, level, message, then ``fractal=`` and ``node=``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback follows it."""
        message = " ".join(record.getMessage().splitlines())  # one record, one line, whatever a client has sent
        words = [time.strftime("%H:%M:%S", time.localtime(record.created)), record.levelname, message]
        words += [f"{name}={value}" for name, value in _context(self._node).items()]
        lines = [" ".join(words)]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return self._blot("\n".join(lines))


class Json(Blotted):
    """An object a line for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback is its ``exception``."""
        shown: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._blot(record.getMessage()),
            **_context(self._node),
        }
        if record.exc_info:
            shown["exception"] = self._blot(self.formatException(record.exc_info))
        return json.dumps(shown, ensure_ascii=False)


class Blot:
    """Blots out secrets in a text, also as an address, JSON and Python's own quotes write them."""

    def __init__(self, secrets: list[str]):
        written = {
            form
            for secret in secrets
            for form in (
                secret,
                quote(secret),
                quote(secret, safe=""),
                quote_plus(secret),
                json.dumps(secret)[1:-1],
                repr(secret)[1:-1],
            )
        }
        self._forms = sorted(written - {""}, key=len, reverse=True)  # one may be part of another

    def __call__(self, text: str) -> str:
        """The text without them."""
        for form in self._forms:
            text = text.replace(form, BLOT)
        return text


def start(node: str) -> None:
    """Log as ``FAAFO_LOG`` and ``FAAFO_LOG_LEVEL`` say; raises ``SettingsError`` where they make no sense."""
    layout = _choice("FAAFO_LOG", FORMATS, "text")
    level = _choice("FAAFO_LOG_LEVEL", LEVELS, "info")
    handler = logging.StreamHandler()
    handler.setFormatter({"text": Text, "json": Json}[layout](node, settings.passwords()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)  # libraries' debugging is not ours
    logging.getLogger("faafo_lab").setLevel(level.upper())


def _context(node: str) -> dict[str, str]:
    fractal = _fractal.get()
    return {"fractal": fractal, "node": node} if fractal else {"node": node}


def _choice(name: str, known: tuple[str, ...], otherwise: str) -> str:
    value = (os.environ.get(name) or otherwise).lower()
    if value not in known:
        raise SettingsError(f"{name} must be one of {', '.join(known)}: got '{value[:40]}'.")
    return value
