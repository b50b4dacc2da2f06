"""How the gateway is served, on one machine and on a cluster alike: its address, its bounds, its end."""

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import uvicorn
from fastapi import FastAPI

from easel_gateway.routes import Straight, livepeer, openai
from easel_gateway.settings import Settings, json_bytes
from easel_http.entrance import ConnectionLimits, Entrance
from easel_http.protocol import Protocol, protocol_class

T = TypeVar("T")


class Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it, who has more to end than this.

    `should_exit` begins its end, `force_exit` does not wait for requests in work.
    """

    def __init__(self, config: uvicorn.Config, entrance: Entrance) -> None:
        super().__init__(config)
        self.entrance = entrance

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self.server_state.connections)

    def leave(self) -> None:
        """Answer as before, but have every caller use another connection for the next request."""
        self.entrance.leaving = True
        for connection in self.server_state.connections:
            if isinstance(connection, Protocol):
                connection.leave()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def new_server(gateway: FastAPI, settings: Settings, drain_seconds: int) -> Server:
    """A server of `gateway`; requests in work get `drain_seconds` to end once it is told to."""
    limits = ConnectionLimits(
        connections=settings.connections,
        head_bytes=settings.head_bytes,
        body_bytes=json_bytes(settings.body_bytes),  # the most of any route
        head_seconds=settings.head_seconds,
        idle_seconds=settings.idle_seconds,
        send_seconds=settings.send_seconds,
    )
    entrance = Entrance(limits)
    config = uvicorn.Config(
        Straight(gateway, [livepeer.router, openai.router]),
        http=protocol_class(entrance),
        log_config=None,
        ws="none",
        access_log=False,
        timeout_graceful_shutdown=drain_seconds,
        server_header=False,
    )
    return Server(config, entrance)


_GARBAGE_AFTER: Final = (50_000, 50, 100)
"""New objects after which CPython looks for cycles among them, and how many such looks make one at older objects."""


def run(serving: Coroutine[Any, Any, T]) -> T:
    """What `serving` returns, run on uvloop, which takes half the time of asyncio's own loop, where there is one.

    By itself CPython looks for cycles after 700 new objects, which is at every other request: a fifth of all work.
    """
    gc.set_threshold(*_GARBAGE_AFTER)
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        import uvloop

        new_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(serving)


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on; port 0: any.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=2048)
    # Connections inherit it. asyncio's own loop does not set it for a socket like this one, and an answer in two pieces
    # would wait 40 ms for the caller's acknowledgement of the first.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


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
