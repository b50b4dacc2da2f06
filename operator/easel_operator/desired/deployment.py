"""The Deployment of an ImageModel: its runtimes, each with one GPU."""

from typing import Any, Final

from easel_crds.imagemodel import ImageModel
from easel_crds.metadata import PORT_NAME, RUNTIME_PORT, Env, child_name
from easel_crds.runtimeprofile import RuntimeProfile
from easel_operator.desired import objects, placement
from easel_operator.desired.environment import runtime_environment

CONTAINER: Final = "runtime"
"""Name of the container in every runtime pod."""

CACHE_PATH: Final = "/var/cache/easel"
"""Where the profile's weights cache is mounted."""

USER: Final = 65532
"""User and group of the runtimes, as in images that are built to run without root."""

_GRACE_MARGIN: Final = 10
"""Seconds that the kubelet waits longer than the runtime, so that it ends by itself."""

_TERMINATION_LOG: Final = "/dev/termination-log"
"""Where a runtime leaves the reason for its end, and the kubelet looks for it."""

_TOKEN: Final = "HF_TOKEN"  # noqa: S105 (a name, not a secret)


def deployment(model: ImageModel, profile: RuntimeProfile, replicas: int, default_image: str) -> dict[str, Any]:
    """The Deployment of `model` with `replicas` runtimes.

    A change replaces runtimes without surge, so that it works on a cluster without a spare GPU.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": objects.metadata(model),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": objects.selector(model)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "revisionHistoryLimit": 2,
            "template": {
                "metadata": {"labels": objects.labels(model), "annotations": _KEPT},
                "spec": _pod(model, profile, default_image),
            },
        },
    }


_KEPT: Final = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""A runtime that was paid for with minutes of loading is not moved to save a node. `kubectl drain` is not held up
by this; Karpenter's own draining is, until the NodePool's terminationGracePeriod."""


def _pod(model: ImageModel, profile: RuntimeProfile, default_image: str) -> dict[str, Any]:
    spec = profile.spec
    pod: dict[str, Any] = {
        "serviceAccountName": child_name(model.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.termination_grace_seconds + _GRACE_MARGIN,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": placement.affinity(model, profile),
        "tolerations": placement.tolerations(profile),
        "containers": [_container(model, profile, default_image)],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "cache", **_cache(profile)}],
    }
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.image_pull_secrets]
    if spec.priority_class_name:
        pod["priorityClassName"] = spec.priority_class_name
    if spec.runtime_class_name:
        pod["runtimeClassName"] = spec.runtime_class_name
    return pod


def _container(model: ImageModel, profile: RuntimeProfile, default_image: str) -> dict[str, Any]:
    spec = profile.spec
    amounts = spec.resources
    return {
        "name": CONTAINER,
        "image": spec.image or default_image,
        "imagePullPolicy": spec.image_pull_policy,
        "env": _environment(model, profile),
        "ports": [{"name": PORT_NAME, "containerPort": RUNTIME_PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {
                "cpu": amounts.cpu,
                "memory": amounts.memory,
                "ephemeral-storage": amounts.ephemeral_storage,
                spec.gpu_resource: "1",
            },
            "limits": {"memory": amounts.memory, spec.gpu_resource: "1"},
        },
        # It listens at once and says "loading"; once a second, because callers wait for the answer.
        "readinessProbe": _probe("/readyz", periodSeconds=1, failureThreshold=2),
        # Loading may starve the loop for seconds at a time; only a dead one stays silent for minutes.
        "livenessProbe": _probe("/livez", periodSeconds=10, failureThreshold=12),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (a volume of the pod's own)
            {"name": "cache", "mountPath": CACHE_PATH},
        ],
    }


def _environment(model: ImageModel, profile: RuntimeProfile) -> list[dict[str, Any]]:
    """The runtime's variables, in a fixed order; the hub token comes from its Secret."""
    variables = {
        "HF_HOME": f"{CACHE_PATH}/huggingface",
        "XDG_CACHE_HOME": CACHE_PATH,
        **runtime_environment(model, profile),
        Env.PORT: str(RUNTIME_PORT),
        Env.TERMINATION_LOG: _TERMINATION_LOG,
    }
    # The API server does not keep an empty value.
    sources: dict[str, dict[str, Any]] = {
        str(name): {"value": value} if value else {} for name, value in variables.items()
    }
    if (token := profile.spec.hub_token) is not None:
        sources[_TOKEN] = {"valueFrom": {"secretKeyRef": {"name": token.name, "key": token.key}}}
    return [{"name": name, **source} for name, source in sources.items()]


def _cache(profile: RuntimeProfile) -> dict[str, Any]:
    cache = profile.spec.cache
    if cache.persistent_volume_claim:
        return {"persistentVolumeClaim": {"claimName": cache.persistent_volume_claim}}
    if cache.host_path:
        return {"hostPath": {"path": cache.host_path, "type": "Directory"}}
    return {"emptyDir": {"sizeLimit": cache.size}}


def _probe(path: str, **times: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": PORT_NAME}, "timeoutSeconds": 5, **times}
