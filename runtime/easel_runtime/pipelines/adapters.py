"""LoRAs in the model: exactly those of the request in work are part of it, and of the others there is no trace.

peft puts a wrapper around each layer that a LoRA changes. A wrapper costs time at each call even if nothing in it is
active: 8 to 20 microseconds as measured, and SDXL has 560 of them. So those that no active LoRA needs are taken out,
and kept beside the model for the next request. Without LoRAs the model has the very modules that it was loaded with.
"""

import logging
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from peft.tuners.lora import LoraLayer
from torch.nn import Module

from easel_runtime.engine import GenerationError, Lora, LoraUnavailable, OutOfMemory
from easel_runtime.pipelines.loading import BUILDING
from easel_runtime.pipelines.lora_content import Unfit, checked
from easel_runtime.pipelines.memory import is_out_of_memory

_log = logging.getLogger(__name__)
# What they warn of is checked here, and answered.
logging.getLogger("diffusers.loaders").setLevel(logging.CRITICAL)


_NAME: Final = "lora"
"""By which peft knows each LoRA: there is never more than one in a wrapper."""


@dataclass(frozen=True)
class _Place:
    """Where a layer of the model is that a LoRA changes."""

    parent: Module
    name: str
    layer: Module
    """What is there without LoRAs."""

    def put(self, module: Module) -> None:
        setattr(self.parent, self.name, module)


@dataclass(frozen=True)
class _Adapter:
    """A LoRA in memory."""

    wrappers: Mapping[_Place, Any]
    """Of peft, by where each belongs when the LoRA is active."""
    size: int
    """Bytes."""


class Adapters:
    """The LoRAs of one pipeline. All calls come from the model's thread."""

    def __init__(self, pipeline: Any, base: str | None, memory: int) -> None:
        """`base`: for which model LoRAs must be made to fit; None: none fit. `memory`: most bytes of them in memory."""
        self._pipeline = pipeline
        self.base = base if hasattr(pipeline, "load_lora_weights") else None
        """For which model LoRAs must be made; None: the pipeline takes none."""
        self._memory = memory
        for part in self._parts():
            part.requires_grad_(requires_grad=False)  # as peft leaves it: a compiled model would else be compiled again
        self._adapters: OrderedDict[Path, _Adapter] = OrderedDict()
        """By file; the one that was used last is the last."""
        self._active: tuple[tuple[Path, float], ...] = ()

    @property
    def active(self) -> Hashable:
        """Changes when the model does: what was computed with one set of LoRAs holds for no other."""
        return self._active

    def use(self, loras: Sequence[Lora]) -> None:
        """Make exactly these part of the model, loading those that are not in memory.

        Raises:
            GenerationError: one does not fit this model.
            LoraUnavailable: the file of one is gone.
            OutOfMemory: the device is too small for them.
        """
        wanted = tuple((lora.file, lora.weight) for lora in loras)
        if wanted == self._active:
            return
        self._detach()
        for lora in loras:
            if lora.file in self._adapters:
                self._adapters.move_to_end(lora.file)
        for lora in loras:
            if lora.file not in self._adapters:
                self._load(lora, keep=len(loras))
        self._make_room(keep=len(loras))
        self._attach(wanted)

    def clear(self) -> None:
        """Give back the memory of those that the request in work does not use."""
        self._make_room(keep=len(self._active), most=0)

    def _load(self, lora: Lora, keep: int) -> None:
        if not lora.file.is_file():
            raise _gone(lora)
        self._make_room(keep, coming=lora.file.stat().st_size)
        wrappers: dict[_Place, Any] = {}
        try:
            with BUILDING, self._collecting(wrappers), checked(self._pipeline, lora.file) as content:
                self._pipeline.load_lora_weights(lora.file.parent, weight_name=lora.file.name, adapter_name=_NAME)
            tensors = [
                tensor
                for wrapper in wrappers.values()
                for path, tensor in wrapper.named_parameters()
                if _NAME in path.split(".")
            ]
            content.check_loaded(tensors)
        except Exception as error:
            if is_out_of_memory(error):
                self._adapters.clear()
                raise OutOfMemory("there is too little memory for these LoRAs; send fewer of them") from error
            if isinstance(error, torch.AcceleratorError):  # not the LoRA's fault, and perhaps the end of the context
                raise
            raise self._refusal(lora, error) from error
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        self._adapters[lora.file] = _Adapter(wrappers, size)
        _log.info("loaded LoRA %s", lora.repo_id, extra={"bytes": size})

    def _refusal(self, lora: Lora, error: Exception) -> Exception:
        """What the caller is told of `error`, which ended the loading of `lora`."""
        if not lora.file.is_file():  # deleted just now
            return _gone(lora)
        _log.info("LoRA %s does not fit: %s", lora.repo_id, error)
        why = str(error) if isinstance(error, Unfit) else "its weights are of another shape, or for other layers"
        return GenerationError(
            f"LoRA {lora.repo_id} cannot be used: {why}. LoRAs for this model must be made for {self.base}"
        )

    @contextmanager
    def _collecting(self, wrappers: dict[_Place, Any]) -> Iterator[None]:
        """What is put around the model's layers within it is in `wrappers` afterwards, and the model as before."""
        places = [
            _Place(parent, name, layer)
            for part in self._parts()
            for parent in part.modules()
            for name, layer in parent.named_children()
        ]
        try:
            yield
        finally:
            for place in places:
                now = getattr(place.parent, place.name)
                if now is not place.layer:
                    place.put(place.layer)
                    if isinstance(now, LoraLayer):
                        wrappers[place] = now
            for part in self._parts():
                # Where diffusers and transformers note what they have put into the model.
                vars(part).pop("peft_config", None)
                vars(part).pop("_hf_peft_config_loaded", None)

    def _attach(self, wanted: tuple[tuple[Path, float], ...]) -> None:
        self._active = wanted
        for file, weight in wanted:
            for place, wrapper in self._adapters[file].wrappers.items():
                wrapper.base_layer = getattr(place.parent, place.name)  # which may be the wrapper of another LoRA
                wrapper.set_scale(_NAME, weight)
                place.put(wrapper)

    def _detach(self) -> None:
        for file, _ in self._active:
            for place, wrapper in self._adapters[file].wrappers.items():
                wrapper.base_layer = place.layer
                place.put(place.layer)
        self._active = ()

    def _make_room(self, keep: int, coming: int = 0, most: int | None = None) -> None:
        """Remove those that were used longest ago, but not the last `keep`, until the rest and `coming` have room."""
        most = self._memory if most is None else most
        while len(self._adapters) > keep and sum(each.size for each in self._adapters.values()) + coming > most:
            file, _ = self._adapters.popitem(last=False)
            _log.info("removed %s from memory: no room for all LoRAs", file)

    def _parts(self) -> list[Any]:
        """The models in the pipeline that LoRAs can change."""
        names = self._pipeline._lora_loadable_modules if self.base is not None else ()  # noqa: SLF001
        return [part for name in names if (part := getattr(self._pipeline, name, None)) is not None]


def _gone(lora: Lora) -> LoraUnavailable:
    return LoraUnavailable(f"LoRA {lora.repo_id} is not on this machine any more; send the request again")
