"""Deployments for the application's tests."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import httpx
import pytest

from faafo_lab.app import tasks
from tests.app.deployment import Deployment, no_fractals
from tests.app.engines import FROM_WHEELS, Pair


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Pair:
    """The engines: the wheels' PostgreSQL and Valkey, or each pair in turn in a test that is marked `every_pair`."""
    pair: Pair = getattr(request, "param", FROM_WHEELS)
    if missing := pair.missing():
        pytest.skip(missing)
    return pair


@pytest.fixture(scope="session")
def shared() -> Iterator[Callable[[Pair], Deployment]]:
    """A pair's deployment, started when it is first asked for, with an API named "api" at port 80."""
    deployments: dict[Pair, Deployment] = {}
    with contextlib.ExitStack() as stack:

        def started(pair: Pair) -> Deployment:
            if pair not in deployments:
                deployment = Deployment(pair=pair)
                stack.callback(deployment.close)
                deployment.database()
                deployment.messaging()
                deployment.api()
                deployments[pair] = deployment
            return deployments[pair]

        yield started


@pytest.fixture
def services(shared: Callable[[Pair], Deployment], pair: Pair) -> Deployment:
    """Database and broker, with an API named "api" at port 80: for tests that break nothing."""
    return shared(pair)


@pytest.fixture
def client(services: Deployment) -> Iterator[httpx.Client]:
    """A client of the API, which has no fractals, no tasks and no workers; the test's own processes end with it."""
    with services.client() as client:
        no_fractals(client)
        with tasks.connection(services.queue_url()) as broker:
            for queue in (*tasks.QUEUES, tasks.DEAD):
                queue(broker.channel()).purge()
        try:
            yield client
        finally:
            for name in set(services.processes) - {"database", "messaging", "epmd", "api"}:
                services.stop(name, signal.SIGKILL)


@pytest.fixture
def deployment(pair: Pair) -> Iterator[Deployment]:
    """A deployment of the test's own, with a database and a broker: for tests that break something."""
    deployment = Deployment(pair=pair)
    try:
        deployment.database()
        deployment.messaging()
        yield deployment
    finally:
        deployment.close()


@pytest.fixture
def bare(pair: Pair) -> Iterator[Deployment]:
    """A machine on which nothing runs."""
    deployment = Deployment(pair=pair)
    try:
        yield deployment
    finally:
        deployment.close()
