"""What all answers of the API and the web page have in common."""

import hmac
import json
import logging
from typing import Any, TypeVar

from tornado.web import HTTPError, RequestHandler

from faafo_lab.app import logs, validation
from faafo_lab.app.backend import Backend
from faafo_lab.app.errors import (
    AppError,
    BadRequest,
    BrokerAway,
    DatabaseAway,
    FilesAway,
    Forbidden,
    NotFound,
    RequestError,
    TooLarge,
    Unauthorized,
)
from faafo_lab.app.metrics import METHODS, OTHER

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_AFTER_SECONDS = 1
JSON = "application/json; charset=utf-8"


class Handler(RequestHandler):
    """JSON in and out, the secret, errors as one sentence."""

    api: Backend
    route = OTHER  # as the metrics and the description of the API have it
    body_max_bytes = validation.TASK_BODY_MAX_BYTES

    def initialize(self, api: Backend) -> None:
        """Count the request as in flight."""
        self.api = api
        api.in_flight += 1

    def set_default_headers(self) -> None:
        """Name this API; end the connection where it stops."""
        self.set_header("X-Served-By", self.settings["served_by"])
        if self.settings.get("stopping"):
            self.set_header("Connection", "close")

    def prepare(self) -> None:
        """Refuse a body that is too long."""
        if len(self.request.body) > self.body_max_bytes:
            raise TooLarge(f"The body must be at most {self.body_max_bytes} bytes: this one is longer.")

    def on_finish(self) -> None:
        """The request is no longer in flight."""
        self.api.in_flight -= 1
        request = self.request
        self.api.metrics.answered(request.method or "", self.route, self.get_status(), request.request_time())

    def compute_etag(self) -> str | None:
        """No hash of each answer: images set theirs."""
        return None

    def check_secret(self) -> None:
        """Raise unless the request carries the deployment's secret; without one, everybody may."""
        if self.api.secret is None:
            return
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Unauthorized("This needs the deployment's secret: send the header 'Authorization: Bearer SECRET'.")
        as_sent = given.strip().encode("latin-1", "replace")  # as which Tornado has read the header's bytes
        if not hmac.compare_digest(as_sent, self.api.secret.encode()):
            raise Forbidden("This is not the deployment's secret.")

    def argument(self, name: str, otherwise: T) -> str | T:
        """An argument of the address as it was sent: Tornado would strip it, and ``1%00`` is no number."""
        found = self.get_query_argument(name, None, strip=False)
        return otherwise if found is None else found

    def json_body(self) -> dict[str, Any]:
        """The request's JSON object."""
        return validation.json_object(self.request.body)

    def send(self, value: dict[str, Any], status: int = 200) -> None:
        """Answer with a JSON object."""
        self.set_status(status)
        self.set_header("Content-Type", JSON)
        self.finish(json.dumps(value))

    @classmethod
    def methods(cls) -> list[str]:
        """The methods that exist for this address."""
        return [one for one in METHODS if getattr(cls, one.lower()) is not getattr(RequestHandler, one.lower())]

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with one sentence."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, RequestError):
            status_code, message = error.status, str(error)
        elif isinstance(error, DatabaseAway | BrokerAway | FilesAway):
            status_code, message = 503, str(error)
        elif status_code == 405:
            message = f"{self.request.method} does not exist for {self.request.path}."
            self.set_header("Allow", ", ".join(self.methods()))
        elif status_code == 500:
            message = "The API failed; its log says why."
        elif isinstance(error, HTTPError) and error.log_message:  # of Tornado's: what it could not read
            message = f"{error.log_message % error.args}."
        else:
            message = f"{self._reason}."
        if status_code == 503:
            self.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
        if status_code == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        self.send({"error": message}, status_code)

    def log_exception(self, *exc_info: Any) -> None:
        """Log what is our fault."""
        if not isinstance(exc_info[1], AppError | HTTPError):
            log.error("%s %s failed", self.request.method, self.request.path, exc_info=exc_info)


class NowhereHandler(Handler):
    """Every address that is none: 404."""

    def prepare(self) -> None:
        """Answer 404, whatever the method is."""
        raise NotFound(f"There is nothing at {self.request.path}.")


def known_uuid(name: str) -> str:
    """A uuid in an address; one that is malformed cannot exist."""
    try:
        uuid = validation.uuid(name)
    except BadRequest:
        raise NotFound(f"There is no fractal '{name[:60]}'.") from None
    logs.concerns(uuid)
    return uuid
