"""Everything that others can do to the children of an ImageModel `touched` and that Easel must put back."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from support.kubectl import Document

KINDS: Final = ("deployment", "service", "serviceaccount", "poddisruptionbudget")
MODEL: Final = "touched"
CHILD: Final = "easel-touched"
_THEIRS: Final = ("clusterIP", "clusterIPs")
"""The API server gives a Service another address when it is made again."""


@dataclass(frozen=True)
class Change:
    """What somebody does with kubectl."""

    kind: str
    what: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def owned(child: Document) -> Document:
    """What of a child is Easel's, with the defaults that the API server has added."""
    metadata = child["metadata"]
    return {
        "labels": metadata.get("labels"),
        "ownerReferences": metadata.get("ownerReferences"),
        "automountServiceAccountToken": child.get("automountServiceAccountToken"),
        "spec": {key: value for key, value in child.get("spec", {}).items() if key not in _THEIRS},
    }


def changes() -> Iterator[Change]:
    """Each field that Easel decides, changed or taken away; and each child deleted."""
    for kind in KINDS:
        yield Change(kind, "deleted", ("delete", kind, CHILD))
        yield Change(kind, "label removed", ("label", kind, CHILD, "easel.dev/model-"))
        yield Change(kind, "label changed", ("label", kind, CHILD, "app.kubernetes.io/name=other", "--overwrite"))
        owners = ("json", [{"op": "remove", "path": "/metadata/ownerReferences"}])
        yield _patch(kind, "owner removed", *owners)
    yield from _of_deployments()
    yield from _of_containers()
    yield _patch("service", "selector changed", "merge", {"spec": {"selector": {"easel.dev/model": "other"}}})
    yield _patch("service", "selector narrowed", "merge", {"spec": {"selector": {"more": "x"}}})
    yield _patch("service", "port moved", "json", [{"op": "replace", "path": "/spec/ports/0/port", "value": 81}])
    yield _patch("service", "port renamed", "json", [{"op": "replace", "path": "/spec/ports/0/name", "value": "web"}])
    target = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 81}]
    yield _patch("service", "target of the port changed", "json", target)
    yield _patch("serviceaccount", "token mounted", "merge", {"automountServiceAccountToken": True})
    yield _patch("poddisruptionbudget", "number changed", "merge", {"spec": {"maxUnavailable": 0}})
    other = {"spec": {"maxUnavailable": None, "minAvailable": 1}}
    yield _patch("poddisruptionbudget", "other number in its place", "merge", other)
    selector = {"spec": {"selector": {"matchLabels": {"more": "x"}}}}
    yield _patch("poddisruptionbudget", "selector narrowed", "merge", selector)


def _of_deployments() -> Iterator[Change]:
    yield Change("deployment", "scaled up", ("scale", f"deployment/{CHILD}", "--replicas=2"))
    yield Change("deployment", "scaled to zero", ("scale", f"deployment/{CHILD}", "--replicas=0"))
    strategy = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    yield _patch("deployment", "strategy changed", "merge", strategy)
    yield _patch("deployment", "history longer", "merge", {"spec": {"revisionHistoryLimit": 10}})
    pod: dict[str, Mapping[str, Any]] = {
        "another service account": {"serviceAccountName": "default"},
        "token mounted": {"automountServiceAccountToken": True},
        "grace shorter": {"terminationGracePeriodSeconds": 1},
        "user changed": {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}},
        "affinity removed": {"affinity": None},
        "tolerations removed": {"tolerations": None},
        "volume of another kind": {"volumes": [{"name": "cache", "hostPath": None, "emptyDir": {}}]},
    }
    for what, spec in pod.items():
        yield _patch("deployment", what, "strategic", {"spec": {"template": {"spec": spec}}})
    template = {"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": None}}}
    yield _patch("deployment", "annotation of the pods removed", "merge", {"spec": {"template": template}})


def _of_containers() -> Iterator[Change]:
    yield Change("deployment", "image changed", ("set", "image", f"deployment/{CHILD}", "runtime=other:1"))
    yield Change("deployment", "variable changed", ("set", "env", f"deployment/{CHILD}", "MODEL_ID=other"))
    yield Change("deployment", "variable removed", ("set", "env", f"deployment/{CHILD}", "MODEL_ID-"))
    fields: dict[str, Mapping[str, Any]] = {
        "memory changed": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}},
        "root writable": {"securityContext": {"readOnlyRootFilesystem": False}},
        "probe changed": {"readinessProbe": {"periodSeconds": 60}},
        "probe of another kind": {"livenessProbe": {"httpGet": None, "exec": {"command": ["true"]}}},
        "last words from elsewhere": {"terminationMessagePolicy": "File"},
    }
    for what, container in fields.items():
        containers = [{"name": "runtime", **container}]
        yield _patch("deployment", what, "strategic", {"spec": {"template": {"spec": {"containers": containers}}}})
    place = "/spec/template/spec/containers/0"
    port = [{"op": "replace", "path": f"{place}/ports/0/containerPort", "value": 8001}]
    yield _patch("deployment", "port moved", "json", port)
    yield _patch("deployment", "volume unmounted", "json", [{"op": "remove", "path": f"{place}/volumeMounts/0"}])


def _patch(kind: str, what: str, form: str, patch: object) -> Change:
    return Change(kind, what, ("patch", kind, CHILD, f"--type={form}", f"--patch={json.dumps(patch)}"))
