"""Easel as users install it, once for all tests, on the cluster that KUBECONFIG names."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from support import hub
from support.easel_release import Release
from support.kubectl import SECONDS, Namespace, kubectl
from testbed.cluster import Cluster, NodeSpec

TINY: Final = "tests/tiny-stable-diffusion"
"""A repository that runtimes find in their cache."""

_HUGE: Final = 950_000
"""MiB of the GPUs of simulated nodes: no other node has as much, so a model that asks for it lands there."""


@pytest.fixture(scope="session")
def easel() -> Iterator[Release]:
    """Easel, installed with Helm."""
    release = Release()
    release.install()
    yield release
    release.uninstall()


@pytest.fixture(scope="module")
def namespace(easel: Release) -> Iterator[Namespace]:
    """A namespace for the tests of one module."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    yield Namespace(name)
    kubectl("delete", "namespace", name, f"--timeout={SECONDS:.0f}s")


@pytest.fixture(scope="session")
def testbed() -> Cluster:
    """The test bed, for what only it can do to a cluster."""
    if not os.environ.get("EASEL_TESTBED"):
        pytest.skip("needs the test bed: nodes that can be added and killed, an audit log")
    return Cluster.current()


@pytest.fixture(scope="module")
def simulated_gpus(testbed: Cluster) -> Iterator[str]:
    """GPU memory that only simulated nodes have, on which pods are Ready at once and nothing runs.

    For one module: where a test wants a real runtime, there must be no such node for it to land on.
    """
    specs = [NodeSpec(f"simulated-{number}", gpus=8, gpu_memory=_HUGE, product="NVIDIA-X") for number in range(2)]
    testbed.add_simulated(specs)
    yield "900G"
    testbed.remove_simulated([spec.name for spec in specs])


@pytest.fixture(scope="session")
def tiny(testbed: Cluster) -> str:
    """Hub id of a tiny Stable Diffusion with random weights, in the cache of every node."""
    cache = testbed.state.shared / "huggingface/hub"
    hub.add_repository(cache, TINY, hub.stable_diffusion)
    subprocess.run(["chmod", "-R", "a+rwX", testbed.state.shared / "huggingface"], check=True)
    return TINY


@pytest.fixture(scope="session")
def gateway(easel: Release) -> Iterator[str]:
    """URL of the gateway's Service."""
    if os.environ.get("EASEL_TESTBED"):
        yield f"http://easel-gateway.{easel.system}.svc.cluster.local"
        return
    with _forwarded(easel.system) as url:
        yield url


@contextmanager
def _forwarded(system: Namespace) -> Iterator[str]:
    """A way to the gateway for who is not in the cluster's network."""
    command = ["kubectl", f"--namespace={system}", "port-forward", "service/easel-gateway", ":80"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # Forwarding from 127.0.0.1:PORT -> 8080
            yield f"http://{line.split()[2]}"
        finally:
            process.terminate()
