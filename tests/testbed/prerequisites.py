"""What the test bed needs of a machine, and the Debian packages that it installs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from testbed import versions

EXIT_CODE: Final = 75
"""Of the command line when a cluster cannot be had on this machine, as opposed to one that failed."""
_PACKAGES: Final = {
    "containerd": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
}
"""Program: the Debian package it is in."""
_NAMESPACES: Final = ("unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc")


class CannotHere(Exception):
    """This machine cannot run a cluster; the message says why in one line."""


def check() -> None:
    """Sees to it that a cluster can run here. Raises CannotHere."""
    if sys.platform != "linux":
        raise CannotHere("a cluster needs Linux")
    if os.geteuid() != 0:
        raise CannotHere("a cluster needs root: it makes namespaces, mounts and cgroups")
    _install_packages()
    _check_kernel()


def check_go() -> None:
    """Sees to it that the cluster's programs can be built here. Raises CannotHere."""
    oldest = ".".join(map(str, versions.GO))
    if shutil.which("go") is None:
        raise CannotHere(f"building the cluster's programs needs Go {oldest} or newer on the PATH")
    told = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    if go_version(told) < versions.GO:
        raise CannotHere(f"building the cluster's programs needs Go {oldest} or newer; this is {told}")


def go_version(told: str) -> tuple[int, ...]:
    """(1, 26, 8) of "go1.26.8"; what follows the numbers does not count."""
    return tuple(int(number) for number in re.findall(r"\d+", told.partition("-")[0])[:3])


def _install_packages() -> None:
    absent = sorted({package for program, package in _PACKAGES.items() if shutil.which(program) is None})
    if not absent:
        return
    if shutil.which("apt-get") is None:
        raise CannotHere(f"these programs are missing, and there is no apt-get to install them: {', '.join(absent)}")
    sys.stderr.write(f"testbed: installing {' '.join(absent)}\n")
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    # Without an update the index may be too old, or, in a small image, not there; with one that fails it may still do.
    subprocess.run(["apt-get", "-qq", "update"], env=quiet, capture_output=True, check=False)
    install = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *absent]
    done = subprocess.run(install, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CannotHere(f"apt-get could not install {', '.join(absent)}: {said}")


def _check_kernel() -> None:
    if subprocess.run([*_NAMESPACES, "true"], capture_output=True, check=False).returncode:
        raise CannotHere("this machine does not allow new namespaces (in a container, run it privileged)")
    rules = subprocess.run(["unshare", "--net", "nft", "add table ip easel"], capture_output=True, check=False)
    if rules.returncode:
        raise CannotHere("the kernel has no nftables, which Services need")
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", "overlay"], check=False)
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        raise CannotHere("the kernel has no overlay file system, which containers need")
    if not cgroup_controllers() >= {"cpu", "memory", "pids"}:
        raise CannotHere("cgroups for cpu, memory and pids are missing")


def cgroup_controllers() -> set[str]:
    """Those that can be used, of either version."""
    second = Path("/sys/fs/cgroup/cgroup.controllers")
    if second.exists():
        return set(second.read_text().split())
    return {path.name for path in Path("/sys/fs/cgroup").iterdir()}
