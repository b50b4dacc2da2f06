"""Easel on a cluster, installed with Helm as users install it."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from support.kubectl import SECONDS, Namespace, kubectl

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "charts/easel"

_CACHE: Final = "/var/lib/easel-cache"
"""A folder of each node: the Hub's cache, and the packages that are too large for an image (see suite.py)."""

_VALUES: Final[dict[str, Any]] = {
    "gateway": {"keys": {"required": False}},  # but for the tests of keys, which bring their own
    "defaultProfile": {
        "spec": {
            "resources": {"cpu": "100m", "memory": "3Gi", "ephemeralStorage": "1Mi"},
            "cache": {"hostPath": _CACHE},
            "env": [
                {"name": "PYTHONPATH", "value": "/var/cache/easel/site-packages"},
                {"name": "HF_HUB_OFFLINE", "value": "1"},
            ],
            "terminationGraceSeconds": 5,
        }
    },
}


@dataclass(frozen=True)
class Release:
    """One installation."""

    name: str = "easel"
    system: Namespace = field(default_factory=lambda: Namespace("easel-system"))
    """Where operator and gateway run."""

    def install(self) -> None:
        """`helm install`, until everything of it is ready."""
        kubectl("create", "namespace", str(self.system))
        kubectl("label", "namespace", str(self.system), "pod-security.kubernetes.io/enforce=restricted")
        values = os.environ.get("EASEL_E2E_VALUES", "-")
        given = json.dumps(_VALUES) if values == "-" else None
        self._helm("install", self.name, str(CHART), f"--values={values}", given=given)

    def uninstall(self) -> None:
        """Everything that users remove, in the order that docs/kubernetes.md gives."""
        kubectl("delete", "im", "--all", "--all-namespaces")
        self._helm("uninstall", self.name)
        kubectl("delete", "--ignore-not-found", "-f", str(ROOT / "crds/imagemodels.yaml"))
        kubectl("delete", "--ignore-not-found", "-f", str(ROOT / "crds/runtimeprofiles.yaml"))
        kubectl("delete", "namespace", str(self.system))

    def _helm(self, *arguments: str, given: str | None = None) -> None:
        options = [f"--namespace={self.system}", "--wait", f"--timeout={SECONDS:.0f}s"]
        done = subprocess.run(["helm", *arguments, *options], input=given, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{self._told()}"

    def _told(self) -> str:
        """What the pods say, for whoever must find out why they are not ready."""
        logs = [self.system("logs", f"deployment/easel-{part}", "--tail=20") for part in ("operator", "gateway")]
        return "\n".join([self.system("get", "pods", "--output=wide"), self.system("get", "events"), *logs])
