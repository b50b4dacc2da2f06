"""Installs what `make test` needs besides Python packages and a cluster, if it is missing (Debian, root).

That is PostgreSQL, and Chromium for the web page. Elsewhere the tests that need it say so and are skipped; with CI set
that is a failure.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

_NO_CLUSTER: Final = "create_main_cluster = false\n"
"""Else Debian makes a database of its own and starts a server for it: the tests start theirs."""
_SETTINGS: Final = Path("/etc/postgresql-common/createcluster.conf")


def main() -> None:
    """Install it, or say why not."""
    missing = _missing()
    if not missing:
        return
    names = ", ".join(missing)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.stderr.write(f"services: {names} missing, and only root on Debian can have that installed here\n")
        return
    sys.stderr.write(f"services: installing {names}\n")
    if "postgresql" in missing and not _SETTINGS.exists():
        _SETTINGS.parent.mkdir(parents=True, exist_ok=True)
        _SETTINGS.write_text(_NO_CLUSTER)
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "-qq", "update"], env=quiet, capture_output=True, check=False)
    keep_settings = ["-o", "Dpkg::Options::=--force-confold"]
    install = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *keep_settings, *missing]
    done = subprocess.run(install, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"services: apt-get could not install {names}: {done.stderr.strip()[-500:]}\n")


def chromium() -> str | None:
    """Path of the browser, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def _missing() -> list[str]:
    """Debian's names of the packages that are needed and not there."""
    found = {
        "postgresql": shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        "chromium": chromium(),
    }
    return [name for name, there in found.items() if not there]


if __name__ == "__main__":
    main()
