"""The tutorial's path with three more clients: libcloud's default driver, which uses Nova's old proxies, openstacksdk,
which speaks the newest microversion, and python-openstackclient, as far as snapshots and resizes go."""

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import LIMIT_SECONDS, wait_for

from .clients import OPENSTACK, environment, libcloud, sdk
from .conftest import Api
from .test_api_clients import clean, page, web

pytestmark = [  # openstacksdk warns of its own doings
    pytest.mark.filterwarnings(f"ignore::{each}") for each in ("DeprecationWarning", "PendingDeprecationWarning")
]
__all__ = ["clean"]  # a fixture for every test here


def image_is_active(api: Api, id: str) -> bool:
    return bool(api.get(f"/image/v2/images/{id}")["status"] == "active")


@pytest.fixture
def old_driver(api: Api) -> Any:
    """The driver as tutorials call it: without a version, which is the driver 1.1."""
    return libcloud(api)


def test_libclouds_default_driver_walks_the_tutorials_path(old_driver: Any, api: Api) -> None:
    driver = old_driver
    image = next(each for each in driver.list_images() if each.name == "plain-linux")
    assert driver.get_image(image.id).extra["status"] == "ACTIVE"
    size = next(each for each in driver.list_sizes() if each.ram == 512)
    assert driver.create_key_pair("demokey").private_key
    assert [each.name for each in driver.list_key_pairs()] == ["demokey"]
    group = driver.ex_create_security_group("api", "for API services only")
    rule = driver.ex_create_security_group_rule(group, "TCP", 80, 80)
    driver.ex_create_security_group_rule(group, "TCP", 1, 65535, source_security_group=group)
    listed = next(each for each in driver.ex_list_security_groups() if each.name == "api")
    assert sorted((each.from_port, each.to_port) for each in listed.rules) == [(1, 65535), (80, 80)]
    assert {each.name for each in driver.ex_list_networks()} == {"private", "public"}
    node = driver.create_node(
        name="app-api-1", image=image, size=size, ex_keyname="demokey", ex_userdata=web(), ex_security_groups=[group]
    )
    [(node, _)] = driver.wait_until_running([node], wait_period=0.1, timeout=LIMIT_SECONDS)
    [pool] = driver.ex_list_floating_ip_pools()
    floating = pool.create_floating_ip()
    assert driver.ex_attach_floating_ip_to_node(node, floating)
    node = driver.ex_get_node_details(node.id)
    assert floating.ip_address in node.public_ips
    assert driver.ex_get_floating_ip(floating.ip_address).node_id == node.id
    wait_for("the page at the floating IP", lambda: page(floating.ip_address, api) == "app-api-1")
    assert [each.name for each in driver.ex_get_node_security_groups(node)] == ["api"]
    snapshot = driver.create_image(node, "snapx")
    wait_for("the snapshot", lambda: image_is_active(api, snapshot.id))
    assert driver.get_image(snapshot.id).extra["metadata"]["image_type"] == "snapshot"
    api.until(node.id, "ACTIVE")
    assert driver.ex_resize(node, next(each for each in driver.list_sizes() if each.ram == 1024))
    api.until(node.id, "VERIFY_RESIZE")
    assert driver.ex_confirm_resize(node)
    for stop, go, status in (
        (driver.ex_pause_node, driver.ex_unpause_node, "PAUSED"),
        (driver.ex_suspend_node, driver.ex_resume_node, "SUSPENDED"),
    ):
        assert stop(node)
        api.until(node.id, status)
        assert go(node)
        api.until(node.id, "ACTIVE")
    assert driver.ex_detach_floating_ip_from_node(node, floating)
    assert driver.ex_delete_floating_ip(floating)
    assert driver.ex_list_floating_ips() == []
    assert driver.destroy_node(node)
    wait_for("the node to go", lambda: not driver.list_nodes())
    assert driver.delete_image(snapshot)
    driver.ex_delete_security_group_rule(rule)  # Nova answers 202, which this driver takes for a failure
    assert driver.ex_delete_security_group(group)
    assert driver.delete_key_pair(driver.get_key_pair("demokey"))


def test_openstacksdk_walks_the_tutorials_path_with_the_newest_microversion(api: Api) -> None:
    cloud = sdk(api, compute_default_microversion="2.93")
    cloud.compute.create_keypair(name="sdk", public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==")
    assert cloud.compute.get_keypair("sdk").type == "ssh"
    group = cloud.network.create_security_group(name="web")
    rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
    cloud.network.create_security_group_rule(security_group_id=group.id, **rule)
    together = cloud.compute.create_server_group(name="together", policy="soft-affinity")
    server = cloud.compute.create_server(
        name="sdk-1",
        description="one of the newest",
        image_id=cloud.image.find_image("plain-linux").id,
        flavor_id="1",
        key_name="sdk",
        networks="auto",
        security_groups=[{"name": "web"}],
        user_data=base64.b64encode(web().encode()).decode(),
        tags=["app"],
        hostname="sdk-host",
        scheduler_hints={"group": together.id},
    )
    server = cloud.compute.wait_for_server(server, interval=0.1, wait=LIMIT_SECONDS)
    assert (server.description, server.tags, server.is_locked) == ("one of the newest", ["app"], False)
    assert server.hostname == "sdk-host"
    assert server.flavor.extra_specs["quota:cpu_quota"] == "25000"
    assert cloud.compute.get_server_group(together.id).member_ids == [server.id]
    assert [each.id for each in cloud.compute.servers(tags="app")] == [server.id]
    assert list(cloud.compute.servers(tags="other")) == []
    public = cloud.network.find_network("public")
    port = next(iter(cloud.network.ports(device_id=server.id)))
    floating = cloud.network.create_ip(floating_network_id=public.id, port_id=port.id)
    wait_for("the page", lambda: page(floating.floating_ip_address, api) == "sdk-host")
    image = cloud.compute.create_server_image(server, "sdk-snapshot", wait=True, timeout=LIMIT_SECONDS)
    assert cloud.image.get_image(image.id).status == "active"
    api.until(server.id, "ACTIVE")
    cloud.compute.lock_server(server, locked_reason="in use")
    locked = cloud.compute.get_server(server.id)
    assert (locked.is_locked, locked.locked_reason) == (True, "in use")
    cloud.compute.unlock_server(server)
    cloud.compute.add_tag_to_server(server, "more")
    assert cloud.compute.get_server(server.id).tags == ["app", "more"]
    assert [each.action for each in cloud.compute.server_actions(server)][-1] == "create"
    compute, ways = cloud.compute, {"interval": 0.1, "wait": LIMIT_SECONDS}
    for change, status in (
        *((compute.shelve_server, "SHELVED_OFFLOADED"), (compute.unshelve_server, "ACTIVE")),
        *((compute.rescue_server, "RESCUE"), (compute.unrescue_server, "ACTIVE")),
    ):
        change(server)
        server = compute.wait_for_server(server, status=status, failures=["ERROR"], **ways)
    compute.backup_server(server, "sdk-backup", "daily", 1)
    api.until(server.id, "ACTIVE")
    backup = cloud.image.find_image("sdk-backup", ignore_missing=False)
    assert compute.get_usage(cloud.current_project_id).server_usages[-1].instance_id == server.id
    volume = cloud.block_storage.create_volume(size=1)
    volume = cloud.block_storage.wait_for_status(volume, status="available", **ways)
    attachment = compute.create_volume_attachment(server, volume, delete_on_termination=False, tag="data")
    assert (attachment.tag, attachment.delete_on_termination) == ("data", False)
    compute.update_volume_attachment(server, volume, delete_on_termination=True)
    [attachment] = compute.volume_attachments(server)
    assert (attachment.delete_on_termination, attachment.bdm_id is None) == (True, False)
    cloud.network.delete_ip(floating)
    cloud.image.delete_image(backup)
    cloud.compute.delete_server(server)
    cloud.compute.wait_for_delete(server, interval=0.1, wait=LIMIT_SECONDS)
    cloud.compute.delete_server_group(together)
    cloud.compute.delete_keypair("sdk")
    cloud.image.delete_image(image)
    cloud.close()


CREATE = """\
keypair create --private-key {folder}/key osc
security group create web
security group rule create --proto tcp --dst-port 80 web
server create --image plain-linux --flavor m1.tiny --key-name osc --security-group web --network private \
--user-data {folder}/web s1
floating ip create --floating-ip-address {address} public -f value -c status
"""
SNAPSHOT = """\
server add floating ip s1 {address}
server image create --name osc-snapshot s1
"""
CHANGES = """\
server resize confirm s1
server lock s1
server unlock s1
server pause s1
server event list s1 -f value -c Action
server group create --policy affinity together
server group delete together
server remove floating ip s1 {address}
floating ip delete {address}
server delete s1
keypair delete osc
image delete osc-snapshot
"""


def test_openstackclient_changes_a_server_and_takes_its_snapshot(running: Running, api: Api, tmp_path: Path) -> None:
    (tmp_path / "web").write_text(web())
    address = api.get("/networking/v2.0/subnets")["subnets"][0]["cidr"].replace(".1.0/24", ".2.98")
    client = subprocess.Popen(
        [OPENSTACK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(running),
    )

    def tell(script: str) -> None:
        assert client.stdin is not None
        client.stdin.write(script.format(folder=tmp_path, address=address))
        client.stdin.flush()

    def images() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get("/image/v2/images?name=osc-snapshot")["images"]
        return found

    with client:
        try:
            tell(CREATE)
            wait_for("the floating IP", lambda: api.get("/networking/v2.0/floatingips")["floatingips"])
            [server] = [each["id"] for each in api.get("/compute/v2.1/servers")["servers"]]
            api.until(server, "ACTIVE")
            tell(SNAPSHOT)
            wait_for("the page", lambda: page(address, api) == "s1")
            wait_for("the snapshot", lambda: [each["status"] for each in images()] == ["active"])
            api.until(server, "ACTIVE")
            tell("server resize --flavor m1.small s1\n")
            api.until(server, "VERIFY_RESIZE")
            tell(CHANGES)
            said, complaints = client.communicate(timeout=LIMIT_SECONDS)
        finally:
            client.kill()
    assert complaints.strip() == ""
    for action in ("create", "createImage", "resize", "confirmResize", "lock", "unlock", "pause"):
        assert f"{action}\n" in said, said
    wait_for("the server to go", lambda: api("GET", f"/compute/v2.1/servers/{server}").status_code == 404)
    assert images() == []
