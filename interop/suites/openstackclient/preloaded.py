"""The command `openstack`, which starts in a fraction of the time: a fork of a process that has loaded its modules.

    python preloaded.py DIRECTORY     serve, until SIGTERM: DIRECTORY/openstack is then the command

Of the two seconds that a command takes, nine tenths are imports, and the functional tests call it a thousand times. The
code that runs, its arguments, environment and files are those of the command itself. It runs in the suite's
environment.
"""

import contextlib
import importlib
import io
import json
import os
import pkgutil
import signal
import socket
import sys
from pathlib import Path

import openstackclient
from openstackclient import shell

COMMAND = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({path!r})
    told = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(server, [told], [0, 1, 2])
    sys.exit(int(server.recv(16) or 1))
"""
MESSAGE_BYTES = 1 << 17


def load() -> None:
    """Load what commands need, and what the client remembers of its entry points."""
    for module in pkgutil.walk_packages(openstackclient.__path__, "openstackclient."):
        if ".tests" not in module.name:
            importlib.import_module(module.name)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        shell.main(["help"])


def serve(path: Path) -> None:
    """Run each command that is told in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended commands leave no zombies
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(path))
        server.listen(8)
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                command(client)
            client.close()


def command(client: socket.socket) -> None:
    """Run a command as this process, and tell its exit code. Does not return."""
    told, files, _, _ = socket.recv_fds(client, MESSAGE_BYTES, 3)
    arguments, environment, directory = json.loads(told)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = ["openstack", *arguments]
    try:
        code = shell.main(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    client.send(str(code or 0).encode())
    os._exit(0)


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    load()
    (directory / "openstack").write_text(COMMAND.format(python=sys.executable, path=str(directory / "socket")))
    (directory / "openstack").chmod(0o700)
    serve(directory / "socket")
