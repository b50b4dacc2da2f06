"""`easel up` as a user runs it: a real process, its real output, and everything it started."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml

from easel_crds.metadata import Env
from support.builders import manifest

_OURS = ("EASEL_", "HF_")
SECONDS = 120.0
"""Longest wait for one thing to happen: a start with a cold page cache takes most of a minute on two busy cores."""


class EaselUp:
    """One run of `easel up`."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], cwd: Path) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "easel_local", "up", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**_clean(os.environ), **environment},
            cwd=cwd,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """Everything it printed so far."""
        return "\n".join(self.lines)

    @property
    def url(self) -> str:
        """Where it serves."""
        return self.wait_for(r"Easel serves on (http://\S+)")[1]

    def wait_for(self, pattern: str, *, after: int = 0, seconds: float = SECONDS) -> re.Match[str]:
        """The first match of `pattern` in a line from number `after` on, as soon as there is one."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines[after:] if (match := re.search(pattern, line))), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self.ended, timeout=seconds)
            match = found()
        assert match is not None, f"no {pattern!r} after line {after} of:\n{self.output}"
        return match

    @property
    def ended(self) -> bool:
        """Whether its output is at its end."""
        return not self._reader.is_alive()

    def runtimes(self) -> list[psutil.Process]:
        """The runtime processes that it has at this moment."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "easel_runtime" in " ".join(child.cmdline())]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send it a signal and wait for its end; returns the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._changed:
                    self.lines.append(line.rstrip())
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


@contextmanager
def easel_up(folder: Path, cache: Path, *extra: str, environment: Mapping[str, str] | None = None) -> Iterator[EaselUp]:
    """`easel up FOLDER` on a port of its own; whatever happens in the test, nothing of it stays behind."""
    for name in ("empty", "tmp"):
        (folder.parent / name).mkdir(exist_ok=True)
    arguments = [str(folder), "--plain", "--port", "0", "--results", str(folder.parent / "results"), *extra]
    offline = {
        "XDG_CACHE_HOME": str(cache),
        "XDG_DATA_HOME": str(folder.parent / "data"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    offline["TMPDIR"] = str(folder.parent / "tmp")  # who is killed leaves things behind
    run = EaselUp(arguments, {**offline, **(environment or {})}, folder.parent / "empty")
    try:
        yield run
    finally:
        family = _family(run.process.pid)
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()
        _, alive = psutil.wait_procs(family, timeout=SECONDS)
        for process in alive:
            process.kill()


def _clean(shell: Mapping[str, str]) -> dict[str, str]:
    """The shell without what would configure Easel or the Hub's client."""
    return {name: value for name, value in shell.items() if name not in set(Env) and not name.startswith(_OURS)}


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def write_model(folder: Path, name: str = "demo", **spec: Any) -> Path:
    """Write the manifest of a quick ImageModel into `folder`, replacing the one of that name at once."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.yaml"
    draft = folder / f".{name}.draft"
    parameters = {"steps": {"default": 2, "max": 60}, "guidanceScale": {"default": 2}}
    safety = {"checker": "none"}  # there is no Hub to have one from
    draft.write_text(yaml.safe_dump(manifest(name, **{"parameters": parameters, "safety": safety, **spec})))
    return draft.replace(file)


def edit(url: str, image: bytes, model_id: str = "easel/demo", **fields: str) -> httpx2.Response:
    """`POST /image-to-image`."""
    data = {"model_id": model_id, "prompt": "make it night", **fields}
    return httpx2.post(f"{url}/image-to-image", data=data, files={"image": ("in.png", image)}, timeout=SECONDS)
