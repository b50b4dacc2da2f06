"""Which LoRA weights an ImageModel lets its callers ask for."""

from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field

from easel_crds.quantity import parse_quantity, quantity_at_least
from easel_crds.rules import Resource, Rule


class Loras(Resource):
    """Which LoRA weights callers may ask for."""

    allow: Annotated[
        tuple[Annotated[str, Field(max_length=200)], ...],
        Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ("*",)
    """Hub repository ids or patterns such as "nerijs/*"; safetensors files only. An empty list allows none."""
    max_per_request: Annotated[int, Field(ge=0, le=16)] = 4
    """Most LoRAs in one request."""
    max_bytes: Annotated[str, Field(max_length=20)] = "1Gi"
    """Largest size of one LoRA file as a quantity."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="maxBytes must be a quantity above zero, such as 1Gi; to allow no LoRA, set allow to []",
            cel="isQuantity(self.maxBytes) && quantity(self.maxBytes).isGreaterThan(quantity('0'))",
            field="maxBytes",
            holds=lambda loras: quantity_at_least(loras.max_bytes, Decimal("1e-9")),
        ),
    )

    @property
    def file_bytes(self) -> int:
        """`max_bytes` as a number."""
        return int(parse_quantity(self.max_bytes))
