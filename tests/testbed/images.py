"""Builds Easel's images from their Dockerfiles, without a registry and without Docker, as archives in the user's cache.

`python -m testbed.images [operator gateway runtime]` (as root, before the cluster starts) prints the paths of the
archives; nodes take them with `ctr -n k8s.io images import`. What has not changed is not built again.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from easel_crds import __version__
from testbed import debian, oci, wheels
from testbed.binaries import cache

ROOT: Final = Path(__file__).parents[2]
DOCKERFILES: Final = {
    "operator": "operator/Dockerfile",
    "gateway": "runtime/gateway.Dockerfile",
    "runtime": "runtime/Dockerfile",
}
_LIGHT_LOCK: Final = "requirements/runtime-light.txt"
_KEPT: Final = 3
"""Archives of one image, for another branch or for a test run that still reads one."""


class NotBuilt(Exception):
    """An image could not be built; the message says what to do."""


@dataclass(frozen=True)
class Image:
    """One image: what goes into it, and so where its archive is."""

    name: str
    files: Mapping[str, bytes]
    """Everything that its Dockerfile sees, by path."""

    @property
    def reference(self) -> str:
        """Its name in the chart, `easel-operator:0.1.0`."""
        return f"easel-{self.name}:{__version__}"

    @property
    def lock(self) -> str:
        """Path of the lock of its packages, among its files."""
        return next(path for path in self.files if path.startswith("requirements/"))

    @property
    def archive(self) -> Path:
        """Where it is kept: another place when anything that it is made of has changed."""
        digest = hashlib.sha256(debian.key().encode())
        for module in (__file__, debian.__file__, oci.__file__, wheels.__file__):
            digest.update(Path(module).read_bytes())
        for path, content in sorted(self.files.items()):
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
        return _folder() / f"easel-{self.name}-{digest.hexdigest()[:16]}.tar"


def archives(names: Sequence[str] = tuple(DOCKERFILES)) -> list[Path]:
    """Archives of these images, in their order, built where they are missing. Raises NotBuilt."""
    images = [image(name) for name in names]
    if any(not each.archive.is_file() for each in images):
        with _alone():
            for each in images:
                if not each.archive.is_file():
                    _build(each)
    for each in images:
        os.utime(each.archive)
    return [each.archive for each in images]


def image(name: str) -> Image:
    """The image `name` as its sources are now."""
    dockerfile = (ROOT / DOCKERFILES[name]).read_text()
    files = {DOCKERFILES[name]: dockerfile.encode(), ".dockerignore": (ROOT / ".dockerignore").read_bytes()}
    for source in re.findall(r"^COPY ([^-\s]\S*) \S+$", dockerfile, re.MULTILINE):
        if source == "${REQUIREMENTS}":
            files[_LIGHT_LOCK] = light_lock().encode()
        else:
            files |= {str(path.relative_to(ROOT)): path.read_bytes() for path in _regular_files(ROOT / source)}
    return Image(name, files)


def light_lock() -> str:
    """The runtime's lock without torch and other large things: those of its packages that the operator has too.

    In the test bed nodes bring all of them, in a folder.
    """
    operator = set(_pins((ROOT / "requirements/operator.txt").read_text()))
    runtime = _pins((ROOT / "requirements/runtime.txt").read_text())
    return "".join(text for pin, text in runtime.items() if pin in operator)


def _pins(lock: str) -> dict[str, str]:
    """The parts of a lock, by `name==version`."""
    parts = re.findall(r"^[A-Za-z0-9].*\n(?:\s.*\n)*", lock, re.MULTILINE)
    return {part.split()[0]: part for part in parts}


def _regular_files(source: Path) -> Iterator[Path]:
    found = source.rglob("*") if source.is_dir() else [source]
    return (path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _build(image: Image) -> None:
    sys.stderr.write(f"testbed: building image {image.reference} ... ")
    sys.stderr.flush()
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(dir=_folder(), prefix=".building-") as folder:
            _build_in(Path(folder), image)
    except (NotBuilt, debian.NoBase, wheels.NoWheels) as error:
        sys.stderr.write("failed\n")
        raise NotBuilt(str(error)) from error
    earlier = sorted(_folder().glob(f"easel-{image.name}-*.tar"), key=lambda path: path.stat().st_mtime)
    for archive in earlier[:-_KEPT]:
        archive.unlink()
    sys.stderr.write(f"{time.monotonic() - started:.0f} s\n")


def _build_in(folder: Path, image: Image) -> None:
    context, layout, archive = folder / "context", _folder() / "layout", folder / "archive.tar"
    for path, content in image.files.items():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).write_bytes(content)
    base = _base()
    packages = wheels.folder_of(image.files[image.lock].decode(), _folder() / "wheels", debian.PYTHON)
    arguments = {
        "BASE": base,
        "VERSION": __version__,
        "REQUIREMENTS": image.lock,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "/mnt",
    }
    _buildah(
        *("build", "--isolation=chroot", "--layers", "--pull-never", f"--volume={packages}:/mnt:ro"),
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        *(f"--tag={image.reference}", f"--file={context / DOCKERFILES[image.name]}", str(context)),
    )
    # Little compression: a node takes this in faster than what is not compressed, or is with gzip.
    _buildah(
        *("push", "--compression-format=zstd", "--compression-level=1"), image.reference, f"oci:{layout}:{image.name}"
    )
    _buildah("rm", "--all")  # a build that failed, or was killed, leaves its container, which holds on to its image
    _buildah("rmi", "--prune")
    oci.prune(layout)
    # A name without a registry, as the chart has it, is this one to containerd.
    oci.write_archive(layout, image.name, f"docker.io/library/{image.reference}", archive)
    archive.rename(image.archive)


def _base() -> str:
    """Name of the base image, made when it is not there."""
    name = f"localhost/easel-base:{debian.key()}"
    if name not in _buildah("images", "--format={{.Name}}:{{.Tag}}").split():
        with tempfile.TemporaryDirectory(dir=_folder(), prefix=".base-") as folder:
            context = debian.make(Path(folder)).parent
            dockerfile = context / "Dockerfile"
            dockerfile.write_text("FROM scratch\nADD base.tar /\n")
            (context / ".dockerignore").write_text("*\n!base.tar\n")
            _buildah("build", "--isolation=chroot", f"--tag={name}", str(context))
    return name


def _buildah(*arguments: str) -> str:
    """What buildah prints. It has a store of its own, so that nobody else's images are seen or touched."""
    if shutil.which("buildah") is None:
        raise NotBuilt("buildah is missing: apt-get install buildah")
    if os.geteuid() != 0:
        raise NotBuilt("images are built as root, like everything in the test bed: use sudo")
    stores = [f"--root={_folder() / 'store'}", f"--runroot={_folder() / 'run'}"]
    done = subprocess.run(["buildah", *stores, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = "\n".join(f"{done.stdout}\n{done.stderr}".strip().splitlines()[-15:])
        raise NotBuilt(f"buildah {arguments[0]} failed:\n{lines}")
    return done.stdout


def _folder() -> Path:
    return cache() / "images"


@contextmanager
def _alone() -> Iterator[None]:
    _folder().mkdir(parents=True, exist_ok=True)
    with (_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Prints the archives of the images that the command line names, or of all; says on failure what to do."""
    unknown = set(sys.argv[1:]) - set(DOCKERFILES)
    if unknown:
        sys.exit(f"no such image: {', '.join(sorted(unknown))}; there are {', '.join(DOCKERFILES)}")
    try:
        paths = archives(sys.argv[1:] or tuple(DOCKERFILES))
    except NotBuilt as error:
        sys.exit(f"testbed: {error}")
    sys.stdout.write("".join(f"{path}\n" for path in paths))


if __name__ == "__main__":
    main()
