"""Notes: who listens is told what this process does to a cloud, in a few words, and once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from faafo_lab.cloud import notes
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.model import Rule, Server
from faafo_lab.cloud.notes import Note

RULE = Rule("id", 6379, 6379, "tcp")


@pytest.fixture
def heard() -> Iterator[list[Note]]:
    """What is noted."""
    heard: list[Note] = []
    notes.listeners.append(heard.append)
    yield heard
    notes.listeners.remove(heard.append)


def test_a_note_says_when_and_where_and_what(heard: list[Note]) -> None:
    notes.note("embedded", "app-worker-1 was killed", "app-worker-1")
    [note] = heard
    assert (note.cloud, note.text, note.server) == ("embedded", "app-worker-1 was killed", "app-worker-1")
    assert note.at > 1_700_000_000


@pytest.mark.parametrize(
    ("verb", "arguments", "result", "text", "server"),
    [
        ("delete_server", [Server("id", "one", "ACTIVE")], None, "one was deleted", "one"),
        ("create_server", ["one"], Server("id", "one", "BUILD"), "one was requested", "one"),
        ("reboot_server", ["one"], None, "one was rebooted", "one"),
        ("add_rule", ["services", 6379], RULE, "a rule for port 6379 was added to security group services", ""),
        ("delete_rule", [RULE], None, "a rule for port 6379 was removed", ""),
        ("delete_rule", [replace(RULE, port_max=6390)], None, "a rule for ports 6379 to 6390 was removed", ""),
        ("delete_rule", [replace(RULE, port_min=None, port_max=None)], None, "a rule for all ports was removed", ""),
    ],
)
def test_a_verb_that_changes_something_is_noted(
    heard: list[Note], verb: str, arguments: list[object], result: object, text: str, server: str
) -> None:
    notes.of_verb("embedded", verb, arguments, result)
    assert [(note.cloud, note.text, note.server) for note in heard] == [("embedded", text, server)]


def test_verbs_that_only_look_are_not_noted(heard: list[Note]) -> None:
    for verb in ("servers", "security_groups", "console"):
        notes.of_verb("embedded", verb, [], [])
    assert heard == []


def test_a_real_clouds_verbs_are_noted_and_those_that_fail_are_not(heard: list[Note], cloud: Cloud) -> None:
    cloud.security_groups()
    group = cloud.create_security_group("noted")
    rule = cloud.add_rule(group, 8080)
    cloud.delete_rule(rule)
    with pytest.raises(Exception, match="rule"):
        cloud.delete_rule(rule)
    cloud.delete_security_group(group)
    assert [(note.cloud, note.text) for note in heard] == [
        (cloud.name, "a rule for port 8080 was added to security group noted"),
        (cloud.name, "a rule for port 8080 was removed"),
    ]


def test_the_steps_of_a_larger_deed_say_nothing_and_other_threads_do(heard: list[Note]) -> None:
    with notes.quiet():
        notes.note("embedded", "a step")
        other = threading.Thread(target=notes.note, args=("embedded", "something else"))
        other.start()
        other.join()
    notes.note("embedded", "the deed")
    assert [note.text for note in heard] == ["something else", "the deed"]


def test_what_an_autoscaler_wants_is_known_while_there_is_one() -> None:
    assert notes.wanted("embedded") is None
    notes.want("embedded", 0)
    assert notes.wanted("embedded") == 0
    assert notes.wanted("another") is None
    notes.want("embedded", None)
    assert notes.wanted("embedded") is None


def test_a_cloud_whose_connections_were_closed_opens_new_ones(cloud: Cloud) -> None:
    cloud.servers()
    cloud.close()
    assert cloud.servers() == []
