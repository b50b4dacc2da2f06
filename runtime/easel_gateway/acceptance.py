"""From a form that has arrived to an order: the model, the bounds, the price, the key that makes it happen once."""

import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from easel_gateway.admission import Job, admit
from easel_gateway.directory import Directory, entry_of
from easel_gateway.keys import Caller
from easel_gateway.ledger import Claim, Ledger, Repeat
from easel_gateway.limits import Limits, check_model
from easel_gateway.order import Order, Reply
from easel_gateway.pricing import sole_header
from easel_gateway.quotes import Quotes
from easel_gateway.upload import Upload
from easel_http.errors import InvalidForm
from easel_http.form import Form
from easel_http.logs import note

IDEMPOTENCY_KEY: Final = "Idempotency-Key"


class Replayed(Exception):
    """The request was answered before; `reply` is that answer, without files also if it is `inline`."""

    def __init__(self, reply: Reply, *, inline: bool) -> None:
        super().__init__("answered before")
        self.reply = reply
        self.inline = inline


@dataclass(frozen=True)
class Acceptance:
    """What decides whether a request is worked on, and at which price."""

    directory: Directory
    quotes: Quotes
    ledger: Ledger | None
    limits: Limits
    default_model: str = ""
    """Of requests that name none."""

    def model_for(self, caller: Caller) -> str:
        """The model of a request of `caller` that names none: the default, or the only one that there is for it.

        Raises:
            InvalidForm: there are several, or none.
        """
        return chosen_model(
            self.default_model, [each for each in self.directory.entries() if caller.policy.allows(each)]
        )

    async def order(self, upload: Upload) -> Order:
        """The order of a request, of which all has arrived when this returns, and against which nothing speaks.

        Raises:
            ApiError: something does.
            Replayed: it has been worked on already.
        """
        content = upload.content
        if not content.ended:
            await content.read()
        fields = content.fields(() if self.default_model or upload.any_model else ("model_id",))
        if not fields.model_id:
            fields = fields.model_copy(update={"model_id": self.model_for(upload.caller)})
        form = Form(fields, content.image)
        entry = entry_of(form.fields.model_id, self.directory.entries())
        caller = upload.caller
        note(model=form.fields.model_id)
        check_model(caller, form.fields.model_id)
        job = await admit(form, entry.model)
        quote = self.quotes.price_job(job, upload.headers, time.time())
        note(pixels=quote.pixels)
        claim = await self._claim(upload, job, caller.name)
        room = self.limits.reserve(caller, quote.pixels, quote.amount, quote.currency)
        await upload.held.enter_async_context(room)
        return Order(job, quote, caller, entry.state, claim)

    async def _claim(self, upload: Upload, job: Job, caller: str) -> Claim | None:
        key = sole_header(upload.headers, IDEMPOTENCY_KEY)
        if not key or self.ledger is None:
            return None
        claimed = await self.ledger.claim(caller, key, await _fingerprint(job))
        if isinstance(claimed, Repeat):
            raise Replayed(Reply.from_bytes(claimed.answer), inline=job.inline)
        upload.held.push_async_callback(self._give_back, upload, claimed, self.ledger)
        return claimed

    async def _give_back(self, upload: Upload, claim: Claim, ledger: Ledger) -> None:
        if not upload.charged:
            await ledger.release(claim)


def chosen_model(default: str, known: Collection[str]) -> str:
    """The model of a request that names none: the default, or the only one that is known.

    Raises:
        InvalidForm: there are several, or none.
    """
    if default or len(known) == 1:
        return default or next(iter(known))
    raise InvalidForm.at("model_id", f"name a model; there are: {', '.join(sorted(known)) or 'none'}", kind="missing")


async def _fingerprint(job: Job) -> str:
    """What tells a request from others: every field, and each byte of its image."""
    digest = hashlib.sha256(job.fields.model_dump_json().encode())
    async for chunk in job.image.chunks():
        digest.update(chunk)
    return digest.hexdigest()
