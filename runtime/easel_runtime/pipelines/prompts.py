"""Prompts that were encoded before: the very same tensors again, so that a repeated prompt costs no text encoder."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final

import torch

CACHE_BYTES: Final = 64 << 20
"""Most bytes of the tensors that are kept, in the device's memory: some 100 pairs of a prompt and a negative prompt for
SDXL, some 15 prompts for FLUX.1."""
_METHODS: Final = ("encode_prompt", "_encode_prompt")
"""What pipelines call to encode; InstructPix2Pix has the older of the two alone."""
_PLAIN: Final = (str, int, float, type(None), torch.device, torch.dtype)
"""Arguments that can be compared. A pipeline that also encodes pictures or tensors encodes them each time."""


class PromptCache:
    """Stands in the place of a pipeline's method that encodes prompts; least recently used first out.

    What a pipeline changed in place is encoded anew: torch counts the changes of each tensor.
    """

    def __init__(
        self, encode: Callable[..., Any], state: Callable[[], Hashable] = lambda: None, capacity: int = CACHE_BYTES
    ) -> None:
        """`state`: equal as long as the text encoders have the same weights."""
        self._encode = encode
        self._state = state
        self._capacity = capacity
        self._entries: OrderedDict[Hashable, tuple[Any, tuple[int, ...]]] = OrderedDict()
        self._bytes = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the method itself."""
        try:
            key = (self._state(), _key(args), _key(sorted(kwargs.items())))
        except TypeError:
            return self._encode(*args, **kwargs)
        if key in self._entries:
            self._entries.move_to_end(key)
            encoded, versions = self._entries[key]
            if versions == _versions(encoded):
                return _again(encoded)
            self._drop(key)
        encoded = self._encode(*args, **kwargs)
        self._keep(key, encoded)
        return encoded

    def _keep(self, key: Hashable, encoded: Any) -> None:
        try:
            entry = _again(encoded), _versions(encoded)
        except TypeError:  # holds something that may change unseen
            return
        self._entries[key] = entry
        self._bytes += _size(encoded)
        while self._bytes > self._capacity:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        encoded, _ = self._entries.pop(key)
        self._bytes -= _size(encoded)


def remember_prompts(pipeline: Any, state: Callable[[], Hashable] = lambda: None) -> None:
    """Have `pipeline` encode no prompt twice, as long as `state` stays equal; nothing where it has no such method."""
    name = next((name for name in _METHODS if hasattr(pipeline, name)), None)
    if name is not None:
        setattr(pipeline, name, PromptCache(getattr(pipeline, name), state))


def _key(argument: Any) -> Hashable:
    if isinstance(argument, list | tuple):
        return tuple(_key(part) for part in argument)
    if isinstance(argument, _PLAIN):
        return argument
    raise TypeError


def _again(encoded: Any) -> Any:
    """`encoded` with lists of its own."""
    if isinstance(encoded, list):
        return [_again(part) for part in encoded]
    if type(encoded) is tuple:
        return tuple(_again(part) for part in encoded)
    if encoded is None or isinstance(encoded, torch.Tensor):
        return encoded
    raise TypeError


def _tensors(encoded: Any) -> Iterator[torch.Tensor]:
    if isinstance(encoded, torch.Tensor):
        yield encoded
    elif encoded is not None:
        for part in encoded:
            yield from _tensors(part)


def _versions(encoded: Any) -> tuple[int, ...]:
    return tuple(tensor._version for tensor in _tensors(encoded))  # noqa: SLF001 (torch has no other name for it)


def _size(encoded: Any) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in _tensors(encoded))
