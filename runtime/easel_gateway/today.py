"""What each model was used for today, for pages that ask every few seconds: added up once for all of them."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from easel_gateway.ledger import Ledger, Query, TooManyRows, UsageRow
from easel_gateway.limits import beginning
from easel_http.errors import Unavailable

_FRESH_SECONDS: Final = 5.0
_SHARE: Final = 10.0
"""Or so many times as long as it took to add up: whoever polls never takes more than a tenth of the ledger's time."""

Used = Mapping[str, Sequence[UsageRow]]
"""A row for each currency, by model."""


class Today:
    """The sums since midnight in UTC, at most a few seconds old."""

    def __init__(self, ledger: Ledger | None, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._ledger = ledger
        self._clock = clock
        self._turn = asyncio.Lock()
        self._used: Used | None = None
        self._fresh_until = 0.0

    async def used(self, model_ids: Iterable[str]) -> Used | None:
        """What the models were used for; None: there is no ledger, or it does not answer."""
        if self._ledger is None:
            return None
        async with self._turn:
            began = self._clock()
            if began >= self._fresh_until:
                self._used = await _used(self._ledger, model_ids, began)
                took = self._clock() - began
                self._fresh_until = began + max(_FRESH_SECONDS, _SHARE * took)
            return self._used


async def _used(ledger: Ledger, model_ids: Iterable[str], now: float) -> Used | None:
    # One model at a time: the ledger finds its rows of today without reading all that there ever were.
    since = beginning(now, "day")
    try:
        return {model_id: await ledger.usage(Query(model_id=model_id, since=since)) for model_id in model_ids}
    except (Unavailable, TooManyRows):
        return None
