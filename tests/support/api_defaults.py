"""What an API server (1.36) makes of the documents that Easel applies: compared with the answers of a real one."""

from copy import deepcopy
from decimal import Decimal
from math import ceil
from typing import Any

from easel_crds.quantity import parse_quantity

Json = dict[str, Any]


def stored(document: Json) -> Json:
    """`document` as the API server returns it after it was applied to nothing."""
    found: Json = deepcopy(document)
    found["metadata"] |= {
        "uid": f"uid-of-{document['kind']}-{document['metadata']['name']}",
        "resourceVersion": "212",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "easel", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {}}],
    }
    match document["kind"]:
        case "Service":
            _service(found)
        case "PodDisruptionBudget":
            found["metadata"]["generation"] = 1
            found["status"] = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
        case "Deployment":
            found["metadata"]["generation"] = 1
            found["spec"]["progressDeadlineSeconds"] = 600
            found["status"] = {}
            _pod(found["spec"]["template"]["spec"])
    return found


def _service(found: Json) -> None:
    found["spec"] |= {
        "clusterIP": "10.0.0.39",
        "clusterIPs": ["10.0.0.39"],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    found["status"] = {"loadBalancer": {}}


def _pod(spec: Json) -> None:
    spec |= {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "serviceAccount": spec["serviceAccountName"],
        "schedulerName": "default-scheduler",
    }
    spec["tolerations"] = [_without_empty(toleration) for toleration in spec["tolerations"]]
    for volume in spec["volumes"]:
        if limit := volume.get("emptyDir", {}).get("sizeLimit"):
            volume["emptyDir"]["sizeLimit"] = canonical(limit)
    for container in spec["containers"]:
        container["env"] = [_without_empty(variable) for variable in container["env"]]
        for amounts in container["resources"].values():
            amounts.update({name: canonical(amount) for name, amount in amounts.items()})
        for probe in ("readinessProbe", "livenessProbe"):
            container[probe]["httpGet"]["scheme"] = "HTTP"
            container[probe]["successThreshold"] = 1


def _without_empty(fields: Json) -> Json:
    """Text that is empty is left out of most fields."""
    return {key: value for key, value in fields.items() if value != ""}


def canonical(quantity: str) -> str:
    """A quantity as the API server writes it: "0.5" -> "500m", "16384Mi" -> "16Gi"."""
    value, binary = parse_quantity(quantity), quantity.endswith("i")
    step, suffixes = (Decimal(1024), ("", *(f"{name}i" for name in "KMGTPE"))) if binary else (Decimal(1000), _DECIMAL)
    if not binary:
        value *= 1000
    power = 0
    while value and value % step == 0 and power + 1 < len(suffixes):
        value, power = value / step, power + 1
    return f"{ceil(value)}{suffixes[power]}" if value else "0"


_DECIMAL = ("m", "", "k", "M", "G", "T", "P", "E")
