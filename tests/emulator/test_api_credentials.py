"""Keystone's application credentials: what they open, for how long, and for whom."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from faafo_lab.cloud.emulator.common.names import id_of
from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from .clients import openstack as openstackclient
from .clients import sdk
from .conftest import Api

NETWORKS = "/networking/v2.0/networks"
SERVERS = {"service": "compute", "method": "GET", "path": "/v2.1/servers"}


@pytest.fixture
def path(api: Api) -> Iterator[str]:
    path = f"/identity/v3/users/{api.user}/application_credentials"
    yield path
    for each in api.get(path)["application_credentials"]:
        assert api("DELETE", f"{path}/{each['id']}").status_code == 204
    for each in api.get(rules_path(api))["access_rules"]:
        assert api("DELETE", f"{rules_path(api)}/{each['id']}").status_code == 204


def rules_path(api: Api) -> str:
    return f"/identity/v3/users/{api.user}/access_rules"


def create(api: Api, path: str, **more: Any) -> Any:
    answer = api("POST", path, {"application_credential": {"name": "ci", **more}})
    assert answer.status_code == 201, answer.text
    return answer.json()["application_credential"]


def login(api: Api, scope: Any = None, **claim: Any) -> httpx.Response:
    identity = {"methods": ["application_credential"], "application_credential": claim}
    return api.login({"auth": {"identity": identity, **({"scope": scope} if scope else {})}})


def token(api: Api, made: Any) -> dict[str, str]:
    answer = login(api, id=made["id"], secret=made["secret"])
    assert answer.status_code == 201, answer.text
    return {"X-Auth-Token": answer.headers["X-Subject-Token"]}


def test_a_credential_opens_its_project_by_id_or_by_name(api: Api, path: str) -> None:
    made = create(api, path, description="for tests")
    assert (made["project_id"], made["unrestricted"], made["expires_at"]) == (api.project, False, None)
    by_id = login(api, id=made["id"], secret=made["secret"]).json()["token"]
    assert (by_id["project"]["id"], by_id["methods"]) == (api.project, ["application_credential"])
    assert by_id["application_credential"] == {"id": made["id"], "name": "ci", "restricted": True}
    user = {"name": "demo", "domain": {"id": "default"}}
    assert login(api, name="ci", user=user, secret=made["secret"]).status_code == 201
    assert login(api, name="ci", user={"id": api.user}, secret=made["secret"]).status_code == 201
    assert api("GET", NETWORKS, headers=token(api, made)).status_code == 200
    [shown] = api.get(f"{path}?name=ci")["application_credentials"]
    assert shown == api.get(f"{path}/{made['id']}")["application_credential"]
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert api.get(f"{path}?name=other")["application_credentials"] == []


def test_openstacksdk_logs_in_with_one(api: Api, path: str) -> None:
    made = create(api, path)
    auth = {
        "auth_url": api.auth["auth_url"],
        "application_credential_id": made["id"],
        "application_credential_secret": made["secret"],
    }
    with sdk(api, auth_type="v3applicationcredential", auth=auth) as cloud:
        assert cloud.current_project_id == api.project
        assert "private" in [each.name for each in cloud.network.networks()]


def test_a_wrong_secret_a_wrong_name_and_a_scope_get_a_401(api: Api, path: str) -> None:
    made = create(api, path, secret="open sesame")
    assert made["secret"] == "open sesame"
    for claim in (
        {"id": made["id"], "secret": "wrong"},
        {"id": "nope", "secret": "open sesame"},
        {"name": "ci", "secret": "open sesame"},
        {"name": "nope", "user": {"id": api.user}, "secret": "open sesame"},
    ):
        assert login(api, **claim).status_code == 401, claim
    scope = {"project": {"id": api.project}}
    assert login(api, scope, id=made["id"], secret="open sesame").status_code == 401


def test_the_secret_is_kept_nowhere(api: Api, path: str) -> None:
    secret = create(api, path)["secret"].encode()
    files = [each for each in api.running.state_dir.iterdir() if each.is_file()]
    assert files
    assert not [each.name for each in files if secret in each.read_bytes()]


def test_openstackclient_makes_one_with_all_roles(running: Running, api: Api, path: str) -> None:
    client = openstackclient(running, "application credential create all\n")
    assert "member, reader" in client.stdout, client.stdout + client.stderr
    (made,) = api.get(path)["application_credentials"]
    assert {each["name"] for each in made["roles"]} == {"member", "reader"}


def test_a_readers_credential_changes_nothing(api: Api, path: str) -> None:
    headers = token(api, create(api, path, roles=[{"name": "reader"}]))
    assert api("GET", NETWORKS, headers=headers).status_code == 200
    for method, place in (("POST", NETWORKS), ("DELETE", "/compute/v2.1/servers/x"), ("PATCH", "/image/v2/images/x")):
        assert api(method, place, {}, headers=headers).status_code == 403, place


def test_only_an_unrestricted_credential_manages_others(api: Api, path: str) -> None:
    restricted = token(api, create(api, path))
    body = {"application_credential": {"name": "another"}}
    assert api("POST", path, body, headers=restricted).status_code == 403
    unrestricted = token(api, create(api, path, name="admin", unrestricted=True))
    made = api("POST", path, body, headers=unrestricted)
    assert made.status_code == 201
    place = f"{path}/{made.json()['application_credential']['id']}"
    assert api("DELETE", place, headers=restricted).status_code == 403
    assert api("DELETE", place, headers=unrestricted).status_code == 204


def test_a_deleted_credentials_tokens_open_nothing(api: Api, path: str) -> None:
    made = create(api, path)
    headers = token(api, made)
    identity = {"methods": ["token"], "token": {"id": headers["X-Auth-Token"]}}
    exchanged = api.login({"auth": {"identity": identity}}).headers["X-Subject-Token"]
    assert api("DELETE", f"{path}/{made['id']}").status_code == 204
    assert login(api, id=made["id"], secret=made["secret"]).status_code == 401
    for text in (headers["X-Auth-Token"], exchanged):
        assert api("GET", NETWORKS, headers={"X-Auth-Token": text}).status_code == 401


def test_a_credential_and_its_tokens_expire_together(api: Api, path: str) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=3)
    made = create(api, path, expires_at=soon.isoformat())
    headers = token(api, made)
    assert api("GET", NETWORKS, headers=headers).status_code == 200
    wait_for("the token's end", lambda: api("GET", NETWORKS, headers=headers).status_code == 401)
    assert login(api, id=made["id"], secret=made["secret"]).status_code == 401
    assert datetime.now(UTC) >= soon


def test_an_expiry_stays_as_it_was_sent(api: Api, path: str) -> None:
    sent = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None, microsecond=123456).isoformat()
    made = create(api, path, expires_at=sent)
    assert made["expires_at"] == sent
    assert api.get(f"{path}/{made['id']}")["application_credential"]["expires_at"] == sent


def test_access_rules_are_all_that_a_credential_may_do_in_every_service(api: Api, path: str) -> None:
    """As in keystonemiddleware, which answers as if the token were invalid."""
    store = f"/v1/AUTH_{api.project}"
    wanted = [
        SERVERS,
        {"service": "network", "method": "GET", "path": "/networking/v2.0/networks"},
        {"service": "image", "method": "GET", "path": "/v2/images/*"},
        {"service": "object-store", "method": "PUT", "path": "/v1/{account}/pictures/**"},
        {"service": "object-store", "method": "GET", "path": "/v1/AUTH_*/pictures"},
        {"service": "block-storage", "method": "GET", "path": "/v3/*/volumes"},
        {"service": "identity", "method": "GET", "path": "/v3/projects/**"},
    ]
    image = api.image()
    assert api("PUT", f"{store}/pictures").status_code == 201
    made = create(api, path, access_rules=wanted)
    headers = token(api, made)
    balancers = "/load-balancer/v2.0/lbaas/loadbalancers"
    for method, place, opens in (
        ("GET", "/compute/v2.1/servers", True),
        ("GET", "/compute/v2.1/servers/detail", False),
        ("POST", "/compute/v2.1/servers", False),
        ("GET", NETWORKS, True),
        ("GET", f"{NETWORKS}/x", False),
        ("GET", f"/image/v2/images/{image}", True),
        ("GET", f"/image/v2/images/{image}/members", False),  # * is one segment of the path
        ("PUT", f"{store}/pictures/a/b.png", True),  # ** is many
        ("PUT", f"{store}/pictures", False),
        ("GET", f"{store}/pictures", True),
        ("HEAD", f"{store}/pictures", False),
        ("GET", f"{store}/pictures/a/b.png", False),
        ("GET", store, False),
        ("GET", f"/volume/v3/{api.project}/volumes", True),
        ("GET", f"/volume/v3/{api.project}/volumes/detail", False),
        ("GET", f"/identity/v3/projects/{api.project}", True),
        ("GET", path, False),
        ("GET", balancers, False),
    ):
        status = api(method, place, headers=headers).status_code
        assert (status < 300) if opens else (status == 401), (method, place, status)
    assert api("GET", balancers).status_code == 200
    for place in ("pictures/a/b.png", "pictures"):
        assert api("DELETE", f"{store}/{place}").status_code == 204


def test_a_token_says_which_requests_it_opens_and_shows_itself(api: Api, path: str) -> None:
    made = create(api, path, access_rules=[SERVERS])
    [rule] = made["access_rules"]
    assert rule == {**SERVERS, "id": rule["id"]}
    assert {name: rule[name] for name in SERVERS} == SERVERS
    answer = login(api, id=made["id"], secret=made["secret"])
    assert answer.json()["token"]["application_credential"]["access_rules"] == [rule]
    text = answer.headers["X-Subject-Token"]
    asks = {"X-Auth-Token": text, "X-Subject-Token": text}
    assert api("GET", "/identity/v3/auth/tokens", headers=asks).status_code == 404, "who asks knows no access rules"
    asks["OpenStack-Identity-Access-Rules"] = "1.0"
    shown = api("GET", "/identity/v3/auth/tokens", headers=asks)
    assert shown.json()["token"]["application_credential"]["access_rules"] == [rule]
    exchanged = api.login({"auth": {"identity": {"methods": ["token"], "token": {"id": text}}}})
    headers = {"X-Auth-Token": exchanged.headers["X-Subject-Token"]}
    assert api("GET", "/compute/v2.1/servers", headers=headers).status_code == 200
    assert api("GET", NETWORKS, headers=headers).status_code == 401
    assert "access_rules" not in create(api, path, name="free", access_rules=[])


def test_credentials_share_access_rules_which_outlive_them(api: Api, alt: Api, path: str) -> None:
    networks = {"service": "network", "method": "GET", "path": "/v2.0/networks"}
    made = create(api, path, access_rules=[SERVERS, SERVERS, networks])
    links = f"{api.root}{rules_path(api)}"
    first, second = ({**each, "links": {"self": f"{links}/{each['id']}"}} for each in made["access_rules"])
    another = create(api, path, name="another", access_rules=[SERVERS, {"id": second["id"]}])
    assert another["access_rules"] == made["access_rules"]
    rules = rules_path(api)
    assert api.get(rules)["access_rules"] == [first, second]
    assert api.get(f"{rules}?service=network")["access_rules"] == [second]
    assert api.get(f"{rules}/{first['id']}") == {"access_rule": first}
    assert api("DELETE", f"{path}/{made['id']}").status_code == 204
    assert api("DELETE", f"{rules}/{first['id']}").status_code == 403  # the other one has it
    assert alt("GET", rules).status_code == 403
    assert alt("DELETE", f"{rules_path(alt)}/{first['id']}").status_code == 404
    assert api("DELETE", f"{path}/{another['id']}").status_code == 204
    assert api("DELETE", f"{rules}/{first['id']}").status_code == 204
    assert api("GET", f"{rules}/{first['id']}").status_code == 404
    assert api.get(rules)["access_rules"] == [second]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"name": ""}, 400),
        ({"name": 7}, 400),
        ({"roles": [{"name": "admin"}]}, 400),
        ({"roles": [{"id": id_of("role", "admin")}]}, 400),
        ({"expires_at": "2001-01-01T00:00:00"}, 400),
        ({"expires_at": "tomorrow"}, 400),
        ({"access_rules": [{**SERVERS, "path": "v2.1/servers"}]}, 400),
        ({"access_rules": [{**SERVERS, "method": "TRACE"}]}, 400),
        ({"access_rules": [{**SERVERS, "service": ""}]}, 400),
        ({"access_rules": [{**SERVERS, "who": "me"}]}, 400),
        ({"access_rules": [SERVERS, {"path": "/v2.1/servers", "method": "GET"}]}, 400),
        ({"access_rules": SERVERS}, 400),
        ({"access_rules": [{"id": "0"}]}, 404),
        ({"name": "ci"}, 409),
    ],
)
def test_a_credential_that_makes_no_sense_is_refused(api: Api, path: str, wrong: dict[str, Any], status: int) -> None:
    create(api, path)
    answer = api("POST", path, {"application_credential": {"name": "other", **wrong}})
    assert answer.status_code == status, answer.text
    assert len(api.get(path)["application_credentials"]) == 1
    assert api.get(rules_path(api))["access_rules"] == []  # of one that was refused nothing stays


def test_nobody_sees_anothers_credentials(api: Api, alt: Api, path: str) -> None:
    made = create(api, path)
    for method, place in (("GET", path), ("POST", path), ("GET", f"{path}/{made['id']}")):
        assert alt(method, place, {"application_credential": {"name": "x"}}).status_code == 403
    theirs = f"/identity/v3/users/{alt.user}/application_credentials/{made['id']}"
    assert alt("DELETE", theirs).status_code == 404
