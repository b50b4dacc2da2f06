"""Too little memory: how each device says it, and how what is free again is given back."""

import gc
import re
from typing import Final

import torch

_TOO_LITTLE: Final = re.compile(
    "DefaultCPUAllocator: (?:can't allocate|not enough) memory"
    "|MPS backend out of memory"
    "|(?:CUBLAS|CUDNN|CUSOLVER)_STATUS_ALLOC_FAILED"
    "|CUDA error: out of memory",
    re.IGNORECASE,
)
"""What a plain RuntimeError of torch says: from the CPU's allocator, and from libraries that allocate by themselves."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` says that the device, or the machine, has too little memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _TOO_LITTLE.search(str(error)) is not None


def give_back() -> None:
    """Give the GPU what torch keeps for later, so that it can be had in other pieces.

    Only what nothing refers to is given back; so not while an error is handled, whose traceback holds every tensor.
    """
    gc.collect()
    torch.cuda.empty_cache()
