"""What leaves a connection together, and in which order."""

import asyncio
from typing import cast

import pytest

from easel_http.cycle import Corked


class _Written:
    """Where a transport's bytes would go, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed_after = -1

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.closed_after >= 0

    def close(self) -> None:
        self.closed_after = len(self.writes)


@pytest.fixture
def written() -> _Written:
    return _Written()


@pytest.fixture
def corked(written: _Written) -> Corked:
    return Corked(cast("asyncio.Transport", written))


def test_head_and_body_leave_together(written: _Written, corked: Corked) -> None:
    corked.corked = True
    corked.write(b"head ")
    assert written.writes == []
    corked.write(b"body")
    corked.write(b"more")
    assert written.writes == [b"head body", b"more"]


def test_a_large_body_is_not_copied(written: _Written, corked: Corked) -> None:
    corked.corked = True
    corked.write(b"head")
    corked.write(large := bytes(100_000))
    assert written.writes == [b"head", large]


def test_what_is_not_corked_leaves_at_once(written: _Written, corked: Corked) -> None:
    corked.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert len(written.writes) == 1


def test_a_head_without_a_body_leaves_before_the_end(written: _Written, corked: Corked) -> None:
    corked.corked = True
    corked.write(b"head")
    corked.close()
    assert written.writes == [b"head"]
    assert written.closed_after == 1
    assert corked.is_closing()


def test_nothing_leaves_before_the_end_if_there_is_nothing(written: _Written, corked: Corked) -> None:
    corked.corked = True
    corked.close()
    assert written.writes == []
    assert written.closed_after == 0
