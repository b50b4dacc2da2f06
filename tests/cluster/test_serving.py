"""Pictures edited by real runtimes on real kubelets, asked for through the gateway's Service."""

import io
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from PIL import Image

from support.builders import manifest
from support.easel_release import Release
from support.kubectl import SECONDS, Document, Namespace, condition, eventually
from support.pictures import png

_SIZE = (64, 48)
_UNCHECKED = {"checker": "none"}
"""There is no Hub to have a checker from."""


def _edit(gateway: str, model_id: str) -> Image.Image:
    """The edited picture that `POST /image-to-image` leads to."""
    answer = httpx2.post(
        f"{gateway}/image-to-image",
        data={"model_id": model_id, "prompt": "make it night", "num_inference_steps": "2"},
        files={"image": ("cat.png", png(*_SIZE), "image/png")},
        timeout=SECONDS,
    )
    assert answer.status_code == 200, answer.text
    (image,) = answer.json()["images"]
    result = httpx2.get(image["url"], timeout=SECONDS)
    assert result.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(result.content))


def _pods(namespace: Namespace, model: str) -> list[Document]:
    return namespace.list("pods", f"easel.dev/model={model}")


@pytest.fixture(scope="module")
def warm(namespace: Namespace) -> Document:
    """A warm model that is Ready."""
    namespace.apply(manifest("warm", modelId="easel/demo", warmReplicas=1, safety=_UNCHECKED))
    return namespace.wait_ready("warm")


def test_a_warm_model_runs_locked_up_on_the_large_gpu_and_edits_a_picture(
    namespace: Namespace, warm: Document, gateway: str
) -> None:
    (pod,) = _pods(namespace, "warm")
    assert pod["spec"]["nodeName"] == "gpu20"
    assert warm["status"]["gpu"] == "NVIDIA-RTX-4000-SFF-Ada-Generation"
    assert namespace("exec", pod["metadata"]["name"], "--", "id", "-u").strip() == "65532"
    namespace("exec", pod["metadata"]["name"], "--", "sh", "-c", "touch /tmp/here; ! touch /opt/easel/here")
    picture = _edit(gateway, "easel/demo")
    assert (picture.format, picture.size) == ("PNG", _SIZE)
    assert picture.convert("RGB").getcolors(1) is None, "a picture of one colour"


@pytest.mark.usefixtures("warm")
def test_without_the_operator_serving_goes_on(easel: Release, gateway: str) -> None:
    operator = "app.kubernetes.io/component=operator"
    easel.system("scale", "deployment/easel-operator", "--replicas=0")
    try:
        eventually(lambda: easel.system.list("pods", operator), lambda pods: not pods)
        assert _edit(gateway, "easel/demo").size == _SIZE
    finally:
        easel.system("scale", "deployment/easel-operator", "--replicas=1")
        easel.system("rollout", "status", "deployment/easel-operator", f"--timeout={SECONDS:.0f}s")


def test_a_model_on_demand_starts_for_a_held_request_and_goes_when_idle(
    namespace: Namespace, gateway: str, tiny: str
) -> None:
    namespace.apply(manifest("cold", modelId=tiny, scaling={"idleSeconds": 5}, safety=_UNCHECKED))
    model = namespace.wait_ready("cold")
    assert condition(model, "Ready")["reason"] == "ScaledToZero"
    assert _pods(namespace, "cold") == []
    with ThreadPoolExecutor() as pool:
        held = pool.submit(_edit, gateway, tiny)
        eventually(lambda: _pods(namespace, "cold"))
        assert not held.done()
        picture = held.result()
    assert (picture.format, picture.size) == ("PNG", _SIZE)
    eventually(lambda: _pods(namespace, "cold"), lambda pods: not pods)
    model = eventually(
        lambda: namespace.get("im", "cold"), lambda one: condition(one, "Ready")["reason"] == "ScaledToZero"
    )
    up, down = reversed(model["status"]["scaleDecisions"])
    assert (up["replicas"], down["replicas"]) == (1, 0)
    assert model["status"]["coldStartSeconds"] > 0


def test_a_model_that_cannot_be_loaded_says_why_on_the_object_and_to_callers(
    namespace: Namespace, gateway: str
) -> None:
    namespace.apply(manifest("missing", modelId="tests/nowhere", warmReplicas=1))
    model = eventually(
        lambda: namespace.get("im", "missing"), lambda one: condition(one, "Ready").get("reason") == "LoadFailed"
    )
    why = condition(model, "Ready")["message"]
    assert "tests/nowhere" in why
    assert model["status"]["lastFailure"]["exitCode"] == 1

    def refusal() -> httpx2.Response:
        return httpx2.post(
            f"{gateway}/image-to-image",
            data={"model_id": "tests/nowhere", "prompt": "x"},
            files={"image": png(*_SIZE)},
            timeout=SECONDS,
        )

    answer = eventually(refusal, lambda one: one.status_code == 503)
    assert "cannot start" in answer.json()["detail"]["msg"]
    assert "Retry-After" not in answer.headers


def test_the_gateway_lists_models_with_their_state_and_price(namespace: Namespace, gateway: str) -> None:
    namespace.apply(manifest("listed", modelId=f"{namespace}/listed", price={"amount": "3e-8", "currency": "EUR"}))
    namespace.wait_ready("listed")

    def listed() -> list[Document]:
        models: list[Document] = httpx2.get(f"{gateway}/v1/models", timeout=SECONDS).json()["data"]
        return [model for model in models if model["id"] == f"{namespace}/listed"]

    (model,) = eventually(listed)
    assert model["price"] == {"amount": "3e-8", "currency": "EUR", "per_pixels": 1}
    assert model["state"] == "cold"
