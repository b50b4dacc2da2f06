"""`python -m easel_runtime` as its supervisor starts it: a listening socket, a pipe for standard input, a last word."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

from easel_crds.metadata import Env
from easel_runtime.__main__ import main

SECONDS = 120.0
"""Longest wait for one thing to happen; importing torch takes most of a minute on two busy cores."""


@dataclass(frozen=True)
class Started:
    """A runtime that was just started."""

    process: subprocess.Popen[bytes]
    url: str
    output: Path

    def health(self) -> object:
        """Its status, as soon as it answers: the socket has been listening since before its start."""
        return httpx2.get(f"{self.url}/health", timeout=SECONDS, trust_env=False).json()["status"]

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@contextmanager
def started(folder: Path, environment: Mapping[str, str]) -> Iterator[Started]:
    """A runtime with `environment`, whose caches and last words are in `folder`; it has ended when the context ends."""
    output = folder / "output"
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with socket.create_server(("127.0.0.1", 0)) as listening, output.open("wb") as log:
        listening.set_inheritable(True)
        process = subprocess.Popen(
            [sys.executable, "-m", "easel_runtime"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[listening.fileno()],
            cwd=folder,
            env={
                **inherited,
                "XDG_CACHE_HOME": str(folder),
                "HF_HOME": str(folder),
                "HF_HUB_OFFLINE": "1",
                Env.LISTEN_FD: str(listening.fileno()),
                Env.EXIT_WITH_STDIN: "1",
                Env.TERMINATION_LOG: str(folder / "last-words"),
                **environment,
            },
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with process:
        try:
            yield Started(process, url, output)
        finally:
            process.kill()


@pytest.fixture
def blocked_torch(tmp_path: Path) -> Mapping[str, str]:
    """Variables of a process in which `import torch` never ends."""
    folder = tmp_path / "blocked"
    folder.mkdir()
    os.mkfifo(folder / "nobody-writes-here")
    (folder / "torch.py").write_text("open(__file__.replace('torch.py', 'nobody-writes-here')).read()")
    return {"PYTHONPATH": str(folder)}


def test_health_is_answered_within_two_seconds_and_before_torch_is_there(
    tmp_path: Path, blocked_torch: Mapping[str, str]
) -> None:
    with started(tmp_path, {Env.MODEL_ID: "easel/demo", **blocked_torch}) as runtime:
        assert runtime.health() == "LOADING"
        # Its own time: the clock on the wall also counts what else this machine has to do.
        spent = psutil.Process(runtime.process.pid).cpu_times()
        assert spent.user + spent.system < 2


def test_it_ends_when_its_standard_input_is_closed_even_while_it_loads(
    tmp_path: Path, blocked_torch: Mapping[str, str]
) -> None:
    with started(tmp_path, {Env.MODEL_ID: "easel/demo", **blocked_torch}) as runtime:
        assert runtime.health() == "LOADING"
        runtime.close_stdin()
        assert runtime.process.wait(SECONDS) in (0, -signal.SIGTERM)
        with pytest.raises(httpx2.ConnectError):
            runtime.health()


def test_a_closed_standard_input_means_nothing_unless_it_is_told_so(
    tmp_path: Path, blocked_torch: Mapping[str, str]
) -> None:
    with started(tmp_path, {Env.MODEL_ID: "easel/demo", Env.EXIT_WITH_STDIN: "0", **blocked_torch}) as runtime:
        runtime.close_stdin()
        assert runtime.health() == "LOADING"


def test_a_model_that_does_not_exist_ends_it_with_the_reason(tmp_path: Path) -> None:
    with started(tmp_path, {Env.MODEL_ID: "nobody/nothing"}) as runtime:
        assert runtime.process.wait(SECONDS) == 1
        reason = "the Hub cannot be reached, and nobody/nothing is not in the cache (revision main)"
        assert (tmp_path / "last-words").read_text() == reason
        assert reason in runtime.output.read_text()
        assert "Traceback" not in runtime.output.read_text()


# Settings -----------------------------------------------------------------------------------------------------------


def test_bad_settings_end_it_with_exit_code_1_and_a_sentence_for_each(tmp_path: Path) -> None:
    with started(tmp_path, {Env.PORT: "http"}) as runtime:
        assert runtime.process.wait(SECONDS) == 1
        assert runtime.output.read_text().splitlines() == [
            "MODEL_ID: Field required",
            "PORT: Input should be a valid integer, unable to parse string as an integer",
        ]


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (Env.MODEL_ID, "", "MODEL_ID: Field required"),
        (Env.PIPELINE, "text-to-image", "PIPELINE: String should match pattern '^image-to-image$'"),
        (Env.PORT, "65536", "PORT: Input should be less than or equal to 65535"),
        (Env.QUEUE, "0", "EASEL_QUEUE: Input should be greater than or equal to 1"),
        (Env.DEADLINE_SECONDS, "0", "EASEL_DEADLINE_SECONDS: Input should be greater than 0"),
        (Env.LOG_LEVEL, "loud", "EASEL_LOG_LEVEL: String should match pattern '^(debug|info|warning|error)$'"),
        (Env.PARAMETERS, "steps=4", "EASEL_PARAMETERS: not JSON: Expecting value: line 1 column 1 (char 0)"),
        (Env.PARAMETERS, '{"stepz": {}}', "EASEL_PARAMETERS.stepz: Extra inputs are not permitted"),
        (
            Env.PARAMETERS,
            '{"steps": {"min": 5, "max": 1}}',
            "EASEL_PARAMETERS.steps: min must not be greater than max",
        ),
        (Env.SAFETY, '{"action": "hide"}', "EASEL_SAFETY.action: Input should be 'flag', 'blank' or 'refuse'"),
        (
            Env.SAFETY,
            '{"checker": "none", "enforce": true}',
            "EASEL_SAFETY: enforce needs a checker: name one, or set enforce to false",
        ),
        (
            Env.SAFETY_DEVICE,
            "tpu",
            r"SAFETY_CHECKER_DEVICE: String should match pattern '^(cpu|mps|cuda(:\d+)?)$'",
        ),
    ],
)
def test_a_bad_setting_is_named(variable: Env, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(Env.MODEL_ID, "easel/demo")
    monkeypatch.setenv(Env.LISTEN_FD, "999999")  # so that nothing is served here, should the value be accepted
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == sentence


# Imports ------------------------------------------------------------------------------------------------------------


def test_nothing_but_loading_a_model_imports_torch() -> None:
    script = """
import sys
import easel_runtime.app, easel_runtime.__main__, easel_gateway.app, easel_operator.scaling, easel_local.cli
print(*sorted({"torch", "diffusers", "transformers", "accelerate", "huggingface_hub"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
