"""One request and its answer, as uvicorn has them, with an end that loses nothing."""

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Cycle(RequestResponseCycle):
    """Leaves the end of a connection whose request is not read to its end to the protocol, which knows how.

    Closed with bytes unread a connection is reset, and a caller who still sends gets that in the place of the answer.
    """

    lingers = False

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer."""
        if not self.keep_alive and self.more_body and self.response_started and not message.get("more_body", False):
            self.lingers = self.keep_alive = True
        await super().send(message)
