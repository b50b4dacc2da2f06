"""Quotes bind whoever signed them, and nobody can make them up."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from easel_crds.imagemodel import ImageModel
from easel_gateway.admission import Job
from easel_gateway.pricing import Quote, offer_of
from easel_gateway.quotes import Quotes, new_quotes
from easel_gateway.settings import Settings
from easel_http.errors import InvalidForm, PaymentRequired
from easel_http.fields import ImageToImageFields
from easel_http.spool import Spool
from support.builders import image_model

NOW = 1_800_000_000.7
QUOTES = Quotes(60, b"of these tests")
DEARER = image_model(price={"amount": "1"})
CHEAPER = image_model(price={"amount": "0"})
NO_IMAGE = Spool()
NO_IMAGE.close()


def job(model: ImageModel | None = None, **texts: str) -> Job:
    fields = ImageToImageFields.from_texts({"prompt": "x", "model_id": "easel/demo", **texts})
    return Job(model or image_model(), fields, NO_IMAGE, 20, 10)


def token(model: ImageModel | None = None, quotes: Quotes = QUOTES) -> str:
    return quotes.sign(offer_of(model or image_model()), NOW)[0]


def priced(of: Job, now: float = NOW, quotes: Quotes = QUOTES, **headers: str) -> Quote:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return quotes.price_job(of, names, now)


def refusal(*arguments: Any, **options: Any) -> Any:
    with pytest.raises(InvalidForm) as caught:
        priced(*arguments, **options)
    (problem,) = caught.value.problems
    return problem


def test_without_a_quote_the_price_is_that_of_the_model_as_the_job_holds_it() -> None:
    assert priced(job(num_images_per_prompt="3")) == Quote(offer_of(image_model()), 600, 3)
    assert priced(job(DEARER)).headers()["X-Easel-Amount"] == "200 USD"


def test_a_quote_says_until_when_it_holds_in_whole_seconds() -> None:
    _, until = QUOTES.sign(offer_of(image_model()), NOW)
    assert until == datetime.fromtimestamp(1_800_000_060, UTC)


@pytest.mark.parametrize("model", [DEARER, CHEAPER], ids=["dearer", "cheaper"])
@pytest.mark.parametrize("later", [0, 59.3])
def test_the_price_of_a_quote_applies_while_it_holds_whatever_the_models_is(model: ImageModel, later: float) -> None:
    quote = priced(job(model), NOW + later, X_Easel_Quote=token())
    assert quote.offer == offer_of(image_model())
    assert quote.headers()["X-Easel-Price"] == "1.9073484e-08 USD per pixel"


def test_a_quote_is_for_pictures_of_any_size_and_any_number_of_images() -> None:
    assert priced(job(num_images_per_prompt="4"), X_Easel_Quote=token()).pixels == 800


def test_a_quote_that_has_expired_is_refused_with_the_price_of_now() -> None:
    with pytest.raises(PaymentRequired, match="held until 2027-01-15T08:01:00Z") as caught:
        priced(job(DEARER), NOW + 59.4, X_Easel_Quote=token())
    assert caught.value.more["price"] == {"amount": "1", "currency": "USD", "per_pixels": 1}


def test_a_quote_for_another_model_is_refused_with_both_names() -> None:
    problem = refusal(job(), X_Easel_Quote=token(image_model("other")))
    assert problem["loc"] == ["header", "X-Easel-Quote"]
    assert "easel/other" in problem["msg"]
    assert "easel/demo" in problem["msg"]


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param("x", id="nonsense"),
        pytest.param("x.y", id="two parts"),
        pytest.param(".", id="empty parts"),
        pytest.param(token() + "A", id="longer"),
        pytest.param(token()[:-1], id="cut"),
        pytest.param("A" + token(), id="another payload"),
        pytest.param(token(quotes=Quotes(60, b"of another gateway")), id="another secret"),
        pytest.param(token(CHEAPER).partition(".")[0] + "." + token().partition(".")[2], id="another's signature"),
        pytest.param("\xe9." + token(), id="not ASCII"),
        pytest.param("A" * 100_000, id="huge"),
    ],
)
def test_what_was_not_signed_is_no_quote(forged: str) -> None:
    problem = refusal(job(), X_Easel_Quote=forged)
    assert problem["loc"] == ["header", "X-Easel-Quote"]
    assert "POST /quote" in problem["msg"]
    assert len(problem["input"]) <= 1024


@given(st.text(max_size=300))
def test_no_text_that_was_not_signed_gets_a_price(text: str) -> None:
    if text.strip():
        assert refusal(job(), X_Easel_Quote=text)["type"] == "value_error"


def test_replicas_with_one_secret_take_each_others_quotes_and_others_do_not() -> None:
    assert priced(job(DEARER), quotes=Quotes(5, b"of these tests"), X_Easel_Quote=token()).offer.price.amount != "1"
    alone = Quotes(60)
    assert alone.secret != Quotes(60).secret
    assert len(alone.secret) == 32
    refusal(job(), quotes=alone, X_Easel_Quote=token())


def test_settings_say_how_long_quotes_hold_and_what_signs_them() -> None:
    secret = "-".join(["of", "many", "letters"] * 2)
    quotes = new_quotes(Settings(quote_seconds=7, quote_secret=SecretStr(secret)))
    assert quotes == Quotes(7, secret.encode())
    assert len(new_quotes(Settings()).secret) == 32
    assert secret not in repr(Settings(quote_secret=SecretStr(secret)))


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 16 characters"):
        Settings(quote_secret=SecretStr("short"))


def test_the_secret_is_in_no_log() -> None:
    assert "of these tests" not in repr(QUOTES)


def test_the_most_that_is_paid_holds_against_the_price_of_the_quote() -> None:
    assert priced(job(DEARER, max_price="1"), X_Easel_Quote=token()).amount < 1
    with pytest.raises(PaymentRequired):
        priced(job(CHEAPER, max_price="0"), X_Easel_Quote=token())


def test_field_and_header_both_bound_the_price() -> None:
    assert priced(job(DEARER, max_price="200"), X_Easel_Max_Price="1 USD per pixel").amount == 200
    for field, header in (("199", "1 USD per pixel"), ("200", "0.9 per pixel"), ("200 EUR", "200 USD")):
        with pytest.raises(PaymentRequired):
            priced(job(DEARER, max_price=field), X_Easel_Max_Price=header)


def test_the_longest_quote_there_can_be_is_taken_back() -> None:
    longest = image_model("m" * 50, modelId="o" * 45 + "/" + "m" * 50, price={"amount": "1" * 40, "perPixels": 10**9})
    spaced = longest.metadata.model_copy(update={"namespace": "n" * 63, "generation": 2**63 - 1})
    model = longest.model_copy(update={"metadata": spaced})
    assert priced(job(model), X_Easel_Quote=token(model)).offer == offer_of(model)
