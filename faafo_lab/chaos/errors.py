"""What can go wrong with a fault.

CloudError (see `faafo_lab.cloud.errors`)
└── ChaosError          a fault can't be injected or undone
    └── NotPossible     this cloud, or this server, has no way to do it: which one has
"""

from faafo_lab.cloud.errors import CloudError


class ChaosError(CloudError):
    """A fault can't be injected or undone."""


class NotPossible(ChaosError):
    """Neither this cloud nor a command on the server can do it."""
