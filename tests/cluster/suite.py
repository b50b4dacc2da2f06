"""Runs the end-to-end suite, or a shell, in a cluster of its own: `make e2e`, `make cluster`; or only builds for it.

With EASEL_E2E_CLUSTER=1 the suite runs on the cluster that KUBECONFIG names instead. It installs Easel there with the
values in the file EASEL_E2E_VALUES (images, profile), and leaves out what needs nodes that can be added and killed.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from testbed import debian, outer
from testbed.binaries import BuildFailed
from testbed.images import NotBuilt, archives
from testbed.prerequisites import CannotHere
from testbed.state import Mount, NodeSpec

_PYTEST: Final = [sys.executable, "-m", "pytest"]
_SUITE: Final = str(Path(__file__).parent)
_OUTSIDE: Final = f"{_SUITE}/outside"
"""Tests of the test bed itself, which start clusters of their own."""
_NODES: Final = (
    # What a 20 GB card reports with its error correction on: the smallest that must do.
    NodeSpec("gpu20", gpus=2, gpu_memory=19195, product="NVIDIA-RTX-4000-SFF-Ada-Generation"),
    # The largest that must not. It takes every pod, so that nothing but its label keeps runtimes away.
    NodeSpec("gpu16", gpus=2, gpu_memory=16376, product="NVIDIA-RTX-A4000", tainted=False),
)
_PACKAGES: Final = Mount(sysconfig.get_path("purelib"), "/var/lib/easel-cache/site-packages")
"""torch and its libraries are 5.5 GB: nodes show those of this environment instead of every image holding them."""


def main(arguments: list[str]) -> int:
    """Do what `arguments` say: `build`, `shell`, or options for pytest; the exit code."""
    if os.environ.get("EASEL_E2E_CLUSTER"):
        return 0 if arguments == ["build"] else subprocess.call(_pytest(arguments))
    try:
        _check_python()
        outer.prepare()
        return _in_own_cluster(arguments, [str(archive) for archive in archives()])
    except CannotHere as error:
        sys.stderr.write(f"no cluster can be started here, the end-to-end suite is left out: {error}\n")
        return 1 if os.environ.get("CI") else 0
    except (BuildFailed, NotBuilt) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _in_own_cluster(arguments: list[str], images: list[str]) -> int:
    command = _pytest(arguments)
    match arguments:
        case ["build"]:
            return 0
        case ["shell"]:
            command = [os.environ.get("SHELL", "/bin/bash")]
        case _ if _SUITE in command and (failed := subprocess.call([*_PYTEST, *arguments, _OUTSIDE])):
            return failed
    return outer.run(command, _NODES, images, [_PACKAGES])


def _pytest(arguments: list[str]) -> list[str]:
    """pytest on what `arguments` name, or else on the whole suite."""
    chosen = any(Path(argument.partition("::")[0]).exists() for argument in arguments)
    return [*_PYTEST, *arguments, *([] if chosen else [_SUITE, f"--ignore={_OUTSIDE}"])]


def _check_python() -> None:
    """Pods use packages of this environment, so both need one Python."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" != debian.PYTHON:
        raise CannotHere(f"images have Python {debian.PYTHON}; make PYTHON=python{debian.PYTHON} sets this one up")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
