"""What holds for every request: its id, its line in the log, JSON whatever happens, statuses for go-livepeer."""

import asyncio
import logging
import re
from typing import Any

import pytest

from easel_http.logs import REQUEST_ID
from easel_runtime.engine import Generation, OnStep
from easel_runtime.middleware import strict
from support.engines import ToyEngine
from support.in_process import running, until_in_step

ID = "x-request-id"


# The id -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/image-to-image", "/nowhere"])
async def test_every_answer_has_an_id_and_no_two_the_same(path: str) -> None:
    async with running() as runtime:
        first, second = [(await runtime.client.post(path)).headers[ID] for _ in range(2)]
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert first != second


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2b8f0c1e-7d", "2b8f0c1e-7d"),
        ("Root=1-67891233-abcdef012345678912345678", "Root=1-67891233-abcdef012345678912345678"),
        ("a b\tc\x1b[31m;d", "abc31md"),
        ("x" * 1000, "x" * 64),
    ],
)
async def test_an_id_that_came_along_is_kept_as_far_as_it_is_harmless(sent: str, kept: str) -> None:
    async with running() as runtime:
        assert (await runtime.client.get("/health", headers={ID: sent})).headers[ID] == kept


@pytest.mark.parametrize("sent", ["", "  ", "\xe9\xe8"])
async def test_an_id_of_nothing_useful_is_replaced(sent: str) -> None:
    async with running() as runtime:
        answer = await runtime.client.get("/health", headers={ID.encode(): sent.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers[ID])


async def test_the_models_thread_and_the_log_know_the_id(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    class Listening(ToyEngine):
        def edit(self, generation: Generation, seed: int, on_step: OnStep) -> Any:
            seen.append(REQUEST_ID.get())
            return super().edit(generation, seed, on_step)

    with caplog.at_level(logging.INFO, "easel_runtime"):
        async with running(Listening()) as runtime:
            await asyncio.gather(*(runtime.post(headers={ID: name}) for name in ("one", "two")))
            assert REQUEST_ID.get() == ""
    assert sorted(seen) == ["one", "two"]
    answered = [record for record in caplog.records if record.message == "answered"]
    assert [record.status for record in answered] == [200, 200]  # type: ignore[attr-defined]


async def test_the_last_line_of_a_request_says_what_it_was(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "easel_runtime"):
        async with running(batch=4) as runtime:
            await runtime.post(num_images_per_prompt="3", num_inference_steps="5")
            await runtime.post()
            await runtime.post(seed="x")
    worked, alone, refused = [record.__dict__ for record in caplog.records if record.message == "answered"]
    expected = {"status": 200, "steps": 5, "images": 3, "pixels": 3 * 64 * 48, "batch": 3}
    assert {name: worked.get(name) for name in expected} == expected
    assert 0 <= worked["waited"] <= worked["seconds"]
    assert (alone["images"], "batch" in alone) == (1, False)
    assert (refused["status"], "steps" in refused) == (422, False)


# Whatever happens ---------------------------------------------------------------------------------------------------


async def test_an_error_that_nobody_foresaw_is_answered_in_json_and_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as runtime:
        monkeypatch.setattr(runtime.app.state.worker, "admit", lambda: 1 / 0)
        answer = await runtime.post(headers={ID: "abc"})
    assert (answer.status_code, answer.headers[ID]) == (500, "abc")
    assert answer.json() == {"detail": {"msg": "internal error; the server's log has more"}}
    assert caplog.text.count("ZeroDivisionError: division by zero") == 1


# Strict mode --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told"),
    [
        *((status, status) for status in (200, 400, 401, 422, 500)),
        *((status, 400) for status in (404, 405, 413, 499)),
        *((status, 500) for status in (429, 502, 503, 504)),
    ],
)
def test_go_livepeer_gets_only_statuses_that_it_knows(status: int, told: int) -> None:
    assert strict(status) == told


@pytest.mark.parametrize(("is_strict", "status"), [(True, 500), (False, 429)])
async def test_a_full_queue(*, is_strict: bool, status: int) -> None:
    async with running(queue=1, livepeer_strict=is_strict) as runtime:
        runtime.engine.may_step.clear()
        working = asyncio.create_task(runtime.post())
        await until_in_step(runtime.engine)
        refused = await runtime.post()
        runtime.engine.may_step.set()
        await working
    assert (refused.status_code, refused.headers.get("x-easel-status")) == (status, "429" if is_strict else None)
    assert refused.headers["content-type"] == "application/json"
    assert refused.json() == {"detail": {"msg": "all 1 places in the queue are taken"}}
    assert refused.headers["retry-after"] == "1"


async def test_a_model_that_loads_or_failed_to() -> None:
    engine = ToyEngine()
    engine.may_load.clear()
    async with running(engine, loaded=False, livepeer_strict=True) as runtime:
        refused = await runtime.post()
        assert (refused.status_code, refused.headers["x-easel-status"]) == (500, "503")
        assert refused.json() == {"detail": {"msg": "the model is still loading"}}
        assert (await runtime.client.get("/readyz")).status_code == 503, "probes know all statuses"
        engine.may_load.set()
    async with running(ToyEngine(fails_to_load="no"), livepeer_strict=True) as runtime:
        assert (await runtime.post()).status_code == 500


async def test_other_refusals_and_answers_are_as_ever() -> None:
    async with running(livepeer_strict=True, auth_token="s3cret") as runtime:  # noqa: S106
        token = {"authorization": "Bearer s3cret"}
        statuses = [
            (await runtime.post()).status_code,
            (await runtime.post(headers=token, seed="x")).status_code,
            (await runtime.post(headers=token, model_id="another/one")).status_code,
            (await runtime.post(headers=token)).status_code,
            (await runtime.client.get("/image-to-image")).status_code,
        ]
    assert statuses == [401, 422, 400, 200, 400]
