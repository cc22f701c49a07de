"""Which beginnings texts share, so that a causal tower computes them once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

__all__ = ["shared_beginnings"]

_WORTH = 8  # texts that share a beginning, at least


def shared_beginnings(
    tokens: Sequence[Sequence[int]],
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Texts as tokens -> beginnings, and which of these each text has.

    A text's beginning is the longest that it shares with enough others, and never all of it. All
    texts begin with the start token, so each has one, unless texts are few: then there are none.
    """
    counts = Counter(tuple(ids[:n]) for ids in tokens for n in range(1, len(ids)))
    found: dict[tuple[int, ...], int] = {}
    owners = []
    for ids in tokens:
        shared = next(
            (n for n in range(len(ids) - 1, 0, -1) if counts[tuple(ids[:n])] >= _WORTH), 0
        )
        if not shared:
            return [], []
        owners.append(found.setdefault(tuple(ids[:shared]), len(found)))
    return list(found), owners
