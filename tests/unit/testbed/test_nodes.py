import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from testbed import certificates, nodes
from testbed.daemons import Failed
from testbed.state import NodeSpec, State

NOW = datetime(2026, 1, 1, 12, 0, 0, 500_000, UTC)


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    for folder in ("nodes", "networks", "logs"):
        (tmp_path / folder).mkdir()
    certificates.make_authority(state.certificates)
    return state


def told(ready: str = "True", seconds: int = 0, gpus: str = "1", taint: str = "nvidia.com/gpu") -> dict[str, Any]:
    heard = (NOW.replace(microsecond=0) + timedelta(seconds=seconds)).isoformat()
    return {
        "spec": {"taints": [{"key": taint}]},
        "status": {
            "allocatable": {"nvidia.com/gpu": gpus},
            "conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": heard}],
        },
    }


def test_a_node_is_usable_when_it_has_said_so_in_this_life() -> None:
    assert nodes.is_usable(told(), 1, NOW)
    assert nodes.is_usable(told(seconds=5), 1, NOW)


@pytest.mark.parametrize(
    "node",
    [
        told(ready="False"),
        told(ready="Unknown"),
        told(seconds=-1),
        told(gpus="0"),
        told(taint="node.kubernetes.io/not-ready"),
        {"spec": {}, "status": {}},
    ],
)
def test_a_node_is_not_usable_before(node: dict[str, Any]) -> None:
    assert not nodes.is_usable(node, 1, NOW)


def test_nodes_have_numbers_of_their_own_and_numbers_are_used_again(state: State) -> None:
    first, second = (nodes.prepare_node(state, NodeSpec(name)) for name in ("a", "b"))
    assert (first.index, second.index) == (1, 2)
    first.spec.unlink()
    first.gpus.unlink()
    first.root.rmdir()
    assert nodes.prepare_node(state, NodeSpec("c")).index == 1
    assert [node.name for node in state.nodes()] == ["b", "c"]


def test_a_nodes_certificate_makes_it_a_node(state: State) -> None:
    nodes.prepare_node(state, NodeSpec("gpu24", 1, 23034, "NVIDIA-L4"))
    issued = x509.load_pem_x509_certificate((state.certificates / "node-gpu24.crt").read_bytes())
    authority = x509.load_pem_x509_certificate((state.certificates / "ca.crt").read_bytes())
    issued.verify_directly_issued_by(authority)
    assert issued.subject.rfc4514_string() == "CN=system:node:gpu24,O=system:nodes"
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.250.0.11"]


@pytest.mark.parametrize("name", ["", "Big", "under_score", "-x", "x" * 53])
def test_what_cannot_be_a_nodes_name_is_refused(state: State, name: str) -> None:
    with pytest.raises(Failed):
        nodes.prepare_node(state, NodeSpec(name))


def test_a_name_is_taken_once(state: State) -> None:
    nodes.prepare_node(state, NodeSpec("a"))
    with pytest.raises(Failed, match="already"):
        nodes.prepare_node(state, NodeSpec("a"))


def test_a_node_has_the_gpus_that_it_was_made_with_until_told_otherwise(state: State) -> None:
    node = nodes.prepare_node(state, NodeSpec("a", 2))
    assert json.loads(node.gpus.read_text()) == {"count": 2, "unhealthy": []}
    nodes.set_gpus(node, 3, [1])
    assert json.loads(node.gpus.read_text()) == {"count": 3, "unhealthy": [1]}


def test_a_node_without_gpus_has_no_device_plugin_to_tell(state: State) -> None:
    with pytest.raises(Failed, match="device plugin"):
        nodes.set_gpus(nodes.prepare_node(state, NodeSpec("cpu")), 1)
