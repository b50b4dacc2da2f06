"""Errors as answers: status, headers and JSON in the contract's shapes, and nothing of the inside."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, HTTPException
from httpx2 import ASGITransport, AsyncClient
from starlette.requests import ClientDisconnect

from easel_http import errors

CLASSES: list[tuple[type[errors.ApiError], int]] = [
    (errors.BadRequest, 400),
    (errors.Unauthorized, 401),
    (errors.NotFound, 404),
    (errors.BodyTooLarge, 413),
    (errors.Busy, 429),
    (errors.Failed, 500),
    (errors.UpstreamFailed, 502),
    (errors.Unavailable, 503),
    (errors.TimedOut, 504),
]


@pytest.fixture
def raised() -> list[Exception]:
    """What `GET /` raises."""
    return []


@pytest.fixture
async def client(raised: list[Exception]) -> AsyncIterator[AsyncClient]:
    app = FastAPI()
    errors.install(app)

    @app.get("/")
    async def raise_it() -> None:
        raise raised[0]

    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(("error", "status"), CLASSES, ids=[error.__name__ for error, _ in CLASSES])
async def test_an_error_is_answered_with_its_status_and_sentence(
    error: type[errors.ApiError], status: int, client: AsyncClient, raised: list[Exception]
) -> None:
    raised.append(error("no cat"))
    answer = await client.get("/")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"detail": {"msg": "no cat"}}


async def test_more_can_be_said_beside_the_sentence(client: AsyncClient, raised: list[Exception]) -> None:
    raised.append(errors.Busy("full", place=3))
    assert (await client.get("/")).json() == {"detail": {"msg": "full", "place": 3}}


@pytest.mark.parametrize(("seconds", "said"), [(5, "5"), (0, "1"), (-3, "1")])
async def test_retry_after_is_at_least_a_second(
    seconds: int, said: str, client: AsyncClient, raised: list[Exception]
) -> None:
    raised.append(errors.Unavailable("loading", retry_after=seconds))
    assert (await client.get("/")).headers["retry-after"] == said


async def test_no_retry_after_where_waiting_does_not_help(client: AsyncClient, raised: list[Exception]) -> None:
    raised.append(errors.Unavailable("failed"))
    assert "retry-after" not in (await client.get("/")).headers


async def test_a_missing_token_is_asked_for(client: AsyncClient, raised: list[Exception]) -> None:
    raised.append(errors.Unauthorized("the bearer token is missing"))
    assert (await client.get("/")).headers["www-authenticate"] == "Bearer"


async def test_wrong_fields_are_listed(client: AsyncClient, raised: list[Exception]) -> None:
    raised.append(errors.InvalidForm.at("seed", "must be even", given=3, kind="odd"))
    answer = await client.get("/")
    assert answer.status_code == 422
    assert answer.json() == {"detail": [{"type": "odd", "loc": ["body", "seed"], "msg": "must be even", "input": 3}]}


def test_wrong_fields_read_as_one_line_in_a_log() -> None:
    problems = [{"type": "missing", "loc": ["body", name], "msg": f"{name}?", "input": None} for name in ("a", "b")]
    assert str(errors.InvalidForm(problems)) == "a?; b?"


async def test_an_unknown_path_is_json_too(client: AsyncClient) -> None:
    answer = await client.get("/nowhere")
    assert (answer.status_code, answer.json()) == (404, {"detail": {"msg": "Not Found"}})


async def test_another_method_is_json_too_and_names_the_right_one(client: AsyncClient) -> None:
    answer = await client.post("/")
    assert (answer.status_code, answer.json()) == (405, {"detail": {"msg": "Method Not Allowed"}})
    assert answer.headers["allow"] == "GET"


async def test_an_error_of_the_framework_has_the_same_shape(client: AsyncClient, raised: list[Exception]) -> None:
    raised.append(HTTPException(418, "a teapot", {"X-Tea": "Earl Grey"}))
    answer = await client.get("/")
    assert (answer.status_code, answer.json()) == (418, {"detail": {"msg": "a teapot"}})
    assert answer.headers["x-tea"] == "Earl Grey"


async def test_an_unexpected_error_says_nothing_of_the_inside(client: AsyncClient, raised: list[Exception]) -> None:
    raised.append(RuntimeError("password is cat"))
    answer = await client.get("/")
    assert (answer.status_code, answer.json()) == (
        500,
        {"detail": {"msg": "internal error; the server's log has more"}},
    )


async def test_a_caller_who_has_left_is_not_an_error(client: AsyncClient, raised: list[Exception]) -> None:
    raised.append(ClientDisconnect())
    answer = await client.get("/")
    assert (answer.status_code, answer.content) == (errors.CLIENT_CLOSED_REQUEST, b"")
