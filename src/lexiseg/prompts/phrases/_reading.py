"""What became of a phrase on a picture: how it was read, and what it means there."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Dropped", "PhraseReading"]


@dataclass(frozen=True)
class Dropped:
    """An instance of a phrase's noun that the phrase does not mean, and why.

    box_xyxy: in pixels of the picture. score: of the noun, in [0, 1].
    """

    box_xyxy: tuple[int, int, int, int]
    score: float
    reason: str


@dataclass(frozen=True)
class PhraseReading:
    """How a phrase was read, and which instances of its noun it means.

    phrase: as it was asked. read_as: as it was understood. nouns: whose instances were looked at.
    num_instances: how many there were; num_kept: how many are meant; dropped: the others. reason:
    why none is meant, as in "2 cars, none of them red: yellow, grey"; None where some are.
    by_whole: what another noun stands to was not found, and the model, asked for the whole phrase,
    said which instances are meant.
    """

    phrase: str
    read_as: str
    nouns: tuple[str, ...]
    num_instances: int
    num_kept: int
    dropped: tuple[Dropped, ...] = ()
    reason: str | None = None
    by_whole: bool = False
