"""The model server: one process, one model, one thread that owns the GPU."""
