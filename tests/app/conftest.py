"""Deployments for the application's tests."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import httpx
import pytest

from faafo_lab.app import database, tasks
from faafo_lab.app.schema import metadata
from faafo_lab.app.store import Store
from tests.app.deployment import Deployment, no_fractals
from tests.app.engines import FROM_WHEELS, Pair


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Pair:
    """The engines: the wheels' PostgreSQL and Valkey, or each pair in turn in a test that is marked `every_pair`."""
    pair: Pair = getattr(request, "param", FROM_WHEELS)
    if missing := pair.missing():
        pytest.skip(missing)
    return pair


def once_a_pair(start: Callable[[Deployment], object]) -> Iterator[Callable[[Pair], Deployment]]:
    """What gives a pair's deployment, which is started when it is first asked for."""
    deployments: dict[Pair, Deployment] = {}
    with contextlib.ExitStack() as stack:

        def started(pair: Pair) -> Deployment:
            if pair not in deployments:
                deployment = stack.enter_context(contextlib.closing(Deployment(pair=pair)))
                start(deployment)
                deployments[pair] = deployment
            return deployments[pair]

        yield started


@pytest.fixture(scope="session")
def shared() -> Iterator[Callable[[Pair], Deployment]]:
    """A pair's deployment, with an API named "api" at port 80."""

    def start(deployment: Deployment) -> None:
        deployment.database()
        deployment.messaging()
        deployment.api()

    yield from once_a_pair(start)


@pytest.fixture(scope="module")
def databases() -> Iterator[Callable[[Pair], Deployment]]:
    """A pair's database, without a broker and an API."""
    yield from once_a_pair(Deployment.database)


@pytest.fixture
def database_url(databases: Callable[[Pair], Deployment], pair: Pair) -> str:
    """A database without tables, which no API keeps: for tests that do not break it."""
    url = databases(pair).database_url()
    engine = database.connect(url, 1)
    metadata.drop_all(engine)
    engine.dispose()
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store that no API keeps."""
    with contextlib.closing(Store(database_url)) as store:
        store.create_tables()
        yield store


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
