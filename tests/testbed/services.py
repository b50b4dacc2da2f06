"""What makes Services and their names work on the host side: kube-proxy, and CoreDNS, which serves the pods too."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from testbed import network, node_config
from testbed.api import create, kubectl
from testbed.control_plane import issue_kubeconfig
from testbed.daemons import Daemon, start, wait_until
from testbed.state import State

_STAND_IN: Final = "host-of-the-control-plane"
_SEARCH: Final = "svc.cluster.local cluster.local"


def write_resolv_conf(state: State) -> None:
    """Makes every process of the host side ask CoreDNS, by short names too, like http://SERVICE.NAMESPACE."""
    (state.root / "upstream-resolv.conf").write_text(f"nameserver {network.HOST}\n")
    own = state.root / "resolv.conf"
    own.write_text(f"nameserver {network.HOST}\nsearch {_SEARCH}\noptions ndots:5\n")
    target = Path("/etc/resolv.conf").resolve()
    if target.exists():
        subprocess.run(["mount", "--bind", own, target], check=True)


def start_services(state: State) -> list[Daemon]:
    """Starts both and returns when they work."""
    proxy_config = state.root / "kube-proxy.json"
    account = f"{state.certificates}/kube-proxy.kubeconfig"
    proxy_config.write_text(json.dumps(node_config.kube_proxy(_STAND_IN, network.HOST, account)))
    # kube-proxy waits long for its Node before it does without, which it then does well.
    create(state, [stand_in(), *dns_service()])
    proxy = start("kube-proxy", [state.programs / "kube-proxy", f"--config={proxy_config}"], state.logs)
    corefile = state.root / "Corefile"
    corefile.write_text(dns_config(issue_kubeconfig(state, "coredns")))
    dns = start("coredns", [state.programs / "coredns", "-conf", corefile], state.logs)
    wait_until("kube-proxy works", lambda: network.healthy(network.HOST, 10256, "/healthz"), proxy)
    kubectl(state, "delete", "node", _STAND_IN)
    wait_until("CoreDNS works", lambda: network.healthy(network.HOST, 8181, "/ready"), dns)
    return [proxy, dns]


def dns_config(kubeconfig: str) -> str:
    """CoreDNS's Corefile. Of names outside the cluster it says that they do not exist, since nothing is reachable."""
    return f"""\
cluster.local in-addr.arpa {{
    bind {network.HOST}
    errors
    ready {network.HOST}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
    }}
}}
. {{
    bind {network.HOST}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def dns_service() -> list[dict[str, Any]]:
    """The Service that pods ask, which leads to the process on the host side."""
    ports = [{"name": protocol.lower(), "port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    place = {"namespace": "kube-system", "labels": {"kubernetes.io/service-name": "kube-dns"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place | {"name": "kube-dns"},
            "spec": {"clusterIP": network.DNS_SERVICE, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": place | {"name": "kube-dns-host"},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [network.HOST], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]


def stand_in() -> dict[str, Any]:
    """A Node that takes no pods."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": _STAND_IN},
        "spec": {"unschedulable": True},
        "status": {"addresses": [{"type": "InternalIP", "address": network.HOST}]},
    }
