"""How much each key may use: requests and pixels a minute, requests at one time, money a day or month.

Counted by each gateway for itself, but for money, which the ledger adds up for all of them. What is in flight elsewhere
is not seen here, so that several gateways together may overrun a budget by that.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Protocol

from easel_crds.keys import Budget
from easel_crds.money import plain
from easel_gateway.keys import Caller
from easel_gateway.token_bucket import MINUTE, TokenBucket
from easel_http.errors import ApiError, Busy, Forbidden, PaymentRequired

_FRESH_SECONDS: Final = 5.0
"""How long a sum of the ledger is taken for true; what is charged here meanwhile is added to it."""


class Spending(Protocol):
    """The ledger, as far as budgets need it."""

    async def spent(self, caller: str, currency: str, since: datetime) -> Decimal: ...


_Of = tuple[str, datetime]
"""Currency, and the beginning of a day or month."""


@dataclass
class _Account:
    """What one key has used."""

    in_flight: int = 0
    reserved: Decimal = Decimal(0)
    """Of requests that are being worked on."""
    charged: Decimal = Decimal(0)
    """By this gateway, since it knows of the key."""
    spent: Decimal = Decimal(0)
    """What the ledger said, and what was charged here since it was asked."""
    doubtful: bool = False
    """Whether something was charged while the ledger added up, so that it may be counted twice."""
    of: _Of | None = None
    """What `spent` is of."""
    read_at: float = -math.inf
    asking: tuple[_Of, asyncio.Task[None]] | None = None
    """The question to the ledger; several requests wait for one answer."""
    buckets: dict[str, TokenBucket] = field(default_factory=dict)


class Limits:
    """Keeps count of every key that has limits."""

    def __init__(self, spending: Spending | None, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._spending = spending
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def retain(self, names: Iterable[str]) -> None:
        """Forget what is known of other keys, but for what they still have in work: a key may come back at once."""
        kept, accounts = set(names), self._accounts.items()
        self._accounts = {name: of for name, of in accounts if name in kept or of.in_flight or of.reserved}

    def enter(self, caller: Caller) -> AbstractContextManager[None]:
        """One more request of `caller`, as long as the context lasts.

        Raises:
            Busy: there are too many at one time, or in this minute.
        """
        limited = caller.policy.concurrent is not None or caller.policy.requests_per_minute is not None
        return self._enter(caller) if limited else nullcontext()

    @contextmanager
    def _enter(self, caller: Caller) -> Iterator[None]:
        policy = caller.policy
        account = self._account(caller)
        if policy.concurrent is not None and account.in_flight >= policy.concurrent:
            error = Busy(f"the key {caller.name} has {policy.concurrent} requests in work already", retry_after=1)
            error.headers |= self.headers(caller)
            raise error
        if (bucket := self._bucket(caller, "requests")) is not None:
            self._take(caller, bucket, 1, f"{bucket.most} requests a minute")
        account.in_flight += 1
        try:
            yield
        finally:
            account.in_flight -= 1

    def reserve(self, caller: Caller, pixels: int, amount: Decimal, currency: str) -> AbstractAsyncContextManager[None]:
        """Room for a request of so many pixels and so much money, as long as the context lasts.

        Raises:
            Forbidden: it has more pixels than a whole minute allows, or costs another currency than the budget is in.
            Busy: there are too many pixels in this minute.
            PaymentRequired: the budget of the day or month does not suffice.
        """
        if caller.policy.pixels_per_minute is None and caller.policy.budget is None:
            return nullcontext()
        return self._reserve(caller, pixels, amount, currency)

    @asynccontextmanager
    async def _reserve(self, caller: Caller, pixels: int, amount: Decimal, currency: str) -> AsyncIterator[None]:
        policy = caller.policy
        if policy.pixels_per_minute is not None and pixels > policy.pixels_per_minute:
            msg = f"the key {caller.name} may use {policy.pixels_per_minute} pixels a minute; this request has {pixels}"
            raise Forbidden(msg)
        if policy.budget is not None and currency != policy.budget.currency:
            msg = f"the key {caller.name} has a budget in {policy.budget.currency}; this model costs {currency}"
            raise Forbidden(msg)
        if policy.budget is not None and self._spending is not None:
            await self._check_budget(self._spending, caller, policy.budget, amount)
        # From the check of the budget on, no other request comes between; what is refused has used no pixels.
        if (bucket := self._bucket(caller, "pixels")) is not None:
            self._take(caller, bucket, pixels, f"{bucket.most} pixels a minute")
        if policy.budget is None:
            yield
            return
        account = self._account(caller)
        account.reserved += amount
        try:
            yield
        finally:
            account.reserved -= amount

    def charged(self, caller: Caller, amount: Decimal) -> None:
        """`caller` has been charged, or will be."""
        if caller.policy.budget is not None:
            account = self._account(caller)
            account.spent += amount
            account.charged += amount

    def headers(self, caller: Caller) -> dict[str, str]:
        """What is left, as draft-ietf-httpapi-ratelimit-headers has it; nothing of a key without such limits."""
        buckets = [(name, self._bucket(caller, name)) for name in ("requests", "pixels")]
        found = [(name, bucket) for name, bucket in buckets if bucket is not None]
        if not found:
            return {}
        return {
            "RateLimit-Policy": ", ".join(f'"{name}";q={bucket.most};w={MINUTE:.0f}' for name, bucket in found),
            "RateLimit": ", ".join(
                f'"{name}";r={int(bucket.left)};t={math.ceil(bucket.seconds_until(bucket.most))}'
                for name, bucket in found
            ),
        }

    def _take(self, caller: Caller, bucket: TokenBucket, amount: int, limit: str) -> None:
        if bucket.left < amount:
            error: ApiError = Busy(
                f"the key {caller.name} has used its {limit}", retry_after=math.ceil(bucket.seconds_until(amount))
            )
            error.headers |= self.headers(caller)
            raise error
        bucket.left -= amount

    def _bucket(self, caller: Caller, name: str) -> TokenBucket | None:
        policy = caller.policy
        most = policy.requests_per_minute if name == "requests" else policy.pixels_per_minute
        if most is None:
            return None
        buckets, now = self._account(caller).buckets, self._clock()
        bucket = buckets.get(name)
        if bucket is None:
            bucket = buckets[name] = TokenBucket(most, most, now)
        bucket.fill(now)
        if bucket.most != most:
            bucket.change(most)
        return bucket

    def _account(self, caller: Caller) -> _Account:
        return self._accounts.setdefault(caller.name, _Account())

    async def _check_budget(self, spending: Spending, caller: Caller, budget: Budget, amount: Decimal) -> None:
        account, of = self._account(caller), (budget.currency, beginning(self._clock(), budget.per))
        if account.of != of or not 0 <= self._clock() - account.read_at <= _FRESH_SECONDS:
            await self._read(spending, caller, account, of)
        if account.doubtful and _is_over(account, budget, amount):
            await self._read(spending, caller, account, of)
        if _is_over(account, budget, amount):
            raise PaymentRequired(
                f"the key {caller.name} has a budget of {budget.amount} {budget.currency} a {budget.per}, of which"
                f" {plain(account.spent + account.reserved)} are used: this request costs {plain(amount)}",
                budget={"amount": budget.amount, "currency": budget.currency, "per": budget.per},
            )

    async def _read(self, spending: Spending, caller: Caller, account: _Account, of: _Of) -> None:
        if account.asking is None or account.asking[0] != of or account.asking[1].done():
            task = asyncio.create_task(self._ask(spending, caller.name, account, of))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # who has left needs no answer
            account.asking = of, task
        await asyncio.shield(account.asking[1])

    async def _ask(self, spending: Spending, name: str, account: _Account, of: _Of) -> None:
        before = account.charged
        total = await spending.spent(name, *of)
        # The ledger may have counted what was charged meanwhile, or not: better twice than not at all.
        meanwhile = account.charged - before
        account.spent, account.doubtful = total + meanwhile, bool(meanwhile)
        account.of, account.read_at = of, self._clock()


def _is_over(account: _Account, budget: Budget, amount: Decimal) -> bool:
    return account.spent + account.reserved + amount > Decimal(budget.amount)


def beginning(now: float, per: str) -> datetime:
    """The first moment of the day or month (UTC) that `now` is in."""
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day if per == "day" else day.replace(day=1)


def check_model(caller: Caller, model_id: str) -> None:
    """Refuse a model that the caller's key is not for.

    Raises:
        Forbidden: it is not.
    """
    if not caller.policy.allows(model_id):
        allowed = ", ".join(caller.policy.models[:10]) or "none"
        raise Forbidden(f"the key {caller.name} is not for {model_id}; its models: {allowed}")
