"""The OpenAPI document says what is true of the models of the moment, and its examples work."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI

from easel_gateway.directory import Entry
from easel_http.max_price import parse_max_price
from support.directory import MemoryDirectory, entry
from support.pictures import form, png
from support.priced_gateway import client_of, priced_app

LARGE = {"maxPixels": 8192, "maxImages": 3}
SMALL = {"maxPixels": 4096, "maxImages": 2}


def document_of(tmp_path: Path, *entries: Entry, **options: Any) -> Any:
    document = priced_app(MemoryDirectory(*entries), tmp_path, **options).openapi()
    OpenAPI.model_validate(document)
    assert set(re.findall(r"#/components/schemas/(\w+)", str(document))) <= document["components"]["schemas"].keys()
    return document


def form_of(document: Any, path: str = "/image-to-image") -> Any:
    return document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]


def two(tmp_path: Path) -> Any:
    return document_of(tmp_path, entry(parameters=SMALL), entry(name="other", parameters=LARGE))


def test_without_models_the_document_is_valid_and_bounds_nothing_more(tmp_path: Path) -> None:
    document = document_of(tmp_path)
    assert document["x-easel-models"] == {}
    assert "enum" not in form_of(document)["model_id"]
    assert form_of(document)["num_images_per_prompt"]["maximum"] == 64


@pytest.mark.parametrize("path", ["/image-to-image", "/quote"])
def test_the_form_has_the_models_and_the_widest_of_their_bounds(tmp_path: Path, path: str) -> None:
    fields = form_of(two(tmp_path), path)
    assert fields["model_id"]["enum"] == ["easel/demo", "easel/other"]
    assert fields["num_images_per_prompt"]["maximum"] == 3


def test_a_quote_has_them_too(tmp_path: Path) -> None:
    content = two(tmp_path)["paths"]["/quote"]["post"]["requestBody"]["content"]
    fields = content["application/json"]["schema"]["properties"]
    assert fields["model_id"]["enum"] == ["easel/demo", "easel/other"]
    assert (fields["images"]["maximum"], fields["pixels"]["maximum"]) == (3, 8192)
    assert fields["width"]["type"] == "integer"


def test_each_model_has_its_own_bounds_and_price_and_nothing_that_changes_by_itself(tmp_path: Path) -> None:
    models = two(tmp_path)["x-easel-models"]
    assert {name: (model["max_pixels"], model["max_images"]) for name, model in models.items()} == {
        "easel/demo": (4096, 2),
        "easel/other": (8192, 3),
    }
    assert models["easel/demo"]["price"]["amount"] == "1.9073484e-08"
    assert models["easel/demo"]["parameters"]["num_inference_steps"]["maximum"] == 100
    assert "state" not in models["easel/demo"]


def test_the_document_follows_the_models(tmp_path: Path) -> None:
    directory = MemoryDirectory(entry(parameters=SMALL))
    app = priced_app(directory, tmp_path)
    first = app.openapi()
    assert app.openapi() is first, "made once as long as nothing changes"
    directory.put(entry(parameters=LARGE))
    assert form_of(app.openapi())["num_images_per_prompt"]["maximum"] == 3
    directory.remove()
    assert app.openapi()["x-easel-models"] == {}
    assert form_of(first)["num_images_per_prompt"]["maximum"] == 2, "what was served is not changed afterwards"


def test_what_is_charged_has_its_price_in_headers_and_a_refusal_for_it(tmp_path: Path) -> None:
    work = two(tmp_path)["paths"]["/image-to-image"]["post"]
    headers = work["responses"]["200"]["headers"]
    required = {name for name, said in headers.items() if said.get("required")}
    assert required == {"X-Easel-Price", "X-Easel-Amount", "X-Easel-Pixels", "X-Easel-Model-Generation"}
    assert {"X-Easel-Adjusted", "X-Easel-Ignored"} < headers.keys()
    assert {"X-Easel-Max-Price", "X-Easel-Quote"} <= {each["name"] for each in work["parameters"]}
    assert work["responses"].keys() >= {"200", "400", "402", "404", "413", "422", "429", "500", "502", "503", "504"}


def test_keys_are_in_the_document_where_they_are_required_and_only_there(tmp_path: Path) -> None:
    document = document_of(tmp_path, entry(), keys_required=True)
    (scheme,) = document["components"]["securitySchemes"]
    work = document["paths"]["/image-to-image"]["post"]
    assert work["security"] == [{scheme: []}]
    assert {"401", "403"} <= work["responses"].keys()
    assert "security" not in document["paths"]["/health"]["get"]
    assert "securitySchemes" not in document_of(tmp_path, entry())["components"]


async def test_every_curl_line_works(tmp_path: Path) -> None:
    app = priced_app(MemoryDirectory(entry(failure="no GPU: this is as far as a request gets here")), tmp_path)
    document = app.openapi()
    lines = [
        sample["source"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for sample in operation.get("x-codeSamples", ())
    ]
    assert len(lines) == 3
    async with client_of(app) as client:
        for line in lines:
            words = shlex.split(line)
            assert words[0] == "curl"
            path = words[1].removeprefix("http://127.0.0.1:8080")
            given = list(zip(words[2::2], words[3::2], strict=True))
            if given[0][0] == "--json":
                answer = await client.post(path, content=given[0][1], headers={"content-type": "application/json"})
            else:
                texts = dict(pair.split("=", 1) for option, pair in given if option == "-F")
                assert texts.pop("image") == "@cat.png"
                kind, body = form(texts, png())
                answer = await client.post(path, content=body, headers={"content-type": kind})
            assert answer.status_code == (503 if path == "/image-to-image" else 200), answer.text


async def test_every_example_of_json_is_taken(tmp_path: Path) -> None:
    app = priced_app(MemoryDirectory(entry()), tmp_path)
    content = app.openapi()["paths"]["/quote"]["post"]["requestBody"]["content"]
    examples = content["application/json"]["schema"]["examples"]
    assert len(examples) == 2
    async with client_of(app) as client:
        for example in examples:
            assert (await client.post("/quote", content=json.dumps(example))).status_code == 200


def test_every_example_of_a_price_and_of_loras_is_taken(tmp_path: Path) -> None:
    document = document_of(tmp_path, entry())
    (header,) = [
        each
        for each in document["paths"]["/image-to-image"]["post"]["parameters"]
        if each["name"] == "X-Easel-Max-Price"
    ]
    fields = form_of(document)
    for example in [*header["schema"]["examples"], *fields["max_price"]["examples"]]:
        assert re.fullmatch(header["schema"]["pattern"], example)
        assert str(parse_max_price(example)) == example
    for example in fields["loras"]["examples"]:
        assert isinstance(json.loads(example), dict)
    (price,) = document["paths"]["/image-to-image"]["post"]["responses"]["200"]["headers"]["X-Easel-Price"]["schema"][
        "examples"
    ]
    assert str(parse_max_price(price)) == price
