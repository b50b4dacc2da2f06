"""What the supervisor tells the gateway of manifests, without a process."""

from pathlib import Path
from typing import Any

from easel_crds.imagemodel import ImageModel
from easel_local.manifests import Manifests, Source
from easel_local.supervisor import Supervisor
from support.builders import image_model


def manifests(*models: ImageModel) -> Manifests:
    return Manifests({("ImageModel", model.name): Source(Path("models.yaml"), model) for model in models})


async def test_each_other_spec_of_a_model_is_one_generation_more(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)

    def generation(**spec: Any) -> int:
        supervisor.declare(manifests(image_model(**spec)))
        return supervisor.entries()["easel/demo"].model.metadata.generation

    dearer = {"price": {"amount": "1"}}
    assert [generation(), generation(), generation(**dearer), generation(**dearer), generation()] == [1, 1, 2, 2, 3]


async def test_a_changed_price_is_that_of_the_next_request(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    told: list[str] = []
    supervisor.on_change(lambda: told.append(supervisor.entries()["easel/demo"].model.spec.price.amount))
    for amount in ("1", "2"):
        supervisor.declare(manifests(image_model(price={"amount": amount})))
    assert told == ["1", "2"]
