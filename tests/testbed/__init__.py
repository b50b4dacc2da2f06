"""A real Kubernetes cluster on this machine, for the end-to-end suite and for trying things out.

`python -m testbed run -- COMMAND` (with PYTHONPATH=tests) starts one, runs the command inside and removes every trace
of it. `python -m testbed --help` names the rest; `testbed.cluster.Cluster` is the same for Python, from inside.

How it is made:

- `binaries` builds Kubernetes, etcd and the others once, from source, into the user's cache.
- `outer` runs on the machine: it makes the namespaces, forwards signals, and leaves a `janitor` behind that removes
  what namespaces do not (cgroups, the folder) even if everything else is killed.
- `inner` is process 1 of the namespaces: it starts `network`, `control_plane` and `services`, then the command.
- `nodes` adds machines, each one more set of namespaces with `node_init` as its process 1, containerd, a kubelet,
  kube-proxy and a device plugin (`programs/gpus`) that has as many GPUs as a file says.
- `simulated` adds nodes that are only objects (kwok), `karpenter` an autoscaler that makes such nodes.

Everything that lives is in the folder named by EASEL_TESTBED (`state`), a tmpfs that only the namespaces see.
Only cgroup v1 was run; the code for v2 follows the kernel's documentation.
"""
