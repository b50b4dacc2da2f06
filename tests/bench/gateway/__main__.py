"""Command line: `python -m bench.gateway [GOAL ...] [--write] [--quick]`."""

import argparse
import math
import sys
import time

from bench import machine
from bench.gateway import page
from bench.gateway.goals import GOALS
from bench.gateway.sides import Stage
from bench.table import Finding, NotMeasured, at_most, plain


def main() -> int:
    """Measure what is asked for, print the table, and write the page if that is asked for too."""
    parser = argparse.ArgumentParser(prog="make bench-gateway")
    parser.add_argument("goals", nargs="*", metavar="GOAL", help=f"of {', '.join(GOALS)}; all if none is named")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-gateway.md, of all goals")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds: to see that everything runs")
    options = parser.parse_args()
    if unknown := set(options.goals) - GOALS.keys():
        parser.error(f"no goal {', '.join(sorted(unknown))}")
    if options.write and (options.goals or options.quick):
        parser.error("the page is of all goals in full: --write goes with none, and not with --quick")
    if machine.is_busy():
        sys.stderr.write("bench-gateway: others are using this machine, so take the numbers for a rehearsal\n")
    findings: list[Finding] = []
    machine.pin(machine.cores().measuring)
    for name in options.goals or GOALS:
        began = time.monotonic()
        try:
            findings += GOALS[name](Stage(options.quick))
        except NotMeasured as error:
            sys.stderr.write(f"bench-gateway: {name}: {error}\n")
            findings.append(Finding(name, "not measured", "", "", math.nan, at_most(0)))
        sys.stderr.write(f"bench-gateway: {name} took {time.monotonic() - began:.0f} s\n")
    sys.stdout.write(plain(findings) + "\n")
    if options.write:
        page.FILE.write_text(page.page(findings, GOALS, machine.facts(page.SHOWN)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
