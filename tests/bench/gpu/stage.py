"""What all goals of a GPU work with."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.gpu.repositories import add_all

H100_ROOF: Final = 798e12
"""Operations a second of the GPU that the floors of P6 were reckoned for."""
_SMALLER: Final = 8


@dataclass
class GpuStage:
    """Repositories and what was found on the way."""

    cache: Path
    tiny: bool
    """A rehearsal of everything: tiny networks, small pictures, a tenth of the rounds; on a CPU if need be."""
    roof: float = H100_ROOF
    """Operations a second of a matrix product, once it is measured."""

    def pixels(self, side: int) -> int:
        """The side of pictures where `side` is meant."""
        return side // _SMALLER if self.tiny else side

    def rounds(self, number: int) -> int:
        """How many rounds to do where `number` are meant."""
        return max(1, number // 10) if self.tiny else number


@contextmanager
def stage(*, tiny: bool) -> Iterator[GpuStage]:
    """The repositories, until the context ends: 20 GB in the temporary directory, unless tiny."""
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        add_all(Path(folder), tiny=tiny)
        yield GpuStage(Path(folder), tiny)
