"""The runner of OpenStack's own tests: which it runs, what it tells tempest of a cloud, and how it counts."""

import configparser
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from interop import config
from interop.results import Results, required

pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")
LIST = Path(__file__).parent.parent / "interop" / "required.txt"
A, B, C = ("tempest.api.network.test_a.A.test_one", "tempest.api.network.test_a.A.test_two", "tempest.api.image.B.t")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    try:
        yield control.start(tmp_path / "cloud")
    finally:
        control.stop(tmp_path / "cloud")


def test_the_guidelines_tests_are_all_named_once() -> None:
    names = required(LIST)
    assert len(names) == len(set(names)) == 283
    assert all(re.fullmatch(r"tempest\.api(\.\w+)+", name) for name in names)
    some = required(LIST, ["api.identity", "test_keypairs"])
    assert 8 < len(some) < 20
    with pytest.raises(ValueError, match="'no_such_test'"):
        required(LIST, ["no_such_test"])


def test_a_class_that_is_not_set_up_fails_all_its_tests_and_silence_is_no_success(tmp_path: Path) -> None:
    results = Results([A, B, C, f"{C}wo"])
    results.add({"test": f"setUpClass ({A.rpartition('.')[0]})", "status": "fail", "reason": "no network"})
    results.add({"test": f"{C}[id-1,smoke]", "status": "success", "reason": ""})
    results.add({"test": "tearDownClass (tempest.api.image.B)", "status": "fail", "reason": "in use"})
    assert (results.of("passed"), results.of("failed"), results.leaks) == (
        [C],
        [A, B, f"{C}wo"],
        ["tempest.api.image.B"],
    )
    assert [line.split() for line in results.table()][1:] == [
        ["network", "0", "2", "0"],
        ["image", "1", "1", "0"],
        ["all", "1", "3", "0"],
    ]
    results.write(tmp_path / "interop.json")
    written = json.loads((tmp_path / "interop.json").read_text())
    assert written["interop_passed"] == {"value": 1, "unit": "tests"}
    assert written["failed"] == [A, B, f"{C}wo"]


def test_a_skipped_class_is_skipped_and_other_tests_are_not_counted() -> None:
    results = Results([A, B])
    results.add({"test": f"setUpClass ({A.rpartition('.')[0]})", "status": "skip", "reason": "needs an administrator"})
    assert results.add({"test": f"{C}[id-1]", "status": "success", "reason": ""}) is None
    assert results.of("skipped") == [A, B]


def test_tempest_is_told_what_the_cloud_has(running: Running, tmp_path: Path) -> None:
    parser = configparser.RawConfigParser()
    parser.read(config.write(tmp_path, running.clouds_yaml))
    assert parser["identity"]["uri_v3"] == f"{running.auth_url}/v3"
    assert parser["compute"]["image_ref"] != parser["compute"]["image_ref_alt"]
    assert parser["compute"]["flavor_ref"] != parser["compute"]["flavor_ref_alt"]
    assert {parser["service_available"][name] for name in ("nova", "neutron", "glance", "cinder", "swift")} == {"True"}
    accounts = yaml.safe_load((tmp_path / "accounts.yaml").read_text())
    assert [each["project_name"] for each in accounts] == ["demo", "alt", "demo"]
