"""From an order to its reply: wait for an endpoint, ask it, ask again where no work was done, charge."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import aiohttp

from easel_crds.money import plain
from easel_gateway import upstream
from easel_gateway.admission import Job
from easel_gateway.answer import Answer, StoredImage
from easel_gateway.directory import Endpoint
from easel_gateway.forwarding import Tell
from easel_gateway.ledger import Ledger
from easel_gateway.limits import Limits
from easel_gateway.metrics import Metrics
from easel_gateway.order import Order, Reply
from easel_gateway.outgoing import Arrived, Outgoing
from easel_gateway.results import ResultStore
from easel_gateway.standing import Standing
from easel_gateway.waiting import WaitingRoom
from easel_http.errors import ApiError, Unavailable, UpstreamFailed
from easel_http.ids import new_id
from easel_http.logs import current_request_id, note
from easel_http.requests import REQUEST_HEADER
from easel_http.tracing import part, trace_headers

_log = logging.getLogger(__name__)
_TRIES: Final = 5
STOPPING: Final = "Easel is stopping"
"""What callers hear whose work is ended with the gateway."""
CHARGE_HEADER: Final = "X-Easel-Charge"
STATE_HEADER: Final = "X-Easel-Model-State"
WAIT_HEADER: Final = "X-Easel-Wait"


@dataclass(frozen=True)
class Serving:
    """What the gateway serves orders with."""

    waiting: WaitingRoom
    standing: Standing
    session: aiohttp.ClientSession
    results: ResultStore
    metrics: Metrics
    ledger: Ledger | None
    """None: nothing is written down."""
    limits: Limits

    async def reply(self, order: Order, tell: Tell | None = None) -> Reply:
        """What `order` becomes, while `tell` is told of it.

        Raises:
            ApiError: those of `WaitingRoom.wait`, `attempt` and `finish`.
        """
        job = order.job
        for tries_left in reversed(range(_TRIES)):
            endpoint, waited = await self._endpoint(job, tell)
            try:
                answer = await self.attempt(endpoint, Arrived(job, tell))
            except upstream.NotTaken as refusal:
                if not tries_left:
                    raise refusal.answer from refusal
                continue
            finally:
                self.waiting.release(job.model_id, endpoint)
            return await self.finish(order, answer, waited)
        raise AssertionError("the last try either answers or raises")

    async def attempt(self, endpoint: Endpoint, outgoing: Outgoing) -> Answer:
        """The stored images that the runtime at `endpoint` made; errors are those of `upstream.send`."""
        began = asyncio.get_running_loop().time()
        headers = {REQUEST_HEADER: current_request_id(), **trace_headers()}
        note(endpoint=endpoint.name)
        try:
            with part("upstream"):
                answer = await upstream.send(self.session, endpoint, outgoing, self.results, new_id(), headers)
        except upstream.NotTaken as refusal:
            if not outgoing.withdrawn:
                self.waiting.avoid(outgoing.model_id, endpoint, failed=refusal.failed)
            raise
        except UpstreamFailed:
            self.waiting.avoid(outgoing.model_id, endpoint, failed=True)
            raise
        finally:
            seconds = asyncio.get_running_loop().time() - began
            self.metrics.asked(outgoing.model_id, seconds)
            note(upstream=round(seconds, 3))
        self.waiting.worked(outgoing.model_id, endpoint, seconds)
        return answer

    async def finish(self, order: Order, answer: Answer, waited: float) -> Reply:
        """Charge for `answer`; what may then be given.

        Raises:
            Unavailable, Conflict: it cannot be charged, or not be given; then the other is not done either.
        """
        quote = order.quote
        files = await self._files(answer) if order.job.inline else ()
        reply = Reply(answer.images, {**answer.headers, **quote.headers(), CHARGE_HEADER: order.charge_id}, files)
        amount = quote.amount
        try:
            if self.ledger is not None:
                await self._charge(self.ledger, order, answer, reply)
        except asyncio.CancelledError:
            self.limits.charged(order.caller, amount)  # it is written although the caller has left
            raise
        self.limits.charged(order.caller, amount)
        self.metrics.charged(order.job.model_id, quote.pixels, amount, quote.currency)
        note(amount=f"{plain(amount)} {quote.currency}", charge=order.charge_id)
        if _log.isEnabledFor(logging.INFO):
            job = order.job
            _log.info(
                "%s: %d x %dx%d, %s %s",
                *(job.model_id, len(answer.images), job.width, job.height, plain(amount), quote.currency),
            )
        now = {STATE_HEADER: order.state, WAIT_HEADER: f"{waited:.3f}", **self.limits.headers(order.caller)}
        return Reply(answer.images, {**reply.headers, **now}, files)

    async def files(self, images: Iterable[StoredImage]) -> tuple[bytes, ...]:
        """The files of stored images.

        Raises:
            FileNotFoundError: one has expired.
            Unavailable: one cannot be read.
        """
        try:
            return tuple([await self.results.read(image.path) for image in images])
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Unavailable(f"the result cannot be read: {error.strerror}", retry_after=10) from error

    async def _files(self, answer: Answer) -> tuple[bytes, ...]:
        """Those of an answer that is not yet charged."""
        try:
            return await self.files(answer.images)
        except (FileNotFoundError, Unavailable) as error:
            await asyncio.shield(self.results.drop([image.path for image in answer.images]))
            if isinstance(error, Unavailable):
                raise
            raise Unavailable("the result is gone before it could be given", retry_after=10) from error

    async def _charge(self, ledger: Ledger, order: Order, answer: Answer, reply: Reply) -> None:
        kept = reply.to_bytes() if order.claim is not None else b""
        try:
            with part("charge"):
                # To its end even if the caller leaves at this moment: who has the key then gets what was charged.
                await asyncio.shield(ledger.charge(order.charge(answer), order.claim, kept))
        except ApiError:
            await asyncio.shield(self.results.drop([image.path for image in answer.images]))
            raise

    async def _endpoint(self, job: Job, tell: Tell | None) -> tuple[Endpoint, float]:
        """An endpoint, to be given back to the waiting room, and the seconds that were waited for it."""
        model_id, loras = job.model_id, job.fields.loras
        if (endpoint := self.waiting.at_once(model_id, loras)) is not None:
            return endpoint, 0.0
        began = asyncio.get_running_loop().time()
        turn = object()
        try:
            with part("hold"), self.standing.told(tell, model_id, turn):
                endpoint = await self.waiting.wait(model_id, job.image.size, loras, turn)
        finally:
            waited = asyncio.get_running_loop().time() - began
            self.metrics.waited(model_id, waited)
            note(waited=round(waited, 3))
        return endpoint, waited
