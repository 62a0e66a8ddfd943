"""The scene and the patches on it: RFC 7396's own examples, and differences that are patches."""

import copy
import random
from typing import Any

import pytest

from faafo_lab.living.events import Event, difference, merge, scene_at

# RFC 7396, appendix A: those whose target and patch are objects.
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), EXAMPLES)
def test_a_patch_changes_a_scene_as_the_rfc_says(
    target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]
) -> None:
    before = copy.deepcopy((target, patch))
    assert merge(target, patch) == result
    assert (target, patch) == before


def test_a_difference_says_only_what_has_changed() -> None:
    before = {"servers": {"a": {"cpu": 1.0, "words": "idle"}, "b": {"cpu": 2.0}}, "counts": {"done": 1}}
    after = {"servers": {"a": {"cpu": 3.0, "words": "idle"}}, "counts": {"done": 1}, "problem": ""}
    assert difference(before, after) == {"servers": {"a": {"cpu": 3.0}, "b": None}, "problem": ""}
    assert difference(after, after) == {}


def test_what_is_not_known_is_absent() -> None:
    assert difference({}, {"front": None, "counts": {"rate": None, "done": 0}}) == {"counts": {"done": 0}}
    assert difference({"counts": {"rate": 1.0}}, {"counts": {"rate": None}}) == {"counts": {"rate": None}}
    assert difference({"front": None}, {}) == {}


def test_a_difference_is_the_patch_from_any_scene_to_any_other() -> None:
    chance = random.Random(15)

    def some(depth: int) -> Any:
        kind = chance.randrange(4 if depth else 2)
        if kind == 0:
            return chance.randrange(3)
        if kind == 1:
            return [chance.randrange(2)]
        return {name: some(depth - 1) for name in "abcd" if chance.random() < 0.6}

    for _ in range(500):
        before, after = ({name: some(3) for name in "abc"} for _ in range(2))
        patch = difference(before, after)
        assert merge(before, patch) == after
        assert difference(before, merge(before, patch)) == patch


def test_a_scene_holds_what_happened_until_then() -> None:
    events: list[Event] = [
        {"k": "scene", "t": 1.0, "patch": {"servers": {"app-api-1": {"role": "api"}}}},
        {"k": "note", "t": 1.5, "text": "app-worker-1 was started"},
        {"k": "scene", "t": 2.0, "patch": {"servers": {"app-worker-1": {"role": "worker"}}}},
        {"k": "scene", "t": 3.0, "patch": {"servers": {"app-worker-1": None}}},
    ]
    assert scene_at(events, 0.5) == {}
    assert set(scene_at(events, 2.0)["servers"]) == {"app-api-1", "app-worker-1"}
    assert set(scene_at(events, 9.0)["servers"]) == {"app-api-1"}
