"""Ways to servers without a floating address, and which user they let in: on the embedded cloud, and with OpenSSH."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from faafo_lab.cloud import keys, ssh
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CommandFailed, NotFound, Unreachable
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Image, Server
from faafo_lab.cloud.ssh import ways
from faafo_lab.cloud.ssh.connecting import Connector
from faafo_lab.cloud.ssh.users import USUAL, candidates
from faafo_lab.cloud.ssh.ways import Map, Target, Way
from tests.cloud.test_ssh import SERVER, Sshd, at
from tests.waiting import wait_for

AT_ONCE = 10


def boot(cloud: Cloud, name: str, group: str, mark: bool = True) -> Server:
    metadata = {ROLE_KEY: "test"} if mark else {}
    key = keys.ensure_key_pair(cloud)
    server = cloud.create_server(
        name, image="plain-linux", flavor="m1.tiny", key_pair=key, security_groups=[group], metadata=metadata
    )
    return cloud.wait_for(server, progress=False)[0]


@pytest.fixture
def jump(cloud: Cloud) -> Server:
    """A server of the lab with a floating address, which the cloud's list of servers, fetched before, lacks."""
    cloud.add_rule(cloud.create_security_group("outer"), 22)
    server = boot(cloud, "jump", "outer")
    cloud.attach_floating_ip(server, cloud.create_floating_ip())
    return server


@pytest.fixture
def inner(cloud: Cloud, jump: Server) -> Server:
    """A server that lets nobody but members of the jump host's group in."""
    cloud.add_rule(cloud.create_security_group("inner"), 22, remote_group="outer")
    return boot(cloud, "inner", "inner")


def test_a_server_without_a_floating_address_is_reached_through_one_that_has(cloud: Cloud, inner: Server) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = list(pool.map(lambda number: cloud.run(inner, f"hostname; echo {number}").stdout, range(AT_ONCE)))
    assert said == [f"inner\n{number}\n" for number in range(AT_ONCE)]
    results = ssh.run_all(cloud, [(inner, f"echo {number}") for number in range(AT_ONCE)], check=True)
    assert [result.stdout for result in results] == [f"{number}\n" for number in range(AT_ONCE)]


def test_a_file_arrives_whole_through_a_jump_host_too(cloud: Cloud, inner: Server) -> None:
    for size in (0, 3_000_001):  # the second replaces the first
        data = os.urandom(size)
        cloud.upload(inner, data, "a file")
        told = cloud.run(inner, "sha256sum 'a file'; ls -A | grep -c 'a file'").stdout.split()
        assert (told[0], told[-1]) == (hashlib.sha256(data).hexdigest(), "1")
    with pytest.raises(CommandFailed, match=r"the upload of '/nowhere/file' on server 'inner'.*\n.*No such file"):
        cloud.upload(inner, bytes(3_000_000), "/nowhere/file")


def test_only_running_servers_of_the_lab_serve_as_jump_hosts(cloud: Cloud, jump: Server, inner: Server) -> None:
    def through() -> list[str | None]:
        return [way.jump.server.name if way.jump else None for way in Map(cloud).target(inner).ways]

    assert through() == ["jump", None]
    cloud.stop_server(jump)
    cloud.wait_for(jump, "SHUTOFF", progress=False)
    assert through() == [None]
    cloud.delete_servers([jump], progress=False)
    stranger = boot(cloud, "stranger", "outer", mark=False)
    address = cloud.free_floating_ip()
    cloud.attach_floating_ip(stranger, address)
    assert through() == [None]
    assert Map(cloud).target(stranger).ways == (Way(address.address),)  # though `stranger` was listed before that


def test_where_no_ssh_can_come_it_is_said_at_once(
    cloud: Cloud, jump: Server, inner: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = cloud.server("jump").floating_addresses[0]
    cloud.detach_floating_ip(address)
    with pytest.raises(Unreachable, match=r"none of its security groups \(inner\) opens port 22 to you, or"):
        cloud.run(inner, "true")
    cloud.attach_floating_ip(inner, address)
    with pytest.raises(Unreachable, match=r"\.\d+: connection re.*none of its security groups \(inner\) opens port 22"):
        cloud.run(inner, "true")
    cloud.stop_server(inner)
    monkeypatch.setattr(ways, "ASLEEP_SECONDS", 0.0)
    with pytest.raises(Unreachable, match="No SSH to server 'inner', which is SHUTOFF"):
        cloud.run(inner, "true")
    cloud.delete_servers([inner], progress=False)
    gone = replace(inner, floating_addresses=(address,))
    with pytest.raises(NotFound, match="Server 'inner' was deleted while SSH waited for it"):
        ssh.run(cloud, gone, "true")
    with pytest.raises(NotFound, match="There is no server 'inner' any more: it was deleted"):
        cloud.run(gone, "true")


def test_a_private_address_that_says_nothing_is_told_from_one_that_refuses(
    cloud: Cloud, inner: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = cloud.server("jump").floating_addresses[0]
    cloud.detach_floating_ip(address)
    cloud.add_rule("inner", 22)
    map = Map(cloud)
    target = map.target(cloud.server("inner"))
    map.look_again([target])  # it may be that its network is not up yet
    monkeypatch.setattr(ways, "SILENT_SECONDS", 0.0)
    with pytest.raises(Unreachable, match=r"'inner': it has only a private address.*cloud\.attach_floating_ip"):
        map.look_again([target])
    target.silent = False
    map.look_again([target])
    cloud.attach_floating_ip("inner", address)
    target.silent = True  # it may still boot, and a floating address may be of a private range
    map.look_again([target])


def test_the_user_is_guessed_from_the_image() -> None:
    def first(name: str, **properties: str) -> str:
        return candidates(Image("id", name, "active", properties=properties))[0]

    assert first("Debian 12 (bookworm)") == "debian"
    assert first("jammy-server", os_distro="ubuntu") == "ubuntu"
    assert first("ubuntu-like", os_distro="debian") == "debian"
    assert first("Debian 12", os_admin_user="operator") == "operator"
    assert first("RHEL 9") == "cloud-user"
    assert candidates(Image("id", "ours", "active")) == candidates(None) == USUAL
    everyone = candidates(Image("id", "Debian", "active"), remembered="rocky")
    assert everyone[:3] == ("rocky", "debian", "ubuntu")
    assert set(everyone) == set(USUAL)


class OneUser(asyncssh.SSHServer):
    """Lets the lab's key in as `debian` alone."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def begin_auth(self, username: str) -> bool:
        if username == "debian":
            self.connection.set_authorized_keys(asyncssh.import_authorized_keys(keys.public_key()))
        return True


def test_the_user_that_is_let_in_is_said_and_remembered(
    cloud: Cloud, lab_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = Sshd(keys.public_key(), server_factory=OneUser)
    server = replace(SERVER, image_id=cloud.image("plain-linux").id)
    offset = {"offset": sshd.port - ssh.SSH_PORT}
    monkeypatch.setattr(cloud, "config", replace(cloud.config, lab={"published_ports": offset}))
    try:
        done = ssh.run(cloud, server, "echo in")
        assert (done.stdout, done.user) == ("in\n", "debian")
        assert capsys.readouterr().out == "one accepts the user 'debian', not ubuntu.\n"
        calls = len(cloud.tape(1000).calls)
        assert ssh.run(cloud, replace(server, id="server-2"), "echo in").user == "debian"
        assert len(cloud.tape(1000).calls) == calls  # of this image it is known
        assert capsys.readouterr().out == ""
        lab = {"published_ports": offset, "ssh_user": "operator", "wait_seconds": 0.2}
        monkeypatch.setattr(cloud, "config", replace(cloud.config, lab=lab))
        with pytest.raises(Unreachable, match="permission denied as operator"):
            ssh.run(cloud, server, "echo in")
    finally:
        sshd.close()
        for name in ("known_hosts", "ssh_users"):
            (lab_home / name).unlink(missing_ok=True)


@pytest.fixture
def openssh(tmp_path: Path) -> Iterator[int]:
    """OpenSSH's server at 127.0.0.2 as the distributions configure it, but more strict: its port."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("OpenSSH's sshd is not installed")
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.2", 0))
        port: int = chosen.getsockname()[1]
    (tmp_path / "authorized_keys").write_text(keys.public_key() + "\n")
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "host_key")
    (tmp_path / "host_key").chmod(0o600)
    config = (
        f"Port {port}\nListenAddress 127.0.0.2\nHostKey {tmp_path}/host_key\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/authorized_keys\nMaxStartups 2:50:4\nMaxSessions 1\n"
    )
    (tmp_path / "sshd_config").write_text(config)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen([program, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=log)
    try:
        wait_for("sshd", lambda: b"Server listening" in (tmp_path / "log").read_bytes() or process.poll())
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait()
        log.close()


@pytest.fixture
def behind(openssh: int) -> Iterator[Target]:
    """A server at 127.0.0.3, and OpenSSH the only way there."""
    user = getpass.getuser()
    sshd = Sshd(keys.public_key(), openssh, host="127.0.0.3")
    jump = Target(replace(SERVER, id="jump", name="jump"), (user,), (Way("127.0.0.2"),))
    try:
        yield Target(SERVER, (user,), (Way("127.0.0.3", jump),))
    finally:
        sshd.close()


def test_ten_at_once_go_through_one_openssh_that_admits_four_at_a_time(
    clouds_yaml: Path, openssh: int, behind: Target, lab_home: Path
) -> None:
    cloud = at(openssh)

    async def through(one_connector: bool) -> list[str]:
        async def run(connector: Connector, number: int) -> str:
            [way] = behind.ways
            assert way.jump is not None
            target = replace(behind, ways=(Way(way.address, replace(way.jump)),))
            async with await connector.connect(target) as connection:
                return str((await connection.run(f"echo {number}")).stdout)

        async def alone(number: int) -> str:
            async with Connector(Map(cloud), cloud.name, openssh, 60) as connector:
                return await run(connector, number)

        if not one_connector:
            return await asyncio.gather(*(alone(number) for number in range(AT_ONCE)))
        async with Connector(Map(cloud), cloud.name, openssh, 60) as connector:
            return await asyncio.gather(*(run(connector, number) for number in range(AT_ONCE)))

    try:
        for one_connector in (True, False):
            assert asyncio.run(through(one_connector)) == [f"{number}\n" for number in range(AT_ONCE)]
    finally:
        (lab_home / "known_hosts").unlink(missing_ok=True)


def test_a_jump_host_that_refuses_the_key_is_named(clouds_yaml: Path, lab_home: Path) -> None:
    sshd = Sshd(asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode(), host="127.0.0.2")
    jump = Target(replace(SERVER, id="jump", name="jump", key_name="mine"), ("debian",), (Way("127.0.0.2"),))
    target = Target(SERVER, ("debian",), (Way("127.0.0.3", jump), Way("127.0.0.3")))

    async def connect() -> None:
        async with Connector(Map(at(sshd.port)), "lost", sshd.port, 0.2) as connector:
            await connector.connect(target)

    try:
        with pytest.raises(Unreachable) as raised:
            asyncio.run(connect())
    finally:
        sshd.close()
    assert "127.0.0.3 through jump: no SSH to jump at 127.0.0.2, permission denied as debian" in str(raised.value)
    assert "'jump' was created with the key pair 'mine', not with 'faafo-lab'" in str(raised.value)
