"""Whose turn it is: on each cloud one chapter at a time owns the application, the one that started last.

A file in the lab's home names it. Every notebook reads the file, so another chapter's open notebook stops
instead of working on an application that is no longer its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.marks import file_of
from faafo_lab.cloud.model import Server
from faafo_lab.paths import write_whole
from faafo_lab.topology.errors import TakenOver

CHAPTER_KEY = "faafo-lab-chapter"  # the metadata key of the chapter that created a server


@dataclass(frozen=True)
class Turn:
    """The chapter that owns the application, and since when (local time)."""

    chapter: str
    since: str


def current(cloud: Cloud) -> Turn | None:
    """The chapter whose turn it is; None: no chapter has started on this cloud."""
    try:
        chapter, since = file_of(cloud.name, "chapter").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ValueError):
        return None
    return Turn(chapter, since)


def take(cloud: Cloud, chapter: str) -> None:
    """Give this chapter the turn, from now on."""
    write_whole(file_of(cloud.name, "chapter"), f"{chapter}\n{datetime.now():%H:%M}\n")


def check(cloud: Cloud, chapter: str | None) -> None:
    """Raise TakenOver if another chapter has started since this one (None, no chapter: never)."""
    turn = current(cloud) if chapter else None
    if turn and turn.chapter != chapter:
        raise TakenOver(
            f"Chapter {turn.chapter} took over the application at {turn.since}: to go on with chapter {chapter}, run "
            f"its cells again from `app.start_chapter()`."
        )


def found(servers: Sequence[Server], chapter: str) -> str:
    """A line for a starting chapter: the servers that exist, and whose they are; "" if there are none."""
    if not servers:
        return ""
    makers = {server.metadata.get(CHAPTER_KEY, "") for server in servers}
    words = {"": "outside the chapters", chapter: "by an earlier run of this chapter"}
    whose = " and ".join(words.get(maker, f"by chapter {maker}") for maker in sorted(makers, reverse=True))
    since = min((server.created for server in servers if server.created), default=None)
    when = f", there since {since.astimezone():%H:%M}" if since else ""
    number, them = f"{len(servers)} server{'s' * (len(servers) != 1)}", "them" if len(servers) != 1 else "it"
    return f"found {number}, created {whose}{when}: chapter {chapter} takes over and removes {them}"
