"""Many servers at once on the embedded cloud: created by one request, listed, and deleted; 50 of them, and 10 beside.

Linear means that a server costs as much among 50 as among 10: `servers_50_to_10` is the ratio of what each took.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import yaml
from measure import Figures

from faafo_lab.cloud.emulator import control

FEW, MANY = 10, 50
QUOTAS = {"instances": MANY, "cores": MANY, "ram": 512 * MANY, "port": 2 * MANY}
LIMIT_SECONDS = 300.0
LOOK_SECONDS = 0.05
LISTS = 20


def figures() -> Figures:
    """`servers_50_seconds`: from the request until all are active; and what listing and deleting them takes."""
    with tempfile.TemporaryDirectory(prefix="faafo-cloud-") as folder:
        directory = Path(folder) / "cloud"
        running = control.start(directory, quotas=QUOTAS)
        try:
            with closing(_client(running.clouds_yaml)) as http:
                _round(http, FEW)  # what only the first servers pay
                few, many = _round(http, FEW), _round(http, MANY)
        finally:
            control.stop(directory)
    created, listed, deleted = many
    return {
        "servers_50_seconds": (created, "s from one request until 50 servers are active"),
        "servers_50_list_ms": (listed * 1000, "ms to list them in detail"),
        "servers_50_delete_seconds": (deleted, "s to delete them, one request each"),
        "servers_50_to_10": (created / MANY / (few[0] / FEW), "times 10 servers' time each"),
        "servers_50_to_10_deleted": (deleted / MANY / (few[2] / FEW), "times 10 servers' time each"),
    }


def _client(clouds_yaml: Path) -> httpx.Client:
    auth = yaml.safe_load(clouds_yaml.read_text())["clouds"]["embedded"]["auth"]
    http = httpx.Client(base_url=auth["auth_url"].removesuffix("/identity"), trust_env=False, timeout=LIMIT_SECONDS)
    user = {"name": auth["username"], "domain": {"id": "default"}, "password": auth["password"]}
    scope = {"project": {"name": auth["project_name"], "domain": {"id": "default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    answer = http.post("/identity/v3/auth/tokens", json=body).raise_for_status()
    http.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
    return http


def _round(http: httpx.Client, count: int) -> tuple[float, float, float]:
    """Seconds to create, to list and to delete so many servers."""
    image = http.get("/image/v2/images?name=plain-linux").json()["images"][0]["id"]
    server = {"name": "many", "imageRef": image, "flavorRef": "1", "min_count": count}
    begun = time.monotonic()
    http.post("/compute/v2.1/servers", json={"server": server}).raise_for_status()
    _until(lambda: [each["status"] for each in _servers(http)] == ["ACTIVE"] * count)
    created = time.monotonic() - begun
    lists = []
    for _ in range(LISTS):
        before = time.monotonic()
        _servers(http)
        lists.append(time.monotonic() - before)
    begun = time.monotonic()
    for each in _servers(http):
        http.delete(f"/compute/v2.1/servers/{each['id']}").raise_for_status()
    _until(lambda: not _servers(http))
    return created, median(lists), time.monotonic() - begun


def _servers(http: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/compute/v2.1/servers/detail").raise_for_status().json()["servers"]
    if failed := [each["fault"]["message"] for each in found if each["status"] == "ERROR"]:
        raise RuntimeError(f"A server could not be built: {failed[0]}")
    return found


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"timed out after {LIMIT_SECONDS:.0f} s: the servers")
        time.sleep(LOOK_SECONDS)
