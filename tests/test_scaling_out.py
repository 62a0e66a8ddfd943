"""The complete sample, notebooks/scaling_out.py: it runs as it is, scales what is there, and cleans up."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import faafo_lab
from faafo_lab.workbook import NOTEBOOKS, own_home

SAMPLE = NOTEBOOKS / "scaling_out.py"
RUN_LIMIT_SECONDS = 300


@pytest.fixture
def home() -> Iterator[None]:
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        yield


def sample(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SAMPLE), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_LIMIT_SECONDS, env=dict(os.environ), check=False
    )


def made_by(said: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^  (app-worker-\d+): (\d+)$", said, re.MULTILINE)}


@pytest.mark.timeout(3 * RUN_LIMIT_SECONDS)
def test_it_builds_orders_scales_and_cleans_up(home: None) -> None:
    first = sample("--workers", "1", "--fractals", "6", "--backend", "openstacksdk")
    assert first.returncode == 0, first.stderr
    assert made_by(first.stdout) == {"app-worker-1": 6}
    assert "every API server shows the same picture: True" in first.stdout

    cloud = faafo_lab.connect()
    kept = {server.id for server in cloud.servers()}
    second = sample("--workers", "2", "--fractals", "12")
    assert second.returncode == 0, second.stderr
    assert sum(made_by(second.stdout).values()) == 12
    servers = {server.name: server.id for server in cloud.servers()}
    assert sorted(servers) == ["app-api-1", "app-api-2", "app-services", "app-worker-1", "app-worker-2"]
    assert kept < set(servers.values())

    gone = sample("--clean-up")
    assert gone.returncode == 0, gone.stderr
    assert cloud.servers() == []
    assert cloud.floating_ips() == []


def test_it_explains_itself_and_refuses_what_makes_no_application(home: None) -> None:
    assert "--clean-up" in sample("--help").stdout
    refused = sample("--workers", "0")
    assert refused.returncode == 2
    assert "at least one API server, one worker and one fractal" in refused.stderr
    unknown = sample("--cloud", "nowhere")
    assert unknown.returncode == 1
    assert "nowhere" in unknown.stderr
    assert "Traceback" not in unknown.stderr
