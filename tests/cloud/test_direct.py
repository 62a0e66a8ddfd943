"""What the user's environment says reaches requests to real clouds, and none that stays on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

import faafo_lab
from faafo_lab import check, load, reach, widgets
from faafo_lab.cloud import BACKENDS, connect, direct
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, Unreachable
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home
from tests.waiting import wait_for

NETRC = "default login intruder password of-netrc\n"


class Recorder(ThreadingHTTPServer):
    """An HTTP server, or a proxy, that refuses everything and remembers it."""

    daemon_threads = True

    def __init__(self, status: int = 502) -> None:
        self.status = status
        self.got: list[str] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), Refusal)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Recorder:
        threading.Thread(target=self.serve_forever, name="recorder").start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Refusal(BaseHTTPRequestHandler):
    """The recorder's status for everything."""

    server: Recorder

    def refuse(self) -> None:
        self.server.got.append(f"{self.command} {self.path}")
        self.server.headers.append(dict(self.headers))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"error": {"message": "refused by the recorder", "code": self.server.status}}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_CONNECT = refuse

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture
def recorded(recorder: Recorder) -> Recorder:
    recorder.got.clear()
    recorder.headers.clear()
    return recorder


def hostile(proxy: str, home: Path) -> dict[str, str]:
    """An environment with everything that HTTP and database clients are known to read."""
    (home / ".netrc").write_text(NETRC)
    (home / ".netrc").chmod(0o600)
    (home / ".curlrc").write_text(f'proxy = "{proxy}"\n')
    nowhere = str(home / "nowhere")
    proxies = {
        name: proxy for scheme in ("http", "https", "all") for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper())
    }
    postgres = {"PGHOST": "192.0.2.1", "PGPORT": "9", "PGUSER": "intruder", "PGPASSWORD": "wrong", "PGDATABASE": "none"}
    postgres |= {"PGSSLMODE": "verify-full", "PGSERVICE": "none", "PGDATA": nowhere, "PGOPTIONS": "-c nonsense=1"}
    bundles = dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"), nowhere)
    return {"HOME": str(home), "no_proxy": "", "NO_PROXY": "", **proxies, **postgres, **bundles}


@pytest.fixture(scope="module", params=BACKENDS)
def cloud(
    request: pytest.FixtureRequest, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """A cloud that was started and connected to in a hostile environment."""
    home = tmp_path_factory.mktemp("home")
    recorder.got.clear()
    with own_home(FAAFO_LAB_CLOUD="embedded", FAAFO_LAB_BACKEND=request.param, **hostile(recorder.url, home)):
        yield faafo_lab.connect()


def test_the_whole_of_a_deployment_depends_on_nothing_of_it(
    cloud: Cloud, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check.setup().passed  # it connects
    spared = os.environ["NO_PROXY"]
    monkeypatch.setenv("no_proxy", "")  # the lab's own requests don't need it
    monkeypatch.setenv("NO_PROXY", "")
    app = Topology(cloud, say=lambda line: None).deploy(api=1, worker=2)
    load.create(app.endpoints, load.same_tasks(3, width=64, height=48))
    load.watch(app, done=3)
    rows = load.run(app.endpoints, number=2, at_once=1)
    assert all(row.ok for row in rows)
    app.scale(worker=1)  # it drains the other one, for which the API wants the deployment's secret
    with widgets.dashboard(app) as board:
        wait_for("the dashboard to see them", lambda: (board.moment.done or 0) >= 3)
    with widgets.gallery(app, newest=3) as gallery:
        assert len(gallery.fractals) == 3
    assert "app-api-1" in repr(reach.matrix(app))
    told = cloud.run("app-api-1", "env").stdout
    assert "HOSTNAME=app-api-1" in told
    assert not [line for line in told.splitlines() if line.startswith("PG") or "_proxy" in line.lower()]
    program = subprocess.run(
        [Path(sys.executable).with_name("faafo"), "--endpoint-url", app.endpoint, "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    assert recorder.got == []
    assert requests.get(app.endpoint, timeout=30).status_code == 502  # a learner's own request, through the proxy …
    assert recorder.got == [f"GET {app.endpoint}/"]
    recorder.got.clear()
    monkeypatch.setenv("no_proxy", spared)
    assert requests.get(app.endpoint, timeout=30).ok  # … but for what `connect` has said
    app.destroy()
    assert cloud.receipt().nothing_left
    assert recorder.got == []


def test_a_fresh_process_needs_none_of_the_files_that_it_names(cloud: Cloud) -> None:
    code = "import faafo_lab; print(len(faafo_lab.connect().images()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


ENTRY = """
clouds:
  there: {{auth: {{auth_url: "{url}", username: demo, password: secret, project_name: demo,
          user_domain_id: default, project_domain_id: default}}, region_name: RegionOne}}
"""


@pytest.fixture
def hostile_here(recorded: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hostile(recorded.url, tmp_path).items():
        monkeypatch.setenv(name, value)


def there(url: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    (tmp_path / "clouds.yaml").write_text(ENTRY.format(url=url))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return connect("there", backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_requests_to_a_real_cloud_go_through_the_users_proxy(
    backend: str, recorded: Recorder, hostile_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = there("http://cloud.example:5000/v3", backend, tmp_path, monkeypatch)
    with pytest.raises(CloudError):
        cloud.images()
    assert recorded.got
    assert all(line.split()[1].startswith("http://cloud.example:5000/") for line in recorded.got)
    assert os.environ["NO_PROXY"] == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_certificates_of_a_real_cloud_are_checked_with_the_users_authorities(
    backend: str, recorded: Recorder, hostile_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("SSL_CERT")]:
        monkeypatch.delenv(name)
    cloud = there("https://198.51.100.1:5000/v3", backend, tmp_path, monkeypatch)
    with pytest.raises(Unreachable, match=r"CA certificate bundle.*nowhere"):
        cloud.images()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cloud_on_this_machine_gets_no_password_of_netrc(
    backend: str, recorded: Recorder, hostile_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = there(f"{recorded.url}/v3", backend, tmp_path, monkeypatch)
    with pytest.raises(CloudError):
        cloud.images()
    assert recorded.got
    assert all(line.split()[1].startswith("/v3") for line in recorded.got)  # asked itself, not as a proxy
    assert not [headers for headers in recorded.headers if "Authorization" in headers]


def test_a_bearer_token_is_what_is_sent_wherever_it_goes(recorded: Recorder, hostile_here: None) -> None:
    for url in (recorded.url, "http://cloud.example/"):
        direct.get(url, auth=direct.bearer("mine"), timeout=30)
    assert [headers["Authorization"] for headers in recorded.headers] == ["Bearer mine"] * 2
    assert recorded.got == ["GET /", "GET http://cloud.example/"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.0/8"),
        ({"NO_PROXY": "a.example"}, "a.example,127.0.0.0/8"),
        ({"no_proxy": "b", "NO_PROXY": "a"}, "b,127.0.0.0/8"),
        ({"no_proxy": "127.0.0.0/8,c"}, "127.0.0.0/8,c"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_what_the_user_says_of_proxies_is_kept(before: dict[str, str], after: str) -> None:
    environ = dict(before)
    for _ in range(2):
        direct.spare_proxies(environ)
        assert environ == {"no_proxy": after, "NO_PROXY": after}


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.9.0.1:5000/identity", True),
        ("http://localhost/identity", True),
        ("http://[::1]:5000", True),
        ("http://cloud.example", False),
        ("https://10.0.0.1", False),
        ("http://127.0.0.1.example", False),
        ("http://127.0.0.1@cloud.example", False),
        ("http://[", False),
        (None, False),
    ],
)
def test_what_is_on_this_machine_goes_by_its_address(url: str | None, local: bool) -> None:
    assert direct.is_local(url) == local
