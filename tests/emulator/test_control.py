"""Starting, stopping and finding embedded clouds: idempotent, side by side, after a kill, and what can go wrong."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from faafo_lab import cli
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.addresses import Claim, numbers
from faafo_lab.cloud.emulator.common.store import SCHEMA_VERSION, Store
from faafo_lab.cloud.emulator.control import Running
from faafo_lab.cloud.emulator.errors import AddressError, EmulatorError, StateError, VersionError
from faafo_lab.cloud.emulator.system import sockets, tree
from tests.waiting import wait_for

from .conftest import Api

Start = Callable[..., Running]


def one_sentence(error: BaseException) -> str:
    """The message, which must be one clear sentence."""
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    assert "Traceback" not in text
    return text


def test_starting_twice_is_starting_once(start: Start) -> None:
    first = start()
    assert start() == first == control.status(first.state_dir)
    assert control.stop(first.state_dir)
    assert not control.stop(first.state_dir)
    assert control.status(first.state_dir) is None
    assert tree.leftovers(first.state_dir) == []


def test_two_starts_at_once_share_one_emulator(start: Start) -> None:
    found: list[Running] = []
    threads = [threading.Thread(target=lambda: found.append(start())) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 3
    assert len({running.pid for running in found}) == 1


def test_the_state_is_for_the_user_alone(start: Start) -> None:
    running = start()
    assert stat.S_IMODE(running.state_dir.stat().st_mode) == 0o700
    for name in ("clouds.yaml", "state.sqlite", "lock"):
        assert stat.S_IMODE((running.state_dir / name).stat().st_mode) == 0o600, name
    content = yaml.safe_load(running.clouds_yaml.read_text())
    assert content["client"] == {"force_ipv4": True}
    cloud = content["clouds"]["embedded"]
    assert cloud["auth"]["auth_url"] == running.auth_url
    assert len(cloud["auth"]["password"]) >= 24
    assert cloud["region_name"] == "RegionOne"
    assert cloud["faafo_lab"]["published_ports"]["offset"] in (0, 8000)


def test_resources_disks_and_credentials_outlive_a_restart(start: Start) -> None:
    running = start()
    api = Api(running)
    id = api.boot("keeper", metadata={"a": "b"})
    (running.state_dir / "instances" / id / "disk" / "tmp" / "note").write_text("written before")
    stopped = api.boot("stopped")
    api("POST", f"/compute/v2.1/servers/{stopped}/action", {"os-stop": None})
    api.until(stopped, "SHUTOFF")
    api.make("/networking/v2.0/security-groups", {"security_group": {"name": "kept"}})
    before = {path: api.get(path) for path in PERSISTENT}
    assert control.stop(running.state_dir)
    assert tree.leftovers(running.state_dir) == []
    again = start()
    assert again.auth_url == running.auth_url
    assert again.pid != running.pid
    assert {path: api.get(path) for path in PERSISTENT} == before  # with the token of before
    assert Api(again).auth == api.auth
    shown = api.until(id, "ACTIVE")
    assert shown["metadata"] == {"a": "b"}
    assert (again.state_dir / "instances" / id / "disk" / "tmp" / "note").read_text() == "written before"
    assert api.server(stopped)["status"] == "SHUTOFF"


PERSISTENT = (
    "/networking/v2.0/security-groups",
    "/networking/v2.0/networks",
    "/networking/v2.0/ports",
    "/networking/v2.0/routers",
    "/image/v2/images",
    "/compute/v2.1/os-keypairs",
)


def test_after_a_kill_nothing_runs_and_the_next_start_takes_up(start: Start) -> None:
    running = start()
    api = Api(running)
    user_data = "IyEvYmluL3NoCmVjaG8gb25jZSA+PiAiJElOU1RBTkNFX1JPT1QvdG1wL3J1bnMiCg=="  # echo once >> …/tmp/runs
    active = api.boot("active", user_data=user_data)
    runs = running.state_dir / "instances" / active / "disk" / "tmp" / "runs"
    wait_for("the user data", runs.exists)
    doomed = api.boot("doomed")
    body = {"server": {"name": "early", "imageRef": api.image(), "flavorRef": "1", "min_count": 3}}
    api.make("/compute/v2.1/servers", body)
    api("DELETE", f"/compute/v2.1/servers/{doomed}")
    os.kill(running.pid, signal.SIGKILL)
    wait_for("the end of every process", lambda: not tree.leftovers(running.state_dir))
    assert control.status(running.state_dir) is None
    start()
    for each in api.get("/compute/v2.1/servers")["servers"]:
        if each["id"] != doomed:
            api.until(each["id"], "ACTIVE")
    wait_for("the deletion to be finished", lambda: api("GET", f"/compute/v2.1/servers/{doomed}").status_code == 404)
    names = {each["name"] for each in api.get("/compute/v2.1/servers")["servers"]}
    assert names == {"active", "early-1", "early-2", "early-3"}
    assert runs.read_text() == "once\n"
    ports = api.get("/networking/v2.0/ports")["ports"]
    assert len([each for each in ports if each["device_owner"] == "compute:nova"]) == 4


def test_stop_ends_what_a_killed_emulator_could_have_left(start: Start) -> None:
    directory = start().state_dir
    control.stop(directory)
    environment = {**os.environ, tree.STATE_VARIABLE: str(directory)}
    orphan = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True)
    try:
        wait_for("the orphan to be seen", lambda: orphan.pid in tree.leftovers(directory))
        threading.Thread(target=orphan.wait).start()  # or it would stay, as a zombie
        assert not control.stop(directory)
        assert orphan.wait(timeout=10) == -signal.SIGKILL
    finally:
        orphan.kill()


def test_two_clouds_run_side_by_side_and_know_nothing_of_each_other(start: Start) -> None:
    one, two = Api(start("one")), Api(start("two"))
    assert one.root.split(":")[1] != two.root.split(":")[1]
    a, b = one.boot("same-name"), two.boot("same-name")
    assert one("GET", f"/compute/v2.1/servers/{b}").status_code == 404
    assert two("GET", "/compute/v2.1/servers", headers={"X-Auth-Token": one.token}).status_code == 401
    control.stop(one.running.state_dir)
    assert two.server(b)["status"] == "ACTIVE"
    assert a != b


def test_a_cloud_whose_addresses_are_taken_moves(start: Start) -> None:
    running = start("first")
    api = Api(running)
    id = api.boot("mover")
    before = api.server(id)["addresses"]["private"][0]["addr"]
    network = ".".join(before.split(".")[:2])
    addressed(api, id, network)
    held = named(running.state_dir, network)
    control.stop(running.state_dir)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as squatter:
        squatter.bind(f"\0faafo-lab/{network}.0.0")
        moved = Api(start("first"))
        after = moved.until(id, "ACTIVE")["addresses"]["private"][0]["addr"]
        assert after.split(".")[1] != before.split(".")[1]
        assert after.split(".")[2:] == before.split(".")[2:]
        assert after.startswith(moved.root.removeprefix("http://").split(".0.1:")[0])
        assert named(running.state_dir, network) == set()
        assert named(running.state_dir, ".".join(after.split(".")[:2])) == held


def addressed(api: Api, server: str, network: str) -> None:
    """Put an address of the cloud's network, 127.N, wherever a client can."""
    n = "/networking/v2.0"
    private, public = api.network(), api.get(f"{n}/networks?name=public")["networks"][0]["id"]
    port = api.get(f"{n}/ports?device_id={server}")["ports"][0]["id"]
    host, block = f"{network}.1.200", f"{network}.9.0/24"
    route = {"destination": block, "nexthop": host}
    for method, path, body in (
        ("PUT", f"/compute/v2.1/servers/{server}", {"server": {"accessIPv4": host}}),
        ("PUT", f"{n}/ports/{port}", {"port": {"allowed_address_pairs": [{"ip_address": host}]}}),
        ("PUT", f"{n}/ports/{port}", {"port": {"extra_dhcp_opts": [{"opt_name": "tftp-server", "opt_value": host}]}}),
        ("PUT", f"{n}/subnets/{private['subnets'][0]}", {"subnet": {"host_routes": [route]}}),
        ("PUT", f"{n}/subnets/{private['subnets'][0]}", {"subnet": {"dns_nameservers": [host]}}),
        ("PUT", f"{n}/routers/{api.get(f'{n}/routers')['routers'][0]['id']}", {"router": {"routes": [route]}}),
        ("POST", f"{n}/subnetpools", {"subnetpool": {"name": "own", "prefixes": [block], "default_prefixlen": 26}}),
        ("POST", f"{n}/floatingips", {"floatingip": {"floating_network_id": public, "port_id": port}}),
        ("POST", f"{n}/security-group-rules", {"security_group_rule": {
            "security_group_id": api.get(f"{n}/security-groups")["security_groups"][0]["id"],
            "direction": "ingress", "protocol": "tcp", "remote_ip_prefix": block}}),
    ):  # fmt: skip
        answer = api(method, path, body)
        assert answer.status_code < 300, answer.text


def named(state_dir: Path, network: str) -> set[str]:
    """The fields of the state, as table.field, that name an address of this network, 127.N."""
    with contextlib.closing(sqlite3.connect(state_dir / "state.sqlite")) as database:
        rows = [(kind, json.loads(body)) for kind, body in database.execute("SELECT kind, body FROM row")]
    fields = ((f"{kind}.{name}", json.dumps(value)) for kind, row in rows for name, value in row.items())
    return {field for field, value in fields if f'"{network}.' in value}


def test_a_cloud_takes_its_network_from_those_that_it_may_have(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = Claim.take()
    monkeypatch.setenv("FAAFO_LAB_NETWORKS", f"{claim.number}-{claim.number}")
    with pytest.raises(AddressError, match=rf"from 127\.{claim.number} to 127\.{claim.number} are taken") as raised:
        start()
    one_sentence(raised.value)
    claim.close()
    assert start().auth_url.startswith(f"http://127.{claim.number}.0.1:")


@pytest.mark.parametrize("text", ["20", "20-", "30-20", "0-9", "20-255", "20-29,40", "a-b"])
def test_networks_that_are_none_are_refused_by_name(text: str) -> None:
    with pytest.raises(AddressError, match=f"FAAFO_LAB_NETWORKS is '{text}'") as raised:
        numbers({"FAAFO_LAB_NETWORKS": text})
    one_sentence(raised.value)


def test_a_wanted_port_is_used_and_a_taken_one_is_named(start: Start) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=f"Port {port} on 127.* is taken") as raised:
            start(port=port)
        one_sentence(raised.value)
    assert f":{port}/" in start(port=port).auth_url


@pytest.mark.parametrize("port", [-1, 0, 70_000])
def test_a_port_that_is_none_is_refused(start: Start, port: int) -> None:
    with pytest.raises(AddressError, match="is not a port"):
        start(port=port)


def test_quotas_are_set_at_the_start_and_hold(start: Start) -> None:
    api = Api(start(quotas={"instances": 1, "floatingip": 0, "cores": -1}))
    api.boot("only")
    answer = api("POST", "/compute/v2.1/servers", {"server": {"name": "x", "imageRef": api.image(), "flavorRef": "1"}})
    assert answer.status_code == 403
    message = "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"
    assert answer.json()["forbidden"]["message"] == message
    floating = {"floatingip": {"floating_network_id": api.network("public")["id"]}}
    assert api("POST", "/networking/v2.0/floatingips", floating).status_code == 409
    assert api.get("/compute/v2.1/limits")["limits"]["absolute"]["maxTotalInstances"] == 1


def test_nova_may_list_a_floating_address_late_as_on_a_real_cloud(start: Start) -> None:
    api = Api(start(address_lag_seconds=5.0))
    server = api.boot("late")
    [port] = api.get(f"/networking/v2.0/ports?device_id={server}")["ports"]
    wanted = {"floating_network_id": api.network("public")["id"], "port_id": port["id"]}
    floating = api("POST", "/networking/v2.0/floatingips", {"floatingip": wanted}).json()["floatingip"]

    def listed() -> list[str]:
        [addresses] = api.get(f"/compute/v2.1/servers/{server}")["server"]["addresses"].values()
        return [each["addr"] for each in addresses if each["OS-EXT-IPS:type"] == "floating"]

    assert listed() == []
    assert floating["status"] == "ACTIVE"
    wait_for("Nova to list it", lambda: listed() == [floating["floating_ip_address"]])


def test_shares_scale_every_flavor_from_the_next_start_on_and_are_kept(start: Start) -> None:
    def quotas(api: Api) -> list[str]:
        flavors = api.get("/compute/v2.1/flavors/detail", headers={"X-OpenStack-Nova-API-Version": "2.61"})["flavors"]
        return [each["extra_specs"]["quota:cpu_quota"] for each in flavors]

    def cap(api: Api) -> str:
        output = api("POST", f"/compute/v2.1/servers/{id}/action", {"os-getConsoleOutput": {}}).json()["output"]
        return re.findall(r"CPU: (\S+) cores", output)[-1]

    whole = start()
    api = Api(whole)
    id = api.boot("capped")
    assert (quotas(api), cap(api)) == (["25000", "50000", "100000", "100000"], "0.25")
    control.stop(whole.state_dir)

    def half(**options: float) -> None:
        running = start(**options)
        api = Api(running)
        api.until(id, "ACTIVE")
        assert quotas(api) == ["12500", "25000", "50000", "50000"]
        wait_for("the boot with the smaller share", lambda: cap(api) == "0.125")
        inside = api.get(f"/compute/v2.1/servers/{id}", headers={"X-OpenStack-Nova-API-Version": "2.61"})["server"]
        assert inside["flavor"]["extra_specs"]["quota:cpu_quota"] == "12500"
        control.stop(running.state_dir)

    half(shares=0.5)
    half()
    assert quotas(Api(start(shares=1)))[0] == "25000"


def test_shares_of_a_cloud_that_runs_are_not_changed_but_how_to_is_said(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    running = start()
    assert cli.main(["cloud", "start", f"--state-dir={running.state_dir}", "--shares=0.5"]) == 1
    assert "run `faafo-lab cloud stop`, then this again" in capsys.readouterr().err


@pytest.mark.parametrize("factor", ["0", "-1", "half", "nan", "inf", "0.05"])
def test_shares_that_are_none_are_refused(factor: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["cloud", "start", f"--shares={factor}"])
    assert "is not a factor from 0.1 to 4" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["-1", "soon", "nan", "inf"])
def test_a_lag_that_is_none_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["cloud", "start", f"--address-lag={seconds}"])
    assert f"{seconds!r} is not a number of seconds, such as 2.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("quotas", "words"), [({"elephants": 1}, "no quota 'elephants'"), ({"cores": -2}, "cannot be -2")]
)
def test_a_quota_that_is_none_is_refused(start: Start, quotas: dict[str, int], words: str) -> None:
    with pytest.raises(EmulatorError, match=words) as raised:
        start(quotas=quotas)
    one_sentence(raised.value)


def test_a_state_of_another_version_is_left_as_it_is(start: Start, tmp_path: Path) -> None:
    directory = start().state_dir
    control.stop(directory)
    with sqlite3.connect(directory / "state.sqlite") as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    before = (directory / "state.sqlite").read_bytes()
    with pytest.raises(VersionError, match=f"version {SCHEMA_VERSION + 1}") as raised:
        start()
    one_sentence(raised.value)
    assert (directory / "state.sqlite").read_bytes() == before


def test_a_state_that_is_no_database_is_named(start: Start) -> None:
    directory = start().state_dir
    control.stop(directory)
    for name in ("state.sqlite-wal", "state.sqlite-shm"):
        (directory / name).unlink(missing_ok=True)
    (directory / "state.sqlite").write_text("not a database at all" * 100)
    with pytest.raises(StateError, match="cannot be read"):
        start()


def test_a_state_directory_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    for wrong, words in (
        ("file", "not a directory"),
        ("file/below", "not a directory"),
        ("full", "contains other files"),
    ):
        with pytest.raises(StateError, match=words) as raised:
            control.start(tmp_path / wrong)
        one_sentence(raised.value)
    with pytest.raises(StateError):
        control.start(Path("/proc/nowhere"))
    assert control.status(tmp_path / "missing") is None
    assert not control.stop(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_sockets_directory_of_somebody_else_stops_the_start_in_one_sentence(tmp_path: Path) -> None:
    place = sockets.sockets_dir(tmp_path / "cloud")
    place.rmdir()
    place.symlink_to(tmp_path)
    try:
        with pytest.raises(StateError, match="belongs to somebody else") as error:
            control.start(tmp_path / "cloud")
        one_sentence(error.value)
    finally:
        place.unlink()


def test_sigterm_is_a_clean_stop_and_a_removed_state_directory_too(start: Start, tmp_path: Path) -> None:
    running = start()
    Api(running).boot("victim")
    os.kill(running.pid, signal.SIGTERM)
    wait_for("the end of the process", lambda: not Path(f"/proc/{running.pid}").exists())
    assert tree.leftovers(running.state_dir) == []
    assert "Stopped." in (running.state_dir / "emulator.log").read_text()
    running = start()
    running.state_dir.rename(tmp_path / "moved")
    wait_for("the end of the process", lambda: not Path(f"/proc/{running.pid}").exists())
    wait_for("the end of its instances", lambda: not tree.leftovers(running.state_dir))


def test_the_emulator_is_lean() -> None:
    """It imports none of the clients, of the application, or of the notebook's world."""
    code = "import sys, faafo_lab.cloud.emulator.server; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"openstack", "shade", "libcloud", "requests", "numpy", "sqlalchemy", "asyncssh", "cryptography", "IPython"}
    assert heavy & set(loaded) == set()
    assert not [name for name in loaded if name.startswith("faafo_lab.app")]


def test_a_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    table, seen = store.table("thing"), []
    store.watch({"thing"}, lambda: seen.append(len(table)))
    table.put({"id": "1", "name": "one"})

    def fail() -> None:
        with store.transaction():
            table.update("1", name="changed")
            table.put({"id": "2"})
            table.delete("1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert table["1"] == {"id": "1", "name": "one"}
    assert "2" not in table
    with store.transaction():
        table.put({"id": "3"})
        table.put({"id": "4"})
    assert seen == [1, 3]
    store.close()
    reopened = Store(tmp_path / "state.sqlite").table("thing")
    assert sorted(reopened.rows) == ["1", "3", "4"]
    assert reopened["1"]["name"] == "one"
