"""The page without a mouse, without eyes, in the dark and on a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from support.browser import visit
from support.easel_up import EaselUp
from support.pictures import png

GRAVE = {"serious", "critical"}
_STILL = """() => Promise.all(
  document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime !== Infinity)
    .map((each) => each.finished.catch(() => {}))
)"""
"""Transitions have to be over: half of a change of colour has half of its contrast."""
WIDTHS = {"phone": 390, "tablet": 820, "desk": 1440}


def grave(page: Page) -> list[str]:
    """What axe-core finds that keeps people out, with the elements."""
    page.evaluate(_STILL)
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found if each["impact"] in GRAVE for node in each["nodes"]]


def sideways(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_nothing_keeps_people_out(served: EaselUp, chromium: Browser, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900}
    with visit(chromium, served.url, viewport=size, color_scheme=scheme) as seen:
        page = seen.page
        page.locator(".model").wait_for()
        assert grave(page) == []
        assert sideways(page) == 0
        page.get_by_text("Settings", exact=True).click()
        seen.drop(png(), "a-name-that-is-very-long-and-has-no-place-to-break-it-anywhere-at-all.png")
        seen.say("make it night")
        seen.press()
        seen.result()
        page.locator(".past li").wait_for()
        assert grave(page) == []
        assert sideways(page) == 0
        page.get_by_role("button", name="Key").click()
        assert grave(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Operate").click()
        page.get_by_role("heading", name="Models").wait_for()
        assert grave(page) == []
        assert sideways(page) == 0


def test_everything_by_keyboard(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url) as seen:
        page = seen.page
        page.locator(".model").wait_for()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Try the sample")).to_be_focused()
        page.keyboard.press("Enter")
        page.locator(".plain .picture").wait_for()
        page.get_by_label("Instruction").focus()
        page.keyboard.type("make it night")
        seen.exact_price()
        page.keyboard.press("Enter")
        expect(page.get_by_role("progressbar")).to_be_visible()
        assert seen.result()[:2] == (512, 384)
        expect(page.get_by_text("The result is there.")).to_be_attached()


def test_the_theme_that_was_chosen_stays(served: EaselUp, chromium: Browser) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    with visit(chromium, served.url, color_scheme="light") as seen:
        light = seen.page.evaluate(ground)
        seen.page.get_by_role("button", name="Change to dark colours").click()
        dark = seen.page.evaluate(ground)
        assert dark != light
        seen.page.reload()
        assert seen.page.evaluate(ground) == dark
        seen.page.get_by_role("button", name="Change to light colours").click()
        assert seen.page.evaluate(ground) == light
