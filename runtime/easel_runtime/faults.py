"""What a failure of the model means: an answer for its caller, and whether only a restart can help.

A GPU that ran out of memory goes on working, and so does a model that stumbled over one request. One whose context is
broken answers every later call with the same error, and health must say so: else callers get errors for hours from a
runtime that calls itself fine.
"""

import gc
import logging
import re
from collections.abc import Callable
from typing import Final

from easel_http.errors import ApiError, BadRequest, Failed, Unavailable
from easel_runtime.engine import Generation, GenerationError, LoraUnavailable, OutOfMemory

_log = logging.getLogger(__name__)

_STICKY: Final = re.compile(
    "an illegal memory access was encountered"
    "|the launch timed out and was terminated"
    "|device-side assert triggered"
    "|hardware stack error"
    "|an illegal instruction was encountered"
    "|misaligned address"
    "|operation not supported on global/shared address space"
    "|invalid program counter"
    "|unspecified launch failure"
    "|uncorrectable (?:ECC|NVLink) error"
    "|invalid access of peer GPU memory"
    "|(?:GPU|device) (?:is lost|has fallen off the bus)"
    "|CUDA error: unknown error"
    "|(?:CUBLAS|CUDNN)_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR)",
    re.IGNORECASE,
)
"""Texts of the errors after which, as the CUDA Runtime API says of their codes (cudaError 214, 220, 700, 702, 710, 714
to 719), "the process must be terminated and relaunched"; and of what cuBLAS and cuDNN make of them."""
_LORA_SECONDS: Final = 1
"""When to ask again for a LoRA whose file has gone; it is downloaded anew then."""
_STRIKES: Final = 3
"""Pictures in a row that found too little memory although others of their size had fit."""


def is_sticky(error: BaseException | None) -> bool:
    """Whether `error`, or what it came from, is one that the GPU's context does not survive."""
    while error is not None:
        if isinstance(error, RuntimeError) and _STICKY.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


class Faults:
    """Keeps book of failures. All calls come from the model's thread, but `fatal` may be read from any."""

    def __init__(self, probe: Callable[[], object]) -> None:
        """`probe`: a tiny edit that always works, if anything does."""
        self._probe = probe
        self._fits = 0
        self._strikes = 0
        self.fatal = ""
        """Why only a restart can help; blank while it is not so."""

    def worked(self, generation: Generation) -> None:
        """Every image of `generation` was made."""
        self._fits = max(self._fits, _pixels(generation))
        self._strikes = 0

    def answer(self, error: Exception, generation: Generation) -> ApiError:
        """What the caller of `generation` is told of `error`; sets `fatal` if it is the end.

        `error` is emptied: its traceback holds the tensors of the pipeline that failed.
        """
        if isinstance(error, ApiError):
            return error
        if isinstance(error, GenerationError):
            return BadRequest(str(error))
        if isinstance(error, LoraUnavailable):
            return Unavailable(str(error), retry_after=_LORA_SECONDS, field="loras")
        if isinstance(error, OutOfMemory):
            _log.warning("out of memory", extra={"pixels": _pixels(generation)})
            answer = self._too_large(str(error), _pixels(generation))
        else:
            _log.error("generation failed", exc_info=error)
            answer = Failed("the model failed at this request; the runtime's log has more")
        sticky = is_sticky(error)
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        forget(error)
        if sticky:
            self.fatal = f"the GPU needs a restart of the runtime: {text}"
        elif not self.fatal:
            self._ask(text)
        return answer

    def _too_large(self, text: str, pixels: int) -> Failed:
        if pixels <= self._fits:
            self._strikes += 1
            if self._strikes >= _STRIKES:
                self.fatal = f"the memory of the GPU does not come back: {_STRIKES} times too little for what had fit"
            return Failed(f"{text} (pictures of this size have fit before: try again)", max_pixels=pixels)
        fits = self._fits or pixels // 2
        known = "have fit" if self._fits else "may fit"
        return Failed(f"{text} ({fits} pixels {known}; this picture has {pixels})", max_pixels=fits)

    def _ask(self, text: str) -> None:
        """Whether the model still works at all."""
        try:
            self._probe()
        except Exception as error:
            _log.exception("the model does not work any more")
            self.fatal = f"the model does not work any more since {text}"
            forget(error)


def _pixels(generation: Generation) -> int:
    return generation.image.width * generation.image.height


def forget(error: BaseException) -> None:
    """Let go of everything that the frames of `error` hold, and of what it came from."""
    seen: BaseException | None = error
    while seen is not None:
        following = seen.__cause__ or seen.__context__
        seen.__traceback__ = seen.__cause__ = seen.__context__ = None
        seen = following
    gc.collect()
