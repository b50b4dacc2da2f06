"""Log lines: fields and the request's id, for people and for machines."""

import contextvars
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from easel_http import logs

_log = logging.getLogger("easel_http.some")


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., list[str]]]:
    """Gives the lines that are logged by what it is given; the test run's own handlers are back afterwards."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    handlers, levels = root.handlers[:], (root.level, uvicorn.level)

    def logged(level: str, form: str, work: Callable[[], object]) -> list[str]:
        root.handlers = []
        logs.configure(level, form)
        token = logs.REQUEST_ID.set("abc")
        work()
        logs.REQUEST_ID.reset(token)
        return capsys.readouterr().err.splitlines()

    yield logged
    root.handlers = handlers
    root.setLevel(levels[0])
    uvicorn.setLevel(levels[1])


def test_text_has_the_fields_after_the_words(lines: Callable[..., list[str]]) -> None:
    def work() -> None:
        _log.info("answered %s", "it", extra={"status": 200})
        _log.debug("not this")

    assert lines("info", "text", work) == ["INFO easel_http.some: answered it status=200 request=abc"]


def test_outside_of_a_request_there_is_no_id(lines: Callable[..., list[str]]) -> None:
    work = lambda: contextvars.Context().run(_log.info, "ready")  # noqa: E731
    assert lines("info", "text", work) == ["INFO easel_http.some: ready"]


def test_json_is_one_object_a_line(lines: Callable[..., list[str]]) -> None:
    (line,) = lines("debug", "json", lambda: _log.warning("two\nlines", extra={"seconds": 0.5}))
    fields = json.loads(line)
    assert datetime.fromisoformat(fields.pop("time")).tzinfo is not None
    assert fields == {
        "level": "warning",
        "logger": "easel_http.some",
        "message": "two\nlines",
        "seconds": 0.5,
        "request": "abc",
    }


def test_json_has_the_traceback_within_the_line(lines: Callable[..., list[str]]) -> None:
    def work() -> None:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            _log.exception("failed")

    (line,) = lines("info", "json", work)
    assert json.loads(line)["traceback"].endswith("ZeroDivisionError: division by zero")
