"""The user to log in as: each image has one of its own, and names it more or less clearly."""

from __future__ import annotations

from faafo_lab.cloud.model import Image

# The users of the distributions' cloud images. "root" is not among them: images accept it only to name the right user.
USUAL = ("ubuntu", "debian", "rocky", "almalinux", "cloud-user", "centos", "fedora", "cirros")
OTHERWISE_NAMED = {"rhel": "cloud-user", "red hat": "cloud-user"}  # distributions whose user has another name


def candidates(image: Image | None, remembered: str | None = None) -> tuple[str, ...]:
    """The users to try on a server of this image, the likeliest first.

    First the user that was accepted before, then the image's own: Glance's properties `os_admin_user` and
    `os_distro`, then its name; then the usual ones.
    """
    likely: list[str | None] = [remembered]
    if image is not None:
        likely.append(image.properties.get("os_admin_user"))
        names = {**{user: user for user in USUAL}, **OTHERWISE_NAMED}
        for words in (image.properties.get("os_distro", ""), image.name):
            likely += [user for distribution, user in names.items() if distribution in words.lower()]
    return tuple(dict.fromkeys(user for user in (*likely, *USUAL) if user))
