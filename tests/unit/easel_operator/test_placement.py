"""On which nodes runtimes may land: the terms, evaluated as the scheduler does, against labels of real nodes."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.quantity import parse_quantity
from easel_crds.runtimeprofile import RuntimeProfile
from easel_operator.desired.placement import affinity, tolerations
from support.builders import image_model, runtime_profile

Labels = Mapping[str, str]


def _meets(labels: Labels, requirement: Mapping[str, Any]) -> bool:
    """As `k8s.io/component-helpers/scheduling/corev1/nodeaffinity` has it."""
    value, wanted = labels.get(requirement["key"]), requirement.get("values", [])
    match requirement["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            (least,) = wanted
            return value is not None and value.lstrip("-").isdigit() and int(value) > int(least)
        case "Lt":
            (most,) = wanted
            return value is not None and value.lstrip("-").isdigit() and int(value) < int(most)
    raise AssertionError(requirement)


def _terms(memory: str = "20G", profile: RuntimeProfile | None = None) -> list[list[dict[str, Any]]]:
    found = affinity(image_model(gpu={"memory": memory}), profile or runtime_profile())
    terms = found["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert all(term.keys() == {"matchExpressions"} for term in terms)
    return [term["matchExpressions"] for term in terms]


def _fits(labels: Labels, memory: str = "20G", profile: RuntimeProfile | None = None) -> bool:
    return any(all(_meets(labels, one) for one in term) for term in _terms(memory, profile))


def _discovered(mib: int | str, product: str = "NVIDIA-L4", **more: str) -> Labels:
    return {
        "nvidia.com/gpu.memory": str(mib),
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": "1",
        **more,
    }


def _karpenter(mib: int, manufacturer: str = "nvidia") -> Labels:
    return {
        "karpenter.sh/nodepool": "gpu",
        "node.kubernetes.io/instance-type": "g6.xlarge",
        "karpenter.k8s.aws/instance-gpu-count": "1",
        "karpenter.k8s.aws/instance-gpu-manufacturer": manufacturer,
        "karpenter.k8s.aws/instance-gpu-memory": str(mib),
    }


def _gke(accelerator: str, **more: str) -> Labels:
    return {"cloud.google.com/gke-accelerator": accelerator, "cloud.google.com/gke-nodepool": "gpu", **more}


def _eks(accelerator: str) -> Labels:
    return {"k8s.amazonaws.com/accelerator": accelerator, "node.kubernetes.io/instance-type": "g6.xlarge"}


@pytest.mark.parametrize(
    ("mib", "fits"),
    [
        pytest.param(19195, True, id="RTX 4000 Ada 20 GB with ECC"),
        pytest.param(19968, True, id="MIG 2g.20gb"),
        pytest.param(20096, True, id="MIG 3g.20gb"),
        pytest.param(20470, True, id="RTX A4500 20 GB"),
        pytest.param(20475, True, id="RTX 4000 Ada 20 GB"),
        pytest.param(23034, True, id="L4"),
        pytest.param(40960, True, id="A100 40 GB"),
        pytest.param(143771, True, id="H200"),
        pytest.param(19074, True, id="the least that holds 20e9 bytes"),
        pytest.param(19073, False, id="the most that does not"),
        pytest.param(16384, False, id="V100 16 GB"),
        pytest.param(16376, False, id="RTX A4000 16 GB"),
        pytest.param(15360, False, id="T4"),
        pytest.param(0, False, id="MIG with an invalid geometry"),
    ],
)
def test_cards_that_are_sold_as_20_gb_pass_and_16_gb_never(mib: int, fits: bool) -> None:  # noqa: FBT001
    assert _fits(_discovered(mib)) is fits


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="no labels"),
        pytest.param({"nvidia.com/gpu.present": "true"}, id="a GPU of unknown memory"),
        pytest.param({"nvidia.com/gpu.memory": ""}, id="empty"),
        pytest.param({"nvidia.com/gpu.memory": "24Gi"}, id="not a number"),
        pytest.param({"nvidia.com/mig-3g.20gb.memory": "20096"}, id="MIG, mixed strategy, other resource"),
        pytest.param({"kubernetes.azure.com/accelerator": "nvidia"}, id="AKS says nothing about memory"),
    ],
)
def test_a_node_that_promises_nothing_is_not_taken(labels: Labels) -> None:
    assert not _fits(labels)


@pytest.mark.parametrize(
    ("labels", "fits"),
    [
        (_karpenter(22888), True),  # g6: L4
        (_karpenter(45776), True),  # g6e: L40S
        (_karpenter(16384), False),  # g4dn: T4
        (_karpenter(11444), False),  # g6f: half an L4
        (_karpenter(32768, manufacturer="habana"), False),  # dl1: Gaudi
        (_karpenter(32768, manufacturer="amd"), False),
        (_gke("nvidia-l4"), True),
        (_gke("nvidia-tesla-a100"), True),
        (_gke("nvidia-h200-141gb"), True),
        (_gke("nvidia-tesla-t4"), False),
        (_gke("nvidia-tesla-v100"), False),
        (_gke("nvidia-tesla-p100"), False),
        (_gke("ct5lp-hightpu-4t"), False),
        (_gke("nvidia-tesla-a100", **{"cloud.google.com/gke-gpu-partition-size": "1g.5gb"}), False),
        (_eks("nvidia-a10g"), True),
        (_eks("nvidia-l40s"), True),
        (_eks("nvidia-tesla-t4"), False),
        (_eks("nvidia-tesla-v100"), False),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_templates_of_nodes_that_do_not_exist_yet(labels: Labels, fits: bool) -> None:  # noqa: FBT001
    assert _fits(labels) is fits


@pytest.mark.parametrize(
    ("memory", "passes", "fails"),
    [
        ("24Gi", _discovered(24576), _discovered(24575)),
        ("40G", _gke("nvidia-tesla-a100"), _gke("nvidia-l4")),
        ("40Gi", _gke("nvidia-tesla-a100"), _eks("nvidia-a10g")),
        ("41Gi", _gke("nvidia-a100-80gb"), _gke("nvidia-tesla-a100")),
        ("80G", _eks("nvidia-h100"), _eks("nvidia-l40s")),
        ("80Gi", _gke("nvidia-a100-80gb"), _gke("nvidia-h100-80gb")),
        ("20Gi", _discovered(20480), _discovered(20475)),
        ("20000000001", _discovered(19074), _discovered(19073)),
    ],
)
def test_a_model_that_needs_more_gets_more(memory: str, passes: Labels, fails: Labels) -> None:
    assert _fits(passes, memory)
    assert not _fits(fails, memory)


def test_nothing_is_large_enough_in_the_tables_for_a_terabyte() -> None:
    keys = [[one["key"] for one in term] for term in _terms("1T")]
    assert keys == [
        ["karpenter.k8s.aws/instance-gpu-manufacturer", "karpenter.k8s.aws/instance-gpu-memory"],
        ["nvidia.com/gpu.memory"],
    ]


@given(st.integers(20_000_000_000, 10**13), st.integers(0, 10**7))
def test_a_discovered_node_is_taken_exactly_if_its_memory_suffices(least: int, mib: int) -> None:
    assert _fits(_discovered(mib), str(least)) is (mib * (1 << 20) >= least)
    assert _fits(_karpenter(mib), str(least)) is (mib * (1 << 20) >= least)


@given(st.integers(20, 200), st.sampled_from(["G", "Gi"]))
def test_every_operator_has_the_values_that_the_api_server_demands(amount: int, unit: str) -> None:
    profile = runtime_profile(nodeTerms=[{"match": [{"key": "a", "operator": "Exists"}]}])
    for requirement in (one for term in _terms(f"{amount}{unit}", profile) for one in term):
        values = requirement.get("values")
        match requirement["operator"]:
            case "Gt" | "Lt":
                assert values is not None
                assert len(values) == 1
                assert values[0].isdigit()
                assert int(values[0]) * (1 << 20) < parse_quantity(f"{amount}{unit}")
            case "In" | "NotIn":
                assert values
            case _:
                assert values is None


def test_karpenter_s_term_comes_first_and_the_one_that_people_understand_last() -> None:
    profile = runtime_profile(
        nodeTerms=[
            {"match": [{"key": "pool", "values": ["gpu-24", "gpu-48"]}, {"key": "spot", "operator": "DoesNotExist"}]},
            {"match": [{"key": "gpu-gb", "operator": "Gt", "values": ["23"]}]},
        ]
    )
    terms = _terms(profile=profile)
    assert terms[0][0]["key"].startswith("karpenter.k8s.aws/")
    assert terms[-3] == [
        {"key": "pool", "operator": "In", "values": ["gpu-24", "gpu-48"]},
        {"key": "spot", "operator": "DoesNotExist"},
    ]
    assert terms[-2] == [{"key": "gpu-gb", "operator": "Gt", "values": ["23"]}]
    assert terms[-1][0]["key"] == "nvidia.com/gpu.memory"


@pytest.mark.parametrize(
    ("labels", "fits"),
    [({"pool": "gpu-24"}, True), ({"pool": "cpu"}, False), ({"pool": "gpu-24", "spot": "true"}, False)],
    ids=str,
)
def test_a_node_that_the_profile_names_needs_no_other_label(labels: Labels, fits: bool) -> None:  # noqa: FBT001
    match = [{"key": "pool", "values": ["gpu-24"]}, {"key": "spot", "operator": "DoesNotExist"}]
    assert _fits(labels, profile=runtime_profile(nodeTerms=[{"match": match}])) is fits


def _tolerated(taint: Mapping[str, str], profile: RuntimeProfile) -> bool:
    """As `ToleratesTaint` has it."""
    for one in tolerations(profile):
        effect = one.get("effect", "") in ("", taint["effect"])
        key = one.get("key", "") in ("", taint["key"])
        value = one["operator"] == "Exists" or one.get("value", "") == taint.get("value", "")
        if effect and key and value:
            return True
    return False


def test_the_taint_of_gpu_pools_is_tolerated_and_no_other() -> None:
    present = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    assert _tolerated(present, runtime_profile())
    assert not _tolerated({**present, "effect": "NoExecute"}, runtime_profile())
    assert not _tolerated({**present, "key": "amd.com/gpu"}, runtime_profile())


@pytest.mark.parametrize(
    ("own", "written"),
    [
        ({"key": "spot"}, {"key": "spot", "operator": "Exists"}),
        ({"operator": "Exists"}, {"operator": "Exists"}),
        (
            {"key": "team", "operator": "Equal", "value": "images", "effect": "NoExecute"},
            {"key": "team", "operator": "Equal", "value": "images", "effect": "NoExecute"},
        ),
        ({"key": "team", "operator": "Equal"}, {"key": "team", "operator": "Equal"}),
    ],
    ids=str,
)
def test_the_profile_s_tolerations_are_added(own: dict[str, str], written: dict[str, str]) -> None:
    assert tolerations(runtime_profile(tolerations=[own]))[-1] == written


def test_a_node_that_does_not_answer_is_waited_for_a_minute() -> None:
    waited = {
        one["key"]: one["tolerationSeconds"] for one in tolerations(runtime_profile()) if "tolerationSeconds" in one
    }
    assert waited == {"node.kubernetes.io/not-ready": 60, "node.kubernetes.io/unreachable": 60}
