"""Which requests are worked on: the model must exist, and the request must keep its bounds."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from easel_gateway.admission import admit
from easel_gateway.directory import entry_of
from easel_http.errors import BadRequest, InvalidForm, NotFound
from easel_http.fields import ImageToImageFields
from easel_http.form import Form
from easel_http.spool import Spool
from support.builders import image_model
from support.directory import entry
from support.pictures import bomb, encoded, picture, png


def fields(**texts: str) -> ImageToImageFields:
    return ImageToImageFields.from_texts({"prompt": "make it night", "model_id": "easel/demo", **texts})


@asynccontextmanager
async def form(image: bytes, **texts: str) -> AsyncIterator[Form]:
    spool = Spool()
    await spool.write(image)
    await spool.finish()
    try:
        yield Form(fields(**texts), spool)
    finally:
        spool.close()


def problem(caught: pytest.ExceptionInfo[InvalidForm]) -> Any:
    (only,) = caught.value.problems
    return only


def test_a_model_is_found_by_its_model_id() -> None:
    entries = {"easel/demo": entry(), "easel/other": entry(name="other")}
    assert entry_of("easel/demo", entries) is entries["easel/demo"]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        pytest.param((), "known: none", id="no models"),
        pytest.param(("zebra", "ant"), "known: easel/ant, easel/zebra", id="some models"),
    ],
)
def test_an_unknown_model_is_answered_with_the_known_ones(known: tuple[str, ...], said: str) -> None:
    with pytest.raises(NotFound, match=said) as caught:
        entry_of("easel/demo", {f"easel/{name}": entry(name=name) for name in known})
    assert caught.value.more == {"models": sorted(f"easel/{name}" for name in known)}


def test_a_model_is_not_found_by_another_spelling() -> None:
    with pytest.raises(NotFound):
        entry_of("Easel/Demo", {"easel/demo": entry()})


async def test_a_job_knows_the_size_of_its_image_and_its_pixels() -> None:
    async with form(png(40, 30), num_images_per_prompt="3") as given:
        job = await admit(given, image_model())
    assert (job.width, job.height) == (40, 30)
    assert job.pixels == 40 * 30 * 3
    assert job.model_id == "easel/demo"


async def test_pixels_times_the_price_is_exact() -> None:
    async with form(png(1024, 1024)) as given:
        job = await admit(given, image_model(price={"amount": "1.9073484e-08"}))
    assert job.model.spec.price.of(job.pixels) == Decimal("0.0199999975587840")


@pytest.mark.parametrize("images", [1, 2])
async def test_as_many_images_as_the_model_allows_are_admitted(images: int) -> None:
    async with form(png(), num_images_per_prompt=str(images)) as given:
        job = await admit(given, image_model(parameters={"maxImages": 2}))
    assert job.fields.num_images_per_prompt == images


async def test_more_images_than_the_model_allows_are_refused() -> None:
    async with form(png(), num_images_per_prompt="3") as given:
        with pytest.raises(InvalidForm, match="at most 2 for this model") as caught:
            await admit(given, image_model(parameters={"maxImages": 2}))
    assert problem(caught)["loc"] == ["body", "num_images_per_prompt"]
    assert problem(caught)["input"] == 3


async def test_loras_that_the_model_does_not_allow_are_refused() -> None:
    model = image_model(loras={"allow": ["nerijs/*"]})
    async with form(png(), loras='{"nerijs/pixel-art-xl": 1.2}') as given:
        assert (await admit(given, model)).fields.loras == {"nerijs/pixel-art-xl": 1.2}
    async with form(png(), loras='{"other/style": 1}') as given:
        with pytest.raises(BadRequest, match="LoRA other/style: not allowed"):
            await admit(given, model)


async def test_as_many_pixels_as_the_model_allows_are_admitted() -> None:
    async with form(png(128, 32)) as given:
        assert (await admit(given, image_model(parameters={"maxPixels": 4096}))).pixels == 4096


@pytest.mark.parametrize(
    "image", [pytest.param(png(128, 33), id="a little"), pytest.param(bomb(), id="200 megapixels")]
)
async def test_more_pixels_than_the_model_allows_are_refused(image: bytes) -> None:
    async with form(image) as given:
        with pytest.raises(InvalidForm, match="more than 4096 pixels") as caught:
            await admit(given, image_model(parameters={"maxPixels": 4096}))
    assert problem(caught)["loc"] == ["body", "image"]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"GIF99a is what it is not", id="text"),
        pytest.param(png()[:20], id="header cut short"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="svg"),
        pytest.param(encoded(picture(), "PPM"), id="a format that is not taken"),
    ],
)
async def test_what_is_no_image_is_refused(image: bytes) -> None:
    async with form(image) as given:
        with pytest.raises(BadRequest, match="image"):
            await admit(given, image_model())


async def test_the_image_can_be_read_again_after_admission() -> None:
    async with form(png()) as given:
        assert (await admit(given, image_model())).image.rewound().read() == io.BytesIO(png()).read()
