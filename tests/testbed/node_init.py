"""Process 1 of a node: mounts what makes it a machine of its own, starts its programs, and then takes in what ends.

Started by `nodes` in namespaces of its own, with the state folder and the node's name as arguments.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from testbed import layers, leftovers, network, node_config
from testbed.daemons import start, wait_until
from testbed.state import Mount, NodeFolder, State

SHARED_PATH: Final = "/var/lib/easel-cache"
"""Where a node shows the state's folder `shared`."""
_CNI_PROGRAMS: Final = "/usr/lib/cni"


def main(root: str, name: str) -> None:
    """Never returns; the node lives as long as this process."""
    state = State(Path(root))
    node = state.node(name)
    socket.sethostname(name)
    _mount(state, node)
    network.forward()
    cgroup = cgroup_of(state, name)
    leftovers.make_cgroups(cgroup)
    _start_programs(state, node, cgroup)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit(f"nothing is left of node {name}")


def cgroup_of(state: State, name: str) -> str:
    """Path of a node's cgroup."""
    return f"{leftovers.cgroup_of(state.settings.run)}/{name}"


def logs_of(state: State, name: str) -> Path:
    """Folder with the logs of a node's programs."""
    return state.logs / "nodes" / name


def _mount(state: State, node: NodeFolder) -> None:
    """The disk, a fresh /run, the folders that all nodes show; what the kubelet would set; and no other node's."""
    if not node.disk.exists():
        for name in ("lib", "log"):
            (node.disk / name).mkdir(parents=True)
        layers.link_layers(state, node.disk / "lib/containerd")
    for name in ("lib", "log"):
        _bind(node.disk / name, Path("/var") / name)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "run", "/run"], check=True)
    for mount in (Mount(str(state.shared), SHARED_PATH, writable=True), *state.settings.mounts):
        Path(mount.path).mkdir(parents=True, exist_ok=True)
        _bind(Path(mount.host), Path(mount.path), *([] if mount.writable else ["remount,bind,ro"]))
    for name, value in node_config.KERNEL.items():
        file = Path("/run/kernel") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value)
        _bind(file, Path("/proc/sys") / name)
    for handle in node.network.parent.iterdir():
        network.forget(handle)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)


def _bind(source: Path, target: Path, *then: str) -> None:
    subprocess.run(["mount", "--bind", source, target], check=True)
    for options in then:
        subprocess.run(["mount", "-o", options, target], check=True)


def _start_programs(state: State, node: NodeFolder, cgroup: str) -> None:
    logs, spec, index = logs_of(state, node.name), node.read_spec(), node.index
    networks = Path(node_config.NETWORK_CONFIG)
    networks.mkdir()
    (networks / "testbed.conflist").write_text(json.dumps(node_config.pod_network(index)))
    config = node.root / "containerd.toml"
    config.write_text(node_config.containerd(_CNI_PROGRAMS))
    containerd = start("containerd", ["containerd", f"--config={config}"], logs)
    wait_until("containerd is ready", Path(node_config.CONTAINERD_SOCKET).exists, containerd)
    folder = str(state.certificates)
    config = node.root / "kubelet.json"
    settings = node_config.kubelet(spec, folder, cgroup, str(state.root / "upstream-resolv.conf"))
    config.write_text(json.dumps(settings))
    account = f"--kubeconfig={folder}/node-{spec.name}.kubeconfig"
    flags = [f"--config={config}", account, *node_config.kubelet_flags(spec, index)]
    start("kubelet", [state.programs / "kubelet", *flags], logs)
    config = node.root / "kube-proxy.json"
    proxy = node_config.kube_proxy(spec.name, network.node_address(index), f"{folder}/kube-proxy.kubeconfig")
    config.write_text(json.dumps(proxy))
    start("kube-proxy", [state.programs / "kube-proxy", f"--config={config}"], logs)
    if spec.gpus:
        start("gpus", [state.programs / "gpus", f"--node={spec.name}", f"--file={node.gpus}"], logs)


if __name__ == "__main__":
    main(*sys.argv[1:])
