import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import daemons
from testbed.daemons import Daemon, Failed


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Daemon]:
    daemon = daemons.start("sleeper", ["sh", "-c", "echo up; echo $WORD; exec sleep 60"], tmp_path, {"WORD": "given"})
    yield daemon
    daemon.kill()


def test_a_daemon_is_found_again_and_has_a_session_of_its_own(sleeper: Daemon, tmp_path: Path) -> None:
    assert daemons.running("sleeper", tmp_path) == sleeper
    assert os.getsid(sleeper.pid) != os.getsid(0)
    daemons.wait_until("it speaks", lambda: sleeper.log.read_text() == "up\ngiven\n", sleeper)


def test_a_killed_daemon_is_not_running(sleeper: Daemon, tmp_path: Path) -> None:
    sleeper.kill()
    assert daemons.running("sleeper", tmp_path) is None
    sleeper.kill()


def test_a_daemon_that_never_was_is_not_running(tmp_path: Path) -> None:
    assert daemons.running("nothing", tmp_path) is None


def test_waiting_ends_with_the_last_words_of_the_daemon_that_it_needs(sleeper: Daemon) -> None:
    daemons.wait_until("it speaks", lambda: "given" in sleeper.log.read_text(), sleeper)
    os.kill(sleeper.pid, signal.SIGTERM)
    with pytest.raises(Failed, match=r"sleeper has ended(.|\n)*given"):
        daemons.wait_until("It works", lambda: False, sleeper)


def test_waiting_ends_in_time(sleeper: Daemon) -> None:
    with pytest.raises(Failed, match="It works: not within 0 s"):
        daemons.wait_until("It works", lambda: False, sleeper, seconds=0)
