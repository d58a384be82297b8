"""Debian's Chromium for tests, driven by Playwright, and its screenshots."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.paths import REPOSITORY
from tests.support.waiting import HANGS_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: The size of the window, and so of every screenshot.
SIZE: Final = (1400, 900)

#: Playwright's own browsers are not in any package registry; Debian's is.
_NAMES: Final = ("chromium", "chromium-browser")
_ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic")


def require_chromium() -> str:
    """The path of its program. Skips the test where a part is missing; CI must have all parts."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    missing = [] if program else ["Chromium is not on the PATH: run 'make chromium', as root"]
    if importlib.util.find_spec("playwright") is None:
        missing.append("the Python package playwright is not installed")
    if program is None or missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("; ".join(missing))
    return program


@contextmanager
def browser_page(program: str) -> Iterator["Page"]:
    """An empty page of a new browser, without the state of an earlier one."""
    from playwright.sync_api import sync_playwright  # imported late: it may be missing, see require_chromium

    width, height = SIZE
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": width, "height": height}, timezone_id="UTC", locale="en-US")
            page.set_default_timeout(HANGS_SECONDS * 1000)
            yield page
        finally:
            browser.close()


@contextmanager
def pictured(page: "Page", name: str) -> Iterator[None]:
    """Takes a screenshot of the page at the end of the block, also when it fails."""
    folder = artifacts_folder()
    folder.mkdir(parents=True, exist_ok=True)
    good, bad = folder / f"{name}.png", folder / f"{name}-failed.png"
    for picture in (good, bad):
        picture.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        page.screenshot(path=bad)
        raise
    page.screenshot(path=good)


def is_published() -> bool:
    """Whether pictures become those of the documents: ``AUDIT_UPDATE_IMAGES=1``."""
    return os.environ.get("AUDIT_UPDATE_IMAGES") == "1"


def publish(name: str, as_name: str) -> None:
    """Copies the screenshot into the docs, if :func:`is_published`."""
    if is_published():
        shutil.copyfile(artifacts_folder() / f"{name}.png", REPOSITORY / "docs" / "images" / as_name)


def artifacts_folder() -> Path:
    """The folder of screenshots and logs: ``AUDIT_TEST_ARTIFACTS``, or one that git ignores."""
    return Path(os.environ.get("AUDIT_TEST_ARTIFACTS") or REPOSITORY / ".artifacts" / "ui")
