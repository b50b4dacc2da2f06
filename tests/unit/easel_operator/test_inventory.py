"""Which ImageModels matter to each other."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easel_crds.demand import ModelKey
from easel_crds.imagemodel import ImageModel
from easel_operator.inventory import Inventory, key_of
from support.cluster_objects import at, cluster_model, written


def _model(name: str, created: float = 0, model_id: str = "a/b", namespace: str = "team", **spec: Any) -> ImageModel:
    metadata = {"creationTimestamp": written(at(created)), "namespace": namespace}
    return cluster_model(name, metadata=metadata, modelId=model_id, **spec)


def _key(name: str, namespace: str = "team") -> ModelKey:
    return ModelKey(namespace, name)


def test_alone_nobody_is_older() -> None:
    inventory = Inventory()
    assert inventory.older(_model("x")) is None
    assert inventory.put(_model("x")) == {_key("x")}
    assert inventory.older(_model("x")) is None


def test_the_older_of_one_model_id_is_found_across_namespaces() -> None:
    inventory, old, new = Inventory(), _model("z", 0, namespace="one"), _model("a", 1, namespace="two")
    assert inventory.put(new) == {_key("a", "two")}
    assert inventory.put(old) == {_key("a", "two"), _key("z", "one")}
    assert inventory.older(new) == old
    assert inventory.older(old) is None


def test_other_model_ids_matter_to_nobody() -> None:
    inventory = Inventory()
    inventory.put(_model("x"))
    assert inventory.put(_model("y", model_id="a/c")) == {_key("y")}
    assert inventory.older(_model("y", 9, model_id="a/c")) is None


def test_when_the_older_goes_its_rival_is_told() -> None:
    inventory, old, new = Inventory(), _model("old"), _model("new", 1)
    inventory.put(old)
    inventory.put(new)
    assert inventory.remove(_key("old"), "") == {_key("old"), _key("new")}
    assert inventory.older(new) is None


def test_one_that_was_never_there_may_go() -> None:
    assert Inventory().remove(_key("x"), "") == {_key("x")}


def test_one_that_came_again_with_another_model_id_frees_the_first() -> None:
    inventory = Inventory()
    inventory.put(_model("old"))
    inventory.put(_model("new", 1))
    # Deleted and made again while the watch was away: the deletion was never seen.
    assert _key("new") in inventory.put(_model("old", 5, model_id="a/c"))
    assert inventory.older(_model("new", 1)) is None


def test_one_that_was_made_again_is_younger_than_who_came_between() -> None:
    inventory = Inventory()
    inventory.put(_model("again", 0))
    inventory.put(_model("between", 1))
    found = inventory.older(_model("again", 2))
    assert found is not None
    assert key_of(found) == _key("between")


def test_everything_anew_tells_those_that_are_there_and_those_that_are_gone() -> None:
    inventory = Inventory()
    inventory.put(_model("gone"))
    inventory.put(_model("stays"))
    assert inventory.replace([_model("stays"), _model("new", 1)]) == {_key("gone"), _key("stays"), _key("new")}
    assert inventory.older(_model("new", 1)) == _model("stays")
    assert inventory.replace([]) == {_key("stays"), _key("new")}
    assert inventory.older(_model("new", 1)) is None


def test_a_profile_matters_to_those_that_name_it() -> None:
    inventory = Inventory()
    inventory.put(_model("x", profile="large"))
    inventory.put(_model("y", model_id="a/c"))
    assert inventory.using_profile("large") == {_key("x")}
    assert inventory.using_profile("default") == {_key("y")}
    assert inventory.using_profile("none") == set()


_models = st.lists(
    st.builds(
        _model,
        st.sampled_from("pqrs"),
        st.integers(0, 3),
        st.sampled_from(["a/b", "a/c"]),
        st.sampled_from(["one", "two"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=key_of,
)


@settings(max_examples=25)
@given(_models)
def test_each_model_id_has_exactly_one_that_nobody_is_older_than(models: list[ImageModel]) -> None:
    inventory = Inventory()
    inventory.replace(models)
    served = [model.spec.model_id for model in models if inventory.older(model) is None]
    assert sorted(served) == sorted({model.spec.model_id for model in models})


@pytest.mark.parametrize("first", ["one", "two"])
def test_of_one_age_the_first_by_name_is_in_force_whoever_asks(first: str) -> None:
    inventory, models = Inventory(), {name: _model("x", namespace=name) for name in ("one", "two")}
    inventory.put(models[first])
    for model in models.values():
        inventory.put(model)
    assert inventory.older(models["one"]) is None
    assert inventory.older(models["two"]) == models["one"]


def test_the_late_news_of_an_end_takes_nothing_from_its_successor() -> None:
    inventory = Inventory()
    first = cluster_model("x", metadata={"uid": "first"}, modelId="a/b")
    inventory.put(first)
    second = cluster_model("x", metadata={"uid": "second"}, modelId="a/b")
    inventory.put(second)
    assert inventory.remove(key_of(first), "first") == {key_of(first)}
    assert inventory.older(_model("new", 1)) == second
