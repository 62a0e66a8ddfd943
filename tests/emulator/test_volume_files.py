"""Volumes on disk: copies are whole and their own, and nothing that cannot be copied stops them."""

import os
import socket
import tarfile
import threading
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator.machinery.guest import disk
from faafo_lab.cloud.emulator.services.block_storage import files


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A volume with all that a program may leave in one."""
    source = tmp_path / "source"
    files.empty(source)
    (source / "data/deep").mkdir(parents=True)
    (source / "data/deep/big").write_bytes(os.urandom(3 << 20))
    (source / "data/run").write_text("#!/bin/sh\n")
    (source / "data/run").chmod(0o750)
    (source / "link").symlink_to("data/run")
    (source / "outside").symlink_to("/etc/passwd")
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "s"))
    (source / "locked").mkdir()
    (source / "locked/file").write_text("kept")
    (source / "locked").chmod(0o500)
    return source


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def test_a_copy_has_files_links_and_modes_and_no_sockets(source: Path, tmp_path: Path) -> None:
    files.copy(source, tmp_path / "copy", threading.Event())
    copy = tmp_path / "copy"
    assert names(copy) == names(source) - {"fifo", "s"}
    assert (copy / "data/deep/big").read_bytes() == (source / "data/deep/big").read_bytes()
    assert (copy / "data/run").stat().st_mode & 0o777 == 0o750
    assert (copy / "locked").stat().st_mode & 0o777 == 0o500
    assert os.readlink(copy / "outside") == "/etc/passwd"
    (copy / "data/run").write_text("changed")
    assert (source / "data/run").read_text() == "#!/bin/sh\n"


def test_a_copy_does_without_the_kernels_help(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError("not here")

    monkeypatch.setattr(files.fcntl, "ioctl", refuse)
    files.copy(source, tmp_path / "copy", threading.Event())
    assert (tmp_path / "copy/data/deep/big").read_bytes() == (source / "data/deep/big").read_bytes()


def test_a_copy_that_is_stopped_says_so(source: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(files.Stopped):
        files.copy(source, tmp_path / "copy", stop)
    with pytest.raises(files.Stopped):
        files.pack(source, tmp_path / "archive", stop)


def test_what_is_packed_can_be_unpacked_as_an_image(source: Path, tmp_path: Path) -> None:
    files.pack(source, tmp_path / "archive", threading.Event())
    assert tarfile.is_tarfile(tmp_path / "archive")
    disk.unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert names(tmp_path / "unpacked") == names(source) - {"fifo", "s", "outside"}


def test_removing_leaves_nothing_and_follows_no_link(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    (source / "away").symlink_to(other)
    files.remove(source)
    files.remove(source)
    assert names(tmp_path) == {"other", "other/file"}
