"""The gateway beside a plain proxy and a raw echo, all in the same run. `python -m bench.gateway`.

No model takes part: the runtime is a stub that answers at once, so that all time that is seen is the gateway's.
"""
