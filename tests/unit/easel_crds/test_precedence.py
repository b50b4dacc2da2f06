"""Which of several ImageModels with one modelId is in force."""

import itertools

import pytest

from easel_crds.imagemodel import ImageModel
from easel_crds.manifest import parse
from easel_crds.precedence import in_force
from support.builders import manifest


def model(name: str, created: str | None, namespace: str = "a", model_id: str = "easel/demo") -> ImageModel:
    document = manifest(name, modelId=model_id)
    document["metadata"] |= {"namespace": namespace, "creationTimestamp": created}
    found = parse(document)
    assert isinstance(found, ImageModel)
    return found


OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(model("z", OLD), model("a", NEW), id="the older one, whatever its name"),
        pytest.param(model("z", OLD, "a"), model("a", OLD, "b"), id="of one age: by namespace"),
        pytest.param(model("a", OLD), model("b", OLD), id="of one age and namespace: by name"),
        pytest.param(model("z", "2026-01-01T00:30:00+01:00"), model("a", OLD), id="time zones are heeded"),
        pytest.param(model("z", NEW), model("a", None), id="one that was never created comes last"),
    ],
)
def test_the_first_is_in_force_in_whatever_order_they_come(first: ImageModel, second: ImageModel) -> None:
    for models in itertools.permutations([first, second]):
        assert in_force(models) == {"easel/demo": first}


def test_each_model_id_has_its_own() -> None:
    one, other = model("one", NEW), model("other", OLD, model_id="easel/other")
    assert in_force([one, other]) == {"easel/demo": one, "easel/other": other}
    assert in_force([]) == {}
