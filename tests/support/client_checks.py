"""Real client packages at a gateway, each check a function of its URL: for one machine and for a cluster alike."""

import asyncio
import base64
import io
import json
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
import openai
import pytest
import requests
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from livepeer_ai import Livepeer
from livepeer_ai.models import components, errors
from PIL import Image

from support.pictures import png

MODEL: Final = "easel/demo"
SIZE: Final = (64, 48)
IMAGE: Final = png(*SIZE)
SECONDS: Final = 120

Check = Callable[[str, Path], None]
"""Of a URL and an empty folder."""


def _is_right(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.size) == ("PNG", SIZE)
        picture.load()


def _fetched(url: str | None) -> None:
    assert url
    answer = requests.get(url, timeout=SECONDS)
    assert answer.headers["content-type"] == "image/png"
    _is_right(answer.content)


# Livepeer ------------------------------------------------------------------------------------------------------------


def _livepeer(url: str) -> Livepeer:
    return Livepeer(server_url=url, http_bearer="unused", timeout_ms=SECONDS * 1000)


def _request(**more: object) -> components.BodyGenImageToImage:
    picture = components.Image(fileName="cat.png", content=IMAGE)  # type: ignore[call-arg]  # its alias is blank
    return components.BodyGenImageToImage(prompt="make it night", image=picture, **{"model_id": MODEL, **more})


def livepeer_edits(url: str, _: Path) -> None:
    with _livepeer(url) as client:
        answer = client.generate.image_to_image(request=_request(seed=7, num_images_per_prompt=2))
    assert answer.image_response is not None
    assert [image.seed for image in answer.image_response.images] == [7, 8]
    for image in answer.image_response.images:
        assert image.nsfw is False
        _fetched(image.url)


def livepeer_edits_without_blocking(url: str, _: Path) -> None:
    async def edit() -> str:
        async with _livepeer(url) as client:
            answer = await client.generate.image_to_image_async(request=_request())
        assert answer.image_response is not None
        return str(answer.image_response.images[0].url)

    _fetched(asyncio.run(edit()))


def livepeer_hears_what_is_wrong(url: str, _: Path) -> None:
    with _livepeer(url) as client:
        with pytest.raises(errors.HTTPValidationError) as invalid:
            client.generate.image_to_image(request=_request(strength=9))
        with pytest.raises(errors.SDKError) as unknown:
            client.generate.image_to_image(request=_request(model_id="nobody/nothing"))
    assert "strength" in str(invalid.value.data)
    assert unknown.value.status_code == 404


# OpenAI --------------------------------------------------------------------------------------------------------------


def _openai(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=SECONDS)


def openai_edits(url: str, _: Path) -> None:
    with _openai(url) as client:
        answer = client.images.edit(
            model=MODEL, image=("cat.png", IMAGE), prompt="make it night", n=2, extra_body={"seed": 7}
        )
    assert answer.data is not None
    assert len(answer.data) == 2
    for image in answer.data:
        _fetched(image.url)


def openai_gets_the_bytes(url: str, _: Path) -> None:
    with _openai(url) as client:
        answer = client.images.with_raw_response.edit(
            model=MODEL,
            image=[("cat.png", IMAGE)],
            prompt="make it night",
            response_format="b64_json",
            size="1024x1024",
        )
    assert answer.headers["x-easel-ignored"] == "size"
    data = answer.parse().data
    assert data is not None
    _is_right(base64.b64decode(data[0].b64_json or ""))


def openai_edits_without_blocking(url: str, _: Path) -> None:
    async def edit() -> str | None:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=SECONDS) as client:
            answer = await client.images.edit(model=MODEL, image=io.BytesIO(IMAGE), prompt="make it night")
        assert answer.data is not None
        return answer.data[0].url

    _fetched(asyncio.run(edit()))


def openai_lists_models(url: str, _: Path) -> None:
    with _openai(url) as client:
        assert MODEL in [model.id for model in client.models.list()]
        assert client.models.retrieve(MODEL).id == MODEL
        with pytest.raises(openai.NotFoundError, match="no model"):
            client.models.retrieve("nobody/nothing")


def openai_hears_what_is_wrong(url: str, _: Path) -> None:
    image = ("cat.png", IMAGE)
    with _openai(url) as client:
        with pytest.raises(openai.NotFoundError, match="no model"):
            client.images.edit(model="nobody/nothing", image=image, prompt="x")
        with pytest.raises(openai.UnprocessableEntityError) as wrong:
            client.images.edit(model=MODEL, image=image, prompt="x", n=999)
        with pytest.raises(openai.BadRequestError, match="image"):
            client.images.edit(model=MODEL, image=("cat.png", b"no picture"), prompt="x")
        with pytest.raises(openai.UnprocessableEntityError, match="mask"):
            client.images.edit(model=MODEL, image=image, mask=image, prompt="x")
        with pytest.raises(openai.UnprocessableEntityError, match="one image"):
            client.images.edit(model=MODEL, image=[image, image], prompt="x")
    assert wrong.value.param == "n"


# Hugging Face --------------------------------------------------------------------------------------------------------


def huggingface_edits_by_model(url: str, _: Path) -> None:
    client = InferenceClient(model=f"{url}/models/{MODEL}", token="unused", timeout=SECONDS)  # noqa: S106
    picture = client.image_to_image(IMAGE, prompt="make it night", num_inference_steps=2, guidance_scale=2.0)
    assert picture.size == SIZE


def huggingface_edits_by_base_url(url: str, _: Path) -> None:
    client = InferenceClient(base_url=url, api_key="unused", timeout=SECONDS)
    assert client.image_to_image(IMAGE).size == SIZE


def huggingface_edits_without_blocking(url: str, _: Path) -> None:
    async def edit() -> Image.Image:
        model = f"{url}/models/{MODEL}"
        async with AsyncInferenceClient(model=model, token="unused", timeout=SECONDS) as client:  # noqa: S106
            picture: Image.Image = await client.image_to_image(IMAGE, prompt="make it night")
            return picture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package calls httpx in a way that is old
        assert asyncio.run(edit()).size == SIZE


def huggingface_hears_what_is_wrong(url: str, _: Path) -> None:
    with pytest.raises(HfHubHTTPError, match="no model") as unknown:
        InferenceClient(model=f"{url}/models/nobody/nothing", token="unused").image_to_image(IMAGE, prompt="x")  # noqa: S106
    assert unknown.value.response.status_code == 404
    client = InferenceClient(model=f"{url}/models/{MODEL}", token="unused")  # noqa: S106
    with pytest.raises(HfHubHTTPError) as wrong:
        client.image_to_image(IMAGE, prompt="x", strength=9)
    assert wrong.value.response.status_code == 422


# requests, curl, a browser -------------------------------------------------------------------------------------------


def requests_edits(url: str, _: Path) -> None:
    answer = requests.post(
        f"{url}/image-to-image",
        data={"model_id": MODEL, "prompt": "make it night"},
        files={"image": ("cat.png", IMAGE)},
        timeout=SECONDS,
    )
    answer.raise_for_status()
    _fetched(answer.json()["images"][0]["url"])


def httpx_gets_the_bytes(url: str, _: Path) -> None:
    for form, field in (("b64_json", "b64_json"), ("data", "url")):
        answer = httpx.post(
            f"{url}/image-to-image",
            data={"model_id": MODEL, "prompt": "make it night", "response_format": form},
            files={"image": ("cat.png", IMAGE)},
            timeout=SECONDS,
        )
        _is_right(base64.b64decode(answer.json()["images"][0][field].removeprefix("data:image/png;base64,")))


def curl_edits_and_saves(url: str, folder: Path) -> None:
    (folder / "cat.png").write_bytes(IMAGE)
    for path in ("/image-to-image", "/image-to-image/"):
        sent = ["-F", f"model_id={MODEL}", "-F", "image=@cat.png", "-F", "prompt=make it night"]
        answer = json.loads(_curl(folder, "-X", "POST", f"{url}{path}", *sent))
        (image,) = answer["images"]
        _curl(folder, "-O", image["url"])
        _is_right((folder / image["url"].rpartition("/")[2]).read_bytes())


def curl_names_loras_as_the_contract_has_it(url: str, folder: Path) -> None:
    (folder / "cat.png").write_bytes(IMAGE)
    sent = [
        *("-F", f"model_id={MODEL}", "-F", "image=@cat.png", "-F", "prompt=a cat"),
        *("-F", 'loras={ "nerijs/pixel-art-xl": 1.2 }'),
    ]
    answer = _curl(folder, "--write-out", "%{http_code}", "-X", "POST", f"{url}/image-to-image", *sent)
    assert answer.endswith("400"), answer
    assert "LoRA nerijs/pixel-art-xl is not on this machine, which works without the Hub" in answer


def _curl(folder: Path, *arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--max-time", str(SECONDS), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


CHECKS: Final[list[Check]] = [
    livepeer_edits,
    livepeer_edits_without_blocking,
    livepeer_hears_what_is_wrong,
    openai_edits,
    openai_gets_the_bytes,
    openai_lists_models,
    openai_edits_without_blocking,
    openai_hears_what_is_wrong,
    huggingface_edits_by_model,
    huggingface_edits_by_base_url,
    huggingface_edits_without_blocking,
    huggingface_hears_what_is_wrong,
    requests_edits,
    httpx_gets_the_bytes,
    curl_edits_and_saves,
    curl_names_loras_as_the_contract_has_it,
]
