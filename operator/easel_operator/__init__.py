"""The operator. Here so far: the pure decisions that one machine and a cluster share."""
