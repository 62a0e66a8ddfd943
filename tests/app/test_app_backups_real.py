"""Backups on a Debian machine, with the packages' own PostgreSQL, as install.sh sets it up.

In a mount namespace the machine has an /etc/postgresql, a /var/lib/postgresql and an /opt of its own; `systemctl`,
which needs a machine that was booted, is a script that does with pg_ctlcluster what the package's unit does.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import faafo_lab
from tests.programs import possible, program
from tests.waiting import LIMIT_SECONDS

NAMESPACE = ["unshare", "--mount", "--"]
SYSTEMCTL = """#!/bin/sh
for last; do :; done
case "$1 $last" in
    'enable postgresql') action=start ;;
    *' postgresql' | *' postgresql@'*) action=$1 ;;
    *) exit 0 ;;
esac
pg_ctlcluster --skip-systemctl-redirect $(ls /etc/postgresql) main $action || [ $? -eq 2 ] # it is so already
"""
DRILL = """
for each in /etc/postgresql /var/lib/postgresql /var/run/postgresql /var/log/postgresql /opt; do
    mount -t tmpfs none $each
done
chown postgres /var/lib/postgresql /var/run/postgresql /var/log/postgresql
mkdir -p /opt/faafo/bin /opt/backups
chmod 777 /opt/backups
printf '#!/bin/sh\\nPYTHONPATH=%s exec %s "$@"\\n' "$CODE" "$PYTHON" > /opt/faafo/bin/python
chmod 755 /opt/faafo/bin/python
if ! runuser -u postgres -- test -x "$PYTHON"; then # a Python in a closed home: that of this machine is open
    home=/$(printf %s "$PREFIX" | cut -d/ -f2)
    mkdir /opt/prefix
    mount --bind "$PREFIX" /opt/prefix
    mount -t tmpfs -o mode=755 none "$home"
    mkdir -p "$PREFIX"
    mount --bind /opt/prefix "$PREFIX"
fi
pg_createcluster --port 54329 "$(ls /usr/lib/postgresql | tail -n 1)" main > /dev/null
trap 'systemctl stop postgresql; tail -n 20 /var/log/postgresql/* >&2' EXIT
bash "$INSTALL" -i database > /dev/null
faafo() { FAAFO_BACKUP_URL=file:///opt/backups "$PYTHON" -m faafo_lab.app.cli "$@"; }
sql() { runuser -u postgres -- psql -p 54329 -qtA faafo -c "$1"; }
sql 'CREATE TABLE notes (text text)'
sql "INSERT INTO notes VALUES ('one')"
faafo backup --log-seconds 1
sql "INSERT INTO notes VALUES ('two')"
before=$(sql 'SELECT clock_timestamp()')
sql 'DELETE FROM notes'
faafo restore --beside --to "$before"
echo "left: $(sql 'SELECT count(*) FROM notes')"
faafo restore --to "$before"
echo "back: $(sql 'SELECT count(*) FROM notes')"
sql "INSERT INTO notes VALUES ('three')"
faafo restore
echo "last: $(sql 'SELECT count(*) FROM notes')"
stat -c 'note: %U %a' /var/lib/postgresql/*/backup.env
ls /var/lib/postgresql/*/
"""


def test_the_packages_own_postgresql_goes_back_to_a_named_second(tmp_path: Path) -> None:
    if not program("pg_createcluster"):
        pytest.skip("Debian's PostgreSQL is not installed")
    if os.geteuid() != 0 or not possible(*NAMESPACE, "mount", "-t", "tmpfs", "none", "/opt"):
        pytest.skip("only root can give it directories of its own, and only where mounts are allowed")
    code = Path(faafo_lab.__file__).parent
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in (("systemctl", SYSTEMCTL), ("apt-get", "#!/bin/sh\n")):
        (commands / name).write_text(script)
        (commands / name).chmod(0o755)
    ran = subprocess.run(
        [*NAMESPACE, "bash", "-euc", DRILL],
        env={
            "PATH": f"{commands}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "CODE": str(code.parent),
            "PYTHON": sys.executable,
            "PREFIX": sys.base_prefix,
            "INSTALL": str(code / "app/install.sh"),
            "FAAFO_SECRET": "it's a secret",
        },
        capture_output=True,
        text=True,
        timeout=3 * LIMIT_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.findall(r"(left|back|last): (\d)", ran.stdout) == [("left", "0"), ("back", "2"), ("last", "3")]
    assert "note: postgres 600" in ran.stdout
    assert {"main", "before-restore"} <= set(ran.stdout.split())
