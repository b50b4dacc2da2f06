"""A picture is edited with the page, by a real model behind a real gateway."""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from support.browser import Visit, visit
from support.easel_up import SECONDS, EaselUp, easel_up, edit
from support.pictures import png

WORDS = "make it black and white"
SEED = "7"
EXAMPLES = Path(__file__).parents[3] / "examples"


def set_seed(seen: Visit, seed: str = SEED) -> None:
    seen.page.get_by_text("Settings", exact=True).click()
    seen.page.get_by_label("Seed", exact=True).fill(seed)


def from_the_api(url: str, picture: bytes, **fields: str) -> list[bytes]:
    answer = edit(url, picture, prompt=WORDS, seed=SEED, **fields)
    assert answer.status_code == 200, answer.text
    return [httpx2.get(image["url"]).content for image in answer.json()["images"]]


def pixels(file: bytes) -> tuple[int, int, bytes]:
    image = Image.open(io.BytesIO(file)).convert("RGBA")
    return image.width, image.height, image.tobytes()


def test_a_dropped_picture_becomes_what_the_api_makes_of_it(served: EaselUp, chromium: Browser) -> None:
    picture = png(96, 64)
    with visit(chromium, served.url) as seen:
        seen.drop(picture)
        seen.say(WORDS)
        set_seed(seen)
        quote = httpx2.post(f"{served.url}/quote", json={"model_id": "easel/demo", "width": 96, "height": 64}).json()
        assert seen.exact_price() == f"{quote['amount']} {quote['currency']}"
        with seen.page.expect_response("**/image-to-image") as answered:
            seen.press()
        shown = seen.result()
        said = seen.progress()
        assert answered.value.headers["content-type"].startswith("text/event-stream")
        (made,) = from_the_api(served.url, picture)
        assert shown == pixels(made)
        assert len(said) > 0, "there was something to look at meanwhile"
        steps = [int(percent) for _, percent in said if percent]
        assert steps == sorted(steps), "it never goes back"
        assert steps[-1] == 100
        assert seen.page.get_by_test_id("exact-paid").inner_text() == f"{quote['amount']} {quote['currency']}"
        with seen.page.expect_download() as download:
            seen.page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == "in-7.png"
        assert Path(download.value.path()).read_bytes() == made


def test_the_demo_makes_the_cat_grey(tmp_path: Path, cache: Path, chromium: Browser) -> None:
    """By its own manifest, as `make demo` serves it."""
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(EXAMPLES / "demo.yaml", models)
    with easel_up(models, cache) as run, visit(chromium, run.url) as seen:
        run.wait_for(r"easel/demo: ready")
        seen.drop((EXAMPLES / "cat.png").read_bytes(), "cat.png")
        seen.say(WORDS)
        seen.press()
        width, height, made = seen.result()
    cat = Image.open(EXAMPLES / "cat.png")
    assert (width, height) == cat.size
    grey = np.asarray(cat.convert("L").convert("RGB"), float)
    shown = np.asarray(Image.frombytes("RGBA", (width, height), made).convert("RGB"), float)
    decibels = 20 * np.log10(255 / np.sqrt(((shown - grey) ** 2).mean()))
    assert decibels >= 24


def test_several_images_of_a_pasted_picture(served: EaselUp, chromium: Browser) -> None:
    picture = png()
    with visit(chromium, served.url) as seen:
        seen.paste(picture, "pasted.png")
        seen.say(WORDS)
        set_seed(seen)
        one = seen.exact_price()
        seen.page.get_by_label("Images, as a number").fill("3")
        seen.page.get_by_label("Images, as a number").press("Tab")
        expect(seen.page.get_by_test_id("exact-price")).not_to_have_text(one)
        seen.press()
        first = seen.result()
        made = from_the_api(served.url, picture, num_images_per_prompt="3")
        assert first == pixels(made[0])
        seen.page.get_by_role("button", name="Image 3").click()
        expect(seen.page.locator(".facts")).to_contain_text("9")
        assert seen.result() == pixels(made[2])


def test_a_chosen_file_a_suggestion_and_the_slider_by_key(served: EaselUp, chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "chosen.png"
    file.write_bytes(png())
    with visit(chromium, served.url) as seen:
        with seen.page.expect_file_chooser() as chooser:
            seen.page.get_by_text("Choose a picture", exact=True).click()
        chooser.value.set_files(file)
        seen.page.get_by_role("button", name="make it night").click()
        seen.page.keyboard.press("Enter")
        slider = seen.page.get_by_role("slider", name="Before and after")
        slider.focus()
        for _ in range(10):
            slider.press("ArrowRight")
        assert slider.input_value() == "60"
        assert slider.get_attribute("aria-valuetext") == "60 percent before, 40 percent after"


def test_a_large_picture_is_made_smaller_before_it_is_sent(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url) as seen:
        seen.drop(png(1600, 1200), "large.png")
        expect(seen.page.locator(".caption")).to_contain_text(re.compile("1,024 . 768 of 1,600 . 1,200"))
        seen.page.get_by_text("Settings", exact=True).click()
        seen.page.get_by_label("Size that is sent").select_option("256")
        seen.say(WORDS)
        seen.press()
        assert seen.result()[:2] == (256, 192)


def test_what_was_made_is_kept_in_the_browser_until_it_is_cleared(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url) as seen:
        seen.drop(png())
        seen.say(WORDS)
        seen.press()
        shown = seen.result()
        seen.page.reload()
        assert not seen.page.locator(".compare").is_visible()
        seen.page.get_by_role("button", name="show it again").click()
        assert seen.result() == shown
        assert seen.page.get_by_label("Instruction").input_value() == WORDS
        seen.page.get_by_role("button", name="Clear").click()
        seen.page.get_by_role("button", name="Delete", exact=True).click()
        expect(seen.page.locator(".past")).to_have_count(0)
        seen.page.reload()
        seen.page.locator(".model").wait_for()
        assert seen.page.locator(".past").count() == 0


def test_a_result_is_the_next_picture(served: EaselUp, chromium: Browser) -> None:
    with visit(chromium, served.url) as seen:
        seen.drop(png())
        seen.say(WORDS)
        seen.press()
        first = seen.result()
        seen.page.get_by_role("button", name="Go on with this").click()
        plain = seen.page.locator(".plain .picture")
        plain.wait_for()
        assert plain.evaluate("(image) => [image.naturalWidth, image.naturalHeight]") == list(first[:2])


@pytest.mark.parametrize("language", ["curl", "Python", "livepeer-ai"])
def test_the_code_that_is_copied_runs(served: EaselUp, chromium: Browser, tmp_path: Path, language: str) -> None:
    name = 'it\'s a "cat".png'
    (tmp_path / name).write_bytes(png())
    with visit(chromium, served.url, permissions=["clipboard-read", "clipboard-write"]) as seen:
        seen.drop(png(), name)
        seen.say("@make it 'night'; \"now\" é 猫")
        set_seed(seen)
        seen.page.get_by_role("tab", name=language).click()
        seen.page.get_by_role("button", name="Copy", exact=True).click()
        expect(seen.page.get_by_text("Copied")).to_be_visible()
        code = seen.page.evaluate("navigator.clipboard.readText()")
    command = ["bash", "-c", code] if language == "curl" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{served.url}/stream/" in done.stdout
