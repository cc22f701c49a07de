"""Words that nobody asked for: of all that a model knows, those that an image shows.

All known words compete for the image; those that win enough of it, and surely enough, are its
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexiseg.prompts import group_synonyms, named
from lexiseg.protocols import WordNeighbours

if TYPE_CHECKING:
    from lexiseg.results import Segmentation

__all__ = ["AUTO", "KNOWN", "Evidence", "choose_words", "find_evidence", "known_words"]

AUTO, KNOWN = "@auto", "@known"
# Chosen on train photos of four sets (benchmarks' row `auto`).
_MIN_SHARE, _MIN_SCORE, _MOST = 0.01, 0.5, 12
_OTHERS = "ade20k"  # the words for encoders that have no list of their own
# Names in annotations that nobody would give.
_VAGUE = frozenset(
    {"accessories", "background", "body", "flats", "heels", "intimate", "jumper", "net", "platform",
     "pumps", "sign symbol", "suit", "top", "wedges", "counter", "tick", "ring", "vegetation",
     "pedestrian", "tvmonitor", "motorbike", "wild cat"}
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """A word that wins somewhere: its share of the image, and its mean probability there."""

    word: str
    share: float
    score: float


def known_words(model: object) -> tuple[str, ...]:
    """Return the words that a model knows, as texts with synonyms, "sofa|couch"."""
    words: Sequence[str] = [phrases[0] for phrases in named.read(_OTHERS)[0]]
    if isinstance(model, WordNeighbours):
        words = [word for word in model.known_words if word.casefold() not in _VAGUE]
    return tuple("|".join(group) for group in group_synonyms(words))


def find_evidence(result: Segmentation) -> list[Evidence]:
    """Return the words of a result that were found, the largest first."""
    out = [
        Evidence(word, result.share(word), float(result.word_scores[result.index(word)]))
        for word in result.found
    ]
    return sorted(out, key=lambda one: -one.share)


def choose_words(found: Sequence[Evidence]) -> list[str]:
    """Return the words that are there for sure, at most a dozen; the surest where none is."""
    chosen = [one.word for one in found if one.share >= _MIN_SHARE and one.score >= _MIN_SCORE]
    if not chosen and found:
        chosen = [max(found, key=lambda one: one.share * one.score).word]
    return chosen[:_MOST]
