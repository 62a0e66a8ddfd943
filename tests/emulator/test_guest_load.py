"""What an instance says of its load is its own, whatever the host and its neighbours do."""

from __future__ import annotations

from typing import Any

import httpx

from tests.emulator import machine_room
from tests.emulator.machine_room import Room
from tests.waiting import wait_for

machine, room = machine_room.machine, machine_room.room

SERVE = '"$FAAFO_LAB_BIN/faafo-api" --listen "unix:$INSTANCE_PORTS/80"'
BUSY = f"#!/bin/bash\nfor n in 1 2 3; do while :; do :; done & done\n{SERVE}\n"
CORES = 0.25


def test_the_applications_load_is_that_of_its_instance(room: Room) -> None:
    room.boot("busy", BUSY, cores=CORES)
    room.boot("idle", f"#!/bin/bash\n{SERVE}\n", cores=CORES)

    def load(id: str) -> dict[str, Any]:
        transport = httpx.HTTPTransport(uds=str(room.ports(id) / "80"))
        with httpx.Client(transport=transport, base_url="http://instance", timeout=30) as client:
            try:
                found: dict[str, Any] = client.get("/v1/load").raise_for_status().json()
            except httpx.TransportError:  # it does not listen yet
                return {"load_average": [0.0], "cpu_percent": None}
        return found

    def percent(id: str) -> float | None:
        found: float | None = load(id)["cpu_percent"]  # None until its clock has ticked
        return found

    wait_for("the busy one's own load", lambda: load("busy")["load_average"][0] > 1.5 and (percent("busy") or 0) > 80)
    wait_for("the idle one to be idle", lambda: (percent("idle") or 100) < 50)
    assert load("idle")["load_average"][0] < load("busy")["load_average"][0]
    assert load("busy")["hostname"] == "vm-busy"
