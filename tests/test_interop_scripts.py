"""Suites of commands: what their scripts print decides; without its program none of a suite's tests is applicable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from interop import clouds, scripts, suite
from interop import place as places
from interop.debian import Package
from interop.place import Place
from interop.results import Results, listed

LIST = """# note
one
  $ echo kept > file
  $ for word in a b
  > do echo $word; done
  a
  b

two
  $ cat file; false | true

three
  $ cat file
  other

not applicable: no kernel module
four
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    directories = [tmp_path / name for name in ("out", "home", "tmp")]
    for each in directories:
        each.mkdir()
    return Place(Path(sys.executable).parent, *directories, tmp_path / "clouds.yaml")


def run(place: Place, chosen: list[str] | None = None, path: str = "/bin/true") -> Results:
    file = place.home / "tests.txt"
    file.write_text(LIST)
    tests = listed(file)
    found = Results({name: tests[name] for name in chosen or tests})
    scripts.run(place, found, file, lambda: Path(path))
    return found


def test_a_script_passes_where_it_ends_well_and_prints_what_is_written(place: Place) -> None:
    found = run(place)
    assert {name: found.result(name).kind for name in found.wanted} == {
        "one": "passed",
        "two": "failed",
        "three": "failed",
        "four": "not applicable",
    }
    assert "exit 1" in found.result("two").reason
    assert found.result("three").reason.splitlines()[-2:] == ["-other", "+kept"]


def test_what_is_chosen_finds_the_files_of_what_is_before(place: Place) -> None:
    found = run(place, ["three"])
    assert list(found.ended) == ["three"]
    assert found.result("three").reason.splitlines()[-1] == "+kept"


def test_without_debian_a_program_is_not_to_be_had_and_no_test_is_applicable(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(place.home))
    found = Results({"one": "", "four": "no kernel module"})
    scripts.run(place, found, place.home / "tests.txt", Package("rclone", "0").program)
    assert found.of("not applicable") == ["one", "four"]
    assert "no apt-get" in found.result("one").reason
    assert not found.ran


def test_a_suites_cloud_is_reached_past_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "OUT", tmp_path)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "mirror.example")
    monkeypatch.setenv("no_proxy", "")
    with places.place("some", tmp_path / "no requirements") as where:
        login = clouds.variables(where.clouds_yaml)
        assert login["STORE_URL"].startswith("http://127.")
        assert {"OS_AUTH_URL", "OS_PASSWORD", "CREDENTIAL_SECRET", "STORE_TOKEN"} <= set(login)
        assert where.environment()["no_proxy"].startswith("mirror.example,")


@pytest.mark.parametrize("name", ["rclone", "restic", "packer"])
def test_every_applicable_test_of_a_list_has_a_script(name: str) -> None:
    path = suite.SUITES / name / "tests.txt"
    there = scripts.scripts(path)
    assert [test for test, reason in listed(path).items() if not reason] == list(there)
    assert all(script for script, _ in there.values())
