"""Cinder's refusals, and the booleans of its clients."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import Fault
from faafo_lab.cloud.emulator.services.block_storage.rows import Attachment, VolumeRow


def truth(value: object, name: str) -> bool:
    """A boolean, in one of the ways in which Cinder's clients write it; None is false. Raises a 400 `Fault`."""
    text = str(value).lower()
    if text in ("true", "1", "t", "yes", "y", "on"):
        return True
    if text in ("false", "0", "f", "no", "n", "off", "none"):
        return False
    raise Fault(400, f"Invalid input for field/attribute {name}. Value: {text[:120]}. It must be true or false.")


def invalid(why: str, what: str = "input received") -> Fault:
    """The answer to what makes no sense, or to a `what` that is not in the state for it."""
    return Fault(400, f"Invalid {what}: {why}")


def check_available(volume: VolumeRow, *others: str) -> None:
    """Raises a 400 `Fault` for a volume that is in use, or busy; `others` are statuses that are right, too."""
    wanted = ("available", *others)
    if volume["status"] not in wanted:
        why = f"status must be {' or '.join(wanted)}, but current status is: {volume['status']}."
        raise invalid(f"Volume {volume['id']} {why}", "volume")


def check_own(attachment: Attachment | None) -> None:
    """Raises a 409 `Fault` for an attachment that is Nova's, as Cinder does since CVE-2023-2088."""
    if attachment is not None and "status" not in attachment:
        raise Fault(409, f"Detach volume from instance {attachment['server_id']} using the Compute API")


def forbidden(action: str) -> Fault:
    """What only an administrator may do: there is none."""
    return Fault(403, f"Policy doesn't allow {action} to be performed.")
