"""HTTP/1.1 for uvicorn, by httptools, with bounds on everything that a caller sends and on the time that it takes.

uvicorn's own protocol on httptools has none for heads, trailers, pipelined requests, the time of a head, what is
trickled after a refusal, and callers who take nothing of their answer.
"""

import asyncio
from collections import deque
from typing import Any, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from easel_http.cycle import Cycle
from easel_http.deadline import Deadline
from easel_http.entrance import Entrance, Refused, full, written
from easel_http.parsing import Parsing

_PIPELINED: Final = 16
"""Requests that wait for the answer to an earlier one; later ones are not read, and the connection ends after these."""
_SPARE: Final = 256
"""Connections beyond the bound that are told so; more are closed as they come."""
_PROBES: Final = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""Answered on any connection, or a server with many callers would be ended as a dead one."""
_LAST_SECONDS: Final = 2.0
"""Time for a caller to see a refusal. A connection that is closed with bytes unread is reset, and the refusal lost."""
_MALFORMED: Final = "the request is not well-formed HTTP"


class _Flow(FlowControl):
    """Does not read on while a request waits for its turn, whatever the application does that has its turn now."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Protocol(Parsing):
    """One connection; `protocol_class` makes the subclass that uvicorn is given."""

    turned_away: ASGI3Application
    """Answers where there are too many connections."""
    flow: _Flow
    cycle: Cycle

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline = Deadline(self.loop, self._on_deadline)
        self._beyond = False
        """Whether there were too many connections already when this one came."""
        self._turns: deque[tuple[Cycle, ASGI3Application]] = deque()
        """Requests that were read before the one ahead of them was answered."""
        self._running: Cycle | None = None
        """The request that is worked on, or was last; `cycle` is the one that was read last."""

    # The connection ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller has come."""
        others = len(self.connections)
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self._beyond = others >= self._limits.connections
        if others >= self._limits.connections + _SPARE:
            self.entrance.refused[0] += 1
            self._deaf = True
            transport.abort()
            return
        self._deadline.set(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._deadline.cancel()
        for cycle in (self._running, *(cycle for cycle, _ in self._turns)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self._turns.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        if self._deaf:
            return
        self._loose += len(data)
        try:
            self.parser.feed_data(data)
            if self._loose > self._limits.head_bytes:
                self._refuse(431 if self._in_head else 400, f"more than {self._limits.head_bytes} bytes of headers")
        except httptools.HttpParserUpgrade:
            self._deaf = True  # answered as if it had not been asked for
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not self._deaf:
                self._refuse(*((cause.status, cause.msg) if isinstance(cause, Refused) else (400, _MALFORMED)))
        except httptools.HttpParserError as error:
            self._refuse(400, f"{_MALFORMED}: {error}")
        if self._in_head and not self._timed and not self._deaf:
            self._timed = True
            self._deadline.set(self._limits.head_seconds)

    def pause_writing(self) -> None:
        """The caller does not keep up."""
        super().pause_writing()
        self._deadline.set(self._limits.send_seconds)

    def resume_writing(self) -> None:
        """The caller has taken something."""
        super().resume_writing()
        if self._running is not None and not self._running.response_complete:
            self._deadline.lift()

    def shutdown(self) -> None:
        """The server ends: answer what has been asked, and nothing more."""
        self.leave()
        if self._running is None or self._running.response_complete:
            self._close()

    def leave(self) -> None:
        """Close the connection after the answers that it still owes."""
        last = self._turns[-1][0] if self._turns else self._running
        if last is not None and not last.response_complete:
            last.keep_alive = False

    def _close(self) -> None:
        self._deaf = True
        self._deadline.set(self._limits.send_seconds)  # for what has not left yet
        self.transport.close()

    def _on_deadline(self) -> None:
        if self._deaf or self.flow.write_paused:
            self.transport.abort()
        elif self._in_head:
            self._refuse(408, f"the head of the request did not arrive within {self._limits.head_seconds:g} seconds")
        else:
            self._close()

    # Refusals ------------------------------------------------------------------------------------------------------

    def _refuse(self, status: int, msg: str) -> None:
        """Read no more. Say why, unless answers to earlier requests come first: then the last of them ends it all."""
        self.entrance.refused[status] += 1
        self._deaf = True
        self._deadline.lift()
        broken = self.cycle if self._running is not None and self.cycle.more_body else None
        if self._turns and self._turns[-1][0] is broken:
            self._turns.pop()
        if self._running is not None and self._running is not broken and not self._running.response_complete:
            self.leave()
            return
        if broken is None or not broken.response_started:
            self.transport.write(written(status, msg, self.server_state.default_headers))
        if broken is not None:
            broken.disconnected = True  # what the application says from now on goes nowhere
            broken.message_event.set()
        self._half_close(_LAST_SECONDS)

    def _half_close(self, seconds: float) -> None:
        """End this side; what the caller still sends is thrown away for so long, or it would lose the answer."""
        self._deaf = True
        self._deadline.set(seconds)
        self.flow.held = False
        self.flow.resume_reading()
        self.transport.write_eof()

    # Turns ---------------------------------------------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        """The head is there: the application's turn, unless an earlier request has it."""
        version = self.parser.get_http_version()
        self._check_head(version)
        if len(self._turns) >= _PIPELINED:
            self.leave()
            self._deaf = True
            raise Refused(400, "too many requests at once")
        self._in_head = False
        self._loose = self._head_bytes = 0
        self._deadline.lift()
        self._is_last = version == "1.0" or not self.parser.should_keep_alive() or self.parser.should_upgrade()
        self._is_last = self._is_last or self._beyond or self.entrance.leaving
        self._complete_scope(version)
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=not self._is_last,
            on_response=self.on_response_complete,
        )
        app = self.turned_away if self._beyond and self.scope["path"] not in _PROBES else self.app
        if self._running is None or self._running.response_complete:
            self._start(self.cycle, app)
        else:
            self.flow.held = True
            self.flow.pause_reading()
            self._turns.append((self.cycle, app))

    def on_message_complete(self) -> None:
        """The body is there."""
        self._loose = 0
        self.cycle.more_body = False
        self.cycle.message_event.set()
        if self.cycle.response_complete and not self._deaf:
            self._deadline.set(self._limits.idle_seconds)

    def on_response_complete(self) -> None:
        """An answer has been given out: the next one's turn."""
        self.server_state.total_requests += 1
        if self._running is not None and self._running.body:
            self._running.body.clear()  # what was read ahead, and is of no use
        if self.transport.is_closing():
            self._deaf = True
            self._deadline.set(self._limits.send_seconds)
        elif self._turns:
            self._start(*self._turns.popleft())
            self._read_on()
        elif self.cycle.lingers:
            self._half_close(self._limits.rest_seconds)
        else:
            self._read_on()
            if not self._in_head:
                self._deadline.set(self._limits.rest_seconds if self.cycle.more_body else self._limits.idle_seconds)

    def _start(self, cycle: Cycle, app: ASGI3Application) -> None:
        self._running = cycle
        self._start_asgi_task(cycle, app)

    def _read_on(self) -> None:
        self.flow.held = bool(self._turns)
        self.flow.resume_reading()


def protocol_class(entrance: Entrance) -> type[Protocol]:
    """What uvicorn makes connections with (`Config.http`), of the one server whose `entrance` it is."""
    return type("EntranceProtocol", (Protocol,), {"entrance": entrance, "turned_away": staticmethod(full(entrance))})
