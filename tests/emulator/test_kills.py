"""SIGKILL at any moment: nothing that was acknowledged is lost, nothing is half-made, nothing is left behind.

FAAFO_KILLS says how often, FAAFO_KILLS_SEED replays a run's moments (it is printed).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from faafo_lab.cloud.emulator.system import sockets, tree
from tests.waiting import wait_for

from .conftest import Api
from .loads import LOADS, Ledger, Load

KILLS = int(os.environ.get("FAAFO_KILLS", "30"))
SEED = int(os.environ.get("FAAFO_KILLS_SEED", random.randrange(1 << 32)))
UNDER_LOAD_SECONDS = 0.6  # at most, before a kill
EARLY = 0.2  # of the kills come while the emulator starts
START_SECONDS = 0.7  # of which such a kill chooses a moment


class Victim:
    """An emulator of ours, so that it can be killed before it has said who it is."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with (control.open_state_dir(directory) / "emulator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "faafo_lab.cloud.emulator", "--state-dir", str(directory)],
                stdout=log,
                stderr=log,
            )

    def answering(self) -> Running:
        def look() -> Running | None:
            assert self.process.poll() is None, (self.directory / "emulator.log").read_text()[-3000:]
            return control.status(self.directory)

        return wait_for("the APIs", look)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.mark.long
def test_nothing_is_lost_half_made_or_left_behind(tmp_path: Path) -> None:
    directory = tmp_path / "cloud"
    moments = random.Random(SEED)
    print(f"FAAFO_KILLS_SEED={SEED} FAAFO_KILLS={KILLS}")
    victim = Victim(directory)
    try:
        catalog = Api(victim.answering()).get("/identity/v3/auth/catalog")["catalog"]
        ledgers = {each: Ledger(each.kind) for each in LOADS if each.service in {entry["type"] for entry in catalog}}
        for number in range(KILLS):
            if moments.random() < EARLY:
                time.sleep(moments.uniform(0, START_SECONDS))  # the moment is the test's subject
            else:
                _under_load(victim, ledgers, moments, f"{SEED}-{number}")
            victim.kill()
            victim = Victim(directory)  # at once: what is left of the old one ends while this one starts
        api = Api(victim.answering())
        _compare(api, ledgers)
        _settled(api)
        _addresses_are_unique(api)
        print({ledger.kind: ledger.acknowledged for ledger in ledgers.values()})
        assert all(ledger.acknowledged for ledger in ledgers.values())
        victim.kill()
        wait_for("the end of every process", lambda: not tree.leftovers(directory))
        log = (directory / "emulator.log").read_text(errors="replace")
        assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
    finally:
        victim.kill()
        print((directory / "emulator.log").read_text(errors="replace")[-5000:])
        control.stop(directory)
    assert not sockets.sockets_dir(directory).exists() or not list(sockets.sockets_dir(directory).iterdir())
    assert not list(directory.glob("*.partial"))


def _under_load(victim: Victim, ledgers: dict[type[Load], Ledger], moments: random.Random, seed: str) -> None:
    api = Api(victim.answering())
    _compare(api, ledgers)
    loads = [kind(ledger, api, f"{seed}-{kind.kind}") for kind, ledger in ledgers.items()]
    for each in loads:
        each.start()
    time.sleep(moments.uniform(0, UNDER_LOAD_SECONDS))
    victim.kill()
    for each in loads:
        each.join(60)
        assert not each.is_alive()
        if each.error is not None:
            raise each.error
    api.http.close()


def _compare(api: Api, ledgers: dict[type[Load], Ledger]) -> None:
    for kind, ledger in ledgers.items():
        load = kind(ledger, api, "")
        ledger.compare(load)
        load.client.close()


def _servers(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/compute/v2.1/servers/detail")["servers"]
    return found


def _settled(api: Api) -> None:
    """Every server comes to rest: active, with its processes and one port; what was being deleted is gone."""

    def at_rest() -> bool:
        return all(each["OS-EXT-STS:task_state"] is None and each["status"] != "BUILD" for each in _servers(api))

    wait_for("the servers to settle", at_rest)
    servers = _servers(api)
    for each in servers:
        assert each["status"] == "ACTIVE", each.get("fault")
        assert len(api.get(f"/networking/v2.0/ports?device_id={each['id']}")["ports"]) == 1
    ids = {each["id"] for each in servers}
    ports = api.get("/networking/v2.0/ports")["ports"]
    assert {each["device_id"] for each in ports if each["device_owner"] == "compute:nova"} == ids
    directories = {each.name for each in (api.running.state_dir / "instances").iterdir()}
    assert directories == ids


def _addresses_are_unique(api: Api) -> None:
    ports = api.get("/networking/v2.0/ports")["ports"]
    fixed = [ip["ip_address"] for each in ports for ip in each["fixed_ips"]]
    floating = [each["floating_ip_address"] for each in api.get("/networking/v2.0/floatingips")["floatingips"]]
    assert len({*fixed, *floating}) == len(fixed) + len(floating)


def test_the_token_of_before_is_good_after_a_kill(tmp_path: Path) -> None:
    victim = Victim(tmp_path / "cloud")
    try:
        api = Api(victim.answering())
        victim.kill()
        victim = Victim(tmp_path / "cloud")
        api.http.base_url = victim.answering().auth_url.removesuffix("/identity")  # its port may be another's now
        assert api.http.get("/identity/v3/auth/catalog").status_code == httpx.codes.OK
    finally:
        victim.kill()
        control.stop(tmp_path / "cloud")
