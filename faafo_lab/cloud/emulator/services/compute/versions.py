"""Nova's microversions, and which ones have each feature.

    if request.version in versions.TAGS:                                    # an answer has more, or a form allows more
    @route("GET", "/v2.1/servers/{id}/tags", versions=versions.TAGS)        # there is the operation at all

Those without a name here change nothing for an ordinary user of one host: what is an administrator's (migrations,
hypervisors, hosts), and what needs several cells, accelerators or ports with a bandwidth.
Source: https://docs.openstack.org/nova/latest/reference/api-microversion-history.html
"""

from __future__ import annotations

from collections.abc import Mapping

from faafo_lab.cloud.emulator.common import versions
from faafo_lab.cloud.emulator.common.service import Versions
from faafo_lab.cloud.emulator.common.versions import shown as shown

OLDEST, NEWEST = (2, 1), (2, 93)  # 2.93 is Zed's


def _since(minor: int) -> Versions:
    return Versions((2, minor), NEWEST)


def _until(minor: int) -> Versions:
    return Versions(OLDEST, (2, minor))


KEY_TYPES = _since(2)
SERVER_ATTRIBUTES = _since(3)
ADDRESS6_FILTER = _since(5)
SCREENS, REMOTE_CONSOLES = _until(5), _since(6)
LOCKED = _since(9)
KEY_USERS = _since(10)
GROUP_OWNERS = _since(13)
SOFT_POLICIES = _since(15)
DESCRIPTION = _since(19)
DELETED_ACTIONS = _since(21)
TAGS = _since(26)
KEY_PAGES = _since(35)
PROXIES = _until(35)  # the old doors to other services, and their quotas
NETWORKS_NEEDED = _since(37)
STRICT_STATUS = _since(38)
IMAGE_METADATA = _until(38)
USAGE_PAGES = _since(40)
DEVICE_TAGS = _since(42)  # of ports and volumes that a server is made with
FLOATING_ACTIONS = _until(43)
SNAPSHOT_ID = _since(45)
FLAVOR_INSIDE = _since(47)
ATTACHED_TAGS = _since(49)
EVENTS = _since(51)
TAGS_AT_CREATE = _since(52)
REBUILD_KEY = _since(54)
FLAVOR_DESCRIPTION = _since(55)
FILES = _until(56)  # injected into a server, and their quotas
REBUILD_USER_DATA = _since(57)
ACTION_PAGES = _since(58)

FLAVOR_SPECS = _since(61)
EVENT_HOST = _since(62)
CERTIFICATES = _since(63)
GROUP_POLICY = _since(64)
CHANGES_BEFORE = _since(66)
VOLUME_TYPE = _since(67)
SHOWN_TAGS = _since(70)
GROUPS_INSIDE = _since(71)
LOCK_REASON = _since(73)
CHOSEN_HOST = _since(74)
STRICT = _since(75)  # no unknown parameter in a query; a change answers all that a server shows
UNSHELVE_ZONE = _since(77)
TOPOLOGY = _since(78)
ATTACHED_DELETE = _since(79)
MORE_FILTERS = _since(83)
CHANGED_DELETE = _since(85)
RESCUED_VOLUME = _since(87)
ATTACHMENT_IDS = _since(89)
HOSTNAME = _since(90)
UNSHELVE_HOST = _since(91)
KEYS_IMPORTED = _since(92)  # no more made here
REBUILT_VOLUME = _since(93)


def asked(headers: Mapping[str, str]) -> tuple[int, int]:
    """The microversion that headers ask for; without a word, the oldest. Raises a 400 or 406 `Fault`."""
    return versions.asked(headers, "compute", OLDEST, NEWEST, headers.get("X-OpenStack-Nova-API-Version"))
