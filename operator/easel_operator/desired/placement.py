"""Which nodes may run a model: affinity terms that hold for nodes that exist and for templates of those that do not.

Terms are ORed. A node group at zero has no labels from GPU feature discovery, so autoscalers need terms on labels
that their templates have.
"""

from collections.abc import Iterator
from decimal import Decimal
from math import ceil
from typing import Any, Final

from easel_crds.imagemodel import ImageModel
from easel_crds.quantity import parse_quantity
from easel_crds.runtimeprofile import NodeRequirement, RuntimeProfile, RuntimeProfileSpec

_MIB: Final = 1 << 20
_GPU_TAINT: Final = "nvidia.com/gpu"
_LOST_SECONDS: Final = 60

_GKE: Final = {
    "nvidia-l4": 22_888,
    "nvidia-tesla-a100": 40_960,
    "nvidia-a100-80gb": 81_920,
    "nvidia-h100-80gb": 81_559,
    "nvidia-h100-mega-80gb": 81_559,
    "nvidia-h200-141gb": 143_771,
    "nvidia-b200": 183_359,
}
"""Values of GKE's accelerator label, with the memory of such a GPU in MiB. Smaller ones (T4, P4, V100) never fit."""

_EKS: Final = {
    "nvidia-l4": 22_888,
    "nvidia-a10g": 22_888,
    "nvidia-l40s": 45_776,
    "nvidia-tesla-a100": 40_960,
    "nvidia-h100": 81_559,
    "nvidia-h200": 143_771,
}
"""The same for the label by which cluster-autoscaler knows GPU nodes on AWS; node groups set it themselves."""


def affinity(model: ImageModel, profile: RuntimeProfile) -> dict[str, Any]:
    """Required node affinity of the runtimes of `model`."""
    least = parse_quantity(model.spec.gpu.memory)
    terms = [{"matchExpressions": list(expressions)} for expressions in _terms(least, profile.spec)]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def tolerations(profile: RuntimeProfile) -> list[dict[str, Any]]:
    """The taint that GPU pools usually have, the profile's own, and a minute for a node that does not answer.

    Kubernetes gives five; a runtime elsewhere has loaded by then. A kubelet that only blinks keeps its runtimes.
    """
    own = [toleration.model_dump(by_alias=True, exclude_defaults=True) for toleration in profile.spec.tolerations]
    defaults = [{"operator": "Exists"} | toleration for toleration in own]
    minute = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _LOST_SECONDS}
    lost = [{"key": f"node.kubernetes.io/{how}", **minute} for how in ("not-ready", "unreachable")]
    return [{"key": _GPU_TAINT, "operator": "Exists", "effect": "NoSchedule"}, *lost, *defaults]


def _terms(least: Decimal, profile: RuntimeProfileSpec) -> Iterator[list[dict[str, Any]]]:
    """Karpenter's term first: it tries them in order and drops those that its templates cannot meet, one a round.

    The one that people understand comes last: of that it tells when none can be met.
    """
    # Labels hold whole MiB, and Gt is "greater than": 20e9 bytes are 19073.49 MiB, so the least label is 19074.
    above = str(ceil(least / _MIB) - 1)
    yield [
        _requirement("karpenter.k8s.aws/instance-gpu-manufacturer", "In", "nvidia"),
        _requirement("karpenter.k8s.aws/instance-gpu-memory", "Gt", above),
    ]
    if large := [name for name, mib in _GKE.items() if mib * _MIB >= least]:
        yield [
            _requirement("cloud.google.com/gke-accelerator", "In", *large),
            _requirement("cloud.google.com/gke-gpu-partition-size", "DoesNotExist"),
        ]
    if large := [name for name, mib in _EKS.items() if mib * _MIB >= least]:
        yield [_requirement("k8s.amazonaws.com/accelerator", "In", *large)]
    for term in profile.node_terms:
        yield [_from_profile(requirement) for requirement in term.match]
    yield [_requirement("nvidia.com/gpu.memory", "Gt", above)]


def _from_profile(requirement: NodeRequirement) -> dict[str, Any]:
    return _requirement(requirement.key, requirement.operator, *requirement.values)


def _requirement(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
