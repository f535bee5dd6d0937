"""Entry of the server: standard input and output, or streamable HTTP with `--http HOST:PORT`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from runtime.application import main  # noqa: E402

if __name__ == "__main__":
    main(Path(__file__).resolve().parent)
