"""Commands and files on servers, over SSH.

    result = cloud.run(server, "uptime")     # result.stdout, result.stderr, result.exit_code
    cloud.upload(server, b"...", "notes.txt")

A server with a floating address is reached there. One without is reached from a neighbour that has one, the *jump
host*: a running server of the lab. Where there is none, its private address is tried. All with the lab's own key; a
server's host key is trusted when it is first seen and must stay the same.

Its rooms:

    users       whom to log in as: what clouds.yaml says, else what fits the image
    ways        how a server is reached, and whether it can be reached at all
    connecting  tries, until there is a connection
    commands    run, run_all, upload: what is done with it
    background  a coroutine in a thread of its own
    notes       what is remembered of servers and images, in files
"""

from faafo_lab.cloud.ssh.commands import Result, run, run_all, upload
from faafo_lab.cloud.ssh.ways import SSH_PORT

__all__ = ["SSH_PORT", "Result", "run", "run_all", "upload"]
