"""Every rule, on one machine: the same cases are put to an API server where there is one."""

from collections.abc import Iterator

import pytest

from easel_crds.manifest import InvalidManifest, Problem, parse
from easel_crds.rules import Resource, Rule, refused_changes
from support.rule_cases import Case, cases

_CASES = tuple(cases())


def _rules(kind: type[Resource] = Resource) -> Iterator[tuple[str, Rule]]:
    """Every rule of Easel's, with the name of its class."""
    for subclass in kind.__subclasses__():
        if subclass.__module__.startswith("easel_crds."):
            yield from ((subclass.__name__, rule) for rule in subclass.rules)
        yield from _rules(subclass)


def _problems(case: Case) -> list[Problem]:
    """What one machine says of a case."""
    try:
        new = parse(case.document)
    except InvalidManifest as error:
        return list(error.problems)
    if case.old is None:
        return []
    return [Problem(path, message) for path, message in refused_changes(parse(case.old), new)]


@pytest.mark.parametrize("case", [case for case in _CASES if case.accepted], ids=lambda case: case.name)
def test_what_a_rule_accepts_is_accepted(case: Case) -> None:
    assert _problems(case) == []


@pytest.mark.parametrize("case", [case for case in _CASES if not case.accepted], ids=lambda case: case.name)
def test_what_a_rule_refuses_is_refused_with_its_sentence_at_its_field(case: Case) -> None:
    (problem,) = _problems(case)
    assert problem.field == case.field
    assert problem.message.startswith(case.rule)


@pytest.mark.parametrize(
    ("of", "rule"), list(_rules()), ids=lambda part: part.message if isinstance(part, Rule) else part
)
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "refused"])
def test_every_rule_has_a_case(of: str, rule: Rule, *, accepted: bool) -> None:
    assert [
        case for case in _CASES if case.of == of and rule.message.startswith(case.rule) and case.accepted is accepted
    ], f"tests/contract/cases.yaml lacks a case for: {rule.message}"


def test_every_case_is_about_one_rule() -> None:
    for case in _CASES:
        assert len([rule for of, rule in _rules() if of == case.of and rule.message.startswith(case.rule)]) == 1, case


def test_every_rule_is_enforced_on_both_sides() -> None:
    for _, rule in _rules():
        assert rule.cel
        assert (rule.holds is None) != (rule.allows is None), rule.message
        assert ("oldSelf" in rule.cel) == (rule.allows is not None), rule.message
