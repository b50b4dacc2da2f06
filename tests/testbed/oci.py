"""Image archives from a shared OCI layout, in which images keep their common layers once."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any, Final

_MEDIA_TYPE: Final = "application/vnd.oci.image.index.v1+json"


def write_archive(layout: Path, tag: str, reference: str, archive: Path) -> None:
    """Writes the image tagged `tag` in `layout` to `archive`, a tar for `ctr images import`.

    `reference` is its full name there, like docker.io/library/easel-operator:0.1.0.
    """
    (manifest,) = (entry for entry in _index(layout) if _tag(entry) == tag)
    manifest = {
        **{key: manifest[key] for key in ("mediaType", "digest", "size")},
        "annotations": {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
        },
    }
    index = {"schemaVersion": 2, "mediaType": _MEDIA_TYPE, "manifests": [manifest]}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(tar, "index.json", index)
        for digest in _digests(layout, manifest["digest"]):
            tar.add(_blob(layout, digest), f"blobs/{digest.replace(':', '/')}")


def prune(layout: Path) -> None:
    """Removes blobs of images that no tag leads to any more."""
    used = {digest for entry in _index(layout) for digest in _digests(layout, entry["digest"])}
    for blob in (layout / "blobs/sha256").iterdir():
        if f"sha256:{blob.name}" not in used:
            blob.unlink()


def _index(layout: Path) -> list[dict[str, Any]]:
    manifests: list[dict[str, Any]] = json.loads((layout / "index.json").read_text())["manifests"]
    return manifests


def _tag(entry: dict[str, Any]) -> str | None:
    tag: str | None = entry.get("annotations", {}).get("org.opencontainers.image.ref.name")
    return tag


def _digests(layout: Path, manifest: str) -> list[str]:
    """Of the manifest, its configuration and its layers, each once."""
    named = json.loads(_blob(layout, manifest).read_text())
    return list(dict.fromkeys([manifest, named["config"]["digest"], *(layer["digest"] for layer in named["layers"])]))


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _add(tar: tarfile.TarFile, name: str, document: object) -> None:
    content = json.dumps(document).encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
