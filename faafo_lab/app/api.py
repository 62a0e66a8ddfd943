"""The API's process (``faafo-api``): asynchronous Tornado in front of the store and the queue.

It listens at once, answers 503 until the database is there, and recovers from any outage by itself.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import time
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.web import Application, RequestHandler

from faafo_lab.app import logs, rest, settings, validation, web
from faafo_lab.app.backend import Backend
from faafo_lab.app.errors import AppError, SettingsError
from faafo_lab.app.handler import NowhereHandler
from faafo_lab.app.transfer import REFUSED_MAX_BYTES, StreamedHandler, TooLongHandler, length_of_body

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0  # for requests in flight when the API stops
CLOSE_SECONDS = 5.0  # and then for what still waits for the database or the broker, either of which may hang
IDLE_SECONDS = 120.0  # a connection without a request is closed
BODY_SECONDS = 600.0  # for all of a body to come
LISTEN_BACKLOG = 1024


class Bounded(Application):
    """An application that never holds a body in memory that is too long for its handler."""

    def get_handler_delegate(
        self,
        request: HTTPServerRequest,
        target_class: type[RequestHandler],
        target_kwargs: dict[str, Any] | None = None,
        path_args: list[bytes] | None = None,
        path_kwargs: dict[str, bytes] | None = None,
    ) -> Any:
        """Tornado's hook: what handles a request of which only the head has come."""
        bound = getattr(target_class, "body_max_bytes", 0)
        streamed = issubclass(target_class, StreamedHandler)
        if length_of_body(request) > bound and not streamed:
            target_class, target_kwargs = TooLongHandler, {**(target_kwargs or {}), "bound": bound}
        delegate = super().get_handler_delegate(request, target_class, target_kwargs, path_args, path_kwargs)
        if "Transfer-Encoding" in request.headers and not streamed:  # its length is known when all of it has come
            request.connection.set_max_body_size(REFUSED_MAX_BYTES)  # type: ignore[union-attr]
            return Cut(delegate, bound)
        return delegate


class Cut(HTTPMessageDelegate):
    """Passes on a body's beginning: a byte more than the bound, which is enough to refuse it."""

    def __init__(self, delegate: HTTPMessageDelegate, bound: int):
        self._delegate, self._left = delegate, bound + 1

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Any:
        """Let the handler see the head as it is."""
        return self._delegate.headers_received(start_line, headers)

    def finish(self) -> None:
        """Tell the handler that the body has ended."""
        self._delegate.finish()

    def on_connection_close(self) -> None:
        """Tell the handler that the client has gone."""
        self._delegate.on_connection_close()

    def data_received(self, chunk: bytes) -> Any:
        """Pass on what is left of the beginning."""
        part, self._left = chunk[: self._left], max(self._left - len(chunk), 0)
        return self._delegate.data_received(part) if part else None


def application(backend: Backend) -> Application:
    """The routes."""
    arguments = {"api": backend}
    return Bounded(
        [(pattern, handler, arguments) for pattern, handler in (*rest.ROUTES, *web.ROUTES)],
        default_handler_class=NowhereHandler,
        default_handler_args=arguments,
        served_by=backend.name,
        views=web.Views(backend),
        template_path=str(web.TEMPLATES),
        log_function=log_failures,
    )


def log_failures(handler: RequestHandler) -> None:
    """Log what failed for our own fault; a line for each request would cost a quarter of a small machine."""
    if handler.get_status() >= 500:
        log.warning("%d %s %s", handler.get_status(), handler.request.method, handler.request.uri)


def listen(address: str) -> list[socket.socket]:
    """Bind ``HOST:PORT`` or ``unix:PATH``."""
    if path := address.removeprefix("unix:") if address.startswith("unix:") else "":
        return [bind_unix_socket(path, mode=0o666, backlog=LISTEN_BACKLOG)]
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()):
        raise SettingsError(f"--listen must be HOST:PORT or unix:PATH: got '{address}'.")
    return bind_sockets(int(port), host.strip("[]") or "0.0.0.0", backlog=LISTEN_BACKLOG)


def bound(sockets: list[socket.socket], address: str) -> str:
    """The address that came of ``address``: port 0 becomes a free one."""
    if address.startswith("unix:"):
        return address
    return f"{address.rpartition(':')[0]}:{sockets[0].getsockname()[1]}"


async def serve(backend: Backend, address: str) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    sockets = listen(address)
    served = application(backend)
    server = HTTPServer(
        served,
        max_body_size=2 * validation.TASK_BODY_MAX_BYTES,  # where nothing else is said
        idle_connection_timeout=IDLE_SECONDS,
        body_timeout=BODY_SECONDS,
    )
    server.add_sockets(sockets)
    log.info("%s serves at %s", backend.name, bound(sockets, address))
    keeping = [asyncio.create_task(backend.keep()), asyncio.create_task(backend.sweep())]
    await stopping.wait()
    log.info("stopping")
    server.stop()
    served.settings["stopping"] = True  # from now on a connection ends with its answer
    deadline = time.monotonic() + DRAIN_SECONDS
    await _idle(backend, deadline)
    for task in keeping:
        task.cancel()
    closing = asyncio.create_task(_close(server, backend, deadline))
    await asyncio.wait([closing], timeout=max(0.0, deadline - time.monotonic()) + CLOSE_SECONDS)
    if not closing.done():
        log.warning("what still waits for the database or the broker is given up: other APIs go on with it")
        logging.shutdown()
        os._exit(0)  # Python would wait for its threads
    closing.result()


async def _close(server: HTTPServer, backend: Backend, deadline: float) -> None:
    await server.close_all_connections()
    await _idle(backend, deadline)  # what came on a kept connection meanwhile
    await asyncio.get_running_loop().run_in_executor(None, backend.close)


async def _idle(backend: Backend, deadline: float) -> None:
    """Wait until no request is in flight."""
    while backend.in_flight and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


def main() -> None:
    """The command ``faafo-api``."""
    path = settings.port_socket(settings.HTTP_PORT)
    parser = argparse.ArgumentParser(prog="faafo-api", description="Serve the Fractals application's API and page.")
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT|unix:PATH",
        default=f"unix:{path}" if path else f"0.0.0.0:{settings.HTTP_PORT}",
        help="where to listen (default: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        logs.start(settings.hostname())
        urls = settings.database_url(), settings.queue_url(), settings.images_url()
        asyncio.run(serve(Backend(*urls, settings.secret()), arguments.listen))
    except (AppError, OSError) as error:
        parser.exit(1, f"faafo-api: {error}\n")


if __name__ == "__main__":
    main()
