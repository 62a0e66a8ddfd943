"""PostgreSQL and Valkey on an instance: durable, private, and without a secret that others can read."""

import os
import pwd
import signal
import stat
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from faafo_lab.app import numbers
from faafo_lab.app.errors import DatabaseAway
from faafo_lab.app.julia import Task
from faafo_lab.app.store import Store
from tests.app.deployment import Deployment, a_task
from tests.programs import possible
from tests.waiting import LIMIT_SECONDS, wait_for


def test_the_database_keeps_its_rows_over_a_kill_and_stale_files(bare: Deployment) -> None:
    bare.database()
    database = Store(bare.database_url())
    database.create_tables()
    task = Task(**a_task())
    database.add(task)
    bare.stop("database", signal.SIGKILL)
    bare.messaging()
    data = bare.root / "var/lib/postgresql/data"
    # its process id now belongs to somebody else
    (data / "postmaster.pid").write_text(f"{bare.processes['messaging'].pid}\n{data}\n1\n5432\n{bare.ports}\n\n")
    bare.database()
    assert database.get(task.uuid)["uuid"] == task.uuid
    database.close()
    assert bare.stop("database", signal.SIGINT) == 0


def test_a_half_made_database_is_made_again(bare: Deployment) -> None:
    unfinished = bare.root / "var/lib/postgresql/unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    bare.database()


def test_two_databases_do_not_share_one_disk(bare: Deployment) -> None:
    bare.database()
    second = bare.run("services", "database")
    assert (second.returncode, second.stdout) == (1, "")
    assert "already" in second.stderr


def test_a_database_without_tables_is_not_healthy(bare: Deployment) -> None:
    bare.database()
    database = Store(bare.database_url())
    with pytest.raises(DatabaseAway, match="tables are not there yet"):
        database.read(numbers.totals)
    database.create_tables()
    database.read(numbers.totals)
    database.close()


def test_the_database_asks_for_the_secret_and_listens_nowhere_else(bare: Deployment) -> None:
    bare.database()
    wrong = Store(bare.database_url().replace("faafo:", "faafo:not-"))
    with pytest.raises(DatabaseAway, match="password"):
        wrong.read(numbers.totals)
    wrong.close()
    engine = sa.create_engine(bare.database_url().replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW listen_addresses")) == ""
        assert connection.scalar(sa.text("SHOW fsync")) == "on"
        assert connection.scalar(sa.text("SELECT current_user")) == "faafo"
    engine.dispose()
    link = bare.ports / "5432"
    assert link.is_symlink()
    assert stat.S_ISSOCK(link.stat().st_mode)


def test_the_broker_asks_for_the_secret_and_it_is_on_no_command_line(bare: Deployment) -> None:
    import redis

    bare.messaging()
    bare.database()
    path = str(bare.ports / "6379")
    right = redis.Redis(unix_socket_path=path, password=bare.secret)
    assert right.ping()
    assert right.config_get("appendonly")["appendonly"] == "yes"
    right.close()
    stranger = redis.Redis(unix_socket_path=path)
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()
    stranger.close()
    assert stat.S_IMODE((bare.root / "var/lib/valkey/valkey.conf").stat().st_mode) == 0o600
    for process in bare.processes.values():
        for file in ("cmdline", "environ"):
            seen = Path(f"/proc/{process.pid}/{file}").read_bytes().decode()
            assert file == "environ" or (bare.secret or "") not in seen


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"INSTANCE_PORTS": ""}, "INSTANCE_PORTS is not set"),
        ({"INSTANCE_PORTS": "/tmp/" + "x" * 100}, "too long for a socket's path"),
    ],
)
@pytest.mark.parametrize("service", ["database", "messaging"])
def test_a_wrong_place_is_one_sentence(bare: Deployment, service: str, environment: dict[str, str], says: str) -> None:
    done = bare.run("services", service, **environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


ROOT, NOBODY = "root:x:0:0::/root:/bin/sh", "nobody:x:65534:65534::/:/bin/sh"
STOCK_MACHINE = """
mount --bind "$1" /etc/passwd
mount -t tmpfs -o "mode=$4" none "$2"
for each in /*; do
    if [ -L "$each" ]; then cp -a "$each" "$2"; elif [ -d "$each" ]; then
        mkdir "$2$each"
        mount --rbind "$each" "$2$each"
    fi
done
cd "$3"
shift 4
exec chroot . "$@"
"""  # a new root directory, in which the kernel refuses user namespaces; root's may be closed to all others


@pytest.mark.parametrize("uid", [0, 54321])
@pytest.mark.parametrize("accounts", [[ROOT, NOBODY], [ROOT]])
@pytest.mark.parametrize("namespaces", [True, False])
def test_the_database_needs_no_account_of_its_own(
    bare: Deployment, tmp_path: Path, uid: int, accounts: list[str], namespaces: bool
) -> None:
    """In a stock container: root and perhaps nobody have one, and whoever it runs under perhaps not; no HOME."""
    passwd, chroot = tmp_path / "passwd", tmp_path / "chroot"
    passwd.write_text("\n".join(accounts) + "\n")
    chroot.mkdir()
    place, mode = "/" if namespaces else str(chroot), "755" if uid else "700"
    words = ["unshare", "--mount", "--", "sh", "-euc", STOCK_MACHINE, "sh", str(passwd), str(chroot), place, mode]
    if uid and namespaces:
        words += ["unshare", "--user", f"--map-user={uid}", f"--map-group={uid}", "--"]
    elif uid:  # what this test has made is root's
        rights = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
        words += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *rights, "--"]
    if not possible(*words, "true"):
        pytest.skip("only root makes a machine with other accounts")
    assert possible(*words, "unshare", "--user", "true") == namespaces
    bare.command = [*words, *bare.command]
    bare.database()
    database = Store(bare.database_url())
    database.create_tables()
    database.close()
    assert bare.stop("database", signal.SIGINT) == 0
    bare.database()  # again, on the same data


def test_a_database_moves_to_another_account(bare: Deployment) -> None:
    """Such as a snapshot's, whose files are root's, to a machine without user namespaces, and back."""
    if os.geteuid() or not possible("setpriv", "--reuid=65534", "true"):
        pytest.skip("only root has several accounts")
    data, path = bare.root / "var/lib/postgresql/data", os.environ["PATH"]
    without = f"{refusing(bare.place, 'unshare')}:{path}"
    owners = []
    for number, commands in enumerate((path, without, path)):
        name = f"database-{number}"
        bare.start(name, "services", "database", PATH=commands)
        wait_for("PostgreSQL", partial(serves, bare, name))
        owners.append({file.stat().st_uid for file in (data, data / "base", data / "PG_VERSION")})
        assert bare.stop(name, signal.SIGINT) == 0
    assert owners == [{0}, {pwd.getpwnam("nobody").pw_uid}, {0}]


def test_root_who_cannot_become_anybody_is_told_so(bare: Deployment) -> None:
    commands = f"{refusing(bare.place, 'unshare', 'setpriv')}:{os.environ['PATH']}"
    process = bare.start("database", "services", "database", PATH=commands)
    if os.geteuid() == 0:
        assert process.wait(LIMIT_SECONDS) == 1
        assert "PostgreSQL does not run as root" in bare.log("database")
    else:  # nobody else needs to
        wait_for("PostgreSQL", partial(serves, bare, "database"))


def test_an_ordinary_user_can_run_both(bare: Deployment) -> None:
    """Root becomes one, in a user namespace; anybody else is one already."""
    words = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
    bare.command = [*words, *bare.command]
    bare.database()
    bare.messaging()
    database = Store(bare.database_url())
    database.create_tables()
    database.close()


def refusing(place: Path, *commands: str) -> Path:
    """A directory with these commands, which refuse to work."""
    (place / "bin").mkdir()
    for name in commands:
        (place / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (place / "bin" / name).chmod(0o755)
    return place / "bin"


def serves(machine: Deployment, name: str) -> bool:
    """Whether this database has come up."""
    return "ready to accept connections" in machine.log(name)
