"""Commands over SSH, against a real SSH server that the test starts."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from faafo_lab.cloud import connect, keys, ssh
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CommandFailed, TimedOut, Unreachable
from faafo_lab.cloud.marks import file_of
from faafo_lab.cloud.model import Server
from faafo_lab.cloud.progress import listener
from tests.cloud.conftest import STRANGE

SERVER = Server("server-1", "one", "ACTIVE", floating_addresses=("127.0.0.1",))


class Sshd:
    """An SSH server in a thread; commands run in a shell."""

    def __init__(
        self, key: str, port: int = 0, host: str = "127.0.0.1", server_factory: type[asyncssh.SSHServer] | None = None
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.acceptor = self._do(self._listen(key, host, port, server_factory))
        self.port: int = self.acceptor.get_port()
        self.ran = threading.Event()

    async def _listen(
        self, key: str, host: str, port: int, server_factory: type[asyncssh.SSHServer] | None
    ) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            host,
            port,
            server_factory=server_factory,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=None if server_factory else asyncssh.import_authorized_keys(key),
            process_factory=self._run,
        )

    async def _run(self, process: asyncssh.SSHServerProcess[str]) -> None:
        child = await asyncio.create_subprocess_shell(
            process.command or "",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self.ran.set()
        try:
            out, err = await child.communicate()
        except asyncio.CancelledError:
            os.killpg(child.pid, signal.SIGKILL)
            await child.communicate()
            raise
        process.stdout.write(out.decode())
        process.stderr.write(err.decode())
        process.exit(child.returncode or 0)

    def _do(self, coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)  # type: ignore[arg-type]

    def close(self) -> None:
        async def close() -> None:
            self.acceptor.close()
            await self.acceptor.wait_closed()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._do(close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    server = Sshd(keys.public_key())
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(autouse=True)
def no_known_hosts(lab_home: Path) -> Iterator[None]:
    yield
    (lab_home / "known_hosts").unlink(missing_ok=True)


def at(port: int, **lab: object) -> Cloud:
    """A cloud whose servers' SSH is published at this port."""
    cloud = connect("lost", "shade")
    lab = {"published_ports": {"offset": port - ssh.SSH_PORT}, "ssh_user": "ubuntu", **lab}
    cloud.config = replace(cloud.config, lab=lab)
    return cloud


def test_a_command_gives_its_output_and_its_exit_code(clouds_yaml: Path, sshd: Sshd) -> None:
    done = at(sshd.port).run(SERVER, "echo out; echo err >&2; exit 3")
    assert done == ssh.Result("out\n", "err\n", 3)


def test_a_wrong_exit_code_is_an_error_where_asked(clouds_yaml: Path, sshd: Sshd) -> None:
    with pytest.raises(CommandFailed, match="exit code 3:\nno such thing"):
        at(sshd.port).run(SERVER, "echo no such thing >&2; exit 3", check=True)


def test_it_works_where_an_event_loop_runs(clouds_yaml: Path, sshd: Sshd) -> None:
    async def cell() -> ssh.Result:
        return at(sshd.port).run(SERVER, "echo from a notebook")

    assert asyncio.run(cell()).stdout == "from a notebook\n"


def test_the_users_own_ssh_config_plays_no_part(
    clouds_yaml: Path, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n    ProxyCommand /bin/false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert at(sshd.port, wait_seconds=5).run(SERVER, "echo direct").stdout == "direct\n"


def test_a_command_has_a_limit(clouds_yaml: Path, sshd: Sshd) -> None:
    with pytest.raises(TimedOut, match="'sleep 60' on server 'one'"):
        at(sshd.port).run(SERVER, "sleep 60", timeout_seconds=0.3)


def test_an_interrupt_ends_a_command(clouds_yaml: Path, sshd: Sshd) -> None:
    def interrupt() -> None:
        sshd.ran.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        at(sshd.port).run(SERVER, "sleep 60")
    thread.join()
    assert not [thread for thread in threading.enumerate() if thread.name == "ssh"]


def test_it_tries_again_until_the_server_answers_and_says_what_it_waits_for(clouds_yaml: Path) -> None:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    shown: list[str] = []
    started: list[Sshd] = []

    def note(line: str) -> None:
        shown.append(line)
        if "connection refused" in line and not started:
            started.append(Sshd(keys.public_key(), port))

    token = listener.set(note)
    try:
        assert at(port).run(SERVER, "echo at last").stdout == "at last\n"
    finally:
        listener.reset(token)
        for sshd in started:
            sshd.close()
    assert re.fullmatch(r"0/1 servers that answer SSH, [\d.]+ s: one at 127\.0\.0\.1: connection refused", shown[1])
    assert shown[-1].startswith("1/1 servers that answer SSH")


def test_nobody_there_is_told(clouds_yaml: Path, sshd: Sshd) -> None:
    sshd.acceptor.close()
    with pytest.raises(Unreachable, match=r"No SSH to server 'one' after [\d.]+ s: 127\.0\.0\.1: connection refused"):
        at(sshd.port, wait_seconds=0.2).run(SERVER, "true")


def test_a_server_without_the_key_is_told(clouds_yaml: Path) -> None:
    server = Sshd(asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode())
    try:
        with pytest.raises(
            Unreachable, match=r"permission denied as ubuntu.*'one' has no key pair, not with 'faafo-lab'"
        ):
            at(server.port, wait_seconds=0.2).run(SERVER, "true")
    finally:
        server.close()


def test_a_server_without_an_address_is_told(clouds_yaml: Path) -> None:
    with pytest.raises(CommandFailed, match="has no address yet"):
        at(22).run(replace(SERVER, floating_addresses=()), "true")


def test_a_changed_host_key_is_told(clouds_yaml: Path, sshd: Sshd, lab_home: Path) -> None:
    at(sshd.port).run(SERVER, "true")
    assert (lab_home / "known_hosts").read_text().startswith("lost:server-1 ssh-ed25519 ")
    at(sshd.port).run(SERVER, "true")
    assert len((lab_home / "known_hosts").read_text().splitlines()) == 1
    impostor = Sshd(keys.public_key())
    try:
        with pytest.raises(CommandFailed, match="a different host key than before"):
            at(impostor.port).run(SERVER, "true")
        at(impostor.port).run(replace(SERVER, id="server-2"), "true")  # another server is another matter
    finally:
        impostor.close()


def test_a_cloud_whose_name_has_a_blank_keeps_its_host_keys(clouds_yaml: Path, sshd: Sshd) -> None:
    def mine(port: int) -> Cloud:
        cloud = at(port)
        cloud.name = "my cloud"
        return cloud

    mine(sshd.port).run(SERVER, "true")
    impostor = Sshd(keys.public_key())
    try:
        with pytest.raises(CommandFailed, match="a different host key than before"):
            mine(impostor.port).run(SERVER, "true")
    finally:
        impostor.close()


def test_the_labs_home_may_have_any_name(clouds_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / STRANGE
    monkeypatch.setenv("FAAFO_LAB_HOME", str(home))
    server = Sshd(keys.public_key())
    try:
        for _ in range(2):
            assert at(server.port).run(SERVER, "echo here").stdout == "here\n"
    finally:
        server.close()
    assert {path.name for path in home.iterdir()} == {"id_ed25519", "known_hosts"}
    file_of("team/my cloud", "chapter").write_text("an-id\n")
    assert len(list(home.iterdir())) == 3


def test_the_private_key_is_private_and_stays_the_same(lab_home: Path) -> None:
    path = keys.private_key_path()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = keys.public_key()
    assert first.startswith("ssh-ed25519 ")
    assert keys.public_key() == first


def test_two_that_make_the_key_at_once_get_the_same(lab_home: Path) -> None:
    keys.private_key_path().unlink(missing_ok=True)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(keys.public_key())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8


def test_secrets_differ_by_purpose_and_stay_the_same(lab_home: Path) -> None:
    assert keys.derive_secret("a") == keys.derive_secret("a") != keys.derive_secret("b")
    assert stat.S_IMODE((lab_home / "secret").stat().st_mode) == 0o600
