"""What the API's handlers share: store, queue, this machine, and the threads that wait for them."""

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from faafo_lab.app import settings
from faafo_lab.app.client import Client
from faafo_lab.app.errors import AppError, BrokerAway, DatabaseAway
from faafo_lab.app.groups import Groups, aside
from faafo_lab.app.images import Places
from faafo_lab.app.julia import Order, Task
from faafo_lab.app.keeper import ROUND_SECONDS, Keeper
from faafo_lab.app.listing import FractalsPage, PageQuery
from faafo_lab.app.machine import LoadMeter
from faafo_lab.app.metrics import Metrics
from faafo_lab.app.store import CONNECTIONS, Store
from faafo_lab.app.tasks import Publisher

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


SWEEP_SECONDS = 60.0
BROKER_SECONDS = 2.0  # that a request waits for the broker
ANSWER_SECONDS = 12.0  # and for the database, or the images' place
SHORT_PAGE = 100  # fractals; a longer one is not to hold up others


class Backend:
    """One API's connections and threads; ``name`` is this machine's, ``in_flight`` counts its requests."""

    def __init__(self, database_url: str, queue_url: str, images_url: str, secret: str | None):
        self.name = settings.hostname()
        self.secret = secret
        self.machine = LoadMeter()
        self.load = self.machine.read()
        self.store = Store(database_url, settings.waiting_max())
        self.images = Places(images_url, self.store, self.name)
        self.publisher = Publisher(queue_url)
        self._version = settings.version()
        self._advertised = settings.advertised_url()
        if self._advertised:
            Client(self._advertised)  # it is an address
        self.metrics = Metrics(self._version)
        self.keeper = Keeper(self.store, self.publisher, self.metrics)
        self.in_flight = 0
        self.metrics.in_flight.set_function(lambda: self.in_flight)
        self._run = str(uuid.uuid4())
        self._requests = ThreadPoolExecutor(CONNECTIONS - 4, "request")  # the next four have a connection each
        self._accepting = Groups("accept", self._accept)
        self._listing = Groups("list", self.store.pages)
        self._publishing = ThreadPoolExecutor(1, "publish")
        self._keeping = ThreadPoolExecutor(1, "keep")
        self._asking = ThreadPoolExecutor(1, "broker")
        self._unanswered: asyncio.Future[Any] | None = None  # what the broker was asked, and is late
        self._tables = False

    async def ask(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call something that blocks in a thread of its own; raises ``DatabaseAway`` where no answer comes in time."""
        return await _in_time(self.ask_patiently(function, *args, **kwargs))

    async def ask_patiently(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call something that blocks, and may well take long, such as putting a large image away."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._requests, lambda: function(*args, **kwargs))

    async def ask_broker(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call something that waits for the broker; raises ``BrokerAway``, also where that takes long.

        A broker that hangs holds up its own thread alone: whoever asks before it has answered is told at once.
        """
        if self._unanswered is not None and not self._unanswered.done():
            raise BrokerAway("The message broker does not answer.")
        loop = asyncio.get_running_loop()
        answer = loop.run_in_executor(self._asking, lambda: function(*args, **kwargs))
        done, _ = await asyncio.wait([answer], timeout=BROKER_SECONDS)
        if not done:
            self._unanswered = answer
            answer.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody waits for it any more
            raise BrokerAway(f"The message broker has not answered for {BROKER_SECONDS:g} s.")
        return answer.result()

    async def keep(self) -> None:
        """Once a second: note the load, report, and put back what got lost. Outlasts database and broker."""
        loop = asyncio.get_running_loop()
        away: set[type[AppError]] = set()
        reported = -math.inf
        while True:
            self.load = self.machine.read()
            try:
                if not self._tables:
                    await loop.run_in_executor(self._keeping, self.store.create_tables)
                    await loop.run_in_executor(self._keeping, self.images.note_own)
                    self._tables = True
                if time.monotonic() - reported >= settings.HEARTBEAT_SECONDS:
                    reported = time.monotonic()
                    beat = (self.name, self._run, self.load, self._version, self._advertised)
                    await loop.run_in_executor(self._keeping, self.store.serving, *beat)
                if DatabaseAway in away:
                    log.info("the database is back")
                    away.discard(DatabaseAway)
                await loop.run_in_executor(self._keeping, self.keeper.round)
            except DatabaseAway as error:
                if DatabaseAway not in away:
                    log.warning("waiting for the database: %s", error)
                away.add(DatabaseAway)
                self._tables = False  # it may be another database that comes back
            except BrokerAway:
                pass  # the publisher has said so
            except Exception:
                log.exception("keeping failed, trying again")
            await asyncio.sleep(ROUND_SECONDS)

    async def sweep(self) -> None:
        """Every minute: delete images that no row refers to."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.ask_patiently(self.images.sweep)
            except DatabaseAway:
                pass  # ``keep`` says so
            except Exception:
                log.exception("sweeping the images failed, trying again")

    async def accept(self, task: Task) -> tuple[dict[str, Any], bool]:
        """Accept a task: the fractal, once it is in the database, and whether it is new. It is published soon after.

        Raises what ``Store.add`` raises.
        """
        return await _in_time(self._accepting.ask(task))

    async def page(self, wanted: PageQuery) -> FractalsPage:
        """How many fractals there are, and those of one page. Short pages asked for at the same time go together."""
        if wanted.limit > SHORT_PAGE:
            [page] = await self.ask(self.store.pages, [wanted])
            return page
        return await _in_time(self._listing.ask(wanted))

    def _accept(self, tasks: list[Task]) -> list[tuple[dict[str, Any], bool] | AppError]:
        answers = self.store.add_many(tasks)
        new = [
            Order(task, answer[0]["generation"])
            for task, answer in zip(tasks, answers, strict=True)
            if not isinstance(answer, AppError) and answer[1]
        ]
        if new and self.keeper.accept(new):
            aside(self._publishing, self.keeper.flush)
        return answers

    def close(self) -> None:
        """Publish what is left, close all connections."""
        self._accepting.close()
        self._listing.close()
        for pool in (self._requests, self._publishing, self._keeping, self._asking):
            pool.shutdown(cancel_futures=False)
        self.publisher.close()
        self.store.close()


async def _in_time(answer: Coroutine[Any, Any, R]) -> R:
    """The answer, for which a request does not wait for ever: PostgreSQL's driver would, for a server that hangs."""
    try:
        return await asyncio.wait_for(answer, ANSWER_SECONDS)
    except TimeoutError:
        raise DatabaseAway(f"No answer of the database or the images' place within {ANSWER_SECONDS:g} s.") from None
