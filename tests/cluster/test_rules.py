"""Every rule on a real API server: the cases that hold on one machine, and what users do with the resources."""

import pytest

from support.kubectl import Namespace, Refused
from support.rule_cases import Case, cases

_CASES = tuple(cases())


def _put(namespace: Namespace, case: Case) -> None:
    """What `kubectl apply` does with a case, without keeping it; a change needs something to be changed."""
    import json

    if case.old is not None:
        namespace.apply(case.old)
        try:
            namespace("apply", "--dry-run=server", "-f", "-", given=json.dumps(case.document))
        finally:
            namespace("delete", "-f", "-", given=json.dumps(case.old))
    else:
        namespace("create", "--dry-run=server", "-f", "-", given=json.dumps(case.document))


@pytest.mark.parametrize("case", [case for case in _CASES if case.accepted], ids=lambda case: case.name)
def test_what_a_rule_accepts_is_accepted(case: Case, namespace: Namespace) -> None:
    _put(namespace, case)


@pytest.mark.parametrize("case", [case for case in _CASES if not case.accepted], ids=lambda case: case.name)
def test_what_a_rule_refuses_is_refused_with_its_sentence(case: Case, namespace: Namespace) -> None:
    with pytest.raises(Refused) as refusal:
        _put(namespace, case)
    assert case.rule in str(refusal.value)
    assert case.field.removesuffix("metadata") in str(refusal.value)
