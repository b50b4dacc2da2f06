"""What the runtime adds to each step: C7. `python -m bench.steps CACHE ROUNDS` measures, in a process of one thread."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.measure import Timed, interleaved, median, spread
from bench.processes import running
from bench.table import Finding, at_most, milliseconds
from bench.tiny import MODEL, PROMPT, Stage, noisy

_ROUNDS: Final = 60
_STEPS: Final = 20
_SIDE: Final = 64


def per_step(stage: Stage) -> list[Finding]:
    """Microseconds that the runtime adds to a step: its worker with its engine, less the stock pipeline's call.

    One process has both: the worker as it serves requests (queue, thread, step callback, metrics; no encoding), and
    the same pipeline loaded once more and called directly. Of both, the time inside the networks (UNet, text encoder,
    VAE) is taken out: the same in either, it would hide the rest. An image of 64 pixels in 20 steps each, a new prompt
    every time; 60 rounds after 3; the median of the differences, over 20.
    """
    command = [sys.executable, "-m", "bench.steps", str(stage.cache), str(stage.rounds(_ROUNDS))]
    with running(command, stdin=subprocess.PIPE) as started:
        said, _ = started.process.communicate()
    found: dict[str, list[float]] = json.loads(said)
    added = [(one - other) / _STEPS * 1e6 for one, other in zip(found["ours"], found["stock"], strict=True)]
    ours, stock = (milliseconds(median(found[name])) for name in ("ours", "stock"))
    what = f"µs added to a step; host time of an image of {_STEPS} steps"
    return [Finding("C7", what, ours, stock, median(added), at_most(150), spread(added))]


def main() -> None:
    """Measure, and print the seconds of both sides as JSON."""
    cache, rounds = Path(sys.argv[1]), int(sys.argv[2])
    found = asyncio.run(_measure(cache, rounds))
    sys.stdout.write(json.dumps(found))


async def _measure(cache: Path, rounds: int) -> dict[str, list[float]]:
    import torch

    from easel_runtime.app import create_app
    from easel_runtime.encoding import Encoded
    from easel_runtime.pipelines import diffusers_engine
    from easel_runtime.pipelines.loading import load_model
    from easel_runtime.settings import Settings
    from easel_runtime.worker import Worker
    from support.tiny_engines import generation

    settings = Settings(model_id=MODEL, model_dir=cache)
    engine: Any = diffusers_engine(settings)
    app = create_app(settings, engine)
    worker: Worker = app.state.worker
    await worker.load(sys.exit)
    stock: Any = load_model(settings, torch.device("cpu")).pipeline
    picture, prompts = noisy(_SIDE), iter(range(1_000_000))
    loop = asyncio.get_running_loop()

    def ours() -> object:
        asked = generation(picture, prompt=f"{PROMPT} {next(prompts)}", steps=_STEPS, seeds=(next(prompts),))
        work = worker.generate(asked, encode=lambda _: Encoded(b""))
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def theirs() -> object:
        return stock(
            f"{PROMPT} {next(prompts)}",
            negative_prompt="",
            image=picture,
            num_inference_steps=_STEPS,
            guidance_scale=7.5,
            image_guidance_scale=1.5,
            generator=torch.Generator("cpu").manual_seed(next(prompts)),
        )

    sides = {"ours": _outside(engine._engine._pipeline, ours), "stock": _outside(stock, theirs)}
    found = await asyncio.to_thread(interleaved, sides, rounds, 3)
    await worker.close()
    return found


def _outside(pipeline: Any, work: Callable[[], object]) -> Timed:
    """Does `work`; its seconds without those within the networks of `pipeline`."""
    inside: list[float] = []

    def noting(call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments, **more)
            finally:
                inside.append(time.perf_counter() - began)

        return noted

    for owner, name in (
        *((pipeline.unet, "forward"), (pipeline.text_encoder, "forward")),
        *((pipeline.vae, "encode"), (pipeline.vae, "decode")),
    ):
        setattr(owner, name, noting(getattr(owner, name)))

    def once() -> float:
        inside.clear()
        began = time.perf_counter()
        work()
        return time.perf_counter() - began - sum(inside)

    return once


if __name__ == "__main__":
    main()
