"""Command line of the test bed: `python -m testbed --help`."""

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from testbed import options, outer
from testbed.binaries import BuildFailed
from testbed.cluster import Cluster
from testbed.daemons import Failed
from testbed.prerequisites import EXIT_CODE, CannotHere
from testbed.state import NodeSpec

_WELCOME = """\
A cluster of its own: kubectl and helm are there, Services answer by name (curl http://SERVICE.NAMESPACE).
  python -m testbed node add NAME --gpus 2 --gpu-memory 23034     one more machine
  python -m testbed node kill|start|remove NAME
  python -m testbed gpus NAME --count 2 --unhealthy 1             GPUs break
  ls $EASEL_TESTBED/logs                                          what every program says
Leave the shell, and all of it is gone.
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real Kubernetes cluster on this machine: no Docker, no network, gone without a trace when it ends."""


@main.command()
def build() -> None:
    """Only build and install what is missing."""
    outer.prepare()


def _starting(command: Callable[..., None]) -> Callable[..., None]:
    """Options of the commands that start a cluster."""
    for option in (
        click.option("--no-taint", is_flag=True, help="Let nodes with GPUs take every pod."),
        click.option(
            "--mount",
            "mounts",
            multiple=True,
            metavar="HOST:PATH[:rw]",
            help="Show a folder at this path, below /var/lib, in every node; pods get it with a hostPath volume.",
        ),
        click.option(
            "--image",
            "images",
            multiple=True,
            metavar="FILE",
            help=f"Archive of an image that every node has; by default *.tar in ${options.IMAGES_VARIABLE}.",
        ),
        click.option(
            "--nodes",
            default="gpu24",
            show_default=True,
            metavar="NAMES",
            help=f"Real nodes to begin with, of {', '.join(options.SHAPES)}; may be empty.",
        ),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_starting
def run(*, command: tuple[str, ...], **chosen: Any) -> None:
    """Run COMMAND inside a new cluster. Its exit code; 75 when there can be no cluster on this machine."""
    sys.exit(_run(list(command), **chosen))


@main.command()
@_starting
def shell(**chosen: Any) -> None:
    """Look around in a new cluster."""
    program = os.environ.get("SHELL", "/bin/bash")
    sys.exit(_run(["sh", "-c", 'echo "$0"; exec "$1"', _WELCOME, program], **chosen))


def _run(command: list[str], *, nodes: str, images: tuple[str, ...], mounts: tuple[str, ...], no_taint: bool) -> int:
    try:
        specs = options.parse_nodes(nodes, tainted=not no_taint)
        archives = options.images(images)
        folders = [options.parse_mount(mount) for mount in mounts]
    except options.Unknown as error:
        raise click.UsageError(str(error)) from None
    return outer.run(command, specs, archives, folders)


@main.group()
def node() -> None:
    """Change the nodes of the cluster inside which this is called."""


@node.command("add")
@click.argument("name")
@click.option("--gpus", default=0, show_default=True, type=click.IntRange(0))
@click.option("--gpu-memory", default=23034, show_default=True, help="Of each GPU, in MiB.")
@click.option("--product", default="NVIDIA-L4", show_default=True)
@click.option("--simulated", is_flag=True, help="Only an object: pods are Ready there, and nothing runs.")
@click.option("--no-taint", is_flag=True, help="Take every pod.")
def add_node(*, name: str, gpus: int, gpu_memory: int, product: str, simulated: bool, no_taint: bool) -> None:
    """Add a node."""
    spec = NodeSpec(name, gpus, gpu_memory, product, not no_taint)
    if simulated:
        Cluster.current().add_simulated([spec])
    else:
        Cluster.current().add_node(spec)


@node.command("kill")
@click.argument("name")
def kill_node(*, name: str) -> None:
    """Pull a node's plug."""
    Cluster.current().kill_node(name)


@node.command("start")
@click.argument("name")
def start_node(*, name: str) -> None:
    """Have a killed node come back."""
    Cluster.current().start_node(name)


@node.command("remove")
@click.argument("name")
def remove_node(*, name: str) -> None:
    """Remove a node and its pods."""
    cluster = Cluster.current()
    if name in cluster.node_names():
        cluster.remove_node(name)
    else:
        cluster.remove_simulated([name])


@main.command("gpus")
@click.argument("name")
@click.option("--count", required=True, type=click.IntRange(0), help="How many GPUs the node has from now on.")
@click.option("--unhealthy", multiple=True, type=click.IntRange(0), help="Number of a broken one, from 0.")
def set_gpus(*, name: str, count: int, unhealthy: tuple[int, ...]) -> None:
    """Change the GPUs of a real node."""
    Cluster.current().set_gpus(name, count, unhealthy)


if __name__ == "__main__":
    try:
        main()
    except CannotHere as error:
        sys.stderr.write(f"testbed: no cluster here: {error}\n")
        sys.exit(EXIT_CODE)
    except (BuildFailed, Failed) as error:
        sys.exit(f"testbed: {error}")
