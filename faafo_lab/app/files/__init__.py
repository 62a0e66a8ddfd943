"""Places outside the database that keep whole files: a directory of this machine, an object store.

`images` and `backups` keep theirs there, each in a place of its own.
"""

from faafo_lab.app.files.base import Files

__all__ = ["Files"]
