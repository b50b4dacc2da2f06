"""Which files of a repository a pipeline needs. Pure.

A repository often holds the same weights several times: for other frameworks, in other precisions, and all
components once more in one file at the root (13.9 GB for SDXL Turbo). One copy is enough.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import Final

from easel_runtime.engine import LoadError

INDEX: Final = "model_index.json"
VARIANT: Final = "fp16"
"""The only variant that is looked for, and only where a component has no weights of full precision."""
_STEM: Final = r"(?:diffusion_pytorch_model|model)"
_PART: Final = r"(?:-\d{5}-of-\d{5})?"
_FULL: Final = re.compile(rf"{_STEM}{_PART}\.safetensors|{_STEM}\.safetensors\.index\.json")
_HALF: Final = re.compile(rf"{_STEM}\.{VARIANT}{_PART}\.safetensors|{_STEM}\.safetensors\.index\.{VARIANT}\.json")
_ANY_WEIGHTS: Final = re.compile(r".*\.(?:safetensors|bin|pt|pth|ckpt|msgpack|h5|onnx)(?:\.index\..*json)?")
_SETTINGS: Final = frozenset({".json", ".txt", ".model", ".jinja"})


def needed(listing: Collection[str], components: Iterable[str]) -> frozenset[str]:
    """The paths in `listing` that a pipeline of these `components` is loaded from.

    Raises:
        LoadError: a component has weights, but none as safetensors; other formats can run code when they are read.
    """
    wanted = {INDEX}
    for component in components:
        files = {PurePosixPath(path).name for path in listing if PurePosixPath(path).parent.as_posix() == component}
        wanted |= {f"{component}/{name}" for name in _settings(files) | _weights(component, files)}
    return frozenset(wanted)


def needed_of_model(repo_id: str, listing: Collection[str]) -> frozenset[str]:
    """The paths in `listing` that a model of transformers is loaded from which is all of the repository `repo_id`.

    Raises:
        LoadError: as `needed`.
    """
    files = {path for path in listing if "/" not in path}
    return frozenset(_settings(files) | _weights(repo_id, files))


def is_half(path: str) -> bool:
    """Whether the file at `path` holds weights of the variant."""
    return _HALF.fullmatch(PurePosixPath(path).name) is not None


def _settings(files: set[str]) -> set[str]:
    return {name for name in files if PurePosixPath(name).suffix in _SETTINGS and _ANY_WEIGHTS.fullmatch(name) is None}


def _weights(component: str, files: set[str]) -> set[str]:
    for pattern in (_FULL, _HALF):
        if found := {name for name in files if pattern.fullmatch(name)}:
            return found
    if any(_ANY_WEIGHTS.fullmatch(name) for name in files):
        raise LoadError(f"{component} has no weights as safetensors, and other formats are not loaded")
    return set()
