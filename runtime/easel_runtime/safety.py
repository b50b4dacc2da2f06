"""The safety check: whose images are looked at, the checker that does it, and when it is there.

A checker takes a gigabyte of the GPU, so it is loaded when the first request asks for the check, or before any if the
ImageModel enforces it. It has a thread of its own: the next image is made while one is looked at.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from PIL.Image import Image

from easel_crds.safety import NO_CHECKER, Safety
from easel_http.errors import Failed, TimedOut, Unavailable
from easel_runtime.engine import Checker, Generation, LoadError, OutOfMemory
from easel_runtime.metrics import Metrics

_log = logging.getLogger(__name__)
_FIELD: Final = "safety_check"
_RETRY_SECONDS: Final = 60.0
"""How long a checker that could not be loaded is not tried again: what is missing seldom comes by itself."""


def planned(generation: Generation, policy: Safety) -> Generation:
    """`generation` with `safety_check` as `policy` has it; `ignored` names the caller's where it decides nothing."""
    if policy.checker == NO_CHECKER:
        return _with_check(generation, checked=False, heeded=False)
    return _with_check(
        generation,
        checked=policy.enforce or generation.safety_check,
        heeded=generation.safety_check or not policy.enforce,
    )


def _with_check(generation: Generation, *, checked: bool, heeded: bool) -> Generation:
    ignored = frozenset() if heeded else generation.explicit & {_FIELD}
    return replace(generation, safety_check=checked, ignored=generation.ignored | ignored)


@dataclass(eq=False)
class _Attempt:
    """One attempt to load the checker. Filled on the checker's thread; whole when `done` is."""

    done: Future[None] = field(default_factory=Future)
    checker: Checker | None = None
    failure: str = ""
    ended: float = 0.0

    def __post_init__(self) -> None:
        # Else a caller who leaves would cancel it for all who wait.
        self.done.set_running_or_notify_cancel()


class SafetyCheck:
    """Looks at images by the policy of the ImageModel. Made and asked on the event loop, `look_at` on any thread."""

    def __init__(
        self,
        policy: Safety,
        load: Callable[[], Checker],
        metrics: Metrics,
        *,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` brings the policy's checker into memory, on the checker's thread; it may raise what it likes."""
        self.policy = policy
        self._load = load
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="safety")
        self._attempt: _Attempt | None = None

    async def decide(self, generation: Generation) -> Generation:
        """`generation` with `safety_check` as it will be; if its images are to be looked at, the checker is loaded.

        Raises:
            Unavailable: they are, and it cannot be loaded.
            TimedOut: it was not loaded within the deadline of a request.
        """
        generation = planned(generation, self.policy)
        if not generation.safety_check:
            return generation
        try:
            async with asyncio.timeout(self._deadline_seconds):
                attempt = await self._attempted()
        except TimeoutError:
            raise TimedOut(f"the safety checker was not loaded within {self._deadline_seconds:g} seconds") from None
        if attempt.checker is not None:
            return generation
        if self.policy.unavailable == "serve":
            return _with_check(generation, checked=False, heeded=False)
        raise Unavailable(
            f"the safety checker cannot be loaded: {attempt.failure}; send safety_check=false for images that nobody"
            " looked at",
            retry_after=round(attempt.ended + _RETRY_SECONDS - self._clock()),
            field=_FIELD,
        )

    async def require(self) -> None:
        """Load the checker now if every image must be looked at.

        Raises:
            LoadError: it cannot be loaded.
        """
        if self.policy.enforce and (failure := (await self._attempted()).failure):
            raise LoadError(f"the safety checker cannot be loaded: {failure}")

    def look_at(self, picture: Image) -> Future[bool]:
        """Whether `picture` is not safe for work, as soon as that is known; `Failed` if it cannot be told."""
        return self._thread.submit(contextvars.copy_context().run, self._look_at, picture)

    def close(self) -> None:
        """Look at what was submitted, without waiting for it."""
        self._thread.shutdown(wait=False)

    async def _attempted(self) -> _Attempt:
        """The attempt to load the checker that counts, when it is over: one, however many ask."""
        attempt = self._attempt
        if attempt is None or (attempt.failure and self._clock() - attempt.ended >= _RETRY_SECONDS):
            attempt = self._attempt = _Attempt()
            self._thread.submit(contextvars.copy_context().run, self._load_into, attempt)
        await asyncio.wrap_future(attempt.done)
        return attempt

    def _load_into(self, attempt: _Attempt) -> None:
        try:
            attempt.checker = self._load()
        except LoadError as error:
            attempt.failure = str(error)
        except Exception as error:
            _log.exception("loading the safety checker failed")
            attempt.failure = f"{type(error).__name__}: {error}"
        if attempt.failure:
            _log.warning("no safety checker: %s", attempt.failure)
        attempt.ended = self._clock()
        attempt.done.set_result(None)

    @property
    def _checker(self) -> Checker:
        if self._attempt is None or self._attempt.checker is None:
            raise RuntimeError("an image was to be looked at before the checker was loaded")
        return self._attempt.checker

    def _look_at(self, picture: Image) -> bool:
        began = time.perf_counter()
        try:
            unsafe = self._checker.is_unsafe(picture)
        except OutOfMemory as error:
            failure = Failed(f"the safety check failed: {error}")
        except Exception:
            _log.exception("the safety check failed")
            failure = Failed("the safety check failed at this image; the runtime's log has more")
        else:
            self._metrics.note_check("unsafe" if unsafe else "safe", time.perf_counter() - began)
            return unsafe
        self._metrics.note_check("failed", time.perf_counter() - began)
        raise failure  # here, where it does not carry the checker's own error, and with it the GPU's memory, along
