"""The gateway on a cluster: models and endpoints from watches, demand to a Lease. `easel up` needs none of it."""
