"""What all of the embedded cloud's services have in common: routes, tokens, JSON in and out, errors, request ids.

A service collects parts: objects, each with the handlers of one kind of resource, that are given what they use. A
handler gets the request and the path's variables, and returns a JSON object (status 200) or an `Answer`, or raises a
`Fault`, which the service words in its own error form:

    class Flavors:
        @route("GET", "/v2.1/flavors/{id}")
        def show(self, request: Request, id: str) -> JSON:
            return {"flavor": …}

    class Compute(Service):
        prefix, type, name = "/compute", "compute", "nova"
        PARTS = (Flavors,)

        def __init__(self, site: Site, tokens: Tokens) -> None:
            super().__init__(site, tokens)
            self.flavors = Flavors()
"""

from __future__ import annotations

import errno
import inspect
import json
import logging
import re
import sqlite3
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.names import ADMIN
from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.token import Token, Tokens
from faafo_lab.cloud.emulator.site import Site

JSON = dict[str, Any]
PartClass: TypeAlias = type[Any]
F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger(__name__)

NOVA_ERRORS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}
MAX_JSON_BYTES = 1 << 20  # Nova's and Neutron's own limit is 114688; a server's user data is at most 65535


def now() -> str:
    """The moment as most services write it: 2026-01-31T12:00:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unquoted(path: str) -> str:
    """A request's path in plain text; bytes that are no UTF-8 become surrogates, which no route takes."""
    return unquote_to_bytes(path.encode("latin-1")).decode(errors="surrogateescape")


def new_id() -> str:
    """A fresh id as Nova, Neutron and Glance have them."""
    return str(uuid.uuid4())


class Fault(Exception):
    """An answer that says no. `type` is Neutron's name of the error; others don't use it."""

    def __init__(self, status: int, message: str, *, type: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.message = message
        self.type = type
        self.headers = dict(headers or {})
        super().__init__(message)


@dataclass
class Answer:
    """What goes back: a JSON object, text, pieces (with a Content-Length), or nothing."""

    status: int = 200
    body: JSON | bytes | AsyncGenerator[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """One request, as a handler sees it."""

    method: str
    path: str  # below the service's prefix, unquoted: as under WSGI, %2f is a slash like others, and part of no name
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None  # the body of a route that streams
    id: str = field(default_factory=lambda: f"req-{uuid.uuid4()}")
    version: tuple[int, int] = (0, 0)  # the microversion, where the service has them
    scope: str = ""  # what a signed URL opens, where the service has such
    _token: Token | None = None

    @property
    def token(self) -> Token:
        """Who asks. Only open routes have none."""
        assert self._token is not None
        return self._token

    @property
    def project(self) -> str:
        """The id of the project that the token is for."""
        assert self.token.project_id is not None
        return self.token.project_id

    @property
    def admin(self) -> bool:
        """Whether an administrator asks, who may see and change every project's."""
        return ADMIN in self.token.roles

    def one(self, name: str) -> str | None:
        """The last value of a query parameter, or None."""
        values = self.query.get(name)
        return values[-1] if values else None

    def number(self, name: str) -> int | None:
        """A query parameter that is a whole number, 0 or more; None where it is missing. Raises ValueError."""
        text = self.one(name)
        if text is None:
            return None
        if (number := whole(text)) is None:
            raise ValueError(f"{name} must be a whole number, not {schema.shown(text)}")
        return number

    def json(self) -> JSON:
        """The body as a JSON object. Raises ValueError where it is none."""
        try:
            value = json.loads(self.body.decode("utf-8-sig"), parse_constant=_no_number)
            if b"\\u" in self.body:
                json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value

    def parse(self, definition: schema.Schema | None = None) -> JSON:
        """The body as a JSON object, checked. Raises `Malformed` or `schema.Invalid`, which the service words."""
        try:
            body = self.json()
        except ValueError as error:
            raise Malformed(str(error)) from None
        if definition is not None:
            schema.check(body, definition)
        return body


class Malformed(Exception):
    """A body that is no JSON object."""


@dataclass(frozen=True)
class Versions:
    """The microversions that have a feature, the first and the last one included: `request.version in TAGS`."""

    since: tuple[int, int] = (0, 0)
    until: tuple[int, int] = (1 << 20, 0)

    def __contains__(self, version: tuple[int, int]) -> bool:
        return self.since <= version <= self.until


ALL_VERSIONS = Versions()


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


@dataclass(frozen=True)
class Route:
    """An operation: its method and path template."""

    method: str
    template: str
    open: bool = False  # needs no token
    stream: bool = False  # takes its body in pieces
    versions: Versions = ALL_VERSIONS  # the microversions that have it

    @property
    def pattern(self) -> re.Pattern[str]:
        """The template as a regular expression; {name} is one segment of the path, {name*} all that is left of it."""
        whole = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", self.template)
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", whole), re.DOTALL)


class Found(NamedTuple):
    """Where a request goes: its route, the handler, and the path's variables."""

    route: Route
    handler: Callable[..., Any]
    values: dict[str, str]


NO_ROUTE = Route("", "", open=True)


def route(
    method: str, template: str, *, open: bool = False, stream: bool = False, versions: Versions = ALL_VERSIONS
) -> Callable[[F], F]:
    """Say which operation a handler answers. A handler may answer several."""

    def mark(function: F) -> F:
        routes = [*getattr(function, "routes", ()), Route(method, template, open, stream, versions)]
        function.routes = routes  # type: ignore[attr-defined]
        return function

    return mark


class Service:
    """One OpenStack service: its parts, routes of its own, and the words of its errors."""

    prefix: ClassVar[str]
    type: ClassVar[str]
    name: ClassVar[str]
    roots: ClassVar[tuple[str, ...]] = ()  # paths beside the prefix that are the service's, too
    aliases: ClassVar[tuple[tuple[str, str], ...]] = ()  # other types and names under which the catalogue has it
    endpoint: ClassVar[str] = ""  # what the catalogue's URL has after the prefix
    malformed: ClassVar[str] = "Malformed request body"
    no_path: ClassVar[str] = "[\udc80-\udcff]"  # what no path may have: bytes that are no UTF-8
    needs_project: ClassVar[bool] = True
    PARTS: ClassVar[tuple[PartClass, ...]] = ()  # classes with routes; an attribute of the service has one of each
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # what a {name} of the templates may be, where that is known
    QUOTAS: ClassVar[Mapping[str, int]] = {}  # how much a project may have, by name; -1: any number
    ADDRESSES: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # tables: the fields that have addresses of the cloud's

    def __init__(self, site: Site, tokens: Tokens) -> None:
        self.site = site
        self.tokens = tokens
        self.store = site.store

    @classmethod
    def operations(cls) -> Iterator[tuple[PartClass, str, Route]]:
        """Each operation of the service: the class and the name of its handler, and its route."""
        for owner in (cls, *cls.PARTS):
            for name, function in inspect.getmembers(owner, inspect.isfunction):
                for each in getattr(function, "routes", ()):
                    yield owner, name, each

    @cached_property
    def _routes(self) -> list[tuple[Route, re.Pattern[str], Callable[..., Any]]]:
        """The routes in the order in which they are tried, each with its handler."""
        owners = {
            type(each): each for each in (self, *vars(self).values()) if isinstance(each, (type(self), *self.PARTS))
        }
        found = [(each, each.pattern, getattr(owners[owner], name)) for owner, name, each in self.operations()]
        # A literal path goes before a template: /servers/detail before /servers/{id}
        return sorted(found, key=lambda each: (each[0].template.count("{"), each[0].template))

    @property
    def url(self) -> str:
        """The service's root, as its answers and links name it."""
        return self.site.url + self.prefix

    # What a subclass may have its own way with

    def setup(self) -> None:
        """Create the initial resources, and repair interrupted changes: once, before the APIs answer."""

    def error(self, fault: Fault) -> JSON:
        """The body of an answer that says no, in the service's own form."""
        raise NotImplementedError

    def invalid(self, error: schema.Invalid) -> Fault:
        """A body that does not fit the operation's schema, in the service's own words."""
        if error.path:
            return Fault(400, f"Invalid input for field/attribute {error.path.rsplit('.', 1)[-1]}. "
                              f"Value: {error.value.strip(chr(39))}. {error.reason}")  # fmt: skip
        return Fault(400, error.reason)

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Headers that every answer of the service has."""
        return {"X-Openstack-Request-Id": request.id}

    def negotiate(self, request: Request) -> None:
        """Find the microversion; a service without them has nothing to do."""

    # What is the same everywhere

    def find(self, method: str, path: str) -> Found:
        """Where a request for a path below the prefix goes; if there is no such route, to an answer that says so."""
        if re.search(self.no_path, path):
            return Found(NO_ROUTE, self.no_text, {})
        known = False
        for each, pattern, handler in self._routes:
            if match := pattern.fullmatch(path):
                if each.method == method:
                    return Found(each, handler, match.groupdict())
                known = True
        return Found(NO_ROUTE, self.no_method if known else self.no_resource, {})

    def no_resource(self, request: Request) -> NoReturn:
        """The path is not known here."""
        raise Fault(404, "The resource could not be found.", type="HTTPNotFound")

    def no_text(self, request: Request) -> NoReturn:
        """The path has bytes that are no text."""
        raise Fault(400, "The path must be UTF-8.", type="HTTPBadRequest")

    def no_method(self, request: Request) -> NoReturn:
        """The path is known, and not for this method."""
        raise Fault(405, "The method specified is not allowed for this resource.", type="HTTPMethodNotAllowed")

    def path(self, path: str) -> str:
        """The path as the routes have it: without a slash at its end."""
        return path.rstrip("/") or "/"

    def token(self, request: Request) -> Token | None:
        """The request's token, if it is valid and its access rules let the request in.

        They may have the path as the API's reference has it, or as it is on a cloud whose services share a port.
        """
        token = self.tokens.find_token(request.headers.get("X-Auth-Token"))
        types, paths = (self.type, *(type for type, _ in self.aliases)), (request.path, self.prefix + request.path)
        return token if token and token.opens(types, request.method, paths) else None

    def authenticate(self, request: Request) -> None:
        """Find out who asks. Raises a 401 `Fault` without a valid token, a 403 without a project."""
        token = self.token(request)
        if token is None:
            raise Fault(
                401,
                "The request you have made requires authentication.",
                headers={"WWW-Authenticate": f'Keystone uri="{self.site.url}/identity"'},
            )
        if self.needs_project and token.project_id is None:
            raise Fault(403, "This operation needs a token that is scoped to a project.", type="PolicyNotAuthorized")
        if self.needs_project and request.method not in ("GET", "HEAD") and "member" not in token.roles:
            raise Fault(403, "This operation needs the role member.", type="PolicyNotAuthorized")
        request._token = token

    async def handle(self, request: Request, found: Found | None = None) -> Answer:
        """Answer a request, whose route the caller may have `found`: every exception becomes an answer too."""
        try:
            each, handler, values = found or self.find(request.method, request.path)
            self.negotiate(request)
            if not each.open:
                self.authenticate(request)
            if request.version not in each.versions:
                self.no_resource(request)
            result: JSON | Answer | Awaitable[JSON | Answer] = handler(request, **values)
            if inspect.isawaitable(result):
                result = await result
            answer = result if isinstance(result, Answer) else Answer(200, result)
        except Fault as fault:
            answer = self.refuse(fault)
        except schema.Invalid as error:
            answer = self.refuse(self.invalid(error))
        except (Malformed, RecursionError):
            answer = self.refuse(Fault(400, self.malformed, type="HTTPBadRequest"))
        except Exception as error:
            if _no_room(error):
                log.error("%s %s%s: %s", request.method, self.prefix, request.path, error)
                answer = self.refuse(Fault(507, f"This could not be written ({error}): is the disk full?"))
            else:
                log.exception("%s %s%s (%s)", request.method, self.prefix, request.path, request.id)
                answer = self.refuse(Fault(500, f"Unexpected API Error ({request.id}): see emulator.log."))
        answer.headers = {**self.answer_headers(request), **answer.headers}
        return answer

    def refuse(self, fault: Fault) -> Answer:
        """The answer for a fault. The one without a token is Keystone's in all services."""
        if fault.status == 401:
            return Answer(401, keystone_error(fault), fault.headers)
        return Answer(fault.status, self.error(fault), fault.headers)


def _no_room(error: Exception) -> bool:
    """Whether the state or a file could not be written."""
    no_room = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(error, sqlite3.Error) or (isinstance(error, OSError) and error.errno in no_room)


def keystone_error(fault: Fault) -> JSON:
    """The error form of Keystone, which answers for all services where a token is missing."""
    title = HTTPStatus(fault.status).phrase
    return {"error": {"code": fault.status, "message": fault.message, "title": title}}


def nova_error(fault: Fault) -> JSON:
    """The error form of Nova, and of Cinder, which was once a part of it: {"itemNotFound": {"code", "message"}}."""
    return {NOVA_ERRORS.get(fault.status, "computeFault"): {"code": fault.status, "message": fault.message}}
