"""COVERAGE.md says what there is."""

from faafo_lab.cloud.emulator import coverage

from .conftest import Api


def test_the_page_is_current() -> None:
    assert coverage.PAGE.read_text() == coverage.page(), "run make coverage"


def test_the_page_names_every_service_of_the_catalogue(api: Api) -> None:
    services = {(each["type"], each["name"]) for each in api.login().json()["token"]["catalog"]}
    headings = [line for line in coverage.page().splitlines() if line.startswith("## ")]
    named = [name for heading in headings for name in heading.removeprefix("## ").split(", ")]
    assert sorted(named) == sorted(f"{type} ({name})" for type, name in services)
