"""`python -m lexiseg`: the same as the command `lexiseg`."""

from __future__ import annotations

import sys

from lexiseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
