"""The directory on a cluster: what it makes of objects that come, change and go, in any order."""

import logging
from typing import Any

import pytest

from easel_crds.demand import Demand, ModelKey
from easel_gateway.cluster.directory import ClusterDirectory
from easel_gateway.directory import State
from easel_http.errors import Unavailable
from support.kube_api import BORN, endpoint, endpoint_slice, model

MODEL_ID = "easel/demo"
KEY = ModelKey("default", "demo")


class House:
    """A directory, and everything it told."""

    def __init__(self) -> None:
        self.published: list[tuple[ModelKey, Demand, bool]] = []
        self.changes = 0
        self.directory = ClusterDirectory(self._publish)
        self.directory.on_change(self._count)
        self._version = 0

    def stored(self, document: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        """The document with what the API server gives it."""
        self._version += 1
        given = {"namespace": "default", "uid": "1", "creationTimestamp": BORN, "generation": 1}
        given |= {"resourceVersion": str(self._version), **document["metadata"], **metadata}
        return {**document, "metadata": given}

    def models(self, *documents: dict[str, Any]) -> None:
        """The ImageModels were listed."""
        for document in documents:
            self.directory.models.put(document)
        self.directory.models.retain({_place(document) for document in documents})

    def slices(self, *documents: dict[str, Any]) -> None:
        """The EndpointSlices were listed."""
        for document in documents:
            self.directory.slices.put(document)
        self.directory.slices.retain({_place(document) for document in documents})

    def urls(self, model_id: str = MODEL_ID) -> list[str]:
        return [endpoint.url for endpoint in self.directory.entries()[model_id].endpoints]

    def _publish(self, key: ModelKey, demand: Demand, *, urgent: bool) -> None:
        self.published.append((key, demand, urgent))

    def _count(self) -> None:
        self.changes += 1


def _place(document: dict[str, Any]) -> tuple[str, str]:
    return document["metadata"]["namespace"], document["metadata"]["name"]


@pytest.fixture
def house() -> House:
    return House()


def test_before_both_lists_are_complete_nobody_is_told_that_a_model_does_not_exist(house: House) -> None:
    for fill in (house.models, house.slices):
        with pytest.raises(Unavailable, match="has not read the models yet") as caught:
            house.directory.entries()
        assert caught.value.headers == {"Retry-After": "5"}
        fill()
    assert house.directory.entries() == {}


@pytest.mark.parametrize("slices_first", [True, False])
def test_models_and_slices_find_each_other_whichever_comes_first(house: House, *, slices_first: bool) -> None:
    def models() -> None:
        house.models(house.stored(model()))

    def slices() -> None:
        house.slices(
            house.stored(endpoint_slice(endpoint("10.0.0.1", "a"), name="one")),
            house.stored(endpoint_slice(endpoint("10.0.0.2", "b"), endpoint("10.0.0.3", "c"), name="two")),
            house.stored(endpoint_slice(endpoint("10.0.0.9", "x"), name="three", of="other")),
            house.stored(endpoint_slice(endpoint("10.0.0.8", "y"), name="one"), namespace="elsewhere"),
        )

    for come in (slices, models) if slices_first else (models, slices):
        come()
    assert house.urls() == ["http://10.0.0.1:8000", "http://10.0.0.2:8000", "http://10.0.0.3:8000"]


def test_a_slice_changes_moves_and_goes(house: House) -> None:
    house.models(house.stored(model()), house.stored(model("other")))
    house.slices(house.stored(endpoint_slice(endpoint())))
    house.directory.slices.put(house.stored(endpoint_slice(endpoint(terminating=True))))
    assert house.urls() == []
    house.directory.slices.put(house.stored(endpoint_slice(endpoint(), of="other")))
    assert house.urls("easel/other") == ["http://10.0.0.1:8000"]
    house.directory.slices.drop(("default", "easel-demo-1"))
    house.directory.slices.drop(("default", "never-heard-of"))
    assert house.urls("easel/other") == []


def test_a_list_takes_away_what_is_not_in_it_and_leaves_the_rest_in_peace(house: House) -> None:
    kept, gone = house.stored(model()), house.stored(model("other"))
    here, there = house.stored(endpoint_slice(endpoint())), house.stored(endpoint_slice(name="two", of="other"))
    house.models(kept, gone)
    house.slices(here, there)
    before, changes = house.directory.entries()[MODEL_ID], house.changes
    house.models(kept)
    house.slices(here)
    assert list(house.directory.entries()) == [MODEL_ID]
    assert house.directory.entries()[MODEL_ID] is before
    assert house.changes == changes + 1


def test_what_changes_nothing_is_not_told(house: House) -> None:
    house.models(house.stored(model()))
    house.slices(house.stored(endpoint_slice(endpoint())))
    changes = house.changes
    house.directory.models.put(house.stored(model()))
    house.directory.slices.put(house.stored(endpoint_slice(endpoint())))
    assert house.changes == changes
    house.directory.models.put(house.stored(model(status={"replicas": 1})))
    assert house.changes == changes + 1


def test_of_two_with_one_model_id_the_older_is_in_force_and_the_younger_takes_over(house: House) -> None:
    young = house.stored(model("young", modelId=MODEL_ID), creationTimestamp="2026-02-01T00:00:00Z")
    house.models(young)
    house.slices(
        house.stored(endpoint_slice(endpoint("10.0.0.1", "a"), name="one")),
        house.stored(endpoint_slice(endpoint("10.0.0.2", "b"), name="two", of="young")),
    )
    assert house.urls() == ["http://10.0.0.2:8000"]
    house.directory.models.put(house.stored(model()))
    assert house.directory.entries()[MODEL_ID].model.name == "demo"
    assert house.urls() == ["http://10.0.0.1:8000"]
    house.directory.models.drop(("default", "demo"))
    assert house.urls() == ["http://10.0.0.2:8000"]
    house.directory.models.drop(("default", "young"))
    assert house.directory.entries() == {}


def test_a_name_that_was_given_anew_may_have_another_model_id(house: House) -> None:
    house.slices()
    house.models(house.stored(model()))
    house.models(house.stored(model(modelId="easel/other"), uid="2"))
    assert list(house.directory.entries()) == ["easel/other"]


def test_one_that_is_being_deleted_is_gone_though_it_lingers(house: House) -> None:
    house.slices()
    house.models(house.stored(model(), deletionTimestamp="2026-02-01T00:00:00Z"))
    assert house.directory.entries() == {}


def test_one_that_cannot_be_read_is_left_out_and_told_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    house.slices()
    newer = house.stored(model(colour="red"))
    house.models(newer, house.stored(model("other")))
    house.models(newer, house.stored(model("other")))
    assert list(house.directory.entries()) == ["easel/other"]
    assert len(caplog.messages) == 1
    assert "default/demo" in caplog.messages[0]
    assert "spec.colour" in caplog.messages[0]
    house.directory.models.put(house.stored(model(colour="blue")))
    assert len(caplog.messages) == 2


def test_a_status_of_a_newer_operator_takes_no_model_away(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.slices()
    house.models(house.stored(model(status={"replicas": 1, "temperature": 40})))
    assert house.directory.entries()[MODEL_ID].state is State.COLD
    house.models(house.stored(model(status={"temperature": 40}, colour="red")))
    assert house.directory.entries() == {}
    assert "spec.colour" in caplog.text


def test_demand_is_for_the_model_in_force_and_urgent_while_nothing_serves_it(house: House) -> None:
    house.models(house.stored(model(), creationTimestamp="2026-02-01T00:00:00Z"))
    house.slices()
    house.directory.report(MODEL_ID, Demand(waiting=1))
    house.directory.slices.put(house.stored(endpoint_slice(endpoint())))
    house.directory.report(MODEL_ID, Demand(in_flight=1, waiting=1))
    assert house.published == [(KEY, Demand(waiting=1), True), (KEY, Demand(1, 1), False)]
    del house.published[:]
    house.directory.models.put(house.stored(model("older", modelId=MODEL_ID)))
    house.directory.report(MODEL_ID, Demand(in_flight=1, waiting=1))
    older = ModelKey("default", "older")
    assert house.published == [(KEY, Demand(), False), (older, Demand(1, 1), True)]
    del house.published[:]
    for name in ("older", "demo"):
        house.directory.models.drop(("default", name))
    house.directory.report(MODEL_ID, Demand(in_flight=1))
    house.directory.report(MODEL_ID, Demand())
    assert house.published == [(older, Demand(), False)]
