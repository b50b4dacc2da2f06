"""What a picture goes through after the model's thread, so that the next one need not wait for it: encoding."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from PIL.Image import Image

from easel_runtime.encoding import Encode, Encoded
from easel_runtime.engine import Generation

_ENCODERS: Final = 2
"""Threads that encode: one image is often done before the next is made, and a large one holds up nobody."""


@dataclass(frozen=True)
class Output:
    """One image of an answer."""

    seed: int
    nsfw: bool
    file: Encoded


class Finishing:
    """Turns pictures into outputs, on threads of its own."""

    def __init__(self) -> None:
        self._encoders = ThreadPoolExecutor(max_workers=_ENCODERS, thread_name_prefix="encode")

    def submit(self, generation: Generation, seed: int, picture: Image, encode: Encode) -> Future[Output]:  # noqa: ARG002
        """The output that becomes of `picture`, which was made for `generation` with `seed`."""
        return self._encoders.submit(_output, seed, picture, encode)

    def close(self) -> None:
        """Finish what was submitted, without waiting for it."""
        self._encoders.shutdown(wait=False)


def _output(seed: int, picture: Image, encode: Encode) -> Output:
    return Output(seed, nsfw=False, file=encode(picture))
