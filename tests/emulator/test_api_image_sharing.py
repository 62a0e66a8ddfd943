"""Glance: images that are shared with another project, both forms of a patch, and what lists can ask for."""

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Api

G = "/image/v2/images"
OLD_PATCH = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
NEW_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


@pytest.fixture
def image(api: Api) -> Iterator[str]:
    id = str(api.make(G, {"name": "ours", "disk_format": "raw", "container_format": "bare"})["id"])
    assert api("PUT", f"{G}/{id}/file", content=b"x" * 100).status_code == 204
    yield id
    assert api("DELETE", f"{G}/{id}").status_code == 204


def ids(api: Api, query: str = "") -> list[str]:
    return [each["id"] for each in api.get(f"{G}?{query}")["images"]]


def test_a_shared_image_is_seen_by_its_id_and_once_accepted_in_lists(api: Api, alt: Api, image: str) -> None:
    assert alt("GET", f"{G}/{image}").status_code == 404
    member = api("POST", f"{G}/{image}/members", {"member": alt.project}).json()
    assert (member["image_id"], member["member_id"], member["status"]) == (image, alt.project, "pending")
    assert alt.get(f"{G}/{image}")["owner"] == api.project
    assert (image in ids(alt), image in ids(alt, "member_status=pending")) == (False, True)
    accepted = alt("PUT", f"{G}/{image}/members/{alt.project}", {"status": "accepted"}).json()
    assert accepted["status"] == "accepted"
    assert image in ids(alt)
    assert alt("GET", f"{G}/{image}/file").content == b"x" * 100
    assert [each["member_id"] for each in api.get(f"{G}/{image}/members")["members"]] == [alt.project]
    assert api("DELETE", f"{G}/{image}/members/{alt.project}").status_code == 204
    assert alt("GET", f"{G}/{image}").status_code == 404


def test_only_the_owner_shares_and_only_the_member_accepts(api: Api, alt: Api, image: str) -> None:
    path = f"{G}/{image}/members"
    assert alt("POST", path, {"member": alt.project}).status_code == 404
    assert api("POST", path, {"member": alt.project}).status_code == 200
    assert api("POST", path, {"member": alt.project}).status_code == 409
    for body in ({}, {"member": ""}, {"member": 7}):
        assert api("POST", path, body).status_code == 400, body
    assert alt("POST", path, {"member": "third"}).status_code == 403
    assert api("PUT", f"{path}/{alt.project}", {"status": "accepted"}).status_code == 403
    assert alt("PUT", f"{path}/{alt.project}", {"status": "maybe"}).status_code == 400
    assert alt("DELETE", f"{path}/{alt.project}").status_code == 403
    for method in ("PATCH", "DELETE"):
        assert alt(method, f"{G}/{image}", [], headers=NEW_PATCH).status_code == 403
    private = [{"op": "replace", "path": "/visibility", "value": "private"}]
    assert api("PATCH", f"{G}/{image}", private, headers=NEW_PATCH).status_code == 200
    assert alt("GET", f"{G}/{image}").status_code == 404
    assert api("POST", path, {"member": "third"}).status_code == 403


def test_a_patch_of_the_older_form_is_understood(api: Api, image: str) -> None:
    changes: list[dict[str, Any]] = [{"replace": "/name", "value": "renamed"}, {"add": "/color", "value": "red"}]
    changed = api("PATCH", f"{G}/{image}", changes, headers=OLD_PATCH).json()
    assert (changed["name"], changed["color"]) == ("renamed", "red")
    assert "color" not in api("PATCH", f"{G}/{image}", [{"remove": "/color"}], headers=OLD_PATCH).json()
    for wrong in ([{}], [7], [{"add": "/a", "remove": "/b"}], [{"replace": "/name"}], {"add": "/a"}):
        assert api("PATCH", f"{G}/{image}", wrong, headers=OLD_PATCH).status_code == 400, wrong


def test_an_empty_id_means_no_image(api: Api) -> None:
    for method in ("GET", "DELETE"):
        assert api(method, f"{G}/").status_code == 404


def test_lists_ask_for_sizes_moments_and_owners(api: Api, image: str) -> None:
    moment = api.get(f"{G}/{image}")["created_at"]
    for query, there in (
        ("size_min=100&size_max=100", True),
        ("size_min=101", False),
        ("size=100", True),
        (f"created_at=gte:{moment}", True),
        (f"created_at=lt:{moment}", False),
        (f"created_at={moment}", True),
        (f"owner={api.project}&visibility=shared&disk_format=raw&status=active", True),
        ("visibility=private", False),
    ):
        assert (image in ids(api, query)) == there, query
    for query in ("created_at=gt:yesterday", "member_status=maybe"):
        assert api("GET", f"{G}?{query}").status_code == 400, query
