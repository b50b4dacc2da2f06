"""The terminal never holds up who logs."""

import logging
import os
import sys
import threading

import pytest
from rich.console import Console

from easel_local.output import logging_to


def test_lines_arrive_in_order_and_the_last_one_before_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(Console(force_terminal=False)):
        for number in range(100):
            logging.getLogger("easel_local").info("line %d", number)
    assert capsys.readouterr().out.splitlines() == [f"line {number}" for number in range(100)]


def test_a_pipe_that_nobody_reads_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()

    def log_more_than_any_pipe_takes() -> None:
        for _ in range(20_000):
            logging.getLogger("easel_local").info("x" * 100)

    with os.fdopen(ours) as reading, os.fdopen(theirs, "w") as writing, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", writing)
        with logging_to(Console(force_terminal=False)):
            logging_thread = threading.Thread(target=log_more_than_any_pipe_takes, daemon=True)
            logging_thread.start()
            logging_thread.join(60)
            assert not logging_thread.is_alive()
            draining = threading.Thread(target=lambda: [None for _ in reading], daemon=True)
            draining.start()
        writing.close()
        draining.join(60)
        assert not draining.is_alive()
