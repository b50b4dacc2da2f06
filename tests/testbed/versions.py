"""Which version of what the test bed runs. A change here builds anew, beside what was built before."""

from typing import Final

KUBERNETES: Final = "1.36.3"
STAGING: Final = f"0.{KUBERNETES.removeprefix('1.')}"
"""Version of the modules of Kubernetes that are published on their own."""
ETCD: Final = "3.6.14"
COREDNS: Final = "1.13.1"
HELM: Final = "4.2.4"
VERSITYGW: Final = "1.8.0"
KWOK: Final = "0.8.0"
KARPENTER: Final = "1.14.1"
GO: Final = (1, 26, 6)
"""The oldest Go that builds all of them."""
