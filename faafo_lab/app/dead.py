"""Dead letters: messages that no worker can process, kept with the reason in the queue ``dead``.

The worker that meets one puts this JSON object there, and goes on::

    {"reason": "'width' must be a whole number from 1 to 10000.", "message": "{\"uuid\": …", "queue": "normal",
     "content_type": "application/json", "worker": "app-worker-1", "at": "2026-01-31T18:29:19.041+00:00"}

``GET /v1/dead`` shows them, ``DELETE /v1/dead`` throws them away, ``GET /v1/stats`` counts them. The newest
``LETTERS_MAX`` are kept, the first ``MESSAGE_MAX_CHARACTERS`` of each.
"""

import contextlib
import json
import uuid
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from faafo_lab.app.tasks import DEAD, EXCHANGE, LETTERS_MAX, kombu

MESSAGE_MAX_CHARACTERS = 4096

virtual: Any = import_module("kombu.transport.virtual")


def bury(channel: Any, reason: str, worker: str, body: object, queue: str = "", content_type: str = "") -> None:
    """Put a message that cannot be processed into the queue ``dead``; the oldest letters make room."""
    letter = {
        "reason": reason,
        "message": _text(body)[:MESSAGE_MAX_CHARACTERS],
        "queue": queue,
        "content_type": content_type,
        "worker": worker,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    kombu.Producer(channel, exchange=EXCHANGE, auto_declare=False).publish(
        letter, serializer="json", routing_key=DEAD.routing_key, delivery_mode="persistent"
    )
    dead = DEAD(channel)
    for _ in range(int(dead.queue_declare().message_count) - LETTERS_MAX):  # RabbitMQ has done so itself
        dead.get(no_ack=True)


def letters(channel: Any) -> list[dict[str, Any]]:
    """All letters, the oldest first; they stay where they are."""
    dead = DEAD(channel)
    taken: list[Any] = []
    while len(taken) < 2 * LETTERS_MAX and (message := dead.get()):
        taken.append(message)
    for message in taken[:-LETTERS_MAX]:  # a worker could not see them while somebody else was looking
        message.ack()
    kept = taken[-LETTERS_MAX:]
    for message in kept:
        message.requeue()
    return sorted(map(_letter, kept), key=lambda letter: str(letter.get("at")))


def discard(channel: Any) -> int:
    """Throw all letters away; how many."""
    return int(DEAD(channel).purge())


def read_anything(channel: Any) -> None:
    """Let a channel of Valkey deliver also what is no message of kombu's: what it cannot read is a body of no type."""
    if isinstance(channel, virtual.Channel):
        channel.Message = _Anything


class _Anything(virtual.Message):  # type: ignore[misc]
    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **kwargs)
        except (KeyError, TypeError, AttributeError, ValueError):
            properties = {"delivery_tag": str(uuid.uuid4()), "delivery_info": {"exchange": "", "routing_key": ""}}
            super().__init__({"body": json.dumps(payload), "properties": properties}, channel=channel, **kwargs)


def _letter(message: Any) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        letter = json.loads(_text(message.body))
        if isinstance(letter, dict):
            return letter
    return {"reason": "This is no letter of a worker's.", "message": _text(message.body)[:MESSAGE_MAX_CHARACTERS]}


def _text(body: object) -> str:
    if isinstance(body, memoryview):
        body = body.tobytes()
    return body.decode(errors="backslashreplace") if isinstance(body, bytes) else str(body)
