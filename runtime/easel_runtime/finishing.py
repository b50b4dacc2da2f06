"""What a picture goes through after the model's thread, so that the next one need not wait for it: check, encoding."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from PIL import Image

from easel_http.errors import BadRequest
from easel_runtime.encoding import Encode, Encoded
from easel_runtime.engine import Generation
from easel_runtime.safety import SafetyCheck

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

    def __init__(self, safety: SafetyCheck) -> None:
        self._safety = safety
        self._encoders = ThreadPoolExecutor(max_workers=_ENCODERS, thread_name_prefix="encode")

    def submit(self, generation: Generation, seed: int, picture: Image.Image, encode: Encode) -> Future[Output]:
        """The output that becomes of `picture`, which was made for `generation` with `seed`.

        It is looked at if the generation says so. `BadRequest` is the output's error if the policy gives out no such
        picture; `Failed` if the check fails.
        """
        unsafe = self._safety.look_at(picture) if generation.safety_check else None
        return self._encoders.submit(self._output, seed, picture, encode, unsafe)

    def close(self) -> None:
        """Finish what was submitted, without waiting for it."""
        self._encoders.shutdown(wait=False)
        self._safety.close()

    def _output(self, seed: int, picture: Image.Image, encode: Encode, unsafe: Future[bool] | None) -> Output:
        file = encode(picture)  # before it is known what the check finds, which takes about as long
        if unsafe is None or not unsafe.result():
            return Output(seed, nsfw=False, file=file)
        match self._safety.policy.action:
            case "refuse":
                raise BadRequest(
                    "an image was found to be not safe for work, and this model gives out none of these", nsfw=True
                )
            case "blank":
                file = encode(Image.new("RGB", picture.size))
        return Output(seed, nsfw=True, file=file)
