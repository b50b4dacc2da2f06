"""RuntimeProfile: what the owner of the cluster knows, so that ImageModels stay small."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from easel_crds.imagemodel import Metadata
from easel_crds.metadata import API_VERSION
from easel_crds.quantity import quantity_at_least
from easel_crds.rules import Resource, Rule

_VARIABLE: Final = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"

Name = Annotated[str, Field(min_length=1, max_length=253)]
Key = Annotated[str, Field(min_length=1, max_length=316)]
Size = Annotated[str, Field(max_length=20)]


def _not_negative(field: str, value: Callable[[Any], str]) -> Rule:
    return Rule(
        message=f"{field} must be a quantity that is not negative, such as 500m or 16Gi",
        cel=f"isQuantity(self.{field}) && !quantity(self.{field}).isLessThan(quantity('0'))",
        field=field,
        holds=lambda amounts: quantity_at_least(value(amounts), Decimal(0)),
    )


class ResourceAmounts(Resource):
    """CPU and memory of one runtime, besides its GPU."""

    cpu: Size = "2"
    """CPU request as a quantity."""
    memory: Size = "16Gi"
    """Memory request and limit as a quantity; loading needs room for the weights."""
    ephemeral_storage: Size = "2Gi"
    """Request of node-local disk as a quantity, without the weights cache."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _not_negative("cpu", lambda amounts: amounts.cpu),
        _not_negative("memory", lambda amounts: amounts.memory),
        _not_negative("ephemeralStorage", lambda amounts: amounts.ephemeral_storage),
    )


class NodeRequirement(Resource):
    """One demand on a node's labels."""

    key: Key
    """Label key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    """How the label compares; Gt and Lt compare integers."""
    values: Annotated[
        tuple[Annotated[str, Field(max_length=63)], ...],
        Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """Values to compare with."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="values must be empty for Exists and DoesNotExist, one integer for Gt and Lt, else not empty",
            cel="self.operator in ['Exists', 'DoesNotExist'] ? size(self.values) == 0 : self.operator in ['Gt', 'Lt']"
            " ? size(self.values) == 1 && self.values[0].matches('^[0-9]{1,18}$') : size(self.values) > 0",
            field="values",
            holds=lambda requirement: _values_fit(requirement.operator, requirement.values),
        ),
    )


def _values_fit(operator: str, values: tuple[str, ...]) -> bool:
    if operator in ("Exists", "DoesNotExist"):
        return not values
    if operator in ("Gt", "Lt"):
        return len(values) == 1 and values[0].isascii() and values[0].isdigit() and len(values[0]) <= 18
    return bool(values)


class NodeTerm(Resource):
    """Demands that a node must meet all together."""

    match: Annotated[
        tuple[NodeRequirement, ...],
        Field(min_length=1, max_length=10, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ]
    """Demands on the node's labels."""


class Toleration(Resource):
    """A taint that runtimes tolerate."""

    key: Annotated[str, Field(max_length=316)] = ""
    """Key of the taint; empty with operator Exists tolerates all."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """How key and value compare."""
    value: Annotated[str, Field(max_length=63)] = ""
    """Value of the taint, for Equal."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect of the taint; empty means every effect."""


class Cache(Resource):
    """Where runtimes keep the weights they download."""

    persistent_volume_claim: Annotated[str, Field(max_length=253)] = ""
    """Name of a PersistentVolumeClaim in the ImageModel's namespace."""
    host_path: Annotated[str, Field(max_length=4096)] = ""
    """Absolute path of a directory that exists on each node and that runtimes, which run as user 65532, can write."""
    size: Size = "50Gi"
    """Room for a node-local copy that lives as long as its pod, when neither of the others is set."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="size must be a quantity above zero, such as 50Gi",
            cel="isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0'))",
            field="size",
            holds=lambda cache: quantity_at_least(cache.size, Decimal("1e-9")),
        ),
        Rule(
            message="persistentVolumeClaim and hostPath exclude each other: set one of them, or none",
            cel="self.persistentVolumeClaim == '' || self.hostPath == ''",
            field="persistentVolumeClaim",
            holds=lambda cache: not (cache.persistent_volume_claim and cache.host_path),
        ),
        Rule(
            message="hostPath must be an absolute path",
            cel="self.hostPath == '' || self.hostPath.startsWith('/')",
            field="hostPath",
            holds=lambda cache: not cache.host_path or cache.host_path.startswith("/"),
        ),
    )


class SecretKey(Resource):
    """One key of a Secret in the ImageModel's namespace."""

    name: Name
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253)] = "token"
    """Key in the Secret."""


class EnvironmentVariable(Resource):
    """One environment variable of the runtimes."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] = ""
    """Its value."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="name must be letters, digits, '_', '-' and '.', and must not begin with a digit",
            cel=f"self.name.matches('{_VARIABLE}')",
            field="name",
            holds=lambda variable: re.fullmatch(_VARIABLE, variable.name) is not None,
        ),
        Rule(
            message="value must not hold NUL: no process could be given it",
            cel="!self.value.contains('\\u0000')",
            field="value",
            holds=lambda variable: "\0" not in variable.value,
        ),
    )


class RuntimeProfileSpec(Resource):
    """How runtimes run on this cluster."""

    image: Annotated[str, Field(max_length=512)] = ""
    """Container image of the runtime; empty: the one that the operator was released with."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes pull the image."""
    image_pull_secrets: Annotated[
        tuple[Name, ...], Field(max_length=20, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """Names of Secrets in the ImageModel's namespace with which nodes may pull the image."""
    resources: ResourceAmounts = ResourceAmounts()
    """CPU and memory of one runtime, besides its GPU."""
    gpu_resource: Annotated[str, Field(min_length=1, max_length=316)] = "nvidia.com/gpu"
    """Name under which nodes offer their GPUs; one runtime requests one."""
    node_terms: Annotated[
        tuple[NodeTerm, ...], Field(max_length=20, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """Nodes that are known to have a large enough GPU, by their own labels: any one term suffices, beside those that
    Easel knows (GPU feature discovery, Karpenter, GKE, EKS)."""
    tolerations: Annotated[
        tuple[Toleration, ...], Field(max_length=20, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """Taints that runtimes tolerate, beside nvidia.com/gpu."""
    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    """PriorityClass of the runtimes."""
    runtime_class_name: Annotated[str, Field(max_length=253)] = ""
    """RuntimeClass of the runtimes, where GPUs need one."""
    cache: Cache = Cache()
    """Where runtimes keep the weights they download."""
    hub_token: SecretKey | None = None
    """Token of the model hub, for gated models."""
    env: Annotated[
        tuple[EnvironmentVariable, ...],
        Field(
            max_length=100, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = ()
    """Further environment variables of the runtimes."""
    termination_grace_seconds: Annotated[int, Field(ge=0, le=3600)] = 120
    """Seconds that a runtime gets to finish its work when it is stopped."""


class RuntimeProfile(Resource):
    """How runtimes run on this cluster: image, resources, nodes, cache. ImageModels name one."""

    api_version: Literal["easel.dev/v1alpha1"] = API_VERSION
    kind: Literal["RuntimeProfile"] = "RuntimeProfile"
    metadata: Metadata
    spec: RuntimeProfileSpec = RuntimeProfileSpec()
    """How runtimes run on this cluster."""

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.metadata.name


DEFAULT_PROFILE: Final = RuntimeProfile(metadata=Metadata(name="default"))
"""The profile of an ImageModel that names none, where no resource of that name exists."""
