"""The process with the ledger is killed."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from support.ledgers import charge, ledger_at, rows

_TESTS = Path(__file__).parents[3]


async def _charge_for_ever(url: str) -> None:
    """The child: says what is acknowledged."""
    async with ledger_at(url) as ledger:

        async def caller(name: int) -> None:
            for number in range(100_000):
                await ledger.charge(charge(f"{name}-{number}"))
                print(f"{name}-{number}", flush=True)  # noqa: T201

        await asyncio.gather(*(caller(name) for name in range(20)))


@pytest.mark.parametrize("acknowledged", [1, 500, 2000])
def test_what_was_acknowledged_is_there_after_kill_9(url: str, acknowledged: int) -> None:
    child = subprocess.Popen(
        [sys.executable, __file__, url], stdout=subprocess.PIPE, text=True, cwd=_TESTS, env={"PYTHONPATH": str(_TESTS)}
    )
    with child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(acknowledged)]
        child.kill()
        said += child.stdout.readlines()
    known = {line.strip() for line in said if line.endswith("\n")}
    there = [row.request_id for row in rows(url)]
    assert len(there) == len(set(there))
    assert len(known) >= acknowledged
    assert known <= set(there)


if __name__ == "__main__":
    asyncio.run(_charge_for_ever(sys.argv[1]))
