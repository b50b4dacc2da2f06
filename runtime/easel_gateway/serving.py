"""From an admitted job to its answer: wait for an endpoint, ask it, and ask again where no work was done."""

import logging
from dataclasses import dataclass
from typing import Final

import aiohttp

from easel_crds.money import plain
from easel_gateway import upstream
from easel_gateway.admission import Job
from easel_gateway.results import ResultStore, new_id
from easel_gateway.waiting import WaitingRoom

_log = logging.getLogger(__name__)
_TRIES: Final = 5


@dataclass(frozen=True)
class Serving:
    """What the gateway serves jobs with."""

    waiting: WaitingRoom
    session: aiohttp.ClientSession
    results: ResultStore

    async def answer(self, job: Job) -> upstream.Answer:
        """The stored images of `job`; errors are those of `WaitingRoom.endpoint` and `upstream.send`."""
        for tries_left in reversed(range(_TRIES)):
            async with self.waiting.endpoint(job.model_id, job.image.size) as endpoint:
                try:
                    answer = await upstream.send(self.session, endpoint, job, self.results, new_id())
                except upstream.NotTaken as refusal:
                    self.waiting.avoid(endpoint)
                    if not tries_left:
                        raise refusal.answer from refusal
                else:
                    price = job.model.spec.price
                    _log.info(
                        "%s: %d x %dx%d by %s, %s %s",
                        *(job.model_id, len(answer.images), job.width, job.height, endpoint.name),
                        *(plain(price.of(job.pixels)), price.currency),
                    )
                    return answer
        raise AssertionError("the last try either answers or raises")
