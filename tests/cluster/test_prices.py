"""Prices on a cluster: the API server knows the currencies, and a changed price is that of the next request."""

import statistics
import time

import httpx2
import pytest

from support.builders import manifest
from support.kubectl import SECONDS, Document, Namespace, Refused, eventually


def _price(gateway: str, model_id: str) -> Document | None:
    models: list[Document] = httpx2.get(f"{gateway}/v1/models", timeout=SECONDS).json()["data"]
    return next((model["price"] for model in models if model["id"] == model_id), None)


def test_a_changed_price_holds_within_a_second(namespace: Namespace, gateway: str) -> None:
    model_id = f"{namespace}/priced"
    namespace.apply(manifest("priced", modelId=model_id, price={"amount": "1"}))
    eventually(lambda: _price(gateway, model_id))
    took = []
    for amount in ("2", "3", "4", "5", "6"):
        namespace("patch", "im", "priced", "--type=merge", "--patch", f'{{"spec":{{"price":{{"amount":"{amount}"}}}}}}')
        start = time.monotonic()
        eventually(
            lambda: _price(gateway, model_id),
            lambda price, amount=amount: price is not None and price["amount"] == amount,  # type: ignore[misc]
        )
        took.append(time.monotonic() - start)
    # The median, because two busy cores may do something else for a moment.
    assert statistics.median(took) <= 1, took


def test_a_currency_that_does_not_exist_is_refused_with_a_sentence(namespace: Namespace) -> None:
    with pytest.raises(Refused, match="currency must be the ISO 4217 code"):
        namespace.apply(manifest("nobodys", modelId=f"{namespace}/nobodys", price={"currency": "QQQ"}))
