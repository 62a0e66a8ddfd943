"""What a client quotes in a path, over every route: it is unquoted first and split then, and must be text.

So it is under WSGI, where the real services run: %2f is a slash like others.
"""

from collections.abc import Iterator

import pytest

from faafo_lab.cloud.emulator.control import Running

from .conftest import Api
from .every_route import JSON_TYPE, OPERATIONS, World, in_own_form
from .swift import Container

REFUSED = (400, 403, 404, 405, 409, 415)
FREE_TEXT = ("tag", "object", "container")  # a name that may hold a line's end, or a NUL
ANY_PROJECTS = "defaults"  # a quota's, which are the same for every project, and so for one that is not


@pytest.fixture(scope="module")
def world(running: Running) -> Iterator[World]:
    """The project demo, with one of everything."""
    world = World(Api(running))
    try:
        world.seed()
        yield world
    finally:
        world.close()


@pytest.mark.parametrize("quoted", ["%2Fx", "x%2fx", "%00", "%0a", "%ff", "%c3%28", "%ed%a0%80"])
def test_a_name_with_more_behind_it_is_another_name(world: World, quoted: str) -> None:
    wrong, tried = {}, 0
    for operation in OPERATIONS:
        if not operation.variables or operation.service.name == "swift" or operation.template.endswith(ANY_PROJECTS):
            continue
        last = operation.variables[-1][0]
        if quoted in ("%00", "%0a") and last in FREE_TEXT:
            continue
        values = {name: (world.ids.get(word) or ["x"])[0] for name, word in operation.variables}
        body = None if operation.method == "GET" else b"{}"
        path = operation.path({**values, last: values[last] + quoted})
        answer = world.send(operation.method, path, body, JSON_TYPE)
        tried += 1
        if answer.status not in REFUSED or not in_own_form(operation.service, answer, operation.method):
            wrong[f"{operation.method} {path}"] = (answer.status, answer.body)
    assert wrong == {}
    assert tried > 150


def test_a_quoted_slash_ends_the_containers_name(api: Api) -> None:
    account = f"/v1/AUTH_{api.project}"
    assert api("PUT", f"{account}/shelf%2fb", content=b"it").status_code == 404  # the object b of no container
    assert "shelf" not in api("GET", account).text
    box = Container(api, "shelf")
    try:
        for path in ("shelf%2fb", "shelf/c%2fd", "shelf%2Fe/f"):
            assert api("PUT", f"{account}/{path}", content=path.encode()).status_code == 201
        assert box.names() == ["b", "c/d", "e/f"]
        assert api("GET", f"{account}%2fshelf%2fb").content == b"shelf%2fb"
        assert "shelf" in api("GET", account).text.splitlines()
    finally:
        box.clear()


@pytest.mark.parametrize("quoted", ["%00", "%ff", "%c3%28", "%ed%a0%80"])
def test_a_name_in_the_object_store_is_text(api: Api, quoted: str) -> None:
    account = f"/v1/AUTH_{api.project}"
    for path in (f"{account}{quoted}", f"{account}/box{quoted}", f"{account}/box/{quoted}x"):
        for method in ("GET", "PUT", "POST", "DELETE"):
            answer = api(method, path)
            assert (answer.status_code, "Invalid UTF8 or contains NULL" in answer.text) == (412, True), (method, path)
