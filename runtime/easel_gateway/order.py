"""A request that was accepted, and what its caller gets for it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from easel_gateway.admission import Job
from easel_gateway.answer import Answer, StoredImage
from easel_gateway.keys import Caller
from easel_gateway.ledger import Charge, Claim
from easel_gateway.pricing import Quote
from easel_http.ids import new_ordered_id

REPLAYED: Final = "Idempotent-Replayed"
"""Header of an answer that was given before, named as payment services name it."""


@dataclass(frozen=True)
class Order:
    """A job with its price, both as they were when it was accepted."""

    job: Job
    quote: Quote
    caller: Caller
    state: str
    """The model's, at that moment."""
    claim: Claim | None = None
    charge_id: str = field(default_factory=new_ordered_id)
    accepted: float = field(default_factory=time.time)
    """Seconds since 1970."""

    def charge(self, answer: Answer) -> Charge:
        """The row for the ledger; `answer` is there now."""
        job, model, now = self.job, self.job.model, time.time()
        return Charge(
            request_id=self.charge_id,
            time=datetime.fromtimestamp(now, UTC),
            caller=self.caller.name,
            model_id=job.model_id,
            namespace=model.metadata.namespace,
            model=model.name,
            revision=model.spec.revision,
            generation=int(self.quote.offer.generation.rpartition("@")[2]),
            width=job.width,
            height=job.height,
            images=len(answer.images),
            pixels=self.quote.pixels,
            price=self.quote.offer.price,
            amount=self.quote.amount,
            seconds=round(now - self.accepted, 3),
            gpu_seconds=answer.gpu_seconds,
        )


@dataclass(frozen=True)
class Reply:
    """What the caller gets: images, and headers that say what they are and cost."""

    images: tuple[StoredImage, ...]
    headers: Mapping[str, str]
    files: tuple[bytes, ...] = ()
    """Of the images, for an answer that has them themselves."""

    def to_bytes(self) -> bytes:
        """The form in which the ledger keeps it, for whoever comes with the same key again."""
        images = [[image.path, image.seed, image.nsfw] for image in self.images]
        return json.dumps([images, dict(self.headers)], separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Reply":
        """What `to_bytes` wrote, as a replay."""
        images, headers = json.loads(data)
        return cls(tuple(StoredImage(*image) for image in images), {**headers, REPLAYED: "true"})
