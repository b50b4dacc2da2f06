"""etcd, the API server, the controllers and the scheduler, as processes of the host side."""

import json
from collections.abc import Sequence
from typing import Any, Final

from testbed import certificates, network
from testbed.api import SERVER, answers, kubectl
from testbed.daemons import Daemon, start, wait_until
from testbed.state import State

_ETCD: Final = "http://127.0.0.1:2379"
_NAMES: Final = (
    "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
    "127.0.0.1", network.HOST, network.API_SERVICE,
)  # fmt: skip
_ADMINISTRATORS: Final = "system:masters"
_QPS: Final = ("--kube-api-qps=200", "--kube-api-burst=400")
"""The defaults (20 and 30) would decide how long a test with many nodes takes."""


def start_control_plane(state: State) -> list[Daemon]:
    """Starts it and returns when the API server answers. Raises Failed."""
    (state.root / "audit.json").write_text(json.dumps(audit_policy()))
    etcd = start("etcd", [state.programs / "etcd", *etcd_flags(state)], state.logs)
    server = start("kube-apiserver", [state.programs / "kube-apiserver", *server_flags(state)], state.logs)
    wait_until("The API server is ready", lambda: answers(state, "/readyz"), etcd, server)
    controllers = start(
        "kube-controller-manager", [state.programs / "kube-controller-manager", *controller_flags(state)], state.logs
    )
    scheduler = start("kube-scheduler", [state.programs / "kube-scheduler", *scheduler_flags(state)], state.logs)
    return [etcd, server, controllers, scheduler]


def wait_for_accounts(state: State) -> None:
    """Returns when the controllers work: no pod is accepted before they have made its namespace's service account."""
    found = "serviceaccount/default"

    def there() -> bool:
        return found in kubectl(state, "get", found, "--namespace=default", "--ignore-not-found", "--output=name")

    wait_until("The controllers work", there)


def issue_kubeconfig(
    state: State, name: str, user: str = "", group: str = _ADMINISTRATORS, addresses: Sequence[str] = ()
) -> str:
    """Path of a new kubeconfig; without more words, of an administrator whose writes are told apart by its name.

    With `addresses`, its certificate is a server's too.
    """
    certificates.issue(state.certificates, name, user or name, group, addresses)
    path = state.certificates / f"{name}.kubeconfig"
    certificates.write_kubeconfig(path, SERVER, state.certificates, name)
    return str(path)


def make_certificates(state: State) -> None:
    """The authority, and what the control plane needs of it."""
    folder = state.certificates
    certificates.make_authority(folder)
    certificates.issue(folder, "server", "kube-apiserver", addresses=_NAMES)
    certificates.issue(folder, "kubelet-client", "kube-apiserver-kubelet-client", _ADMINISTRATORS)
    certificates.issue(folder, "admin", "admin", _ADMINISTRATORS)
    certificates.write_kubeconfig(state.kubeconfig, SERVER, folder, "admin")
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        issue_kubeconfig(state, name, f"system:{name}", "")


def audit_policy() -> dict[str, Any]:
    """Who wrote what and when; nothing about reading."""
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "verbs": writes}, {"level": "None"}],
    }


def etcd_flags(state: State) -> list[str]:
    """Memory is fast and forgets: there is nothing to sync to."""
    return [
        f"--data-dir={state.root}/etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--log-level=warn",
    ]


def server_flags(state: State) -> list[str]:
    """As kubeadm sets them, where that matters to what runs in the cluster."""
    folder = state.certificates
    return [
        f"--etcd-servers={_ETCD}",
        f"--advertise-address={network.HOST}",  # without a default route it finds none by itself
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={folder}/ca.crt",
        f"--tls-cert-file={folder}/server.crt",
        f"--tls-private-key-file={folder}/server.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={folder}/service-accounts.pub",
        f"--service-account-signing-key-file={folder}/service-accounts.key",
        f"--service-cluster-ip-range={network.SERVICES}",
        f"--kubelet-certificate-authority={folder}/ca.crt",
        f"--kubelet-client-certificate={folder}/kubelet-client.crt",
        f"--kubelet-client-key={folder}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",  # names of nodes are in no DNS
        f"--audit-policy-file={state.root}/audit.json",
        f"--audit-log-path={state.audit_log}",
    ]


def controller_flags(state: State) -> list[str]:
    """A node counts as lost after 24 s; pods' addresses are given out by `network`, not by the controllers."""
    folder = state.certificates
    return [
        f"--kubeconfig={folder}/kube-controller-manager.kubeconfig",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        "--node-monitor-period=2s",
        "--node-monitor-grace-period=24s",
        f"--flex-volume-plugin-dir={state.root}/volume-plugins",  # by default one of this machine's folders
        f"--root-ca-file={folder}/ca.crt",
        f"--service-account-private-key-file={folder}/service-accounts.key",
        f"--cluster-signing-cert-file={folder}/ca.crt",
        f"--cluster-signing-key-file={folder}/ca.key",
        *_QPS,
    ]


def scheduler_flags(state: State) -> list[str]:
    """One of it."""
    return [f"--kubeconfig={state.certificates}/kube-scheduler.kubeconfig", "--leader-elect=false", *_QPS]
