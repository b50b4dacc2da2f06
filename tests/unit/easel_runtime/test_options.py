"""Options of a pipeline: the same pictures, whichever are chosen, and a sentence where one cannot be had."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from easel_crds.metadata import Env
from easel_runtime.engine import LoadError
from easel_runtime.settings import Settings
from support import hub
from support.tiny_engines import NOISE_OF_LIBRARIES, alone, assert_alike, edit, generation, nothing

if TYPE_CHECKING:
    from easel_runtime.pipelines.engine import DiffusersEngine

pytestmark = NOISE_OF_LIBRARIES

SD = "tiny/sd"


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("hub")
    hub.add_repository(cache, SD, hub.stable_diffusion)
    return cache


@pytest.fixture(scope="module")
def stock(cache: Path) -> "DiffusersEngine":
    return engine_with(cache)


def engine_with(cache: Path, **options: Any) -> "DiffusersEngine":
    from easel_runtime.pipelines.engine import DiffusersEngine

    engine = DiffusersEngine(Settings(model_id=SD, model_dir=cache, **options))
    engine.load()
    return engine


def by_channels(engine: "DiffusersEngine") -> set[bool]:
    """Whether the weights of convolutions, of those with more than one input and one pixel, lie channels together."""
    import torch

    return {
        weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
        for part in (engine._pipeline.unet, engine._pipeline.vae)
        for weight in part.parameters()
        if weight.dim() == 4 and weight.shape[1] > 1 and weight.shape[2] > 1
    }


def assert_paints_like(engine: "DiffusersEngine", stock: "DiffusersEngine") -> None:
    assert_alike(edit(engine, generation(), 1, nothing), edit(stock, generation(), 1, nothing))


def test_weights_lie_channels_together_if_that_is_set_and_paint_the_same(cache: Path, stock: "DiffusersEngine") -> None:
    engine = engine_with(cache, channels_last=True)
    assert (by_channels(engine), by_channels(stock)) == ({True}, {False})
    assert_paints_like(engine, stock)


@pytest.mark.parametrize(
    ("device", "setting", "layout"),
    [
        ("cuda", {}, "channels together"),
        ("cuda", {"channels_last": False}, "plain"),
        ("cpu", {}, "plain"),
        ("mps", {}, "plain"),
        ("cpu", {"channels_last": True}, "channels together"),
    ],
)
def test_on_a_gpu_weights_lie_channels_together_unless_that_is_unset(
    device: str, setting: dict[str, Any], layout: str
) -> None:
    import torch
    from diffusers import DiffusionPipeline

    from easel_runtime.pipelines.options import apply_options

    class Tiny(DiffusionPipeline):  # type: ignore[misc] # diffusers has no types
        def __init__(self, unet: Any) -> None:
            super().__init__()
            self.register_modules(unet=unet)

    network = torch.nn.ModuleList([torch.nn.Conv2d(2, 2, 3), torch.nn.Conv3d(2, 2, 3), torch.nn.Linear(2, 2)])
    flat, deep, _, *_ = (weight for weight in network.parameters() if weight.dim() > 1)
    apply_options(Tiny(network), Settings(model_id="any", **setting), torch.device(device))
    assert flat.is_contiguous(memory_format=torch.channels_last) is (layout == "channels together")
    assert deep.is_contiguous()


def test_fused_projections_paint_the_same_and_take_no_loras(cache: Path, stock: "DiffusersEngine") -> None:
    engine = engine_with(cache, fuse_qkv=True)
    names = {type(processor).__name__ for processor in engine._pipeline.unet.attn_processors.values()}
    assert names == {"FusedAttnProcessor2_0"}
    assert_paints_like(engine, stock)
    assert (engine.load().loras, stock.load().loras) == (None, "Stable Diffusion")


def test_a_pipeline_of_compiled_blocks_paints_the_same(
    cache: Path, stock: "DiffusersEngine", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler behind torch is left out: it would take minutes, and the graphs that it is given run as well."""
    import torch

    graphs: list[Any] = []

    def compiler(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compile_(model, backend=compiler))
    try:
        engine = engine_with(cache, compile="blocks")
        assert not graphs
        assert_paints_like(engine, stock)
        assert graphs
    finally:
        torch.compiler.reset()


def test_all_that_is_compiled_is_the_network_and_both_halves_of_the_vae(
    cache: Path, stock: "DiffusersEngine", monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torch.compile` is replaced whole: of all that, even the graphs alone would take half a minute."""
    import torch

    called: list[str] = []

    def compile_(method: Any) -> Any:
        def compiled(*args: Any, **kwargs: Any) -> Any:
            called.append(type(method.__self__).__name__)
            return method(*args, **kwargs)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_)
    assert_paints_like(engine_with(cache, compile="full"), stock)
    assert list(dict.fromkeys(called)) == ["Encoder", "UNet2DConditionModel", "Decoder"]


def test_compiling_needs_a_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(LoadError, match="EASEL_COMPILE needs a C compiler"):
        engine_with(cache, compile="blocks")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"compile": "blocks"}, "EASEL_COMPILE=blocks cannot be applied to ModuleList: leave it unset for this model"),
        ({"fuse_qkv": True}, "EASEL_FUSE_QKV=true cannot be applied to ModuleList: leave it unset for this model"),
    ],
)
def test_an_option_that_a_model_cannot_have_is_refused_at_the_start(options: dict[str, Any], sentence: str) -> None:
    import torch
    from diffusers import DiffusionPipeline

    from easel_runtime.pipelines.options import apply_options

    pipeline = DiffusionPipeline()
    pipeline.unet = torch.nn.ModuleList([torch.nn.Linear(1, 1)])
    with pytest.raises(LoadError, match=sentence):
        apply_options(pipeline, Settings(model_id="any", **options), torch.device("cpu"))


@pytest.mark.parametrize(
    ("variable", "value"), [(Env.COMPILE, "sometimes"), (Env.CHANNELS_LAST, "perhaps"), (Env.FUSE_QKV, "a little")]
)
def test_no_other_values_are_taken(variable: Env, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(Env.MODEL_ID, "any")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=variable):
        Settings()
