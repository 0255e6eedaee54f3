"""``python -m panloom.engine``: the same as the ``panloom`` command."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
