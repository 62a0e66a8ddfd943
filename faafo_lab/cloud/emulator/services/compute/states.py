"""What a server is (its vm_state), what is done with it (its task_state), and what each action makes of it.

One table: actions, the lifecycle, the shown status and the emulator's start read it. `vm_state` and `task_state` are
both kept, so that an emulator that was killed takes up at its next start what it was doing.

    building ──boot──► active ◄──start/reboot──► stopped
        └────────────► error (with a fault)          any ──delete──► gone
    active ──pause──► paused ──unpause──► active        active ──suspend──► suspended ──resume──► active
    active/stopped ──resize──► resized ──confirm/revert──► active/stopped
    active/stopped/error ──rebuild──► active/stopped, with a new disk
    active/stopped/error ──rescue──► rescued ──unrescue──► active
    active/stopped/paused/suspended ──shelve──► shelved, at once offloaded ──unshelve──► active

Here a suspended server is what a paused one is: its processes are stopped, and keep their memory. They do not outlive
the emulator; such a server is shut off then, as after a power cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from faafo_lab.cloud.emulator.common.service import Fault
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow

NO_STATE, RUNNING, PAUSED, SHUT_DOWN = 0, 1, 3, 4  # power states


@dataclass(frozen=True)
class Action:
    """What can be done with a server."""

    name: str  # as Nova's messages and the record of the server's actions have it
    allowed: str = ""  # the vm_states from which a client may ask for it
    task: str | None = None  # the task_state meanwhile
    vm_state: str = ""  # the vm_state afterwards
    power: int = NO_STATE  # the power state afterwards
    status: str = ""  # the status shown meanwhile, where it is not the vm_state's
    event: str = ""  # the name of its event in the record
    restart: Action | bool = False  # what is done where the emulator was killed meanwhile; True: the same
    instead: str = ""  # a task_state that it may put an end to

    def check(self, row: ServerRow) -> None:
        """Check that it makes sense now. Raises a 409 `Fault`."""
        unlocked(row)
        state, task = row["vm_state"], row["task_state"]
        if task is not None and task == self.instead:
            return
        if state not in self.allowed.split():
            raise Fault(409, f"Cannot '{self.name}' instance {row['id']} while it is in vm_state {state}")
        if task is not None:
            raise Fault(409, f"Cannot '{self.name}' instance {row['id']} while it is in task_state {task}")


def unlocked(row: ServerRow) -> None:
    """Check that a server is not locked. Raises a 409 `Fault`."""
    if row.get("locked"):
        raise Fault(409, f"Instance {row['id']} is locked")


_WAYS = ("attach", "detach")
PORTS, WHOLE = "active paused stopped", "active paused suspended stopped"
VOLUMES = f"{WHOLE} resized shelved shelved_offloaded"

# fmt: off
# Without a client: what ended by itself or with the emulator; the emulator's start; a resize's second half
OFF = Action("off", "", None, "stopped", SHUT_DOWN)
BOOT = Action("boot", "", "rebooting", "active", RUNNING, "REBOOT", restart=True)
FINISH_RESIZE = Action("resize", "", "resize_finish", "resized", RUNNING, "RESIZE", restart=True)

#                name       allowed from     task           afterwards            status     event, restart
CREATE = Action("create",    "",              "scheduling",  "active",    RUNNING, "", "_do_build_and_run_instance")
DELETE = Action("delete",    "",              "deleting",    "deleted",  NO_STATE, "", "terminate_instance", True)
START = Action("start",      "stopped",       "powering-on", "active",    RUNNING, "", "start_instance", True)
STOP = Action("stop",        "active error",  "powering-off", "stopped", SHUT_DOWN, "", "stop_instance", OFF)
REBOOT = Action("reboot",    "active",        "rebooting",   "active",    RUNNING, "REBOOT", "reboot_instance", BOOT)
HARD_REBOOT = Action("reboot", "active stopped paused suspended error", "rebooting_hard",
                                                             "active",    RUNNING, "HARD_REBOOT", "reboot_instance",
                     BOOT, instead="rebooting")
PAUSE = Action("pause",      "active",        "pausing",     "paused",     PAUSED, "", "pause_instance")
UNPAUSE = Action("unpause",  "paused",        "unpausing",   "active",    RUNNING, "", "unpause_instance")
SUSPEND = Action("suspend",  "active",        "suspending", "suspended", SHUT_DOWN, "", "suspend_instance")
RESUME = Action("resume",    "suspended",     "resuming",    "active",    RUNNING, "", "resume_instance")
REBUILD = Action("rebuild",  "active stopped error", "rebuilding", "active", RUNNING, "REBUILD", "rebuild_instance",
                 True)
RESIZE = Action("resize",    "active stopped", "resize_migrating", "resized", RUNNING, "RESIZE", "resize_instance",
                True)
REVERT = Action("revertResize", "resized",    "resize_reverting", "active", RUNNING, "REVERT_RESIZE", "revert_resize",
                True)
CONFIRM = Action("confirmResize", "resized", event="confirm_resize")
RESCUE = Action("rescue", "active stopped error", "rescuing", "rescued", RUNNING, "", "rescue_instance", True)
UNRESCUE = Action("unrescue", "rescued", "unrescuing", "active", RUNNING, "", "unrescue_instance", True)
SHELVE = Action("shelve", WHOLE, "shelving", "shelved_offloaded", SHUT_DOWN, "", "shelve_instance", OFF)
OFFLOAD = Action("shelveOffload", "shelved", "shelving_offloading", "shelved_offloaded", SHUT_DOWN, "",
                 "shelve_offload_instance", True)
UNSHELVE = Action("unshelve", "shelved shelved_offloaded", "unshelving", "active", RUNNING, "", "unshelve_instance",
                  True)
SNAPSHOT = Action("createImage", WHOLE, "image_snapshot", event="snapshot_instance")
BACKUP = Action("createBackup", WHOLE, "image_backup", event="backup_instance")
LOCK, UNLOCK = Action("lock"), Action("unlock")
ATTACH_PORT, DETACH_PORT = (Action(f"{name}_interface", PORTS, event=f"{name}_interface") for name in _WAYS)
ATTACH_VOLUME, DETACH_VOLUME = (Action(f"{name}_volume", VOLUMES, event=f"{name}_volume") for name in _WAYS)
# fmt: on


@dataclass(frozen=True)
class State:
    """A vm_state: its status, and what is done where the emulator was killed and nothing was being done."""

    status: str
    restart: Action | None = None
    hides: tuple[str, ...] = ()  # the statuses of tasks that do not show in it


STATES = {
    "building": State("BUILD", CREATE),
    "active": State("ACTIVE", BOOT),
    "stopped": State("SHUTOFF", hides=("REBOOT", "HARD_REBOOT")),
    "paused": State("PAUSED", OFF),
    "suspended": State("SUSPENDED", OFF),
    "resized": State("VERIFY_RESIZE", FINISH_RESIZE, hides=("RESIZE",)),
    "rescued": State("RESCUE", RESCUE),
    "shelved": State("SHELVED"),
    "shelved_offloaded": State("SHELVED_OFFLOADED"),
    "error": State("ERROR"),
    "deleted": State("DELETED"),
}
CONNECTED = ("building", "active", "resized", "rescued", "paused", "suspended")  # with something to connect to
PICTURES = tuple(each.task for each in (SNAPSHOT, BACKUP, SHELVE))  # tasks in which a disk becomes an image
_ACTIONS = (
    *(DELETE, START, STOP, REBOOT, HARD_REBOOT, REBUILD, RESIZE, FINISH_RESIZE, REVERT),
    *(RESCUE, UNRESCUE, SHELVE, OFFLOAD, UNSHELVE),
)
_DOING = {each.task: each for each in _ACTIONS}


def status(row: ServerRow) -> str:
    """A server's status: what is being done shows before what the server is."""
    state, doing = STATES[row["vm_state"]], _DOING.get(row["task_state"])
    return doing.status if doing and doing.status and doing.status not in state.hides else state.status


def at_start(row: ServerRow) -> Action | None:
    """The task that a server needs at the emulator's start; None: no task."""
    doing = _DOING.get(row["task_state"])
    if doing is not None and doing.restart:
        return doing.restart if isinstance(doing.restart, Action) else doing
    if row["vm_state"] in ("resized", "rescued") and row["power_state"] != RUNNING:
        return None  # it was off
    return STATES[row["vm_state"]].restart
