"""`python -m support.toy_runtime [PIPE [ERROR]]`: a runtime as a process, its toy engine stepping by a named pipe.

Without PIPE it steps by itself. With ERROR, the first request fails as a model does that raises a RuntimeError of
this text.
"""

import sys
from pathlib import Path

from easel_runtime.__main__ import serve
from easel_runtime.settings import Settings
from support.engines import ToyEngine, stepping_by


def main() -> None:
    pipe, errors = sys.argv[1:2], sys.argv[2:]
    engine = stepping_by(Path(pipe[0])) if pipe else ToyEngine()
    engine.errors = [RuntimeError(text) for text in errors]
    serve(Settings(), engine)


if __name__ == "__main__":
    main()
