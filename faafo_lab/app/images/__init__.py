"""Where the PNGs are: `FAAFO_IMAGES_URL`, and one small interface to each of the places.

    database                (the default) with the rows, in pieces: base.DatabaseImages
    file:///DIR             this API's own disk: another API does not have them: outside.DirectoryImages
    swift://USER:PASSWORD@KEYSTONE[:PORT][/PATH]/CONTAINER?project=NAME[&domain=NAME][&region=NAME]
    swift://CREDENTIAL_ID:SECRET@KEYSTONE[:PORT][/PATH]/CONTAINER?credential=application[&region=NAME]
    s3://KEY:SECRET@HOST[:PORT]/BUCKET[?region=NAME]
    local:///DIR/CONTAINER  an object store, through libcloud's drivers: files.objects

With ``credential=application`` it logs in with an application credential of Keystone's instead of a user's password:
it is for one project, and can be revoked. ``swift+http://`` and ``s3+http://`` speak HTTP, not HTTPS. ``local`` is
libcloud's object store in a directory.

A fractal's row says where its image is (``database:NAME``, ``file://HOST/NAME``, ``swift://CONTAINER/NAME``), and an
image is whole before the row says so. What is put outside the database is announced in it first (``loose_images``) and
deleted an hour later unless it got its row: whatever crashes in between, nothing half-made is seen and nothing is left.

``faafo move-images`` (``moving``) moves images from one place to another, while all of them are read: the copy is
announced, put and read back before one transaction lets the row say where it is and makes the old one loose. Whoever
has just looked the row up, and then finds the old one deleted, looks it up again. All APIs read from the new place
without being told: see ``places``.
"""

from faafo_lab.app.images.base import Images
from faafo_lab.app.images.places import Places, open_images

__all__ = ["Images", "Places", "open_images"]
