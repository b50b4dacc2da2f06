"""A thousand damaged pictures: each is answered as the contract says, and none does lasting harm."""

import httpx2

from support.damaged_pictures import upload
from support.fuzzing import SCALE, SEED
from support.picture_bombs import BOMBS
from support.runtime_process import RuntimeProcess, fault_of

MEGABYTE = 1 << 20
COUNT = round(1000 * SCALE)
ROOM = 128 * MEGABYTE
"""What a body of 8 MiB on its way, a picture of a megapixel in each of its stages and the allocator take: measured 58.
A bomb that goes off takes 144 or more."""


def faults(runtime: RuntimeProcess, numbers: range) -> list[str]:
    """What was wrong with the answers to the uploads of these numbers."""
    found = []
    for number in numbers:
        sent = upload(SEED, number)
        try:
            fault = fault_of(runtime.post(*sent.form()))
        except httpx2.HTTPError as error:
            fault = repr(error)
        if fault:
            found.append(f"EASEL_FUZZ_SEED={SEED}, picture {number} ({sent.origin}): {fault}")
    return found


def test_damaged_pictures_do_no_harm(toy: RuntimeProcess) -> None:
    before = toy.good_answer()
    memory = toy.peak_memory()
    assert faults(toy, range(COUNT)) == []
    assert toy.peak_memory() - memory < ROOM
    assert toy.good_answer() == before
    toy.assert_idle()


def test_damaged_pictures_do_no_harm_to_a_pipeline(tiny: RuntimeProcess) -> None:
    before = tiny.good_answer()
    assert faults(tiny, range(len(BOMBS), COUNT, 20)) == []
    assert tiny.good_answer() == before
    tiny.assert_idle()
