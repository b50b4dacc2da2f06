"""One runtime process: started, watched, stopped. A few lines stand in for the runtime, so each takes moments."""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from easel_local import process as module
from easel_local.process import RuntimeProcess, State

Start = Callable[..., RuntimeProcess]

SERVES = """
    import http.server, os, signal, socket, sys, threading
    asked = threading.Event()
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            asked.set()
        def log_message(self, *_):
            pass
    server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket = socket.socket(fileno=int(os.environ["EASEL_LISTEN_FD"]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
"""


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a process whose runtime is `code`; `PYTHONPATH` puts it before the real one. It ends with its test."""
    started: list[RuntimeProcess] = []

    def start(code: str, **environment: str) -> RuntimeProcess:
        package = tmp_path / "stand-in" / "easel_runtime"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(textwrap.dedent(code))
        folder = tmp_path / "folder"
        folder.mkdir()
        environment = {"PYTHONPATH": str(package.parent), **environment}
        started.append(RuntimeProcess("demo-1", environment, folder, lambda: None))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        await reached(process, State.ENDED)


async def reached(process: RuntimeProcess, state: State) -> None:
    async with asyncio.timeout(60):
        while process.state is not state:  # noqa: ASYNC110 (another process decides)
            await asyncio.sleep(0.01)


async def test_it_is_ready_when_it_answers_and_ends_when_told(start: Start) -> None:
    process = start(SERVES + "    threading.Event().wait()\n")
    await reached(process, State.READY)
    await process.stop(30)
    assert (process.state, process.failure) == (State.ENDED, "")


async def test_work_may_take_its_grace_after_the_door_is_closed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.01)
    code = """
    finished = threading.Event()
    def close_the_door(*_):
        server.socket.close()
        threading.Timer(1.0, finished.set).start()
    signal.signal(signal.SIGTERM, close_the_door)
    finished.wait()
    open("work", "w").write("done")
    """
    process = start(SERVES + textwrap.indent(textwrap.dedent(code), "    "))
    await reached(process, State.READY)
    await process.stop(30)
    assert (process.folder / "work").read_text() == "done"


async def test_one_that_gives_no_sign_of_life_is_ended(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.01)
    process = start(SERVES + "    asked.wait(); server.shutdown(); server.socket.close(); threading.Event().wait()\n")
    await reached(process, State.ENDED)
    assert process.failure


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("import sys; sys.exit('no such model')", "ended with exit code 1: no such model"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("pass", "ended with exit code 0"),
        (
            "import os, sys; open(os.environ['EASEL_TERMINATION_LOG'], 'w').write('its last words'); sys.exit(1)",
            "its last words",
        ),
    ],
    ids=["exit", "signal", "end", "last words"],
)
async def test_an_end_that_nobody_asked_for_has_a_reason(start: Start, code: str, failure: str) -> None:
    process = start(code)
    await reached(process, State.ENDED)
    assert process.failure == failure


async def test_a_variable_that_no_process_can_have_is_a_reason_too(start: Start) -> None:
    process = start("pass", **{"A=B": "c"})
    await reached(process, State.ENDED)
    assert process.failure == "could not be started: illegal environment variable name"


async def test_what_is_told_to_stop_before_it_runs_is_stopped(start: Start) -> None:
    process = start("import threading; threading.Event().wait()")
    await process.stop(30)
    assert (process.state, process.failure) == (State.ENDED, "")


async def test_of_the_shells_own_settings_only_the_weights_folder_counts(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_DIR", "weights")
    monkeypatch.setenv("AUTH_TOKEN", "of another tool")
    process = start("import os; print(os.environ['MODEL_DIR'], 'AUTH_TOKEN' in os.environ); raise SystemExit(3)")
    await reached(process, State.ENDED)
    assert process.failure == f"ended with exit code 3: {tmp_path / 'weights'} False"
