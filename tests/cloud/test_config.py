from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faafo_lab import links
from faafo_lab.cloud import BACKENDS, config, connect, keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import AuthError, ConfigError, Unreachable
from faafo_lab.paths import embedded_state_dir, home
from faafo_lab.workbook import stop_cloud
from tests.cloud.conftest import STRANGE

from ..programs import possible
from ..waiting import LIMIT_SECONDS
from .conftest import QUOTAS


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port where something listens and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_importing_the_package_loads_none_of_the_heavy_libraries() -> None:
    heavy = [
        "shade",
        "libcloud",
        "openstack",
        "tornado",
        "numpy",
        "matplotlib",
        "IPython",
        "asyncssh",
        "requests",
        "yaml",
        "tqdm",
    ]
    code = f"import sys, faafo_lab; sys.exit([name for name in {heavy} if name in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_backend_loads_its_own_library_alone(clouds_yaml: Path) -> None:
    for backend in BACKENDS:
        others = sorted({"shade", "libcloud"} - {backend})  # openstacksdk reads clouds.yaml, whatever the backend
        code = (
            f"import sys, faafo_lab; faafo_lab.connect('lost', {backend!r}); "
            f"sys.exit([name for name in {others} if name in sys.modules] or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")  # nor does it warn of what users can't change


def test_mending_shade_leaves_inspect_as_it_is() -> None:
    import inspect

    from faafo_lab.cloud import shade_compat

    assert shade_compat.shade.__name__ == "shade"
    assert not hasattr(inspect, "getargspec") or sys.version_info < (3, 11)


def test_the_home_follows_the_environment() -> None:
    assert home({"FAAFO_LAB_HOME": "/lab"}) == Path("/lab")
    assert home({"XDG_STATE_HOME": "/state"}) == Path("/state/faafo-lab")
    assert home({}) == Path.home() / ".local/state/faafo-lab"
    assert embedded_state_dir({"FAAFO_LAB_HOME": "/lab"}) == Path("/lab/embedded")


def test_without_any_home_the_variable_to_set_is_named() -> None:
    with pytest.raises(ConfigError, match="set FAAFO_LAB_HOME to a directory of your own"):
        home({"XDG_STATE_HOME": "~of-nobody-here/state"})


def test_a_user_without_an_account_or_a_home_can_use_both_libraries(tmp_path: Path) -> None:
    stranger = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    if not possible(*stranger, "true"):
        pytest.skip("this machine allows no user namespaces")
    code = """
from faafo_lab.cloud import config, errors
try:
    config.load("embedded")
except errors.ConfigError as error:
    print(error)
import asyncssh
asyncssh.SSHClientConnectionOptions(username="ubuntu")
"""
    done = subprocess.run(
        [*stranger, sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "FAAFO_LAB_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "There is no embedded cloud" in done.stdout


def test_a_missing_entry_names_those_that_exist(clouds_yaml: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load("lots")
    assert "'lots'. Did you mean 'lost'? There are: lost, embedded, other." in str(caught.value)


def test_the_labs_own_section_is_read(clouds_yaml: Path) -> None:
    clouds_yaml.write_text(
        clouds_yaml.read_text().replace("faafo_lab: {}", "faafo_lab: {network: lan, published_ports: {offset: 8000}}")
    )
    cloud = connect("lost", "shade")
    assert (cloud.config.network, cloud.config.ssh_user) == ("lan", None)
    assert connect("other", "shade").config.ssh_user == "debian"
    assert (cloud.published_port(80), cloud.published_port(22), cloud.published_port(5432)) == (8080, 8022, 5432)
    assert connect("other", "shade").published_port(80) == 80


def test_a_cache_section_does_not_break_shade(clouds_yaml: Path) -> None:
    clouds_yaml.write_text(clouds_yaml.read_text() + "cache: {expiration_time: 300}\n")
    assert not connect("lost", "shade")._shade.cache_enabled  # type: ignore[attr-defined]


def test_passwords_do_not_show(clouds_yaml: Path) -> None:
    cloud = connect("lost", "libcloud")
    assert "secret" not in repr(cloud.config) + repr(cloud) + cloud._repr_html_()


def test_a_cloud_shows_what_it_is(clouds_yaml: Path) -> None:
    assert repr(connect("lost", "shade")) == "<Cloud 'lost' through shade: project demo, region RegionOne>"
    assert "<th>backend</th><td>libcloud</td>" in connect("lost", "libcloud")._repr_html_()


def test_an_unknown_backend_names_the_known_ones(clouds_yaml: Path) -> None:
    with pytest.raises(ConfigError, match="no backend 'boto': choose one of shade, libcloud, openstacksdk"):
        connect("lost", "boto")


def test_the_environment_chooses_cloud_and_backend(clouds_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAAFO_LAB_CLOUD", "other")
    monkeypatch.setenv("FAAFO_LAB_BACKEND", "libcloud")
    cloud = connect()
    assert (cloud.name, cloud.backend) == ("other", "libcloud")


def test_an_unreachable_cloud_names_its_address(clouds_yaml: Path, backend: str) -> None:
    with pytest.raises(Unreachable, match=r"No OpenStack answers at http://127\.0\.0\.1:9/identity"):
        connect("lost", backend).servers()


def test_an_unknown_host_is_unreachable(clouds_yaml: Path, backend: str) -> None:
    clouds_yaml.write_text(clouds_yaml.read_text().replace("127.0.0.1:9", "cloud.invalid"))
    with pytest.raises(Unreachable, match=r"cloud\.invalid"):
        connect("lost", backend).images()


def test_a_cloud_that_never_answers_is_unreachable_after_its_time(
    clouds_yaml: Path, backend: str, mute_port: int
) -> None:
    text = clouds_yaml.read_text().replace("127.0.0.1:9/", f"127.0.0.1:{mute_port}/")
    clouds_yaml.write_text(text.replace("region_name", "api_timeout: 0.3\n    region_name"))
    with pytest.raises(Unreachable, match="does not answer in time"):
        connect("lost", backend).servers()


def test_an_address_of_something_else_is_told(embedded: Path, clouds_yaml: Path, backend: str) -> None:
    url = config.load("embedded").auth_url or ""
    clouds_yaml.write_text(clouds_yaml.read_text().replace("http://127.0.0.1:9/identity", url + "/nowhere"))
    with pytest.raises(Unreachable, match=r"No OpenStack answers at http.*/nowhere"):
        connect("lost", backend).servers()


def test_an_embedded_cloud_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "embedded").write_text("not a directory")
    monkeypatch.setenv("FAAFO_LAB_HOME", str(tmp_path))
    with pytest.raises(Unreachable, match="embedded is not a directory: choose another"):
        connect("embedded", "shade")


def test_a_cloud_outlives_a_restart_of_what_is_behind_it(embedded: Path, cloud: Cloud) -> None:
    from faafo_lab.cloud.emulator import control

    cloud.create_security_group("web")
    control.stop(embedded)
    try:
        with pytest.raises(Unreachable, match="connection is refused"):
            cloud.security_groups()
    finally:
        control.start(embedded, quotas=QUOTAS)
    assert [group.name for group in cloud.security_groups()] == ["default", "web"]


def test_a_wrong_password_is_told_as_such(embedded: Path, clouds_yaml: Path, backend: str) -> None:
    text = (embedded / "clouds.yaml").read_text()
    password = config.load("embedded").auth["password"]
    clouds_yaml.write_text(text.replace("embedded:", "wrong:").replace(password, "not-" + password))
    with pytest.raises(AuthError, match="refuses the credentials"):
        connect("wrong", backend).servers()


def test_every_backend_has_its_module() -> None:
    for name, (module, _) in BACKENDS.items():
        assert module.endswith("." + name)


def test_the_embedded_clouds_home_may_have_any_name(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAAFO_LAB_HOME", str(tmp_path / STRANGE))
    try:
        cloud = connect("embedded", backend)
        assert cloud.images()
        assert keys.ensure_key_pair(cloud).name == keys.KEY_PAIR_NAME
        address = cloud.create_floating_ip().address
        assert links.allowed(None, address)
        assert cloud.receipt().left == {"floating IPs": (address,), "key pairs": (keys.KEY_PAIR_NAME,)}
    finally:
        stop_cloud()
