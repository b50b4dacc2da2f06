"""The runtime's routes; each only translates between HTTP and the worker."""
