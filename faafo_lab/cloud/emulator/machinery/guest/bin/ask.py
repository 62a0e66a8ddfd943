"""Asks the instance's init: prints its answer and exits with its code. Runs in any Python, without its site."""

import json
import os
import socket
import sys


def main() -> int:
    """The words of the command line, its own name first, are the question."""
    place = os.path.join(os.environ.get("INSTANCE_PORTS", ""), "init.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        try:
            asked.connect(place)
        except OSError as error:
            print(f"{sys.argv[1]}: this instance's init cannot be reached at {place}: {error}", file=sys.stderr)
            return 1
        try:
            asked.sendall(json.dumps(sys.argv[1:]).encode() + b"\n")
            with asked.makefile("rb") as answers:
                line = answers.readline()
        except OSError:
            line = b""
    if not line.endswith(b"\n"):
        return 1  # it has ended meanwhile: at a reboot, say
    reply = json.loads(line)
    sys.stdout.write(reply["output"])
    sys.stderr.write(reply["error"])
    return int(reply["code"])


if __name__ == "__main__":
    sys.exit(main())
