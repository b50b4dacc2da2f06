"""Quotes that bind: a price that a gateway said and signed applies until its time is over, whatever the model's is.

Nothing is stored. The caller brings the quote back in `X-Easel-Quote`; whoever has the secret can tell that it is true,
so all replicas of a gateway share one.
"""

import base64
import hashlib
import hmac
import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from easel_crds.money import Price
from easel_gateway.admission import Job
from easel_gateway.pricing import Offer, Quote, check, in_header, max_price_of, offer_of, payment_required, sole_header
from easel_gateway.settings import Settings

QUOTE_HEADER: Final = "X-Easel-Quote"
_LENGTH: Final = 1024
"""Most characters of a quote; the longest model id, name and amount make about 600."""
_NOT_OURS: Final = "is no quote of this gateway: send what `quote` was in an answer of POST /quote, or leave it out"


@dataclass(frozen=True)
class Quotes:
    """Signs quotes and tells its own from others."""

    seconds: int
    """How long a quote holds."""
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def sign(self, offer: Offer, now: float) -> tuple[str, datetime]:
        """The quote that makes `offer` hold, and the time until which it does; `now` in seconds since 1970."""
        until = math.floor(now) + self.seconds
        price = offer.price
        said = [offer.model_id, offer.generation, price.amount, price.currency, price.per_pixels, until]
        payload = _encoded(json.dumps(said, separators=(",", ":")).encode())
        return f"{payload}.{self._signature(payload)}", datetime.fromtimestamp(until, UTC)

    def price_job(self, job: Job, headers: Mapping[str, str], now: float) -> Quote:
        """What `job` costs, fixed at its acceptance: by its model as the job holds it, or by the quote in `headers`.

        Raises:
            InvalidForm: a header cannot be understood, or the quote is not one for this model.
            PaymentRequired: the quote has expired, or the price is above what the caller pays at most.
        """
        token = sole_header(headers, QUOTE_HEADER).strip()
        today = Quote(offer_of(job.model), job.pixels, job.fields.num_images_per_prompt)
        quote = Quote(self._offer(token, today, now), today.pixels, today.images) if token else today
        check(quote, (max_price_of(headers), job.fields.max_price))
        return quote

    def _offer(self, token: str, today: Quote, now: float) -> Offer:
        payload, _, signature = token.partition(".")
        genuine = len(token) <= _LENGTH and token.isascii()
        if not genuine or not hmac.compare_digest(signature, self._signature(payload)):
            raise in_header(QUOTE_HEADER, _NOT_OURS, token[:_LENGTH])
        model_id, generation, amount, currency, per_pixels, until = json.loads(_decoded(payload))
        if model_id != today.offer.model_id:
            msg = f"is a quote for {model_id}, not for {today.offer.model_id}"
            raise in_header(QUOTE_HEADER, msg, token)
        if now > until:
            ended = _written(datetime.fromtimestamp(until, UTC))
            raise payment_required(today, f"has to be agreed to anew: the quote held until {ended}")
        return Offer(model_id, generation, Price(amount=amount, currency=currency, per_pixels=per_pixels))

    def _signature(self, payload: str) -> str:
        return _encoded(hmac.digest(self.secret, payload.encode(), hashlib.sha256))


def new_quotes(settings: Settings) -> Quotes:
    """As the settings say; without a secret, with a random one."""
    secret = settings.quote_secret.get_secret_value().encode()
    return Quotes(settings.quote_seconds, secret) if secret else Quotes(settings.quote_seconds)


def _written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
