"""LoRAs in tiny models: they change the picture, several add up, none stays, and what does not fit is refused."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from easel_runtime.engine import GenerationError, Lora, LoraUnavailable, OutOfMemory
from easel_runtime.pipelines.families import SDXL_BASE
from support import hub, tiny_loras
from support.hub import Write
from support.tiny_engines import NOISE_OF_LIBRARIES, Engines, alone, asked, edit, engine_of, made, nothing

if TYPE_CHECKING:
    from easel_runtime.pipelines.adapters import Adapters
    from easel_runtime.pipelines.engine import DiffusersEngine

pytestmark = NOISE_OF_LIBRARIES

SD, PIX2PIX = "stabilityai/sd-turbo", "timbrooks/instruct-pix2pix"
SDXL, LIGHTNING = "stabilityai/stable-diffusion-xl-base-1.0", "ByteDance/SDXL-Lightning-2step"
STYLE = "an.org/v1.5-style"
LORAS: dict[str, Write] = {
    STYLE: tiny_loras.for_sd(1),
    "sd/other": tiny_loras.for_sd(2),
    "sd/with-words": tiny_loras.for_sd(1, words=True),
    "sd/words": tiny_loras.for_words(3),
    "sd/convolutions": tiny_loras.convolutional(4),
    "sd/kohya": tiny_loras.kohya(1),
    "sd/kohya-half": tiny_loras.kohya(1, alpha=tiny_loras.RANK / 2),
    "sdxl/style": tiny_loras.for_sdxl(1),
}


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@dataclass(frozen=True)
class Shelf:
    """LoRAs in a folder, and models in another."""

    cache: Path
    loras: dict[str, Path]

    def __call__(self, repo_id: str, weight: float = 1.0) -> Lora:
        return Lora(repo_id, weight, self.loras[repo_id])

    def add(self, folder: Path, repo_id: str, write: Write) -> Lora:
        """A LoRA of one test."""
        folder = hub.add_repository(folder, repo_id, write)
        return Lora(repo_id, 1.0, next(folder.glob("*.safetensors")))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    cache = tmp_path_factory.mktemp("hub")
    hub.add_upstream(cache, SD, PIX2PIX, SDXL, LIGHTNING.removesuffix("-2step"))
    (cache / "models--stabilityai--stable-diffusion-xl-base-1.0" / "refs" / "main").write_text(SDXL_BASE.revision)
    folders = {repo_id: hub.add_repository(cache / "loras", repo_id, write) for repo_id, write in LORAS.items()}
    return Shelf(cache, {repo_id: next(folder.glob("*.safetensors")) for repo_id, folder in folders.items()})


@pytest.fixture(scope="module")
def models(shelf: Shelf) -> Engines:
    return Engines(shelf.cache)


@pytest.fixture
def sd(models: Engines) -> "DiffusersEngine":
    return models[SD][0]


def adapters(engine: "DiffusersEngine") -> "Adapters":
    return engine._adapters


def anatomy(engine: "DiffusersEngine") -> dict[str, object]:
    """Every module of the model by its path, every weight, and the names of what its parts have of their own."""
    found: dict[str, object] = {}
    for name in engine._pipeline._lora_loadable_modules:
        part = getattr(engine._pipeline, name)
        found |= {f"{name}.{path}": id(module) for path, module in part.named_modules()}
        found |= {f"{name}.{path}": (id(weight), weight.requires_grad) for path, weight in part.named_parameters()}
        found[f"of {name}"] = sorted(vars(part))
    return found


# What they do -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "lora"),
    [(SD, STYLE), (PIX2PIX, STYLE), (SDXL, "sdxl/style"), (LIGHTNING, "sdxl/style")],
)
def test_a_lora_changes_the_picture_and_nothing_of_it_is_left_for_the_next_request(
    model_id: str, lora: str, models: Engines, shelf: Shelf
) -> None:
    engine, loaded = models[model_id]
    plain = asked(loaded, num_inference_steps=2)

    def pixels(*loras: Lora) -> bytes:
        return edit(engine, replace(plain, loras=loras), 1, nothing).tobytes()

    before, modules = pixels(), anatomy(engine)
    with_lora = pixels(shelf(lora))
    assert with_lora != before
    assert anatomy(engine) != modules
    assert pixels() == before
    assert anatomy(engine) == modules
    assert pixels(shelf(lora)) == with_lora


@pytest.mark.parametrize("lora", ["sd/with-words", "sd/words", "sd/convolutions", "sd/kohya"])
def test_each_kind_of_lora_changes_the_picture(lora: str, sd: "DiffusersEngine", shelf: Shelf) -> None:
    assert made(sd, loras=(shelf(lora),)) != made(sd)


def test_kohyas_form_is_the_same_lora_and_its_alpha_counts(sd: "DiffusersEngine", shelf: Shelf) -> None:
    assert made(sd, loras=(shelf("sd/kohya"),)) == made(sd, loras=(shelf("sd/with-words"),))
    assert made(sd, loras=(shelf("sd/kohya-half"),)) == made(sd, loras=(shelf("sd/kohya", 0.5),))


def test_weights_scale_also_below_zero(sd: "DiffusersEngine", shelf: Shelf) -> None:
    pictures = [made(sd, loras=(shelf(STYLE, weight),)) for weight in (-1.0, 0.5, 1.0)]
    assert len({made(sd), *pictures}) == 4


def test_a_weight_of_0_is_as_no_lora_and_costs_not_even_a_look_at_the_hub(sd: "DiffusersEngine") -> None:
    assert sd.fetch({"nobody/nothing": 0.0}) == ()


def test_several_loras_add_up_in_whatever_order_they_came_into_memory(sd: "DiffusersEngine", shelf: Shelf) -> None:
    both = shelf(STYLE), shelf("sd/other", -0.5)
    pictures = []
    for first in both:
        made(sd)
        adapters(sd).clear()
        made(sd, loras=(first,))
        pictures.append(made(sd, loras=both))
    assert pictures[0] == pictures[1]
    assert len({pictures[0], *(made(sd, loras=loras) for loras in ((), both[:1], both[1:]))}) == 4
    assert made(sd, loras=both) == pictures[0]


def test_the_same_lora_under_two_names_has_twice_the_weight(
    sd: "DiffusersEngine", shelf: Shelf, tmp_path: Path
) -> None:
    """So adding up is what several LoRAs do; float32 rounds the sum a little differently."""
    twin = shelf.add(tmp_path, "sd/twin", LORAS[STYLE])
    twice = made(sd, loras=(shelf(STYLE, 0.5), Lora("sd/twin", 0.5, twin.file)))
    once = made(sd, loras=(shelf(STYLE),))
    assert max(abs(one - other) for one, other in zip(twice, once, strict=True)) <= 1


def test_who_keeps_what_was_computed_can_tell_one_set_from_another(sd: "DiffusersEngine", shelf: Shelf) -> None:
    tokens = []
    for loras in ((), (shelf("sd/words"),), (shelf("sd/words", 0.5),), (shelf("sd/words"), shelf(STYLE)), ()):
        made(sd, loras=loras)
        tokens.append(adapters(sd).active)
    assert tokens[0] == tokens[4]
    assert len(set(tokens)) == 4


# What they cost -----------------------------------------------------------------------------------------------------


def test_only_layers_of_active_loras_are_wrapped(sd: "DiffusersEngine", shelf: Shelf) -> None:
    def wrapped() -> set[str]:
        return {path for path, module in sd._pipeline.unet.named_modules() if hasattr(module, "base_layer")}

    made(sd, loras=(shelf(STYLE), shelf("sd/convolutions")))
    assert len(wrapped()) == 48
    made(sd, loras=(shelf("sd/convolutions"),))
    assert {path.rpartition(".")[2] for path in wrapped()} == {"conv1", "conv2"}
    made(sd)
    assert wrapped() == set()


def test_those_that_were_used_longest_ago_leave_memory(shelf: Shelf) -> None:
    engine = engine_of(SD, shelf.cache)
    engine._settings = engine._settings.model_copy(update={"lora_memory_bytes": 90_000})
    engine.load()

    def known() -> list[str]:
        return [file.parents[2].name.removeprefix("models--") for file in adapters(engine)._adapters]

    for lora in (STYLE, "sd/other"):
        made(engine, loras=(shelf(lora),))
    assert known() == ["an.org--v1.5-style", "sd--other"]
    assert [each.size for each in adapters(engine)._adapters.values()] == [32_768, 32_768]
    made(engine, loras=(shelf(STYLE),))
    made(engine, loras=(shelf("sd/kohya"),))
    assert known() == ["an.org--v1.5-style", "sd--kohya"]
    before = made(engine, loras=(shelf("sd/other"),))
    four = tuple(shelf(lora) for lora in (STYLE, "sd/convolutions", "sd/kohya", "sd/other"))
    made(engine, loras=four)
    assert len(known()) == 4
    assert made(engine, loras=(shelf("sd/other"),)) == before
    made(engine, loras=(shelf("sd/words"),))
    assert known()[-2:] == ["sd--other", "sd--words"]
    assert sum(each.size for each in adapters(engine)._adapters.values()) <= 90_000


def test_a_lora_that_is_larger_in_memory_than_on_disk_counts_as_it_is(shelf: Shelf, tmp_path: Path) -> None:
    half = tiny_loras.changed(
        tiny_loras.for_sd(5), lambda tensors: {name: part.half() for name, part in tensors.items()}
    )
    lora = shelf.add(tmp_path, "sd/half", half)
    engine = engine_of(SD, shelf.cache)
    engine._settings = engine._settings.model_copy(update={"lora_memory_bytes": 60_000})
    engine.load()
    for each in (shelf(STYLE), lora):
        made(engine, loras=(each,))
    assert 32_768 + lora.file.stat().st_size < 60_000
    assert {file: each.size for file, each in adapters(engine)._adapters.items()} == {lora.file: 32_768}


def test_what_leaves_memory_is_gone(shelf: Shelf) -> None:
    """Also if it was active together with one that stays."""
    engine = engine_of(SD, shelf.cache)
    engine._settings = engine._settings.model_copy(update={"lora_memory_bytes": 70_000})
    engine.load()
    made(engine, loras=(shelf(STYLE), shelf("sd/other")))
    wrappers = [weakref.ref(wrapper) for wrapper in adapters(engine)._adapters[shelf(STYLE).file].wrappers.values()]
    made(engine, loras=(shelf("sd/words"),))
    gc.collect()
    assert list(adapters(engine)._adapters) == [shelf("sd/other").file, shelf("sd/words").file]
    assert not any(wrapper() for wrapper in wrappers)


# What is refused ----------------------------------------------------------------------------------------------------

MADE_FOR = "LoRAs for this model must be made for"


def without(part: str) -> Any:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}


def with_nan(tensors: dict[str, Any]) -> dict[str, Any]:
    next(iter(tensors.values()))[0] = float("nan")
    return tensors


def renamed(old: str, new: str) -> Any:
    return lambda tensors: {name.replace(old, new): tensor for name, tensor in tensors.items()}


NO_PLACE = "parts of it have no place in this model"
SHAPE = "its weights are of another shape, or for other layers"
UNFIT = [
    pytest.param(tiny_loras.for_sdxl(), "it has weights for text_encoder_2.", id="SDXL"),
    pytest.param(tiny_loras.changed(tiny_loras.for_sdxl(), without("text_encoder")), SHAPE, id="SDXL's UNet"),
    pytest.param(
        tiny_loras.changed(tiny_loras.for_sd(), renamed("mid_block", "end_block")), "", id="some other layers"
    ),
    pytest.param(tiny_loras.changed(tiny_loras.for_sd(), renamed("_blocks", "_parts")), "", id="only other layers"),
    pytest.param(tiny_loras.changed(tiny_loras.for_sd(), renamed("unet.", "")), "it has weights for ", id="no prefix"),
    pytest.param(tiny_loras.changed(tiny_loras.for_sd(), without("to_q.lora_B")), "", id="half of a layer"),
    pytest.param(tiny_loras.changed(tiny_loras.for_sd(), without("lora_B")), SHAPE, id="half of all layers"),
    pytest.param(
        tiny_loras.changed(tiny_loras.for_sd(), renamed("lora", "part")), "its file holds no LoRA", id="no LoRA"
    ),
    pytest.param(
        tiny_loras.changed(tiny_loras.for_sd(), renamed("lora_A", "lokr_w1")), "it is a LoKr, and only", id="LoKr"
    ),
    pytest.param(tiny_loras.changed(tiny_loras.for_sd(), with_nan), "it holds numbers that are not finite", id="NaN"),
    pytest.param(tiny_loras.kohya(alpha=float("nan")), "it holds numbers that are not finite", id="alpha"),
    pytest.param(hub.holding({tiny_loras.NAME: "<html>"}), "its file is damaged, or not safetensors", id="no file"),
    pytest.param(
        tiny_loras.described(tiny_loras.for_sd(), rank_pattern={"(a+)+$": 4}),
        "the rank_pattern in its file",
        id="regex",
    ),
    pytest.param(tiny_loras.described(tiny_loras.for_sd(), r=1 << 60), SHAPE, id="rank"),
]


@pytest.mark.parametrize(("write", "sentence"), UNFIT)
def test_what_does_not_fit_is_refused_by_name_and_leaves_nothing(
    write: Write, sentence: str, sd: "DiffusersEngine", shelf: Shelf, tmp_path: Path
) -> None:
    before, modules = made(sd), anatomy(sd)
    lora = shelf.add(tmp_path, "un/fit", write)
    with pytest.raises(GenerationError) as caught:
        made(sd, loras=(shelf(STYLE), lora))
    assert str(caught.value).startswith(f"LoRA un/fit cannot be used: {sentence}")
    assert str(caught.value).endswith(f"{MADE_FOR} Stable Diffusion 2.1")
    assert anatomy(sd) == modules
    assert adapters(sd).active == ()
    assert made(sd) == before


def test_a_lora_for_another_base_says_for_which_it_must_be(models: Engines, shelf: Shelf) -> None:
    for model_id, base in ((SDXL, "SDXL"), (LIGHTNING, "SDXL")):
        with pytest.raises(GenerationError, match=f"LoRA {STYLE} cannot be used: .* {MADE_FOR} {base}$"):
            made(models[model_id][0], loras=(shelf(STYLE),))


@pytest.mark.parametrize(
    "settings",
    [
        {"lora_dropout": 0.9},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "pissa"},
        {"use_dora": True},
        {"target_modules": "(a+)+b"},
        {"modules_to_save": ["conv_in"]},
        {"megatron_core": "antigravity", "megatron_config": {}},
    ],
    ids=str,
)
def test_what_a_file_says_of_its_training_changes_neither_the_model_nor_the_picture(
    settings: dict[str, Any], sd: "DiffusersEngine", shelf: Shelf, tmp_path: Path
) -> None:
    before, plain = made(sd), made(sd, loras=(shelf(STYLE),))
    lora = shelf.add(tmp_path, "with/settings", tiny_loras.described(LORAS[STYLE], **settings))
    assert made(sd, loras=(lora,)) == plain
    assert made(sd) == before


def test_the_alpha_that_a_file_says_counts(sd: "DiffusersEngine", shelf: Shelf, tmp_path: Path) -> None:
    half = shelf.add(tmp_path, "with/alpha", tiny_loras.described(LORAS[STYLE], lora_alpha=tiny_loras.RANK / 2))
    assert made(sd, loras=(half,)) == made(sd, loras=(shelf(STYLE, 0.5),))


def test_a_model_that_takes_none_says_so(shelf: Shelf) -> None:
    engine = engine_of(SD, shelf.cache)
    with pytest.raises(GenerationError, match="this model does not take LoRAs; leave `loras` out"):
        engine.fetch({STYLE: 1.0})
    assert engine.fetch({}) == ()


# What goes wrong ----------------------------------------------------------------------------------------------------


def test_a_file_that_was_deleted_meanwhile_is_for_later(sd: "DiffusersEngine", shelf: Shelf, tmp_path: Path) -> None:
    lora = shelf.add(tmp_path, "sd/gone", tiny_loras.for_sd(9))
    lora.file.unlink()
    with pytest.raises(LoraUnavailable, match="LoRA sd/gone is not on this machine any more; send the request again"):
        made(sd, loras=(lora,))


@pytest.mark.parametrize("after", [0, 1, 20, 60])
def test_too_little_memory_in_the_middle_leaves_a_clean_model(
    after: int, shelf: Shelf, sd: "DiffusersEngine", monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft.tuners.lora import LoraLayer

    before, modules = made(sd), anatomy(sd)
    move, moved = LoraLayer._move_adapter_to_device_of_base_layer, []

    def full(*arguments: Any, **more: Any) -> None:
        moved.append(1)
        if len(moved) > after:
            raise torch.OutOfMemoryError
        move(*arguments, **more)

    adapters(sd).clear()
    with monkeypatch.context() as patch:
        patch.setattr(LoraLayer, "_move_adapter_to_device_of_base_layer", full)
        with pytest.raises(OutOfMemory, match="there is too little memory for these LoRAs; send fewer of them"):
            made(sd, loras=(shelf(STYLE), shelf("sd/other")))
    assert anatomy(sd) == modules
    assert made(sd) == before
    assert made(sd, loras=(shelf(STYLE),)) != before


def test_a_broken_gpu_is_not_blamed_on_the_lora(
    shelf: Shelf, sd: "DiffusersEngine", monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft.tuners.lora import LoraLayer

    def broken(*_: Any, **__: Any) -> None:
        raise torch.AcceleratorError

    made(sd)
    adapters(sd).clear()
    modules = anatomy(sd)
    with monkeypatch.context() as patch:
        patch.setattr(LoraLayer, "_move_adapter_to_device_of_base_layer", broken)
        with pytest.raises(torch.AcceleratorError):
            made(sd, loras=(shelf(STYLE),))
    assert anatomy(sd) == modules


def test_a_picture_that_finds_too_little_memory_gives_back_that_of_idle_loras(
    shelf: Shelf, sd: "DiffusersEngine", monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    made(sd, loras=(shelf(STYLE),))

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError

    handle = sd._pipeline.unet.register_forward_pre_hook(full)
    with pytest.raises(OutOfMemory):
        made(sd, loras=(shelf("sd/other"),))
    handle.remove()
    assert made(sd, loras=(shelf("sd/other"),))
    assert list(adapters(sd)._adapters) == [shelf("sd/other").file]
