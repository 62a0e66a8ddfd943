"""The logs: a line for people or an object for machines, each with the fractal and the node, none with a secret."""

import json
import logging
import re
import signal
import sys
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from faafo_lab.app import logs, settings
from tests.app.deployment import AUTHORIZED, SECRET, Deployment, a_task, done, status
from tests.waiting import wait_for

WRITTEN = (SECRET, quote(SECRET), quote(SECRET, safe=""), json.dumps(SECRET)[1:-1])


def a_record(message: str, *arguments: Any, **more: Any) -> logging.LogRecord:
    return logging.LogRecord("faafo_lab.app.test", logging.WARNING, __file__, 1, message, arguments, **more)


def objects(text: str) -> list[dict[str, Any]]:
    """The lines, each of which is an object."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_says_when_what_and_about_which_fractal_on_which_node() -> None:
    layout = logs.Text("node-1", [])
    with logs.about("7c1f4a7e-9a0e-4c3b-8a65-2f1d3c0b9e11"):
        inside = layout.format(a_record("made in %.3f s", 0.25, exc_info=None))
    outside = layout.format(a_record("first\nsecond", exc_info=None))
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d WARNING made in 0\.250 s fractal=7c1f4a7e-9a0e-4c3b-8a65-2f1d3c0b9e11 node=node-1", inside
    )
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING first second node=node-1", outside)


@pytest.mark.parametrize("layout", [logs.Text, logs.Json])
def test_a_secret_is_blotted_out_also_in_an_address_and_in_a_traceback(layout: type[logs.Text | logs.Json]) -> None:
    try:
        raise OSError(f"cannot connect to redis://:{quote(SECRET, safe='')}@host")
    except OSError:
        failed = sys.exc_info()
    line = layout("node", [SECRET]).format(a_record("it is %s, or %r", SECRET, SECRET, exc_info=failed))
    assert "Traceback" in line
    assert "redis://:*****@host" in line
    assert [form for form in WRITTEN if form in line] == []


def test_passwords_in_the_addresses_of_database_and_broker_are_secrets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAAFO_SECRET", "one%20")
    monkeypatch.setenv("FAAFO_DATABASE_URL", "postgresql://faafo:two%40@host/faafo")
    monkeypatch.setenv("FAAFO_QUEUE_URL", "amqp://faafo:faafo@host//")
    assert settings.passwords() == ["one%20", "two@"]
    monkeypatch.setenv("FAAFO_DATABASE_URL", "postgresql://[")
    assert settings.passwords() == ["one%20"]


def test_api_and_worker_log_objects_with_fractal_and_node_and_never_the_secret(deployment: Deployment) -> None:
    environment = {"FAAFO_LOG": "json", "FAAFO_LOG_LEVEL": "debug"}
    with closing(deployment.api("api-1", **environment)) as client:
        deployment.worker("worker-1", **environment)
        task = a_task()
        client.post("/v1/fractal", json=task)
        wait_for("the fractal", lambda: done(client, [task["uuid"]]))
        client.put(f"/v1/fractal/{task['uuid']}", headers={"Authorization": "Bearer no"}, content=b"{}")
        client.get("/health", params={"x": SECRET})
        deployment.stop("messaging", signal.SIGKILL)
        client.delete(f"/v1/fractal/{task['uuid']}", headers=AUTHORIZED)
        wait_for(
            "both to miss the broker", lambda: all("broker" in deployment.log(one) for one in ("api-1", "worker-1"))
        )
        deployment.stop("database", signal.SIGKILL)
        wait_for("a request to fail", lambda: status(client, f"/v1/stats?x={quote(SECRET)}") == 503)
        assert deployment.stop("worker-1") == 0
        assert deployment.stop("api-1") == 0

    told = {name: objects(deployment.log(name)) for name in ("api-1", "worker-1")}
    for name, lines in told.items():
        assert {one["node"] for one in lines} == {name}
        assert all({"time", "level", "logger", "message", "node"} <= set(one) for one in lines)
        assert [form for form in WRITTEN if form in deployment.log(name)] == []
        assert [form for form in WRITTEN if any(form in one["message"] for one in lines)] == []
    about = {
        name: [one["message"] for one in lines if one.get("fractal") == task["uuid"]] for name, lines in told.items()
    }
    assert about["api-1"] == ["accepted", "completed by worker-1", "deleted"]
    assert re.fullmatch(r"made in [\d.]+ (s|ms|µs)", about["worker-1"][0])
    failed = next(one for one in told["api-1"] if one["message"].startswith("503 GET /v1"))
    assert "fractal" not in failed
    assert logs.BLOT in failed["message"]


@pytest.mark.parametrize(("name", "value"), [("FAAFO_LOG", "xml"), ("FAAFO_LOG_LEVEL", "loud")])
@pytest.mark.parametrize("module", ["api", "worker"])
def test_a_setting_that_makes_no_sense_is_refused_by_name(bare: Deployment, module: str, name: str, value: str) -> None:
    ended = bare.run(module, **{name: value})
    assert ended.returncode == 1
    assert f"{name} must be one of" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
