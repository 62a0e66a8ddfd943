"""What `int` takes for a number, and a service does not: other scripts' digits, 1_0, +1, and blanks around it."""

import argparse
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.machinery.guest.units import UnitError, read_unit
from faafo_lab.cloud.tape import VARYING, VERSION
from faafo_lab.topology.plan import numbered
from tests.waiting import LIMIT_SECONDS

from .conftest import Api
from .swift import Container

NO_NUMBERS = ["\u0661", "1_0", "+1", " 1", "1 ", "\uff11", "\u00b2", "1\n"]
odd = pytest.mark.parametrize("text", NO_NUMBERS, ids=ascii)


@odd
@pytest.mark.parametrize(
    "path",
    [
        *("/compute/v2.1/servers?limit=", "/compute/v2.1/flavors?minRam=", "/compute/v2.1/os-server-groups?offset="),
        *("/networking/v2.0/networks?limit=", "/image/v2/images?limit=", "/image/v2/images?size_min="),
        *("/volume/v3/{project}/volumes?limit=", "/volume/v3/{project}/volumes?offset="),
        "/load-balancer/v2/lbaas/loadbalancers?limit=",
    ],
)
def test_a_query_is_refused(api: Api, path: str, text: str) -> None:
    path = path.format(project=api.project)
    assert api("GET", path + "1").status_code in (200, 203)
    answer = api("GET", path + quote(text))
    assert answer.status_code == 400, answer.text


@pytest.fixture(scope="module")
def ids(api: Api) -> Iterator[dict[str, str]]:
    """A server, a volume and a security group."""
    server = api.boot("numbers")
    volume = api.make(f"/volume/v3/{api.project}/volumes", {"volume": {"size": 1}})["volume"]["id"]
    group = api.get("/networking/v2.0/security-groups?name=default")["security_groups"][0]["id"]
    yield {"project": api.project, "server": server, "volume": volume, "group": group}
    api.remove(server)


@odd
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/compute/v2.1/servers", {"server": {"name": "x", "flavorRef": "1", "imageRef": "x", "min_count": None}}),
        ("/compute/v2.1/servers/{server}/action", {"os-getConsoleOutput": {"length": None}}),
        (
            "/compute/v2.1/os-security-group-rules",
            {
                "security_group_rule": {
                    "parent_group_id": "group",
                    "ip_protocol": "tcp",
                    "from_port": None,
                    "to_port": 9,
                }
            },
        ),
        (
            "/networking/v2.0/security-group-rules",
            {"security_group_rule": {"security_group_id": "group", "direction": "ingress", "protocol": None}},
        ),
        (
            "/networking/v2.0/security-group-rules",
            {
                "security_group_rule": {
                    "security_group_id": "group",
                    "direction": "ingress",
                    "protocol": "tcp",
                    "port_range_min": None,
                    "port_range_max": 9,
                }
            },
        ),
        ("/volume/v3/{project}/volumes", {"volume": {"size": None}}),
        ("/volume/v3/{project}/volumes/{volume}/action", {"os-extend": {"new_size": None}}),
    ],
    ids=["min_count", "length", "from_port", "protocol", "port_range_min", "size", "new_size"],
)
def test_a_body_is_refused(api: Api, ids: dict[str, str], path: str, body: Any, text: str) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(item) for name, item in value.items()}
        return text if value is None else ids["group"] if value == "group" else value

    answer = api("POST", path.format(**ids), filled(body))
    assert answer.status_code == 400, answer.text


@odd
def test_a_microversion_is_refused(api: Api, text: str) -> None:
    for path, service in (("/compute/v2.1/servers", "compute 2."), (f"/volume/v3/{api.project}/volumes", "volume 3.")):
        headers = [("OpenStack-API-Version", (service + text.strip("\n") + "x" * text.endswith((" ", "\n"))).encode())]
        assert api("GET", path, headers=headers).status_code == 400


@odd
def test_the_object_store_refuses_it_or_takes_its_default(api: Api, text: str) -> None:
    box = Container(api)
    try:
        for name in "ab":
            box.put(name)
        assert box.names(f"limit={quote(text)}") == ["a", "b"]  # Swift does not mind what is no number
        if text == text.strip():  # blanks around a header's value are none of it
            for header in ("X-Container-Meta-Quota-Bytes", "X-Container-Meta-Quota-Count"):
                assert box("POST", headers=[(header, text.encode())]).status_code == 400
            for header in ("X-Delete-At", "X-Delete-After"):
                assert box("PUT", "c", content=b"", headers=[(header, text.encode())]).status_code == 400
    finally:
        box.clear()


@odd
def test_a_length_is_refused(api: Api, text: str) -> None:
    if text != text.strip():
        pytest.skip("blanks around a header's value are none of it")
    with socket.create_connection((api.http.base_url.host, api.http.base_url.port), LIMIT_SECONDS) as connection:
        head = f"PUT /v1/AUTH_{api.project}/box/it HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {api.token}\r\n"
        connection.sendall(f"{head}Content-Length: {text}\r\n\r\n".encode() + b"x" * 10)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


@odd
@pytest.mark.parametrize("setting", ["RestartSec={}", "StartLimitBurst={}", "KillSignal={}"])
def test_a_units_setting_is_refused(tmp_path: Path, setting: str, text: str) -> None:
    if text != text.strip():
        pytest.skip("blanks around a setting are none of it")
    section = "Unit" if setting.startswith("StartLimit") else "Service"
    unit = tmp_path / "odd.service"
    unit.write_text(f"[Service]\nExecStart=/bin/true\n[{section}]\n{setting.format(text)}\n", encoding="utf-8")
    with pytest.raises(UnitError, match=setting.partition("=")[0]):
        read_unit(unit)


@odd
def test_a_quota_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        control.quota(f"instances={text}")


def test_a_name_that_ends_in_another_scripts_digits_has_no_number() -> None:
    assert numbered("app-worker-10") == ("app-worker", 10)
    assert numbered("app-worker-\u0661") == ("app-worker-\u0661", 0)
    assert not VERSION.fullmatch("v\u0662")
    assert not VARYING.search("/servers/\u0661")
