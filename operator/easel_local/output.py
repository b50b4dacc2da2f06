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


class _Enqueue(QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self.queue.put_nowait(record)


@contextmanager
def logging_to(console: Console) -> Iterator[None]:
    """Every logger writes to `console` as long as the context lasts, and the last line is written before it ends."""
    target: logging.Handler = logging.StreamHandler(sys.stdout)
    if console.is_terminal:
        target = RichHandler(console=console, show_path=False, show_level=False, log_time_format="[%X]")
    lines: queue.Queue[logging.LogRecord] = queue.Queue(_LINES)
    enqueue = _Enqueue(lines)
    logging.root.addHandler(enqueue)
    logging.root.setLevel(logging.INFO)
    for library in ("uvicorn", "watchfiles"):
        logging.getLogger(library).setLevel(logging.WARNING)
    listener = QueueListener(lines, target)
    listener.start()
    try:
        yield
    finally:
        logging.root.removeHandler(enqueue)
        listener.stop()
