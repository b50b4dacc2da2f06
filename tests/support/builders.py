"""Baseline resources; a test names only what it is about."""

from typing import Any

from easel_crds.imagemodel import ImageModel
from easel_crds.manifest import parse
from easel_crds.metadata import API_VERSION
from easel_crds.runtimeprofile import RuntimeProfile


def manifest(name: str = "demo", **spec: Any) -> dict[str, Any]:
    """The document of a valid ImageModel, its spec's fields (camelCase) replaced by `spec`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ImageModel",
        "metadata": {"name": name},
        "spec": {"modelId": f"easel/{name}", **spec},
    }


def image_model(name: str = "demo", **spec: Any) -> ImageModel:
    """A valid ImageModel."""
    model = parse(manifest(name, **spec))
    assert isinstance(model, ImageModel)
    return model


def runtime_profile(name: str = "default", **spec: Any) -> RuntimeProfile:
    """A valid RuntimeProfile."""
    profile = parse({"apiVersion": API_VERSION, "kind": "RuntimeProfile", "metadata": {"name": name}, "spec": spec})
    assert isinstance(profile, RuntimeProfile)
    return profile
