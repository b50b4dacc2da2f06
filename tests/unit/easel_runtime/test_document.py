"""What the OpenAPI document says of each answer, and how it follows the settings."""

from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI

from easel_runtime.app import create_app
from support.engines import ToyEngine
from support.runtimes import toy_settings


def document(**settings: Any) -> dict[str, Any]:
    return create_app(toy_settings(**settings), ToyEngine()).openapi()


def work(**settings: Any) -> dict[str, Any]:
    operation: dict[str, Any] = document(**settings)["paths"]["/image-to-image"]["post"]
    return operation


@pytest.mark.parametrize("settings", [{}, {"auth_token": "s3cret", "livepeer_strict": True}], ids=["plain", "all"])
def test_the_document_is_valid(settings: dict[str, Any]) -> None:
    OpenAPI.model_validate(document(**settings))


def test_every_error_is_declared_with_its_body() -> None:
    responses = work()["responses"]
    assert sorted(responses) == ["200", "400", "413", "422", "429", "500", "503", "504"]
    bodies = {status: answer["content"]["application/json"]["schema"]["$ref"] for status, answer in responses.items()}
    assert bodies.pop("200").endswith("/ImageResponse")
    assert bodies.pop("422").endswith("/Problems")
    assert {body.rpartition("/")[2] for body in bodies.values()} == {"Error"}


def test_headers_are_declared_where_they_are_sent() -> None:
    responses = work()["responses"]
    assert all(answer["headers"]["X-Request-Id"]["required"] for answer in responses.values())
    assert {"X-Easel-Adjusted", "X-Easel-Ignored", "X-Easel-Seed", "X-Easel-Nsfw"} <= responses["200"]["headers"].keys()
    assert [status for status, answer in responses.items() if "Retry-After" in answer["headers"]] == ["429", "503"]


def test_the_form_has_the_models_bounds() -> None:
    form = work(parameters={"maxImages": 3})["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert form["num_images_per_prompt"]["maximum"] == 3
    assert form["model_id"]["enum"] == ["", "easel/toy"]
    assert all(field["description"] for field in form.values())


def test_a_token_is_asked_for_where_there_is_one() -> None:
    assert "security" not in work()
    secured = document(auth_token="s3cret")  # noqa: S106
    assert secured["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
    operation = secured["paths"]["/image-to-image"]["post"]
    assert operation["security"] == [{"HTTPBearer": []}]
    assert operation["responses"]["401"]["headers"]["WWW-Authenticate"]["required"]
    assert "security" not in secured["paths"]["/health"]["get"]


def test_strict_statuses_are_the_only_ones_and_keep_what_the_others_said() -> None:
    responses = work(livepeer_strict=True)["responses"]
    assert sorted(responses) == ["200", "400", "422", "500"]
    assert "413: " in responses["400"]["description"]
    assert all(f"{status}: " in responses["500"]["description"] for status in (429, 503, 504))
    assert "Retry-After" in responses["500"]["headers"]
    assert [status for status, answer in responses.items() if "X-Easel-Status" in answer["headers"]] == ["400", "500"]


def test_the_settings_of_one_application_do_not_reach_another() -> None:
    document(auth_token="s3cret", livepeer_strict=True)  # noqa: S106
    assert sorted(work()["responses"]) == ["200", "400", "413", "422", "429", "500", "503", "504"]
