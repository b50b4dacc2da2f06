"""`python -m support.page_pictures FOLDER`: what the page looks like, for README and docs, by a real browser.

The demo model is served by `easel up` for it, with one that sleeps beside it.
"""

import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from support.browser import Visit, browser, visit
from support.easel_up import EaselUp, easel_up, write_model

_DESK: Final = {"width": 1440, "height": 900}
_PHONE: Final = {"width": 390, "height": 844}
_WORDS: Final = "make it night"
_SLOW: Final = {"steps": {"default": 20, "max": 100}, "guidanceScale": {"default": 1}}
"""Steps enough that the browser sees some of them."""


_HALF_DONE: Final = """() => new Promise((resolve) => {
  const look = () => {
    const bar = document.querySelector("[role=progressbar]");
    if (!bar || Number(bar.ariaValueNow) >= 40) resolve();
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
})"""


def main(folder: Path) -> None:
    """Write the pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        models = Path(name, "models")
        write_model(models, warmReplicas=1, parameters=_SLOW)
        price = {"amount": "20", "currency": "USD", "perPixels": 1_000_000_000}
        write_model(models, "sdxl-turbo", modelId="stabilityai/sdxl-turbo", price=price)
        with easel_up(models, Path(name, "cache")) as run, browser() as running:
            run.wait_for("easel/demo: ready")
            _pictures(run, running, folder)


def _pictures(run: EaselUp, running: Browser, folder: Path) -> None:
    with visit(running, run.url, viewport=_DESK, color_scheme="light") as seen:
        _choose(seen)
        _shoot(seen, folder / "page-before.png")
        seen.press()
        seen.page.evaluate(_HALF_DONE)
        _shoot(seen, folder / "page-during.png")
        seen.result()
        _shoot(seen, folder / "page-after.png")
    with visit(running, run.url, viewport=_DESK, color_scheme="dark") as seen:
        _edit(seen)
        _shoot(seen, folder / "page-dark.png")
    with visit(running, run.url, viewport=_PHONE, color_scheme="light", device_scale_factor=2) as seen:
        _edit(seen)
        _shoot(seen, folder / "page-phone.png")
    with visit(running, run.url, viewport=_DESK, color_scheme="light") as seen:
        seen.open("/#/operate")
        seen.page.locator(".operate table").wait_for()
        _shoot(seen, folder / "page-operate.png")


def _choose(seen: Visit) -> None:
    seen.page.get_by_role("button", name="Try the sample").click()
    seen.page.locator(".plain .picture").wait_for()
    seen.say(_WORDS)
    seen.exact_price()


def _edit(seen: Visit) -> None:
    _choose(seen)
    seen.press()
    seen.result()
    seen.page.locator(".past li img").wait_for()


def _shoot(seen: Visit, file: Path) -> None:
    seen.page.mouse.move(0, 0)  # nothing under it, and nothing with the focus
    seen.page.evaluate("document.activeElement?.blur()")
    seen.page.screenshot(path=file, animations="disabled", scale="device")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
