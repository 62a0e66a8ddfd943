"""What a cloud may lack: load balancers, the right to have any, and access rules. The lab says so, and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from faafo_lab import balancer, credentials
from faafo_lab.balancer import NoBalancer
from faafo_lab.cloud import connect, direct
from faafo_lab.cloud.base import Cloud
from faafo_lab.topology import Topology

from .relays import Request, relay

Lacking = Callable[..., Cloud]


@pytest.fixture
def lacking(embedded: Path, clouds_yaml: Path) -> Lacking:
    """Another cloud than the embedded one, which has this entry."""

    def made(**more: Any) -> Cloud:
        own = yaml.safe_load((embedded / "clouds.yaml").read_text())["clouds"]["embedded"]
        clouds_yaml.write_text(yaml.safe_dump({"clouds": {"lacking": own | more}}))
        return connect("lacking", "openstacksdk")

    return made


def has_no_balancer(cloud: Cloud, words: str) -> None:
    """What wants one is told so before anything is built, and all else works."""
    assert not balancer.available(cloud)
    for call in (balancer.find, balancer.create):
        with pytest.raises(NoBalancer, match=words):
            call(cloud)
    app = Topology(cloud, say=lambda line: None)
    with pytest.raises(NoBalancer, match=words):
        app.deploy(api=1, worker=1, balancer=True)
    assert app.refresh().balancer is None
    assert cloud.servers() == []
    assert cloud.receipt().nothing_left


def test_a_cloud_without_load_balancers_is_named(lacking: Lacking) -> None:
    own = connect("embedded", "openstacksdk")
    own.servers()  # it logs in
    others = {name.replace("-", "_"): url for name, url in own.services.items() if name != "load-balancer"}
    # A region of which the catalog has nothing.
    cloud = lacking(region_name="elsewhere", **{f"{name}_endpoint_override": url for name, url in others.items()})
    has_no_balancer(
        cloud, r"'lacking' has no load balancers \(Octavia\): let clients take turns among the APIs instead"
    )


def test_a_user_who_may_have_no_load_balancer_is_told_which_role_is_missing(lacking: Lacking) -> None:
    """As Octavia refuses who has none of its roles."""
    words = "Policy does not allow this request to be performed."
    with relay("", refuses=lambda request, body: (403, words)) as port:
        cloud = lacking(load_balancer_endpoint_override=f"http://127.0.0.1:{port}/load-balancer")
        has_no_balancer(cloud, f"the role load-balancer_member, or let clients take turns .* {words}")


@pytest.fixture
def old(embedded: Path) -> Iterator[Callable[[str, Any], str]]:
    """Puts a relay in front of what is at an address; returns the address to ask instead."""
    with ExitStack() as relays:

        def made(url: str, refuses: Any) -> str:
            parts = urlsplit(url)
            port = relays.enter_context(relay(f"{parts.scheme}://{parts.netloc}", refuses=refuses))
            return parts._replace(netloc=f"127.0.0.1:{port}").geturl()

        yield made


def test_where_keystone_knows_no_access_rules_a_credential_has_none(
    lacking: Lacking, old: Callable[[str, Any], str]
) -> None:
    def refuses(request: Request, body: bytes) -> tuple[int, str] | None:
        """As Keystone did before the release Train."""
        if not request.path.endswith("/application_credentials") or request.command != "POST":
            return None
        unknown = json.loads(body)["application_credential"].keys() - {"name", "description", "secret", "roles"}
        return (400, f"Additional properties are not allowed ({unknown} were unexpected)") if unknown else None

    own = connect("embedded", "openstacksdk")
    cloud = lacking(identity_endpoint_override=f"{old(str(own.config.auth_url), refuses)}/v3")
    made = credentials.create(cloud, "old", secret="chosen here")
    try:
        assert (made.name, made.secret, made.restricted) == ("old", "chosen here", False)
        assert credentials.find(own, "old") == credentials.Credential(made.id, "old", None, False)
    finally:
        assert credentials.revoke(own, "old")


def test_where_a_service_does_not_honour_access_rules_a_credential_has_none(
    lacking: Lacking, old: Callable[[str, Any], str]
) -> None:
    own = connect("embedded", "openstacksdk")
    own.servers()  # it logs in
    tokens = f"{own.config.auth_url}/v3/auth/tokens"

    def refuses(request: Request, body: bytes) -> tuple[int, str] | None:
        """As a service that does not tell Keystone that it knows access rules: Keystone confirms no such token."""
        token = request.headers["X-Auth-Token"]
        known = direct.get(tokens, headers={"X-Auth-Token": token, "X-Subject-Token": token}, timeout=30).ok
        return None if known else (401, "The request you have made requires authentication.")

    cloud = lacking(object_store_endpoint_override=old(own.services["object-store"], refuses))
    made = credentials.create(cloud, "unheard", ["object-store"])
    try:
        assert made.restricted is False
        assert credentials.find(own, "unheard") == credentials.Credential(made.id, "unheard", None, False)
    finally:
        assert credentials.revoke(own, "unheard")
        assert own.receipt().nothing_left
