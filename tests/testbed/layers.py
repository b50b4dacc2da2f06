"""The images of a cluster, taken in and unpacked once; every node's containerd starts with hard links to the result.

Layers and blobs never change, so nodes can have the same files. That saves each node seconds, and memory: the state
folder is a tmpfs.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from testbed.daemons import Daemon, start, wait_until
from testbed.state import State

_SECONDS: Final = 300.0


def start_unpacking(state: State, archives: list[str]) -> Daemon:
    """Starts to take in archives of images, beside whatever else is done."""
    return start("layers", [sys.executable, "-m", "testbed.layers", state.root, *archives], state.logs)


def wait_for_layers(state: State, process: Daemon) -> None:
    """Returns when nodes can be started."""
    wait_until("The images are unpacked", _folder(state).exists, process, seconds=_SECONDS)


def link_layers(state: State, containerd: Path) -> None:
    """Gives a new node's containerd what was unpacked, and a copy of what it writes to: its databases."""
    subprocess.run(["cp", "--archive", "--link", _folder(state), containerd], check=True)
    for database in [*containerd.rglob("*.db")]:
        copy = database.with_suffix(".new")
        shutil.copy(database, copy)
        copy.replace(database)


def _folder(state: State) -> Path:
    return state.root / "layers"


def _unpack(state: State, archives: list[str]) -> None:
    """Runs a containerd for as long as that takes. Archives one after the other: they may have layers in common."""
    unfinished, socket = state.root / "layers.unfinished", state.root / "layers.sock"
    config = state.root / "layers.toml"
    config.write_text(f"""\
version = 2
root = "{unfinished}"
state = "{state.root}/layers.run"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{socket}"
""")
    containerd = subprocess.Popen(["containerd", f"--config={config}"])
    wait_until("containerd is ready", socket.exists, Daemon(containerd.pid, state.logs / "layers.log"))
    for archive in archives:
        importing = ["ctr", f"--address={socket}", "--namespace=k8s.io", "images", "import", archive]
        if subprocess.run(importing, check=False).returncode:
            sys.exit(f"{archive} could not be taken in")
    containerd.send_signal(signal.SIGTERM)
    containerd.wait()
    unfinished.rename(_folder(state))


if __name__ == "__main__":
    _unpack(State(Path(sys.argv[1])), sys.argv[2:])
