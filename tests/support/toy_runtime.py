"""`python -m support.toy_runtime PIPE [ERROR]`: a runtime as a process, its toy engine stepping by a named pipe.

With ERROR, the first request fails as a model does that raises a RuntimeError of this text.
"""

import sys
from pathlib import Path

from easel_runtime.__main__ import serve
from easel_runtime.settings import Settings
from support.engines import stepping_by


def main() -> None:
    engine = stepping_by(Path(sys.argv[1]))
    engine.errors = [RuntimeError(text) for text in sys.argv[2:]]
    serve(Settings(), engine)


if __name__ == "__main__":
    main()
