"""Glance: the images that are there, those that a user makes, and its own words for what is wrong."""

import gzip
import hashlib
import io
import socket
import tarfile
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator.control import Running
from faafo_lab.cloud.emulator.services.image.base_images import BASE_IMAGES, pack
from tests.waiting import wait_for

from .conftest import Api

G = "/image/v2/images"
KEYS = {  # as Glance 25 answered
    *("name", "disk_format", "container_format", "visibility", "size", "virtual_size", "status", "checksum"),
    *("protected", "min_ram", "min_disk", "owner", "os_hidden", "os_hash_algo", "os_hash_value", "id", "created_at"),
    *("updated_at", "tags", "self", "file", "schema", "stores"),
}
JSON = {"Accept": "application/json"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


@pytest.fixture
def mine(api: Api) -> str:
    fields = {"name": "mine", "disk_format": "raw", "container_format": "bare", "flavour": "sweet", "tags": ["b", "a"]}
    return str(api.make(G, fields)["id"])


def test_versions_are_discovered_without_a_token(api: Api) -> None:
    answer = api("GET", "/image", headers={"X-Auth-Token": ""})
    assert answer.status_code == 300
    assert answer.json()["versions"][0]["status"] == "CURRENT"
    assert api("GET", "/image/versions").status_code == 200
    assert "properties" in api.get("/image/v2/schemas/image")


def test_two_images_are_there_from_the_start(api: Api) -> None:
    images = {each["name"]: each for each in api.get(G)["images"] if each["visibility"] == "public"}
    assert set(images) == {"faafo-lab", "plain-linux"}
    for name, image in images.items():
        assert set(image) == KEYS | {"os_distro", "os_type"}
        assert (image["os_distro"], image["status"], image["visibility"]) == (name, "active", "public")
        assert api.get(f"{G}/{image['id']}") == image
        data = api("GET", f"{G}/{image['id']}/file")
        assert hashlib.md5(data.content, usedforsecurity=False).hexdigest() == image["checksum"]
        assert int(data.headers["Content-Length"]) == image["size"]


def test_the_application_s_image_has_its_commands_and_the_plain_one_has_none() -> None:
    for image in BASE_IMAGES:
        assert pack(image) == pack(image)
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(pack(image)))) as tar:
            commands = {entry.name for entry in tar if entry.name.startswith("bin/")}
            assert all(tar.getmember(name).mode == 0o755 for name in commands)
            assert {entry.mtime for entry in tar} == {0}
        assert ("bin/faafo-install" in commands) == (image.name == "faafo-lab")


def test_an_image_is_made_filled_read_and_deleted(api: Api, mine: str) -> None:
    assert api.get(f"{G}/{mine}")["status"] == "queued"
    assert api("GET", f"{G}/{mine}/file").status_code == 204
    data = bytes(range(256)) * 20_000
    assert api("PUT", f"{G}/{mine}/file", content=data).status_code == 204
    image = api.get(f"{G}/{mine}")
    assert (image["status"], image["size"], image["flavour"], image["tags"]) == (
        "active",
        len(data),
        "sweet",
        ["a", "b"],
    )
    assert image["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert api("GET", f"{G}/{mine}/file").content == data
    assert api("PUT", f"{G}/{mine}/file", content=b"again").status_code == 409
    assert api("DELETE", f"{G}/{mine}").status_code == 204
    assert api("GET", f"{G}/{mine}").status_code == 404
    assert not (api.running.state_dir / "images" / mine).exists()


def test_an_upload_that_is_cut_short_leaves_nothing(api: Api, mine: str, running: Running) -> None:
    host, port = api.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = (
            f"PUT {G}/{mine}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {api.token}\r\nContent-Length: 1000000\r\n\r\n"
        )
        client.sendall(head.encode() + b"x" * 1000)
        wait_for("the upload to begin", lambda: api.get(f"{G}/{mine}")["status"] == "saving")
    wait_for("the upload to be given up", lambda: api.get(f"{G}/{mine}")["status"] == "queued")
    assert not list(Path(running.state_dir, "images").glob(f"{mine}*"))
    assert api("PUT", f"{G}/{mine}/file", content=b"whole").status_code == 204
    api("DELETE", f"{G}/{mine}")


def test_an_image_is_changed_by_a_json_patch(api: Api, mine: str) -> None:
    changes = [
        {"op": "replace", "path": "/name", "value": "renamed"},
        {"op": "add", "path": "/color", "value": "red"},
        {"op": "remove", "path": "/flavour"},
    ]
    image = api("PATCH", f"{G}/{mine}", changes, headers=PATCH).json()
    assert (image["name"], image["color"], "flavour" in image) == ("renamed", "red", False)
    for wrong, status in (
        ([{"op": "replace", "path": "/status", "value": "active"}], 403),
        ([{"op": "replace", "path": "/nope", "value": "x"}], 409),
        ([{"op": "replace", "path": "/visibility", "value": "public"}], 403),
        ([{"op": "add", "path": "/number", "value": 7}], 400),
        ({"op": "add"}, 400),
    ):
        assert api("PATCH", f"{G}/{mine}", wrong, headers=PATCH).status_code == status, wrong
    assert api("PATCH", f"{G}/{mine}", changes).status_code == 415
    assert api("PUT", f"{G}/{mine}/tags/new").status_code == 204
    assert api.get(f"{G}/{mine}")["tags"] == ["a", "b", "new"]
    assert api("DELETE", f"{G}/{mine}/tags/nope").status_code == 404
    api("DELETE", f"{G}/{mine}")


def test_lists_are_filtered_sorted_and_paged(api: Api, mine: str) -> None:
    def names(query: str) -> list[str]:
        return [each["name"] for each in api.get(f"{G}?{query}")["images"]]

    assert names("flavour=sweet") == ["mine"]
    assert names("tag=a&tag=b") == ["mine"]
    assert names("tag=a&tag=z") == []
    assert names("os_distro=plain-linux") == ["plain-linux"]
    assert names("name=in:mine,plain-linux&sort=name:desc") == ["plain-linux", "mine"]
    assert names("sort_key=name&sort_dir=asc") == ["faafo-lab", "mine", "plain-linux"]
    assert names("status=queued") == ["mine"]
    page = api.get(f"{G}?limit=2&sort=name:asc")
    assert [each["name"] for each in api.get("/image" + page["next"])["images"]] == ["plain-linux"]
    for query in (
        *("limit=x", "marker=nope", "sort=nope:asc", "visibility=odd", "size_min=x", "os_hidden=perhaps"),
        *("sort=name:asc&sort_key=id", "sort_key=name&sort_dir=asc&sort_dir=desc"),
    ):
        assert api("GET", f"{G}?{query}").status_code == 400, query
    api("DELETE", f"{G}/{mine}")


def test_errors_have_glances_form(api: Api) -> None:
    answer = api("GET", f"{G}/nope", headers=JSON)
    assert answer.status_code == 404
    assert answer.json()["code"] == "404 Not Found"
    assert "No image found with ID nope" in answer.json()["message"]
    for body in (b"{", b"[]", b'{"min_ram": "x"}', b'{"min_disk": -1}', b'{"disk_format": "floppy"}', b'{"x": 1}'):
        assert api("POST", G, content=body).status_code == 400, body
    assert api("POST", G, {"visibility": "public"}).status_code == 403


def test_one_project_cannot_see_anothers_image_and_nobody_deletes_the_base_ones(api: Api, alt: Api, mine: str) -> None:
    assert "mine" not in [each["name"] for each in alt.get(G)["images"]]
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/file"), ("PUT", "/file")):
        assert alt(method, f"{G}/{mine}{path}").status_code == 404
    assert api("DELETE", f"{G}/{api.image()}").status_code == 403
    api("DELETE", f"{G}/{mine}")


def test_an_error_has_the_form_that_a_client_asks_for(api: Api) -> None:
    """As WebOb writes it: glanceclient asks for anything, gets HTML, and would stumble over this JSON."""
    for accept, kind, start in (
        ("*/*", "text/html; charset=UTF-8", "<html>\n <head>\n  <title>404 Not Found</title>"),
        ("", "text/plain; charset=UTF-8", "404 Not Found\n\nNo image found with ID nope"),
        ("application/json", "application/json", '{"message": "No image found with ID nope<br'),
    ):
        answer = api("GET", f"{G}/nope", headers={"Accept": accept})
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith(kind), accept
        assert answer.text.startswith(start), answer.text
    assert "&lt;b&gt;" in api("GET", f"{G}?visibility=<b>").text


def test_a_hidden_image_is_only_in_the_list_of_hidden_ones(api: Api, mine: str) -> None:
    def names(query: str) -> list[str]:
        return [each["name"] for each in api.get(f"{G}?{query}")["images"]]

    hide = [{"op": "replace", "path": "/os_hidden", "value": True}]
    assert api("PATCH", f"{G}/{mine}", hide, headers=PATCH).json()["os_hidden"] is True
    assert "mine" not in names("") + names("os_hidden=false")
    assert names("os_hidden=true") == ["mine"]
    assert api.get(f"{G}/{mine}")["name"] == "mine"
    api("DELETE", f"{G}/{mine}")


def test_a_deactivated_image_gives_its_data_to_nobody_until_it_is_active_again(api: Api, mine: str, alt: Api) -> None:
    def told(action: str, who: Api = api) -> int:
        return int(who("POST", f"{G}/{mine}/actions/{action}").status_code)

    assert told("deactivate") == 400  # it has no data yet
    api("PUT", f"{G}/{mine}/file", content=b"data")
    assert (told("deactivate", alt), told("deactivate"), told("deactivate")) == (404, 204, 204)
    assert api.get(f"{G}/{mine}")["status"] == "deactivated"
    assert api("GET", f"{G}/{mine}/file").status_code == 403
    server = {"name": "x", "imageRef": mine, "flavorRef": "1", "networks": "none"}
    assert api("POST", "/compute/v2.1/servers", {"server": server}).status_code == 400
    assert told("reactivate") == 204
    assert api("GET", f"{G}/{mine}/file").content == b"data"
    api("DELETE", f"{G}/{mine}")


def test_glances_own_properties_are_not_a_clients(api: Api, mine: str) -> None:
    assert api("POST", G, {"name": "x", "os_glance_import_task": "y"}).status_code == 403
    add = [{"op": "add", "path": "/os_glance_failed_import", "value": "y"}]
    assert api("PATCH", f"{G}/{mine}", add, headers=PATCH).status_code == 403
    api("DELETE", f"{G}/{mine}")


def test_what_there_is_none_of_is_an_empty_list(api: Api) -> None:
    assert api.get("/image/v2/metadefs/namespaces")["namespaces"] == []
    assert api.get("/image/v2/metadefs/resource_types") == {"resource_types": []}
    assert api.get("/image/v2/info/import")["import-methods"]["value"] == []
    assert api.get(f"/image/v2/images/{api.image()}/tasks") == {"tasks": []}
    assert api("GET", "/image/v2/tasks").status_code == 403
    assert api.get(f"/image/v2/images/{api.image()}/tasks") == {"tasks": []}
    assert api("GET", "/image/v2/info/stores").status_code == 404  # as on a real cloud with one store
