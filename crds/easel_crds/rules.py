"""One rule, enforced twice: by the API server as CEL, and on one machine as a Python predicate.

Both refuse with the same sentence, so what `easel up` says of a manifest is what `kubectl apply` says.
Each rule has an accepted and a refused example in `tests/contract/cases.yaml`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Rule:
    """A sentence that must hold for one object of a resource."""

    message: str
    """What the user reads when the rule does not hold: what is wrong and what to do."""
    cel: str
    """The rule for the API server; `self` is the object, `oldSelf` the one it replaces."""
    field: str = ""
    """JSON name of the field to blame; empty: the whole object."""
    holds: Callable[[Any], bool] | None = None
    """The same rule here. None for a rule on changes."""
    allows: Callable[[Any, Any], bool] | None = None
    """For a rule on changes: called with the old object and the new one."""


class Resource(BaseModel):
    """Base of every object in a manifest: frozen, camelCase, no unknown fields, rules kept.

    A field's docstring becomes its text in `kubectl explain`.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        for rule in self.rules:
            if rule.holds is not None and not rule.holds(self):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message, "field": rule.field})
        return self

    @model_validator(mode="after")
    def _keep_lists_unique(self) -> Self:
        """As the API server does it by `x-kubernetes-list-type`."""
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if not isinstance(extra, dict) or extra.get("x-kubernetes-list-type") not in ("set", "map"):
                continue
            keys = cast("list[str]", extra.get("x-kubernetes-list-map-keys", []))
            items = [tuple(getattr(item, key) for key in keys) or item for item in getattr(self, name)]
            twice = next((item for item in items if items.count(item) > 1), None)
            if twice is not None:
                shown = ", ".join(map(str, twice)) if keys else twice
                message = f"has {shown} twice; remove one"
                raise PydanticCustomError("rule", "{message}", {"message": message, "field": field.alias or name})
        return self


def refused_changes(old: Resource, new: Resource, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Path and sentence of each rule on changes that going from `old` to `new` would break."""
    for rule in new.rules:
        if rule.allows is not None and not rule.allows(old, new):
            yield (*path, rule.field) if rule.field else path, rule.message
    for name, field in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Resource) and isinstance(after, Resource):
            yield from refused_changes(before, after, (*path, field.alias or name))
