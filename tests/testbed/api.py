"""The API as the cluster's administrator, for the test bed's own doings."""

import http.client
import json
import os
import ssl
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from testbed import network
from testbed.daemons import Failed
from testbed.state import State

SERVER: Final = f"https://{network.HOST}:6443"


def kubectl(state: State, *arguments: str, given: str | None = None) -> str:
    """What kubectl writes; `given` is its standard input. Raises Failed with kubectl's words."""
    done = subprocess.run(
        [state.programs / "kubectl", *arguments],
        input=given,
        text=True,
        capture_output=True,
        env=environment(state),
        check=False,
    )
    if done.returncode:
        raise Failed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def apply(state: State, objects: Iterable[Mapping[str, Any]]) -> None:
    """Creates or changes objects."""
    kubectl(state, "apply", "--server-side", "--force-conflicts", "--validate=false", "-f", "-", given=_list(objects))


def create(state: State, objects: Iterable[Mapping[str, Any]]) -> None:
    """Creates objects, Nodes with their status."""
    kubectl(state, "create", "--validate=false", "-f", "-", given=_list(objects))


def remove_nodes(state: State, names: Sequence[str]) -> None:
    """Removes Nodes and, without waiting for what cannot answer any more, the pods that are bound to them."""
    kubectl(state, "delete", "nodes", *names, "--ignore-not-found", "--wait=false")
    pods = json.loads(kubectl(state, "get", "pods", "--all-namespaces", "--output=json"))["items"]
    if bound := [pod for pod in pods if pod["spec"].get("nodeName") in names]:
        kubectl(state, "delete", "--force", "--wait=false", "--ignore-not-found", "-f", "-", given=_list(bound))


def _list(objects: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def answers(state: State, path: str) -> bool:
    """Whether the API server says yes."""
    trust = ssl.create_default_context(cafile=state.certificates / "ca.crt")
    connection = http.client.HTTPSConnection(network.HOST, 6443, timeout=5, context=trust)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def environment(state: State) -> dict[str, str]:
    """The caller's variables, and those with which kubectl and helm reach the cluster and leave nothing at home.

    Proxies are left out: from inside there is no way to one.
    """
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    cache = state.root / "cache"
    return kept | {
        "KUBECONFIG": str(state.kubeconfig),
        "PATH": f"{state.programs}:{os.environ['PATH']}",
        "EASEL_TESTBED": str(state.root),
        "KUBECACHEDIR": str(cache / "kubectl"),
        **{f"HELM_{kind}_HOME": str(cache / "helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")},
    }
