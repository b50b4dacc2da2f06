"""One browser for the tests of a module; it is closed before others run, which may be asynchronous."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support.browser import browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running
