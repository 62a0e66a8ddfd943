from __future__ import annotations

import io
import os
import signal
import sys
import threading

import pytest

from faafo_lab.cloud.errors import TimedOut
from faafo_lab.cloud.waiting import Look, wait_until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_looks_until_all_is_done() -> None:
    looks = iter([Look(0, 2, "a, b"), Look(1, 2, "b"), Look(2, 2)])
    wait_until(lambda: next(looks), "2 things", 10, progress=False)
    assert list(looks) == []


def test_true_is_done_and_false_is_not() -> None:
    answers = iter([False, True])
    wait_until(lambda: next(answers), "an answer", 10, progress=False)
    assert list(answers) == []


def test_the_limit_holds_and_its_error_says_what_for_how_long_and_what_was_seen_last() -> None:
    with pytest.raises(TimedOut) as caught:
        wait_until(lambda: Look(1, 2, "app-worker-2 BUILD"), "servers ACTIVE", 0.2, progress=False)
    assert str(caught.value) == "Timed out after 0.2 s, at 1/2 servers ACTIVE. Last seen: app-worker-2 BUILD."


def test_what_is_not_counted_has_no_count_in_its_error() -> None:
    with pytest.raises(TimedOut, match=r"^Timed out after 0\.1 s, waiting for an answer\.$"):
        wait_until(lambda: False, "an answer", 0.1, progress=False)


def test_what_the_look_raises_ends_the_wait() -> None:
    def look() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait_until(look, "nothing", 10, progress=False)


def test_an_interrupt_ends_the_wait() -> None:
    looked = threading.Event()

    def look() -> bool:
        looked.set()
        return False

    def interrupt() -> None:
        looked.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        wait_until(look, "ever", 60, progress=False)
    thread.join()


def test_the_bar_in_a_terminal_names_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    looks = iter([Look(0, 3), Look(3, 3)])
    wait_until(lambda: next(looks), "servers ACTIVE", 10)
    assert "Waiting: 3/3 servers ACTIVE, 00:0" in terminal.getvalue()


def test_there_is_a_bar_for_what_is_done_already(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    wait_until(lambda: True, "an answer", 10)
    assert "Waiting: an answer, 00:0" in terminal.getvalue()


def test_there_is_no_bar_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    wait_until(lambda: True, "an answer", 10)
    assert file.getvalue() == ""
