"""The REST API's addresses.

    POST   /v1/fractal               accept a task                        201    (200: it was there already)
    GET    /v1/fractal               page=, results_per_page=, order=     200
    GET    /v1/fractal/UUID          one fractal                          200
    PUT    /v1/fractal/UUID          a worker's result         (secret)   200    in ``transfer``
    DELETE /v1/fractal/UUID                                    (secret)   204
    POST   /v1/fractal/UUID/failure  a worker cannot make it   (secret)   200
    GET    /v1/node                  every API and worker                 200
    POST   /v1/node                  a worker's heartbeat      (secret)   200
    PUT    /v1/node/NAME             {"drain": true}           (secret)   200
    DELETE /v1/node/NAME?run=RUN     a worker says goodbye     (secret)   204
    GET    /v1/load                  this machine's load                  200
    GET    /v1/event                 after=: what happened since  200
    GET    /v1/stats                 how many fractals, by state          200
    GET    /v1/dead                  dead letters              (secret)   200
    DELETE /v1/dead                  throw them away           (secret)   200
    GET    /v1/openapi.json          the description of all this          200
    GET    /health                   database and broker                  200 or 503
    GET    /metrics                  what Prometheus reads                200
    GET    /fractal/UUID             the PNG                              200    in ``transfer``

The secret travels as ``Authorization: Bearer SECRET``. Errors are ``{"error": "one sentence"}``. Every answer names
the API that gave it: ``X-Served-By``.
"""

import asyncio
import hashlib
import json
import logging
import math
from collections.abc import Awaitable
from functools import cache, partial
from typing import Any, TypeVar

from tornado.iostream import StreamClosedError

from faafo_lab.app import dead, events, listing, logs, nodes, numbers, openapi, tasks, validation
from faafo_lab.app.errors import AppError, BadRequest, BrokerAway, DatabaseAway, NotFound
from faafo_lab.app.handler import JSON, RETRY_AFTER_SECONDS, Handler, known_uuid
from faafo_lab.app.metrics import CONTENT_TYPE
from faafo_lab.app.transfer import STALLED_SECONDS, ImageHandler, UploadHandler

log = logging.getLogger(__name__)

R = TypeVar("R")


class FractalsHandler(Handler):
    """``/v1/fractal``."""

    route = "/v1/fractal"

    async def get(self) -> None:
        """One page of the list."""
        validation.arguments(self.request.query_arguments, "page", "results_per_page", "order")
        page = validation.page(self.argument("page", None))
        per_page = validation.results_per_page(self.argument("results_per_page", None))
        order = self.argument("order", "oldest")
        wanted = listing.wanted(page, per_page, order)
        if per_page is None:
            await self._send_all(order)
            return
        count, objects = await self.api.page(wanted)
        pages = math.ceil(count / per_page)
        self.send({"num_results": count, "objects": objects, "page": page, "total_pages": pages})

    async def _send_all(self, order: str) -> None:
        """Every fractal, part by part: a long list is not held in memory, and keeps nobody waiting."""
        objects, last = await self.api.ask(self.api.store.read, listing.part, order, None)
        count = len(objects)
        self.set_header("Content-Type", JSON)
        self.write('{"objects": [' + json.dumps(objects)[1:-1])
        try:
            while last is not None:
                await asyncio.wait_for(self.flush(), STALLED_SECONDS)
                objects, last = await self.api.ask(self.api.store.read, listing.part, order, last)
                count += len(objects)
                self.write("".join(f", {json.dumps(one)}" for one in objects))
        except (StreamClosedError, TimeoutError):
            log.info("the client went away after %d fractals of the list", count)
        except AppError as error:
            log.warning("the list is broken off after %d fractals: %s", count, error)
        else:
            self.finish(f'], "num_results": {count}, "page": 1, "total_pages": 1}}')
            return
        self.request.connection.stream.close()  # type: ignore[union-attr]

    async def post(self) -> None:
        """Accept a task."""
        task = validation.task(self.json_body())
        logs.concerns(task.uuid)
        fractal, new = await self.api.accept(task)
        if new:
            self.api.metrics.accepted.inc()
            log.debug("accepted")
        self.set_header("Location", f"/v1/fractal/{task.uuid}")
        self.send(fractal, 201 if new else 200)


class FractalHandler(UploadHandler):
    """``/v1/fractal/UUID``."""

    route = "/v1/fractal/{uuid}"

    async def get(self, name: str) -> None:
        """One fractal."""
        self.send(await self.api.ask(self.api.store.get, known_uuid(name)))

    async def delete(self, name: str) -> None:
        """Delete it."""
        self.check_secret()
        await self.api.ask(self.api.store.delete, known_uuid(name))
        log.debug("deleted")
        self.set_status(204)


class FailureHandler(Handler):
    """``/v1/fractal/UUID/failure``."""

    route = "/v1/fractal/{uuid}/failure"

    async def post(self, name: str) -> None:
        """A worker cannot make it: it is tried again, later, or has failed."""
        self.check_secret()
        uuid, failure = known_uuid(name), validation.failure(self.json_body())
        fractal, failed = await self.api.ask(self.api.store.fail, uuid, failure)
        self.api.metrics.failures.labels(failure.fault).inc()
        if failed:
            log.warning("it has failed %d times, and is tried no more: %s", fractal["failures"], failure.reason)
        self.send(fractal)


class NodesHandler(Handler):
    """``/v1/node``."""

    route = "/v1/node"

    async def get(self) -> None:
        """Every API and worker."""
        found = await self.api.ask(self.api.store.read, nodes.listed)
        self.send({"num_results": len(found), "objects": found, "page": 1, "total_pages": 1})

    async def post(self) -> None:
        """A worker's heartbeat: renew its leases; answer whether to drain, and which APIs serve."""
        self.check_secret()
        beat = validation.heartbeat(self.json_body())
        drain, leases, endpoints = await self.api.ask(self.api.store.heard, beat)
        self.send({"drain": drain, "leases": leases, "endpoints": endpoints})


class NodeHandler(Handler):
    """``/v1/node/NAME``."""

    route = "/v1/node/{name}"

    async def put(self, name: str) -> None:
        """Ask a worker to drain, or to go on."""
        self.check_secret()
        name, wish = known_node(name), validation.drain(self.json_body())
        self.send(await self.api.ask(self.api.store.write, nodes.wish, name, wish))

    async def delete(self, name: str) -> None:
        """A worker leaves."""
        self.check_secret()
        run = validation.uuid(self.argument("run", None), "run")
        await self.api.ask(self.api.store.hand_back, known_node(name), run)
        self.set_status(204)


class LoadHandler(Handler):
    """``/v1/load``."""

    route = "/v1/load"

    async def get(self) -> None:
        """The load now."""
        load = self.api.machine.read()
        self.send(
            {
                "hostname": self.api.name,
                "load_average": load.load_average,
                "cpu_percent": load.cpu_percent,
                "cores": load.cores,
            }
        )


class EventsHandler(Handler):
    """``/v1/event``."""

    route = "/v1/event"

    async def get(self) -> None:
        """What happened to fractals after an event, the oldest first."""
        validation.arguments(self.request.query_arguments, "after")
        after = validation.after(self.argument("after", None))
        self.send((await self.api.ask(self.api.store.read, events.page, after))._asdict())


class StatsHandler(Handler):
    """``/v1/stats``; ``queue_depth`` and ``dead`` (letters) are null while the broker is away."""

    route = "/v1/stats"

    async def get(self) -> None:
        """Answer with the counts, the oldest order's age and the bound."""
        store = self.api.store
        counts, seconds = await self.api.ask(store.stats)
        stats: dict[str, int | float | None] = {**counts, "oldest_waiting_seconds": round(seconds, 3)}
        stats["waiting_max"] = store.waiting_max
        try:
            depths = await self.api.ask_broker(self.api.publisher.depths)
        except BrokerAway:
            stats |= {"queue_depth": None, "dead": None}
        else:
            stats["dead"] = depths.pop(tasks.DEAD.name)
            stats["queue_depth"] = sum(depths.values())
        self.send(stats)


class DeadHandler(Handler):
    """``/v1/dead``: messages that no worker could process."""

    route = "/v1/dead"

    async def get(self) -> None:
        """All of them, the oldest first."""
        self.check_secret()
        letters = await self.api.ask_broker(self.api.publisher.ask, dead.letters)
        self.send({"num_results": len(letters), "objects": letters, "page": 1, "total_pages": 1})

    async def delete(self) -> None:
        """Throw them away."""
        self.check_secret()
        self.send({"discarded": await self.api.ask_broker(self.api.publisher.ask, dead.discard)})


class DescriptionHandler(Handler):
    """``/v1/openapi.json``."""

    route = "/v1/openapi.json"

    async def get(self) -> None:
        """What this API can do."""
        content, checksum = description()
        self.set_header("Content-Type", JSON)
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Etag", f'"{checksum}"')
        if self.check_etag_header():
            self.set_status(304)
        else:
            self.finish(content)


class HealthHandler(Handler):
    """``/health``: 200, or 503 and what is down."""

    route = "/health"

    async def get(self) -> None:
        """Ask database and broker, and say what is down."""
        answer: dict[str, Any] = {"status": "ok", "hostname": self.api.name, "database": "ok", "broker": "ok"}
        down = []
        api = self.api
        checks = (
            ("database", api.ask, partial(api.store.read, numbers.totals)),
            ("broker", api.ask_broker, api.publisher.depth),
        )
        for part, ask, check in checks:
            try:
                await ask(check)
            except AppError as error:
                down.append(part)
                answer[part] = str(error)
        if down:
            answer |= {"status": "down", "error": f"Down: {' and '.join(down)}."}
            self.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
        self.send(answer, 503 if down else 200)


class MetricsHandler(Handler):
    """``/metrics``; says what it can while database or broker are away."""

    route = "/metrics"

    async def get(self) -> None:
        """Answer with this API's own counts and the deployment's."""
        api = self.api
        stats = await unless_away(api.ask(api.store.stats))
        found = await unless_away(api.ask(api.store.read, nodes.listed))
        api.metrics.deployment(stats and stats[0], found, await unless_away(api.ask_broker(api.publisher.depths)))
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(api.metrics.text())


async def unless_away(answer: Awaitable[R]) -> R | None:
    """An answer of database or broker, None where that is away."""
    try:
        return await answer
    except (BrokerAway, DatabaseAway):
        return None


def known_node(name: str) -> str:
    """A node's name in an address; one that is malformed cannot exist."""
    try:
        return validation.node_name(name)
    except BadRequest:
        raise NotFound(f"There is no node '{name[:60]}'.") from None


@cache
def description() -> tuple[bytes, str]:
    """The description and its checksum; the same for as long as this program runs."""
    content = json.dumps(openapi.described(), indent=1).encode()
    return content, hashlib.sha256(content).hexdigest()


ROUTES: list[tuple[str, type[Handler]]] = [
    (r"/v1/fractal/?", FractalsHandler),
    (r"/v1/fractal/([^/]+)", FractalHandler),
    (r"/v1/fractal/([^/]+)/failure", FailureHandler),
    (r"/v1/node/?", NodesHandler),
    (r"/v1/node/([^/]+)", NodeHandler),
    (r"/v1/load", LoadHandler),
    (r"/v1/event", EventsHandler),
    (r"/v1/stats", StatsHandler),
    (r"/v1/dead", DeadHandler),
    (r"/v1/openapi\.json", DescriptionHandler),
    (r"/health", HealthHandler),
    (r"/metrics", MetricsHandler),
    (r"/fractal/([^/]+)", ImageHandler),
]
