"""`while_connected`: nobody works for a caller who has left."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from easel_http.disconnect import while_connected

HANG_UP: Message = {"type": "http.disconnect"}
REST_OF_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}


def request(messages: Iterable[Message] = (), *, after: asyncio.Event | None = None) -> Request:
    """A request whose server says `messages` once `after` is set, and then nothing more."""
    left = iter(messages)

    async def receive() -> Message:
        if after is not None:
            await after.wait()
        if (message := next(left, None)) is not None:
            return message
        return await asyncio.Future()

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


class Work:
    """Goes on until it is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = False

    async def endless(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_the_result_of_the_work_is_returned() -> None:
    async def work() -> str:
        return "a picture"

    assert await while_connected(request(), work()) == "a picture"


async def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise LookupError("no cat")

    with pytest.raises(LookupError, match="no cat"):
        await while_connected(request(), work())


@pytest.mark.parametrize("messages", [[HANG_UP], [REST_OF_BODY, HANG_UP]], ids=["at once", "after other messages"])
async def test_the_work_is_cancelled_when_the_caller_leaves(messages: list[Message]) -> None:
    work = Work()
    with pytest.raises(ClientDisconnect):
        await while_connected(request(messages, after=work.begun), work.endless())
    assert work.cancelled


async def test_other_messages_do_not_disturb_the_work() -> None:
    said = asyncio.Event()
    said.set()

    async def work() -> str:
        await said.wait()
        return "a picture"

    assert await while_connected(request([REST_OF_BODY] * 3), work()) == "a picture"


async def test_a_result_counts_even_if_the_caller_leaves_at_the_same_moment() -> None:
    async def work() -> str:
        return "a picture"

    assert await while_connected(request([HANG_UP]), work()) == "a picture"


async def test_the_work_is_cancelled_when_the_server_gives_up() -> None:
    work = Work()
    serving = asyncio.create_task(while_connected(request(), work.endless()))
    await work.begun.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert work.cancelled


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    work = Work()
    with pytest.raises(ClientDisconnect):
        await while_connected(request([HANG_UP], after=work.begun), work.endless())
    assert asyncio.all_tasks() == before
