"""What the page says when something does not go as it should, and what to do then."""

from pathlib import Path

import httpx2
from playwright.sync_api import Browser, expect

from easel_local.keys import Asked, made
from support.browser import visit
from support.easel_up import EaselUp, easel_up, write_model
from support.pictures import png

WORDS = "make it night"
_LOSE_THE_NEXT_ANSWER = """() => {
  const whole = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await whole(...asked);
    if (answer.headers.get("Content-Type").startsWith("text/event-stream")) {
      window.fetch = whole;
      await answer.text();
      throw new TypeError("Failed to fetch");
    }
    return answer;
  };
}"""
"""The connection breaks after all was done and charged, and before the page has heard of it."""


def test_a_file_that_is_no_picture(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url) as seen:
        seen.drop(b"no picture at all", "letter.png")
        assert "no picture" in seen.notice()
        assert "Choose a PNG" in seen.notice()
        assert seen.page.get_by_text("Drop a picture here").is_visible()
        seen.drop(png())
        expect(seen.page.locator(".notice")).to_have_count(0)


def test_a_price_above_the_most_that_is_paid(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url, refused=[402, 422]) as seen:
        seen.drop(png())
        seen.say(WORDS)
        seen.page.get_by_text("Settings", exact=True).click()
        most = seen.page.get_by_label("The most you pay")
        most.fill("0.000001 USD")
        price = seen.exact_price()
        seen.press()
        assert "above what may be paid" in seen.notice()
        assert price in seen.notice()
        most.fill("a lot")
        seen.press()
        expect(seen.page.locator(".notice")).to_contain_text("X-Easel-Max-Price")
        most.fill("1 USD")
        seen.press()
        assert seen.result()[:2] == (64, 48)


def test_a_key_is_asked_for_and_used_in_this_tab(tmp_path: Path, cache: Path, chromium: Browser) -> None:
    models = tmp_path / "models"
    write_model(models, warmReplicas=1)
    token, secret = made(Asked("ada", "", (), None, None, None, "", admin=False, keep=()))
    (models / "ada.yaml").write_text(secret)
    with easel_up(models, cache, "--require-keys") as run:
        run.wait_for("easel/demo: ready")
        with visit(chromium, run.url, refused=[401]) as seen:
            seen.drop(png())
            seen.say(WORDS)
            seen.press()
            dialog = seen.page.get_by_role("dialog", name="Your key")
            dialog.get_by_label("Key", exact=True).fill("wrong")
            dialog.get_by_role("button", name="Use this key").click()
            expect(dialog).to_contain_text("wants a key")
            dialog.get_by_label("Key", exact=True).fill(token)
            dialog.get_by_role("button", name="Use this key").click()
            assert seen.result()[:2] == (64, 48)
            assert not [url for url in seen.asked if token in url]
            assert token not in seen.page.locator("pre").inner_text()
            seen.page.reload()
            seen.drop(png())
            seen.say(WORDS)
            seen.press()
            assert seen.result()[:2] == (64, 48)
            kept = seen.page.evaluate("JSON.stringify({...localStorage}) + document.cookie")
            assert token not in kept


def test_a_cold_model_is_woken(tmp_path: Path, cache: Path, chromium: Browser) -> None:
    models = tmp_path / "models"
    write_model(models, warmReplicas=0)
    with easel_up(models, cache) as run:
        run.wait_for("easel/demo: cold")
        with visit(chromium, run.url) as seen:
            expect(seen.page.locator(".model")).to_contain_text("wakes in about")
            seen.drop(png())
            seen.say(WORDS)
            seen.press()
            expect(seen.page.locator(".model .state")).to_have_attribute("data-state", "starting")
            assert seen.result()[:2] == (64, 48)
            expect(seen.page.locator(".model")).to_contain_text("Ready")


def test_a_model_that_cannot_start_says_why(tmp_path: Path, cache: Path, chromium: Browser) -> None:
    models = tmp_path / "models"
    write_model(models, "broken", modelId="nobody/nothing", profile="elsewhere", warmReplicas=1)
    with easel_up(models, cache) as run, visit(chromium, run.url) as seen:
        expect(seen.page.locator(".model .state")).to_have_text("Cannot start")
        seen.drop(png())
        seen.say(WORDS)
        (model,) = httpx2.get(f"{run.url}/models").json()["models"]
        assert model["reason"]
        expect(seen.page.locator("#obstacle")).to_have_text(f"nobody/nothing cannot start: {model['reason']}")
        button = seen.page.get_by_role("button", name="Edit the picture")
        assert button.get_attribute("aria-disabled") == "true"
        assert button.get_attribute("aria-describedby") == "obstacle"


def test_a_slow_network(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url) as seen:
        devtools = seen.page.context.new_cdp_session(seen.page)
        devtools.send("Network.enable")
        slow = {"offline": False, "latency": 300, "downloadThroughput": 60_000, "uploadThroughput": 20_000}
        devtools.send("Network.emulateNetworkConditions", slow)
        seen.page.reload()
        seen.page.locator(".model").wait_for()
        seen.drop(png())
        seen.say(WORDS)
        seen.press()
        expect(seen.page.get_by_role("progressbar")).to_be_visible()
        assert seen.result()[:2] == (64, 48)


def test_no_network_at_all(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url) as seen:
        seen.drop(png())
        seen.say(WORDS)
        seen.exact_price()
        seen.page.context.set_offline(True)
        seen.press()
        assert "cannot be reached" in seen.notice()
        seen.page.context.set_offline(False)
        seen.press()
        assert seen.result()[:2] == (64, 48)
        seen.complaints[:] = [said for said in seen.complaints if "ERR_INTERNET_DISCONNECTED" not in said]


def test_who_asks_again_because_the_answer_was_lost_gets_it_and_pays_once(served: EaselUp, chromium: Browser) -> None:
    def charged() -> int:
        return sum(row["requests"] for row in httpx2.get(f"{served.url}/usage").json()["data"])

    with visit(chromium, served.url) as seen:
        seen.drop(png())
        seen.say(WORDS)
        seen.exact_price()
        before = charged()
        seen.page.evaluate(_LOSE_THE_NEXT_ANSWER)
        seen.press()
        assert "cannot be reached" in seen.notice()
        assert charged() == before + 1
        seen.press()
        assert seen.result()[:2] == (64, 48)
        assert charged() == before + 1
        seen.press()
        assert seen.result()[:2] == (64, 48)
        assert charged() == before + 2, "what was answered is asked for anew"


def test_work_can_be_stopped(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url) as seen:
        seen.drop(png(512, 512))
        seen.say(WORDS)
        seen.page.get_by_text("Settings", exact=True).click()
        seen.page.get_by_label("Steps, as a number").fill("200")
        seen.press()
        seen.page.get_by_role("button", name="Stop").click()
        expect(seen.page.get_by_role("progressbar")).to_have_count(0)
        assert seen.page.get_by_role("button", name="Edit the picture").is_enabled()
        assert seen.page.locator(".notice").count() == 0
