import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from easel_crds.keys import Key, KeyPolicy, hash_of
from easel_crds.money import Price
from easel_gateway.keys import KeyRing, new_key
from easel_gateway.ledger import Ledger
from easel_gateway.routes import usage
from easel_gateway.settings import Settings
from easel_http import errors
from support.ledgers import NOON, charge, ledger_at


@asynccontextmanager
async def asking(ledger: Ledger | None, name: str = "", *, admin: bool = False) -> AsyncIterator[AsyncClient]:
    """A client of a gateway that has this ledger, with a key of this name if there is one."""
    app = FastAPI()
    app.state.ledger = ledger
    app.state.settings = Settings()
    token = new_key()
    app.state.keys = KeyRing([Key(name, (hash_of(token),), KeyPolicy(admin=admin))] if name else [])
    app.include_router(usage.router)
    errors.install(app)
    headers = {"Authorization": f"Bearer {token}"} if name else {}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://gateway", headers=headers) as client:
        yield client


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with ledger_at(f"sqlite:///{tmp_path}/ledger.db") as opened:
        tiny = Price(amount="1e-12")
        await opened.charge(charge("1", tiny, caller="ada", model_id="a/a"))
        await opened.charge(charge("2", tiny, caller="ada", model_id="b/b", time=NOON + timedelta(days=1)))
        await opened.charge(charge("3", Price(amount="2", currency="EUR"), caller="bob", model_id="a/a"))
        yield opened


async def rows(client: AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/usage?{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_usage_is_added_up_by_currency_with_exact_amounts(ledger: Ledger) -> None:
    async with asking(ledger) as client:
        euros, dollars = await rows(client)
    assert dollars == {
        "currency": "USD",
        "requests": 2,
        "images": 2,
        "pixels": 8192,
        "amount": "0.000000008192",
        "seconds": 1.0,
        "gpu_seconds": 0.5,
    }
    assert euros["amount"] == "8192"


async def test_usage_is_by_any_of_caller_model_and_day(ledger: Ledger) -> None:
    async with asking(ledger) as client:
        by_all = await rows(client, "by=day,caller,model")
        by_model = await rows(client, "by=model_id")
    assert [(row["caller"], row["model_id"], row["day"]) for row in by_all] == [
        ("ada", "a/a", "2026-11-29"),
        ("ada", "b/b", "2026-11-30"),
        ("bob", "a/a", "2026-11-29"),
    ]
    assert [(row["model_id"], row["currency"]) for row in by_model] == [("a/a", "EUR"), ("a/a", "USD"), ("b/b", "USD")]
    assert "caller" not in by_model[0]


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ("from=2026-11-29&to=2026-11-29", 1),
        ("from=2026-11-30", 1),
        ("to=2026-11-30T12:00:00Z", 1),
        ("to=2026-11-30T14:00:00.000001%2B02:00", 2),
        ("from=2026-12-01", 0),
        ("model_id=b/b", 1),
        ("caller=bob", 0),
    ],
)
async def test_only_what_was_asked_for_is_added_up(ledger: Ledger, query: str, requests: int) -> None:
    async with asking(ledger) as client:
        found = await rows(client, query)
    assert sum(row["requests"] for row in found if row["currency"] == "USD") == requests


@pytest.mark.parametrize("how", ["parameter", "header"])
async def test_csv_has_the_same_numbers(ledger: Ledger, how: str) -> None:
    async with asking(ledger) as client:
        if how == "parameter":
            answer = await client.get("/usage?by=caller&format=csv")
        else:
            answer = await client.get("/usage?by=caller", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    ada, bob = csv.DictReader(io.StringIO(answer.text))
    assert (ada["caller"], Decimal(ada["amount"]), ada["model_id"]) == ("ada", Decimal("8.192e-9"), "")
    assert (bob["caller"], bob["amount"], bob["currency"]) == ("bob", "8192", "EUR")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a,"b"\nc'])
async def test_no_name_is_a_formula_for_a_spreadsheet(ledger: Ledger, name: str) -> None:
    await ledger.charge(charge("4", caller=name))
    async with asking(ledger) as client:
        answer = await client.get("/usage", params={"by": "caller", "format": "csv", "caller": name})
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert row["caller"] == (name if name.startswith("a") else f"'{name}")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=caller,colour", "by"),
        ("by=,", "by"),
        ("from=yesterday", "from"),
        ("from=2026-02-30", "from"),
        ("from=2026-11-29T12:00:00", "from"),
        ("to=9999-12-31", "to"),
        ("format=xml", "format"),
        ("caller=%00", "caller"),
        ("model_id=" + "m" * 300, "model_id"),
    ],
)
async def test_a_wrong_parameter_is_named(ledger: Ledger, query: str, field: str) -> None:
    async with asking(ledger) as client:
        answer = await client.get(f"/usage?{query}")
    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["query", field]]


async def test_every_wrong_parameter_is_named_at_once(ledger: Ledger) -> None:
    async with asking(ledger) as client:
        answer = await client.get("/usage?by=x&from=x&to=x&format=x")
    assert {problem["loc"][1] for problem in answer.json()["detail"]} == {"by", "from", "to", "format"}


async def test_whoever_comes_with_a_key_sees_their_own_rows_alone(ledger: Ledger) -> None:
    async with asking(ledger, "bob") as client:
        assert [row["caller"] for row in await rows(client, "by=caller")] == ["bob"]
        assert [row["caller"] for row in await rows(client, "by=caller&caller=bob")] == ["bob"]
        answer = await client.get("/usage?caller=ada")
    assert answer.status_code == 422
    assert "ada" not in answer.json()["detail"][0]["msg"]


async def test_a_key_with_admin_sees_all(ledger: Ledger) -> None:
    async with asking(ledger, "root", admin=True) as client:
        assert [row["caller"] for row in await rows(client, "by=caller")] == ["ada", "bob"]
        assert [row["caller"] for row in await rows(client, "by=caller&caller=ada")] == ["ada"]


async def test_a_gateway_without_a_ledger_says_so() -> None:
    async with asking(None) as client:
        answer = await client.get("/usage")
    assert answer.status_code == 503


async def test_the_document_has_parameters_rows_csv_and_errors() -> None:
    async with asking(None) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/usage"]["get"]
    assert {one["name"] for one in operation["parameters"]} == {"caller", "model_id", "from", "to", "by", "format"}
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/csv"}
    assert {"401", "422", "503"} <= set(operation["responses"])
    assert set(document["components"]["schemas"]["Usage"]["properties"]) >= {"amount", "currency", "pixels", "day"}
