"""The waiting room: who gets an endpoint, when, and what the others are told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from easel_crds.demand import Demand
from easel_gateway import balancing
from easel_gateway.balancing import NO_LORAS, ROOM
from easel_gateway.directory import Endpoint, Entry
from easel_gateway.settings import Settings
from easel_gateway.waiting import WaitingRoom
from easel_http.errors import ApiError, Busy, NotFound, Unavailable
from support.directory import MODEL_ID, MemoryDirectory, entry

A, B = "http://a", "http://b"


async def turns() -> None:
    """Let every task go as far as it can; nothing here waits for anything but other tasks."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def place(
    room: WaitingRoom, model_id: str, size: int = 1, loras: Collection[str] = NO_LORAS
) -> AsyncIterator[Endpoint]:
    """An endpoint for one request, as `Serving` takes it and gives it back."""
    endpoint = room.at_once(model_id, loras)
    if endpoint is None:
        endpoint = await room.wait(model_id, size, loras)
    try:
        yield endpoint
    finally:
        room.release(model_id, endpoint)


class Caller:
    """One request: waits for an endpoint, keeps it until `leave`."""

    def __init__(self, room: WaitingRoom, model_id: str = MODEL_ID, size: int = 1) -> None:
        self.endpoint: Endpoint | None = None
        self._may_leave = asyncio.Event()
        self.task = asyncio.create_task(self._call(room, model_id, size))

    async def _call(self, room: WaitingRoom, model_id: str, size: int) -> None:
        async with place(room, model_id, size) as self.endpoint:
            await self._may_leave.wait()

    @property
    def at(self) -> str:
        """Name of the endpoint that it has; empty while it waits."""
        return self.endpoint.name if self.endpoint is not None else ""

    async def leave(self) -> None:
        self._may_leave.set()
        await self.task
        await turns()

    async def hang_up(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    async def refusal(self) -> ApiError:
        """The error that it gets."""
        with pytest.raises(ApiError) as caught:
            async with asyncio.timeout(10):
                await self.task
        return caught.value


class House:
    """A directory and a waiting room, and whoever calls."""

    def __init__(self, directory: MemoryDirectory, **bounds: float) -> None:
        self.directory = directory
        self.room = WaitingRoom(directory, Settings.model_validate(bounds))
        self._callers: list[Caller] = []

    async def call(self, model_id: str = MODEL_ID, size: int = 1) -> Caller:
        """A caller that got as far as it can at present."""
        caller = Caller(self.room, model_id, size)
        self._callers.append(caller)
        await turns()
        return caller

    async def close(self) -> None:
        """Everyone leaves, and nothing is left of them."""
        for caller in self._callers:
            caller.task.cancel()
        await asyncio.gather(*(caller.task for caller in self._callers), return_exceptions=True)
        for model_id in self.directory.entries():
            assert self.directory.demand(model_id) == Demand()


@pytest.fixture
async def house_of() -> AsyncIterator[Callable[..., House]]:
    houses: list[House] = []

    def open_house(directory: MemoryDirectory, **bounds: float) -> House:
        houses.append(House(directory, **bounds))
        return houses[-1]

    yield open_house
    for house in houses:
        await house.close()


HouseOf = Callable[..., House]


async def test_an_endpoint_with_room_is_granted_at_once(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A)))
    caller = await house.call()
    assert caller.endpoint == Endpoint("demo-1", A)
    assert house.directory.demand() == Demand(in_flight=1)


async def test_a_request_is_held_until_an_endpoint_appears(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()))
    caller = await house.call()
    assert caller.endpoint is None
    assert house.directory.demand() == Demand(waiting=1)
    house.directory.put(entry(starting=True))
    await turns()
    assert caller.endpoint is None
    house.directory.put(entry(A))
    await turns()
    assert caller.at == "demo-1"


async def test_first_come_first_served(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()))
    callers = [await house.call() for _ in range(5)]
    house.directory.put(entry(A))
    await turns()
    assert [bool(caller.at) for caller in callers] == [True, True, False, False, False]
    await callers[1].leave()
    assert [bool(caller.at) for caller in callers[2:]] == [True, False, False]
    await callers[0].leave()
    assert [bool(caller.at) for caller in callers[3:]] == [True, False]


async def test_who_comes_later_does_not_overtake_who_waits(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A)))
    first, _, third = [await house.call() for _ in range(3)]
    await first.leave()
    fourth = await house.call()
    assert third.at
    assert not fourth.at


async def test_the_endpoint_with_the_fewest_requests_is_chosen(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A, B, scaling={"targetInFlight": 4})))
    callers = [await house.call() for _ in range(2 * ROOM)]
    assert Counter(caller.at for caller in callers) == {"demo-1": ROOM, "demo-2": ROOM}
    for caller in callers:
        if caller.at == "demo-2":
            await caller.leave()
    assert [(await house.call()).at for _ in range(2)] == ["demo-2", "demo-2"]


@pytest.mark.parametrize("target", [1, 2, 9, 1000])
async def test_an_endpoint_has_one_request_to_work_on_and_one_in_reserve(house_of: HouseOf, target: int) -> None:
    house = house_of(MemoryDirectory(entry(A, scaling={"targetInFlight": target})))
    for _ in range(12):
        await house.call()
    assert house.directory.demand() == Demand(in_flight=2, waiting=10)


async def test_a_room_that_closes_refuses_who_waits_and_who_comes(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A)))
    callers = [await house.call() for _ in range(ROOM + 1)]
    house.room.close()
    await turns()
    late = await house.call()
    for refused in (callers[-1], late):
        error = refused.task.exception()
        assert isinstance(error, Unavailable)
        assert error.headers["Retry-After"]
    assert [caller.at for caller in callers[:ROOM]] == ["demo-1"] * ROOM


async def test_a_model_pinned_to_no_replicas_is_refused_at_once(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(replicas=0)))
    with pytest.raises(Unavailable, match=r"pinned to no replicas") as caught:
        async with asyncio.timeout(5), place(house.room, MODEL_ID):
            pass
    assert "Retry-After" not in caught.value.headers


async def test_models_do_not_share_their_endpoints(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A), entry(B, name="other")))
    mine = [await house.call() for _ in range(3)]
    other = await house.call("easel/other")
    assert [caller.at for caller in mine] == ["demo-1", "demo-1", ""]
    assert other.at == "other-1"
    assert house.directory.demand("easel/other") == Demand(in_flight=1)


async def test_more_waiters_than_are_held_are_refused(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(), entry(name="other")), held_requests=2)
    await house.call()
    await house.call("easel/other")
    refusal = await (await house.call()).refusal()
    assert isinstance(refusal, Busy)
    assert refusal.headers == {"Retry-After": "30"}
    assert house.directory.demand() == Demand(waiting=1)


async def test_more_bytes_than_are_held_are_refused(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(), entry(name="other")), held_bytes=100)
    await house.call(size=60)
    refusal = await (await house.call(size=41)).refusal()
    assert isinstance(refusal, Busy)
    assert int(refusal.headers["Retry-After"]) > 0
    assert not (await house.call("easel/other", size=40)).task.done()


async def test_what_is_in_work_does_not_count_as_held(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A)), held_requests=0, held_bytes=0)
    assert (await house.call(size=1000)).at
    assert (await house.call(size=1000)).at
    assert isinstance(await (await house.call()).refusal(), Busy)


async def test_a_place_of_one_who_left_is_free_again(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()), held_requests=1)
    await (await house.call()).hang_up()
    assert house.directory.demand() == Demand()
    assert not (await house.call()).task.done()
    assert house.directory.demand() == Demand(waiting=1)


async def test_who_hangs_up_is_passed_over(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()))
    first, second = [await house.call() for _ in range(2)]
    await first.hang_up()
    house.directory.put(entry(A))
    await turns()
    assert second.at
    assert house.directory.demand() == Demand(in_flight=1)


async def test_waiting_too_long_is_unavailable_with_the_forecast_of_the_start(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(replace(entry(), start_seconds=41.6)), held_seconds=0.01)
    refusal = await (await house.call()).refusal()
    assert isinstance(refusal, Unavailable)
    assert refusal.headers == {"Retry-After": "42"}
    assert "0.01 seconds" in refusal.msg
    assert house.directory.demand() == Demand()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        pytest.param(entry(failure="there is no GPU"), "there is no GPU", id="failing"),
        pytest.param(entry(paused=True), "paused", id="paused"),
    ],
)
async def test_where_waiting_cannot_help_the_refusal_is_immediate_and_does_not_invite_another_try(
    house_of: HouseOf, now: Entry, said: str
) -> None:
    house = house_of(MemoryDirectory(now))
    refusal = await (await house.call()).refusal()
    assert isinstance(refusal, Unavailable)
    assert said in refusal.msg
    assert refusal.headers == {}


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(entry(A, failure="the second replica cannot start"), id="failing"),
        pytest.param(entry(A, paused=True), id="paused"),
    ],
)
async def test_endpoints_that_are_there_serve_whatever_else_is_wrong(house_of: HouseOf, now: Entry) -> None:
    assert (await house_of(MemoryDirectory(now)).call()).at == "demo-1"


async def test_all_who_wait_are_told_when_the_model_starts_to_fail(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()))
    callers = [await house.call() for _ in range(3)]
    house.directory.put(entry(failure="out of memory"))
    for caller in callers:
        refusal = await caller.refusal()
        assert isinstance(refusal, Unavailable)
        assert "out of memory" in refusal.msg


async def test_a_model_that_does_not_exist_is_not_found(house_of: HouseOf) -> None:
    assert isinstance(await (await house_of(MemoryDirectory()).call()).refusal(), NotFound)


async def test_a_model_removed_while_one_waits_is_not_found(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()))
    caller = await house.call()
    house.directory.remove()
    refusal = await caller.refusal()
    assert isinstance(refusal, NotFound)
    assert MODEL_ID in refusal.msg


async def test_one_who_hangs_up_at_the_moment_of_the_grant_keeps_no_endpoint(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()))
    first, *others = [await house.call() for _ in range(4)]
    house.directory.put(entry(A))  # granted to the first two, who have not run since
    first.task.cancel()
    await turns()
    assert first.task.cancelled()
    assert first.endpoint is None
    assert [bool(caller.at) for caller in others] == [True, True, False]
    for caller in others:
        await caller.leave()
    assert house.directory.demand() == Demand()


async def test_one_whose_time_is_up_at_the_moment_of_the_grant_is_served(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()), held_seconds=0.05)
    caller = await house.call()
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, house.directory.put, entry(A))
    until = loop.time() + 0.1
    while loop.time() < until:
        pass  # both moments pass while the loop is busy, so it handles them in one go: grant, then end of time
    await turns()
    assert caller.at == "demo-1"
    await caller.leave()
    assert house.directory.demand() == Demand()


async def test_an_endpoint_that_took_nothing_is_avoided_for_a_moment(
    house_of: HouseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balancing, "AVOID_SECONDS", 0.02)
    house = house_of(MemoryDirectory(entry(A, B)))
    house.room.avoid(MODEL_ID, Endpoint("demo-1", A))
    callers = [await house.call() for _ in range(3)]
    assert [caller.at for caller in callers] == ["demo-2", "demo-2", ""]
    async with asyncio.timeout(10):
        await house.directory.reached(in_flight=3)
    await turns()
    assert callers[2].at == "demo-1"


async def test_demand_is_reported_at_each_change_and_ends_at_zero(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry()))
    first, second = [await house.call() for _ in range(2)]
    house.directory.put(entry(A))
    await turns()
    await first.leave()
    await second.leave()
    told = [demand for _, demand in house.directory.reports]
    changes = [demand for before, demand in zip([Demand(), *told], told, strict=False) if demand != before]
    assert changes == [Demand(0, 1), Demand(0, 2), Demand(2, 0), Demand(1, 0), Demand(0, 0)]


async def test_the_end_of_a_request_is_reported_even_if_the_next_takes_its_place_at_once(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A)))
    first, _, _ = [await house.call() for _ in range(3)]
    del house.directory.reports[:]
    await first.leave()
    assert [demand for _, demand in house.directory.reports] == [Demand(1, 1), Demand(2, 0)]


async def test_one_cold_model_cannot_use_up_the_room(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(), entry(name="other"), entry(name="third")), held_requests=16)
    crowd = [await house.call() for _ in range(16)]
    assert [caller.task.done() for caller in crowd] == [False] * 12 + [True] * 4
    refusal = await crowd[-1].refusal()
    assert isinstance(refusal, Busy)
    assert "12 requests are waiting for easel/demo already" in refusal.msg
    others = [await house.call("easel/other") for _ in range(4)]
    assert [caller.task.done() for caller in others] == [False] * 3 + [True]
    assert not (await house.call("easel/third")).task.done()


async def test_who_has_the_loras_comes_first_as_long_as_it_has_room(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A, B)))
    async with place(house.room, MODEL_ID, 1, {"a/style": 1.0}) as first:
        pass
    busy = await house.call()
    assert busy.at == first.name
    async with place(house.room, MODEL_ID, 1, {"a/style": 0.5}) as second:
        assert second == first, "the other is idle, but would have to load it"
        async with place(house.room, MODEL_ID, 1, {"a/style": 0.5}) as third:
            assert third != first, "it has no room"


async def test_an_endpoint_that_fails_again_and_again_is_avoided_for_longer(house_of: HouseOf) -> None:
    balancer = balancing.Balancer()
    endpoint = Endpoint("demo-1", A)
    assert [balancer.avoid(endpoint, failed=True) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert balancer.choose([endpoint]) is None
    for _ in range(6):
        balancer.forgive(endpoint)
    assert balancer.choose([endpoint]) == endpoint
    balancer.worked(endpoint)
    assert balancer.avoid(endpoint, failed=True) == 1
    assert balancer.avoid(endpoint, failed=False) == 1, "it said itself that it is busy"


async def test_an_endpoint_that_is_gone_is_forgotten(house_of: HouseOf) -> None:
    balancer = balancing.Balancer()
    for number in range(100):
        balancer.avoid(Endpoint(f"demo-{number}", A), failed=True)
    balancer.retain([Endpoint("demo-1", A)])
    assert len(balancer._loads) == 1


async def test_the_forecast_of_a_busy_model_is_the_work_ahead(house_of: HouseOf) -> None:
    house = house_of(MemoryDirectory(entry(A)))
    house.room.worked(MODEL_ID, Endpoint("demo-1", A), 5.0)
    for _ in range(4):
        await house.call()
    assert house.room.forecast(MODEL_ID) == 25


class Interleavings(RuleBasedStateMachine):
    """Callers come, finish and hang up while endpoints come and go, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.callers: list[Caller] = []
        self.granted: list[Caller] = []
        self.endpoints: list[str] = []
        self.started = 0

    @initialize()
    def open_house(self) -> None:
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.directory = MemoryDirectory(self._entry())
        self.room = WaitingRoom(self.directory, Settings(held_requests=1000))

    def _entry(self) -> Entry:
        model = entry()
        return replace(model, endpoints=tuple(Endpoint(name, A) for name in self.endpoints))

    @rule()
    def one_comes(self) -> None:
        async def come() -> None:
            self.callers.append(Caller(self.room))

        self.runner.run(come())

    @rule()
    def everyone_runs(self) -> None:
        self.runner.run(turns())

    @precondition(lambda self: self.callers)
    @rule(which=st.integers(0, 1000))
    def one_hangs_up(self, which: int) -> None:
        async def cancel() -> None:
            self.callers[which % len(self.callers)].task.cancel()

        self.runner.run(cancel())

    @precondition(lambda self: self.holding())
    @rule(which=st.integers(0, 1000))
    def one_finishes(self, which: int) -> None:
        holding = self.holding()
        self.runner.run(holding[which % len(holding)].leave())

    @rule()
    def an_endpoint_appears(self) -> None:
        self.started += 1
        self.endpoints.append(f"demo-{self.started}")
        self.tell()

    @precondition(lambda self: self.endpoints)
    @rule(which=st.integers(0, 1000))
    def an_endpoint_goes(self, which: int) -> None:
        del self.endpoints[which % len(self.endpoints)]
        self.tell()

    @precondition(lambda self: self.endpoints)
    @rule(which=st.integers(0, 1000))
    def an_endpoint_takes_nothing(self, which: int) -> None:
        async def avoid() -> None:
            self.room.avoid(MODEL_ID, Endpoint(self.endpoints[which % len(self.endpoints)], A))

        self.runner.run(avoid())

    def tell(self) -> None:
        async def put() -> None:
            self.directory.put(self._entry())

        self.runner.run(put())

    def holding(self) -> list[Caller]:
        return [caller for caller in self.callers if caller.endpoint is not None and not caller.task.done()]

    @invariant()
    def no_endpoint_has_more_than_its_room(self) -> None:
        assert all(count <= ROOM for count in Counter(caller.at for caller in self.holding()).values())

    @invariant()
    def nobody_overtakes(self) -> None:
        self.granted += [caller for caller in self.callers if caller.at and caller not in self.granted]
        numbers = [self.callers.index(caller) for caller in self.granted]
        assert numbers == sorted(numbers)

    def teardown(self) -> None:
        try:
            if self.callers:
                self.runner.run(self._finish())
        finally:
            self.runner.close()

    async def _finish(self) -> None:
        """With an endpoint to go to, everyone who still waits is served, and nothing is left in the counts."""
        self.endpoints.append("demo-last")
        self.directory.put(self._entry())
        for caller in self.callers:
            await turns()
            if not caller.task.done():
                assert caller.at, "one waits though there is room"
                await caller.leave()
        assert all(caller.task.done() for caller in self.callers)
        assert self.directory.demand() == Demand()
        assert self.room.held == self.room.held_bytes == 0


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = hypothesis_settings(max_examples=50, stateful_step_count=40)
