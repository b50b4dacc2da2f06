"""`python -m bench.bare MODEL CACHE SIDE KEYWORDS`: the bare loop, a call of the pipeline after the other.

The pipeline as the runtime loads it, picture in and picture out: no HTTP, no files. Reads lines of two numbers, calls
and images in each call, and answers with the seconds that they took.
"""

import json
import sys
import time
from pathlib import Path

import torch

from bench.tiny import PROMPT, noisy
from easel_runtime.pipelines.loading import load_model
from easel_runtime.settings import Settings


def main() -> None:
    """Serve standard input until it ends."""
    model_id, cache, side, keywords = sys.argv[1:]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = load_model(Settings(model_id=model_id, model_dir=Path(cache)), device).pipeline
    picture, more = noisy(int(side)), json.loads(keywords)
    for line in sys.stdin:
        calls, rows = map(int, line.split())
        began = time.perf_counter()
        for number in range(calls):
            generators = [torch.Generator("cpu").manual_seed(rows * number + row) for row in range(rows)]
            if rows == 1:
                pipeline(PROMPT, image=picture, generator=generators[0], **more)
            else:
                pipeline([PROMPT] * rows, image=[picture] * rows, generator=generators, **more)
        sys.stdout.write(f"{time.perf_counter() - began}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
