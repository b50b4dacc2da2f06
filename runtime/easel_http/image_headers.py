"""Headers in which a runtime tells of what it made; the gateway reads some of them and passes others on."""

from typing import Final

SEED: Final = "X-Easel-Seed"
NSFW: Final = "X-Easel-Nsfw"
"""`true` or `false`."""
WORKED: Final = "X-Easel-Gpu-Seconds"
"""Seconds that the model worked on the request."""
ADJUSTED: Final = "X-Easel-Adjusted"
"""Values that were moved into the model's bounds."""
IGNORED: Final = "X-Easel-Ignored"
"""Fields that the model had no use for."""
