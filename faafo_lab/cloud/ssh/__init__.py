"""Commands and files on servers, over SSH.

    result = cloud.run(server, "uptime")     # result.stdout, result.stderr, result.exit_code
    cloud.upload(server, b"...", "notes.txt")

A server with a floating IP is reached there. One without is reached through another server that has one, the *jump
host*: a running server of the lab. If there is none, its private address is tried. All connections use the lab's own
key; a server's host key is trusted at first sight and must stay the same.

Its rooms:

    users       the user to log in as: clouds.yaml's, else the image's
    ways        how a server is reached, and whether it can be
    connecting  attempts, until there is a connection
    commands    run, run_all, upload
    background  a coroutine in a thread of its own
    notes       facts on servers and images, remembered in files
"""

from faafo_lab.cloud.ssh.commands import Result, run, run_all, upload
from faafo_lab.cloud.ssh.ways import SSH_PORT

__all__ = ["SSH_PORT", "Result", "run", "run_all", "upload"]
