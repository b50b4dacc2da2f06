"""Process 1 of a cluster's namespaces: starts everything, then the command, and when that ends, all ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from testbed import binaries, layers, network, node_config, nodes
from testbed.api import environment
from testbed.control_plane import make_certificates, start_control_plane, wait_for_accounts
from testbed.daemons import Daemon, Failed
from testbed.scratch_image import write_image
from testbed.services import start_services, write_resolv_conf
from testbed.state import SETTINGS, NodeSpec, Settings, State

RUNTIME_USER = 65532
"""As which the pods of this project run."""


@dataclass(frozen=True)
class Plan:
    """What to start; goes from the outer process to this one as its argument."""

    folder: str
    settings: Settings
    nodes: list[NodeSpec]
    command: list[str]
    held: list[int]
    """Descriptors that this process alone holds on to: they tell others that the cluster lives."""

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"settings": self.settings.to_json()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        told: dict[str, Any] = json.loads(text)
        told["settings"] = Settings.from_json(told["settings"])
        told["nodes"] = [NodeSpec(**node) for node in told["nodes"]]
        return cls(**told)


def main(plan: Plan) -> int:
    """The exit code of the command, or 1 when the cluster did not start."""
    for descriptor in plan.held:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's own
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started = time.monotonic()
    state = State(Path(plan.folder))
    try:
        _prepare(state, plan.settings)
        daemons = _start(state, plan.nodes)
    except (Failed, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"testbed: the cluster did not start. {error}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    sys.stderr.write(f"testbed: ready after {time.monotonic() - started:.1f} s\n")
    return run(plan.command, environment(state), {daemon.pid: daemon for daemon in daemons})


def _prepare(state: State, settings: Settings) -> None:
    """The folder, the network and the programs. The namespaces' own mounts are private already."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=80%", "easel-testbed", state.root], check=True)
    for folder in ("logs", "nodes", "networks", "bin", "shared"):
        (state.root / folder).mkdir()
    os.chown(state.shared, RUNTIME_USER, RUNTIME_USER)
    (state.root / SETTINGS).write_text(settings.to_json())
    for name, path in binaries.programs().items():
        (state.programs / name).symlink_to(path)
    network.make_bridge()
    write_resolv_conf(state)
    write_image(state.root / "pause.tar", node_config.PAUSE_IMAGE, state.programs / "pause")
    make_certificates(state)


def _start(state: State, specs: Sequence[NodeSpec]) -> list[Daemon]:
    """Everything; the images are unpacked while the control plane starts."""
    unpacking = layers.start_unpacking(state, [str(state.root / "pause.tar"), *state.settings.images])
    daemons = start_control_plane(state)
    layers.wait_for_layers(state, unpacking)
    since = nodes.now()
    running = [(node, nodes.switch_on(state, node)) for node in [nodes.prepare_node(state, spec) for spec in specs]]
    daemons += start_services(state)
    for node, process in running:
        nodes.wait_for_node(state, node, process, since)
    wait_for_accounts(state)
    return daemons


def run(command: list[str], variables: Mapping[str, str], needed: Mapping[int, Daemon]) -> int:
    """Runs a command and takes in whatever ends meanwhile, as process 1 has to. The command's exit code.

    Ctrl-C and Ctrl-\\ reach the command by themselves, as it is in the terminal's foreground group.
    """
    for name in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(name, lambda *_: None)  # a handler, as the command would inherit that a signal is ignored
    try:
        process = subprocess.Popen(command, env=variables)
    except OSError as error:
        sys.stderr.write(f"testbed: {command[0]}: {error.strerror}\n")
        return 127
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda number, _: process.send_signal(number))
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid in needed:
            sys.stderr.write(f"testbed: {needed[pid].log.stem} has ended. {needed[pid]}\n")


if __name__ == "__main__":
    sys.exit(main(Plan.from_json(sys.argv[1])))
