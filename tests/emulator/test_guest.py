"""What an instance is to the programs in it: a disk, an environment, user data, units, commands, SSH."""

from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator.machinery.guest.console import KEPT_BYTES, Console
from faafo_lab.cloud.emulator.machinery.guest.units import UnitError, read_unit
from faafo_lab.cloud.emulator.machinery.hypervisor import governor
from faafo_lab.cloud.emulator.machinery.hypervisor.client import HypervisorError
from tests.emulator import machine_room
from tests.emulator.machine_room import Room, alive
from tests.programs import possible
from tests.waiting import LIMIT_SECONDS, wait_for

machine, room = machine_room.machine, machine_room.room


def write_unit(name: str, text: str) -> str:
    """The line of a script that writes a unit file."""
    return f"cat > $INSTANCE_ROOT/etc/systemd/system/{name}.service <<'UNIT'\n{text}\nUNIT\n"


def in_instance(room: Room, command: str, id: str = "one") -> subprocess.CompletedProcess[str]:
    """Run a command as a program of the instance would: in its environment, from the outside."""
    disk = room.disk(id)
    environment = {
        "PATH": f"{disk}/bin:/usr/bin:/bin",
        "INSTANCE_ROOT": str(disk),
        "INSTANCE_PORTS": str(room.ports(id)),
        "PROCFS": str(disk.parent / "procfs"),
        "HOSTNAME": f"vm-{id}",
        "SHELL": "/bin/sh",
    }
    return subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


# The boot


def test_user_data_runs_once_as_a_program_with_a_clean_environment(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.boot(user_data="#!/usr/bin/env bash\npwd; env | sort; echo ran >> $HOME/runs; read -r x || echo no input\n")
    console = room.finished()
    disk = room.disk()
    assert f"\n{disk}/home/ubuntu\n" in console
    assert "no input" in console
    for line in (f"INSTANCE_ROOT={disk}", "HOSTNAME=vm-one", f"TMPDIR={disk}/tmp", "FAAFO_LAB_INSTANCE=one"):
        assert f"\n{line}\n" in console
    assert f"\nPATH={disk}/bin:/usr/local/bin:/usr/bin:/bin\n" in console
    assert "VIRTUAL_ENV" not in console
    assert "PYTEST_CURRENT_TEST" not in console
    assert "Cloud-init v. " in console
    assert " finished at " in console
    room.boot_again("#!/bin/sh\necho ran >> $HOME/runs\n")
    assert (disk / "home/ubuntu/runs").read_text() == "ran\n"


def test_user_data_that_was_cut_short_runs_at_the_next_boot(room: Room) -> None:
    script = "#!/bin/bash\necho ran >> $HOME/runs\n[ $(wc -l < $HOME/runs) = 2 ] || exec sleep 1000\n"
    room.boot(user_data=script)
    runs = room.disk() / "home/ubuntu/runs"
    wait_for("the first run", lambda: runs.exists() and runs.read_text() == "ran\n")
    room.kill()
    room.boot(first_boot=False, user_data=script)
    room.finished()
    assert runs.read_text() == "ran\nran\n"


def test_gzipped_user_data_runs(room: Room) -> None:
    room.boot(user_data=gzip.compress(b"#!/bin/sh\necho from-gzip\n"))
    assert "\nfrom-gzip\n" in room.finished()


@pytest.mark.parametrize(
    ("user_data", "sentence"),
    [
        ("#!/bin/sh\nexit 3\n", "The user data failed: exit status 3."),
        ("#!/no/such/shell\n", "'#!/no/such/shell' cannot be run: No such file or directory."),
        ("#cloud-config\npackages: [x]\n", "packages: x cannot be installed"),
        (b"\x1f\x8bxx", "The user data cannot be decoded"),
        (b"\xff\xfe\x00", "this cloud runs scripts, which start with #!"),
    ],
    ids=["fails", "no interpreter", "cloud-config", "broken gzip", "binary"],
)
def test_user_data_that_does_not_run_well_is_told_on_the_console(
    room: Room, user_data: str | bytes, sentence: str
) -> None:
    room.boot(user_data=user_data)
    assert sentence in room.finished()
    assert in_instance(room, "cloud-init status --wait").stdout == "status: error\n"


def test_the_instance_has_its_own_host_name(room: Room) -> None:
    room.boot(user_data="#!/bin/sh\nhostname; uname -n > node\n")
    console = room.finished()
    assert "\nvm-one\n" in console
    if "in HOSTNAME only" not in console:
        assert (room.disk() / "home/ubuntu/node").read_text() == "vm-one\n"
    assert os.uname().nodename != "vm-one"


def test_another_user_namespace_still_works_inside(room: Room) -> None:
    unshare = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "id", "-u"]
    if not possible(*unshare):
        pytest.skip("this system allows no user namespaces")
    room.boot(user_data=f"#!/bin/sh\n{' '.join(unshare)} > uid\n")
    room.finished()
    assert (room.disk() / "home/ubuntu/uid").read_text() == "1000\n"


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside-of-the-disk", "bin/../../outside"])
def test_an_image_cannot_write_outside_of_its_disk(room: Room, name: str) -> None:
    image = room.directory / "evil.tar.gz"
    with tarfile.open(image, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    if name.startswith("/"):  # taken as relative to the disk
        room.boot(image_path=str(image))
    else:
        with pytest.raises(HypervisorError, match="cannot be unpacked"):
            room.boot(image_path=str(image))
        assert not room.disk().exists()
    assert not (room.disk() / name).resolve().exists() or name.startswith("/")
    assert not Path("/tmp/outside-of-the-disk").exists()


def test_an_image_cannot_reach_outside_by_a_link(room: Room) -> None:
    image = room.directory / "evil.tar.gz"
    with tarfile.open(image, "w:gz") as archive:
        link = tarfile.TarInfo("etc")
        link.type, link.linkname = tarfile.SYMTYPE, "../.."
        archive.addfile(link)
    with pytest.raises(HypervisorError, match="cannot be unpacked"):
        room.boot(image_path=str(image))


def test_the_console_log_keeps_its_end_only(tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log")
    for number in range(20_000):
        console.raw(f"line {number}, somewhat longer than a number\n".encode())
    console.line("the end")
    text = (tmp_path / "console.log").read_text()
    assert len(text) <= KEPT_BYTES * 1.3
    assert text.startswith("line ")
    assert text.endswith("] the end\n")


def test_the_emulator_can_write_to_the_console(room: Room) -> None:
    room.boot()
    room.finished()
    room.call(room.hypervisor.console, "one", "switch: a word")
    wait_for("the line", lambda: "] switch: a word\n" in room.console())


# Units


def test_systemctl_and_journalctl_know_a_unit_from_its_file_to_its_end(room: Room) -> None:
    unit = write_unit(
        "web",
        "[Unit]\nDescription=A web server\nAfter=network.target\n"
        "[Service]\nEnvironment=A=1 'B=two words'\nExecStart=/bin/sh -c 'echo serving $A $B; exec sleep 1000'\n"
        "[Install]\nWantedBy=multi-user.target",
    )
    room.boot(user_data=f"#!/bin/bash\n{unit}systemctl enable --now web\n")
    room.finished()
    assert in_instance(room, "systemctl is-active web").stdout == "active\n"
    assert in_instance(room, "systemctl is-enabled web.service").stdout == "enabled\n"
    wait_for("its output", lambda: in_instance(room, "journalctl -u web").stdout == "serving 1 two words\n")
    status = in_instance(room, "systemctl status web")
    assert "web.service - A web server" in status.stdout
    assert "active (running)" in status.stdout
    assert "serving 1 two words" in status.stdout
    assert "web.service" in in_instance(room, "systemctl list-units --no-pager").stdout
    assert len(room.pids()) == 2
    stopped = in_instance(room, "sudo systemctl disable --now web")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert len(room.pids()) == 1
    inactive = in_instance(room, "systemctl is-active web")
    assert (inactive.returncode, inactive.stdout) == (3, "inactive\n")
    assert in_instance(room, "systemctl status web").returncode == 3
    assert in_instance(room, "systemctl restart web; systemctl is-active web").stdout == "active\n"


def test_systemctl_says_what_is_wrong(room: Room) -> None:
    room.boot()
    room.finished()
    missing = in_instance(room, "systemctl start nothing")
    assert (missing.returncode, missing.stderr) == (5, "Unit nothing.service not found.\n")
    assert in_instance(room, "systemctl status nothing").returncode == 4
    assert "Unknown command verb 'dance'" in in_instance(room, "systemctl dance web").stderr
    assert "is no name of a unit" in in_instance(room, "systemctl start ../../x").stderr
    (room.disk() / "etc/systemd/system/bad.service").write_text("[Service]\nExecStart=/no/such/program\n")
    bad = in_instance(room, "systemctl start bad")
    assert bad.returncode == 1
    assert "/no/such/program" in bad.stderr


def test_a_crashed_unit_is_started_again_and_one_that_ends_again_and_again_is_given_up(room: Room) -> None:
    steady = write_unit("steady", "[Service]\nExecStart=/bin/sleep 1000\nRestart=on-failure\nRestartSec=50ms")
    looping = write_unit(
        "looping",
        "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=1min\n"
        "[Service]\nExecStart=/bin/sh -c 'echo no database; exit 1'\nRestart=always\nRestartSec=0",
    )
    patient = write_unit(
        "patient", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=0"
    )
    room.boot(user_data=f"#!/bin/bash\n{steady}{looping}{patient}systemctl start steady looping patient\n")
    room.finished()
    main = next(pid for pid in room.pids() if machine_room.tree.read(f"/proc/{pid}/cmdline").startswith(b"/bin/sleep"))
    os.kill(main, signal.SIGKILL)
    wait_for("the restart", lambda: "steady.service: started again" in room.console())
    assert "steady.service: ended, killed by SIGKILL" in room.console()
    assert not alive(main)
    wait_for("the end of it", lambda: "Failed to start looping.service" in room.console())
    assert room.console().count("looping.service: started again") == 2
    assert "looping: no database" in room.console()
    assert in_instance(room, "systemctl is-active looping").stdout == "failed\n"
    assert "failed (Result" in in_instance(room, "systemctl status looping").stdout
    wait_for("no end of it", lambda: room.console().count("patient.service: started again") > 5)
    assert in_instance(room, "systemctl stop patient; systemctl is-active patient").stdout == "inactive\n"
    in_instance(room, "systemctl start looping")  # by hand, as often as one likes
    wait_for("three more", lambda: room.console().count("Failed to start looping.service") == 2)


def test_a_unit_is_signalled_frozen_and_thawed_with_its_children_though_the_governor_holds_them(room: Room) -> None:
    busy = "python3 -c 'while True: pass'"
    unit = write_unit(
        "busy", f'[Service]\nExecStart=/bin/sh -c "{busy} & exec {busy}"\nRestart=always\nRestartSec=100ms'
    )
    room.boot(user_data=f"#!/bin/bash\n{unit}systemctl start busy\n", cores=0.25)
    room.finished()
    wait_for("its two processes", lambda: len(room.pids()) == 3)
    children = room.pids()[1:]

    def runs() -> bool:
        before = [governor.posix_clock(pid) for pid in children]
        time.sleep(0.5)
        return before != [governor.posix_clock(pid) for pid in children]

    wait_for("work", runs)
    assert in_instance(room, "systemctl freeze busy").returncode == 0
    wait_for("the end of work", lambda: not runs())
    assert not runs()
    assert in_instance(room, "systemctl is-active busy").stdout == "active\n"
    assert in_instance(room, "systemctl thaw busy").returncode == 0
    wait_for("work again", runs)
    assert in_instance(room, "sudo systemctl freeze busy && systemctl kill --signal=SIGKILL busy").returncode == 0
    wait_for("its next life", lambda: "busy.service: started again" in room.console())
    assert not [pid for pid in children if alive(pid)]
    wait_for("two new processes", lambda: len(room.pids()) == 3)
    children = room.pids()[1:]
    wait_for("work of its next life", runs)
    stopped = in_instance(room, "systemctl freeze busy; systemctl stop busy; systemctl is-active busy")
    assert stopped.stdout == "inactive\n"
    assert "is not active (inactive)" in in_instance(room, "systemctl kill busy").stderr
    assert "signal string WHAT" in in_instance(room, "systemctl kill --signal=WHAT busy").stderr


def test_a_unit_takes_its_children_along_when_it_stops(room: Room) -> None:
    unit = write_unit("many", "[Service]\nExecStart=/bin/bash ${HOME}/many.sh\nTimeoutStopSec=500ms")
    script = "(trap '' TERM; exec sleep 1000) & setsid sleep 1001 & (sleep 1002 &) ; exec sleep 1003"
    room.boot(user_data=f"#!/bin/bash\n{unit}cat > many.sh <<'X'\n{script}\nX\nsystemctl start many\n")
    room.finished()
    wait_for("its five processes", lambda: len(room.pids()) == 5)
    assert in_instance(room, "systemctl stop many").returncode == 0
    assert len(room.pids()) == 1


STOPPED_WHILE_STRAGGLERS_DIE = """
import asyncio, os, sys
from pathlib import Path
from faafo_lab.cloud.emulator.machinery.guest.children import Children
from faafo_lab.cloud.emulator.machinery.guest.console import Console
from faafo_lab.cloud.emulator.machinery.guest.supervisor import Supervisor
from faafo_lab.cloud.emulator.system import tree

async def main(disk):
    tree.adopt_orphans()
    children = Children()
    children.watch()
    environment = {"PATH": os.environ["PATH"], "HOME": str(disk)}
    supervisor = Supervisor(disk, environment, children, Console(disk / "console.log"))
    await supervisor.start("a")
    service = supervisor.service("a")
    await service.child.code
    while tree.children(os.getpid()):  # its straggler is killed next
        await asyncio.sleep(0)
    await supervisor.stop("a")
    await asyncio.wait([service.keeper], return_when=asyncio.FIRST_COMPLETED, timeout=float(sys.argv[2]))
    print(supervisor.service("a").state, service.keeper.done(), tree.children(os.getpid()))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_unit_that_is_stopped_while_its_stragglers_die_does_not_start_again(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    (tmp_path / "var/log").mkdir(parents=True)
    (units / "a.service").write_text("[Service]\nExecStart=/bin/sh -c 'sleep 1000 & exit 1'\nRestart=always\n")
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_WHILE_STRAGGLERS_DIE, str(tmp_path), str(LIMIT_SECONDS)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "inactive True []\n"


def test_enabled_units_start_at_every_boot(room: Room) -> None:
    unit = write_unit("web", "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target")
    room.boot(user_data=f"#!/bin/bash\n{unit}systemctl enable web\n")
    room.finished()
    assert in_instance(room, "systemctl is-active web").stdout == "inactive\n"
    room.do(room.hypervisor.shutdown("one", 10))
    room.boot(first_boot=False)
    wait_for("the unit", lambda: in_instance(room, "systemctl is-active web").stdout == "active\n")


def test_poweroff_is_news_and_reboot_boots_again(room: Room) -> None:
    room.boot(user_data="#!/bin/sh\necho ran >> $HOME/runs\n")
    room.finished()
    (init,) = room.pids()
    assert in_instance(room, "sudo reboot").returncode == 0
    wait_for("the second boot", lambda: room.console().count("Startup finished") == 2)
    assert room.pids() != [init]
    assert (room.disk() / "home/ubuntu/runs").read_text() == "ran\n"
    assert room.exits == []
    in_instance(room, "sudo poweroff")
    wait_for("the news", lambda: room.exits == ["one"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[Service]\n", "exactly one ExecStart= is needed, not 0"),
        ("[Service]\nExecStart=/bin/a 'b\n", "ExecStart=/bin/a 'b has an open quotation mark"),
        ("[Service]\nExecStart=/bin/a\nRestart=sometimes\n", "Restart=sometimes is not supported"),
        ("[Service]\nExecStart=/bin/a\nRestartSec=soon\n", "RestartSec=soon is no time span"),
        ("[Unit]\nStartLimitBurst=few\n[Service]\nExecStart=/bin/a\n", "StartLimitBurst=few is no number"),
        ("[Service]\nExecStart=/bin/a\nKillSignal=SIGNOT\n", "KillSignal=SIGNOT is no signal"),
        ("[Service]\nExecStart=/bin/a\nEnvironment=novalue\n", "'novalue', which is not of the form NAME=value"),
        ("[Service]\nnonsense\n", "line 2: 'nonsense'"),
        ("[Service]\nExecStart=/bin/a\nType=forking\n", "Type=forking is not supported"),
        ("[Service]\nExecStart=/bin/a ; /bin/b\n", "has more than one command"),
        ("[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n", "has more than one command"),
        ("[Service]\nExecStart=@/bin/a b\n", "has the prefix @, which is not supported"),
        ("[Service]\nExecStart=$PROGRAM -x\n", "must begin with a program"),
        ("[Service]\nExecStart=/bin/date +%Y\n", "has %Y, which is not supported here: write %%"),
        ("[Service]\nExecStart=/bin/a '\\000'\n", r"has \\000, which is no character"),
        ("[Service]\nExecStart=/bin/a\nWorkingDirectory=here\n", "WorkingDirectory=here is no absolute path"),
    ],
)
def test_a_wrong_unit_file_is_one_clear_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "x.service"
    path.write_text(text)
    with pytest.raises(UnitError, match=sentence):
        read_unit(path)


def test_a_unit_file_is_read_as_systemd_reads_it(tmp_path: Path) -> None:
    (tmp_path / "env").write_text('# a comment\nFILE=1\nQUOTED="a b"\n')
    path = tmp_path / "x.service"
    path.write_text(
        "; a comment\n[Service]\nExecStart=/bin/old\nExecStart=\nExecStart=/bin/new --name ${NAME} \\\n  'two words'\n"
        f"Environment=A=1 B=2\nEnvironment=A=3\nEnvironmentFile=-/no/such\nEnvironmentFile={tmp_path}/env\n"
        "Restart=always\nRestartSec=1min 500ms\nTimeoutStopSec=5\nKillSignal=SIGINT\nNice=5\n"
    )
    unit = read_unit(path)
    assert (unit.start_limit_burst, unit.start_limit_seconds) == (5, 10.0)
    assert unit.argv({"NAME": "n"}) == ["/bin/new", "--name", "n", "two words"]
    assert unit.variables() == {"A": "3", "B": "2", "FILE": "1", "QUOTED": "a b"}
    assert (unit.restart, unit.restart_seconds, unit.stop_seconds) == ("always", 60.5, 5.0)
    assert unit.kill_signal == signal.SIGINT
    assert unit.ignored == ("Nice",)


UNIT_ENVIRONMENT = {"INSTANCE_ROOT": "/disk", "HOME": "/disk/home", "HOSTNAME": "vm.example", "USER": "ubuntu"}


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("$ONE $TWO ${TWO} $NONE ${NONE}", ["one", "two", "words", "two words", ""]),
        ("x${TWO}y x$ONE ${ONE}$$ $$ONE $$", ["xtwo wordsy", "x$ONE", "one$", "$ONE", "$"]),
        ("$QUOTED", ["a b", "c"]),
        ("sh -c 'echo $ONE; ${ONE}'", ["sh", "-c", "echo $ONE; one"]),
        ("a\\x20b\\tc \\; d\\.e 'it\\'s'", ["a b\tc", ";", "d\\.e", "it's"]),
        ("%n %p %i %I", ["x@a-b.service", "x", "a-b", "a/b"]),
        ("%H %l %u %h 100%% %S %x", ["vm.example", "vm", "ubuntu", "/disk/home", "100%", "/disk/var/lib", "%x"]),
    ],
    ids=["words", "dollars", "quotes", "a shell's", "escapes", "names", "specifiers"],
)
def test_a_units_command_has_what_systemd_gives_it(tmp_path: Path, command: str, argv: list[str]) -> None:
    (tmp_path / "x@.service").write_text(
        f'[Service]\nEnvironment=ONE=one "TWO=two words" \'QUOTED="a b" c\'\nExecStart=/bin/echo {command}\n'
    )
    unit = read_unit(tmp_path / "x@a-b.service", UNIT_ENVIRONMENT)
    assert unit.argv({**UNIT_ENVIRONMENT, **unit.variables()}) == ["/bin/echo", *argv]


def test_a_prefix_of_a_command_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "x.service"
    path.write_text("[Service]\nExecStart=-:/bin/echo ${HOME} $$\n")
    unit = read_unit(path, UNIT_ENVIRONMENT)
    assert unit.argv(UNIT_ENVIRONMENT) == ["/bin/echo", "${HOME}", "$$"]
    assert unit.may_fail
    path.write_text("[Service]\nExecStart=+${INSTANCE_ROOT}/bin/echo\n")
    assert read_unit(path, UNIT_ENVIRONMENT).argv(UNIT_ENVIRONMENT) == ["/disk/bin/echo"]


def test_kubeadms_unit_and_its_drop_in_are_one(tmp_path: Path) -> None:
    """The kubelet's unit gives no arguments; kubeadm's drop-in replaces its command, from files that may be missing."""
    path = tmp_path / "kubelet.service"
    path.write_text(
        "[Unit]\nDescription=kubelet\nDocumentation=https://kubernetes.io/docs/\nWants=network-online.target\n"
        "After=network-online.target\n[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\nStartLimitInterval=0\n"
        "RestartSec=10\n[Install]\nWantedBy=multi-user.target\n"
    )
    (tmp_path / "kubelet.service.d").mkdir()
    (tmp_path / "kubeadm-flags.env").write_text(
        'KUBELET_KUBEADM_ARGS="--pod-infra=pause:3.9 --cgroup-driver=systemd"\n'
    )
    (tmp_path / "kubelet.service.d/10-kubeadm.conf").write_text(
        '[Service]\nEnvironment="KUBELET_KUBECONFIG_ARGS=--bootstrap=/etc/a.conf --kubeconfig=/etc/b.conf"\n'
        'Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/config.yaml"\n'
        f"EnvironmentFile=-{tmp_path}/kubeadm-flags.env\nEnvironmentFile=-{tmp_path}/default\nExecStart=\n"
        "ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_MORE\n"
    )
    unit = read_unit(path, {})
    assert unit.argv(unit.variables()) == [
        "/usr/bin/kubelet",
        *("--bootstrap=/etc/a.conf", "--kubeconfig=/etc/b.conf", "--config=/var/lib/config.yaml"),
        *("--pod-infra=pause:3.9", "--cgroup-driver=systemd"),
    ]
    assert (unit.start_limit_seconds, unit.restart_seconds, unit.ignored) == (0, 10, ())


def test_dockers_unit_is_refused_for_its_type_and_its_other_settings_are_told(tmp_path: Path) -> None:
    text = (
        "[Unit]\nAfter=network-online.target containerd.service\nWants=network-online.target\nRequires=docker.socket\n"
        "ConditionPathExists=/run\n[Service]\nType=notify\nExecStart=/usr/bin/dockerd -H fd://\n"
        "ExecReload=/bin/kill -s HUP $MAINPID\nTimeoutStartSec=0\nRestart=always\nStartLimitBurst=3\nDelegate=yes\n"
        "StartLimitInterval=60s\nKillMode=process\n[Install]\nWantedBy=multi-user.target\nAlso=docker.socket\n"
    )
    path = tmp_path / "docker.service"
    path.write_text(text)
    with pytest.raises(UnitError, match="Type=notify is not supported"):
        read_unit(path)
    path.write_text(text.replace("=notify", "=exec"))
    unit = read_unit(path)
    told = ("After", "Requires", "ConditionPathExists", "ExecReload", "TimeoutStartSec", "Delegate", "Also")
    assert (unit.ignored, unit.start_limit_burst, unit.start_limit_seconds) == (told, 3, 60.0)


def test_a_template_and_a_drop_in_run_and_a_failure_that_may_be_is_none(room: Room) -> None:
    template = write_unit(
        "web@",
        "[Service]\nExecStart=/bin/sh -c 'echo $$0 ${WORD}; exec sleep 1000' %i\n[Install]\nWantedBy=multi-user.target",
    )
    place = "$INSTANCE_ROOT/etc/systemd/system/web@.service.d"
    drop_in = f"mkdir -p {place}; printf '[Service]\\nEnvironment=WORD=in\\n' > {place}/a.conf\n"
    brief = write_unit("brief", "[Service]\nExecStart=-/bin/sh -c 'exit 3'\nRestart=on-failure")
    room.boot(
        user_data=f"#!/bin/bash\n{template}{drop_in}{brief}systemctl enable --now web@blue\nsystemctl start brief\n"
    )
    room.finished()
    wait_for("its output", lambda: in_instance(room, "journalctl -u web@blue").stdout == "blue in\n")
    assert in_instance(room, "systemctl is-enabled web@blue").stdout == "enabled\n"
    wait_for("its end", lambda: "brief.service: ended, exit status 3" in room.console())
    assert in_instance(room, "systemctl is-active brief").stdout == "inactive\n"


def test_uptime_shows_the_instances_own_load(room: Room) -> None:
    room.boot()
    assert " up 0 min,  1 user,  load average: 0." in in_instance(room, "uptime").stdout
