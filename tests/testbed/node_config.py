"""What the programs of a node are told: pure functions from a node's settings to files and flags."""

from typing import Any, Final

from testbed import network
from testbed.state import NodeSpec

PAUSE_IMAGE: Final = "easel.test/pause:1"
CONTAINERD_SOCKET: Final = "/run/containerd/containerd.sock"
NETWORK_CONFIG: Final = "/run/cni"
"""Where containerd looks for how to connect pods."""
KERNEL: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet sets in /proc/sys. It finds it set, in files over the real ones, so this machine stays as it is."""

_CRI: Final = '[plugins."io.containerd.grpc.v1.cri"'


def containerd(cni_programs: str) -> str:
    """containerd's config.toml, in the form that 1.6 and later read."""
    return f"""\
version = 2
[plugins."io.containerd.internal.v1.opt"]
  path = "/run/containerd/opt"
{_CRI}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
{_CRI}.cni]
  bin_dir = "{cni_programs}"
  conf_dir = "{NETWORK_CONFIG}"
{_CRI}.containerd]
  snapshotter = "overlayfs"
{_CRI}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
{_CRI}.containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def pod_network(index: int) -> dict[str, Any]:
    """How pods are connected: a cable each (a bridge would need help of the kernel for Services), and host ports."""
    addresses: dict[str, Any] = {
        "type": "host-local",
        "ranges": [[{"subnet": network.pod_range(index)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni-addresses",
    }
    return {
        "cniVersion": "0.4.0",
        "name": "testbed",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(spec: NodeSpec, certificates: str, cgroup: str, resolv_conf: str) -> dict[str, Any]:
    """Its configuration file. `certificates` is the folder with the authority and the node's own pair, node-NAME."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": f"{certificates}/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{certificates}/node-{spec.name}.crt",
        "tlsPrivateKeyFile": f"{certificates}/node-{spec.name}.key",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDomain": "cluster.local",
        "clusterDNS": [network.DNS_SERVICE],
        "resolvConf": resolv_conf,
        "registerWithTaints": spec.taints(),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "serializeImagePulls": False,
        # By default the Node says up to ten seconds later how many GPUs there are.
        "nodeStatusUpdateFrequency": "1s",
        "nodeStatusReportFrequency": "5m",
        # The disk is this machine's memory, of which others use some too.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "volumePluginDir": "/run/volume-plugins",
        # What follows belongs to a machine of its own, which this is not.
        "featureGates": {"KubeletInUserNamespace": True},
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
    }


def kubelet_flags(spec: NodeSpec, index: int) -> list[str]:
    """What its file cannot say. Labels count only for a Node that is not there yet."""
    labels = ",".join(f"{key}={value}" for key, value in sorted(spec.all_labels().items()))
    flags = [f"--hostname-override={spec.name}", f"--node-ip={network.node_address(index)}"]
    return [*flags, f"--node-labels={labels}"] if labels else flags


def kube_proxy(name: str, address: str, kubeconfig: str) -> dict[str, Any]:
    """Its configuration file; it leaves this machine's limits for connections alone."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": name,
        "bindAddress": address,
        "healthzBindAddress": f"{address}:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": network.PODS,
        "clientConnection": {"kubeconfig": kubeconfig},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
