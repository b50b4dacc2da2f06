from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from easel_crds.conditions import Condition, ConditionType, Documented, Reason, with_condition

_THEN = datetime(2026, 1, 1, tzinfo=UTC)
_NOW = _THEN + timedelta(minutes=5)


def _condition(
    kind: ConditionType = ConditionType.READY,
    status: Literal["True", "False", "Unknown"] = "True",
    reason: Reason = Reason.SERVING,
    message: str = "",
    since: datetime = _THEN,
) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=since)


def test_the_first_condition_begins_now() -> None:
    assert with_condition((), _condition(), _NOW) == (_condition(since=_NOW),)


def test_the_transition_time_moves_with_the_status() -> None:
    (ready,) = with_condition((_condition(status="True"),), _condition(status="False"), _NOW)
    assert (ready.status, ready.last_transition_time) == ("False", _NOW)


def test_the_transition_time_stays_while_reason_and_message_change() -> None:
    starting = _condition(status="False", reason=Reason.STARTING)
    (ready,) = with_condition((starting,), _condition(status="False", reason=Reason.CRASHED, message="ended"), _NOW)
    assert (ready.reason, ready.message, ready.last_transition_time) == ("Crashed", "ended", _THEN)


def test_the_time_that_a_new_condition_brings_along_does_not_count() -> None:
    (ready,) = with_condition((_condition(),), _condition(since=_NOW + timedelta(days=1)), _NOW)
    assert ready.last_transition_time == _THEN


def test_other_conditions_keep_their_place_and_their_time() -> None:
    accepted, ready = _condition(ConditionType.ACCEPTED), _condition(ConditionType.READY)
    new = _condition(ConditionType.ACCEPTED, "False", Reason.DUPLICATE_MODEL_ID)
    changed = with_condition((accepted, ready), new, _NOW)
    assert [condition.type for condition in changed] == ["Accepted", "Ready"]
    assert changed[1] == ready


def test_a_condition_of_a_new_type_comes_last() -> None:
    both = with_condition((_condition(ConditionType.ACCEPTED),), _condition(ConditionType.READY), _NOW)
    assert [condition.type for condition in both] == ["Accepted", "Ready"]


@pytest.mark.parametrize("words", [ConditionType, Reason], ids=lambda words: words.__name__)
def test_every_word_is_camel_case_fits_its_field_and_says_what_it_means(words: type[Documented]) -> None:
    for word in words:
        assert word.isalpha()
        assert word[0].isupper()
        assert len(word) <= 64
        assert word.meaning.endswith(".")
        assert str(word) == word.value == f"{word}"
