"""Headless Chromium, in which pages are tried. It is Debian's package `chromium`, or the path in CHROMIUM."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", *(["--no-sandbox"] if os.geteuid() == 0 else [])]

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's package chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, which is closed at the block's end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
