"""The runner of suites that others wrote: what it runs, what it tells tempest of a cloud, and how it counts."""

import configparser
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from interop import __main__, place, suite
from interop.results import KINDS, Results, chosen, listed
from interop.suites.tempest import config
from tests.emulator.machine_room import alive
from tests.waiting import wait_for

pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")
A, B, C = ("tempest.api.network.test_a.A.test_one", "tempest.api.network.test_a.A.test_two", "tempest.api.image.B.t")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    try:
        yield control.start(tmp_path / "cloud")
    finally:
        control.stop(tmp_path / "cloud")


def results(*names: str) -> Results:
    return Results(dict.fromkeys(names, ""))


def test_the_guidelines_tests_are_all_named_once() -> None:
    path = suite.SUITES / "tempest" / "tests.txt"
    names = list(listed(path))
    written = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert sorted(names) == sorted(written)
    assert len(names) == 287
    assert all(re.fullmatch(r"tempest\.api(\.\w+)+", name) for name in names)
    assert 8 < len(chosen(listed(path), ["api.identity", "test_keypairs"])) < 20


def test_every_suite_has_a_module_with_its_parts_and_a_list() -> None:
    for name in suite.suites():
        module = suite.load(name)
        tests = listed(suite.SUITES / name / "tests.txt")
        assert any(not reason for reason in tests.values())
        assert all(each.isidentifier() for each in module.figures(Results(tests)))
        assert callable(module.run)


def test_a_list_says_what_is_not_applicable_and_why(tmp_path: Path) -> None:
    (tmp_path / "tests.txt").write_text("# note\na\n\nnot applicable: no service\n# more\nb\nc\n\nd\na\n")
    tests = listed(tmp_path / "tests.txt")
    assert tests == {"a": "", "b": "no service", "c": "no service", "d": ""}
    found = Results(tests)
    found.note("b", "failed")
    found.note("a", "passed")
    assert [found.of(kind) for kind in KINDS] == [["a"], ["d"], ["b", "c"]]
    assert list(found.reasons()) == ["   2 not applicable: no service"]
    assert found.row().split() == ["1", "1", "2", "0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "tempst"], "There is no suite 'tempst': choose from "),
        (["--suite", "tempest", "no_such_test"], "No test of tempest has 'no_such_test' in its name."),
        (["--list", "nowhere.txt"], "nowhere.txt"),
        (["--list", "nowhere.txt", "--suite", "tempest", "--suite", "openstacksdk"], "one suite"),
    ],
)
def test_a_wrong_name_is_told_in_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_class_that_is_not_set_up_fails_all_its_tests_and_silence_is_no_success(tmp_path: Path) -> None:
    found = results(A, B, C, f"{C}wo")
    event = {"reason": "no network", "seconds": 0}
    found.add({"test": f"setUpClass ({A.rpartition('.')[0]})", "status": "fail", **event})
    found.add({"test": f"{C}[id-1,smoke]", "status": "success", "reason": "", "seconds": 0})
    found.add({"test": "tearDownClass (tempest.api.image.B)", "status": "fail", "reason": "in use"})
    assert (found.of("passed"), found.of("failed"), found.leaks) == ([C], [A, B, f"{C}wo"], ["tempest.api.image.B"])
    found.write(tmp_path / "results.json")
    written = json.loads((tmp_path / "results.json").read_text())
    assert {name: each["kind"] for name, each in written["tests"].items()} == {
        **dict.fromkeys((A, B, f"{C}wo"), "failed"),
        C: "passed",
    }
    assert suite.load("tempest").figures(found) == {"interop_passed": 1}


def test_a_skipped_class_is_not_applicable_and_other_tests_are_not_counted() -> None:
    found = results(A, B)
    event = {"status": "skip", "reason": "needs an administrator", "seconds": 0}
    found.add({"test": f"setUpClass ({A.rpartition('.')[0]})", **event})
    found.add({"test": f"{C}[id-1]", "status": "success", "reason": "", "seconds": 0})
    assert found.of("not applicable") == [A, B]
    assert list(found.ended) == [A, B]
    assert not found.ran


def test_a_step_fails_by_what_its_block_raises_and_the_next_one_goes_on() -> None:
    found = results("one", "two")
    with found.step("one"):
        raise OSError("no such bucket")
    with found.step("two"):
        pass
    assert (found.of("failed"), found.of("passed")) == (["one"], ["two"])
    assert found.result("one").reason == "no such bucket"


def test_a_suite_has_a_home_of_its_own_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "OUT", tmp_path)
    monkeypatch.setenv("OS_CLOUD", "mine")
    child = "import subprocess as s; print(s.Popen(['sleep', '600'], stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
    tell = "import json, os; print(json.dumps([os.environ['HOME'], os.environ['TMPDIR'], sorted(os.environ)]))"
    with place.place("some", tmp_path / "no requirements") as where:
        home, temporary, names = json.loads(where.run([sys.executable, "-c", tell]))
        assert Path(home) == where.home != Path(os.environ["HOME"])
        assert Path(temporary).is_dir()
        assert "OS_CLOUD" not in names
        assert "embedded" in yaml.safe_load(where.clouds_yaml.read_text())["clouds"]
        left = int(where.run([sys.executable, "-c", child]))
        wait_for("the end of what a command left", lambda: not alive(left))
        with pytest.raises(place.CommandFailed, match=r"exit 3\nno luck"):
            where.run([sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"])
        with pytest.raises(place.CommandFailed, match="not ended within 0 s"):
            where.run(["sleep", "600"], seconds=0.1)
        cloud = where.clouds_yaml.parent
    assert not cloud.exists()
    assert not Path(home).exists()
    assert control.status(cloud) is None
    assert "no luck" in (tmp_path / "logs" / "some" / "commands.txt").read_text()


def test_tempest_is_told_what_the_cloud_has(running: Running, tmp_path: Path) -> None:
    parser = configparser.RawConfigParser()
    parser.read(config.write(tmp_path, running.clouds_yaml))
    assert parser["identity"]["uri_v3"] == f"{running.auth_url}/v3"
    assert parser["compute"]["image_ref"] != parser["compute"]["image_ref_alt"]
    assert parser["compute"]["flavor_ref"] != parser["compute"]["flavor_ref_alt"]
    assert {parser["service_available"][name] for name in ("nova", "neutron", "glance", "cinder", "swift")} == {"True"}
    accounts = yaml.safe_load((tmp_path / "accounts.yaml").read_text())
    assert [each["project_name"] for each in accounts] == ["demo", "alt", "demo"]
