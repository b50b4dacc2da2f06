"""From an accepted job to its answer: wait for an endpoint, ask it, and ask again where no work was done."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

import aiohttp

from easel_crds.money import plain
from easel_gateway import upstream
from easel_gateway.admission import Job
from easel_gateway.directory import Endpoint
from easel_gateway.outgoing import Arrived, Outgoing
from easel_gateway.results import ResultStore, new_id
from easel_gateway.upstream import Answer
from easel_gateway.waiting import WaitingRoom
from easel_http.errors import UpstreamFailed

_log = logging.getLogger(__name__)
_TRIES: Final = 5


@dataclass(frozen=True)
class Serving:
    """What the gateway serves jobs with."""

    waiting: WaitingRoom
    session: aiohttp.ClientSession
    results: ResultStore

    async def answer(self, job: Job) -> Answer:
        """The stored images of `job`; errors are those of `WaitingRoom.endpoint`, `attempt` and `finish`."""
        for tries_left in reversed(range(_TRIES)):
            async with self.waiting.endpoint(job.model_id, job.image.size, job.fields.loras) as endpoint:
                try:
                    answer = await self.attempt(endpoint, Arrived(job))
                except upstream.NotTaken as refusal:
                    if not tries_left:
                        raise refusal.answer from refusal
                    continue
            return await self.finish(job, answer)
        raise AssertionError("the last try either answers or raises")

    async def attempt(self, endpoint: Endpoint, outgoing: Outgoing) -> Answer:
        """The stored images that the runtime at `endpoint` made; errors are those of `upstream.send`."""
        began = asyncio.get_running_loop().time()
        try:
            answer = await upstream.send(self.session, endpoint, outgoing, self.results, new_id())
        except upstream.NotTaken as refusal:
            self.waiting.avoid(outgoing.model_id, endpoint, failed=refusal.failed)
            raise
        except UpstreamFailed:
            self.waiting.avoid(outgoing.model_id, endpoint, failed=True)
            raise
        self.waiting.worked(outgoing.model_id, endpoint, asyncio.get_running_loop().time() - began)
        return answer

    async def finish(self, job: Job, answer: Answer) -> Answer:
        """Charge for `answer`, which may then be given."""
        price = job.model.spec.price
        _log.info(
            "%s: %d x %dx%d, %s %s",
            *(job.model_id, len(answer.images), job.width, job.height),
            *(plain(price.of(job.pixels)), price.currency),
        )
        return answer
