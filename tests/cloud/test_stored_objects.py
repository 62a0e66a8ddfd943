"""The object store, through each backend: containers, objects of any bytes, temporary URLs."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from faafo_lab.cloud import connect
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import InUse, NotFound
from faafo_lab.paths import embedded_state_dir

BINARY = bytes(range(256)) * 500  # no text in any encoding
CONTAINER, OBJECT = "a b", "sub dir/ö?.whl"


def test_an_object_is_stored_served_by_a_temporary_url_and_deleted(cloud: Cloud, other: Cloud) -> None:
    with pytest.raises(NotFound, match="There is no container 'a b'"):
        cloud.upload_object(CONTAINER, OBJECT, BINARY)
    for _ in range(2):
        cloud.create_container(CONTAINER)
    assert (cloud.containers(), other.containers()) == ([CONTAINER], [CONTAINER])
    cloud.upload_object(CONTAINER, OBJECT, b"before")
    cloud.upload_object(CONTAINER, OBJECT, BINARY)
    with pytest.raises(InUse):
        cloud.delete_container(CONTAINER)
    url = cloud.temporary_url(CONTAINER, OBJECT, 60)
    assert requests.get(url, timeout=30).content == BINARY
    assert requests.get(url.partition("?")[0], timeout=30).status_code == 401, "without its signature"
    assert requests.put(url, data=b"x", timeout=30).status_code == 401, "it is for reading"
    assert requests.get(other.temporary_url(CONTAINER, OBJECT, 60), timeout=30).content == BINARY
    with pytest.raises(NotFound, match="404"):
        cloud.temporary_url(CONTAINER, "missing", 60)
    for _ in range(2):
        cloud.delete_object(CONTAINER, OBJECT)
    for _ in range(2):
        cloud.delete_container(CONTAINER)
    assert cloud.containers() == []
    cloud.create_container(CONTAINER)  # not what was seen before: it is there again
    assert other.containers() == [CONTAINER]
    cloud.delete_container(CONTAINER)


def test_a_temporary_url_ends(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, OBJECT, BINARY)
    try:
        url = cloud.temporary_url(CONTAINER, OBJECT, 1)
        over = threading.Event()
        for _ in range(300):
            if requests.get(url, timeout=30).status_code == 401:
                break
            over.wait(0.1)
        else:
            pytest.fail("it never ended")
    finally:
        cloud.delete_object(CONTAINER, OBJECT)
        cloud.delete_container(CONTAINER)


def test_a_cloud_without_an_object_store_is_told_so(
    embedded: Path, backend: str, clouds_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = yaml.safe_load((embedded_state_dir() / "clouds.yaml").read_text())["clouds"]["embedded"]
    entry |= {"region_name": "elsewhere"}  # where the catalog has no service at all
    clouds_yaml.write_text(yaml.safe_dump({"clouds": {"elsewhere": entry}}))
    cloud = connect("elsewhere", backend)
    for call in (cloud.containers, lambda: cloud.create_container("x"), lambda: cloud.temporary_url("x", "y", 60)):
        with pytest.raises(NotFound, match=r"no (object store|such service)"):
            call()


def test_what_the_store_keeps_is_on_the_receipt(cloud: Cloud, backend: str) -> None:
    fresh = connect("embedded", backend)
    fresh.create_container("faafo-lab-x")
    assert connect("embedded", backend).receipt().left == {"containers": ("faafo-lab-x",)}, "by its name"
    assert "1 container (faafo-lab-x)" in repr(fresh.receipt())
    fresh.delete_container("faafo-lab-x")
    fresh.create_container("mine")
    assert connect("embedded", backend).receipt().nothing_left
    assert fresh.receipt().left == {"containers": ("mine",)}, "who made it knows"
    fresh.delete_container("mine")
    assert fresh.receipt().nothing_left
    assert ("containers", "2 created, 2 deleted") in fresh.receipt().rows


def test_the_signature_is_not_on_the_tape(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, OBJECT, BINARY)
    try:
        signature = urlsplit(cloud.temporary_url(CONTAINER, OBJECT, 60)).query.partition("&")[0].partition("=")[2]
        tape = cloud.tape(last=10)
        assert signature not in repr(tape) + tape._repr_html_() + "".join(call.url for call in tape.calls)
    finally:
        cloud.delete_object(CONTAINER, OBJECT)
        cloud.delete_container(CONTAINER)
