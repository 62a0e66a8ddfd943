"""The object store of a `Cloud`: containers, and objects of any size.

It is written once for all backends, on the one thing that differs: how a library sends a request to the object store
(`_stored`). The libraries' own methods serve less: shade's decode files as text and cache answers, libcloud's read
whole objects into memory, openstacksdk's put names into URLs unescaped, and none compares a download's checksum.

A large object is uploaded in segments: objects `NAME/TIME/NUMBER` in the container `CONTAINER_segments`, and a manifest
in place of the object that lists them (Swift's static large objects).

Sources: https://docs.openstack.org/api-ref/object-store, https://docs.openstack.org/swift/latest/overview_large_objects.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import mimetypes
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

import requests
import urllib3

from faafo_lab.cloud import keys
from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import BadRequest, CloudError, CloudFailed, InUse, NotFound, from_status
from faafo_lab.cloud.model import Container, StoredObject
from faafo_lab.cloud.streams import (
    CHUNK_BYTES,
    Expected,
    Piece,
    ReadableStream,
    Source,
    Transfer,
    WritableStream,
    destination,
)
from faafo_lab.cloud.verbs import verb

SEGMENTS = "_segments"  # the end of the name of the container for an object's segments
SEGMENT = re.compile(r"/\d+\.\d{6}/\d{8}")  # what follows an object's name in the names of its segments
MOST_SEGMENTS = 1000  # Swift's limit
PAGE_NAMES = 1000  # how many names a request lists: Swift's limit is 10,000, other stores have lower ones
LONG_BYTES = 1_000_000  # so much is not sent before the container is known to exist
BINARY = "application/octet-stream"
TEMPORARY_KEY = "Temp-URL-Key"  # the name in a container's metadata under which the store keeps `temporary_key()`
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
MD5 = re.compile(r"[0-9a-f]{32}")
META_NAME = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
NOT_IN_HEADERS = re.compile(r"^\s|\s$|[\0-\x1f\x7f]")
# What a POST removes unless it says it again.
KEPT = ("Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "X-Delete-At")


def temporary_key() -> str:
    """The key that signs temporary URLs; the lab's containers know it."""
    return keys.derive_secret("temporary URLs")


class ObjectStore(ABC):
    """The verbs for the object store. They raise NotFound where the cloud has none."""

    config: CloudConfig
    library_errors: ClassVar[tuple[type[Exception], ...]]

    # ---- what a backend implements ----

    @abstractmethod
    def _stored(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request to the object store, logged in: `path` is escaped and follows the account's URL; the
        arguments are those of `requests.request`. Returns the answer, whatever its status, with its body unread."""

    @abstractmethod
    def _store_url(self) -> str:
        """The URL of the project's account in the object store."""

    @abstractmethod
    def _taped(self, session: requests.Session) -> None:
        """Record a requests session on the tape."""

    # ---- containers ----

    @verb
    def containers(self) -> list[str]:
        """The names of the project's containers."""
        return [entry["name"] for entry in self._listed()]

    @verb
    def container(self, name: str) -> Container:
        """The container of this name: its size and metadata."""
        headers = self._ask("HEAD", name).headers
        metadata = _metadata("Container", headers)
        for number in ("", "-2"):
            metadata.pop(f"{TEMPORARY_KEY}{number}".lower(), None)
        objects, size = (int(headers.get(f"X-Container-{what}", 0)) for what in ("Object-Count", "Bytes-Used"))
        return Container(name, objects, size, metadata)

    @verb
    def create_container(self, name: str, metadata: Mapping[str, str] | None = None) -> None:
        """Create a container in the project's object store; if it exists, only its metadata changes.

        It accepts temporary URLs that are signed with `temporary_key()`.
        """
        self._ask("PUT", name, headers={**_meta("Container", metadata), **_key()})

    @verb
    def delete_container(self, name: str) -> None:
        """Delete an empty container; no error if there is none. Raises InUse if it has objects."""
        self._try("DELETE", name)
        if not name.endswith(SEGMENTS) and self._try("HEAD", name + SEGMENTS) is not None:
            with suppress(InUse):
                self.delete_container(name + SEGMENTS)

    # ---- objects ----

    @verb
    def objects(self, container: str, prefix: str = "") -> list[StoredObject]:
        """All objects of a container whose names begin with `prefix`, in the order of their names."""
        return [_entry(entry) for entry in self._listed(container, prefix)]

    @verb
    def object(self, container: str, name: str) -> StoredObject:
        """The object of this name, with its metadata, expiry and number of segments."""
        headers = self._ask("HEAD", container, name).headers
        return _described(name, headers, self._manifest(container, name, headers))

    @verb
    def upload_object(
        self,
        container: str,
        name: str,
        data: bytes | Path | ReadableStream,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_seconds: float | None = None,
        segment_bytes: int | None = None,
        progress: bool = False,
    ) -> None:
        """Upload an object from bytes, a file or a binary stream, replacing one of that name.

        A file or a stream is read in pieces. `content_type` is by default what the name's ending says. The store
        deletes the object after `expires_seconds` (None: never). With `segment_bytes` it is uploaded in segments of
        so many bytes, 1,000 at most; objects of more than 5 GB have to be.
        Raises NotFound if there is no such container, CloudFailed if what the store has received has another checksum
        (then the object does not exist), BadRequest if the file can't be read.
        """
        headers = {
            "Content-Type": _value("content_type", content_type or mimetypes.guess_type(name)[0] or BINARY),
            **_meta("Object", metadata),
            **_expiry(expires_seconds),
        }
        if segment_bytes is not None and segment_bytes < 1:
            raise BadRequest(f"upload_object: segment_bytes must be at least 1, not {segment_bytes}.")
        segments: list[dict[str, Any]] = []
        with Source(data) as source, Transfer(f"of {name!r} uploaded", source.size or 0, show=progress) as line:
            source.moved = line.move
            if segment_bytes and source.size and source.size > segment_bytes * MOST_SEGMENTS:
                raise _too_many(segment_bytes)
            before = self._try("HEAD", container, name)
            if before is None and (segment_bytes or source.size is None or source.size > LONG_BYTES):
                self._ask("HEAD", container)
            if segment_bytes and source.goes_on():
                segments = self._put_segments(container, name, source, segment_bytes, headers)
            else:
                self._put(container, name, source.piece(), headers)
        if segments or (before is not None and _is_large(before.headers)):
            self._sweep(container, name, segments)
        if segments and expires_seconds is not None:
            self._expire(container, name, segments)

    @verb
    def read_object(self, container: str, name: str) -> bytes:
        """An object's bytes. Raises CloudFailed if its checksum is not the store's."""
        chunks: list[bytes] = []
        with closing(self._ask("GET", container, name, stream=True)) as answer:
            self._receive(container, name, answer, chunks.append)
        return b"".join(chunks)

    @verb
    def download_object(
        self, container: str, name: str, to: str | Path | WritableStream, *, progress: bool = True
    ) -> StoredObject:
        """Download an object into a file (whole, or not at all) or a binary stream, in pieces.

        Raises CloudFailed if its checksum is not the store's, BadRequest if the file can't be written.
        """
        with (
            destination(Path(to) if isinstance(to, str) else to) as write,
            closing(self._ask("GET", container, name, stream=True)) as answer,
        ):
            size = int(answer.headers.get("Content-Length", 0))
            with Transfer(f"of {name!r} downloaded", size, show=progress) as line:
                return self._receive(container, name, answer, write, line)

    @verb
    def update_object(
        self,
        container: str,
        name: str,
        *,
        metadata: Mapping[str, str] | None = None,
        expires_seconds: float | None = None,
    ) -> None:
        """Replace an object's metadata, set when the store deletes it (`math.inf`: never), or both; None: unchanged."""
        before = self._ask("HEAD", container, name).headers
        segments = self._manifest(container, name, before)
        kept = {header: before[header] for header in KEPT if header in before}
        kept |= _meta("Object", _metadata("Object", before) if metadata is None else metadata)
        if expires_seconds is not None:
            kept.pop("X-Delete-At", None)
            kept |= _expiry(expires_seconds)
        self._ask("POST", container, name, headers=kept)
        if segments and expires_seconds is not None:
            self._expire(container, name, segments)

    @verb
    def delete_object(self, container: str, name: str) -> None:
        """Delete an object, with its segments; no error if there is none."""
        there = self._try("HEAD", container, name)
        if there is not None and not _is_large(there.headers):
            self._try("DELETE", container, name)
            return
        if there is not None:
            self._delete_large(container, name)
        self._sweep(container, name)  # also if there is no object: an interrupted upload may have left segments

    # ---- URLs ----

    @verb
    def object_url(self, container: str, name: str) -> str:
        """An object's URL, without a signature: whoever uses it has to be logged in."""
        return f"{self._store_url().rstrip('/')}{_path(container, name)}"

    @verb
    def temporary_url(self, container: str, name: str, seconds: int, method: str = "GET") -> str:
        """A URL with which anybody may send this one HTTP method to an object, without credentials, for so many
        seconds.

        Raises NotFound if there is no such object (which PUT creates), or the cloud does not support temporary URLs.
        """
        if method not in METHODS:
            raise NotFound.among("method of temporary URLs", method, METHODS)
        if seconds < 1:
            raise BadRequest(f"temporary_url: seconds must be at least 1, not {seconds}.")
        self._ask("POST", container, headers=_key())
        url = self.object_url(container, name)
        expires = int(time.time()) + seconds
        signed = _signed(method, url, expires)
        # Whoever may do something with an object may look at it, but for a DELETE.
        look = signed if method != "DELETE" else _signed("HEAD", url, expires)
        with requests.Session() as session:
            self._taped(session)
            answer = session.head(look, verify=self.config.verify, timeout=self.config.timeout_seconds)
        if not answer.ok and not (method == "PUT" and answer.status_code == 404):
            raise NotFound(f"The object store refuses a temporary URL for {url}: status {answer.status_code}.")
        if _is_large(answer.headers):
            self._let_account_sign()
        return signed

    def _let_account_sign(self) -> None:
        """Give the account the key, too: a container's opens no other container, and a large object's segments are in
        one. The account may have two; those that it has stay. Raises NotFound if there is no room."""
        headers = self._ask("HEAD").headers
        names = [f"X-Account-Meta-{TEMPORARY_KEY}{number}" for number in ("", "-2")]
        if temporary_key() in map(headers.get, names):
            return
        free = [name for name in names if name not in headers]
        if not free:
            raise NotFound("The account has two keys for temporary URLs already, so large objects can't have any.")
        self._ask("POST", headers={free[0]: temporary_key()})

    # ---- large objects ----

    def _put(self, container: str, name: str, piece: Piece, headers: Mapping[str, str]) -> None:
        """Upload one piece. Raises CloudFailed where the store has received something else."""
        answer = self._ask("PUT", container, name, headers=headers, data=piece)
        etag = _etag(answer.headers)
        if MD5.fullmatch(etag) and etag != piece.checksum:
            self._try("DELETE", container, name)
            raise CloudFailed(
                f"The upload of {name!r} was damaged on its way: its checksum is {piece.checksum}, the object store's "
                f"{etag}. It was deleted there: upload it again."
            )

    def _put_segments(
        self, container: str, name: str, source: Source, segment_bytes: int, headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Upload a large object; returns its manifest. What was uploaded is deleted again where anything fails."""
        shelf, start = container + SEGMENTS, f"{name}/{time.time():.6f}"
        self.create_container(shelf)
        manifest: list[dict[str, Any]] = []
        try:
            while source.goes_on():
                if len(manifest) == MOST_SEGMENTS:
                    raise _too_many(segment_bytes)
                segment, piece = f"{start}/{len(manifest) + 1:08d}", source.piece(segment_bytes)
                self._put(shelf, segment, piece, {"Content-Type": BINARY})
                manifest.append({"path": f"/{shelf}/{segment}", "etag": piece.checksum, "size_bytes": piece.bytes})
            data = json.dumps(manifest).encode()
            self._ask("PUT", container, name, params={"multipart-manifest": "put"}, headers=headers, data=data)
        except BaseException:
            with suppress(CloudError, *self.library_errors):  # the first error matters more
                for entry in manifest:
                    self._try("DELETE", *_place(entry["path"]))
            raise
        return manifest

    def _manifest(self, container: str, name: str, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """The segments of an object with these headers, as the store lists them; none of one in one piece."""
        if not _is_large(headers):
            return []
        found: list[dict[str, Any]] = _json(self._ask("GET", container, name, params={"multipart-manifest": "get"}))
        return found

    def _delete_large(self, container: str, name: str) -> None:
        """Delete a manifest and all of its segments."""
        params, headers = {"multipart-manifest": "delete"}, {"Accept": "application/json"}
        said = _json(self._ask("DELETE", container, name, params=params, headers=headers))
        if said.get("Errors"):
            raise CloudFailed(
                f"The object store could not delete all segments of {name!r}: {said['Errors']}. Delete it again."
            )

    def _sweep(self, container: str, name: str, keep: Iterable[Mapping[str, Any]] = ()) -> None:
        """Delete the segments of an object that its manifest does not name: earlier versions', and those of uploads
        that were interrupted."""
        shelf, kept = container + SEGMENTS, {_place(entry["path"])[1] for entry in keep}
        if self._try("HEAD", shelf) is None:
            return
        for entry in self._listed(shelf, f"{name}/"):
            segment = entry["name"]
            if SEGMENT.fullmatch(segment.removeprefix(name)) and segment not in kept:
                self._try("DELETE", shelf, segment)

    def _expire(self, container: str, name: str, segments: Iterable[Mapping[str, Any]]) -> None:
        """Let the segments of a large object end when it ends: at once if it has ended meanwhile."""
        manifest = self._try("HEAD", container, name)
        if manifest is None:
            self._sweep(container, name)
            return
        headers = {each: manifest.headers[each] for each in ("X-Delete-At",) if each in manifest.headers}
        for segment in segments:
            self._try("POST", *_place(segment.get("path") or segment["name"]), headers=headers)

    def _receive(
        self,
        container: str,
        name: str,
        answer: requests.Response,
        write: Callable[[bytes], Any],
        line: Transfer | None = None,
    ) -> StoredObject:
        """Hand on an object's bytes as they come. Raises CloudFailed if they are not what the store says."""
        manifest = self._manifest(container, name, answer.headers)
        found = _described(name, answer.headers, manifest)
        expected, done = Expected(_stretches(found, manifest, answer.headers)), 0
        try:
            # As they were uploaded: requests would unpack what has a Content-Encoding.
            for chunk in answer.raw.stream(CHUNK_BYTES, decode_content=False):
                expected.see(chunk)
                write(chunk)
                done += len(chunk)
                if line is not None:
                    line.move(done)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise CloudFailed(
                f"The download of {name!r} broke off after {done:,} of {found.bytes:,} bytes: download it again."
            ) from error
        expected.end()
        if expected.wrong:
            raise CloudFailed(
                f"The object {name!r} in container {container!r} arrived damaged: {expected.wrong}. Download it again; "
                f"if that does not help, its copy in the object store is damaged: upload it again."
            )
        return found

    # ---- requests ----

    def _ask(
        self, method: str, container: str | None = None, name: str | None = None, **arguments: Any
    ) -> requests.Response:
        """A request on the account, a container or an object. Raises NotFound, which says which of them is missing."""
        answer = self._try(method, container, name, **arguments)
        if answer is not None:
            return answer
        if container is None:
            raise NotFound("The project has no account in the object store: its administrator can create one.")
        names = self.containers()
        if name is None or container not in names:
            raise NotFound.among("container", container, names)
        raise NotFound(
            f"There is no object {name!r} in container {container!r}: `cloud.objects({container!r})` lists those that "
            f"there are."
        )

    def _try(
        self,
        method: str,
        container: str | None = None,
        name: str | None = None,
        *,
        stream: bool = False,
        **arguments: Any,
    ) -> requests.Response | None:
        """The same; None if it does not exist. The answer's body is read, unless it is a `stream`."""
        answer = self._stored(method, _path(container, name), **arguments)
        if not stream or answer.status_code >= 400:
            _ = answer.content  # the connection is free again
        if answer.status_code == 404:
            return None
        if answer.status_code >= 400:
            raise from_status(answer.status_code, answer.text or str(answer.reason))
        return answer

    def _listed(self, container: str | None = None, prefix: str = "") -> Iterator[dict[str, Any]]:
        """The entries of a list, page by page. A page may be shorter than asked for: only an empty one is the end."""
        params = {"format": "json", "limit": str(PAGE_NAMES)} | ({"prefix": prefix} if prefix else {})
        while page := _json(self._ask("GET", container, params=params)):
            yield from page
            params["marker"] = page[-1]["name"]


def _json(answer: requests.Response) -> Any:
    """The answer's body. Raises CloudFailed."""
    try:
        return answer.json()
    except ValueError:
        raise CloudFailed("The object store's answer is no JSON: try again, or ask its administrator.") from None


def _path(container: str | None, name: str | None) -> str:
    """The escaped path of the account, a container or an object. Raises BadRequest for names that can't be in a URL."""
    if container is None:
        return "/"
    if not container or "/" in container:
        raise BadRequest(f"A container's name must not be empty or have a slash: {container!r}.")
    if name == "":
        raise BadRequest("An object needs a name: give it one, such as 'photos/one.png'.")
    parts = [container] if name is None else [container, name]
    for part in parts:
        if {".", ".."} & set(part.split("/")):
            raise BadRequest(f"The name {part!r} can't be in a URL, because of its part '.' or '..': choose another.")
        if "\0" in part or not _is_text(part):
            raise BadRequest(f"The name {part!r} has characters that can't be in a URL: choose another.")
    return "".join(f"/{quote(part)}" for part in parts)


def _is_text(value: str) -> bool:
    """Whether it has a form in UTF-8: lone halves of surrogate pairs have none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(what: str, value: str) -> str:
    """A header's value, as requests needs it: the bytes of its UTF-8. Raises BadRequest."""
    if NOT_IN_HEADERS.search(value) or not _is_text(value):
        raise BadRequest(f"{what} must be text in one line, without blanks at its ends: {value!r}.")
    return value.encode().decode("latin-1")


def _meta(kind: str, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Metadata as headers. Raises BadRequest."""
    for name in metadata or {}:
        if not META_NAME.fullmatch(name):
            raise BadRequest(
                f"A name in metadata has letters from a to z, digits and single dashes: {name!r} can't be."
            )
    return {f"X-{kind}-Meta-{name}": _value(f"metadata {name!r}", value) for name, value in (metadata or {}).items()}


def _metadata(kind: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The metadata in an answer's headers."""
    prefix = f"x-{kind}-meta-".lower()
    return {
        name.lower().removeprefix(prefix): value.encode("latin-1").decode(errors="replace")
        for name, value in headers.items()
        if name.lower().startswith(prefix)
    }


def _key() -> dict[str, str]:
    """The header with which a container accepts the lab's temporary URLs."""
    return {f"X-Container-Meta-{TEMPORARY_KEY}": temporary_key()}


def _signed(method: str, url: str, expires: int) -> str:
    """The temporary URL for one HTTP method, until `expires` (in seconds since 1970)."""
    message = f"{method}\n{expires}\n{unquote(urlsplit(url).path)}"
    signature = hmac.new(temporary_key().encode(), message.encode(), hashlib.sha256).hexdigest()
    return f"{url}?temp_url_sig={signature}&temp_url_expires={expires}"


def _expiry(seconds: float | None) -> dict[str, str]:
    """The header that lets the store delete an object after so many seconds. Raises BadRequest."""
    if seconds is None or seconds == math.inf:
        return {}
    if not seconds > 0:
        raise BadRequest(f"expires_seconds must be more than 0, not {seconds:g}; without it the object stays.")
    return {"X-Delete-After": str(math.ceil(seconds))}


def _too_many(segment_bytes: int) -> BadRequest:
    return BadRequest(
        f"In segments of {segment_bytes:,} bytes these are more than {MOST_SEGMENTS:,} segments, the most that an "
        f"object store takes: choose a larger segment_bytes."
    )


def _is_large(headers: Mapping[str, str]) -> bool:
    return headers.get("X-Static-Large-Object", "").lower() == "true"


def _etag(headers: Mapping[str, str]) -> str:
    return headers.get("Etag", "").strip('"').lower()


def _place(path: str) -> tuple[str, str]:
    """Container and name in a manifest's path."""
    container, _, name = path.removeprefix("/").partition("/")
    return container, name


def _entry(entry: Mapping[str, Any]) -> StoredObject:
    """An object in a list."""
    return StoredObject(
        name=entry["name"],
        bytes=entry["bytes"],
        checksum=entry.get("slo_etag", entry["hash"]).strip('"'),
        content_type=entry["content_type"],
        modified=datetime.fromisoformat(entry["last_modified"]).replace(tzinfo=UTC),
    )


def _described(name: str, headers: Mapping[str, str], manifest: Sequence[Mapping[str, Any]]) -> StoredObject:
    """An object by the headers of its answer."""
    if "X-Timestamp" in headers:
        modified = datetime.fromtimestamp(float(headers["X-Timestamp"]), UTC)
    else:  # which is in whole seconds
        modified = parsedate_to_datetime(headers["Last-Modified"])
    return StoredObject(
        name=name,
        bytes=int(headers.get("Content-Length", 0)),
        checksum=_etag(headers),
        content_type=headers.get("Content-Type", BINARY),
        modified=modified,
        metadata=_metadata("Object", headers),
        expires=float(headers["X-Delete-At"]) if "X-Delete-At" in headers else None,
        segments=len(manifest),
    )


def _stretches(
    found: StoredObject, manifest: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
) -> list[tuple[int, str | None]]:
    """Which stretches of an object have which MD5: a large one's checksum is not that of its bytes."""
    if not manifest:
        plain = MD5.fullmatch(found.checksum) and "X-Object-Manifest" not in headers
        return [(found.bytes, found.checksum if plain else None)]
    tags = hashlib.md5("".join(each.get("hash", "") for each in manifest).encode(), usedforsecurity=False).hexdigest()
    whole = tags == found.checksum and not any("sub_slo" in each or "range" in each for each in manifest)
    return [(each["bytes"], each["hash"]) for each in manifest] if whole else [(found.bytes, None)]
