"""Puts back what got lost: each API runs one of these rounds every second, and they do not get in each other's way.

Outbox          what is not in the queue, because the broker was away, is published
Expired leases  what a worker took and no longer reports is queued again
Lost messages   what should be in the queue, and is not, because the broker has lost it, is queued again
"""

import logging
import threading
import time
from collections.abc import Sequence

from faafo_lab.app import logs, outbox
from faafo_lab.app.errors import BrokerAway, DatabaseAway
from faafo_lab.app.julia import Order
from faafo_lab.app.metrics import Metrics
from faafo_lab.app.store import Store
from faafo_lab.app.tasks import Publisher

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
FLUSH_SECONDS = 0.05  # an API under load publishes many tasks at once, which costs little more than one
OUTBOX_AFTER_SECONDS = 5.0  # until then the API that accepted it publishes it itself, however busy it is


class Keeper:
    """Makes sure that every accepted task is in the queue or has a lease."""

    def __init__(self, store: Store, publisher: Publisher, metrics: Metrics):
        self._store = store
        self._publisher = publisher
        self._metrics = metrics
        self._lock = threading.Lock()
        self._new: list[Order] = []
        self._flush_at = 0.0

    def accept(self, orders: Sequence[Order]) -> bool:
        """Note orders that were just accepted; whether ``flush`` has to be called for them."""
        with self._lock:
            first = not self._new
            self._new += orders
            return first

    def flush(self) -> None:
        """Publish what was accepted, all at once; not before ``FLUSH_SECONDS`` after the last time, and what comes
        until then goes along. Where it fails, it is in the outbox anyway.
        """
        time.sleep(max(0.0, self._flush_at - time.monotonic()))
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        with self._lock:
            new, self._new = self._new, []
        try:
            self._publisher.publish(new)
            self._store.write(outbox.published, [order.generation for order in new])
        except (BrokerAway, DatabaseAway):
            pass

    def round(self) -> None:
        """One round; raises ``BrokerAway`` and ``DatabaseAway``."""
        for uuid, worker in self._store.write(outbox.take_back_expired):
            self._metrics.leases_expired.inc()
            with logs.about(uuid):
                log.warning("%s has not reported on it: queued again", worker)
        if count := self._store.write(outbox.refill, queue_is_empty=self._publisher.depth() == 0):
            self._metrics.requeued.inc(count)
            log.warning("the queue has lost %d tasks: queued again", count)
        while self._store.write(outbox.publish, self._publisher.publish, OUTBOX_AFTER_SECONDS):
            pass
