"""Runs the end-to-end suite, or a shell, in a cluster of its own: `make e2e`, `make cluster`.

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

_HERE: Final = Path(__file__).parent
_OUTSIDE: Final = _HERE / "outside"
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
    """The exit code of pytest, or of the shell."""
    chosen = any(Path(argument.partition("::")[0]).exists() for argument in arguments)
    pytest = [sys.executable, "-m", "pytest", *arguments]
    command = pytest if chosen else [*pytest, str(_HERE), f"--ignore={_OUTSIDE}"]
    if arguments == ["shell"]:
        command = [os.environ.get("SHELL", "/bin/bash")]
    if os.environ.get("EASEL_E2E_CLUSTER"):
        return subprocess.call(command)
    try:
        _check_python()
        outer.prepare()
        if not chosen and arguments != ["shell"] and (failed := subprocess.call([*pytest, str(_OUTSIDE)])):
            return failed
        return outer.run(command, _NODES, [str(archive) for archive in archives()], [_PACKAGES])
    except CannotHere as error:
        sys.stderr.write(f"no cluster can be started here, the end-to-end suite is left out: {error}\n")
        return 1 if os.environ.get("CI") else 0
    except (BuildFailed, NotBuilt) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _check_python() -> None:
    """Pods use packages of this environment, so both need one Python."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" != debian.PYTHON:
        raise CannotHere(f"images have Python {debian.PYTHON}; make PYTHON=python{debian.PYTHON} sets this one up")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
