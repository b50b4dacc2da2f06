"""How the gateway is served, on one machine and on a cluster alike: its address, its bounds, its end."""

import asyncio
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn
from fastapi import FastAPI

_HEAD_BYTES: Final = 64 << 10
"""Most bytes of a request's line and headers."""


class Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it, who has more to end than this.

    `should_exit` begins its end, `force_exit` does not wait for requests in work.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def new_server(gateway: FastAPI, drain_seconds: int) -> Server:
    """A server of `gateway`; requests in work get `drain_seconds` to end once it is told to."""
    return Server(
        uvicorn.Config(
            gateway,
            http="h11",  # the one that bounds the head of a request
            h11_max_incomplete_event_size=_HEAD_BYTES,
            log_config=None,
            ws="none",
            access_log=False,
            timeout_graceful_shutdown=drain_seconds,
            server_header=False,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on; port 0: any.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def allow_many_connections() -> None:
    """As many open files as the system allows; the usual 1024 are soon used up by callers who wait."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names no number
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def until_told_to_stop(tasks: set[asyncio.Task[None]]) -> None:
    """Return at the first signal; raise what one of `tasks`, which never end by themselves, failed with."""
    told = asyncio.Event()
    on_signals(told.set)
    waiting = asyncio.create_task(told.wait())
    done, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done:
        task.result()


def on_signals(call: Callable[[], None]) -> None:
    """Have `call` called at SIGINT, SIGTERM and SIGHUP, in the place of what was called before."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:  # by nohup, say
            continue
        asyncio.get_running_loop().add_signal_handler(number, call)
