"""Ids: unique, of one form, and in the order of time where they say so."""

import uuid
from itertools import pairwise

from easel_http.ids import new_id, new_ordered_id


def test_ids_are_unique_and_of_one_form() -> None:
    ids = {new_id() for _ in range(1000)} | {new_ordered_id() for _ in range(1000)}
    assert len(ids) == 2000
    assert all(len(one) == 32 and int(one, 16) >= 0 and one == one.lower() for one in ids)


def test_ordered_ids_are_uuids_of_version_7_in_the_order_of_their_milliseconds() -> None:
    ids = [uuid.UUID(new_ordered_id()) for _ in range(2000)]
    assert all(one.version == 7 and one.variant == uuid.RFC_4122 for one in ids)
    times = [one.int >> 80 for one in ids]
    assert all(before <= after for before, after in pairwise(times))
