"""A real Kubernetes cluster on this machine, for the end-to-end suite and for trying things out.

`python -m testbed run -- COMMAND` (with PYTHONPATH=tests) starts one, runs the command inside and removes every trace
of it. `python -m testbed --help` names the rest; `testbed.cluster.Cluster` is the same for Python, from inside.

How it is made:

- `binaries` builds Kubernetes, etcd and the others once, from source, into the user's cache.
- `outer` runs on the machine: it makes the namespaces, forwards signals, and leaves a `janitor` behind that removes
  what namespaces do not (cgroups, the folder) even if everything else is killed.
- `inner` is process 1 of the namespaces: it starts `network`, `control_plane` and `services`, then the command.
- `layers` unpacks the images once for all nodes.
- `nodes` adds machines, each one more set of namespaces with `node_init` as its process 1, containerd, a kubelet,
  kube-proxy and a device plugin (`programs/gpus`) that has as many GPUs as a file says.
- `simulated` adds nodes that are only objects (kwok), `karpenter` an autoscaler that makes such nodes.

What runs in nodes can share files with what runs inside: every node shows the folder `Cluster.state.shared` at
/var/lib/easel-cache, writable for uid 65532, and each folder given with `--mount HOST:PATH` at that path, read-only.
Pods get them with hostPath volumes. What is written there is in memory, and counts for the memory limit of the pod that
writes.

Everything that lives is in the folder named by EASEL_TESTBED (`state`), a tmpfs that only the namespaces see.
Only cgroup v1 was run; the code for v2 follows the kernel's documentation.
"""
