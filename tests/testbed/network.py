"""Addresses and routes: one bridge in the cluster's namespaces, one cable from it to each node, no way out."""

import ctypes
import http.client
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

HOST: Final = "10.250.0.1"
"""Of the control plane, and of the command that runs inside."""
SERVICES: Final = "10.96.0.0/16"
API_SERVICE: Final = "10.96.0.1"
DNS_SERVICE: Final = "10.96.0.10"
PODS: Final = "10.244.0.0/16"
NODES: Final = 200
"""How many real nodes there can be; their indices are 1 to this."""
_BRIDGE: Final = "easel0"
_MNT_DETACH: Final = 2


def node_address(index: int) -> str:
    """Where a node is reached."""
    return f"10.250.0.{10 + index}"


def pod_range(index: int) -> str:
    """From which a node's pods get their addresses."""
    return f"10.244.{index}.0/24"


def make_bridge() -> None:
    """Sets up the network of the control plane. What is addressed to anything outside fails at once."""
    _ip(
        "link set lo up",
        f"link add {_BRIDGE} type bridge",
        f"addr add {HOST}/16 dev {_BRIDGE}",
        f"link set {_BRIDGE} up",
        "route add unreachable default",
        # Service addresses are replaced on their way out, but only after some route has been found for them.
        f"route add {SERVICES} dev {_BRIDGE} src {HOST}",
    )
    forward()
    for interface in ("all", _BRIDGE):  # that nodes could reach one another's pods more directly is true, and unwanted
        Path(f"/proc/sys/net/ipv4/conf/{interface}/send_redirects").write_text("0")


def connect(handle: Path, index: int) -> None:
    """Makes a node's network namespace, kept alive by the file `handle`, and plugs its cable in."""
    handle.touch()
    subprocess.run(["unshare", f"--net={handle}", "true"], check=True)
    cable = _cable(index)
    _ip(
        f"link add {cable} type veth peer name eth0 netns {handle}",
        f"link set {cable} master {_BRIDGE}",
        f"link set {cable} up",
        f"route replace {pod_range(index)} via {node_address(index)}",
    )
    _ip(
        "link set lo up",
        f"addr add {node_address(index)}/16 dev eth0",
        "link set eth0 up",
        "route add unreachable default",
        f"route add {PODS} via {HOST}",
        f"route add {SERVICES} via {HOST}",
        inside=handle,
    )


def disconnect(handle: Path, index: int) -> None:
    """Pulls a node's cable out and forgets its namespace."""
    with suppress(subprocess.CalledProcessError):  # the cable goes with the node's namespace
        _ip(f"link delete {_cable(index)}")
    _unmount(handle)
    handle.unlink(missing_ok=True)


def forget(handle: Path) -> None:
    """Lets go of another node's namespace, which a node got a copy of when it was started."""
    _unmount(handle)


def healthy(address: str, port: int, path: str) -> bool:
    """Whether a server says over HTTP that it is well."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def forward() -> None:
    """Lets the kernel pass on, in the network namespace of the caller, what is not for itself."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _cable(index: int) -> str:
    return f"node{index}"


def _unmount(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(os.fsencode(path), _MNT_DETACH)


def _ip(*lines: str, inside: Path | None = None) -> None:
    command = ["ip", "-batch", "-"] if inside is None else ["nsenter", f"--net={inside}", "ip", "-batch", "-"]
    subprocess.run(command, input="\n".join(lines), text=True, check=True, capture_output=True)
