"""`python -m easel_gateway` as its pod starts it: a real process, an API server on loopback, runtimes behind it."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from easel_crds.demand import Demand, ModelKey, from_annotation
from easel_gateway.directory import Endpoint
from support.engines import ToyEngine
from support.kube_api import HOST, MODELS, SLICES, KubeApi, endpoint, endpoint_slice, kube_api, model
from support.pictures import form, png
from support.runtimes import runtime, until

SECONDS = 60.0
"""Longest wait for one thing to happen; the imports take seconds on two busy cores."""
POD = {"POD_NAME": "gateway-1", "POD_NAMESPACE": "easel-system", "POD_UID": "uid-of-gateway-1"}


class Gateway:
    """A gateway process, and a client that calls it."""

    def __init__(self, process: Process, client: aiohttp.ClientSession) -> None:
        self.process = process
        self.lines: list[str] = []
        self._client = client
        self._changed = asyncio.Condition()
        self.reading = asyncio.create_task(self._read())

    async def line(self, pattern: str) -> re.Match[str]:
        """The first line of its output that `pattern` matches, as soon as there is one."""
        found: list[re.Match[str]] = []

        def holds() -> bool:
            found.extend(match for line in self.lines if (match := re.search(pattern, line)))
            return bool(found) or self.reading.done()

        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(holds)
        assert found, f"no {pattern!r} in:\n" + "\n".join(self.lines)
        return found[0]

    async def get(self, path: str) -> tuple[int, Any]:
        port = (await self.line(r"listening on port (\d+)"))[1]
        async with self._client.get(f"http://{HOST}:{port}{path}") as response:
            return response.status, await response.json()

    async def edit(self, model_id: str = "easel/demo") -> tuple[int, Mapping[str, str], Any]:
        """The seed call: status, headers and body of its answer."""
        port = (await self.line(r"listening on port (\d+)"))[1]
        content_type, body = form({"model_id": model_id, "prompt": "make it night"}, png())
        headers = {"Content-Type": content_type}
        async with self._client.post(f"http://{HOST}:{port}/image-to-image", data=body, headers=headers) as response:
            return response.status, response.headers, await response.json()

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(SECONDS):
            await self.reading
            return await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._changed:
                self.lines.append(line.decode().rstrip())
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    async with kube_api() as running:
        yield running


@asynccontextmanager
async def started(api: KubeApi, folder: Path, **environment: str) -> AsyncIterator[Gateway]:
    """A gateway of `api`; it has ended when the context ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "easel_gateway"),
        stdout=PIPE,
        stderr=STDOUT,
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            **POD,
            "KUBECONFIG": str(api.kubeconfig(folder)),
            "EASEL_GATEWAY_RESULTS": str(folder / "results"),
            "EASEL_GATEWAY_HOST": HOST,
            "EASEL_GATEWAY_PORT": "0",
            **environment,
        },
    )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as client:
        gateway = Gateway(process, client)
        try:
            yield gateway
        finally:
            if process.returncode is None:
                process.kill()
            await gateway.ended()


def slice_of(runtime_at: Endpoint, name: str = "demo") -> dict[str, Any]:
    """The slice in which a runtime of this machine appears."""
    host, _, port = runtime_at.url.removeprefix("http://").partition(":")
    return endpoint_slice(endpoint(host, f"{name}-1"), name=f"easel-{name}-1", of=name, port=int(port))


def demands(api: KubeApi) -> list[dict[ModelKey, Demand]]:
    """Everything that the Lease ever said."""
    return [from_annotation(request.body["metadata"]["annotations"]["easel.dev/demand"]) for request in api.applied]


DEMO, OTHER = ModelKey("default", "demo"), ModelKey("default", "other")


async def test_a_request_for_a_cold_model_is_held_tells_the_operator_and_is_answered(
    api: KubeApi, tmp_path: Path
) -> None:
    api.put(MODELS, model())
    async with started(api, tmp_path) as gateway, runtime(ToyEngine()) as behind:
        await gateway.line("ready; 1 models")
        asking = asyncio.create_task(gateway.edit())
        await until(lambda: bool(api.applied))
        assert demands(api) == [{DEMO: Demand(waiting=1)}]
        assert api.applied[0].path.endswith("/namespaces/easel-system/leases/gateway-1")
        assert not asking.done()
        api.put(SLICES, slice_of(behind.endpoint))
        status, _, body = await asking
        assert status == 200
        assert "/stream/" in body["images"][0]["url"]
        await until(lambda: demands(api)[-1] == {})


async def test_it_is_not_ready_and_knows_no_model_for_unknown_before_it_has_read_them_all(
    api: KubeApi, tmp_path: Path
) -> None:
    api.put(MODELS, model())
    api.answering.clear()
    async with started(api, tmp_path) as gateway:
        status, body = await gateway.get("/readyz")
        assert status == 503
        assert "has not read the models yet" in body["detail"]["msg"]
        assert (await gateway.get("/livez"))[0] == 200
        status, headers, body = await gateway.edit()
        assert (status, headers["Retry-After"]) == (503, "5")
        assert "has not read the models yet" in body["detail"]["msg"]
        api.answering.set()
        await gateway.line("ready; 1 models")
        assert await gateway.get("/readyz") == (200, {"status": "OK"})
        status, _, body = await gateway.edit("easel/unknown")
        assert (status, body["detail"]["models"]) == (404, ["easel/demo"])


async def test_what_is_known_is_served_while_the_api_server_is_away(api: KubeApi, tmp_path: Path) -> None:
    failed = {"type": "Loaded", "status": "False", "reason": "LoadFailed", "message": "no weights"}
    api.put(MODELS, model())
    api.put(MODELS, model("other", status={"conditions": [{**failed, "observedGeneration": 1}]}))
    async with started(api, tmp_path) as gateway, runtime(ToyEngine()) as behind:
        api.put(SLICES, slice_of(behind.endpoint))
        await gateway.line("ready; 2 models")
        await until(lambda: api.watches == 2)
        await api.stop()
        await gateway.line("endpointslices cannot be followed, what is known stays in force")
        assert (await gateway.edit())[0] == 200
        status, headers, body = await gateway.edit("easel/other")
        assert status == 503
        assert body == {"detail": {"msg": "easel/other cannot start: no weights"}}
        assert "Retry-After" not in headers
        assert (await gateway.get("/readyz"))[0] == 200
        await api.start()
        await gateway.line("imagemodels are followed again")


async def test_sigterm_takes_it_out_of_its_service_and_a_second_one_ends_it(api: KubeApi, tmp_path: Path) -> None:
    api.put(MODELS, model())
    async with started(api, tmp_path, EASEL_GATEWAY_LEAVE_SECONDS="600") as gateway, runtime(ToyEngine()) as behind:
        api.put(SLICES, slice_of(behind.endpoint))
        await gateway.line("ready; 1 models")
        gateway.process.send_signal(signal.SIGTERM)
        await gateway.line("stopping; once more to stop at once")
        assert (await gateway.get("/readyz"))[0] == 503
        assert (await gateway.get("/livez"))[0] == 200
        status, headers, _ = await gateway.edit()  # from a proxy that does not know yet
        assert (status, headers["Connection"]) == (200, "close")
        gateway.process.send_signal(signal.SIGTERM)
        assert await gateway.ended() == 1


async def test_at_the_end_who_waits_is_turned_away_and_who_is_served_keeps_his_runtime(
    api: KubeApi, tmp_path: Path
) -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    for name in ("demo", "other"):
        api.put(MODELS, model(name))
    async with started(api, tmp_path, EASEL_GATEWAY_LEAVE_SECONDS="0") as gateway, runtime(engine) as behind:
        api.put(SLICES, slice_of(behind.endpoint))
        await gateway.line("ready; 2 models")
        served = asyncio.create_task(gateway.edit())
        await until(engine.in_step.is_set)
        waiting = asyncio.create_task(gateway.edit("easel/other"))
        await until(lambda: bool(api.applied) and demands(api)[-1].get(OTHER) == Demand(waiting=1))
        gateway.process.send_signal(signal.SIGTERM)
        status, headers, body = await waiting
        assert (status, headers["Retry-After"]) == (503, "30")
        assert body == {"detail": {"msg": "Easel is stopping"}}
        assert demands(api)[-1][DEMO] == Demand(in_flight=1)
        engine.may_step.set()
        assert (await served)[0] == 200
        assert await gateway.ended() == 0
    assert demands(api)[-1] == {}
    assert [DEMO in said for said in demands(api)] == [True] * (len(demands(api)) - 1) + [False]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({"POD_UID": ""}, "POD_UID: String should have at least 1 character", id="no pod"),
        pytest.param({"EASEL_GATEWAY_PORT": "http"}, "EASEL_GATEWAY_PORT: Input should be a valid integer", id="port"),
        pytest.param({"EASEL_GATEWAY_HOST": "192.0.2.1"}, "Cannot assign requested address", id="address"),
        pytest.param({"EASEL_GATEWAY_RESULTS": "/dev/null/x"}, "/dev/null", id="results"),
        pytest.param({"KUBECONFIG": "/dev/null"}, "there is no way to the API server", id="kubeconfig"),
    ],
)
async def test_where_it_cannot_begin_it_says_why(
    api: KubeApi, tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    async with started(api, tmp_path, **environment) as gateway:
        assert await gateway.ended() == 1
        assert said in gateway.lines[-1]
        assert len(gateway.lines) <= 2


async def test_one_machine_needs_no_client_of_the_api_server() -> None:
    program = "import sys, easel_local.up, easel_local.cli; sys.exit(any('kubernetes' in name for name in sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0
