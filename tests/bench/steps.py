"""What the runtime adds to each step: C7. `python -m bench.steps CACHE ROUNDS` measures, in a process of one thread."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.measure import interleaved, median, timed
from bench.processes import running
from bench.table import Finding, at_most, milliseconds
from bench.tiny import MODEL, PROMPT, Stage, noisy

_ROUNDS: Final = 30
_STEPS: Final = 20
_SIDE: Final = 64


def per_step(stage: Stage) -> list[Finding]:
    """Microseconds that the runtime adds to a step: its worker with its engine, less the stock pipeline's call.

    One process has both: the worker as it serves requests (queue, thread, step callback, metrics; no encoding), and
    the same pipeline loaded once more and called directly. An image of 64 pixels in 20 steps each, a new prompt every
    time; 30 rounds after 3; the median of the differences, over 20.
    """
    command = [sys.executable, "-m", "bench.steps", str(stage.cache), str(stage.rounds(_ROUNDS))]
    with running(command, stdin=subprocess.PIPE) as started:
        said, _ = started.process.communicate()
    found: dict[str, list[float]] = json.loads(said)
    added = median([one - other for one, other in zip(found["ours"], found["stock"], strict=True)]) / _STEPS
    ours, stock = (milliseconds(median(found[name])) for name in ("ours", "stock"))
    return [Finding("C7", f"µs added to a step, of {_STEPS}", ours, stock, added * 1e6, at_most(150))]


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
    app = create_app(settings, diffusers_engine(settings))
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

    found = await asyncio.to_thread(interleaved, {"ours": timed(ours), "stock": timed(theirs)}, rounds, 3)
    await worker.close()
    return found


if __name__ == "__main__":
    main()
