"""Deployments for the application's tests."""

import signal
from collections.abc import Iterator

import httpx
import pytest

from faafo_lab.app import tasks
from tests.app.deployment import AUTHORIZED, Deployment


@pytest.fixture(scope="session")
def services() -> Iterator[Deployment]:
    """PostgreSQL and Valkey, with an API named "api" at port 80: for tests that break nothing."""
    deployment = Deployment()
    try:
        deployment.database()
        deployment.messaging()
        deployment.api()
        yield deployment
    finally:
        deployment.close()


@pytest.fixture
def client(services: Deployment) -> Iterator[httpx.Client]:
    """A client of the API, which has no fractals, no tasks and no workers; the test's own processes end with it."""
    with services.client() as client:
        for one in client.get("/v1/fractal?results_per_page=-1").json()["objects"]:
            client.delete(f"/v1/fractal/{one['uuid']}", headers=AUTHORIZED)
        with tasks.connection(services.queue_url()) as broker:
            for queue in tasks.QUEUES:
                queue(broker.channel()).purge()
        try:
            yield client
        finally:
            for name in set(services.processes) - {"database", "messaging", "api"}:
                services.stop(name, signal.SIGKILL)


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    """A deployment of the test's own, with PostgreSQL and Valkey: for tests that break something."""
    deployment = Deployment()
    try:
        deployment.database()
        deployment.messaging()
        yield deployment
    finally:
        deployment.close()


@pytest.fixture
def bare() -> Iterator[Deployment]:
    """A machine on which nothing runs."""
    deployment = Deployment()
    try:
        yield deployment
    finally:
        deployment.close()
