"""The administrator: what Neutron's lists have for one, and what Nova's have where they are asked for."""

from __future__ import annotations

import pytest

from faafo_lab.cloud.emulator.control import Running

from .conftest import Api

N, Q, K = "/compute/v2.1", "/networking/v2.0", "/identity/v3"


@pytest.fixture(scope="module")
def admin(running: Running) -> Api:
    """The administrator, in the project demo."""
    return Api(running, "embedded-admin")


def test_an_administrator_is_one_of_the_first_project(api: Api, admin: Api) -> None:
    token = admin.login().json()["token"]
    assert token["project"]["id"] == api.project
    assert [role["name"] for role in token["roles"]] == ["admin", "member", "reader"]
    assert admin.user != api.user
    names = {project["name"] for project in admin.get(f"{K}/projects")["projects"]}
    assert names == {"demo", "alt"}
    assert api("GET", f"{K}/projects").status_code == 403


@pytest.mark.parametrize("kind", ["networks", "subnets", "ports", "routers", "security-groups", "security-group-rules"])
def test_neutrons_lists_have_every_projects(api: Api, alt: Api, admin: Api, kind: str) -> None:
    def ids(who: Api, query: str = "") -> set[str]:
        return {row["id"] for row in next(iter(who.get(f"{Q}/{kind}{query}").values()))}

    assert ids(admin) >= ids(api) | ids(alt)
    assert ids(alt) - ids(api)
    assert ids(admin, f"?project_id={alt.project}") == ids(alt, f"?project_id={alt.project}")


def test_what_is_anothers_may_be_deleted(alt: Api, api: Api, admin: Api) -> None:
    group = alt.make(f"{Q}/security-groups", {"security_group": {"name": "theirs"}})["security_group"]["id"]
    path = f"{Q}/security-groups/{group}"
    assert api("DELETE", path).status_code == 404
    assert admin.get(path)["security_group"]["project_id"] == alt.project
    assert admin("DELETE", path).status_code == 204
    assert alt("GET", path).status_code == 404


def test_novas_list_has_every_projects_where_it_is_asked_for(alt: Api, api: Api, admin: Api) -> None:
    server = alt.boot("theirs")
    for path, operation in ((f"{N}/servers", "index"), (f"{N}/servers/detail", "detail")):
        assert server not in [row["id"] for row in admin.get(path)["servers"]]
        assert server in [row["id"] for row in admin.get(f"{path}?all_tenants=1")["servers"]]
        answer = api("GET", f"{path}?all_tenants=1")
        assert answer.status_code == 403
        assert f"os_compute_api:servers:{operation}:get_all_tenants" in answer.json()["forbidden"]["message"]
    assert api("GET", f"{N}/servers/{server}").status_code == 404
    assert admin.server(server)["tenant_id"] == alt.project
    admin.remove(server)
    assert alt.get(f"{N}/servers")["servers"] == []
