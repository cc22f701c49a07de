"""The vocabulary that a call asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lexiseg.errors import OptionError, UnknownName
from lexiseg.prompts import Like, Vocabulary

__all__ = ["Words", "parse_vocabulary"]

Words = str | Like | Sequence[str | Like] | Vocabulary


class _Settings(Protocol):
    """What Configs of methods that look for words have in common."""

    @property
    def background(self) -> tuple[str, ...]: ...

    @property
    def word_thresholds(self) -> Mapping[str, float]: ...


def parse_vocabulary(
    words: Words, background: str | Sequence[str] | None, config: _Settings
) -> Vocabulary:
    """Return words as a Vocabulary, against the background words of the call or of the Config.

    Raises PromptError for words that cannot be asked, OptionError where a Vocabulary is given a
    second background, UnknownName for a threshold of a word that was not asked.
    """
    if not isinstance(words, Vocabulary):
        words = Vocabulary.parse(words, background=background, default_background=config.background)
    elif background != "default":
        raise OptionError(
            f"background is {background!r}, but a Vocabulary has its own; give one of the two"
        )
    for word in config.word_thresholds:
        if word not in words.names:
            raise UnknownName.among("word of the vocabulary", word, words.names)
    return words
