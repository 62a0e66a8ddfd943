"""Keystone: tokens, the catalogue, and who may see what."""

import time
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator.common.names import id_of
from faafo_lab.cloud.emulator.common.service import Request
from faafo_lab.cloud.emulator.common.store import Store
from faafo_lab.cloud.emulator.services.identity.api import Identity
from faafo_lab.cloud.emulator.site import Site

from .conftest import Api

UNAUTHORIZED = {
    "error": {
        "code": 401,
        "message": "The request you have made requires authentication.",
        "title": "Unauthorized",
    }
}


def test_versions_are_discovered_without_a_token(api: Api) -> None:
    answer = api.http.get("/identity", headers={"X-Auth-Token": ""})
    assert answer.status_code == 300
    assert [each["id"] for each in answer.json()["versions"]["values"]] == ["v3.14"]
    version = api.http.get("/identity/v3", headers={"X-Auth-Token": ""}).json()["version"]
    assert version["links"] == [{"rel": "self", "href": f"{api.root}/identity/v3/"}]


def test_a_token_has_the_shape_of_a_real_one(api: Api) -> None:
    token = api.login().json()["token"]
    assert set(token) == {
        *("methods", "user", "audit_ids", "expires_at", "issued_at", "project", "is_domain", "roles", "catalog")
    }
    assert token["user"] == {
        "domain": {"id": "default", "name": "Default"},
        "id": api.user,
        "name": "demo",
        "password_expires_at": None,
    }
    assert token["expires_at"].endswith(".000000Z")
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    for entry in token["catalog"]:
        assert set(entry) == {"id", "type", "name", "endpoints"}
        assert {each["interface"] for each in entry["endpoints"]} == {"public", "internal", "admin"}
        assert set(entry["endpoints"][0]) == {"id", "interface", "region", "region_id", "url"}


def test_the_catalogue_serves_shade_and_libcloud_alike(api: Api) -> None:
    catalog = {
        (each["type"], each["name"]): each["endpoints"][0]["url"] for each in api.login().json()["token"]["catalog"]
    }
    assert catalog == {
        ("identity", "keystone"): f"{api.root}/identity",
        ("image", "glance"): f"{api.root}/image",
        ("network", "neutron"): f"{api.root}/networking",
        ("compute", "nova"): f"{api.root}/compute/v2.1",
        ("volumev3", "cinderv3"): f"{api.root}/volume/v3/{api.project}",
        ("block-storage", "cinder"): f"{api.root}/volume/v3/{api.project}",
        ("object-store", "swift"): f"{api.root}/v1/AUTH_{api.project}",
        ("load-balancer", "octavia"): f"{api.root}/load-balancer",
    }
    assert [each["type"] for each in api.get("/identity/v3/auth/catalog")["catalog"]] == [key[0] for key in catalog]


def test_user_and_project_go_by_id_or_by_name_in_their_domain(api: Api) -> None:
    by_id = api.credentials(id=api.user)
    by_id["auth"]["scope"] = {"project": {"id": api.project}}
    assert api.login(by_id).status_code == 201
    by_domain_id = api.credentials(domain={"id": "default"})
    by_domain_id["auth"]["scope"]["project"]["domain"] = {"name": "Default"}
    assert api.login(by_domain_id).status_code == 201


@pytest.mark.parametrize(
    "wrong", [{"password": "wrong"}, {"name": "nobody"}, {"domain": {"name": "elsewhere"}}, {"password": ""}]
)
def test_wrong_credentials_get_keystones_401(api: Api, wrong: dict[str, object]) -> None:
    answer = api.login(api.credentials(**wrong))
    assert answer.status_code == 401
    assert answer.json() == UNAUTHORIZED


def test_nobody_gets_a_token_for_anothers_project(api: Api) -> None:
    body = api.credentials()
    body["auth"]["scope"]["project"]["name"] = "alt"
    assert api.login(body).status_code == 401


def test_an_unscoped_token_may_be_exchanged_but_not_used_for_resources(api: Api) -> None:
    body = api.credentials()
    body["auth"]["scope"] = "unscoped"
    answer = api.login(body)
    unscoped = answer.headers["X-Subject-Token"]
    assert "project" not in answer.json()["token"]
    assert api("GET", "/compute/v2.1/servers", headers={"X-Auth-Token": unscoped}).status_code == 403
    exchange = {
        "auth": {
            "identity": {"methods": ["token"], "token": {"id": unscoped}},
            "scope": {"project": {"id": api.project}},
        }
    }
    assert api.login(exchange).json()["token"]["project"]["id"] == api.project


def test_a_revoked_token_opens_nothing_any_more(api: Api) -> None:
    token = api.login().headers["X-Subject-Token"]
    subject = {"X-Subject-Token": token}
    assert api("GET", "/identity/v3/auth/tokens", headers=subject).json()["token"]["user"]["name"] == "demo"
    assert api("HEAD", "/identity/v3/auth/tokens", headers=subject).status_code == 200
    assert api("DELETE", "/identity/v3/auth/tokens", headers=subject).status_code == 204
    assert api("GET", "/identity/v3/auth/tokens", headers=subject).status_code == 404
    for path in (
        "/compute/v2.1/servers",
        "/networking/v2.0/networks",
        "/image/v2/images",
        "/identity/v3/auth/projects",
    ):
        answer = api("GET", path, headers={"X-Auth-Token": token})
        assert answer.status_code == 401
        assert answer.json() == UNAUTHORIZED


def test_a_token_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = Identity(Site(tmp_path, Store(tmp_path / "state.sqlite"), {}, 9, 5000, 0), tuple)
    identity.setup()
    user = identity.directory.users[id_of("user", "demo")]
    claim = {"user": {"id": user["id"], "password": user["password"]}}
    request = Request("POST", "/v3/auth/tokens", {}, {})
    request.json = lambda: {"auth": {"identity": {"methods": ["password"], "password": claim}}}  # type: ignore[method-assign]
    text = identity.authentication.login(request).headers["X-Subject-Token"]
    assert identity.find_token(text) is not None
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    assert identity.find_token(text) is None


def test_an_ordinary_user_sees_himself_and_no_lists(api: Api, alt: Api) -> None:
    assert [each["name"] for each in api.get("/identity/v3/auth/projects")["projects"]] == ["demo"]
    assert [each["id"] for each in api.get(f"/identity/v3/users/{api.user}/projects")["projects"]] == [api.project]
    assert api.get(f"/identity/v3/projects/{api.project}")["project"]["name"] == "demo"
    assert api.get(f"/identity/v3/users/{api.user}")["user"]["name"] == "demo"
    for path in ("projects", "users", f"projects/{alt.project}", f"users/{alt.user}", f"users/{alt.user}/projects"):
        answer = api("GET", f"/identity/v3/{path}")
        assert answer.status_code == 403, path
        assert answer.json()["error"]["message"].startswith("You are not authorized to perform the requested action")


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"x"', b"\xff", b'{"auth": {}}', b'{"auth": {"identity": 1}}'])
def test_a_login_that_makes_no_sense_gets_a_400_that_repeats_no_password(api: Api, body: bytes) -> None:
    answer = api("POST", "/identity/v3/auth/tokens", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["title"] == "Bad Request"
    secret = api.credentials(password=["s3cret"])
    assert "s3cret" not in api.login(secret).text


def test_the_region_and_the_domain_are_shown(api: Api) -> None:
    (region,) = api.get("/identity/v3/regions")["regions"]
    assert (region["id"], region["parent_region_id"]) == ("RegionOne", None)
    assert api.get("/identity/v3/regions/RegionOne") == {"region": region}
    assert api.get("/identity/v3/regions?parent_region_id=nope")["regions"] == []
    assert api.get("/identity/v3/domains/default")["domain"]["name"] == "Default"
    admin = Api(api.running, "embedded-admin")
    assert [each["id"] for each in admin.get("/identity/v3/domains")["domains"]] == ["default"]
    assert [each["name"] for each in admin.get("/identity/v3/projects?name=alt&enabled=1")["projects"]] == ["alt"]
    assert admin.get("/identity/v3/projects?enabled=False")["projects"] == []
    for method, path in (
        *(("GET", "domains"), ("POST", "regions"), ("PATCH", "regions/RegionOne"), ("DELETE", "domains/default")),
        *(("GET", "roles"), ("GET", "roles/x"), ("GET", "role_assignments"), ("POST", "projects")),
    ):
        assert api(method, f"/identity/v3/{path}", {}).status_code == 403, path
    assert [api("GET", f"/identity/v3/{path}").status_code for path in ("regions/nope", "x", "x/y")] == [404] * 3


def test_what_a_user_may_list_and_has_none_of_is_an_empty_list(api: Api, alt: Api) -> None:
    own, project = f"users/{api.user}", f"projects/{api.project}"
    for path, key in (
        *((each, each) for each in ("credentials", "limits", "registered_limits")),
        *((f"{own}/groups", "groups"), (f"{own}/credentials/OS-EC2", "credentials"), (f"{project}/tags", "tags")),
        *(
            (f"{own}/OS-OAUTH1/access_tokens", "access_tokens"),
            ("OS-TRUST/trusts", "trusts"),
            ("auth/system", "system"),
        ),
    ):
        assert api.get(f"/identity/v3/{path}")[key] == [], path
        if "/" in path and path not in ("OS-TRUST/trusts", "auth/system"):
            assert alt("GET", f"/identity/v3/{path}").status_code == 403
