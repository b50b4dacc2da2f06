"""`needed`: one copy of everything a pipeline is made of, and nothing else of a large repository."""

import pytest

from easel_runtime.engine import LoadError
from easel_runtime.pipelines.weights import is_half, needed

SETTINGS = ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt"]
COMPONENTS = ["scheduler", "tokenizer", "unet"]
FULL, HALF = "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"


def chosen(*files: str) -> set[str]:
    """What of the UNet's `files` is loaded."""
    return set(needed([*SETTINGS, "unet/config.json", *files], COMPONENTS)) - {*SETTINGS, "unet/config.json"}


def test_settings_and_tokenizers_are_needed_whole() -> None:
    assert needed([*SETTINGS, "tokenizer/spiece.model"], COMPONENTS) == {*SETTINGS, "tokenizer/spiece.model"}


def test_what_belongs_to_no_component_is_not_needed() -> None:
    others = ["README.md", "sd_turbo.safetensors", "safety_checker/model.safetensors", "vae_decoder/model.onnx", "a.py"]
    assert chosen(FULL, *others, "unet/README.md", "unet/deeper/diffusion_pytorch_model.safetensors") == {FULL}


@pytest.mark.parametrize(
    ("files", "loaded"),
    [
        pytest.param([FULL], {FULL}, id="full"),
        pytest.param([FULL, HALF], {FULL}, id="full before fp16"),
        pytest.param([HALF], {HALF}, id="fp16 where it is all there is"),
        pytest.param([FULL, "unet/diffusion_pytorch_model.non_ema.safetensors"], {FULL}, id="no other variant"),
        pytest.param([FULL, "unet/diffusion_pytorch_model.bin", "unet/model.onnx"], {FULL}, id="no other format"),
        pytest.param(["unet/model.safetensors"], {"unet/model.safetensors"}, id="of transformers"),
    ],
)
def test_of_weights_one_copy_is_needed(files: list[str], loaded: set[str]) -> None:
    assert chosen(*files) == loaded


def test_weights_in_parts_are_needed_with_their_index() -> None:
    stem = "unet/diffusion_pytorch_model"
    full = {f"{stem}-0000{part}-of-00002.safetensors" for part in (1, 2)} | {f"{stem}.safetensors.index.json"}
    half = {f"{stem}.fp16-0000{part}-of-00002.safetensors" for part in (1, 2)} | {f"{stem}.safetensors.index.fp16.json"}
    pickled = {f"{stem}-00001-of-00002.bin", f"{stem}.bin.index.json"}
    assert chosen(*full, *half, *pickled) == full
    assert chosen(*half, *pickled) == half
    assert {is_half(path) for path in half} == {True}
    assert {is_half(path) for path in full} == {False}


@pytest.mark.parametrize("file", ["diffusion_pytorch_model.bin", "model.ckpt", "flax_model.msgpack"])
def test_weights_that_could_run_code_are_refused(file: str) -> None:
    with pytest.raises(LoadError, match="unet has no weights as safetensors, and other formats are not loaded"):
        chosen(f"unet/{file}")
