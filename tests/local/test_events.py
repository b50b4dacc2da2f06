"""A page's view of a request: a cold start told as it goes, with the demo model's own steps."""

import json
from pathlib import Path
from typing import Any

import httpx2

from support.easel_up import SECONDS, easel_up, write_model
from support.pictures import png


def told(url: str, **fields: str) -> list[tuple[str, Any]]:
    """The events of `POST /image-to-image`."""
    data = {"model_id": "easel/demo", "prompt": "make it night", **fields}
    answer = httpx2.post(
        f"{url}/image-to-image",
        data=data,
        files={"image": ("in.png", png(64, 64))},
        headers={"accept": "text/event-stream"},
        timeout=SECONDS,
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = [event.splitlines() for event in answer.text.split("\n\n") if event.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]


def test_a_cold_start_is_told_until_the_picture_is_there_and_the_operator_sees_why_it_was(
    tmp_path: Path, cache: Path
) -> None:
    write_model(tmp_path / "models")
    with easel_up(tmp_path / "models", cache) as run:
        run.wait_for(r"easel/demo: cold")
        events = told(run.url, num_inference_steps="6")
        names = [name for name, _ in events]
        assert names[0] == "accepted"
        assert events[0][1]["state"] == "cold"
        assert names[1] == "starting"
        assert names.index("queued") > max(index for index, name in enumerate(names) if name == "starting")
        steps = [(data["step"], data["steps"]) for name, data in events if name == "step"]
        assert steps == sorted(set(steps))
        assert {of for _, of in steps} <= {6}
        assert names[-1] == "result"
        (image,) = events[-1][1]["images"]
        assert httpx2.get(image["url"]).headers["content-type"] == "image/png"
        assert events[-1][1]["easel"]["charge"] == events[0][1]["charge"]
        assert float(events[-1][1]["easel"]["wait"]) > 0

        (model,) = httpx2.get(f"{run.url}/status").json()["models"]
        assert (model["state"], model["ready_replicas"], model["in_flight"]) == ("ready", 1, 0)
        (decision,) = model["scale_decisions"]
        assert (decision["replicas"], decision["reason"]) == (
            1,
            "0 requests in flight and 1 waiting, 2 for each replica",
        )
        assert (model["today"]["requests"], model["today"]["pixels"]) == (1, 64 * 64)
