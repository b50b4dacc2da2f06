"""The work of the CPU goals: tiny pipelines with random weights, and the requests to them."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from bench.load import Requests
from bench.wire import request
from support import hub
from support.pictures import encoded, form

MODEL: Final = "timbrooks/instruct-pix2pix"
OTHER: Final = "stabilityai/sd-turbo"
SIDE: Final = 128
STEPS: Final = 2
PROMPT: Final = "make it night"
_SEED_BITS: Final = 0xFFFFFFFF


@dataclass(frozen=True)
class Stage:
    """What all goals work with."""

    cache: Path
    """Tiny repositories, in the layout of the Hub's cache."""
    quick: bool = False
    """A tenth of the rounds: to see that everything runs."""

    def rounds(self, number: int) -> int:
        """How many rounds to do where `number` are meant."""
        return max(1, number // 10) if self.quick else number

    def snapshot(self, model_id: str) -> Path:
        """The folder of a repository's files."""
        return self.cache / f"models--{model_id.replace('/', '--')}" / "snapshots" / hub.COMMIT


@contextmanager
def stage(*, quick: bool) -> Iterator[Stage]:
    """The repositories, until the context ends."""
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        hub.add_upstream(Path(folder), MODEL, OTHER)
        yield Stage(Path(folder), quick)


def noisy(side: int, seed: int = 1) -> Image.Image:
    """A picture with something at every scale, as photographs have: noise of each octave, louder the coarser it is."""
    import numpy as np

    random = np.random.default_rng(seed)
    canvas = np.zeros((side, side, 3), np.float32)
    octave = 4
    while octave <= side:
        grain = random.normal(size=(octave, octave, 3)).astype(np.float32)
        bands = [Image.fromarray(grain[..., band]).resize((side, side), Image.Resampling.BICUBIC) for band in range(3)]
        canvas += np.stack([np.asarray(band) for band in bands], axis=-1) / octave
        octave *= 2
    canvas -= canvas.min()
    return Image.fromarray((canvas * (255 / canvas.max())).astype(np.uint8))


def uploads(
    side: int = SIDE, *, path: str = "/image-to-image", accept: str = "image/png", **fields: object
) -> Requests:
    """Requests for one image each, alike but for their seeds."""
    picture = encoded(noisy(side))
    texts = {
        "prompt": PROMPT,
        "num_inference_steps": str(STEPS),
        **{name: str(value) for name, value in fields.items()},
    }

    def numbered(number: int) -> bytes:
        kind, body = form({**texts, "seed": str((number * 2654435761 + 1) & _SEED_BITS)}, picture)
        return request(path, body, {"Content-Type": kind, "Accept": accept})

    return numbered


def pixels(file: bytes) -> bytes:
    """The decoded pixels of a picture's file."""
    picture = Image.open(io.BytesIO(file))
    picture.load()
    return picture.tobytes()
