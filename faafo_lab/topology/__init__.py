"""The application on a cloud (services, APIs and workers): deploy, scale, discover, destroy.

    app = Topology(faafo_lab.connect())
    app.deploy(api=2, worker=3)      # six servers, serving when this returns
    app.scale(worker=5)
    app.destroy()

A server of the lab carries the metadata `faafo-lab: ROLE`, and a digest of all that it was made from (image, flavor,
security group, user data). So a new Python session finds a running application (`discover`), a second `deploy` leaves
correct servers unchanged, and a server that the lab did not create is never touched.

The layout is that of the First App guide's chapter on scaling out:

    you ──80──▶ app-api-1, app-api-2 …          security group `api`
                    │ 5432 database, 6379 queue
                    ▼
                app-services                    security group `services`
                    ▲ 6379 queue
                    │
                app-worker-1 … app-worker-3 …   security group `worker`      (results go to app-api-1, port 80)

Its rooms:

    topology     Topology: deploy, scale, destroy, and each of their steps
    application  Application, the base of Topology: its present servers, and what they are made from
    building     a plan's security groups and servers
    roles        the kinds of server, defined there and nowhere else
    user_data    the script that makes a server what its role says
    package      how the application reaches servers whose image lacks it; wheel: the file
    plan         a wanted Layout against one listing gives a Plan: create, replace, remove, keep
    moving       existing pictures move to another place
    undo         a failed call removes what it created
    lock         one change at a time
    turn         one chapter at a time
    serving      waiting until servers serve; failed boots
    api          the one client of the application's API
    objects      the application's places in the object store: containers, credential
    volumes      the database's volume: made, attached, moved to
    backups      backups of the database in the object store, and the way back
    moment       the application at one moment: the cloud's and the application's own data combined
    errors       what can go wrong
"""

from faafo_lab.topology.api import Api, Fractal, Node, Stats, healthy
from faafo_lab.topology.backups import Backup, Backups, Restored
from faafo_lab.topology.errors import Busy, NoAnswer, TakenOver, TopologyError
from faafo_lab.topology.moment import Machine, Moment
from faafo_lab.topology.plan import Layout, Plan
from faafo_lab.topology.roles import (
    DATABASE_PORT,
    HTTP_PORT,
    RABBITMQ_PORT,
    ROLES,
    SSH_PORT,
    VALKEY_PORT,
    Role,
)
from faafo_lab.topology.topology import Topology, discover, in_thread

__all__ = [
    "DATABASE_PORT",
    "HTTP_PORT",
    "RABBITMQ_PORT",
    "ROLES",
    "SSH_PORT",
    "VALKEY_PORT",
    "Api",
    "Backup",
    "Backups",
    "Busy",
    "Fractal",
    "Layout",
    "Machine",
    "Moment",
    "NoAnswer",
    "Node",
    "Plan",
    "Restored",
    "Role",
    "Stats",
    "TakenOver",
    "Topology",
    "TopologyError",
    "discover",
    "healthy",
    "in_thread",
]
