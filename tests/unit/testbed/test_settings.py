"""What the programs of a cluster are told."""

import tomllib
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path

from testbed import control_plane, network, node_config, services, simulated
from testbed.inner import Plan
from testbed.karpenter import InstanceType, instance_type
from testbed.state import Mount, NodeSpec, Settings, State

GPU_NODE = NodeSpec("gpu24", 2, 23034, "NVIDIA-L4", labels={"pool": "a"})
STATE = State(Path("/state"))


def test_a_plan_survives_the_way_to_the_other_process() -> None:
    settings = Settings("run", ["/a.tar"], [Mount("/host", "/node", writable=True)])
    plan = Plan("/state", settings, [GPU_NODE, NodeSpec("cpu")], ["echo", "it's"], [3, 4])
    assert Plan.from_json(plan.to_json()) == plan


def test_gpus_are_labelled_as_gpu_feature_discovery_does() -> None:
    assert GPU_NODE.all_labels() == {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": "2",
        "nvidia.com/gpu.memory": "23034",
        "nvidia.com/gpu.product": "NVIDIA-L4",
        "pool": "a",
    }
    assert NodeSpec("cpu", labels={"pool": "a"}).all_labels() == {"pool": "a"}


def test_addresses_are_apart() -> None:
    ranges: list[IPv4Network] = [IPv4Network(network.pod_range(index)) for index in range(1, network.NODES + 1)]
    assert len(set(ranges)) == network.NODES
    assert all(one.subnet_of(IPv4Network(network.PODS)) for one in ranges)
    hosts = {network.node_address(index) for index in range(1, network.NODES + 1)} | {network.HOST}
    assert len(hosts) == network.NODES + 1
    assert all(ip_address(host) not in ip_network(network.PODS) for host in hosts)
    for service in (network.API_SERVICE, network.DNS_SERVICE):
        assert ip_address(service) in ip_network(network.SERVICES)


def test_containerd_starts_pods_without_asking_this_machine() -> None:
    plugins = tomllib.loads(node_config.containerd("/cni"))["plugins"]
    cri = plugins["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == node_config.PAUSE_IMAGE
    assert cri["restrict_oom_score_adj"]
    assert cri["cni"] == {"bin_dir": "/cni", "conf_dir": node_config.NETWORK_CONFIG}
    assert plugins["io.containerd.internal.v1.opt"]["path"].startswith("/run/")


def test_a_kubelet_registers_what_its_node_is() -> None:
    settings = node_config.kubelet(GPU_NODE, "/pki", "run/gpu24", "/resolv.conf")
    assert settings["registerWithTaints"] == GPU_NODE.taints()
    assert settings["cgroupRoot"] == "/run/gpu24"
    assert settings["tlsCertFile"] == "/pki/node-gpu24.crt"
    flags = node_config.kubelet_flags(GPU_NODE, 3)
    assert "--node-ip=10.250.0.13" in flags
    (labels,) = (flag for flag in flags if flag.startswith("--node-labels="))
    assert "nvidia.com/gpu.memory=23034" in labels.split("=", 1)[1].split(",")
    assert not any(flag.startswith("--node-labels") for flag in node_config.kubelet_flags(NodeSpec("cpu"), 1))


def test_kube_proxy_leaves_limits_of_this_machine_alone() -> None:
    settings = node_config.kube_proxy("node", "10.250.0.11", "/kubeconfig")
    assert settings["conntrack"] == {
        "maxPerCore": 0,
        "min": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    }


def test_pods_get_addresses_of_their_node() -> None:
    first, second = node_config.pod_network(7)["plugins"]
    assert first["ipam"]["ranges"] == [[{"subnet": "10.244.7.0/24"}]]
    assert second["type"] == "portmap"


def test_writes_are_audited_and_reads_are_not() -> None:
    writes, rest = control_plane.audit_policy()["rules"]
    assert writes["level"] == "Metadata"
    assert set(writes["verbs"]) == {"create", "update", "patch", "delete", "deletecollection"}
    assert rest == {"level": "None"}
    assert "--audit-log-path=/state/logs/audit.log" in control_plane.server_flags(STATE)


def test_names_outside_the_cluster_are_answered_apart_from_those_inside() -> None:
    inside, outside = services.dns_config("/kubeconfig").split("\n. {")
    assert "kubernetes cluster.local" in inside
    assert "template" not in inside, "it would come first"
    assert "NXDOMAIN" in outside


def test_a_simulated_node_has_what_it_is_given() -> None:
    node = simulated.node_object(GPU_NODE, {"cpu": "64"})
    assert node["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}
    assert node["metadata"]["labels"].items() >= GPU_NODE.all_labels().items()
    assert (
        node["status"]["allocatable"]
        == node["status"]["capacity"]
        == {
            **simulated.CAPACITY,
            "cpu": "64",
            "nvidia.com/gpu": "2",
        }
    )
    assert "nvidia.com/gpu" not in simulated.node_object(NodeSpec("cpu"), {})["status"]["capacity"]


def test_an_instance_types_offering_says_how_much_memory_its_gpus_have() -> None:
    told = instance_type(InstanceType("g6", 0.8, gpus=1, gpu_memory=23034, product="NVIDIA-L4"))
    (offering,) = told["offerings"]
    required = {one["key"]: (one["operator"], one["values"]) for one in offering["Requirements"]}
    assert required["nvidia.com/gpu.memory"] == ("In", ["23034"])
    assert {"karpenter.sh/capacity-type", "topology.kubernetes.io/zone"} <= set(required)
    assert told["resources"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in instance_type(InstanceType("c", 0.1))["resources"]
