"""Application credentials through the lab, with every backend: what they open, and what is left of them."""

from pathlib import Path

import pytest
import requests

import faafo_lab
from faafo_lab import credentials
from faafo_lab.cloud import direct, sdk
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import AlreadyExists
from faafo_lab.credentials import Credential


def token(cloud: Cloud, made: Credential) -> str | None:
    """A token of the credential's; None if Keystone refuses it."""
    claim = {"id": made.id, "secret": made.secret}
    identity = {"methods": ["application_credential"], "application_credential": claim}
    answer = direct.request("POST", f"{cloud.config.auth_url}/v3/auth/tokens", json={"auth": {"identity": identity}})
    return answer.headers["X-Subject-Token"] if answer.ok else None


def status(cloud: Cloud, service: str, path: str, token: str) -> int:
    with sdk.asking(cloud, "look for a service") as connection:
        url = connection.session.get_endpoint(service_type=service)
    answer: requests.Response = direct.get(url + path, headers={"X-Auth-Token": token})
    return answer.status_code


def test_a_credential_opens_the_object_store_alone_until_it_is_revoked(backend_home: tuple[str, Path]) -> None:
    cloud = faafo_lab.connect()
    assert credentials.find(cloud, "test") is None
    made = credentials.create(cloud, "test", secret="chosen here")
    assert (made.name, made.secret, made.restricted) == ("test", "chosen here", True)
    assert "chosen here" not in repr(made)
    found = credentials.find(cloud, "test")
    assert found == Credential(made.id, "test", None, True)
    assert cloud.receipt().left["application credentials"] == ("test",)
    with pytest.raises(AlreadyExists, match="test"):
        credentials.create(cloud, "test")
    opened = token(cloud, made)
    assert opened is not None
    assert status(cloud, "object-store", "", opened) in (200, 204)
    others = {
        "compute": "/servers",
        "network": "/v2.0/networks",
        "image": "/v2/images",
        "load-balancer": "/v2.0/lbaas/loadbalancers",
    }
    assert {status(cloud, service, path, opened) for service, path in others.items()} == {401}
    another = credentials.create(cloud, "another")
    assert another.secret
    assert credentials.revoke(cloud, "test")
    assert token(cloud, made) is None
    assert status(cloud, "object-store", "", opened) == 401
    assert rules(cloud) == 6  # the other one's
    assert credentials.revoke(cloud, "another")
    assert rules(cloud) == 0
    assert not credentials.revoke(cloud, "test")
    receipt = cloud.receipt()
    assert receipt.nothing_left
    assert (receipt.created["application credentials"], receipt.deleted["application credentials"]) == (2, 2)
    assert receipt.earlier["application credentials"] == 0
    assert "chosen here" not in repr(cloud.tape(last=1000))


def rules(cloud: Cloud) -> int:
    with sdk.identity(cloud, "list access rules") as (keystone, user):
        return len(list(keystone.access_rules(user)))
