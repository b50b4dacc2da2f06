"""How a runtime ends: a process of its own, with a toy engine that the test steps through a named pipe."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from easel_crds.metadata import Env
from support.otlp import collecting
from support.pictures import form, png
from support.runtimes import UNCHECKED

SECONDS = 60.0
TEXTS = {"prompt": "a cat", "seed": "7", "num_inference_steps": "3"}


@dataclass(frozen=True)
class Started:
    """A runtime that is ready."""

    process: subprocess.Popen[bytes]
    client: httpx2.AsyncClient
    pipe: int
    folder: Path

    async def post(self, *, accept: str = "*/*") -> httpx2.Response:
        content_type, body = form(TEXTS, png())
        headers = {"content-type": content_type, "accept": accept, "x-request-id": "the-request"}
        return await self.client.post("/image-to-image", content=body, headers=headers)

    async def in_flight(self) -> int:
        return int((await self.client.get("/health")).json()["in_flight"])

    def step(self, count: int) -> None:
        """Let the engine make `count` more steps."""
        os.write(self.pipe, bytes(count))

    async def ended(self) -> int:
        """Its exit code."""
        return await asyncio.to_thread(self.process.wait, SECONDS)

    def log(self) -> list[Any]:
        return [json.loads(line) for line in (self.folder / "output").read_text().splitlines()]


@asynccontextmanager
async def started(folder: Path, *errors: str, grace_seconds: int = 60) -> AsyncIterator[Started]:
    pipe = folder / "steps"
    os.mkfifo(pipe)
    environment = {
        **os.environ,
        Env.MODEL_ID: "easel/toy",
        Env.WARM_UP_SIDE: "0",
        Env.SAFETY: UNCHECKED.model_dump_json(by_alias=True),
        Env.GRACE_SECONDS: str(grace_seconds),
        Env.TERMINATION_LOG: str(folder / "last-words"),
        Env.LOG_FORMAT: "json",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with socket.create_server(("127.0.0.1", 0)) as listening, (folder / "output").open("wb") as output:
        listening.set_inheritable(True)
        process = subprocess.Popen(  # noqa: ASYNC220 (it returns at once)
            [sys.executable, "-m", "support.toy_runtime", str(pipe), *errors],
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[listening.fileno()],
            env={**environment, Env.LISTEN_FD: str(listening.fileno())},
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with process:
        try:
            writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)  # waits for the engine to open its end
            async with httpx2.AsyncClient(base_url=url, timeout=SECONDS, trust_env=False) as client:
                runtime = Started(process, client, writer, folder)
                async with asyncio.timeout(SECONDS):
                    while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)  # it loads, and tells nobody when it has
                yield runtime
            os.close(writer)
        finally:
            process.kill()


async def until_taken(runtime: Started, count: int) -> None:
    async with asyncio.timeout(SECONDS):
        while await runtime.in_flight() < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # it tells nobody


async def until_refused(runtime: Started) -> None:
    """Nothing listens any more."""
    async with asyncio.timeout(SECONDS), httpx2.AsyncClient(trust_env=False) as other:
        while True:
            try:
                await other.get(f"{runtime.client.base_url}/health", headers={"connection": "close"})
            except httpx2.ConnectError:
                return
            except httpx2.TransportError:
                continue  # taken in the moment of its end


async def test_sigterm_lets_what_is_in_work_and_waits_end_and_takes_no_more(tmp_path: Path) -> None:
    async with started(tmp_path) as runtime:
        working = [asyncio.create_task(runtime.post(accept=accept)) for accept in ("*/*", "text/event-stream")]
        await until_taken(runtime, 2)
        runtime.process.send_signal(signal.SIGTERM)
        await until_refused(runtime)
        runtime.step(6)
        plain, streamed = await asyncio.gather(*working)
        assert (plain.status_code, len(plain.json()["images"])) == (200, 1)
        assert "event: result" in streamed.text
        assert await runtime.ended() == 0
    assert not (tmp_path / "last-words").exists()


async def test_what_takes_longer_than_the_grace_period_is_broken_off(tmp_path: Path) -> None:
    async with started(tmp_path, grace_seconds=1) as runtime:
        working = asyncio.create_task(runtime.post())
        await until_taken(runtime, 1)
        runtime.process.send_signal(signal.SIGTERM)
        answer = await working
        assert (answer.status_code, answer.json()) == (503, {"detail": {"msg": "the runtime is stopping"}})
        assert await runtime.ended() == 0


async def test_a_broken_gpu_ends_the_process_with_the_reason_and_an_answer_to_all(tmp_path: Path) -> None:
    async with started(tmp_path, "CUDA error: device-side assert triggered") as runtime:
        answers = await asyncio.gather(*(runtime.post() for _ in range(3)), return_exceptions=True)
        assert await runtime.ended() == 1
    statuses = [answer.status_code for answer in answers if isinstance(answer, httpx2.Response)]
    assert statuses.count(500) == 1
    assert set(statuses) <= {500, 503}
    reason = "the GPU needs a restart of the runtime: RuntimeError: CUDA error: device-side assert triggered"
    assert (tmp_path / "last-words").read_text() == reason
    failed = next(line for line in runtime.log() if line["message"] == "generation failed")
    assert (failed["level"], failed["request"]) == ("error", "the-request")
    assert "device-side assert" in failed["traceback"]
    assert [line["level"] for line in runtime.log() if line["message"] == reason] == ["error"]


async def test_the_spans_of_the_last_request_are_sent_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("NO_PROXY", "*")
        async with started(tmp_path) as runtime:
            working = asyncio.create_task(runtime.post())
            await until_taken(runtime, 1)
            runtime.process.send_signal(signal.SIGTERM)
            runtime.step(3)
            assert (await working).status_code == 200
            assert await runtime.ended() == 0
        assert [span.name for span in collector.spans()] == ["POST /image-to-image", "queue", "generate", "encode"]
