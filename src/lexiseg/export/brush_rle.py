"""Label Studio's brush strokes: run lengths of RGBA bytes, bit by bit, as thi.ng/rle-pack has them.

A stream begins with 32 bits for the number of bytes, 5 for the size of a word less 1, and 4 times 4
for four sizes of counters less 1. Then blocks: a bit that tells whether one word is repeated or
words follow one by one; 2 bits for the size of the counter; the count less 1; the word or words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["brush_decode", "brush_encode"]

_WORD = 8
_COUNTERS = (3, 4, 8, 16)
_LONGEST = 1 << _COUNTERS[-1]


def brush_encode(mask: NDArray[np.bool_]) -> list[int]:
    """Return a mask, (H, W), as the bytes of a stroke: 255 in all four channels where it is."""
    flat = mask.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [len(flat)]])
    lengths = 4 * np.diff(bounds)
    value = np.where(flat[bounds[:-1]], 255, 0)
    # Runs beyond the largest counter become several.
    blocks = -(-lengths // _LONGEST)
    value = np.repeat(value, blocks)
    counts = np.full(int(blocks.sum()), _LONGEST, np.int64)
    counts[np.cumsum(blocks) - 1] = lengths - (blocks - 1) * _LONGEST
    kind = np.searchsorted([1 << bits for bits in _COUNTERS], counts)
    bits = np.array(_COUNTERS)[kind]
    code = (((0b100 | kind) << bits | (counts - 1)) << _WORD) | value
    size = 3 + bits + _WORD
    widest = 3 + _COUNTERS[-1] + _WORD
    table = (code[:, None] >> np.arange(widest - 1, -1, -1)) & 1
    used = np.arange(widest - 1, -1, -1) < size[:, None]
    head = f"{4 * len(flat):032b}{_WORD - 1:05b}" + "".join(f"{b - 1:04b}" for b in _COUNTERS)
    stream = np.concatenate([np.array(list(head), np.uint8), table[used].astype(np.uint8)])
    out: list[int] = np.packbits(stream).tolist()
    return out


def brush_decode(stroke: Sequence[int], count: int) -> NDArray[np.uint8]:
    """Return the `count` bytes of a stroke, four a pixel; raises ValueError where it has others."""
    data = bytes(stroke)
    end, at = 8 * len(data), 0

    def take(bits: int) -> int:
        nonlocal at
        stop = at + bits
        if stop > end:
            raise ValueError("a brush stroke that is cut off")
        first, last = at // 8, -(-stop // 8)
        chunk = int.from_bytes(data[first:last], "big") >> (8 * last - stop)
        at = stop
        return chunk & ((1 << bits) - 1)

    total, word = take(32), take(5) + 1
    counters = [take(4) + 1 for _ in range(4)]
    if word != _WORD or total != count:
        raise ValueError(f"a brush stroke of {total} words of {word} bits, not {count} of {_WORD}")
    out = np.zeros(total, np.uint8)
    i = 0
    while i < total:
        repeated = take(1)
        j = i + 1 + take(counters[take(2)])
        if j > total:
            raise ValueError("a brush stroke that is longer than it says")
        if repeated:
            out[i:j] = take(word)
        else:
            for place in range(i, j):
                out[place] = take(word)
        i = j
    return out
