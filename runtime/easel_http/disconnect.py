"""Stop working for callers that have left."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")
_AFTER_SECONDS: Final = 0.05
"""What is done before costs no second task, and nobody has left so soon; who has is noticed a moment later."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller of `request` leaves.

    The request's body must have been read to its end.

    Raises:
        ClientDisconnect: the caller left first.
    """
    worker = asyncio.current_task()
    assert worker is not None  # noqa: S101 (a coroutine runs in a task)
    left = False
    watching: asyncio.Task[None] | None = None

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        worker.cancel()

    def begin() -> None:
        nonlocal watching
        watching = asyncio.create_task(watch())

    beginning = asyncio.get_running_loop().call_later(_AFTER_SECONDS, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if left and not worker.uncancel():
            raise ClientDisconnect from None
        raise
    finally:
        beginning.cancel()
        if watching is not None:
            watching.cancel()
