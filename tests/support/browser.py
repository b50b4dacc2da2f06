"""The web page in a real browser: the machine's own Chromium, which asks nobody but the gateway."""

import base64
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from services import chromium
from support.easel_up import SECONDS

expect.set_options(timeout=SECONDS * 1000)

_SWITCHES: Final = ("--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage")
_OWN: Final = ("blob", "data")
_REFUSED: Final = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_DROP: Final = """(target, [name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
_PASTE: Final = """([name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
}"""
_WATCH: Final = """() => {
  window.easelSeen = [];
  const look = () => {
    const bar = document.querySelector("[role=progressbar]");
    if (!bar) return;
    const said = [bar.getAttribute("aria-valuetext"), bar.getAttribute("aria-valuenow")].join("|");
    if (window.easelSeen.at(-1) !== said) window.easelSeen.push(said);
  };
  const options = { subtree: true, childList: true, attributes: true };
  new MutationObserver(look).observe(document.documentElement, options);
}"""
_PIXELS: Final = """(image) => {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return [canvas.width, canvas.height, [...context.getImageData(0, 0, canvas.width, canvas.height).data]];
}"""


@contextmanager
def browser() -> Iterator[Browser]:
    """The machine's Chromium; the test is skipped where there is none, with CI set it fails.

    To be left before an asynchronous test runs in the same thread: it has an event loop of its own.
    """
    if (path := chromium()) is None:
        msg = "there is no Chromium (Debian: apt install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(msg)
        pytest.skip(msg)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=_SWITCHES)
        try:
            yield running
        finally:
            running.close()


@dataclass
class Visit:
    """One look at the page, with a profile of its own."""

    page: Page
    url: str
    refused: Sequence[int] = ()
    """Statuses that the test provokes; the browser complains of each in its console."""
    asked: list[str] = field(default_factory=list)
    """Every address that was asked for."""
    complaints: list[str] = field(default_factory=list)
    """What the console says in red, and errors that nobody caught."""

    def open(self, path: str = "/") -> "Visit":
        """Go there, and see the page."""
        self.page.goto(self.url + path)
        self.page.get_by_role("main").wait_for()
        return self

    def drop(self, content: bytes, name: str = "in.png", kind: str = "image/png") -> None:
        """Drop a file on the page, as from a file manager."""
        self.page.locator(".stage").evaluate(_DROP, [name, kind, base64.b64encode(content).decode()])

    def paste(self, content: bytes, name: str = "in.png", kind: str = "image/png") -> None:
        """Paste a file."""
        self.page.evaluate(_PASTE, [name, kind, base64.b64encode(content).decode()])

    def say(self, instruction: str) -> None:
        """Type it."""
        self.page.get_by_label("Instruction").fill(instruction)

    def press(self) -> None:
        """Press the button, and watch the progress from then on."""
        self.page.evaluate(_WATCH)
        self.page.get_by_role("button", name="Edit the picture").click()

    def progress(self) -> list[tuple[str, str]]:
        """What the progress bar said since the button was pressed: words, and percent where they were known."""
        seen: list[str] = self.page.evaluate("window.easelSeen")
        return [(words, percent) for words, _, percent in (said.partition("|") for said in seen)]

    def result(self) -> tuple[int, int, bytes]:
        """Width, height and RGBA of the image that is shown, once there is one."""
        image = self.page.locator(".compare .picture").first
        image.wait_for(timeout=SECONDS * 1000)
        image.evaluate("(image) => image.decode()")
        width, height, pixels = image.evaluate(_PIXELS)
        return width, height, bytes(pixels)

    def exact_price(self) -> str:
        """The exact price that is shown, once there is one."""
        return self.page.get_by_test_id("exact-price").inner_text(timeout=SECONDS * 1000)

    def notice(self) -> str:
        """The problem that is shown, in all its words."""
        return self.page.locator(".notice").inner_text(timeout=SECONDS * 1000)

    def _follow(self, context: BrowserContext) -> None:
        context.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self._hear(said.type, said.text))

    def _hear(self, kind: str, text: str) -> None:
        status = _REFUSED.match(text)
        if kind in ("error", "warning") and not (status and int(status[1]) in self.refused):
            self.complaints.append(text)

    def _elsewhere(self) -> list[str]:
        own = urlsplit(self.url).netloc
        return [url for url in self.asked if urlsplit(url).scheme not in _OWN and urlsplit(url).netloc != own]


@contextmanager
def visit(running: Browser, url: str, *, refused: Sequence[int] = (), **options: Any) -> Iterator[Visit]:
    """The page at `url` in a profile of its own; at the end nothing was complained of, and no other host asked.

    `options` are those of a context of Playwright.
    """
    with running.new_context(**options) as context:
        context.set_default_timeout(SECONDS * 1000)
        found = Visit(context.new_page(), url, refused)
        found._follow(context)
        yield found.open()
        assert found.complaints == [], found.complaints
        assert found._elsewhere() == []
        assert any(asked.endswith("/page/main.js") for asked in found.asked)
