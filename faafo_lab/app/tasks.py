"""The queue: kombu, direct exchange ``tasks``, queue and routing key ``normal``, JSON and nothing else.

The body is the task, as the original has it; the order's generation is in the header ``generation``.

A task that a worker has had before, and lost, goes to a second queue, ``again``, so that it need not wait behind
everything that came later. Workers serve both in turn. What they cannot process goes to a third, ``dead``.

Valkey or Redis (``redis://:PASSWORD@HOST:6379/0``, ``redis+socket://:PASSWORD@/PATH``) and RabbitMQ (``amqp://…``).
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from faafo_lab.app.errors import BrokerAway, SettingsError
from faafo_lab.app.julia import Order

kombu: Any = import_module("kombu")  # as good as untyped

log = logging.getLogger(__name__)

R = TypeVar("R")

CONNECT_SECONDS = 3
ANSWER_SECONDS = 10  # of a broker; a blocking pop answers within 1 s
RETRY_SECONDS = 1.0  # a broker that was away is not asked again before
LETTERS_MAX = 100  # in the queue ``dead``
KEEPALIVE = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 3}  # seconds, seconds, probes
GENERATION = "generation"  # the header
SCHEMES = ("redis", "rediss", "redis+socket", "amqp", "amqps")

EXCHANGE = kombu.Exchange("tasks", type="direct", durable=True)
NORMAL = kombu.Queue("normal", EXCHANGE, routing_key="normal", durable=True)
AGAIN = kombu.Queue("again", EXCHANGE, routing_key="again", durable=True)
QUEUES = (NORMAL, AGAIN)
DEAD = kombu.Queue("dead", EXCHANGE, routing_key="dead", durable=True, max_length=LETTERS_MAX)  # see the module dead


def connection(url: str) -> Any:
    """A connection to the broker, not yet made; raises ``SettingsError`` for a URL that is none.

    Each use of it fails soon where the broker is dead; once closed, make another.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise SettingsError(f"The queue URL must begin with one of {', '.join(SCHEMES)}, then ://.")
    options: dict[str, Any]
    if scheme.startswith("amqp"):
        # without them the driver would wait for ever for a broker whose machine vanished
        options = {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS, "socket_settings": KEEPALIVE}
    else:
        options = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": CONNECT_SECONDS}
        options |= {"health_check_interval": ANSWER_SECONDS}
        if scheme != "redis+socket":
            options["socket_keepalive"] = True
    try:
        return kombu.Connection(url, connect_timeout=CONNECT_SECONDS, transport_options=options)
    except ValueError:  # it says what it could not read, which may be a part of the password
        raise SettingsError(
            f"The queue URL must look like {scheme}://USER:PASSWORD@HOST:PORT/, with %2F for a /."
        ) from None


def open_channel(connection: Any) -> Any:
    """Connect, without any retry of kombu's own (they sleep), and declare the queues."""
    connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
    channel = connection.channel()
    for queue in (*QUEUES, DEAD):
        queue(channel).declare()
    return channel


def away(connection: Any) -> tuple[type[BaseException], ...]:
    """The exceptions that mean that a broker is away."""
    uncertain = kombu.exceptions.BatchPublishError
    return (*connection.connection_errors, *connection.channel_errors, uncertain, socket.timeout, OSError)


def close(connection: Any, broken: bool = False) -> None:
    """Close a connection, whatever state it is in; without a word to the broker where that does not answer."""
    try:
        if broken:
            connection.collect(ANSWER_SECONDS)
        else:
            connection.close()
    except Exception as error:  # what a dead broker's socket says does not matter any more
        log.debug("closing: %s", error)


class Publisher:
    """Puts tasks into the queue, from any thread, one at a time. Raises ``BrokerAway``."""

    def __init__(self, url: str):
        self._url = url
        self._connection = connection(url)
        self._lock = threading.Lock()
        self._channel: Any = None
        self._sender: Any = None
        self._away_until = 0.0
        self._away = False

    def publish(self, orders: Iterable[Order], again: bool = False) -> None:
        """Put orders into the queue; when this returns, the broker has them all."""
        queue = AGAIN if again else NORMAL

        def send(channel: Any) -> None:
            self._sender = self._sender or self._open_sender()
            producer = self._connection.Producer(self._sender, exchange=EXCHANGE, auto_declare=False)
            with producer.batch():  # Valkey: they go together
                for task, generation in orders:
                    producer.publish(
                        task.as_dict(),
                        headers={GENERATION: generation},
                        serializer="json",
                        routing_key=queue.routing_key,
                        delivery_mode="persistent",
                    )
            if hasattr(self._sender, "tx_commit"):  # RabbitMQ: none is certain before this
                self._sender.tx_commit()

        self.ask(send)

    def depths(self) -> dict[str, int]:
        """How many messages there are, by queue; also the dead letters."""
        return self.ask(
            lambda channel: {queue.name: int(queue(channel).queue_declare().message_count) for queue in (*QUEUES, DEAD)}
        )

    def depth(self) -> int:
        """How many messages wait for workers."""
        depths = self.depths()
        return sum(depths[queue.name] for queue in QUEUES)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            close(self._connection)

    def _open_sender(self) -> Any:
        """A channel for tasks alone."""
        channel = self._connection.channel()
        if hasattr(channel, "tx_select"):
            channel.tx_select()
        if hasattr(channel, "get_table"):  # the bindings, which Valkey need not be asked for with every message
            channel.get_table = cache(channel.get_table)
        return channel

    def ask(self, question: Callable[[Any], R]) -> R:
        """What ``question`` finds out with an open channel."""
        with self._lock:
            if time.monotonic() < self._away_until:
                raise BrokerAway("The message broker does not answer.")
            try:
                if self._channel is None:
                    self._channel = open_channel(self._connection)
                answer = question(self._channel)
            except away(self._connection) as error:
                close(self._connection, broken=True)
                self._channel = self._sender = None
                self._connection = connection(self._url)
                self._away_until = time.monotonic() + RETRY_SECONDS
                if not self._away:
                    log.warning("the message broker is away, tasks wait in the database: %s", error)
                self._away = True
                raise BrokerAway(f"The message broker does not answer: {error}") from None
            if self._away:
                log.info("the message broker is back")
            self._away = False
            return answer
