"""Models that come from a Hub: one on the loopback interface, talked to by the real client."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from easel_runtime.engine import LoadError
from easel_runtime.pipelines.families import SDXL_BASE
from easel_runtime.progress import Download
from support import hub
from support.hub_endpoint import HubEndpoint, make_the_hub, serving
from support.pictures import picture
from support.tiny_engines import NOISE_OF_LIBRARIES, alone, asked, edit, engine_of, nothing

pytestmark = NOISE_OF_LIBRARIES

TURBO, LIGHTNING, HALF = "stabilityai/sd-turbo", "ByteDance/SDXL-Lightning", "SG161222/RealVisXL_V4.0_Lightning"
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upstream")
    hub.add_upstream(folder, TURBO, LIGHTNING, SDXL_BASE.repo_id, HALF)
    return folder


@pytest.fixture
def upstream(repositories: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubEndpoint]:
    with serving(repositories) as endpoint:
        make_the_hub(endpoint, monkeypatch)
        yield endpoint


def of(files: list[str], repository: str) -> set[str]:
    return {file.removeprefix(f"{repository}/") for file in files if file.startswith(f"{repository}/")}


def test_a_model_is_downloaded_once_and_without_what_it_does_not_need(upstream: HubEndpoint, tmp_path: Path) -> None:
    assert engine_of(TURBO, tmp_path).load().commit == hub.COMMIT
    assert sorted(upstream.files) == sorted(set(upstream.files))
    assert of(upstream.files, TURBO) == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "unet/config.json",
        f"unet/{WEIGHTS}",
        "vae/config.json",
        f"vae/{WEIGHTS}",
    }
    upstream.files.clear()
    engine_of(TURBO, tmp_path).load()
    assert upstream.files == []


def test_lightning_takes_one_unet_of_its_repository_and_all_else_of_the_pinned_base(
    upstream: HubEndpoint, tmp_path: Path
) -> None:
    engine = engine_of(f"{LIGHTNING}-2step", tmp_path)
    loaded = engine.load()
    assert loaded.commit == hub.COMMIT
    assert of(upstream.files, LIGHTNING) == {"README.md", "sdxl_lightning_2step_unet.safetensors"}
    base = of(upstream.files, SDXL_BASE.repo_id)
    assert {file for file in base if file.startswith("unet/")} == {"unet/config.json"}
    assert {file for file in base if file.endswith(".safetensors")} == {
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
        f"vae/{WEIGHTS}",
    }
    cached = tmp_path / "models--stabilityai--stable-diffusion-xl-base-1.0" / "snapshots"
    assert [folder.name for folder in cached.iterdir()] == [SDXL_BASE.revision]
    assert edit(engine, asked(loaded), 1, nothing).size == picture().size


def test_the_fp16_variant_is_taken_where_there_is_no_other(upstream: HubEndpoint, tmp_path: Path) -> None:
    import torch

    engine = engine_of(HALF, tmp_path)
    loaded = engine.load()
    weights = {file for file in of(upstream.files, HALF) if file.endswith(".safetensors")}
    assert len(weights) == 4
    assert all(".fp16." in file for file in weights)
    assert engine._pipeline.dtype == torch.float32
    assert edit(engine, asked(loaded), 1, nothing).size == picture().size


def test_a_model_that_was_downloaded_needs_no_hub(
    upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_of(TURBO, tmp_path).load()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    upstream.files.clear()
    assert engine_of(TURBO, tmp_path).load().commit == hub.COMMIT
    assert engine_of(TURBO, tmp_path, hub.COMMIT).load().commit == hub.COMMIT
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # discard: nobody answers
    assert engine_of(TURBO, tmp_path).load().commit == hub.COMMIT
    assert upstream.files == []


def test_what_is_about_to_come_is_told_in_bytes(upstream: HubEndpoint, repositories: Path, tmp_path: Path) -> None:
    download = Download(tmp_path)
    download.look()
    with download.announced():
        engine_of(TURBO, tmp_path).load()
    download.look()
    assert download.state is not None
    snapshot = upstream.snapshot(TURBO, "main")
    assert snapshot is not None
    first = "model_index.json"  # which says what more is needed
    sizes = {file: (snapshot / file).stat().st_size for file in of(upstream.files, TURBO)}
    assert download.state.total == sum(sizes.values()) - sizes[first]
    assert download.state.bytes == sum(sizes.values())


def test_the_unet_in_one_file_is_told_of_too(upstream: HubEndpoint, tmp_path: Path) -> None:
    download = Download(tmp_path)
    download.look()
    with download.announced():
        engine_of(f"{LIGHTNING}-4step", tmp_path).load()
    snapshot = upstream.snapshot(LIGHTNING, "main")
    assert snapshot is not None
    unet = (snapshot / "sdxl_lightning_4step_unet.safetensors").stat().st_size
    assert download._expected[LIGHTNING] == unet
    assert download._expected[SDXL_BASE.repo_id] > 0


def test_offline_a_cache_is_enough_that_holds_what_is_needed_and_no_more(
    upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `hf download --include "*.fp16.safetensors" "*.json"` leaves it, which lists all that it left out."""
    from huggingface_hub import snapshot_download

    both = "stabilityai/stable-diffusion-xl-base-1.0"
    snapshot_download(both, cache_dir=tmp_path, allow_patterns=["*.fp16.safetensors", "*.json", "*.txt"])
    snapshot_download(LIGHTNING, cache_dir=tmp_path, allow_patterns=["*unet.safetensors"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    upstream.files.clear()
    for model_id in (both, f"{LIGHTNING}-4step"):
        assert engine_of(model_id, tmp_path, "main").load().device
    assert upstream.files == []


def test_a_private_repository_wants_a_token(
    upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.hidden[TURBO] = "hf_secret"
    with pytest.raises(LoadError, match=f"there is no repository {TURBO} on the Hub, or it needs HF_TOKEN"):
        engine_of(TURBO, tmp_path).load()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert engine_of(TURBO, tmp_path).load().device


@pytest.mark.parametrize(
    ("model_id", "gated"),
    [(TURBO, TURBO), (f"{LIGHTNING}-4step", LIGHTNING), (f"{LIGHTNING}-4step", SDXL_BASE.repo_id)],
    ids=["the model", "the UNet", "its base"],
)
def test_a_gated_repository_is_named(model_id: str, gated: str, upstream: HubEndpoint, tmp_path: Path) -> None:
    upstream.gated.add(gated)
    with pytest.raises(LoadError) as caught:
        engine_of(model_id, tmp_path).load()
    assert str(caught.value) == f"{gated} is gated: accept its terms on the Hub and set HF_TOKEN"


@pytest.mark.parametrize(
    ("model_id", "revision", "sentence"),
    [
        ("nobody/nothing", "main", "there is no repository nobody/nothing on the Hub, or it needs HF_TOKEN"),
        (TURBO, "v2", f"{TURBO} has no revision v2"),
        (LIGHTNING, "v2", f"{LIGHTNING} has no revision v2"),
        (f"{LIGHTNING}-1step", "main", f"there is no repository {LIGHTNING}-1step on the Hub, or it needs HF_TOKEN"),
        ("not a name", "main", "not a name cannot be loaded: Repo id must use alphanumeric chars"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(
    model_id: str, revision: str, sentence: str, upstream: HubEndpoint, tmp_path: Path
) -> None:
    with pytest.raises(LoadError) as caught:
        engine_of(model_id, tmp_path, revision).load()
    assert str(caught.value).startswith(sentence)


def test_a_repository_without_a_pipeline_says_so(upstream: HubEndpoint, tmp_path: Path) -> None:
    """As SDXL-Lightning's is to whoever does not know how it is meant."""
    hub.add_repository(tmp_path / "more", "some/checkpoint", hub.holding({"model.safetensors": "x"}))
    upstream.root = tmp_path / "more"
    with pytest.raises(LoadError, match=r"it has no model_index\.json that names a pipeline"):
        engine_of("some/checkpoint", tmp_path).load()


def test_a_repository_without_the_unet_says_which(upstream: HubEndpoint, repositories: Path, tmp_path: Path) -> None:
    upstream.root = tmp_path / "more"
    hub.add_upstream(upstream.root, SDXL_BASE.repo_id)
    hub.add_repository(upstream.root, LIGHTNING, hub.holding({"README.md": ""}))
    with pytest.raises(LoadError, match=f"{LIGHTNING} has no file sdxl_lightning_8step_unet.safetensors"):
        engine_of(LIGHTNING, tmp_path).load()


def test_a_download_that_breaks_off_is_tried_again_and_then_said(
    upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The Hub's client waits a second before it tries again.
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=nothing))
    upstream.cut_short.add(WEIGHTS)
    with pytest.raises(LoadError, match=f"{TURBO} cannot be loaded: "):
        engine_of(TURBO, tmp_path).load()
    upstream.cut_short.clear()
    assert engine_of(TURBO, tmp_path).load().device
