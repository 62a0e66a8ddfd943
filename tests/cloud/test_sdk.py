"""openstacksdk's own connection, beside whatever backend the cloud is used through."""

from pathlib import Path

import pytest

import faafo_lab
from faafo_lab.cloud import sdk
from faafo_lab.cloud.errors import NotFound


def test_it_has_the_clouds_own_login_and_its_calls_are_on_the_tape_once(backend_home: tuple[str, Path]) -> None:
    cloud = faafo_lab.connect()
    servers = cloud.servers()
    with sdk.asking(cloud, "list load balancers") as connection:
        assert connection is sdk.connection(cloud)
        assert list(connection.load_balancer.load_balancers()) == []
        assert [server.id for server in connection.compute.servers()] == [server.id for server in servers]
    calls = cloud.tape(last=1000).calls
    assert [call.method for call in calls if call.url.endswith("/auth/tokens")] == ["POST"]
    assert len([call for call in calls if call.url.endswith("/lbaas/loadbalancers")]) == 1
    with pytest.raises(NotFound, match="nowhere"), sdk.asking(cloud, "look for one") as connection:
        connection.load_balancer.get_load_balancer("nowhere")
