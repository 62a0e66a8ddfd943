"""The worker (``faafo-worker``): takes a task from the queue, or some small ones, computes the fractals, reports them.

A second thread tells an API every two seconds what the worker works on; that renews the lease, and the answer says
whether the worker has to drain. A message is acknowledged when its task is done or is no longer ours: the row in the
database says what is to do, so a message may come twice, or get lost.

SIGTERM: finish the in-flight tasks or, where that takes longer than ``DRAIN_SECONDS``, hand them back; say goodbye and
exit 0. Broker or all APIs away: keep trying, and say so once. A message that cannot be processed goes to the dead
letters. A task that cannot be computed is reported to an API, which lets it be tried again, later; one that has failed
too often goes to the dead letters, too. What only this machine cannot do (its disk is full) is left to the others: the
worker takes nothing for a while, longer from one failure to the next.
"""

import argparse
import hashlib
import json
import logging
import os
import signal
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from faafo_lab.app import dead, logs, settings, tasks, validation
from faafo_lab.app.apis import NOT_WELCOME, Apis, Endpoints
from faafo_lab.app.durations import duration
from faafo_lab.app.errors import ApiAway, ApiError, ApiRefused, AppError, BadRequest
from faafo_lab.app.julia import Order, Task, constant
from faafo_lab.app.machine import LoadMeter
from faafo_lab.app.validation import Lease

log = logging.getLogger(__name__)

R = TypeVar("R")

HEARTBEAT_TIMEOUT_SECONDS = 4.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)
DRAIN_SECONDS = 30.0  # for the in-flight tasks when a signal comes
NOT_FOUND = 404  # it was deleted meanwhile
GIVE_UP_SECONDS = 20.0  # a worker that was told to stop keeps a result for absent APIs no longer than this
PAUSE_SECONDS = 0.2  # of a worker that drains, or whose API is away
NOTES = "var/lib/faafo/endpoints"  # where the APIs are, as far as they said it
IN_MEMORY_BYTES = 8 * 1024 * 1024  # a picture that is larger waits in a temporary file
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 0.25, 1.0
REST_SECONDS, REST_MAX_SECONDS = 1.0, 16.0  # of a worker that cannot keep a picture
BATCH_MAX = 16  # tasks that are claimed together, …
BATCH_STEPS = 32_000_000  # … while all pixels' iterations are no more than this: some milliseconds' work


class Backoff:
    """Waits longer from one failure to the next, and says only once what is wrong."""

    def __init__(self, whom: str):
        self._whom = whom
        self._seconds = BACKOFF_SECONDS
        self._away = False

    def failed(self, why: object, wake: threading.Event | None = None) -> None:
        """Wait before the next try, until ``wake`` is set."""
        if not self._away:
            log.warning("waiting for %s: %s", self._whom, why)
        self._away = True
        (wake or threading.Event()).wait(self._seconds)
        self._seconds = min(self._seconds * 2, BACKOFF_MAX_SECONDS)

    def worked(self) -> None:
        """It answers (again)."""
        if self._away:
            log.info("%s answers again", self._whom)
        self._seconds, self._away = BACKOFF_SECONDS, False


class Heart:
    """The thread that reports to the API, and what it learns there."""

    def __init__(self, name: str, endpoints: Endpoints, secret: str | None):
        self.name = name
        self.run = str(uuid.uuid4())
        self.drain = threading.Event()  # by the API's wish
        self.stop = threading.Event()  # by a signal
        self.welcome = threading.Event()  # while the API answers and knows our secret
        self._endpoints = endpoints
        self._client = Apis(endpoints, secret, HEARTBEAT_TIMEOUT_SECONDS)
        self._claims = Apis(endpoints, secret)
        self._farewell = Apis(endpoints, secret, HEARTBEAT_TIMEOUT_SECONDS)
        self._machine = LoadMeter()
        self._version = settings.version()
        self._working_on: list[Order] = []
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def claim(self, orders: Iterable[Order]) -> dict[Order, Lease]:
        """Take orders' leases: what became of each. Raises ``ApiError``."""
        claimed = dict.fromkeys(orders, Lease.REPLACED)
        # of several orders of one uuid only the last may still be meant
        latest = {order.task.uuid: order for order in sorted(claimed, key=lambda order: order.generation)}
        self._working_on = list(latest.values())
        try:
            leases = self._tell(self._claims)["leases"]
        except ApiError:
            self._working_on = []
            raise
        claimed |= {order: Lease(leases.get(uuid, Lease.GONE)) for uuid, order in latest.items()}
        self._working_on = [order for order, lease in claimed.items() if lease is Lease.YOURS]
        return claimed

    def done(self, *orders: Order) -> None:
        """The worker no longer has these; the API learns it at the next beat, or at once when we drain."""
        self._working_on = [order for order in self._working_on if order not in orders]
        if not self._working_on and self.drain.is_set():
            self._wake.set()

    def goodbye(self) -> None:
        """Stop beating, hand back the in-flight tasks, leave the list of nodes."""
        self._ended.set()
        self._wake.set()
        self._thread.join(HEARTBEAT_TIMEOUT_SECONDS)
        try:
            self._farewell.call("DELETE", f"/v1/node/{self.name}?run={self.run}")
        except ApiError as error:
            log.warning("cannot say goodbye: %s", error)

    def _beat(self) -> None:
        backoff = Backoff("an API")
        while not self._ended.is_set():
            try:
                answer = self._tell(self._client)
                drain = bool(answer["drain"])
                backoff.worked()
                self.welcome.set()
            except ApiError as error:
                self.welcome.clear()
                backoff.failed(error, self._ended)
                continue
            if drain != self.drain.is_set():
                log.info("draining, by the API's wish" if drain else "taking tasks again, by the API's wish")
                (self.drain.set if drain else self.drain.clear)()
                continue  # and say so
            self._wake.wait(settings.HEARTBEAT_SECONDS)
            self._wake.clear()

    def _tell(self, client: Apis) -> dict[str, Any]:
        working_on = self._working_on
        leaving = self.drain.is_set() or self.stop.is_set()
        load = self._machine.read()
        answer = client.call(
            "POST",
            "/v1/node",
            {
                "role": "worker",
                "name": self.name,
                "run": self.run,
                "state": ("draining" if working_on else "drained") if leaving else "working" if working_on else "idle",
                "working_on": [order.task.uuid for order in working_on],
                "generations": {task.uuid: generation for task, generation in working_on if generation},
                "load_average": load.load_average,
                "cpu_percent": load.cpu_percent,
                "cores": load.cores,
                "version": self._version,
            },
        )
        self._endpoints.learn(answer.get("endpoints", ()))
        return answer


class Delivery(NamedTuple):
    """An order, and the message that brought it."""

    order: Order
    message: Any


class Worker:
    """Consumes the queue until it is told to stop."""

    def __init__(self, heart: Heart, queue_url: str, endpoints: Endpoints, secret: str | None):
        self._heart = heart
        self._queue_url = queue_url
        self._connection = tasks.connection(queue_url)
        self._client = Apis(endpoints, secret)
        self._stop = heart.stop
        self._rest_seconds, self._rests_until = REST_SECONDS, 0.0

    def run(self) -> None:
        """Work until ``stop`` is set."""
        backoff = Backoff("the message broker")
        while not self._stop.is_set():
            if not self._ready():
                self._stop.wait(PAUSE_SECONDS)
                continue
            broken = True
            try:
                self._consume(backoff)
                broken = False
            except tasks.away(self._connection) as error:
                backoff.failed(error, self._stop)
            finally:
                tasks.close(self._connection, broken)  # what was taken and not acknowledged goes back
                self._connection = tasks.connection(self._queue_url)

    def _consume(self, backoff: Backoff) -> None:
        """Take tasks until the worker has to stop, drain or rest."""
        channel = tasks.open_channel(self._connection)
        dead.read_anything(channel)
        taken: deque[Any] = deque()
        consumer = tasks.kombu.Consumer(
            channel, tasks.QUEUES, accept=["json"], on_message=taken.append, auto_declare=False
        )
        # RabbitMQ 4 knows no limit for a channel's consumers together: there the worker may have one task of each queue
        consumer.qos(prefetch_count=1, apply_global=not self._connection.qos_semantics_matches_spec)
        with consumer:
            backoff.worked()
            while self._ready():
                if taken:
                    self._handle(channel, self._deliveries(channel, taken.popleft()))
                    continue
                try:
                    self._connection.drain_events(timeout=1.0)
                except TimeoutError:
                    pass
                except json.JSONDecodeError as error:  # in Valkey's list, and not by kombu
                    self._bury(channel, f"The message is not JSON: {error}.", error.doc)

    def _ready(self) -> bool:
        leaving = self._stop.is_set() or self._heart.drain.is_set()
        return self._heart.welcome.is_set() and not leaving and time.monotonic() >= self._rests_until

    def _deliveries(self, channel: Any, message: Any) -> list[Delivery]:
        """The order of a message; while it is small, also those that wait behind it, to claim together."""
        queue = next((one for one in tasks.QUEUES if one.name == _queue_of(message)), tasks.NORMAL)
        deliveries: list[Delivery] = []
        steps = 0
        while message:
            try:
                task = validation.task(_object(message.decode()))
                generation = validation.generation((message.headers or {}).get(tasks.GENERATION)) or 0
            except Exception as error:  # ours, or kombu's of a body that is not what its headers say
                self._give_up(channel, message, str(error))
                break
            deliveries.append(Delivery(Order(task, generation), message))
            steps += task.width * task.height * task.iterations
            if steps > BATCH_STEPS or len(deliveries) == BATCH_MAX:
                break
            message = self._next(channel, queue)
        # The first one last: when that is acknowledged RabbitMQ sends another, which then is in no queue and has no
        # lease, and is taken for lost where it has to wait.
        return deliveries[1:] + deliveries[:1]

    def _next(self, channel: Any, queue: Any) -> Any:
        """Another message, None where none waits."""
        try:
            return queue(channel).get(accept=["json"])
        except json.JSONDecodeError as error:
            self._bury(channel, f"The message is not JSON: {error}.", error.doc)
            return None

    def _handle(self, channel: Any, deliveries: Sequence[Delivery]) -> None:
        """Claim orders, make one after the other; whatever is wrong with one, the worker goes on."""
        left = deque(deliveries)
        try:
            claimed = self._claim([order for order, _ in deliveries]) if deliveries else {}
            while left:
                order, message = left[0]
                with logs.about(order.task.uuid):
                    try:
                        self._work(order, claimed.pop(order, Lease.DONE))  # the same may have come twice
                        message.ack()
                    except _Hopeless as error:
                        self._give_up(channel, message, str(error))
                left.popleft()
                self._heart.done(order)
                if time.monotonic() < self._rests_until:
                    raise _NotNow
        except _Hopeless as error:
            for order, message in left:
                with logs.about(order.task.uuid):
                    self._give_up(channel, message, str(error))
        except _NotNow:
            for _, message in left:
                message.requeue()
        finally:
            self._heart.done(*(order for order, _ in left))

    def _give_up(self, channel: Any, message: Any, reason: str) -> None:
        """Put a message into the dead letters, and acknowledge it."""
        self._bury(channel, reason, message.body, _queue_of(message), message.content_type or "")
        message.ack()

    def _bury(self, channel: Any, reason: str, *of_the_message: Any) -> None:
        log.warning("a message goes to the dead letters: %s", reason)
        dead.bury(channel, reason, self._heart.name, *of_the_message)

    def _claim(self, orders: Sequence[Order]) -> dict[Order, Lease]:
        """What became of each. Raises as ``_work``, about all of them."""
        try:
            return self._insist(lambda: self._heart.claim(orders))
        except ApiRefused as error:
            raise self._refused(error) from error

    def _work(self, order: Order, lease: Lease) -> None:
        """Compute and report what is ours to make.

        Raises ``_Hopeless`` where it can't be done, ever, ``_NotNow`` where another worker has to do it.
        """
        if lease is Lease.GONE:
            raise _Hopeless("There is no such fractal: it was deleted.")
        if lease is not Lease.YOURS:
            log.info("not ours to make: %s", lease)
            return
        try:
            try:
                self._make_and_report(order)
                self._rest_seconds = REST_SECONDS
            except _Failed as failed:
                if failed.fault == "worker":
                    self._rest()
                self._report(order, failed)
        except ApiRefused as error:
            raise self._refused(error) from error

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + self._rest_seconds
        self._rest_seconds = min(self._rest_seconds * 2, REST_MAX_SECONDS)

    def _refused(self, error: ApiRefused) -> Exception:
        """What an API's refusal means for the task."""
        if error.status in NOT_WELCOME:
            self._heart.welcome.clear()  # until a heartbeat is answered
            return _NotNow()
        return _Hopeless(str(error))

    def _make_and_report(self, order: Order) -> None:
        """Compute it and send it; raises ``_Failed`` where one of them does not work, and may not ever."""
        try:
            with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as png:
                made = self._make(order.task, png) | _meant(order)
                self._insist(lambda: self._client.upload(f"/v1/fractal/{order.task.uuid}", made, png, made["size"]))
        except ApiRefused as error:
            if error.status in (*NOT_WELCOME, NOT_FOUND):
                raise
            raise _Failed("task", f"The API refuses its picture: {error}") from error
        except (AppError, _NotNow):
            raise
        except OSError as error:  # such as a full disk, also when the file is closed
            log.warning("cannot keep the picture: %s", error.strerror or error)
            raise _Failed("worker", f"'{self._heart.name}' cannot keep it: {error.strerror or error}.") from error
        except Exception as error:  # such as a machine that is too small
            log.exception("cannot compute it")
            raise _Failed("task", f"It cannot be computed: {type(error).__name__}: {error}") from error
        log.info("made in %s", duration(made["duration"]))

    def _report(self, order: Order, failed: "_Failed") -> None:
        """Tell the API; raises ``_Hopeless`` where it is tried no more."""
        body = {"run": self._heart.run, "fault": failed.fault, "reason": failed.reason, **_meant(order)}
        fractal = self._insist(lambda: self._client.call("POST", f"/v1/fractal/{order.task.uuid}/failure", body))
        if fractal.get("failed_at"):
            raise _Hopeless(failed.reason)

    def _make(self, task: Task, png: "tempfile.SpooledTemporaryFile[bytes]") -> dict[str, Any]:
        """Write the picture to a file; what the API is told of it."""
        from faafo_lab.app import fractal  # a compiler: the worker reports before it is loaded

        started = time.monotonic()
        fractal.write_png(task, png)
        seconds = time.monotonic() - started
        size = png.tell()
        png.seek(0)
        return {
            "duration": seconds,
            "checksum": hashlib.file_digest(png, "sha256").hexdigest(),
            "size": size,
            "generated_by": self._heart.name,
            "c": "{!r},{!r}".format(*constant(task)),
        }

    def _insist(self, call: Callable[[], R]) -> R:
        """Repeat a call while all APIs are away; a worker that was told to stop gives up after a while."""
        backoff = Backoff("an API, to report an in-flight task")
        give_up = None
        while True:
            try:
                answer = call()
                backoff.worked()
                return answer
            except ApiAway as error:
                if self._stop.is_set():
                    give_up = give_up or time.monotonic() + GIVE_UP_SECONDS
                    if time.monotonic() > give_up:
                        raise _NotNow from error
                backoff.failed(error)


def _meant(order: Order) -> dict[str, Any]:
    """Which order a result or a failure is of, as far as the message has said it."""
    return {"generation": order.generation} if order.generation else {}


def _queue_of(message: Any) -> str:
    return (message.delivery_info or {}).get("routing_key") or ""


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest("The message is no JSON object.")
    return value


class _Failed(Exception):
    """It could not be made, by the fault of the task or of this worker (``validation.FAULTS``)."""

    def __init__(self, fault: str, reason: str):
        super().__init__(reason)
        self.fault, self.reason = fault, reason[: validation.REASON_MAX_LENGTH]


class _Hopeless(Exception):
    """It can't be done, ever, for the reason that is said: the message goes to the dead letters."""


class _NotNow(Exception):
    """The task is good, but this worker cannot do it: it is left to the others."""


def await_signal(heart: Heart) -> None:
    """The end, in a thread of its own: the main thread hears no signal while it computes.

    The first signal lets the worker finish its in-flight tasks; the second, or ``DRAIN_SECONDS``, hands them back.
    """
    signal.sigwait(SIGNALS)
    log.info("stopping")
    heart.stop.set()
    signal.sigtimedwait(SIGNALS, DRAIN_SECONDS)
    log.warning("the in-flight tasks take too long: handed back")
    heart.goodbye()
    os._exit(0)


def main() -> None:
    """The command ``faafo-worker``."""
    parser = argparse.ArgumentParser(prog="faafo-worker", description="Make fractals: take tasks, report results.")
    parser.add_argument("--name", default=settings.hostname(), help="this worker's name (default: %(default)s)")
    parser.add_argument(
        "-e",
        "--endpoint-url",
        action="append",
        metavar="URL",
        help="where an API is, once for each: where one is away, the worker goes to the next; the APIs tell it of "
        "others (default: FAAFO_ENDPOINT_URL, or this machine)",
    )
    arguments = parser.parse_args()
    try:
        secret = settings.secret()
        given = arguments.endpoint_url or settings.endpoint_urls()
        endpoints = Endpoints(given, settings.root() / NOTES, learns=not settings.balanced())
        logs.start(arguments.name)
        heart = Heart(validation.node_name(arguments.name), endpoints, secret)
        worker = Worker(heart, settings.queue_url(), endpoints, secret)
    except AppError as error:
        parser.exit(1, f"faafo-worker: {error}\n")
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threading.Thread(target=await_signal, args=(heart,), name="signals", daemon=True).start()
    log.info("%s works for %s", heart.name, endpoints)
    heart.start()
    worker.run()
    heart.goodbye()
    log.info("stopped")


if __name__ == "__main__":
    main()
