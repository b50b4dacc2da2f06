"""kubectl as a user types it, on the cluster that KUBECONFIG names."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

Document = dict[str, Any]
T = TypeVar("T")

SECONDS: Final = 120.0
"""Longest wait for one thing to happen on two busy cores."""
_PAUSE: Final = 0.1


class Refused(Exception):
    """kubectl said no; the text is what it wrote."""


def kubectl(*arguments: str, given: str | None = None) -> str:
    """What kubectl writes.

    Raises:
        Refused: it ended with an error.
    """
    done = subprocess.run(
        ["kubectl", *arguments], input=given, capture_output=True, text=True, check=False, timeout=SECONDS + 10
    )
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


def apply(*documents: Mapping[str, Any]) -> None:
    """`kubectl apply` of some objects."""
    kubectl("apply", "-f", "-", given=_as_list(documents))


def delete(*documents: Mapping[str, Any]) -> None:
    """`kubectl delete` of them, until they are gone."""
    kubectl("delete", "--ignore-not-found", "-f", "-", given=_as_list(documents))


def _as_list(documents: tuple[Mapping[str, Any], ...]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


@dataclass(frozen=True)
class Namespace:
    """One namespace, and what a test does in it."""

    name: str

    def __str__(self) -> str:
        return self.name

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        """kubectl in this namespace."""
        return kubectl(f"--namespace={self.name}", *arguments, given=given)

    def apply(self, *documents: Mapping[str, Any]) -> None:
        """`kubectl apply` of some objects in this namespace."""
        self("apply", "-f", "-", given=_as_list(documents))

    def find(self, kind: str, name: str) -> Document | None:
        """The object, if there is one."""
        found = self("get", kind, name, "--ignore-not-found", "--output=json")
        return json.loads(found) if found.strip() else None

    def get(self, kind: str, name: str) -> Document:
        """The object, which must be there."""
        found: Document = json.loads(self("get", kind, name, "--output=json"))
        return found

    def list(self, kind: str, labels: str = "") -> list[Document]:
        """All objects of a kind."""
        found: list[Document] = json.loads(self("get", kind, f"--selector={labels}", "--output=json"))["items"]
        return found

    def wait_ready(self, model: str, seconds: float = SECONDS) -> Document:
        """The ImageModel, as soon as it is Ready: as a user waits for it."""
        self("wait", "--for=condition=Ready", f"im/{model}", f"--timeout={seconds:.0f}s")
        return self.get("im", model)


def condition(model: Document, type_: str) -> Document:
    """One condition of an ImageModel; empty if it is not there yet."""
    found = model.get("status", {}).get("conditions", ())
    return next((one for one in found if one["type"] == type_), {})


def eventually(what: Callable[[], T], wanted: Callable[[T], object] = bool, seconds: float = SECONDS) -> T:
    """The first value of `what` that is `wanted`; asked for again and again, since not everything can be watched."""
    until = time.monotonic() + seconds
    paused = threading.Event()
    while True:
        value = what()
        if wanted(value):
            return value
        assert time.monotonic() < until, f"not within {seconds:.0f} s; the last value was {value!r}"
        paused.wait(_PAUSE)
