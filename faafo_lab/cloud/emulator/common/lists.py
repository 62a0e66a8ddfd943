"""What the lists of several services have in common: tags, pages, and the fields that were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from faafo_lab.cloud.emulator.common.service import JSON, Request

TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")


def tagged(tags: Sequence[str], name: str, values: Sequence[str]) -> bool:
    """Whether something with these tags passes one of the `TAG_FILTERS`."""
    wanted = {tag for value in values for tag in value.split(",")}
    have = wanted & set(tags)
    fits = bool(have) if name.endswith("-any") else have == wanted
    return fits != name.startswith("not-")


def page(views: list[JSON], request: Request, limit: int | None) -> tuple[list[JSON], bool]:
    """The views after the marker, at most `limit` (None: all), and whether there are more.

    Raises KeyError where the marker is none of them.
    """
    start = 0
    if marker := request.one("marker"):
        ids = [view["id"] for view in views]
        if marker not in ids:
            raise KeyError(marker)
        start = ids.index(marker) + 1
    end = len(views) if limit is None else start + limit
    return views[start:end], end < len(views)


def fields(view: JSON, request: Request) -> JSON:
    """A view with those attributes only that were asked for."""
    wanted = request.query.get("fields")
    return {name: value for name, value in view.items() if name in wanted} if wanted else view
