"""What the object store's tests share: containers that are emptied at the end, and the account's paths."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from .conftest import Api

_numbers = itertools.count(1)


class Container:
    """A container of a project; `box("PUT", "name", …)` is a request to an object in it, `box("GET")` to itself."""

    def __init__(self, api: Api, name: str = "", **headers: str) -> None:
        self.api = api
        self.name = name or f"box-{next(_numbers)}"
        self.account = f"/v1/AUTH_{api.project}"
        self.path = f"{self.account}/{quote(self.name)}"
        answer = api("PUT", self.path, headers=headers)
        assert answer.status_code == 201, answer.text

    def __call__(self, method: str, name: str = "", query: str = "", **more: Any) -> httpx.Response:
        dotless = quote(name).replace(".", "%2E")  # httpx would tidy up a/../b
        path = f"{self.path}/{dotless}" if name else self.path
        return self.api(method, path + (f"?{query}" if query else ""), **more)

    def put(self, name: str, data: bytes = b"", query: str = "", **headers: str) -> httpx.Response:
        """Upload an object, which must succeed."""
        answer = self("PUT", name, query, content=data, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer

    def names(self, query: str = "") -> list[str]:
        """What a list has, as text."""
        answer = self("GET", query=query)
        assert answer.status_code in (200, 204), answer.text
        return answer.text.splitlines()

    def clear(self) -> None:
        """Remove the container and all in it."""
        for location in ("Versions", "History"):
            self("POST", headers={f"X-Remove-{location}-Location": "x"})
        for each in self("GET", query="format=json").json():
            assert self("DELETE", each["name"]).status_code in (204, 404)
        assert self("DELETE").status_code in (204, 404)


@pytest.fixture
def box(api: Api) -> Iterator[Container]:
    """A container of the project demo."""
    container = Container(api)
    try:
        yield container
    finally:
        container.clear()


@pytest.fixture
def other_box(api: Api) -> Iterator[Container]:
    """Another container of the project demo."""
    container = Container(api)
    try:
        yield container
    finally:
        container.clear()
