"""Run rclone on the embedded object store, by several logins, and through its encryption."""

from __future__ import annotations

import configparser
from pathlib import Path

from ... import clouds, scripts
from ...debian import Package
from ...place import Place
from ...results import Results

TESTS = Path(__file__).with_name("tests.txt")
PACKAGE = Package("rclone", "1.60.1+dfsg-2+b5")
SETTINGS = {
    "RCLONE_RETRIES": "1",  # what a second try hides is a fault
    "RCLONE_LOW_LEVEL_RETRIES": "1",
    "RCLONE_TRANSFERS": "16",
}


def run(place: Place, results: Results) -> None:
    """Run the tests that `results` wants. Raises `OSError`."""
    settings = place.home / "rclone.conf"
    parser = configparser.RawConfigParser()
    parser.read_dict(_remotes(clouds.variables(place.clouds_yaml)))
    with settings.open("w") as file:
        parser.write(file)
    scripts.run(place, results, TESTS, PACKAGE.program, {"RCLONE_CONFIG": str(settings), **SETTINGS})


def _remotes(login: dict[str, str]) -> dict[str, dict[str, str]]:
    """The remotes that the tests name, as sections of rclone's configuration."""
    swift = {"type": "swift", "auth": login["OS_AUTH_URL"], "region": login["OS_REGION_NAME"], "auth_version": "3"}
    return {
        "lab": {
            **swift,
            "user": login["OS_USERNAME"],
            "key": login["OS_PASSWORD"],
            "domain": login["OS_USER_DOMAIN_NAME"],
            "tenant": login["OS_PROJECT_NAME"],
            "tenant_domain": login["OS_PROJECT_DOMAIN_NAME"],
        },
        "credential": {
            **swift,
            "application_credential_id": login["CREDENTIAL_ID"],
            "application_credential_secret": login["CREDENTIAL_SECRET"],
        },
        "token": {"type": "swift", "storage_url": login["STORE_URL"], "auth_token": login["STORE_TOKEN"]},
        # The password is rclone's disguise of "secret".
        "secret": {"type": "crypt", "remote": "lab:crypt", "password": "AnWNRp58M8AmYbnYzdfX7MWYckNdGA"},
    }


def figures(results: Results) -> dict[str, int]:
    """How many tests failed."""
    return {"rclone_failed": len(results.of("failed"))}
