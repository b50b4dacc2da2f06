"""Builds the programs of the test bed from source, each once, into the user's cache."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

from testbed import versions

_STRIPPED: Final = "-s -w"
_PROGRAMS: Final = Path(__file__).parent / "programs"
_KUBERNETES: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
_STAGED: Final = (
    "api", "apiextensions-apiserver", "apimachinery", "apiserver", "cli-runtime", "client-go", "cloud-provider",
    "cluster-bootstrap", "code-generator", "component-base", "component-helpers", "controller-manager",
    "cri-api", "cri-client", "cri-streaming", "csi-translation-lib", "dynamic-resource-allocation",
    "endpointslice", "externaljwt", "kms", "kube-aggregator", "kube-controller-manager", "kube-proxy",
    "kube-scheduler", "kubectl", "kubelet", "metrics", "mount-utils", "pod-security-admission",
    "sample-apiserver", "sample-cli-plugin", "sample-controller", "streaming",
)  # fmt: skip
"""Modules that Kubernetes' own go.mod replaces by folders, which another module has to replace by versions."""


class BuildFailed(Exception):
    """A program could not be built; the message holds the last lines of the compiler and where the rest is."""


@dataclass(frozen=True)
class Go:
    """The go command, in one folder, with its output in one log."""

    folder: Path
    log: Path

    def __call__(self, *arguments: str, **environment: str) -> None:
        with self.log.open("a") as log:
            log.write(f"$ go {' '.join(arguments)}\n")
            log.flush()
            done = subprocess.run(
                ["go", *arguments], cwd=self.folder, env=_environment(environment), stdout=log, stderr=log, check=False
            )
        if done.returncode:
            lines = "\n".join(self.log.read_text().splitlines()[-15:])
            raise BuildFailed(f"go {arguments[0]} failed; all of its output is in {self.log}. It ends with:\n{lines}")


@dataclass(frozen=True)
class Recipe:
    """How one folder of the cache is made: `make(go, folder)` puts programs, and what belongs to them, there."""

    name: str
    version: str
    make: Callable[[Go, Path], None]
    edition: str = "1"
    """Changes when `make` does, so that what an older one made is not taken for its work."""

    @property
    def folder(self) -> Path:
        return cache() / f"{self.name}-{self.version}-{self.edition}"


def cache() -> Path:
    """Where all of it is kept."""
    return user_cache_path("easel") / "testbed"


def missing() -> list[Recipe]:
    """What is still to be built."""
    return [recipe for recipe in recipes() if not recipe.folder.is_dir()]


def build() -> None:
    """Builds what is missing; a second process that wants the same waits for the first. Raises BuildFailed."""
    if not missing():
        return
    with _alone():
        for leftover in cache().glob(".building-*"):
            shutil.rmtree(leftover)
        for recipe in missing():
            _build(recipe)


def programs() -> dict[str, Path]:
    """Every program by its name."""
    found = (path for recipe in recipes() for path in recipe.folder.iterdir() if path.is_file())
    return {path.name: path for path in found if os.access(path, os.X_OK)}


def _build(recipe: Recipe) -> None:
    sys.stderr.write(f"testbed: building {recipe.name} {recipe.version} (once; minutes) ... ")
    sys.stderr.flush()
    started = time.monotonic()
    folder = cache() / f".building-{recipe.name}"
    workspace = cache() / f".building-{recipe.name}-workspace"
    folder.mkdir()
    workspace.mkdir()
    log = cache() / f"{recipe.name}.log"
    log.unlink(missing_ok=True)
    try:
        recipe.make(Go(workspace, log), folder)
        folder.rename(recipe.folder)
    except BuildFailed:
        sys.stderr.write("failed\n")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(workspace)
    sys.stderr.write(f"{time.monotonic() - started:.0f} s\n")


@contextmanager
def _alone() -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("testbed: another process is building; waiting for it\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _environment(more: dict[str, str]) -> dict[str, str]:
    """The caller's, less what would make other programs of the same sources."""
    changing = {"GOFLAGS", "GOBIN", "GOOS", "GOARCH", "GOWORK"}
    kept = {name: value for name, value in os.environ.items() if name not in changing}
    return {**kept, "CGO_ENABLED": "0", "GOWORK": "off", **more}


_VERSITYGW: Final = "github.com/versity/versitygw/cmd/versitygw"
"""A server of S3, which tests outside of clusters use."""


def recipes() -> Iterable[Recipe]:
    """Everything that is built, in its order."""
    return (
        Recipe("programs", "own", _own_programs, _digest(_PROGRAMS)),
        Recipe("etcd", versions.ETCD, _etcd),
        Recipe("kubernetes", versions.KUBERNETES, _kubernetes),
        Recipe("coredns", versions.COREDNS, _installed(f"github.com/coredns/coredns@v{versions.COREDNS}")),
        Recipe("helm", versions.HELM, _installed(f"helm.sh/helm/v4/cmd/helm@v{versions.HELM}")),
        Recipe("versitygw", versions.VERSITYGW, _installed(f"{_VERSITYGW}@v{versions.VERSITYGW}")),
        Recipe("kwok", versions.KWOK, _kwok),
        Recipe("karpenter", versions.KARPENTER, _karpenter),
    )


def _digest(folder: Path) -> str:
    sources = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def _own_programs(go: Go, folder: Path) -> None:
    shutil.copytree(_PROGRAMS, go.folder, dirs_exist_ok=True)
    go("build", "-mod=readonly", "-trimpath", "-ldflags", _STRIPPED, "-o", f"{folder}/", "./...")


def _etcd(go: Go, folder: Path) -> None:
    go("mod", "init", "local/etcd")
    go("get", "-tool", f"go.etcd.io/etcd/server/v3@v{versions.ETCD}")
    go("build", "-trimpath", "-ldflags", _STRIPPED, "-o", f"{folder}/etcd", "go.etcd.io/etcd/server/v3")


def _kubernetes(go: Go, folder: Path) -> None:
    go("mod", "init", "local/kubernetes")
    replaced = [f"-replace=k8s.io/{name}=k8s.io/{name}@v{versions.STAGING}" for name in _STAGED]
    go("mod", "edit", "-go=1.26.0", *replaced)
    packages = [f"k8s.io/kubernetes/cmd/{program}" for program in _KUBERNETES]
    go("get", "-tool", *(f"{package}@v{versions.KUBERNETES}" for package in packages))
    flags = f"{_STRIPPED} {kubernetes_version_flags(versions.KUBERNETES)}"
    go("build", "-mod=mod", "-trimpath", "-ldflags", flags, "-o", f"{folder}/", *packages)


def kubernetes_version_flags(version: str) -> str:
    """Linker flags that tell Kubernetes its version; without, Helm, kwok and kubectl cannot read it."""
    major, minor, _ = version.split(".")
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    values = (f"gitVersion=v{version}", f"gitMajor={major}", f"gitMinor={minor}")
    return " ".join(f"-X {package}.{value}" for package in packages for value in values)


def _installed(package: str) -> Callable[[Go, Path], None]:
    def make(go: Go, folder: Path) -> None:
        go("install", "-trimpath", "-ldflags", _STRIPPED, package, GOBIN=str(folder))

    return make


def _kwok(go: Go, folder: Path) -> None:
    _installed(f"sigs.k8s.io/kwok/cmd/kwok@v{versions.KWOK}")(go, folder)
    stages = _module(f"sigs.k8s.io/kwok@v{versions.KWOK}") / "kustomize/stage"
    chosen = [
        path
        for kind in ("node/fast", "node/heartbeat-with-lease", "pod/fast")
        for path in stages.glob(f"{kind}/*.yaml")
    ]
    documents = [path.read_text() for path in sorted(chosen) if "kind: Stage" in path.read_text()]
    (folder / "stages.yaml").write_text("\n---\n".join(documents))


def _karpenter(go: Go, folder: Path) -> None:
    """Its kwok provider; the package's name would make it another program called kwok."""
    _installed(f"sigs.k8s.io/karpenter/kwok@v{versions.KARPENTER}")(go, folder)
    (folder / "kwok").rename(folder / "karpenter")
    module = _module(f"sigs.k8s.io/karpenter@v{versions.KARPENTER}")
    crds = [path for kind in ("pkg/apis/crds", "kwok/apis/crds") for path in sorted((module / kind).glob("*.yaml"))]
    (folder / "crds.yaml").write_text("\n---\n".join(path.read_text() for path in crds))


def _module(name: str) -> Path:
    """Folder of a module's sources."""
    told = subprocess.run(
        ["go", "mod", "download", "-json", name], env=_environment({}), capture_output=True, text=True, check=True
    )
    return Path(json.loads(told.stdout)["Dir"])
