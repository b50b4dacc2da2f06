"""The training itself. Each step draws its own samples from its own seed, so that one can stop and go on anywhere."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from easel_demo import networks
from easel_demo.edits import EDITS
from easel_demo.prompts import every_prompt, prompt
from easel_demo.samples import crops, pool, samples
from easel_demo.tokens import tokenizer

_WARM_UP: Final = 60
_FALL: Final = 0.35
"""The last part of the steps, in which the rate falls to nothing."""
_STEPS_OF_NOISE: Final = 1000
_SAID_EVERY: Final = 25
_TOLD_APART: Final = 48
"""Prompts of one step in which they are only told apart: soon learned, and the rest need not guess what is meant."""
_REMEMBERED: Final = 24
"""Such prompts in each step of the rest, for that not to be forgotten."""
_NAMES: Final = (*EDITS, "")


@dataclass(frozen=True)
class Plan:
    """How long, how much, where to."""

    folder: Path
    """Of the drawn pictures and the checkpoints."""
    pictures: int = 600
    decoder_steps: int = 1100
    word_steps: int = 200
    steps: int = 3900
    pixels: int = 36864
    """Of one step."""
    rate: float = 2e-3
    kept_every: int = 50
    """Steps from checkpoint to checkpoint."""
    seed: int = 20


class Demo:
    """All parts of the demo model, in training or read from their checkpoints."""

    def __init__(self, plan: Plan) -> None:
        plan.folder.mkdir(parents=True, exist_ok=True)
        self.plan = plan
        self.pictures = pool(plan.folder / f"pictures-{plan.pictures}.npy", plan.pictures, plan.seed)
        torch.manual_seed(plan.seed)
        self.vae = networks.vae(*_principal(self.pictures, plan))
        spelling = plan.folder / "tokenizer"
        spelling.mkdir(exist_ok=True)
        self.tokenizer = tokenizer(every_prompt(), networks.POSITIONS, spelling)
        self.unet = networks.unet()
        self.text_encoder = networks.text_encoder(self.tokenizer)
        self._naming = torch.nn.Linear(4 * networks.WIDTHS[0], len(_NAMES))
        noise = torch.linspace(0.00085**0.5, 0.012**0.5, _STEPS_OF_NOISE).square()  # "scaled_linear"
        self.signal = (1 - noise).cumprod(0).sqrt()

    def train(self) -> None:
        """The decoder, then what words mean, then the rest with the words; from the checkpoints on that there are."""
        decoder = Run("decoder", self.vae.decoder, self.plan, self.plan.decoder_steps)
        decoder.go(self._decoder_loss)
        self.vae.requires_grad_(requires_grad=False)
        words = [self.text_encoder, self.unet.add_embedding, self._naming]
        Run("words", torch.nn.ModuleList(words), self.plan, self.plan.word_steps).go(self._naming_loss)
        editor = Run(
            "editor", torch.nn.ModuleList([self.unet, self.text_encoder, self._naming]), self.plan, self.plan.steps
        )
        editor.go(self._editor_loss)

    def encode_text(self, prompts: list[str]) -> torch.Tensor:
        """As the pipeline does it: (count, POSITIONS, width)."""
        ids = self.tokenizer(
            prompts, padding="max_length", max_length=networks.POSITIONS, truncation=True, return_tensors="pt"
        ).input_ids
        encoded: torch.Tensor = self.text_encoder(ids)[0]
        return encoded

    def _decoder_loss(self, chance: random.Random) -> torch.Tensor:
        wanted = crops(self.pictures, (64, 64), max(1, self.plan.pixels // 4096), chance)
        wanted = torch.stack([EDITS[chance.choice(list(EDITS))](part) for part in wanted])
        latents = self.vae.encode(wanted * 2 - 1).latents
        return functional.mse_loss(self.vae.decode(latents).sample, wanted * 2 - 1) * 10

    def _editor_loss(self, chance: random.Random) -> torch.Tensor:
        seen = samples(self.pictures, self.plan.pixels, chance)
        with torch.no_grad():
            before = self.vae.encode(seen.before * 2 - 1).latents * seen.seen
            after = self.vae.encode(seen.after * 2 - 1).latents * networks.SCALING
        count = len(before)
        time = ((torch.arange(count) + torch.rand(count)) / count * _STEPS_OF_NOISE).long()
        signal = self.signal[time].view(-1, 1, 1, 1)
        sigma = (1 - signal.square()).sqrt()
        noise = torch.randn_like(after)
        velocity = self.unet(
            torch.cat([signal * after + sigma * noise, before], 1), time, self.encode_text(seen.prompts)
        ).sample
        return functional.mse_loss(velocity, signal * noise - sigma * after) + 0.05 * self._naming_loss(
            chance, _REMEMBERED
        )

    def _naming_loss(self, chance: random.Random, count: int = _TOLD_APART) -> torch.Tensor:
        """How badly the edits are told apart by what is said, with what the UNet makes of it for its time embedding."""
        wished = [chance.choice(tuple(EDITS)) for _ in range(count)]
        prompts = [prompt(edit, chance) for edit in wished]
        names = [_NAMES.index(edit if said else "") for edit, said in zip(wished, prompts, strict=True)]
        return functional.cross_entropy(
            self._naming(self.unet.add_embedding(self.encode_text(prompts))), torch.tensor(names)
        )


class Run:
    """One module's training, with its optimiser, its moving average and its checkpoint."""

    def __init__(self, name: str, module: torch.nn.Module, plan: Plan, steps: int) -> None:
        self.name, self.module, self.plan, self.steps = name, module, plan, steps
        self._file = plan.folder / f"{name}.pt"
        self._optimiser = torch.optim.AdamW(module.parameters(), lr=plan.rate, weight_decay=0.01)
        self._average = {key: value.clone() for key, value in module.state_dict().items()}
        self.done = 0
        if self._file.is_file():
            self._read()

    def go(self, loss_of: Callable[[random.Random], torch.Tensor]) -> None:
        """Train until all steps are done; leave the average in the module."""
        said, bar = 0.0, tqdm(total=self.steps, initial=self.done, desc=self.name, mininterval=10)
        while self.done < self.steps:
            loss = self._step(loss_of)
            said += loss / _SAID_EVERY
            bar.update()
            if self.done % _SAID_EVERY == 0:
                bar.set_postfix_str(f"loss {said:.4f}")
                tqdm.write(f"{self.name} {self.done} of {self.steps}: loss {said:.4f}")
                said = 0.0
            if self.done % self.plan.kept_every == 0 or self.done == self.steps:
                self._keep()
        bar.close()
        self.module.load_state_dict(self._average)
        self.module.eval()

    def _step(self, loss_of: Callable[[random.Random], torch.Tensor]) -> float:
        seed = self.plan.seed * 1_000_003 + self.done
        torch.manual_seed(seed)
        for group in self._optimiser.param_groups:
            group["lr"] = self.plan.rate * rate_at(self.done, self.steps)
        loss = loss_of(random.Random(seed))
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1)
        self._optimiser.step()
        self.done += 1
        slow = min(0.998, 1 - 5 / (self.done + 5))
        for key, value in self.module.state_dict().items():
            if value.is_floating_point():
                self._average[key].lerp_(value, 1 - slow)
        return float(loss.detach())

    def _keep(self) -> None:
        """Write the checkpoint, whole or not at all."""
        draft = self._file.with_suffix(".draft")
        torch.save(
            {"done": self.done, "module": self.module.state_dict(), "average": self._average,
             "optimiser": self._optimiser.state_dict()}, draft)  # fmt: skip
        draft.rename(self._file)

    def _read(self) -> None:
        kept: Mapping[str, Any] = torch.load(self._file, weights_only=True)
        self.done, self._average = kept["done"], kept["average"]
        self.module.load_state_dict(kept["module"])
        self._optimiser.load_state_dict(kept["optimiser"])
        if self.done >= self.steps:
            self.module.load_state_dict(self._average)


def rate_at(done: int, steps: int) -> float:
    """The part of the full rate: it rises at the start, and falls at the end."""
    fall = max(1.0, _FALL * steps)
    return min(
        1.0,
        (done + 1) / min(_WARM_UP, max(1, steps // 10)),
        0.5 - 0.5 * math.cos(math.pi * min(1.0, (steps - done) / fall)),
    )


def _principal(pictures: NDArray[np.uint8], plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and principal axes of two by two pixels, of the pictures and what they become."""
    chance = random.Random(plan.seed)
    parts = torch.stack([EDITS[chance.choice(list(EDITS))](part) for part in crops(pictures, (64, 64), 400, chance)])
    rows = parts.reshape(-1, 3, 32, 2, 32, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 12).double()
    mean = rows.mean(0)
    _, axes = torch.linalg.eigh((rows - mean).T @ (rows - mean))
    return mean.float(), axes.flip(1)[:, : networks.LATENT_CHANNELS].T.float().contiguous()
