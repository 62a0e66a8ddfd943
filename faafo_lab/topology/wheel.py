"""The wheel that the lab builds for servers: the application alone, with the worker's machine code.

A server installs it beside the application's locked requirements (``faafo_lab/app/requirements.txt``, in the wheel).
The same code always gives the same bytes: the wheel is not compressed and contains no times.
"""

import base64
import functools
import hashlib
import io
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from faafo_lab.app import kernel

PARTS = ("__init__.py", "interpreter.py", "app")  # of the package; tests/test_rooms.py: app needs no others
COMMANDS_OF = "faafo_lab.app."


class Wheel(NamedTuple):
    """A wheel: its file's name, its bytes, and their SHA-256 in hexadecimal."""

    name: str
    data: bytes
    sha256: str


@functools.cache
def build() -> Wheel:
    """Build the wheel from the running code, of a checkout or an installed package."""
    installed = distribution("faafo-lab")
    files = _code()
    named = f"faafo_lab-{installed.version}"
    commands = [entry for entry in installed.entry_points if entry.value.startswith(COMMANDS_OF)]
    about = f"{named}.dist-info"
    files[f"{about}/METADATA"] = _lines(
        "Metadata-Version: 2.1",
        "Name: faafo-lab",
        f"Version: {installed.version}",
        "Summary: The Fractals application alone, as faafo-lab puts it on servers",
        f"Requires-Python: {installed.metadata['Requires-Python']}",
    )
    files[f"{about}/WHEEL"] = _lines(
        "Wheel-Version: 1.0", "Generator: faafo-lab", "Root-Is-Purelib: true", "Tag: py3-none-any"
    )
    files[f"{about}/entry_points.txt"] = _lines(
        "[console_scripts]", *sorted(f"{command.name} = {command.value}" for command in commands)
    )
    record = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{about}/RECORD"] = _lines(*record, f"{about}/RECORD,,")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    data = packed.getvalue()
    return Wheel(f"{named}-py3-none-any.whl", data, hashlib.sha256(data).hexdigest())


def _code() -> dict[str, bytes]:
    """The application's files, by their names in the wheel, in order."""
    from faafo_lab.app import llvm  # slow to import, and most importers build no wheel

    root = Path(__file__).parents[1]
    places = [place for part in PARTS for place in (root / part, *sorted((root / part).rglob("*")))]
    files = {
        f"faafo_lab/{place.relative_to(root).as_posix()}": place.read_bytes()
        for place in places
        if place.is_file() and "__pycache__" not in place.parts
    }
    code = f"faafo_lab/app/{kernel.MACHINE_CODE.name}"
    return files | {f"{code}/{name}": content for name, content in llvm.files().items()}


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _digest(content: bytes) -> str:
    """A SHA-256 in RECORD's form: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
