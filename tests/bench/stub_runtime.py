"""`python -m bench.stub_runtime`: a runtime whose model takes no time."""

from collections.abc import Mapping, Sequence

from PIL import Image

from easel_runtime.__main__ import serve
from easel_runtime.engine import Checker, Loaded, LoadError, Lora, OnStep, Work
from easel_runtime.settings import Settings


class Stub:
    """Gives back a few pixels, whatever it gets."""

    def load(self) -> Loaded:
        return Loaded("cpu")

    def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:  # noqa: ARG002
        return ()

    def load_checker(self) -> Checker:
        raise LoadError("there is none")

    def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image.Image]:
        on_step(1)
        return [Image.new("RGB", (8, 8)) for _ in batch]


if __name__ == "__main__":
    serve(Settings(), Stub())
