"""Runtimes as processes of their own behind real sockets, and what must hold for each of their answers."""

import base64
import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from easel_crds.metadata import Env
from support.pictures import form, png

SECONDS = 120.0
"""Longest wait for one answer."""
EXPECTED = frozenset({200, 400, 413, 422})
"""What a caller can get of a runtime that has a place free."""


@dataclass(frozen=True)
class RuntimeProcess:
    """A runtime that was started; it may still be loading."""

    process: subprocess.Popen[bytes]
    client: httpx2.Client
    address: tuple[str, int]
    output: Path

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    def until_ready(self) -> None:
        """Return when it takes requests."""
        while self.client.get("/readyz").status_code != 200:
            assert self.process.poll() is None, self.output.read_text()

    def post(self, content_type: str, body: bytes) -> httpx2.Response:
        headers = {"content-type": content_type} if content_type else {}
        return self.client.post("/image-to-image", content=body, headers=headers)

    def good_answer(self) -> bytes:
        """The body of the answer to a request that is always the same."""
        answer = self.post(*form({"prompt": "a cat", "seed": "7"}, png()))
        assert answer.status_code == 200, answer.text
        return answer.content

    def peak_memory(self) -> int:
        """The most bytes that it has ever held, as Linux has it."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    def until_idle(self) -> None:
        """Return when it has noticed that all others have left."""
        while self.client.get("/health").json()["in_flight"]:
            assert self.process.poll() is None, self.output.read_text()

    def assert_idle(self) -> None:
        """Nothing that was asked of it goes on."""
        assert self.client.get("/livez").status_code == 200
        state = self.client.get("/health").json()
        assert (state["status"], state["in_flight"]) == ("IDLE", 0)


@contextmanager
def runtime_process(module: str, folder: Path, environment: Mapping[str, str]) -> Iterator[RuntimeProcess]:
    """`python -m MODULE` with `environment`, its caches and output in `folder`; it has ended when the context ends."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    output = folder / "output"
    with socket.create_server(("127.0.0.1", 0)) as listening, output.open("wb") as log:
        listening.set_inheritable(True)
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[listening.fileno()],
            env={
                **inherited,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "XDG_CACHE_HOME": str(folder),
                "HF_HOME": str(folder),
                "HF_HUB_OFFLINE": "1",
                Env.MODEL_DIR: str(folder),
                Env.LISTEN_FD: str(listening.fileno()),
                Env.EXIT_WITH_STDIN: "1",
                **environment,
            },
        )
        host, port = listening.getsockname()
    with process, httpx2.Client(base_url=f"http://{host}:{port}", timeout=SECONDS, trust_env=False) as client:
        try:
            yield RuntimeProcess(process, client, (host, port), output)
        finally:
            process.kill()


def fault_of(answer: httpx2.Response) -> str:
    """What is wrong with an answer to `POST /image-to-image` by the contract; nothing: an empty text."""
    if answer.status_code not in EXPECTED:
        return f"status {answer.status_code}: {answer.text[:300]}"
    if answer.headers.get("content-type") != "application/json":
        return f"content type {answer.headers.get('content-type')}"
    body = answer.json()
    if answer.status_code == 200:
        return _fault_of_images(body)
    return fault_of_detail(body.get("detail"), in_fields=answer.status_code == 422)


def _fault_of_images(body: Any) -> str:
    for image in body["images"]:
        if image.keys() != {"url", "seed", "nsfw"} or not isinstance(image["nsfw"], bool):
            return f"image {image.keys()}"
        with Image.open(io.BytesIO(base64.b64decode(image["url"].removeprefix("data:image/png;base64,")))) as picture:
            if (picture.format, picture.mode) != ("PNG", "RGB"):
                return f"image in {picture.format}, {picture.mode}"
            picture.load()
    return "" if body["images"] else "no images"


def fault_of_detail(detail: Any, *, in_fields: bool) -> str:
    """What is wrong with the `detail` of an error, of a 422 if `in_fields`."""
    if not in_fields:
        well = isinstance(detail, dict) and isinstance(detail.get("msg"), str) and detail["msg"]
        return "" if well else f"detail {detail}"
    for problem in detail:
        if problem.keys() != {"type", "loc", "msg", "input"} or problem["loc"][0] not in ("body", "header"):
            return f"problem {problem}"
    return "" if detail else "no problem is named"
