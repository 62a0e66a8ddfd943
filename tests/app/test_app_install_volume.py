"""install.sh -v on an instance: the database's files are on a volume, moved there whole or not at all.

The volume is a directory here, as the embedded cloud has it, and `systemctl` a script that notes how it is called.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.app.deployment import Deployment
from tests.app.test_app_install import Machine
from tests.waiting import LIMIT_SECONDS, wait_for

ID = "6f70656e-7374-4163-8b00-000000000000"
WORDS = ["-i", "database", "-v", ID]
STARTED = ["daemon-reload", "enable --now faafo-database"]


class WithVolume(Machine):
    """A machine to which a volume can be attached."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self.home = deployment.root / "var/lib/postgresql"
        self.volume = deployment.place / "cloud" / ID
        self.volume.mkdir(parents=True)
        self.volumes = deployment.root.parent / "volumes"
        self.volumes.mkdir()

    def attach(self) -> None:
        (self.volumes / "vdb").symlink_to(self.volume)

    def keep(self, **more: str) -> subprocess.CompletedProcess[str]:
        return self.install(*WORDS, INSTANCE_VOLUMES=str(self.volumes), **more)

    def database(self, place: Path, content: str = "rows") -> None:
        (place / "data").mkdir(parents=True)
        (place / "data" / "table").write_text(content)

    @property
    def kept(self) -> str:
        return (self.volume / "postgresql/data/table").read_text()


@pytest.fixture
def machine(bare: Deployment) -> WithVolume:
    return WithVolume(bare)


def test_on_an_empty_volume_a_new_database_has_its_place(machine: WithVolume) -> None:
    machine.attach()
    for _ in range(2):
        done = machine.keep()
        assert done.returncode == 0, done.stderr
        assert machine.calls() == STARTED
        assert machine.home.is_symlink()
        assert machine.home.resolve() == machine.volume / "postgresql"
        assert "is on volume" not in done.stdout


def test_a_database_that_is_on_the_volume_is_used_as_it_is(machine: WithVolume) -> None:
    machine.attach()
    machine.database(machine.volume / "postgresql")
    assert machine.keep().returncode == 0
    assert (machine.home / "data/table").read_text() == "rows"


def test_it_waits_for_the_volume(machine: WithVolume) -> None:
    (machine.volumes / "vdb").symlink_to(machine.volume.with_name("another"))
    values = machine.deployment.environment(
        PATH=f"{machine.bin}:{os.environ['PATH']}", INSTANCE_VOLUMES=str(machine.volumes)
    )
    process = machine.deployment.launch("install", str(machine.bin / "faafo-install"), *WORDS, **values)
    wait_for("the wait", lambda: f"waiting for volume {ID}" in machine.deployment.log("install"))
    assert not machine.home.exists()
    (machine.volumes / "vdc").symlink_to(machine.volume)
    assert process.wait(LIMIT_SECONDS) == 0, machine.deployment.log("install")
    assert machine.home.resolve() == machine.volume / "postgresql"


def test_a_database_is_stopped_moved_and_started(machine: WithVolume) -> None:
    machine.attach()
    machine.database(machine.home)
    done = machine.keep()
    assert done.returncode == 0, done.stderr
    assert f"the database is on volume {ID} now" in done.stdout
    assert machine.calls() == ["disable --now faafo-database", *STARTED]
    assert machine.home.resolve() == machine.volume / "postgresql"
    assert machine.kept == "rows"
    done = machine.keep()
    assert "now" not in done.stdout
    assert machine.calls() == STARTED


@pytest.mark.parametrize("at", ["cp", "mv", "rm", "ln"])
def test_a_move_that_is_killed_is_gone_on_with_and_starts_no_other_database_meanwhile(
    machine: WithVolume, at: str
) -> None:
    machine.attach()
    machine.database(machine.home)
    last = '"$(eval echo \\${$#})"'  # the path that is the command's last word
    machine.command(
        at,
        f'case {last} in *postgresql*) /bin/{at} "$@"; kill -9 $PPID;; *) exec /bin/{at} "$@";; esac',
    )
    assert machine.keep().returncode == -9
    assert machine.calls() == ["disable --now faafo-database"]
    (machine.bin / at).unlink()
    done = machine.keep()
    assert done.returncode == 0, done.stderr
    assert machine.calls()[-2:] == STARTED
    assert machine.home.resolve() == machine.volume / "postgresql"
    assert machine.kept == "rows"


def test_of_two_databases_none_is_chosen(machine: WithVolume) -> None:
    machine.attach()
    machine.database(machine.volume / "postgresql", "theirs")
    machine.database(machine.home, "mine")
    done = machine.keep()
    assert done.returncode == 1
    assert f"there is a database on volume {ID}, and another one in {machine.home}: delete" in done.stderr
    assert machine.calls() == []
    assert (machine.kept, (machine.home / "data/table").read_text()) == ("theirs", "mine")


def test_a_database_whose_volume_is_away_says_so_and_makes_no_other(machine: WithVolume) -> None:
    machine.attach()
    assert machine.keep().returncode == 0
    (machine.volumes / "vdb").unlink()
    done = machine.deployment.run("services", "database")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The database's volume is not attached" in done.stderr
    assert machine.home.is_symlink()
