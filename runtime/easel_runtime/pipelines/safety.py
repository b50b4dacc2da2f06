"""Safety checkers. Imported late, on the checker's thread.

A repository is of one of two kinds, by the `architectures` in its config.json:

- StableDiffusionSafetyChecker: how near an image comes to each of a number of concepts, with a threshold for each.
- ...ForImageClassification of transformers: how probable the labels are that count as not safe for work.

Both run in float32 on every device: a threshold is no place for rounding, and they are small.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import diffusers
import numpy as np
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker, cosine_distance
from PIL.Image import Image
from safetensors import SafetensorError

from easel_crds.safety import Safety
from easel_runtime.engine import Checker, LoadError, OutOfMemory
from easel_runtime.pipelines.families import Repository
from easel_runtime.pipelines.loading import BUILDING
from easel_runtime.pipelines.repository import Snapshot, complete, look_up
from easel_runtime.pipelines.weights import VARIANT, is_half, needed_of_model

UNSAFE_LABELS: Final = frozenset(
    {"nsfw", "unsafe", "explicit", "porn", "pornography", "hentai", "sexy", "sexual", "nude", "nudity"}
)
"""Labels of a classifier, in lower case, that count as not safe for work. docs/api.md lists them."""
_PROBABLE: Final = 0.5
"""How probable these must be together."""
_CONFIG: Final = "config.json"
_CARE: Final = np.float32(0.01)
"""How much nearer all concepts count as soon as one for special care was met; diffusers' number."""
_DIGITS: Final = 3
"""To which diffusers rounds before it compares with 0."""

_log = logging.getLogger(__name__)


def load_checker(policy: Safety, cache: Path | None, device: torch.device) -> Checker:
    """The checker of `policy` on `device`. `cache`: as for `look_up`.

    Raises:
        LoadError: it cannot be had, is of neither kind, or does not fit.
    """
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    snapshot = look_up(Repository(policy.checker, policy.revision), cache)
    architecture = _architecture(snapshot)
    paths = needed_of_model(policy.checker, snapshot.sizes)
    complete(snapshot, paths)
    run = _Runs(device)
    try:
        with BUILDING, run.apart():
            checker = _of_architecture(
                architecture, snapshot.folder, run, VARIANT if any(map(is_half, paths)) else None
            )
    except torch.cuda.OutOfMemoryError as error:
        raise LoadError(f"the GPU has too little memory left for {policy.checker}") from error
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise LoadError(f"{policy.checker} cannot be loaded: {error}") from error
    _log.info("loaded %s@%s (%s) on %s", policy.checker, snapshot.commit, architecture, device)
    return checker


def _architecture(snapshot: Snapshot) -> str:
    """The class that the repository's weights are of."""
    if _CONFIG in snapshot.sizes:
        complete(snapshot, [_CONFIG])
    try:
        (name,) = json.loads((snapshot.folder / _CONFIG).read_text())["architectures"]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise LoadError(
            f"{snapshot.repository.repo_id} is no safety checker: it has no {_CONFIG} that names its architecture"
        ) from error
    return str(name)


def _of_architecture(architecture: str, folder: Path, run: "_Runs", variant: str | None) -> Checker:
    if architecture == StableDiffusionSafetyChecker.__name__:
        return _Concepts(_model(StableDiffusionSafetyChecker, folder, run, variant), folder, run)
    if architecture.endswith("ForImageClassification"):
        return _Labels(_model(transformers.AutoModelForImageClassification, folder, run, variant), folder, run)
    raise ValueError(
        f"it is a {architecture}; a safety checker is a {StableDiffusionSafetyChecker.__name__} or an image classifier"
        " of transformers"
    )


def _model(kind: Any, folder: Path, run: "_Runs", variant: str | None) -> Any:
    """The weights in `folder` as a `kind`. Transformers would make up what is missing of them at random."""
    model, found = kind.from_pretrained(
        folder,
        dtype=torch.float32,
        use_safetensors=True,
        variant=variant,
        local_files_only=True,
        output_loading_info=True,
    )
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"weights are missing: {', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}")
    return model.eval().to(run.device)


class _Runs:
    """How a checker runs on a device: apart from the model, whose next image is being made on the same one."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # On the model's stream a check would wait for all the steps that are queued there. Its few kernels go first.
        cuda: Any = torch.cuda
        self._stream = cuda.Stream(device, priority=-1) if device.type == "cuda" else None

    def apart(self) -> AbstractContextManager[Any]:
        """What is run within does not wait for the model."""
        return torch.cuda.stream(self._stream) if self._stream is not None else nullcontext()

    def ask(self, model: Any, pixels: torch.Tensor) -> "np.ndarray[Any, Any]":
        """What `model` returns for `pixels`, brought to the CPU at once: each transfer waits for the device.

        Raises:
            OutOfMemory: the device has too little memory for it.
        """
        try:
            with torch.inference_mode(), self.apart():
                answer: np.ndarray[Any, Any] = model(pixels.to(self.device)).float().cpu().numpy()
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfMemory("the GPU has too little memory for it") from error
        return answer


class _Concepts:
    """The checker of Stable Diffusion, with the result of its own `forward` and one transfer where that has 22."""

    def __init__(self, model: Any, folder: Path, run: _Runs) -> None:
        self._model = model
        self._run = run
        self._processor: Any = transformers.CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
        self._special_thresholds = model.special_care_embeds_weights.detach().cpu().numpy()
        self._thresholds = model.concept_embeds_weights.detach().cpu().numpy()

    def is_unsafe(self, picture: Image) -> bool:
        """See `Checker.is_unsafe`."""
        pixels = self._processor(picture, return_tensors="pt").pixel_values
        nearness = self._run.ask(self._nearness, pixels)[0]
        specials = len(self._special_thresholds)
        special = np.round(nearness[:specials] - self._special_thresholds, _DIGITS) > 0
        care = _CARE if special.any() else np.float32(0)
        return bool((np.round(nearness[specials:] - self._thresholds + care, _DIGITS) > 0).any())

    def _nearness(self, pixels: torch.Tensor) -> torch.Tensor:
        """To each concept, those for special care first, as cosines (1, concepts)."""
        embedding = self._model.visual_projection(self._model.vision_model(pixels)[1])
        concepts = (self._model.special_care_embeds, self._model.concept_embeds)
        return torch.cat([cosine_distance(embedding, each) for each in concepts], dim=1)


class _Labels:
    """A classifier of transformers."""

    def __init__(self, model: Any, folder: Path, run: _Runs) -> None:
        labels: Mapping[int, str] = model.config.id2label
        self._unsafe = [index for index, label in labels.items() if label.lower() in UNSAFE_LABELS]
        if not self._unsafe or model.config.problem_type == "multi_label_classification":
            raise ValueError(
                f"it tells {', '.join(labels.values())} apart, and one of several labels must be one that counts as"
                f" not safe for work: {', '.join(sorted(UNSAFE_LABELS))}"
            )
        self._model = model
        self._run = run
        self._processor: Any = transformers.AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True
        )

    def is_unsafe(self, picture: Image) -> bool:
        """See `Checker.is_unsafe`."""
        pixels = self._processor(picture, return_tensors="pt").pixel_values
        return bool(self._run.ask(self._probabilities, pixels)[0, self._unsafe].sum() > _PROBABLE)

    def _probabilities(self, pixels: torch.Tensor) -> torch.Tensor:
        """Of each label (1, labels)."""
        probabilities: torch.Tensor = self._model(pixels).logits.float().softmax(dim=-1)
        return probabilities
