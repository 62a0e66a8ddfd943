"""Console logs as people read them: as cloud-init and systemd write them on a distribution's image."""

from __future__ import annotations

from faafo_lab.cloud import console_log
from faafo_lab.cloud.base import Cloud
from faafo_lab.topology.serving import FAILED_BOOT

BOOT = "\r\n".join(
    [
        "[    0.000000] Linux version 6.1.0-18-cloud-amd64",
        "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mcloud-init.target\x1b[0m - Cloud-init target.",
        "ci-info: +++++++++++++++++++++++Net device info+++++++++++++++++++++++",
        "ci-info: |  ens3  | True |         10.0.0.7         | 255.255.255.0 |",
        "[   41.2] cloud-init[512]: Collecting faafo-lab",
        "[   43.9] cloud-init[512]: ERROR: No matching distribution found for faafo-lab",
        "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mcloud-final.service\x1b[0m.",
        "[   44.0] cloud-init[512]: - cc_scripts_user.py[WARNING]: Failed to run module scripts-user (scripts in /var)",
        "<14>Nov 26 20:42:04 cloud-init: #############################################################",
        "<14>Nov 26 20:42:04 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----",
        "<14>Nov 26 20:42:04 cloud-init: 256 SHA256:mN0y root@app-api-1 (ED25519)",
        "<14>Nov 26 20:42:04 cloud-init: -----END SSH HOST KEY FINGERPRINTS-----",
        "<14>Nov 26 20:42:04 cloud-init: #############################################################",
        "-----BEGIN SSH HOST KEY KEYS-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIU root@app-api-1",
        "-----END SSH HOST KEY KEYS-----",
        "[   44.3] cloud-init[512]: Cloud-init v. 22.4.2 finished at Thu, 26 Nov 2026 20:42:04 +0000.",
        "",
        "Debian GNU/Linux 12 app-api-1 ttyS0",
        "",
        "app-api-1 login: ",
    ]
)


def test_the_lines_that_lead_to_a_failed_boot_are_found_among_tables_and_host_keys() -> None:
    log = console_log.readable(BOOT)
    match = FAILED_BOOT.search(log)
    assert match
    assert console_log.tail(log, 4, match.end()).splitlines() == [
        "[   41.2] cloud-init[512]: Collecting faafo-lab",
        "[   43.9] cloud-init[512]: ERROR: No matching distribution found for faafo-lab",
        "[FAILED] Failed to start cloud-final.service.",
        "[   44.0] cloud-init[512]: - cc_scripts_user.py[WARNING]: Failed to run module scripts-user (scripts in /var)",
    ]


def test_the_end_of_a_log_is_what_tells_something() -> None:
    assert console_log.tail(console_log.readable(BOOT), 2).splitlines() == [
        "[   44.3] cloud-init[512]: Cloud-init v. 22.4.2 finished at Thu, 26 Nov 2026 20:42:04 +0000.",
        "Debian GNU/Linux 12 app-api-1 ttyS0",
    ]
    assert console_log.tail("", 3) == ""
    assert console_log.tail("-----BEGIN SSH HOST KEY KEYS-----\nand the log is cut", 3).endswith("and the log is cut")


def test_a_console_is_text_without_escape_codes(cloud: Cloud) -> None:
    script = r"""#!/bin/sh
printf '\033[0;1;31mFAILED\033[0m \033]0;a title\007at 10 %%\rat 100 %%\r\n\033(Bthe \tend\a\n'
"""
    server = cloud.create_server("colours", image="plain-linux", flavor="m1.tiny", user_data=script)
    cloud.wait_until(lambda: "the \tend\n" in cloud.console(server), "user data", progress=False)
    log = cloud.console(server)
    assert "\nat 100 %\nthe \tend\n" in log
    assert all(character.isprintable() or character in "\n\t" for character in log)


def test_the_last_lines_are_as_many_as_asked_whether_or_not_the_last_one_has_ended() -> None:
    assert console_log.readable("a\nb\nc\n", 2) == "b\nc\n"
    assert console_log.readable("a\nb\nc", 2) == "b\nc"
    assert console_log.readable("c\n", 2) == "c\n"
    assert console_log.readable("a\n", 0) == ""
    assert (console_log.length(None), console_log.length(2)) == (None, 3)
