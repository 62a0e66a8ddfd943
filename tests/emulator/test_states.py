"""The table of a server's states and tasks: what it says of each of them fits together."""

import itertools
from typing import cast

import pytest

from faafo_lab.cloud.emulator.common.service import Fault
from faafo_lab.cloud.emulator.services.compute import states
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow

ACTIONS = [each for each in vars(states).values() if isinstance(each, states.Action)]
TASKS = [None, *dict.fromkeys(each.task for each in ACTIONS if each.task)]


def row(vm_state: str, task_state: str | None, power_state: int = states.RUNNING) -> ServerRow:
    return cast(ServerRow, {"id": "1", "vm_state": vm_state, "task_state": task_state, "power_state": power_state})


@pytest.mark.parametrize(("state", "task"), list(itertools.product(sorted(states.STATES), TASKS)))
def test_what_a_start_takes_up_is_taken_up_again_where_that_start_is_cut_short(state: str, task: str | None) -> None:
    action = states.at_start(row(state, task))
    if action not in (None, states.OFF):  # these two are done at once
        assert states.at_start(row(state, action.task, states.NO_STATE)) is action


def test_a_resized_server_that_was_off_stays_off() -> None:
    assert states.at_start(row("resized", None, states.SHUT_DOWN)) is None


@pytest.mark.parametrize("action", [each for each in ACTIONS if each.allowed])
def test_an_action_is_refused_in_other_states_amid_tasks_and_where_the_server_is_locked(action: states.Action) -> None:
    for state in states.STATES:
        if state in action.allowed.split():
            action.check(row(state, None))
            with pytest.raises(Fault, match="task_state deleting"):
                action.check(row(state, "deleting"))
            with pytest.raises(Fault, match="locked"):
                action.check(cast(ServerRow, {**row(state, None), "locked": True}))
        else:
            with pytest.raises(Fault, match=f"Cannot '{action.name}' instance 1 while it is in vm_state {state}"):
                action.check(row(state, None))


def test_what_is_being_done_shows_unless_the_state_hides_it() -> None:
    shown = {(state, task): states.status(row(state, task)) for state in states.STATES for task in TASKS}
    assert shown["active", "rebooting"] == "REBOOT"
    assert shown["stopped", "rebooting_hard"] == "SHUTOFF"
    assert shown["active", "resize_migrating"] == shown["active", "resize_finish"] == "RESIZE"
    assert shown["resized", "resize_finish"] == "VERIFY_RESIZE"
    assert shown["resized", "resize_reverting"] == "REVERT_RESIZE"
    assert shown["paused", "deleting"] == "PAUSED"
