"""Cinder's microversions: which ones have each feature. Those that are left out change what administrators see.

Source: https://docs.openstack.org/cinder/latest/contributor/api_microversion_history.html
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import Versions

OLDEST, NEWEST = (3, 0), (3, 70)
NEVER = Versions((4, 0))


def _since(minor: int) -> Versions:
    return Versions((3, minor), NEWEST)


UPLOAD_VISIBILITY = _since(1)
STRICT_BOOTABLE = _since(2)
MESSAGES = _since(3)
BACKUP_UPDATE = _since(9)
GROUP_FILTER = _since(10)
GROUP_TYPES = _since(11)
SUMMARY = _since(12)
GROUPS = _since(13)
GROUP_SNAPSHOTS = _since(14)
ETAGS = _since(15)
SNAPSHOT_METADATA_FILTER = _since(22)
ATTACHMENTS = _since(27)
STRICT_FILTERS = _since(31)
RESOURCE_FILTERS = _since(33)
SUMMARY_METADATA = _since(36)
REVERT = _since(40)
SNAPSHOT_USER = _since(41)
EXTEND_IN_USE = _since(42)
BACKUP_METADATA = _since(43)
COMPLETION = _since(44)  # of attachments
COUNT = _since(45)
FROM_BACKUP = _since(47)
SERVICE_FIELDS = _since(48)
BACKUP_ZONE = _since(51)
STRICT_FORMS = _since(53)
ATTACHMENT_MODE = _since(54)
TRANSFERS = _since(55)  # with snapshots, and under their new name
TRANSFER_HISTORY = _since(57)
TIME_FILTERS = _since(60)
DEFAULT_TYPES = _since(62)
TYPE_ID = _since(63)
CONSUMES_QUOTA = _since(65)
SNAPSHOT_IN_USE = _since(66)
REIMAGE = _since(68)
