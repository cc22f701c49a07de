"""Tables for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["table"]


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: int = 2) -> str:
    """Return `rows` as lines with aligned columns; the columns in `right` end flush.

    The last column may be of any length. Letters that take two places, as in Chinese, count so.
    """
    columns = max((len(row) for row in rows), default=0)
    wide = [
        max((_width(row[c]) for row in rows if c < len(row)), default=0) for c in range(columns)
    ]
    lines = []
    for row in rows:
        cells = []
        for column, cell in enumerate(row):
            gap = " " * (wide[column] - _width(cell))
            cells.append(gap + cell if column in right else cell + gap)
        lines.append(" " * indent + "  ".join(cells).rstrip())
    return "\n".join(lines) + "\n" if lines else ""


def _width(text: str) -> int:
    """How many places `text` takes on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
