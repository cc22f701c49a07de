"""The words that the picture side is trained with, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from lexiseg.device import generator
from lexiseg.models.tiny.text import TextTower, tokenise
from lexiseg.prompts import DEFAULT_BACKGROUND

__all__ = ["SetWords", "WordBank", "build_bank"]

_PHRASINGS = ("{}", "a photo of a {}", "the {}", "an image of a {}", "{} in the scene")
# Two words this near in meaning are the same word: one of them need not compete with the other.
_SYNONYMS = 0.85


@dataclass(frozen=True)
class SetWords:
    """The rows of a data set's classes in the bank, (C,), and which class is the background."""

    rows: Tensor
    background_index: int | None = None


@dataclass(frozen=True)
class WordBank:
    """Meanings of every word in several phrasings, and which rows stand for what.

    meanings: (V, W, 384), V phrasings of W words, unit length; the first is the bare word. sets:
    of the data sets, in their order; no rows for a set without labels. stuff: rows of the words
    of the teacher of stuff, or none. background: rows of the default background words. further:
    rows of words that no set names. synonyms: (W, W) bool, words taken as the same.

    The first ``num_named`` words are those of the sets and of that teacher.
    """

    words: tuple[str, ...]
    meanings: Tensor
    sets: tuple[SetWords, ...]
    background: Tensor
    further: Tensor
    synonyms: Tensor
    stuff: Tensor
    num_named: int

    def to(self, device: torch.device) -> WordBank:
        """Return the bank on a device."""
        sets = tuple(replace(one, rows=one.rows.to(device)) for one in self.sets)
        moved = {
            name: getattr(self, name).to(device)
            for name in ("meanings", "background", "further", "synonyms", "stuff")
        }
        return replace(self, sets=sets, **moved)

    def augmented(self, noise: float, seed: int) -> Tensor:
        """Return one phrasing a word with a little noise, (W, 384), unit length."""
        device = self.meanings.device
        rng = generator(seed, device)
        phrasings, words, dim = self.meanings.shape
        chosen = torch.randint(phrasings, (words,), generator=rng, device=device)
        bare = torch.rand(words, generator=rng, device=device) < 0.5  # half of the time
        chosen = torch.where(bare, 0, chosen)
        meanings = self.meanings[chosen, torch.arange(words, device=device)]
        shift = torch.randn(words, dim, generator=rng, device=device) * (noise / dim**0.5)
        return F.normalize(meanings + shift, dim=-1)


@torch.no_grad()
def build_bank(
    sets: Sequence[tuple[Sequence[str], int | None]],
    further: Sequence[str],
    tower: TextTower,
    tokenizer: Tokenizer,
    stuff: Sequence[str] = (),
) -> WordBank:
    """Return the bank for data sets, each of its classes and which of these is the background.

    further: words beside those of the sets. stuff: words of the teacher of stuff.
    """
    named = list(dict.fromkeys([*(name for names, _ in sets for name in names), *stuff]))
    words = list(dict.fromkeys([*named, *DEFAULT_BACKGROUND, *further]))
    row = {word: i for i, word in enumerate(words)}

    def rows(names: Sequence[str]) -> Tensor:
        return torch.tensor([row[name] for name in names], dtype=torch.long)

    tower.eval()
    texts = [[phrasing.format(word) for word in words] for phrasing in _PHRASINGS]
    tokens = (tokenise(tokenizer, some, tower.config.max_tokens) for some in texts)
    meanings = torch.stack([tower(*some) for some in tokens])
    return WordBank(
        tuple(words),
        meanings,
        tuple(SetWords(rows(names), background) for names, background in sets),
        rows(DEFAULT_BACKGROUND),
        rows(further),
        meanings[0] @ meanings[0].T > _SYNONYMS,
        rows(stuff),
        len(named),
    )
