"""Callers who want each errand done once: they send it again with the same key until it is answered for good."""

import asyncio
import json
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from socket import SO_LINGER, SOL_SOCKET
from typing import Final
from urllib.parse import urlsplit

from support.bookkeeping import Errand, Outcome
from support.pictures import form
from support.raw_http import NOTHING, Answer, read_answer

PATIENCE: Final = 90.0
"""Seconds after which a caller gives a request up for lost."""
AGAIN: Final = frozenset({0, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed; 0: the connection was lost."""
_PAUSE: Final = 0.1
"""Seconds between tries, whatever Retry-After says: nobody here has the patience for more."""
_SECONDS: Final = 30.0
"""Longest wait for one answer."""

Amount = Callable[[int], Decimal]
"""What so many pixels cost."""


@dataclass
class Callers:
    """Everybody who asks this gateway for something."""

    address: tuple[str, int]
    amount_of: Amount | None = None
    """None: the gateway names no amounts."""
    errands: list[Errand] = field(default_factory=list)
    refusals: list[Answer] = field(default_factory=list)
    """Every answer with which an errand was not done, but may be at another time."""

    def errand(self, images: int = 1, size: tuple[int, int] = (0, 0)) -> Errand:
        """A new one."""
        errand = Errand(len(self.errands), images, size)
        self.errands.append(errand)
        return errand

    @property
    def served(self) -> int:
        """How many errands are done."""
        return sum(errand.outcome == Outcome.SERVED for errand in self.errands)

    @property
    def blunt(self) -> list[Answer]:
        """Refusals that ought to say when to try again, and do not."""
        late = (answer for answer in self.refusals if answer.status in (429, 503))
        return [answer for answer in late if not answer.header("retry-after").isdigit()]

    async def run(self, errand: Errand, *, cuts: int = 0, persistent: bool = True, model: str = "easel/demo") -> None:
        """Have an errand done; its caller hangs up `cuts` times at random before that, and comes back.

        Who is not persistent takes the first answer for good.
        """
        chance = Random(f"cuts {errand.number}")  # noqa: S311
        sent = self._request(errand, model)
        deadline = time.monotonic() + PATIENCE
        while errand.outcome == Outcome.OPEN and time.monotonic() < deadline:
            errand.tries += 1
            if errand.tries <= cuts:
                await self._cut(sent, chance)
                continue
            answer = await self._ask(sent)
            errand.status = answer.status
            if answer.status in AGAIN - {0}:
                self.refusals.append(answer)
            if answer.status == 200:
                await self._served(errand, answer)
            elif answer.status not in AGAIN or not persistent:
                errand.outcome = Outcome.REFUSED
            else:
                await asyncio.sleep(_PAUSE)

    async def check_images(self) -> None:
        """Note of every errand whose images are not, or no longer, what they ought to be."""
        for errand in self.errands:
            for index, path in enumerate(errand.paths):
                answer = await self._ask(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: gateway\r\n\r\n")
                if answer.status != 200:
                    errand.faults.append(f"image {index} is answered with {answer.status}")
                elif not errand.is_right(index, answer.body):
                    errand.faults.append(f"image {index} is of another request")

    def _request(self, errand: Errand, model: str) -> bytes:
        texts = {"model_id": model, "prompt": "a cat", "seed": str(errand.number)}
        content_type, body = form({**texts, "num_images_per_prompt": str(errand.images)}, errand.upload)
        lines = [
            "POST /image-to-image HTTP/1.1",
            "Host: gateway",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            f"Idempotency-Key: {errand.key}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def _served(self, errand: Errand, answer: Answer) -> None:
        errand.outcome = Outcome.SERVED
        images = json.loads(answer.body)["images"]
        errand.paths = [urlsplit(image["url"]).path for image in images]
        wanted = [errand.number + index for index in range(errand.images)]
        if (seeds := [image["seed"] for image in images]) != wanted:
            errand.faults.append(f"seeds {seeds}, not {wanted}")
        if self.amount_of is not None:
            errand.amount = Decimal((answer.header("x-easel-amount").split() or ["NaN"])[0])
            if errand.amount != self.amount_of(errand.pixels):
                errand.faults.append(f"amount {errand.amount}, not {self.amount_of(errand.pixels)}")

    async def _ask(self, sent: bytes) -> Answer:
        """The answer; `NOTHING` if the connection is refused or lost, or nobody answers."""
        try:
            async with asyncio.timeout(_SECONDS):
                reader, writer = await asyncio.open_connection(*self.address)
                try:
                    writer.write(sent)
                    return await read_answer(reader)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return NOTHING

    async def _cut(self, sent: bytes, chance: Random) -> None:
        """Send some of a request, or read some of its answer, and go away, in order or like who is killed."""
        try:
            reader, writer = await asyncio.open_connection(*self.address)
        except OSError:
            await asyncio.sleep(_PAUSE)
            return
        upload, patience, reset = chance.random() < 0.5, chance.choice((0, 0.01, 0.05, 0.2)), chance.random() < 0.5
        try:
            writer.write(sent[: chance.randrange(len(sent))] if upload else sent)
            async with asyncio.timeout(patience):
                await (asyncio.sleep(patience) if upload else reader.readexactly(chance.randrange(1, 300)))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # so much the better: it was cut elsewhere
        finally:
            if reset:
                with suppress(OSError):  # the connection has ended meanwhile
                    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
