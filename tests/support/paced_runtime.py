"""`python -m support.paced_runtime`: a runtime whose toy engine takes `EASEL_TEST_STEP_SECONDS` for each of four steps.

It sleeps meanwhile, so that what it can do depends on no processor, and what is left of the machine is the gateway's.
"""

import os
import threading
from typing import Final

from easel_runtime.__main__ import serve
from easel_runtime.settings import Settings
from support.engines import ToyEngine

STEP_SECONDS: Final = "EASEL_TEST_STEP_SECONDS"


def main() -> None:
    seconds = float(os.environ[STEP_SECONDS])
    engine, never = ToyEngine(), threading.Event()
    engine.before_step = lambda: never.wait(seconds)
    serve(Settings(), engine)


if __name__ == "__main__":
    main()
