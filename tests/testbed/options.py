"""What the command line's options mean."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from testbed.state import Mount, NodeSpec

IMAGES_VARIABLE: Final = "EASEL_TESTBED_IMAGES"
SHAPES: Final = {
    "cpu": NodeSpec("cpu"),
    "gpu16": NodeSpec("gpu16", 1, 15360, "Tesla-T4"),
    "gpu24": NodeSpec("gpu24", 1, 23034, "NVIDIA-L4"),
    "gpu48": NodeSpec("gpu48", 1, 46068, "NVIDIA-L40S"),
    "gpu80": NodeSpec("gpu80", 1, 81559, "NVIDIA-H100-80GB-HBM3"),
}
"""Nodes that can be asked for by name, with what GPU feature discovery says of such GPUs."""

NODES_OWN: Final = "/var/lib"
"""Below it a node may make folders. Most of the rest of what it sees are this machine's own."""


class Unknown(ValueError):
    """An option's value means nothing; the message says what would."""


def parse_nodes(text: str, *, tainted: bool = True) -> list[NodeSpec]:
    """Nodes of "cpu,gpu24"; none of ""."""
    names = [name for name in text.split(",") if name]
    if unknown := sorted(set(names) - set(SHAPES)):
        raise Unknown(f"{', '.join(unknown)}: not among {', '.join(SHAPES)}")
    if len(set(names)) < len(names):
        raise Unknown("each node once; more can be added with `node add`")
    return [_with_taint(SHAPES[name], tainted=tainted) for name in names]


def parse_mount(text: str) -> Mount:
    """A folder of "HOST:PATH", read-only, or of "HOST:PATH:rw"."""
    host, _, rest = text.partition(":")
    path, _, mode = rest.partition(":")
    if not host or not path.startswith(f"{NODES_OWN}/") or mode not in {"", "ro", "rw"}:
        raise Unknown(f"{text}: not HOST:PATH or HOST:PATH:rw, where PATH is below {NODES_OWN}")
    if not Path(host).is_dir():
        raise Unknown(f"{host}: no such folder")
    return Mount(str(Path(host).resolve()), path, mode == "rw")


def images(named: Sequence[str]) -> list[str]:
    """Paths of the archives that are named, or else that are in the folder which the environment names."""
    folder = os.environ.get(IMAGES_VARIABLE)
    found = named or (sorted(map(str, Path(folder).glob("*.tar"))) if folder else [])
    if absent := [path for path in found if not Path(path).is_file()]:
        raise Unknown(f"{', '.join(absent)}: no such file")
    return [str(Path(path).resolve()) for path in found]


def _with_taint(spec: NodeSpec, *, tainted: bool) -> NodeSpec:
    return NodeSpec(spec.name, spec.gpus, spec.gpu_memory, spec.product, tainted, spec.labels)
