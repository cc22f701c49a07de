"""Until ``methods`` import this from where it is."""

from lexiseg.stages.word_vectors import unknown_words

__all__ = ["unknown_words"]
