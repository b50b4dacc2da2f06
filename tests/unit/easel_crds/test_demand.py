import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.demand import Demand, ModelKey, from_annotation, to_annotation

_names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
_counts = st.integers(0, 10_000)


@given(st.dictionaries(st.builds(ModelKey, _names, _names), st.builds(Demand, _counts, _counts)))
def test_what_was_written_is_read_without_the_models_that_nobody_asks_for(demands: dict[ModelKey, Demand]) -> None:
    asked = {key: demand for key, demand in demands.items() if demand.requests}
    assert from_annotation(to_annotation(demands)) == asked


def test_the_text_does_not_depend_on_the_order() -> None:
    one, two = (ModelKey("a", "x"), Demand(1, 0)), (ModelKey("b", "y"), Demand(0, 2))
    assert to_annotation(dict([one, two])) == to_annotation(dict([two, one])) == '{"a/x":[1,0],"b/y":[0,2]}'


@pytest.mark.parametrize("text", ["", "[]", "1", '{"x":[1,1]}', '{"a/x":[1]}', '{"a/x":[-1,0]}', '{"a/x":["1",0]}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|counts|Expecting"):
        from_annotation(text)


def test_demands_add_up() -> None:
    assert Demand(1, 2) + Demand(3, 4) == Demand(4, 6)
    assert Demand(4, 6).requests == 10
