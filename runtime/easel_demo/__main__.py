"""`make train-demo`: trains the demo model and writes it into the package. Started again, it goes on where it was.

It takes hours on one core. What is drawn and what is learned so far is kept in a folder of the user's cache.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

import torch
from platformdirs import user_cache_path

from easel_demo.measuring import table
from easel_demo.shipping import pipeline, ship
from easel_demo.training import Demo, Plan

_PACKAGE: Final = Path(__file__).parents[1] / "easel_runtime" / "demo_model"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the arguments say, write the model, and measure it."""
    given = _arguments(arguments)
    plan = Plan(**{field.name: getattr(given, field.name) for field in fields(Plan)})
    torch.set_num_threads(given.threads)
    trained = Demo(plan)
    trained.train()
    parts = trained.vae, trained.unet, trained.text_encoder, trained.tokenizer
    given.into.mkdir(parents=True, exist_ok=True)
    ship(pipeline(*parts), given.into)
    if given.measure:
        sys.stdout.write(table(pipeline(*parts)))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="python -m easel_demo", description=__doc__.split("\n")[0] if __doc__ else "")
    reader.add_argument("--into", type=Path, default=_PACKAGE, help="where the model goes")
    reader.add_argument("--threads", type=int, default=1)
    reader.add_argument("--measure", action=argparse.BooleanOptionalAction, default=True, help="say how good it is")
    plan = Plan(user_cache_path("easel") / "train-demo")
    for field in fields(Plan):
        default = getattr(plan, field.name)
        name = f"--{field.name.replace('_', '-')}"
        reader.add_argument(name, type=type(default) if field.name != "folder" else Path, default=default)
    return reader.parse_args(arguments)


if __name__ == "__main__":
    logging.getLogger("diffusers.pipelines").setLevel(logging.ERROR)  # it expects another class of autoencoder
    main()
