"""A verb in every backend, side by side."""

from __future__ import annotations

import subprocess
import sys

import pytest

import faafo_lab
from faafo_lab.cloud.base import VERBS, Cloud
from faafo_lab.cloud.errors import NotFound
from faafo_lab.cloud.tape import last_calls


def test_the_bodies_are_side_by_side_and_what_they_share_is_said_once() -> None:
    compared = faafo_lab.compare("create_server")
    calls = {
        "shade": "self._shade.create_server(",
        "libcloud": "self._driver.create_node(",
        "openstacksdk": "self._sdk.compute.create_server(",
    }
    assert list(compared.sources) == list(calls)
    for backend, call in calls.items():
        source = compared.sources[backend]
        assert source.startswith("on")
        assert call in source
        assert "@" not in source
        assert "def " not in source
    assert repr(compared).startswith("cloud.create_server(name, *, image, flavor, key_pair=None,")
    for shown in (repr(compared), compared._repr_html_()):
        assert shown.count("metadata=None") == 1
    assert max(map(len, repr(compared).splitlines()[:2])) < 90
    assert compared.says == "Request a server and return at once (status BUILD): see `wait_for`."


def test_helpers_of_the_backends_own_are_shown_too() -> None:
    sources = faafo_lab.compare("reboot_server").sources
    assert "def _action(" in sources["shade"]
    assert sources["libcloud"].startswith("reboot = ")
    assert "def " not in sources["libcloud"]


def test_a_verb_of_the_object_store_is_shown_once_and_each_librarys_request_beside_it() -> None:
    compared = faafo_lab.compare("upload_object")
    assert "self._put(container, name" in compared.shared
    for backend, call in {"shade": "Adapter.request", "libcloud": "_store.request", "openstacksdk": "_sdk."}.items():
        assert compared.sources[backend].startswith("def _stored(")
        assert call in compared.sources[backend]
    assert repr(compared).count("self._put(container, name") == 1
    assert "_put" in compared._repr_html_()
    assert faafo_lab.compare("create_server").shared == ""


def test_every_verb_can_be_compared() -> None:
    for verb in VERBS:
        compared = faafo_lab.compare(verb)
        assert compared.signature.startswith(f"{verb}(")
        for source in compared.sources.values():
            assert source[0] not in ' "@'
            assert f"def {verb}(" not in source
        assert compared._repr_html_().count("<td") == 2 * len(compared.sources)


def test_the_calls_that_a_verb_made_stand_below_it(clouds: dict[str, Cloud]) -> None:
    for cloud in clouds.values():
        cloud.create_security_group("compared")
        cloud.servers()
        cloud.delete_security_group("compared")
    compared = faafo_lab.compare(clouds["shade"].delete_security_group)
    for backend in clouds:
        methods = [row.method for row in compared.calls[backend].rows]
        assert list(dict.fromkeys(methods)) == ["GET", "DELETE"]  # shade looks for the group once more
    assert repr(compared).count("DELETE /security-groups/") == len(clouds)
    assert compared._repr_html_().count("DELETE /security-groups/") == len(clouds)
    assert repr(compared).count("204 No Content") == len(clouds)


def test_a_call_that_failed_is_not_what_a_verb_does(clouds: dict[str, Cloud]) -> None:
    cloud = clouds["shade"]
    last_calls.pop(("shade", "console"), None)  # of another test
    with pytest.raises(NotFound):
        cloud.console("nobody")
    compared = faafo_lab.compare("console")
    assert "shade" not in compared.calls
    assert 'call it on faafo_lab.connect(backend="shade"), then compare again' in repr(compared)


def test_an_unknown_verb_names_the_verbs_near_matches_first() -> None:
    with pytest.raises(NotFound, match=r"no verb 'creat_server'. Did you mean 'create_server'\? There are: create_ser"):
        faafo_lab.compare("creat_server")
    with pytest.raises(NotFound, match="'wait_for' is the same through every backend"):
        faafo_lab.compare("wait_for")
    with pytest.raises(NotFound, match="no verb '__init__'"):
        faafo_lab.compare("__init__")


def test_importing_faafo_lab_does_not_import_the_backends() -> None:
    libraries = ("shade", "libcloud", "openstack")
    code = f"import sys, faafo_lab; faafo_lab.compare; print([m for m in {libraries} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
