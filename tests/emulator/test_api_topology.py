"""Neutron's auto-allocated topology: a network with a way out for the asking, and `networks: auto` of Nova's."""

from collections.abc import Callable

from faafo_lab.cloud.emulator.control import Running

from .conftest import Api

PATH = "/networking/v2.0/auto-allocated-topology"


def test_a_topology_is_made_once_and_deleted_whole(api: Api, alt: Api) -> None:
    path = f"{PATH}/{api.project}"
    dry = api.get(f"{path}?fields=dry-run")["auto_allocated_topology"]
    assert dry == {"id": "dry-run=pass", "tenant_id": api.project}
    before = {each["id"] for each in api.get("/networking/v2.0/networks")["networks"]}
    made = api.get(path)["auto_allocated_topology"]
    assert api.get(path)["auto_allocated_topology"] == api.get(f"{PATH}/None")["auto_allocated_topology"] == made
    assert made["id"] not in before
    network = api.get(f"/networking/v2.0/networks/{made['id']}")["network"]
    assert (network["name"], network["project_id"]) == ("auto_allocated_network", api.project)
    subnet = api.get(f"/networking/v2.0/subnets/{network['subnets'][0]}")["subnet"]
    assert subnet["cidr"].startswith("127.")
    [router] = api.get("/networking/v2.0/routers?name=auto_allocated_router")["routers"]
    assert router["external_gateway_info"]["network_id"] == api.network("public")["id"]
    server = api.boot("auto", networks=[{"uuid": made["id"]}])
    assert api("DELETE", path).status_code == 409
    assert api.get(path)["auto_allocated_topology"] == made
    api.remove(server)
    assert alt("GET", path).status_code == alt("DELETE", path).status_code == 403
    assert api("GET", f"{path}?fields=nonsense").status_code == 400
    assert api("DELETE", path).status_code == api("DELETE", path).status_code == 204
    assert api("GET", f"/networking/v2.0/networks/{made['id']}").status_code == 404
    assert api.get("/networking/v2.0/routers?name=auto_allocated_router")["routers"] == []


def test_a_server_on_any_network_gets_one_where_there_is_none(start: Callable[..., Running]) -> None:
    api = Api(start())
    headers = {"OpenStack-API-Version": "compute 2.37"}
    wanted = {"name": "auto", "imageRef": api.image(), "flavorRef": "1", "networks": "auto"}

    def boot() -> list[str]:
        """The names of the networks that a server has when it says `auto`."""
        answer = api("POST", "/compute/v2.1/servers", {"server": wanted}, headers=headers)
        assert answer.status_code == 202, answer.text
        id = answer.json()["server"]["id"]
        names = list(api.until(id, "ACTIVE")["addresses"])
        api.remove(id)
        return names

    assert boot() == ["private"]
    network = api.network()["id"]
    [router] = api.get("/networking/v2.0/routers")["routers"]
    interface = {"subnet_id": api.get(f"/networking/v2.0/networks/{network}")["network"]["subnets"][0]}
    path = f"/networking/v2.0/routers/{router['id']}"
    assert api("PUT", f"{path}/remove_router_interface", interface).status_code == 200
    assert api("DELETE", f"/networking/v2.0/networks/{network}").status_code == 204
    assert boot() == ["auto_allocated_network"]
    assert boot() == ["auto_allocated_network"]
