"""Processes come and go as manifests and requests want them."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from support.easel_up import SECONDS, EaselUp, easel_up, edit, write_model
from support.pictures import png


def state(run: EaselUp, model_id: str) -> str:
    models = httpx2.get(f"{run.url}/v1/models").json()["data"]
    return str(next(model["state"] for model in models if model["id"] == model_id))


def test_an_on_demand_model_starts_at_its_first_request_and_stops_when_idle(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models", scaling={"idleSeconds": 1})
    with easel_up(tmp_path / "models", cache) as run:
        run.wait_for(r"easel/demo: cold")
        assert run.runtimes() == []

        assert edit(run.url, png()).status_code == 200, "held while the model started"

        run.wait_for(r"demo-1 stops")
        run.wait_for(r"easel/demo: cold", after=run.lines.index("demo-1 stops"))
        psutil.wait_procs(run.runtimes(), timeout=SECONDS)
        assert run.runtimes() == []
        assert state(run, "easel/demo") == "cold"
        (model,) = httpx2.get(f"{run.url}/status").json()["models"]
        assert [decision["replicas"] for decision in model["scale_decisions"]] == [0, 1]
        assert model["scale_decisions"][0]["reason"] == "no more were needed for 1 seconds"


def test_requests_beyond_one_replicas_target_start_a_second(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models", warmReplicas=1, maxReplicas=2, scaling={"targetInFlight": 1, "idleSeconds": 1})
    with easel_up(tmp_path / "models", cache) as run, ThreadPoolExecutor(4) as callers:
        run.wait_for(r"easel/demo: ready \(1 of 1\)")
        load = [callers.submit(edit, run.url, png(128, 128), num_inference_steps="30") for _ in range(4)]
        run.wait_for(r"easel/demo: ready \(2 of 2\)")
        assert [call.result().status_code for call in load] == [200] * 4
        run.wait_for(r"easel/demo: ready \(1 of 1\)", after=run.lines.index("easel/demo: ready (2 of 2)"))


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    # what is wrong: the spec's field, the key on the line that is named, the sentence
    "a card of 16 GB": (
        {"gpu": {"memory": "16G"}},
        "memory",
        r"spec\.gpu\.memory: memory must be a quantity of at least",
    ),
    "a word for a price": (
        {"price": {"amount": "abc"}},
        "amount",
        r"spec\.price\.amount: amount must be a decimal number",
    ),
    "a negative price": (
        {"price": {"amount": "-1"}},
        "amount",
        r"spec\.price\.amount: amount must be a decimal number",
    ),
    "fewer than warm": ({"warmReplicas": 3}, "spec", r"spec\.maxReplicas: maxReplicas must be at least warmReplicas"),
    "a misspelt field": ({"maxReplica": 3}, "maxReplica", r"spec\.maxReplica: .* did you mean maxReplicas\?"),
    "another model": ({"modelId": "easel/other"}, "modelId", r"spec\.modelId: modelId is immutable"),
}


def test_a_manifest_that_becomes_wrong_is_refused_with_its_place_while_all_goes_on(tmp_path: Path, cache: Path) -> None:
    models = tmp_path / "models"
    file = write_model(models, warmReplicas=1)
    with easel_up(models, cache) as run:
        run.wait_for(r"easel/demo: ready")
        for wrong, key, sentence in REFUSED.values():
            before = len(run.lines)
            spec: dict[str, Any] = {"warmReplicas": 1, **wrong}
            write_model(models, **spec)
            place = run.wait_for(rf"{file}:(\d+): {sentence}", after=before)
            assert file.read_text().splitlines()[int(place[1]) - 1].strip().startswith(f"{key}:")
            assert edit(run.url, png()).status_code == 200
        file.write_text("spec: [")
        run.wait_for(rf"{file}:\d+: cannot be read")
        assert edit(run.url, png()).status_code == 200
        assert len(run.runtimes()) == 1, "it was never restarted"


def test_new_changed_and_removed_models_take_effect_while_it_runs(tmp_path: Path, cache: Path) -> None:
    models = tmp_path / "models"
    write_model(models, warmReplicas=1)
    with easel_up(models, cache) as run:
        run.wait_for(r"easel/demo: ready")
        (first,) = run.runtimes()

        second = write_model(models, "second", modelId="tiny/second")
        run.wait_for(r"tiny/second: cold")

        changed = len(run.lines)
        write_model(models, warmReplicas=1, price={"amount": "2.5e-08"})
        run.wait_for(r"the files have changed", after=changed)
        prices = {model["id"]: model["price"] for model in httpx2.get(f"{run.url}/v1/models").json()["data"]}
        assert prices["easel/demo"]["amount"] == "2.5e-08"
        assert run.runtimes() == [first], "a price is no reason to restart"

        changed = len(run.lines)
        write_model(models, warmReplicas=1, parameters={"maxImages": 1})
        run.wait_for(r"easel/demo: ready", after=changed)
        assert edit(run.url, png(), num_images_per_prompt="2").status_code == 422
        assert run.runtimes() != [first], "its environment changed"

        changed = len(run.lines)
        second.unlink()
        run.wait_for(r"the files have changed", after=changed)
        assert edit(run.url, png(), "tiny/second").status_code == 404


def test_a_runtime_killed_at_work_gives_its_caller_a_reason_and_comes_back(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models", warmReplicas=1)
    with easel_up(tmp_path / "models", cache) as run, ThreadPoolExecutor(1) as callers:
        run.wait_for(r"easel/demo: ready")
        (runtime,) = run.runtimes()
        call = callers.submit(edit, run.url, png(256, 256), num_inference_steps="60")
        wait_until_working(runtime)
        runtime.kill()

        response = call.result()
        assert response.status_code == 502
        assert "went away" in response.json()["detail"]["msg"]
        run.wait_for(r"demo-1 was ended by SIGKILL")
        assert edit(run.url, png()).status_code == 200, "held until it was back"
        assert [process.pid for process in run.runtimes()] != [runtime.pid]


def wait_until_working(runtime: psutil.Process) -> None:
    """Until the runtime itself says that it works."""
    (url,) = {
        f"http://{connection.laddr.ip}:{connection.laddr.port}"
        for connection in runtime.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    deadline = time.monotonic() + SECONDS
    while httpx2.get(f"{url}/health").json()["status"] != "OK":
        assert time.monotonic() < deadline, "the runtime never said that it works"


def test_a_model_that_cannot_load_says_why_and_others_serve(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models", warmReplicas=1)
    write_model(tmp_path / "models", "lost", modelId="nobody/nothing", warmReplicas=1)
    with easel_up(tmp_path / "models", cache) as run:
        run.wait_for(r"lost-\d+ .*nobody/nothing is not in the cache")
        run.wait_for(r"nobody/nothing: failed: .*not in the cache")
        response = edit(run.url, png(), "nobody/nothing")
        assert response.status_code == 503, "refused at once, or when a further try failed"
        assert "retry-after" not in response.headers
        assert "not in the cache" in response.json()["detail"]["msg"]
        run.wait_for(r"easel/demo: ready")
        assert edit(run.url, png()).status_code == 200


def test_a_model_whose_profile_is_missing_says_so_and_starts_when_it_comes(tmp_path: Path, cache: Path) -> None:
    models = tmp_path / "models"
    file = write_model(models, warmReplicas=1, profile="careful")
    with easel_up(models, cache) as run:
        run.wait_for(rf"{file}:\d+: spec\.profile: there is no RuntimeProfile careful")
        response = edit(run.url, png())
        assert response.status_code == 503
        assert "there is no RuntimeProfile careful" in response.json()["detail"]["msg"]

        (models / "profile.yaml").write_text(PROFILE)
        run.wait_for(r"easel/demo: ready")
        (runtime,) = run.runtimes()
        assert runtime.environ()["OMP_NUM_THREADS"] == "1"
        assert edit(run.url, png()).status_code == 200


PROFILE = """\
apiVersion: easel.dev/v1alpha1
kind: RuntimeProfile
metadata: {name: careful}
spec:
  env: [{name: OMP_NUM_THREADS, value: "1"}]
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "closed terminal"]
)
def test_a_signal_ends_it_and_leaves_no_process(tmp_path: Path, cache: Path, number: signal.Signals) -> None:
    write_model(tmp_path / "models", warmReplicas=1)
    with easel_up(tmp_path / "models", cache) as run:
        run.wait_for(r"easel/demo: ready")
        runtimes = run.runtimes()
        assert len(runtimes) == 1
        assert run.stop(number) == 0
        assert not any(runtime.is_running() for runtime in runtimes)


def test_a_kill_ends_its_runtimes_too(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models", warmReplicas=1)
    with easel_up(tmp_path / "models", cache) as run:
        run.wait_for(r"easel/demo: ready")
        runtimes = run.runtimes()
        run.stop(signal.SIGKILL)
        _, alive = psutil.wait_procs(runtimes, timeout=SECONDS)
        assert alive == []


def test_a_second_signal_does_not_wait_for_work(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models", warmReplicas=1)
    with easel_up(tmp_path / "models", cache) as run, ThreadPoolExecutor(1) as callers:
        run.wait_for(r"easel/demo: ready")
        (runtime,) = run.runtimes()
        call = callers.submit(edit, run.url, png(512, 512), num_inference_steps="60", num_images_per_prompt="8")
        wait_until_working(runtime)
        run.process.send_signal(signal.SIGINT)
        run.wait_for(r"stopping; once more")
        run.stop(signal.SIGINT)
        assert not runtime.is_running()
        assert isinstance(call.exception(), httpx2.HTTPError) or call.result().status_code >= 500


def test_an_address_in_use_is_said_in_one_line(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with easel_up(tmp_path / "models", cache, "--port", str(port)) as run:
            run.wait_for(rf"easel: cannot listen on 127\.0\.0\.1:{port}: Address already in use; choose another")
            assert run.process.wait(SECONDS) == 1


def test_results_that_cannot_be_kept_are_said_at_the_start(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models")
    (tmp_path / "file").touch()
    with easel_up(tmp_path / "models", cache, "--results", str(tmp_path / "file" / "below")) as run:
        run.wait_for(r"easel: results cannot be kept in .*/file/below: Not a directory; see --results")
        assert run.process.wait(SECONDS) == 1


def test_who_waits_when_it_stops_is_told_so_and_nobody_is_kept_waiting(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models")
    with easel_up(tmp_path / "models", cache) as run, ThreadPoolExecutor(1) as callers:
        url = run.url
        call = callers.submit(edit, url, png())
        run.wait_for(r"demo-1 starts")
        assert run.stop() == 0
        response = call.result()
        assert response.status_code == 503
        assert response.json()["detail"]["msg"] == "Easel is stopping"
        assert response.headers["retry-after"]


def test_a_setting_that_is_not_valid_is_named(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models")
    with easel_up(tmp_path / "models", cache, environment={"EASEL_GATEWAY_HELD_REQUESTS": "many"}) as run:
        run.wait_for(r"^EASEL_GATEWAY_HELD_REQUESTS: .* valid integer")
        assert run.process.wait(SECONDS) == 1


def test_files_without_a_valid_model_are_refused_with_the_reason(tmp_path: Path, cache: Path) -> None:
    file = write_model(tmp_path / "models", gpu={"memory": "16G"})
    with easel_up(tmp_path / "models", cache) as run:
        run.wait_for(rf"{file}:\d+: spec\.gpu\.memory")
        run.wait_for(r"there is no valid ImageModel")
        assert run.process.wait(SECONDS) == 1


def test_a_terminal_gets_a_live_table(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "models")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "easel_local", "up", str(tmp_path / "models"), "--port", "0"],
        stdout=theirs,
        stderr=theirs,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(cache),
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "TERM": "xterm",
            "COLUMNS": "160",
        },
        start_new_session=True,
    )
    os.close(theirs)
    screen = Screen(ours)
    try:
        screen.wait_for("MODEL", "easel/demo", "cold", "1.9073484e-08 USD per pixel")
        process.send_signal(signal.SIGINT)
        screen.wait_for("stopping")
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        screen.close()


class Screen:
    """Reads a terminal to its end, so that whoever writes to it never waits."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._seen = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, *texts: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: all(text in self._seen for text in texts), SECONDS), self._seen

    def close(self) -> None:
        self._reader.join(SECONDS)
        os.close(self._terminal)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # what Linux says at a terminal's end
            while data := os.read(self._terminal, 4096):
                with self._changed:
                    self._seen += data.decode("utf-8", "replace")
                    self._changed.notify_all()
