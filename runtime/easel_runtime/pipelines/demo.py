"""The demo model: a real InstructPix2Pix pipeline of toy size, which comes with Easel and so needs no network.

`easel_demo` trained it; its card, in the folder, says which edits it knows.
"""

from pathlib import Path
from typing import Final

MODEL_ID: Final = "easel/demo"
FOLDER: Final = Path(__file__).parents[1] / "demo_model"
"""In diffusers' layout."""
