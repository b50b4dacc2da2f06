"""A caller's day: the demo model behind the real gateway, over real HTTP."""

import io
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import httpx2
import psutil
import pytest
from PIL import Image

from support.easel_up import EaselUp, edit
from support.pictures import bomb, form, png

CAT = Path(__file__).parents[2] / "examples" / "cat.png"
MEGABYTE = 1 << 20


def image_of(url: str) -> Image.Image:
    response = httpx2.get(url)
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(response.content))


def test_the_curl_it_prints_answers_with_an_edited_picture_of_the_same_size(served: EaselUp) -> None:
    assert shutil.which("curl"), "curl must be installed"
    command = served.wait_for(r"^  (curl .*)$")[1].replace("@picture.png", f"@{CAT}")
    answer = json.loads(subprocess.run([*shlex.split(command), "-sS"], capture_output=True, check=True).stdout)

    assert list(answer) == ["images"]
    (image,) = answer["images"]
    assert set(image) == {"url", "seed", "nsfw"}
    assert image["nsfw"] is False
    assert 0 <= image["seed"] < 2**32
    assert re.fullmatch(rf"{re.escape(served.url)}/stream/[0-9a-f]{{32}}/[0-9a-f]{{32}}\.png", image["url"])
    result, original = image_of(image["url"]), Image.open(CAT)
    assert result.size == original.size
    assert result.convert("RGB").tobytes() != original.convert("RGB").tobytes()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(served: EaselUp) -> None:
    urls = [edit(served.url, png(), seed=seed).json()["images"][0]["url"] for seed in ("7", "7", "8")]
    first, again, other = (httpx2.get(url).content for url in urls)
    assert first == again
    assert first != other


def test_several_images_have_consecutive_seeds_and_pictures_of_their_own(served: EaselUp) -> None:
    images = edit(served.url, png(), seed="4294967295", num_images_per_prompt="3").json()["images"]
    assert [image["seed"] for image in images] == [4294967295, 0, 1]
    assert len({httpx2.get(image["url"]).content for image in images}) == 3


def test_sizes_that_no_pipeline_likes_come_back_as_they_were(served: EaselUp) -> None:
    url = edit(served.url, png(67, 45)).json()["images"][0]["url"]
    assert image_of(url).size == (67, 45)


def test_values_beyond_the_models_bounds_are_moved_and_named(served: EaselUp) -> None:
    response = edit(served.url, png(), num_inference_steps="900", guidance_scale="2", strength="0.3")
    assert response.status_code == 200
    assert response.headers["x-easel-adjusted"] == "num_inference_steps=60"
    assert response.headers["x-easel-ignored"] == "strength"


BAD = {
    "no image": ({"prompt": "x", "model_id": "easel/demo"}, None, 422),
    "text for an image": ({"prompt": "x", "model_id": "easel/demo"}, b"just some text", 400),
    "half a picture": ({"prompt": "x", "model_id": "easel/demo"}, png(400, 300)[:2000], 400),
    "no images": ({"prompt": "x", "model_id": "easel/demo", "num_images_per_prompt": "0"}, png(), 422),
    "strength is not a number": ({"prompt": "x", "model_id": "easel/demo", "strength": "NaN"}, png(), 422),
    "no prompt": ({"model_id": "easel/demo"}, png(), 422),
    "no model": ({"prompt": "x"}, png(), 422),
    "unknown model": ({"prompt": "x", "model_id": "nobody/nothing"}, png(), 404),
    "200 megapixels": ({"prompt": "x", "model_id": "easel/demo"}, bomb(), 422),
}


@pytest.mark.parametrize(("texts", "image", "status"), BAD.values(), ids=BAD.keys())
def test_a_bad_request_gets_a_reason_in_json_and_the_next_one_works(
    served: EaselUp, texts: dict[str, str], image: bytes | None, status: int
) -> None:
    kind, body = form(texts, image)
    response = httpx2.post(f"{served.url}/image-to-image", content=body, headers={"content-type": kind}, timeout=60)
    assert response.status_code == status
    detail = response.json()["detail"]
    assert detail["msg"] if isinstance(detail, dict) else all(problem["msg"] for problem in detail)
    assert edit(served.url, png()).status_code == 200


def test_a_body_that_is_cut_short_gets_400_and_the_next_one_works(served: EaselUp) -> None:
    kind, body = form({"prompt": "x", "model_id": "easel/demo"}, png())
    response = httpx2.post(f"{served.url}/image-to-image", content=body[:-40], headers={"content-type": kind})
    assert response.status_code == 400
    assert "cut short" in response.json()["detail"]["msg"]
    assert edit(served.url, png()).status_code == 200


def test_an_unknown_model_is_answered_with_the_known_ones(served: EaselUp) -> None:
    assert edit(served.url, png(), "nobody/nothing").json()["detail"]["models"] == ["easel/demo"]


def test_the_models_are_listed_with_state_and_exact_price(served: EaselUp) -> None:
    (model,) = httpx2.get(f"{served.url}/v1/models").json()["data"]
    assert (model["id"], model["state"]) == ("easel/demo", "ready")
    assert model["price"] == {"amount": "1.9073484e-08", "currency": "USD", "per_pixels": 1}


def test_the_gateway_stays_small(served: EaselUp) -> None:
    noise = Image.effect_noise((2048, 2048), 100)
    large = io.BytesIO()
    Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180))).save(large, "PNG", compress_level=0)
    assert len(large.getvalue()) > 12 * MEGABYTE
    for _ in range(3):
        response = edit(served.url, large.getvalue(), num_images_per_prompt="9")
        assert response.status_code == 422, "the whole body is read before the model's own bounds are looked at"
    assert edit(served.url, png(512, 512)).status_code == 200
    assert psutil.Process(served.process.pid).memory_info().rss < 150 * MEGABYTE
