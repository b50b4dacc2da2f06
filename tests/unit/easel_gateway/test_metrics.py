"""The gateway's numbers and its line for each request: what Prometheus and the log get."""

import logging
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from httpx2 import ASGITransport, AsyncClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from easel_gateway.access import Access
from easel_gateway.metrics import Metrics
from easel_gateway.outcomes import Outcome, outcome_of
from easel_gateway.routes import metrics as route
from easel_http import errors
from easel_http.logs import current_request_id, note
from easel_http.requests import Requests

API = Path(__file__).parents[3] / "docs" / "api.md"


class House:
    """An application whose requests are told of, and a client of it."""

    def __init__(self) -> None:
        self.models = {"easel/demo": object(), "easel/other": object()}
        self.metrics = Metrics(lambda: self.models)
        app = FastAPI()
        app.state.metrics = self.metrics
        app.include_router(route.router)
        app.add_api_route("/edit/{secret}", self._edit, methods=["GET", "POST"])
        errors.install(app)
        app.add_middleware(Requests, tell=Access(self.metrics), stopping="the gateway is stopping")
        self.client = AsyncClient(transport=ASGITransport(app), base_url="http://gateway")

    async def _edit(self, request: Request) -> dict[str, str]:
        await request.body()
        if status := request.headers.get("x-fail"):
            raise type("Some", (errors.ApiError,), {"status": int(status)})("no")
        if model := request.headers.get("x-model"):
            note(model=model, pixels=3072)
        return {"id": current_request_id()}

    async def numbers(self) -> dict[str, float]:
        """Every sample, under its name and labels."""
        text = (await self.client.get("/metrics")).text
        return {
            " ".join([sample.name.removeprefix("easel_gateway_"), *sample.labels.values()]): sample.value
            for family in parse(text)
            for sample in family.samples
        }


@pytest.fixture
async def house() -> AsyncIterator[House]:
    opened = House()
    async with opened.client:
        yield opened


async def test_requests_are_counted_by_model_and_outcome(house: House) -> None:
    for headers in (
        {"x-model": "easel/demo"},
        {"x-model": "easel/demo"},
        {"x-model": "nobody/knows"},
        {"x-fail": "429"},
    ):
        await house.client.post("/edit/x", headers=headers, content=b"abc")
    await house.client.get("/edit/x", headers={"x-model": "easel/demo"})
    numbers = await house.numbers()
    assert numbers["requests_total easel/demo ok"] == 2
    assert numbers["requests_total  ok"] == 1, "a name that no model has makes no series"
    assert numbers["requests_total  busy"] == 1
    assert not any("nobody" in name for name in numbers)
    assert numbers["received_bytes_total"] == 4 * 3
    assert numbers["sent_bytes_total"] > 4 * len('{"id":""}')
    assert numbers["process_resident_memory_bytes"] > 0


async def test_waiting_work_and_charges_are_counted_by_model(house: House) -> None:
    house.metrics.waited("easel/demo", 0.3)
    house.metrics.asked("easel/demo", 2)
    house.metrics.charged("easel/demo", 3072, Decimal("0.5"), "USD")
    house.metrics.charged("easel/demo", 3072, Decimal("0.25"), "USD")
    house.metrics.charged("easel/demo", 1, Decimal(3), "EUR")
    numbers = await house.numbers()
    assert numbers["wait_seconds_bucket 0.25 easel/demo"] == 0
    assert numbers["wait_seconds_bucket 0.5 easel/demo"] == 1
    assert numbers["upstream_seconds_sum easel/demo"] == 2
    assert numbers["pixels_total easel/demo"] == 2 * 3072 + 1
    assert (numbers["amount_total USD easel/demo"], numbers["amount_total EUR easel/demo"]) == (0.75, 3)


async def test_the_series_of_a_removed_model_go_with_it(house: House) -> None:
    for model in house.models:
        house.metrics.answered(model, Outcome.OK, 1, 1)
        house.metrics.charged(model, 1, Decimal(1), "USD")
    del house.models["easel/demo"]
    numbers = await house.numbers()
    assert not any("easel/demo" in name for name in numbers)
    assert numbers["amount_total USD easel/other"] == 1
    house.models["easel/demo"] = object()
    house.metrics.answered("easel/demo", Outcome.OK, 1, 1)
    assert (await house.numbers())["requests_total easel/demo ok"] == 1


async def test_before_the_models_are_known_requests_are_counted_without_one(house: House) -> None:
    def unknown() -> dict[str, object]:
        raise errors.Unavailable("not yet")

    metrics = Metrics(unknown)
    metrics.answered("easel/demo", Outcome.UNAVAILABLE, 1, 1)
    text, _ = await metrics.exposition("")
    assert b'requests_total{model="",outcome="unavailable"} 1.0' in text
    assert b"easel/demo" not in text


async def test_what_others_know_is_asked_for_when_it_is_read(house: House) -> None:
    held, refused = [0], {431: 2}
    house.metrics.follow("held_requests", "Requests that wait.", lambda: held[0])
    house.metrics.follow_server(lambda: 7, refused)
    held[0], refused[408] = 3, 1
    numbers = await house.numbers()
    assert [numbers[name] for name in ("held_requests", "connections")] == [3, 7]
    assert [numbers[f"refused_total {status}"] for status in (431, 408)] == [2, 1]


async def test_prometheus_gets_the_format_that_it_asks_for(house: House) -> None:
    house.metrics.answered("easel/demo", Outcome.OK, 1, 1)
    modern = await house.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert len(list(parse_openmetrics(modern.text))) > 10  # type: ignore[no-untyped-call]


async def test_every_metric_and_outcome_is_documented(house: House) -> None:
    house.metrics.answered("easel/demo", Outcome.OK, 1, 1)
    house.metrics.follow_server(lambda: 7, {})
    names = set(re.findall(r"^# TYPE (easel_\w+) ", (await house.client.get("/metrics")).text, re.MULTILINE))
    page = API.read_text()
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert {outcome for outcome in Outcome if f"`{outcome}`" not in page} == set()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0, Outcome.LEFT),
        (200, Outcome.OK),
        (206, Outcome.OK),
        (302, Outcome.OK),
        *((status, Outcome.REFUSED) for status in (400, 401, 402, 403, 404, 405, 413, 422)),
        (429, Outcome.BUSY),
        (499, Outcome.LEFT),
        (500, Outcome.FAILED),
        (502, Outcome.FAILED),
        (503, Outcome.UNAVAILABLE),
        (504, Outcome.LATE),
    ],
)
def test_every_status_has_an_outcome(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


# The log ------------------------------------------------------------------------------------------------------------


async def test_a_line_says_what_a_request_was_and_nothing_secret(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "easel_gateway.access"):
        headers = {"x-model": "easel/demo", "x-request-id": "abc", "authorization": "Bearer s3cret"}
        answer = await house.client.post("/edit/s3cret?key=s3cret", headers=headers, content=b"s3cret")
        await house.client.get("/edit/s3cret")
    assert answer.json() == {"id": "abc"}
    (record,) = [record.__dict__ for record in caplog.records if record.name == "easel_gateway.access"]
    expected = {
        "method": "POST",
        "path": "/edit/{secret}",
        "status": 200,
        "outcome": "ok",
        "received": 6,
        "sent": len(answer.content),
        "model": "easel/demo",
        "pixels": 3072,
    }
    assert {name: record[name] for name in expected} == expected
    assert "s3cret" not in str(record)


async def test_what_has_no_route_is_named_as_far_as_it_is_harmless(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "easel_gateway.access"):
        await house.client.post("/no%0Awhere/" + "x" * 1000)
        await house.client.get("/nowhere")
    paths = [record.__dict__["path"] for record in caplog.records if record.name == "easel_gateway.access"]
    assert paths == ["/no%0Awhere/" + "x" * 188, "/nowhere"]
