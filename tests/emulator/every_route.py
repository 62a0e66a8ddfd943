"""All operations of all services, as their route tables say, and a world of resources for them, by collection.

Tests that hold for every route are made from these, so that a new service is covered as soon as it has routes.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from faafo_lab.cloud.emulator.common.service import Fault, Service
from faafo_lab.cloud.emulator.server import SERVICES
from faafo_lab.cloud.emulator.services.network.base import Collection
from tests.waiting import LIMIT_SECONDS, LOOK_SECONDS

from .conftest import Api
from .examples import EXAMPLES, SEEDED
from .odd import NOWHERE


@dataclass(frozen=True)
class Operation:
    """A route of a service; Neutron's templates are filled in with its kinds."""

    service: type[Service]
    method: str
    template: str
    open: bool
    stream: bool

    def __str__(self) -> str:
        return f"{self.service.name} {self.method} {self.template}"

    @property
    def kind(self) -> str:
        """What the operation is about: the last word of its template that is no variable."""
        words = [word for word in self.template.split("/") if word and "{" not in word]
        return words[-1] if words else ""

    @property
    def variables(self) -> list[tuple[str, str]]:
        """The template's variables, each with the word before it, ("id", "servers"), or its own where there is none."""
        words = self.template.split("/")
        found = []
        for number, word in enumerate(words):
            if match := VARIABLE.fullmatch(word):
                before = words[number - 1]
                found.append((match[1], match[1] if not before or "{" in before else before))
        return found

    def path(self, values: Mapping[str, str]) -> str:
        """The path with these values, which are quoted already, for its variables."""
        return self.service.prefix + VARIABLE.sub(lambda match: values[match[1]], self.template)


VARIABLE = re.compile(r"\{(\w+)\*?\}")
KINDS = {  # a variable that stands for a collection, and the collections
    ("neutron", "{kind}"): [kind.plural.replace("_", "-") for kind in Collection.__subclasses__()],
    ("cinderv3", "{kind}"): ["volumes", "snapshots", "backups", "os-volume-transfer"],
    ("octavia", "{plural}"): ["loadbalancers", "listeners", "pools", "healthmonitors"],
}


def _operations() -> Iterator[Operation]:
    for service in sorted(SERVICES, key=lambda each: each.__name__):
        routes = {each for _, _, each in service.operations()}
        for each in sorted(routes, key=lambda each: (each.template, each.method)):
            templates = [each.template]
            for (name, variable), kinds in KINDS.items():
                if service.name == name and variable in each.template:
                    templates = [each.template.replace(variable, kind) for kind in kinds]
            for template in templates:
                yield Operation(service, each.method, template, each.open, each.stream)


OPERATIONS = list(_operations())
# What operations and examples want ids of
NAMED = {word for each in OPERATIONS for _, word in each.variables}.union(
    SEEDED, re.findall(r"<([a-z_-]+)>", json.dumps(EXAMPLES))
)


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class World:
    """A project's resources, and a plain connection to the APIs, which sends what it is told."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.ids: dict[str, list[str]] = {}
        self.own: set[str] = set()
        self._changed, self._settled = True, False
        self._http = http.client.HTTPConnection(api.root.removeprefix("http://"), timeout=LIMIT_SECONDS)

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request as it is, with the project's token unless the headers have another."""
        given = {"X-Auth-Token": self.api.token, **(headers or {})}
        for attempt in (1, 2):
            try:
                self._http.request(method, path, body, given)
                answer = self._http.getresponse()
                if method not in ("GET", "HEAD"):
                    self._changed, self._settled = True, False
                return Reply(answer.status, answer.headers, answer.read())
            except (http.client.HTTPException, OSError):  # a connection that the last answer has closed
                self._http.close()
                if attempt == 2:
                    raise
        raise AssertionError

    def close(self) -> None:
        self._http.close()

    def look(self, *, named: bool = False) -> None:
        """Find what exists: ids, or names where a collection has no ids; what was made from examples comes first.

        `named`: only what operations and examples name, which is half of the requests.
        """
        self.ids = {"users": [self.api.user], "projects": [self.api.project]}
        for word in ("os-quota-sets", "quotas", "v3"):
            self.ids[word] = [self.api.project]
        self.ids |= {"account": [f"AUTH_{self.api.project}"], "container": ["fuzz"], "object": ["fuzz"]}
        self.own = set()
        for operation in OPERATIONS:
            if operation.method != "GET" or operation.stream or operation.kind == "detail":
                continue
            if named and operation.kind not in NAMED:
                continue
            if operation.template.endswith("}") or not all(word in ("v3", "users") for _, word in operation.variables):
                continue
            answer = self.send("GET", operation.path(self.mine(operation)), headers={"Accept": "application/json"})
            if answer.status != 200 or answer.body[:1] not in (b"{", b"["):
                continue
            for id, row in _rows(answer.json()):
                own = "fuzz" in (row.get("name"), row.get("description"))
                if own:
                    self.own.add(operation.kind)
                known = self.ids.setdefault(operation.kind, [])
                known.insert(0 if own else len(known), id)
                if row.get("name") in ("public", "private", "private-subnet", "plain-linux"):
                    self.ids[row["name"]] = [id]

    def mine(self, operation: Operation) -> dict[str, str]:
        """The variables of an operation on a collection: the user or the project."""
        return {name: self.api.user if word == "users" else self.api.project for name, word in operation.variables}

    def seed(self, *, again: bool = False) -> None:
        """Make what is missing of one of each; the servers boot in the background.

        `again`: where only reads were sent since two looks found the same, nothing can be missing. One look is not
        enough: it may find what a deletion that still runs removes.
        """
        if again and self._settled:
            return
        before, changed, self._changed = self.ids, self._changed, False
        self.look(named=True)
        self._settled = self.ids == before and not changed
        for path in ("/{account}/{container}", "/{account}/{container}/{object*}"):
            for operation in OPERATIONS:
                if operation.method == "PUT" and operation.template == path:
                    ids = {name: self.ids[name][0] for name, _ in operation.variables}
                    if self.send("HEAD", operation.path(ids)).status < 300:
                        continue
                    answer = self.send("PUT", operation.path(ids), b"data" if "object" in ids else b"")
                    assert again or answer.status in (201, 202), answer.body
        for kind in SEEDED:
            for operation in OPERATIONS:
                if operation.method != "POST" or operation.kind != kind or kind in self.own:
                    continue
                body = self.fill(EXAMPLES[kind][0])
                if kind == "servers":
                    del body["os:scheduler_hints"], body["server"]["tags"]
                path, data = operation.path(self.mine(operation)), json.dumps(body).encode()
                answer = self.send("POST", path, data, JSON_TYPE)
                deadline = time.monotonic() + LIMIT_SECONDS
                # What it needs may not be ready: a 409, of a volume a 400
                while answer.status in (400, 409) and not again and time.monotonic() < deadline:
                    time.sleep(LOOK_SECONDS)
                    answer = self.send("POST", path, data, JSON_TYPE)
                made = answer.status in (200, 201, 202)
                assert again or made, (kind, answer.body)
                if made:
                    self.look(named=True)

    def fill(self, example: Any) -> Any:
        """A copy of a body, with ids of what exists."""
        if isinstance(example, dict):
            return {name: self.fill(value) for name, value in example.items()}
        if isinstance(example, list):
            return [self.fill(value) for value in example]
        if isinstance(example, str) and re.fullmatch(r"<[a-z_-]+>", example):
            return (self.ids.get(example[1:-1]) or [NOWHERE])[0]
        return example


JSON_TYPE = {"Content-Type": "application/json"}


def _rows(answer: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = answer if isinstance(answer, list) else next((v for v in answer.values() if isinstance(v, list)), [])
    for row in rows:
        if isinstance(row, dict):
            row = row.get("keypair", row)
            if found := row.get("id") or row.get("alias") or row.get("name"):
                yield str(found), row


def quoted(text: str) -> str:
    """A text as one segment of a path, whatever it holds."""
    return quote(text, safe="", errors="surrogatepass") or "%20"


def in_own_form(service: type[Service], answer: Reply, method: str) -> bool:
    """Whether a refusal has the service's own form; a missing token is Keystone's matter in all of them."""
    if method == "HEAD":
        return not answer.body
    try:
        expected = service.error(object.__new__(service), Fault(answer.status, "no"))
    except NotImplementedError:  # Swift's are pages
        return answer.headers["Content-Type"].startswith("text/html")
    if service.name == "glance" and answer.headers["Content-Type"].startswith("text/"):  # who asked for no JSON
        return str(answer.status) in answer.body.decode()
    try:
        if answer.status == 401:
            return set(answer.json()) == {"error"}
        return _shape(answer.json()) == _shape(expected)
    except ValueError:
        return False


def _shape(value: Any) -> Any:
    return {name: _shape(item) for name, item in value.items()} if isinstance(value, dict) else type(value)
