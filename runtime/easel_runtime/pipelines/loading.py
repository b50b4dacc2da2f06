"""From a model id to a pipeline in memory."""

import json
import logging
import threading
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from safetensors import SafetensorError
from safetensors.torch import load_file

from easel_runtime.engine import LoadError
from easel_runtime.pipelines import demo
from easel_runtime.pipelines.classes import pipeline_class
from easel_runtime.pipelines.families import BY_CLASS, BY_MODEL, GENERIC, PRECISION, Family, Repository, Scheduler
from easel_runtime.pipelines.repository import Snapshot, complete, look_up, of_folder
from easel_runtime.pipelines.weights import INDEX, VARIANT, is_half, needed
from easel_runtime.settings import Settings

_log = logging.getLogger(__name__)
# They say what of a prompt was cut off, and prompts are the callers' own.
logging.getLogger("diffusers.pipelines").setLevel(logging.ERROR)

BUILDING: Final = threading.Lock()
"""Held while modules are built beside other work. Meanwhile accelerate, peft and transformers replace functions of
torch for every thread: how a module takes a parameter, and how one begins. Two at once would spoil each other's."""


@dataclass(frozen=True)
class Model:
    """A pipeline in memory."""

    pipeline: Any
    family: Family
    commit: str
    """Commit of the model's own repository; blank for a model that is a folder."""


def load_model(settings: Settings, device: torch.device) -> Model:
    """The model `settings.model_id` on `device`.

    Raises:
        LoadError: the repository cannot be had, is not whole, or holds no image-to-image pipeline.
    """
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    family = BY_MODEL.get(settings.model_id)
    own = _own_snapshot(settings, family)
    home = look_up(family.base, settings.model_dir) if family and family.base else own
    index = _index(home, settings)
    family = family or BY_CLASS.get(index["_class_name"], GENERIC)
    chosen = pipeline_class(family, index["_class_name"])
    pipeline = _pipeline(chosen, index, home, _Unet(own, family.unet) if family.unet else None, _precision(device))
    if family.scheduler is not None:
        pipeline.scheduler = _scheduler(family.scheduler, pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    _log.info("loaded %s@%s (%s) on %s", settings.model_id, own.commit, type(pipeline).__name__, device)
    return Model(pipeline.to(device), family, own.commit)


def _own_snapshot(settings: Settings, family: Family | None) -> Snapshot:
    """Of the model's repository, or of the folder of a model that comes with Easel."""
    if settings.model_id == demo.MODEL_ID:
        return of_folder(demo.FOLDER)
    if Path(settings.model_id).is_dir():
        return of_folder(Path(settings.model_id))
    repo_id = (family and family.weights) or settings.model_id
    return look_up(Repository(repo_id, settings.revision), settings.model_dir)


def _precision(device: torch.device) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, PRECISION[device.type])
    return dtype


def _index(snapshot: Snapshot, settings: Settings) -> dict[str, Any]:
    """The repository's model_index.json: which pipeline it is for, and its components."""
    try:
        index: dict[str, Any] = json.loads((snapshot.folder / INDEX).read_text())
        index["_class_name"] = str(index["_class_name"])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise LoadError(
            f"{settings.model_id} is not a diffusers repository: it has no {INDEX} that names a pipeline"
        ) from error
    return index


@dataclass(frozen=True)
class _Unet:
    """A UNet in one file."""

    snapshot: Snapshot
    name: str

    def file(self) -> Path:
        """Downloaded if it was not there.

        Raises:
            LoadError: it cannot be had.
        """
        if self.name not in self.snapshot.sizes:
            raise LoadError(f"{self.snapshot.repository.repo_id} has no file {self.name}")
        complete(self.snapshot, [self.name])
        return self.snapshot.folder / self.name


def _pipeline(chosen: Any, index: dict[str, Any], home: Snapshot, unet: _Unet | None, dtype: torch.dtype) -> Any:
    parts = {name: made_of[-1] for name, made_of in index.items() if isinstance(made_of, list)}
    # What a repository leaves out (Stable Diffusion 3 its largest text encoder) must be left out by name.
    more: dict[str, Any] = {
        name: None for name, made_of in parts.items() if not made_of and name in signature(chosen).parameters
    }
    if "safety_checker" in parts:
        # Images are looked at by the ImageModel's policy, after the pipeline (`pipelines.safety`). One that came along
        # would blacken them whatever the policy, and without a word in the answer.
        more |= {"safety_checker": None, "requires_safety_checker": False}
    paths = needed(home.sizes, parts.keys() - more.keys() - ({"unet"} if unet else set()))
    complete(home, paths | {"unet/config.json"} if unet else paths)
    try:
        if unet is not None:
            more["unet"] = _unet(home.folder / "unet", unet.file(), dtype)
        pipeline = chosen.from_pretrained(
            home.folder,
            dtype=dtype,
            use_safetensors=True,
            variant=VARIANT if any(is_half(path) for path in paths) else None,
            local_files_only=True,
            **more,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise LoadError(f"{home.repository.repo_id} cannot be loaded: {error}") from error
    if dtype is not torch.float16 and "vae" in pipeline.components and "force_upcast" in pipeline.vae.config:
        # It is there for float16. Left on, each request would cast the VAE to float32 and back to encode its picture.
        pipeline.vae.register_to_config(force_upcast=False)
    return pipeline


def _unet(folder: Path, weights: Path, dtype: torch.dtype) -> Any:
    """The UNet that `folder` describes, with these `weights`: mapped from the file, never initialised at random."""
    unet_class: Any = diffusers.UNet2DConditionModel
    with init_empty_weights():
        unet = unet_class.from_config(unet_class.load_config(folder, local_files_only=True))
    # Converted before and not after: to a model in memory diffusers says that it may lose precision thereby.
    unet.load_state_dict({name: part.to(dtype) for name, part in load_file(weights).items()}, assign=True)
    return unet.eval()


def _scheduler(scheduler: Scheduler, config: Any) -> Any:
    return getattr(diffusers, scheduler.name).from_config(config, **scheduler.settings)
