"""What a user asks for, made exact: words, examples, points and boxes, sentences around words."""

from __future__ import annotations

from lexiseg.prompts.clicks import Clicks
from lexiseg.prompts.examples import Example, Like
from lexiseg.prompts.lexicon import general_terms, group_synonyms, is_name
from lexiseg.prompts.templates import TEMPLATES, template_sentences
from lexiseg.prompts.vocabulary import (
    DEFAULT_BACKGROUND,
    Query,
    Vocabulary,
    Word,
    clean,
    find_word,
    split_words,
)

__all__ = [
    "DEFAULT_BACKGROUND", "TEMPLATES", "Clicks", "Example", "Like", "Query", "Vocabulary", "Word",
    "clean", "find_word", "general_terms", "group_synonyms", "is_name", "split_words",
    "template_sentences",
]  # fmt: skip
