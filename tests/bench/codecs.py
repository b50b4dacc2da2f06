"""PNG and its time: C2."""

import io
from functools import partial

from PIL import Image

from bench.machine import ROOT
from bench.measure import interleaved, median, ratio, timed
from bench.table import Finding, at_most, milliseconds, number
from bench.tiny import Stage, noisy
from easel_runtime.encoding import encode_png
from support.pictures import picture

_ROUNDS = 30
_SIDES = (512, 1024)


def png(stage: Stage) -> list[Finding]:
    """Time of a PNG by the runtime's encoder, over Pillow's at its default, of the same picture in memory.

    Three pictures in 512 and 1024 pixels: a drawing (examples/cat.png), noise of all octaves, which is as hard to
    compress as a photograph or harder, and a smooth gradient. 30 rounds after 2, one thread. Bytes besides.
    """
    drawing = Image.open(ROOT / "examples" / "cat.png").convert("RGB")
    findings = []
    for side in _SIDES:
        for name, one in (
            ("drawing", drawing.resize((side, side), Image.Resampling.LANCZOS)),
            ("noise", noisy(side)),
            ("gradient", picture(side, side)),
        ):
            sides = {"ours": timed(partial(encode_png, one)), "Pillow": timed(partial(_by_pillow, one))}
            found = interleaved(sides, stage.rounds(_ROUNDS), 2)
            ours, pillow = median(found["ours"]), median(found["Pillow"])
            more = len(encode_png(one).data) / len(_by_pillow(one))
            findings.append(
                Finding(
                    "C2",
                    f"PNG of {name}, {side} px: ours / Pillow (bytes: {number(more)})",
                    milliseconds(ours),
                    milliseconds(pillow),
                    ratio(found["ours"], found["Pillow"]),
                    at_most(0.2),
                )
            )
    return findings


def _by_pillow(one: Image.Image) -> bytes:
    file = io.BytesIO()
    one.save(file, "PNG")
    return file.getvalue()
