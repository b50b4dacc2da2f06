"""`python -m bench.bare MODEL CACHE SIDE STEPS`: the bare loop. Reads how many images to make, answers with seconds.

The pipeline as the runtime loads it, called in a plain loop, picture in and picture out: no HTTP, no files.
"""

import sys
import time
from pathlib import Path

import torch

from bench.tiny import PROMPT, noisy
from easel_runtime.pipelines.loading import load_model
from easel_runtime.settings import Settings


def main() -> None:
    """Serve standard input until it ends."""
    model_id, cache, side, steps = sys.argv[1:]
    pipeline = load_model(Settings(model_id=model_id, model_dir=Path(cache)), torch.device("cpu")).pipeline
    picture = noisy(int(side))
    for line in sys.stdin:
        began = time.perf_counter()
        for seed in range(int(line)):
            pipeline(
                PROMPT,
                image=picture,
                num_inference_steps=int(steps),
                generator=torch.Generator("cpu").manual_seed(seed),
            )
        sys.stdout.write(f"{time.perf_counter() - began}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
