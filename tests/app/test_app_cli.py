"""The command `faafo`: options and tables of the original, errors in one sentence."""

import os
import pty
import re
import subprocess
import sys
import termios
from typing import Any

import httpx
import pytest

from tests.app.deployment import AUTHORIZED, SECRET, Deployment, a_task
from tests.app.test_app_rest import a_result
from tests.waiting import LIMIT_SECONDS


def test_create_draws_from_the_originals_ranges(services: Deployment, client: httpx.Client) -> None:
    done = services.run("cli", "create", "--tasks", "12")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "generating 12 task(s)"
    made = client.get("/v1/fractal?results_per_page=-1").json()["objects"]
    assert sorted(lines[1:-1]) == sorted(one["uuid"] for one in made)
    assert lines[-1] == "12 of 12 are new"
    for one in made:
        assert 256 <= one["width"] <= 1024
        assert 256 <= one["height"] <= 1024
        assert 128 <= one["iterations"] <= 512
        assert -4 <= one["xa"] <= -1
        assert 1 <= one["xb"] <= 4
        assert -3 <= one["ya"] <= -0.5
        assert 0.5 <= one["yb"] <= 3
    assert len({one["width"] for one in made}) > 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--width", "300", "--height", "200", "--iterations", "99"], {"width": 300, "height": 200, "iterations": 99}),
        (["--xa", "-2.5", "--xb", "2", "--ya=-1e0", "--yb", "1.25"], {"xa": -2.5, "xb": 2, "ya": -1, "yb": 1.25}),
        (["--min-width", "2000", "--max-height", "7", "--min-height", "7"], {"width": 2000, "height": 7}),
        (["--min-xa", "-9", "--max-xa", "-9"], {"xa": -9}),
    ],
)
def test_create_takes_what_is_given(
    services: Deployment, client: httpx.Client, options: list[str], expected: dict[str, Any]
) -> None:
    done = services.run("cli", "--endpoint-url", "http://localhost", "create", "--tasks", "1", *options)
    assert done.returncode == 0, done.stderr
    [made] = client.get("/v1/fractal").json()["objects"]
    assert {key: made[key] for key in expected} == expected


def test_list_show_get_and_delete(services: Deployment, client: httpx.Client) -> None:
    task, waiting = a_task(), a_task(width=300)
    for one in (task, waiting):
        client.post("/v1/fractal", json=one)
    result = a_result(task)
    client.put(f"/v1/fractal/{task['uuid']}", json=result, headers=AUTHORIZED)

    listed = services.run("cli", "list").stdout
    assert re.search(r"\|\s+UUID\s+\|\s+Dimensions\s+\|\s+Filesize\s+\|", listed)
    assert re.search(rf"\| {task['uuid']} \|\s+60 x 40 pixels\s+\|\s+{result['size']} bytes\s+\|", listed)
    assert re.search(rf"\| {waiting['uuid']} \|\s+300 x 40 pixels\s+\|\s+-\s+\|", listed)

    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in services.run("cli", "show", task["uuid"]).stdout.splitlines()
        if line.startswith("|")
    ]
    assert rows == [
        ("Parameter", "Value"),
        ("uuid", task["uuid"]),
        ("duration", "0.250000 seconds"),
        ("dimensions", "60 x 40 pixels"),
        ("iterations", "64"),
        ("xa", "-2.0"),
        ("xb", "2.0"),
        ("ya", "-1.5"),
        ("yb", "1.5"),
        ("size", f"{result['size']} bytes"),
        ("checksum", result["checksum"]),
        ("generated_by", "app-worker-1"),
    ]
    assert re.search(r"checksum\s+\| -", services.run("cli", "show", waiting["uuid"]).stdout)

    got = services.run("cli", "get", task["uuid"])
    assert got.stdout.strip() == f"{task['uuid']}.png"
    picture = client.get(f"/fractal/{task['uuid']}").content
    assert (services.place / f"{task['uuid']}.png").read_bytes() == picture
    services.run("cli", "get", task["uuid"], "--output", "mine.png")
    assert (services.place / "mine.png").read_bytes() == picture

    assert services.run("cli", "delete", task["uuid"]).returncode == 0
    assert client.get("/v1/fractal").json()["num_results"] == 1


def test_get_shows_its_progress_to_who_sits_at_a_terminal(services: Deployment, client: httpx.Client) -> None:
    task = a_task(width=500, height=500)
    client.post("/v1/fractal", json=task)
    client.put(f"/v1/fractal/{task['uuid']}", json=a_result(task), headers=AUTHORIZED)
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (25, 80))
    with open(ours, "rb", buffering=0) as terminal:
        ended = subprocess.run(
            [sys.executable, "-m", "faafo_lab.app.cli", "get", task["uuid"], "--output", "mine.png"],
            env=services.environment(),
            cwd=services.place,
            stdout=subprocess.PIPE,
            stderr=its,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        shown = terminal.read(65536).decode()
        os.close(its)
    assert (ended.returncode, ended.stdout) == (0, b"mine.png\n")
    assert re.search(r"mine\.png: 100%\|.+\| ([\d.]+k?)/\1 ", shown), shown


@pytest.mark.parametrize(
    ("words", "environment", "says"),
    [
        (["show", "0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b"], {}, "There is no fractal"),
        (["get", "0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b"], {}, "There is no fractal"),
        (["show", "nonsense"], {}, "'nonsense' is no uuid"),
        (["delete", "0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b"], {"FAAFO_SECRET": "wrong"}, "not the deployment's secret"),
        (["delete", "0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b"], {"FAAFO_SECRET": ""}, "Set FAAFO_SECRET"),
        (["create", "--tasks", "1", "--xa", "5"], {}, "'xa' must be less than 'xb'"),
        (["create", "--tasks", "1", "--width", "0"], {}, "'width' must be a whole number from 1 to 10000"),
        (["create", "--tasks", "0"], {}, "--tasks must be at least 1"),
        (["create", "--min-width", "9", "--max-width", "8"], {}, "--min-width must not be greater"),
        (["--endpoint-url", "http://localhost:9", "list"], {}, "No API answers at http://localhost:9"),
        (["--endpoint-url", "http://127.0.0.1:9", "list"], {}, "No API answers at http://127.0.0.1:9"),
        (["--endpoint-url", "nonsense", "list"], {}, "The endpoint must look like http://HOST"),
        (["list"], {"FAAFO_ENDPOINT_URL": "http://x:y:z"}, "The endpoint must look like http://HOST"),
    ],
)
def test_errors_are_one_sentence_and_exit_code_1(
    services: Deployment, client: httpx.Client, words: list[str], environment: dict[str, str], says: str
) -> None:
    done = services.run("cli", *words, **environment)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.startswith("faafo: ")
    assert done.stderr.count("\n") == 1


def test_the_endpoint_comes_from_the_instances_configuration(services: Deployment, bare: Deployment) -> None:
    (bare.root / "etc/faafo").mkdir(parents=True)
    (bare.root / "etc/faafo/faafo.conf").write_text(f"endpoint_url = unix:{services.ports / '80'}\n")
    (bare.root / "etc/faafo/secret").write_text(f"{SECRET}\n")
    bare.secret = None
    created = bare.run("cli", "create", "--tasks", "1")
    assert created.returncode == 0, created.stderr
    assert bare.run("cli", "delete", created.stdout.splitlines()[1]).returncode == 0


def test_the_guides_own_line_creates_and_debug_shows_where_a_failure_is(services: Deployment) -> None:
    done = services.run("cli", "--endpoint-url", f"unix:{services.ports / '80'}", "--debug", "create", "--tasks", "1")
    assert (done.returncode, done.stderr) == (0, "")
    failed = services.run("cli", "--endpoint-url", f"unix:{services.ports / 'none'}", "--debug", "list")
    assert failed.returncode == 1
    assert failed.stderr.startswith("Traceback")
    assert "faafo_lab.app.errors.ApiAway: " in failed.stderr


def test_wait_waits_for_a_healthy_api(bare: Deployment) -> None:
    waited = bare.run("cli", "--wait", "0.1", "list")
    assert (waited.returncode, waited.stderr.startswith("faafo: Waited 0.1 s")) == (1, True)


def test_the_command_does_not_load_what_only_servers_need(bare: Deployment) -> None:
    import subprocess
    import sys

    unused = {"numpy", "PIL", "requests", "matplotlib"}
    heavy = {"sqlalchemy", "tornado", "kombu", "redis", "psycopg", "llvmlite", "isal"} | unused
    loads = {
        "cli": heavy,
        "install": heavy,
        "services": heavy,
        "worker": {"sqlalchemy", "tornado", "psycopg", "llvmlite", "isal"} | unused,
        "fractal": heavy - {"llvmlite", "isal"},
        "api": {"llvmlite", "isal"} | unused,
    }
    for module, forbidden in loads.items():
        code = f"import sys, faafo_lab.app.{module}; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=bare.environment(), capture_output=True, text=True, check=True
        )
        assert not forbidden & set(done.stdout.split()), module
