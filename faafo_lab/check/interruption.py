"""A cloud whose user pulls the plug: after so many changes of the object store, a KeyboardInterrupt.

cloud = Interruption(cloud, after=2)
cloud.upload_object(…); cloud.delete_object(…)          # done; the second one raises Unplugged: nobody hears of it
"""

import functools
from collections import Counter
from typing import Any

from faafo_lab.cloud.base import Cloud

CHANGES = ("upload_object", "update_object", "delete_object")


class Unplugged(KeyboardInterrupt):
    """The program ends here."""


class Interruption:
    """A cloud's verbs, until `after` changes of objects are made: the last one is made, then `Unplugged` is raised.

    `made` counts the changes by verb; `happened` says whether it came to the interruption.
    """

    def __init__(self, cloud: Cloud, after: int) -> None:
        self._cloud, self._after = cloud, after
        self.made = Counter[str]()
        self.happened = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._cloud, name)
        if name not in CHANGES:
            return verb

        @functools.wraps(verb)
        def change(*args: Any, **kwargs: Any) -> Any:
            result = verb(*args, **kwargs)
            self.made[name] += 1
            if self.made.total() >= self._after:
                self.happened = True
                raise Unplugged(f"interrupted after {self._after} changes")
            return result

        return change
