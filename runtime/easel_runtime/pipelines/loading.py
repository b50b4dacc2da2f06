"""From a model id to a pipeline in memory, through the ordinary loading code of diffusers."""

import json
import logging
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from easel_runtime.engine import LoadError
from easel_runtime.pipelines import demo
from easel_runtime.pipelines.families import FAMILIES, GENERIC, Family
from easel_runtime.settings import Settings

_log = logging.getLogger(__name__)
_DTYPE: Final = {"cuda": torch.bfloat16, "mps": torch.float16, "cpu": torch.float32}
"""By device type, always explicit: what a cache happens to hold must not decide the precision."""


def load_pipeline(settings: Settings, device: torch.device) -> tuple[Any, Family]:
    """The pipeline of `settings.model_id` on `device`, and its family.

    Raises:
        LoadError: the repository cannot be had, or holds no image-to-image pipeline.
    """
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        source = _source(settings)
        index = _index(source, settings)
        family = FAMILIES.get(index["_class_name"], GENERIC)
        pipeline = getattr(diffusers, family.pipeline).from_pretrained(
            source,
            revision=settings.revision,
            cache_dir=settings.model_dir,
            dtype=_DTYPE[device.type],
            use_safetensors=True,
            # Easel has no safety check yet. One that came along would blacken pictures without a word in the answer.
            **({"safety_checker": None, "requires_safety_checker": False} if "safety_checker" in index else {}),
        )
    except GatedRepoError as error:
        raise LoadError(f"{settings.model_id} is gated: accept its terms on the Hub and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise LoadError(f"{settings.model_id} has no revision {settings.revision}") from error
    except RepositoryNotFoundError as error:
        raise LoadError(f"there is no repository {settings.model_id} on the Hub, or it needs HF_TOKEN") from error
    except LocalEntryNotFoundError as error:
        raise LoadError(
            f"the Hub cannot be reached, and {settings.model_id} is not in the cache (revision {settings.revision})"
        ) from error
    except EntryNotFoundError as error:
        raise LoadError(f"{settings.model_id} is not a diffusers repository: {error}") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise LoadError(f"{settings.model_id} cannot be loaded: {error}") from error
    if family.scheduler is not None:
        pipeline.scheduler = getattr(diffusers, family.scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    _log.info("loaded %s (%s) on %s", settings.model_id, type(pipeline).__name__, device)
    return pipeline.to(device), family


def _source(settings: Settings) -> str:
    """What diffusers loads from: the model id, or the folder of a model that comes with Easel."""
    if settings.model_id == demo.MODEL_ID:
        return str(demo.folder())
    return settings.model_id


def _index(source: str, settings: Settings) -> dict[str, Any]:
    """The repository's model_index.json: which pipeline it is for, and its components."""
    folder = Path(source)
    file = folder / "model_index.json"
    if not folder.is_dir():
        file = Path(
            hf_hub_download(source, "model_index.json", revision=settings.revision, cache_dir=settings.model_dir)
        )
    try:
        index: dict[str, Any] = json.loads(file.read_text())
        index["_class_name"] = str(index["_class_name"])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise LoadError(
            f"{settings.model_id} is not a diffusers repository: it has no model_index.json that names a pipeline"
        ) from error
    return index
