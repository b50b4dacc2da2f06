"""The LoRAs of a request, brought to this machine while it waits; the model's thread never downloads."""

import asyncio
import contextvars
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from easel_http.errors import BadRequest, TimedOut, Unavailable
from easel_http.loras import check_loras
from easel_runtime.engine import Engine, GenerationError, Lora, LoraUnavailable
from easel_runtime.metrics import Metrics
from easel_runtime.settings import Settings

_SIDE_BY_SIDE: Final = 4
"""LoRAs that are looked up or downloaded at a time; the rest wait."""
RETRY_SECONDS: Final = 10
"""When to ask again for a LoRA that could not be had."""


@dataclass
class _Fetch:
    """One LoRA on its way, however many requests wait for it."""

    future: "Future[tuple[Lora, ...]]"
    waiting: int = 0


class Fetching:
    """Has the engine fetch LoRAs, on threads of its own. For one event loop."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(max_workers=_SIDE_BY_SIDE, thread_name_prefix="lora")
        self._fetches: dict[str, _Fetch] = {}

    async def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:
        """These LoRAs (weights by repository), in the order of their names, without those of weight 0: they do nothing.

        Cancelling ends the wait. A download that nobody waits for any more goes on to its end, if it has begun.

        Raises:
            BadRequest: the ImageModel or the model refuses one.
            Unavailable: one cannot be had at present; `field` says that it is about this request alone.
            TimedOut: it takes too long.
        """
        check_loras(loras, self._settings.loras)
        if not loras:
            return ()
        began = time.monotonic()
        waits = [asyncio.create_task(self._wait_for(repo_id)) for repo_id in sorted(loras) if loras[repo_id]]
        try:
            async with asyncio.timeout(self._settings.deadline_seconds):
                found = await asyncio.gather(*waits)
        except TimeoutError:
            raise TimedOut("the LoRAs of this request are still being downloaded; send it again later") from None
        except GenerationError as error:
            raise BadRequest(str(error)) from error
        except LoraUnavailable as error:
            raise Unavailable(str(error), retry_after=RETRY_SECONDS, field="loras") from error
        finally:
            for wait in waits:
                wait.cancel()
            self._metrics.loras.observe(time.monotonic() - began)
        return tuple(replace(lora, weight=loras[lora.repo_id]) for each in found for lora in each)

    def close(self) -> None:
        """Give the threads back, without waiting for what is under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _wait_for(self, repo_id: str) -> tuple[Lora, ...]:
        fetch = self._fetches.get(repo_id)
        if fetch is None or fetch.future.done():
            self._fetches = {name: each for name, each in self._fetches.items() if not each.future.done()}
            run = contextvars.copy_context().run
            fetch = self._fetches[repo_id] = _Fetch(self._threads.submit(run, self._engine.fetch, {repo_id: 1.0}))
        fetch.waiting += 1
        try:
            return await asyncio.shield(asyncio.wrap_future(fetch.future))
        finally:
            fetch.waiting -= 1
            if not fetch.waiting:
                fetch.future.cancel()  # no effect once it has begun
