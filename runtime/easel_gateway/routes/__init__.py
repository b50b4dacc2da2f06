"""The gateway's routes, one file per dialect; each only translates to and from a `Job`."""
