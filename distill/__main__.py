"""``python -m distill``: the same as the ``distill`` command."""

from __future__ import annotations

import sys

from distill.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
