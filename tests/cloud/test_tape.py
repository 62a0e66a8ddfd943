"""The tape: what went to the cloud, through each backend, in IPython and outside of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from faafo_lab.cloud import connect, keys
from faafo_lab.cloud import tape as tapes
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import InUse, Unreachable
from faafo_lab.cloud.tape import NO_ANSWER, Call, Recorder, Services, Tape, fold

SECRET = "correct-horse-battery-staple"


def calls(tape: Tape) -> list[tuple[str, str, str, int]]:
    """The rows, without what differs between runs and between backends' ways to write the same path."""
    return [(row.service, row.method, row.path.replace(".json", ""), row.count) for row in tape.rows]


def test_a_fresh_cloud_logs_in_and_asks(embedded: Path, backend: str) -> None:
    cloud = connect("embedded", backend)
    cloud.flavors()
    seen = calls(cloud.tape())
    assert ("identity", "POST", "/auth/tokens", 1) in seen
    assert seen[-1] == ("compute", "GET", "/flavors/…/os-extra_specs", 4)


def test_outside_of_ipython_the_tape_begins_where_it_was_looked_at_last(cloud: Cloud) -> None:
    cloud.servers(), cloud.networks()  # log in
    cloud.tape()
    cloud.key_pairs()
    cloud.networks()
    assert calls(cloud.tape()) == [("compute", "GET", "/os-keypairs", 1), ("network", "GET", "/networks", 1)]
    assert len(cloud.tape()) == 0
    assert "No calls" in repr(cloud.tape())
    assert calls(cloud.tape(last=2)) == [("compute", "GET", "/os-keypairs", 1), ("network", "GET", "/networks", 1)]
    with pytest.raises(ValueError, match="at least 1, not 0"):
        cloud.tape(last=0)


def test_polls_are_folded_and_ids_shortened(cloud: Cloud) -> None:
    server = cloud.create_server("one", image="plain-linux", flavor="m1.tiny")
    cloud.wait_for(server, timeout_seconds=60, progress=False)
    cloud.tape()
    for _ in range(5):
        cloud.servers()
    cloud.reboot_server(server)
    assert calls(cloud.tape()) == [
        ("compute", "GET", "/servers/detail", 5),
        ("compute", "POST", f"/servers/{server.id[:4]}…/action (reboot)", 1),
    ]
    text = repr(cloud.tape(last=6))
    assert "GET /servers/detail × 5" in text
    assert f"6 calls through {cloud.backend}" in text


def test_a_refusal_shows_with_its_status(cloud: Cloud) -> None:
    cloud.create_security_group("web")
    cloud.create_server("one", image="plain-linux", flavor="m1.tiny", security_groups=["web"])
    with pytest.raises(InUse):
        cloud.delete_security_group("web")
    tape = cloud.tape()
    assert (tape.rows[-1].method, tape.rows[-1].status) == ("DELETE", 409)
    assert "409 ✗ Conflict" in repr(tape)
    assert "<b>409 ✗ Conflict</b>" in tape._repr_html_()
    assert tape.lines[-1].endswith("409 ✗ Conflict")


def test_a_cloud_that_does_not_answer_is_on_the_tape(clouds_yaml: Path, backend: str) -> None:
    lost = connect("lost", backend)
    with pytest.raises(Unreachable):
        lost.servers()
    assert lost.tape().rows[-1].status == NO_ANSWER
    assert "no answer" in repr(lost.tape(last=1))


def test_another_connection_has_a_login_and_a_tape_of_its_own(cloud: Cloud) -> None:
    cloud.servers()
    cloud.tape()
    again = cloud.again()
    again.servers()
    assert len(cloud.tape()) == 0
    seen = calls(again.tape())
    assert ("identity", "POST", "/auth/tokens", 1) in seen
    assert seen[-1] == ("compute", "GET", "/servers/detail", 1)


def test_no_secret_gets_on_the_tape(embedded: Path, backend: str, cloud: Cloud) -> None:
    fresh = connect("embedded", backend)
    name = cloud.create_key_pair("mine", keys.public_key()).name
    fresh.create_server("one", image="plain-linux", flavor="m1.tiny", key_pair=name, user_data=f"#!/bin/sh\n: {SECRET}")
    tape = fresh.tape()
    assert ("compute", "POST", "/servers", 1) in calls(tape)
    everything = repr(tape) + tape._repr_html_() + repr([vars(call) for call in tape.calls])
    password = str(fresh.config.auth["password"])
    for secret in (SECRET, password, keys.public_key().split()[1], "gAAA"):
        assert secret not in everything
    assert "token" not in everything.replace("/auth/tokens", "")


def test_passwords_in_addresses_are_not_kept(cloud: Cloud) -> None:
    recorder = Recorder("test")
    session = requests.Session()
    recorder.tap(session)
    url = str(cloud.config.auth_url).replace("http://", f"http://demo:{SECRET}@")
    session.get(f"{url}/v3/{'x' * 60}?temp_url_sig={SECRET}&limit=3", timeout=30)
    tape = recorder.tape()
    assert tape.rows[0].path.endswith("/xxxxxxxx…?temp_url_sig=…&limit=3")
    assert SECRET not in repr([vars(call) for call in tape.calls])


def test_the_tape_keeps_only_so_many_calls(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "MOST_CALLS_KEPT", 3)
    recorder = Recorder("test")
    session = requests.Session()
    recorder.tap(session)
    for number in range(5):
        session.get(f"{cloud.config.auth_url}/?number={number}", timeout=30)
    assert [call.url[-1] for call in recorder.tape(last=100).calls] == ["2", "3", "4"]


def test_calls_of_several_threads_are_all_on_the_tape(cloud: Cloud) -> None:
    cloud.servers()
    cloud.tape()
    threads = [threading.Thread(target=cloud.servers) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls(cloud.tape()) == [("compute", "GET", "/servers/detail", 8)]


def test_every_backend_asks_the_same_of_the_services(clouds: dict[str, Cloud]) -> None:
    seen = []
    for cloud in clouds.values():
        cloud.servers(), cloud.networks()  # log in
        cloud.tape()
        cloud.servers()
        cloud.security_groups()
        cloud.floating_ips()
        seen.append(calls(cloud.tape()))
    assert seen == [seen[0]] * len(clouds)


def call(at: float, path: str) -> Call:
    return Call(at, 0.01, "GET", f"http://cloud{path}", 200)


def test_calls_that_come_again_in_the_same_order_are_folded_together() -> None:
    made = [call(n, path) for n, path in enumerate(["/a", "/b", "/a", "/b", "/a", "/b", "/c", "/b"])]
    folded = [(row.at_seconds, row.path, row.count) for row in fold(made, Services())]
    assert folded == [(0, "/a", 3), (1, "/b", 3), (6, "/c", 1), (7, "/b", 1)]
    made = [call(n, path) for n, path in enumerate(["/a", "/b", "/b", "/a", "/b", "/b"])]
    assert [(row.path, row.count) for row in fold(made, Services())] == [("/a", 2), ("/b", 4)]


NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in [
    "import faafo_lab; cloud = faafo_lab.connect(); _ = cloud.servers(), cloud.images(), cloud.networks()",
    "print('first', [row.path for row in cloud.tape().rows][-1:])",
    "_ = cloud.key_pairs(); _ = cloud.servers()",
    "two = 1 + 1",
    "print('last', [row.path for row in cloud.tape().rows])",
    "_ = cloud.images(); print('same', [row.path for row in cloud.tape().rows][-1:])",
    "import threading; thread = threading.Thread(target=cloud.flavors); thread.start(); thread.join()",
    "_ = cloud.limits(); thread = threading.Thread(target=cloud.servers); thread.start(); thread.join()",
    "print('mine', [row.path for row in cloud.tape().rows][:1], cloud.tape().background)",
]:
    shell.run_cell(cell, store_history=True).raise_error()
cloud = shell.user_ns["cloud"]
cloud.images()  # between cells, as a widget's callback
shell.run_cell("print('between', [row.path for row in cloud.tape().rows][:1], cloud.tape().background)")
"""


def test_in_ipython_the_tape_shows_the_last_cell_that_asked(embedded: Path, backend: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK],
        env=os.environ | {"FAAFO_LAB_BACKEND": backend, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace(".json", "").splitlines() == [
        "first ['/networks']",
        "last ['/os-keypairs', '/servers/detail']",
        "same ['/images']",
        "mine ['/limits'] 1",
        "between ['/limits'] 2",
    ]
