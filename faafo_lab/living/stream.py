"""`Stream`: a live application as one stream of events, for whoever shows or records it.

    stream = Stream.of(app)                # the process's one stream of this application
    known = stream.listen(callback)        # the last minutes; from now on callback(new events), every DELIVER_SECONDS
    stream.look_closer()                   # after a change: look at once
    stream.close()                         # the last one to close it ends it

It comes from four places: looks at cloud and application (the scene, in differences), the application's own events of
its tasks (on the clock of this process), the requests of this process's load, and notes of what this process does. It
has connections of its own, and its threads end with it or with the process. Whatever is away meanwhile, the stream goes
on: a `problem` of the scene, or a gap, says so.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from faafo_lab.cloud import direct, notes, progress
from faafo_lab.cloud.errors import CloudError
from faafo_lab.living import events, scenes
from faafo_lab.living.cutting import Before, span
from faafo_lab.living.events import YOU, Event, NoteEvent, rounded
from faafo_lab.living.following import ASK_LIMIT_SECONDS, METER_PAUSE_SECONDS, Follower, Meter
from faafo_lab.living.reading import Reading
from faafo_lab.living.sent import SentRequests
from faafo_lab.load import new_tasks
from faafo_lab.load.wire import Answer, Client, body_of
from faafo_lab.load.wire import listeners as senders
from faafo_lab.topology import Api, Moment, Topology
from faafo_lab.topology.api import FRACTALS
from faafo_lab.topology.errors import first_line

log = logging.getLogger(__name__)

LOOK_PAUSE_SECONDS = 1.0
LOOK_LEAST_SECONDS = 0.1  # between two looks, however much is done
READ_PAUSE_SECONDS = 0.5
DELIVER_SECONDS = 0.4
RECENT_SECONDS = 300.0
RECENT_MOST = 20_000  # events: some three megabytes of JSON
CLOSE_LIMIT_SECONDS = 5.0  # how long closing waits for the threads, whose questions have limits of their own
ASK_SECONDS = 10.0  # for a request of "you"
THREAD_NAME = "faafo stream"  # how the names of all its threads begin

Callback = Callable[[Sequence[Event]], object]


class Closed(Exception):
    """The stream was closed while something waited."""


class Stream:
    """One application's events from now on; see the module's text. `moment`: what the last look saw. Making one takes
    a look, a few seconds at most."""

    _shared: ClassVar[dict[tuple[str, str | None], Stream]] = {}
    _sharing: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, app: Topology) -> None:
        self.moment = Moment(0.0)
        self.complete_until = 0.0  # all that happened until then was delivered, as far as an API told of it
        self._cloud_name, self._key = app.cloud.name, (app.cloud.name, app.chapter)
        self._users = 1
        self._app = app
        self._follower = Follower(app)
        self._session = direct.Session()
        api = Api(self._endpoints, timeout_seconds=ASK_LIMIT_SECONDS, session=self._session)
        self._reading = Reading(api.events)
        self._lock = threading.Lock()  # guards what follows
        self._new: list[Event] = []  # that nobody was told yet
        self._scene: dict[str, Any] = {}  # after all of them
        self._recent: deque[Event] = deque()
        self._before, self._after = Before(), Before()  # what comes before the recent ones, and what they lead to
        self._callbacks: list[Callback] = []
        self._stop, self._look_now = threading.Event(), threading.Event()
        self._sent = SentRequests()
        self._balanced: list[str] = []  # the load balancer's endpoint, if there is one
        self._turns = itertools.count()
        self._looked_at = self._read_until = 0.0
        self._failed: set[str] = set()
        self._attempt(self._look)
        self._attempt(self._read)
        senders.append(self._sent.take)
        notes.listeners.append(self._heed)
        self._deliver()
        self._threads = [
            threading.Thread(target=self._run, args=work, name=f"{THREAD_NAME}: {work[0].__name__[1:]}", daemon=True)
            for work in (
                (self._look, self._wait_for_look),
                (self._read, lambda: self._stop.wait(READ_PAUSE_SECONDS)),
                (self._deliver, lambda: self._stop.wait(DELIVER_SECONDS)),
                (self._measure, lambda: self._stop.wait(METER_PAUSE_SECONDS)),
            )
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def of(cls, app: Topology) -> Stream:
        """The stream of this application that this process has already, or a new one. Each who asked for it closes
        it."""
        with cls._sharing:
            there = cls._shared.get((app.cloud.name, app.chapter))
            if there:
                there._users += 1
                return there
            made = cls._shared[app.cloud.name, app.chapter] = cls(app)
            return made

    # -- for those who show or record it ---------------------------------------------------------------------------

    def listen(self, callback: Callback, *, recent: bool = True) -> list[Event]:
        """Call this with the new events every DELIVER_SECONDS, also where there are none. Returns those before: the
        `recent` ones, or else what is known `now`.

        It is called in the stream's thread, and should not keep that for long. One that raises is called no more.
        """
        with self._lock:
            self._callbacks.append(callback)
            return self._recently() if recent else self._after.events(rounded(time.time()))

    def unlisten(self, callback: Callback) -> None:
        """Call this no more."""
        with self._lock, suppress(ValueError):
            self._callbacks.remove(callback)

    def recent(self) -> list[Event]:
        """The last RECENT_SECONDS as far as they were delivered. The first event is the whole scene before the others,
        and the last events of the tasks that were in flight then follow it."""
        with self._lock:
            return self._recently()

    def now(self) -> list[Event]:
        """What is known at this moment: the whole scene, and the last event of each task in flight."""
        with self._lock:
            return self._after.events(rounded(time.time()))

    def look_closer(self) -> None:
        """Look at once, at the cloud and its security groups, too."""
        self._follower.look_closer()
        self._look_now.set()

    def ask(self, task: Mapping[str, Any] | None = None) -> Answer:
        """One request of "you": the order of this fractal (None: a new one), sent to the load balancer, or else to the
        next API in turn. Returns how it ended; where there is no API, that is the error."""
        urls = self._balanced or list(self._endpoints())
        if not urls:
            return Answer(None, "", "there is no API to ask")
        task = next(new_tasks()) if task is None else task
        client = Client(ASK_SECONDS, YOU)
        try:
            url = urls[next(self._turns) % len(urls)]
            return client.send("POST", url, FRACTALS, body_of(task), str(task.get("uuid", "")))
        finally:
            client.close()

    def wait_until_complete(self, at: float, limit_seconds: float) -> bool:
        """Wait until all that happened until then (seconds since 1970) was delivered, at most for so long; whether it
        was."""
        end = time.monotonic() + limit_seconds
        while self.complete_until < at and time.monotonic() < end and not self.closed:
            self._stop.wait(LOOK_LEAST_SECONDS)
        return self.complete_until >= at

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._stop.is_set()

    def close(self) -> None:
        """End it, unless somebody else uses it still: so each closes it once. Closing an ended one changes nothing."""
        with self._sharing:
            self._users -= 1
            if self._users > 0 or self.closed:
                return
            if self._shared.get(self._key) is self:
                del self._shared[self._key]
            self._stop.set()
        self._look_now.set()
        senders.remove(self._sent.take)
        notes.listeners.remove(self._heed)
        end = time.monotonic() + CLOSE_LIMIT_SECONDS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        self._follower.close()
        self._session.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the threads -----------------------------------------------------------------------------------------------

    def _run(self, work: Callable[[], object], wait: Callable[[], object]) -> None:
        """Do this again and again, until the stream is closed."""
        progress.listener.set(self._heed_close)
        while not self.closed:
            wait()
            if not self.closed:
                self._attempt(work)

    def _attempt(self, work: Callable[[], object]) -> None:
        """Do this; what nobody has thought of is a problem of the scene, until the next look, and in the log once."""
        try:
            work()
        except Closed:
            return
        except Exception as error:
            words = f"The stream of events lacks a part ({work.__name__}: {type(error).__name__}: {first_line(error)})"
            with self._lock:
                self._show(time.time(), {**self._scene, "problem": words})
            if words not in self._failed:
                self._failed.add(words)
                log.warning(words, exc_info=log.isEnabledFor(logging.DEBUG))

    def _heed_close(self, _: str) -> None:
        if self.closed:
            raise Closed

    # -- what stands -----------------------------------------------------------------------------------------------

    def _endpoints(self) -> Iterable[str]:
        return (self.moment.endpoints or {}).values()

    def _wait_for_look(self) -> None:
        self._stop.wait(LOOK_LEAST_SECONDS)
        self._look_now.wait(LOOK_PAUSE_SECONDS - LOOK_LEAST_SECONDS)
        self._look_now.clear()

    def _look(self) -> None:
        began = time.time()
        follower = self._follower
        self.moment = moment = follower.look(self._look_shows)
        names = {url: (name, False) for name, url in (moment.endpoints or {}).items()}
        with suppress(CloudError):
            if moment.front:
                names |= {url: (name, True) for name, url in follower.topology.balanced.items()}
        self._sent.know(names)
        self._balanced = [url for url, (_, via) in names.items() if via]
        self._look_shows(moment)
        self._looked_at = began

    def _look_shows(self, moment: Moment) -> None:
        follower = self._follower
        servers = list(follower.topology.servers.values())
        scene = scenes.scene(moment, servers, follower.groups, clock=self._reading.clock, wanted=self._wanted)
        with self._lock:
            self._show(moment.at, scene)

    def _measure(self) -> None:
        """Read the CPU use of the servers that don't report theirs."""
        meter = Meter(self._app)
        try:
            while not self.closed:
                self._follower.measured = meter.read(list(self._follower.topology.servers.values()))
                self._stop.wait(METER_PAUSE_SECONDS)
        finally:
            meter.close()

    @property
    def _wanted(self) -> int | None:
        return notes.wanted(self._cloud_name)

    def _show(self, at: float, scene: Mapping[str, Any]) -> None:
        """The scene is this now: tell what has changed. (With the lock.)"""
        if patch := events.difference(self._scene, scene):
            self._scene = events.merge(self._scene, patch)
            self._new.append({"k": "scene", "t": rounded(at), "patch": patch})

    # -- what happens ----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        found = self._reading.read()
        with self._lock:
            self._new += found
        self._read_until = self._reading.read_until

    def _heed(self, note: notes.Note) -> None:
        """Somebody did something: in their thread."""
        mine = note.cloud == self._cloud_name
        if not mine and (note.cloud or all(note.server != machine.name for machine in self.moment.machines)):
            return
        event: NoteEvent = {"k": "note", "t": rounded(note.at), "text": note.text}
        if note.server:
            event["server"] = note.server
        with self._lock:
            self._new.append(event)
        self.look_closer()

    # -- to those who listen ---------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        complete = min(self._read_until, self._looked_at)
        now = time.time()
        with self._lock:
            self._new += self._sent.events()
            known = {"wanted": self._wanted, "clock": scenes.clock_of(self._reading.clock)}
            self._show(now, {**self._scene, **known})
            new, self._new = self._new, []
            for event in new:
                self._after.take(event)
            self._recent.extend(new)
            while self._recent and (len(self._recent) > RECENT_MOST or span(self._recent[0])[1] < now - RECENT_SECONDS):
                self._before.take(self._recent.popleft())
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            try:
                callback(new)
            except Exception:
                log.exception("Who listens to a stream of events failed, and is told no more")
                self.unlisten(callback)
        self.complete_until = complete

    def _recently(self) -> list[Event]:
        start = min([time.time() - RECENT_SECONDS, *(span(event)[0] for event in itertools.islice(self._recent, 1))])
        if not self._before.scene and self._recent and self._recent[0]["k"] == "scene":
            return list(self._recent)  # which begin with the first look
        return [*self._before.events(rounded(start)), *self._recent]


@atexit.register
def close_all() -> None:
    """End every stream of this process."""
    for stream in list(Stream._shared.values()):
        stream._users = 1
        stream.close()
