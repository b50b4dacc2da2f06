"""Log lines to the terminal, on a thread of their own.

A terminal that is paused (Ctrl-S), or a pipe that nobody reads, must not pause the gateway.
"""

import logging
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler, QueueListener
from typing import Final

from rich.console import Console
from rich.logging import RichHandler

_LINES: Final = 10_000
"""Lines that wait for the terminal; later ones are dropped."""
_LAST_SECONDS: Final = 3.0
"""How long the end waits for the terminal to take what is left."""


class _Enqueue(QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self.queue.put_nowait(record)


class _Listener(QueueListener):
    """Ends with the last line, but does not wait for long for a terminal that takes none."""

    queue: queue.Queue[logging.LogRecord | None]

    def stop(self) -> None:
        with suppress(queue.Full):
            self.queue.put(None, timeout=_LAST_SECONDS)  # None: no more lines
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)
            self._thread = None


@contextmanager
def logging_to(console: Console) -> Iterator[None]:
    """Every logger writes to `console` as long as the context lasts, which ends with the last line."""
    target: logging.Handler = logging.StreamHandler(sys.stdout)
    if console.is_terminal:
        target = RichHandler(console=console, show_path=False, show_level=False, log_time_format="[%X]")
    lines: queue.Queue[logging.LogRecord | None] = queue.Queue(_LINES)
    enqueue = _Enqueue(lines)
    logging.root.addHandler(enqueue)
    logging.root.setLevel(logging.INFO)
    for library in ("uvicorn", "watchfiles", "easel_gateway.access"):
        logging.getLogger(library).setLevel(logging.WARNING)
    listener = _Listener(lines, target)
    listener.start()
    try:
        yield
    finally:
        logging.root.removeHandler(enqueue)
        listener.stop()
