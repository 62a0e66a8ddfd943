"""Where the PNGs are: `FAAFO_IMAGES_URL`, and one small interface to each of the places.

    database                (the default) with the rows, in pieces: base.DatabaseImages
    file:///DIR             this API's own disk: another API does not have them: directory.DirectoryImages
    swift://USER:PASSWORD@KEYSTONE[:PORT][/PATH]/CONTAINER?project=NAME[&domain=NAME][&region=NAME]
    swift://CREDENTIAL_ID:SECRET@KEYSTONE[:PORT][/PATH]/CONTAINER?credential=application[&region=NAME]
    s3://KEY:SECRET@HOST[:PORT]/BUCKET[?region=NAME]
    local:///DIR/CONTAINER  an object store, through libcloud's drivers: objects.ObjectImages

With ``credential=application`` it logs in with an application credential of Keystone's instead of a user's password:
it is for one project, and can be revoked. ``swift+http://`` and ``s3+http://`` speak HTTP, not HTTPS. ``local`` is
libcloud's object store in a directory.

A fractal's row says where its image is (``database:NAME``, ``file://HOST/NAME``, ``swift://CONTAINER/NAME``), and an
image is whole before the row says so. What is put outside the database is announced in it first (``loose_images``) and
deleted an hour later unless it got its row: whatever crashes in between, nothing half-made is seen and nothing is left.
"""

from faafo_lab.app.errors import SettingsError
from faafo_lab.app.images.base import DATABASE, DatabaseImages, Images
from faafo_lab.app.images.directory import DirectoryImages
from faafo_lab.app.store import Store

__all__ = ["Images", "open_images"]


def open_images(url: str, store: Store, host: str) -> Images:
    """The place that ``url`` names; ``host`` is this machine's name. Raises ``SettingsError``, without a password."""
    scheme = url.partition(":")[0]
    if scheme == DATABASE:
        return DatabaseImages(store)
    if scheme == "file":
        return DirectoryImages(url, store, host)
    from faafo_lab.app.images.objects import SCHEMES, ObjectImages  # libcloud takes memory

    if scheme not in SCHEMES:
        known = ", ".join((DATABASE, "file", *SCHEMES))
        raise SettingsError(f"FAAFO_IMAGES_URL must begin with one of {known}.")
    return ObjectImages(url, store)
