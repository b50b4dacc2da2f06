"""How near the networks come to the fastest matrix product: P3 to P5. `python -m bench.gpu.roofs tiny|full ROUNDS`."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.gpu.architectures import PIX2PIX_UNET, SD15_UNET, SDXL_UNET, VAE
from bench.gpu.stage import GpuStage
from bench.measure import median
from bench.processes import running
from bench.table import Finding, at_least, milliseconds, number

_ROUNDS: Final = 30
_WARM_UP: Final = 5
_WORDS: Final = 77
_MATRIX: Final = {True: 512, False: 8192}
"""Side of the matrices, tiny or not."""


@dataclass(frozen=True)
class _Case:
    goal: str
    name: str
    unet: Mapping[str, Any] | None
    """None: the VAE's decoder."""
    side: int
    batch: int
    wanted: float


_CASES: Final = (
    _Case("P3", "SDXL UNet", SDXL_UNET, 1024, 2, 0.37),
    _Case("P4", "SDXL UNet", SDXL_UNET, 1024, 1, 0.33),
    _Case("P4", "SDXL UNet", SDXL_UNET, 512, 1, 0.17),
    _Case("P4", "SD 1.5 UNet", SD15_UNET, 512, 2, 0.22),
    _Case("P4", "pix2pix UNet", PIX2PIX_UNET, 512, 3, 0.22),
    _Case("P5", "VAE decode", None, 512, 1, 0.3),
    _Case("P5", "VAE decode", None, 1024, 1, 0.3),
)


def efficiency(stage: GpuStage) -> list[Finding]:
    """Operations a second of one forward pass, over those of a bfloat16 matrix product measured in the same run.

    Eager, channels_last, bfloat16, random numbers; matrices of 8192. Operations as torch's FlopCounterMode counts them.
    30 passes after 5, each waited for.
    """
    command = [sys.executable, "-m", "bench.gpu.roofs", "tiny" if stage.tiny else "full", str(stage.rounds(_ROUNDS))]
    with running(command, stdin=subprocess.PIPE) as started:
        said, _ = started.process.communicate()
        measured: dict[str, list[float]] = json.loads(said)
    roof = measured.pop("roof")[0]
    stage.roof = roof
    findings = []
    for case, (seconds, operations) in zip(_CASES, measured.values(), strict=True):
        what = f"{case.name}, {stage.pixels(case.side)} px, batch {case.batch}: share of the roof"
        reached = operations / seconds
        sides = (f"{milliseconds(seconds)}, {number(reached / 1e12)} TFLOP/s", f"{number(roof / 1e12)} TFLOP/s")
        findings.append(Finding(case.goal, what, *sides, reached / roof, at_least(case.wanted)))
    return findings


def main() -> None:
    """Measure, and print seconds and operations of each case as JSON."""
    tiny, rounds = sys.argv[1] == "tiny", int(sys.argv[2])
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    with torch.inference_mode(), device:
        side = _MATRIX[tiny]
        one, other = torch.randn(side, side), torch.randn(side, side)
        seconds = _seconds(lambda: one @ other, rounds)
        found = {"roof": [2 * side**3 / seconds]}
        for number_, case in enumerate(_CASES):
            forward = _forward(case, tiny=tiny)
            found[str(number_)] = [_seconds(forward, rounds), _operations(forward)]
    sys.stdout.write(json.dumps(found))


def _forward(case: _Case, *, tiny: bool) -> Callable[[], object]:
    import diffusers
    import torch

    from support.tiny_parts import SD_UNET, unet
    from support.tiny_parts import SDXL_UNET as TINY_XL

    latents = case.side // (64 if tiny else 8)
    if case.unet is None:
        vae: Any = diffusers.AutoencoderKL(**({**VAE, "block_out_channels": [32] * 4} if tiny else VAE))
        vae.to(memory_format=torch.channels_last)
        noise = torch.randn(case.batch, 4, latents, latents)
        return lambda: vae.decode(noise)
    is_xl = "addition_embed_type" in case.unet
    config = {**(TINY_XL if is_xl else SD_UNET), "in_channels": case.unet.get("in_channels", 4)} if tiny else case.unet
    network: Any = unet(**config) if tiny else diffusers.UNet2DConditionModel(**config)
    network.to(memory_format=torch.channels_last)
    noise = torch.randn(case.batch, network.config.in_channels, latents, latents)
    words = torch.randn(case.batch, _WORDS, network.config.cross_attention_dim)
    more: dict[str, Any] = {}
    if is_xl:
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        more = {"text_embeds": torch.randn(case.batch, pooled), "time_ids": torch.randn(case.batch, 6)}
    return lambda: network(noise, 500, words, added_cond_kwargs=more)


def _seconds(work: Callable[[], object], rounds: int) -> float:
    import torch

    found = []
    for number_ in range(_WARM_UP + rounds):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number_ >= _WARM_UP:
            found.append(time.perf_counter() - began)
    return median(found)


def _operations(work: Callable[[], object]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted:
        work()
    return float(counted.get_total_flops())


if __name__ == "__main__":
    main()
