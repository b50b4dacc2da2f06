"""Command line: `python -m bench.gpu [--tiny]`."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from bench import machine
from bench.gpu import roofs, service
from bench.gpu.stage import GpuStage, stage
from bench.table import Finding, NotMeasured, plain

_GOALS: Final[Mapping[str, Callable[[GpuStage], list[Finding]]]] = {
    "P3-P5": roofs.efficiency,  # first, for its matrix product is P6's scale
    "P1-P2": service.overhead,
    "P6": service.floors,
    "P7": service.compiled,
    "P8-P9": service.batching,
}


def main() -> int:
    """Measure what can be measured, and print the table; without a GPU say so."""
    parser = argparse.ArgumentParser(prog="make bench-gpu")
    parser.add_argument("goals", nargs="*", metavar="GOAL", help=f"of {', '.join(_GOALS)}; all if none is named")
    parser.add_argument("--tiny", action="store_true", help="tiny networks, a GPU or not: to see that everything runs")
    options = parser.parse_args()
    if unknown := set(options.goals) - _GOALS.keys():
        parser.error(f"no goal {', '.join(sorted(unknown))}")
    os.environ.setdefault("EASEL_BENCH_CORES", "halves")
    machine.pin(machine.cores().measuring)
    import torch

    if not torch.cuda.is_available() and not options.tiny:
        sys.stdout.write("bench-gpu: there is no CUDA GPU on this machine, so nothing was measured\n")
        return 0
    findings: list[Finding] = []
    with stage(tiny=options.tiny) as prepared:
        for name in options.goals or _GOALS:
            began = time.monotonic()
            try:
                findings += _GOALS[name](prepared)
            except NotMeasured as error:
                sys.stderr.write(f"bench-gpu: {name}: {error}\n")
            sys.stderr.write(f"bench-gpu: {name} took {time.monotonic() - began:.0f} s\n")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: a rehearsal"
    sys.stdout.write(f"{gpu}, torch {torch.__version__}\n{plain(findings)}\nP10 to P19: not measured\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
