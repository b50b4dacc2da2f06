"""What of a request is taken by the parser of `Protocol`, and what is refused there: sizes, and all that is ambiguous.

llhttp refuses what requests are smuggled with: two lengths, a length beside chunks, bare line feeds, folded headers,
control characters. What it lets through, and another server may read differently, is refused here. It has no bounds.
"""

import asyncio
import urllib.parse
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from easel_http.entrance import Entrance, Refused

_READ_AHEAD: Final = 1 << 20
"""More of a body than is read before an application has seen it, so that its own bound is what callers hear of."""
_OF_CONNECTIONS: Final = frozenset({b"host", b"expect", b"content-length", b"transfer-encoding"})


class Parsing(HttpToolsProtocol):
    """The callbacks of the parser."""

    entrance: Entrance

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = self.entrance.limits
        self._deaf = False
        """Nothing is read any more."""
        self._is_last = False
        """Whether the connection ends with the answer to the request that was read last."""
        self._in_head = False
        self._timed = False
        """Whether the time of this head runs."""
        self._loose = 0
        """Bytes received, about, since the last of a body or of a complete head."""
        self._head_bytes = 0
        self._body_bytes = 0
        self._hosts = 0
        self._has_body = False
        self._is_chunked = False

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._is_last:
            self._deaf = True
            raise Refused(400, "the request before was to be the last one")
        super().on_message_begin()
        self._in_head = True
        self._timed = self.cycle is None  # that of the first began with the connection
        self._head_bytes = self._body_bytes = self._hosts = 0
        self._has_body = self._is_chunked = False

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody here reads."""
        self._count_head(len(name) + len(value))
        if not self._in_head:
            return
        name, value = name.lower(), value.rstrip(b" \t")
        if name in _OF_CONNECTIONS:
            self._note(name, value)
        headers = self.headers
        headers.append((name, value))
        if len(headers) > self._limits.headers:
            raise Refused(431, f"the request has more than {self._limits.headers} headers")

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.head_bytes:
            raise Refused(431, f"the request has more than {self._limits.head_bytes} bytes of headers")

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"content-length":
            self._has_body = value.strip(b"0") != b""
        elif value.lower() != b"chunked":
            raise Refused(400, "no Transfer-Encoding but chunked is understood")
        else:
            self._has_body = self._is_chunked = True

    def _check_head(self, version: str) -> None:
        """Refuse what others may read differently."""
        if version not in ("1.1", "1.0"):
            raise Refused(400, f"HTTP/{version} is not spoken here, but HTTP/1.1")
        if self._hosts > 1 or (self._hosts < 1 and version == "1.1"):
            raise Refused(400, f"the request has {self._hosts} Host headers, not one")
        if self._is_chunked and version == "1.0":
            raise Refused(400, "HTTP/1.0 knows no Transfer-Encoding")
        if self._has_body and self.parser.should_upgrade():
            raise Refused(400, "a request with a body cannot ask for another protocol; leave the header Upgrade out")

    def on_chunk_header(self) -> None:
        """A chunk begins; what is between chunks is bounded, and so are the trailers after the last."""
        self._loose = self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._loose -= len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes + _READ_AHEAD:
            raise Refused(413, f"the body is larger than the {self._limits.body_bytes} bytes that are taken")
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def _complete_scope(self, version: str) -> None:
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + url.path
        scope["query_string"] = url.query or b""
