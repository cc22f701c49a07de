"""Stage one of the recipe: distil the text tower from a sentence encoder over a wide vocabulary.

A lemma's target is the middle between its own meaning and the mean of its synset's lemmas, so that
rare synonyms ("moo-cow") stand where the everyday word stands. Templates aim at the bare noun.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.models.sentence import SentenceEncoder
from lexiseg.models.tiny.text import TextConfig, TextTower, tokenise
from lexiseg.training.state import save_whole
from lexiseg.training.tiny.wordnet import Noun, read_nouns
from lexiseg.training.tiny.words import ATTRIBUTES, TEMPLATES, spelled

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Corpus", "TextRecipe", "build_corpus", "train_text"]


@dataclass(frozen=True)
class TextRecipe:
    """Everything that decides the text tower, but for the names to know."""

    steps: int = 1300
    rate: float = 2e-3
    batch: int = 448
    warmup: int = 100
    weight_decay: float = 0.01
    phrases: int = 30_000
    pieces: int = 6_000  # for words that are not tokens themselves
    structure: float = 4.0  # weight of the in-batch similarity matrix beside the cosine
    known_share: float = 0.15  # part of every batch drawn from the names to know
    chunks: int = 6
    save_every: int = 200
    seed: int = 0
    wordnet: str | None = None


# How often a text of each kind is drawn: names to know (drawn apart), everyday nouns, other nouns,
# phrases.
_WEIGHTS = np.array([0.0, 5.0, 0.4, 1.2])
_NAME, _EVERYDAY, _OBSCURE, _PHRASE = range(4)


@dataclass(frozen=True)
class Corpus:
    """Texts, their target meanings (T, 384), unit length, and the kind of each (T,)."""

    texts: list[str]
    targets: Tensor
    kinds: np.ndarray
    names: int  # the first so many texts are the names to know, in the order given


def build_corpus(
    names: Sequence[str], recipe: TextRecipe, teacher: Callable[[Sequence[str]], Tensor]
) -> Corpus:
    """Names to know first, then WordNet's nouns, then attribute and pair phrases."""
    rng = np.random.default_rng(recipe.seed)
    nouns = read_nouns(recipe.wordnet)
    lemmas = [n.lemma for n in nouns]
    where = {lemma: i for i, lemma in enumerate(lemmas)}
    own = teacher(lemmas)
    targets = own.clone()
    for i, noun in enumerate(nouns):
        kin = [where[s] for s in noun.synonyms if s in where]
        if kin:
            targets[i] = F.normalize(own[i] + F.normalize(own[kin].mean(0), dim=0), dim=0)

    def meaning(phrases: Sequence[str]) -> Tensor:
        out = teacher(phrases)
        for k, phrase in enumerate(phrases):
            if phrase in where:
                out[k] = targets[where[phrase]]
        return out

    name_targets = meaning([spelled(n) for n in names])
    everyday = [n.lemma for n in nouns if n.tagged > 0]
    drawn = rng.choice(everyday, recipe.phrases)
    attributes = rng.choice(ATTRIBUTES, recipe.phrases)
    seconds = rng.choice(everyday + list(names), recipe.phrases)
    phrases = []
    for k, (a, b, adjective) in enumerate(zip(drawn, seconds, attributes, strict=True)):
        shape = k % 4
        if shape < 2:
            phrases.append(f"{adjective} {b if shape else a}")
        else:
            phrases.append(f"{a} and {b}" if shape == 2 else f"{a} on the {b}")
    texts = [n.lower() for n in names] + lemmas + phrases
    kinds = [_NAME] * len(names)
    kinds += [_EVERYDAY if n.tagged > 0 else _OBSCURE for n in nouns]
    kinds += [_PHRASE] * len(phrases)
    aims = torch.cat([name_targets, targets, teacher(phrases)])
    return Corpus(texts, aims, np.array(kinds), len(names))


def _cached_corpus(names: Sequence[str], recipe: TextRecipe, path: Path) -> Corpus:
    """The corpus with its targets; the teacher's minutes are spent once a folder."""
    key = json.dumps([list(names), recipe.phrases, recipe.seed, recipe.wordnet])
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        if saved["key"] == key:
            return Corpus(saved["texts"], saved["targets"], saved["kinds"].numpy(), saved["names"])
    corpus = build_corpus(names, recipe, SentenceEncoder())
    kept = {
        "key": key,
        "texts": corpus.texts,
        "targets": corpus.targets,
        "kinds": torch.from_numpy(corpus.kinds),
        "names": corpus.names,
    }
    save_whole(path, kept)
    return corpus


def _varied(text: str, rng: np.random.Generator) -> str:
    """Now and then a template or a plural around a bare noun; its target stays the noun's."""
    roll = rng.random()
    if roll < 0.2:
        return str(rng.choice(TEMPLATES)).format(text)
    if roll < 0.3 and not text.endswith("s"):
        return text + ("es" if text.endswith(("ch", "sh", "x")) else "s")
    return text


def _whole_words(names: Sequence[str], nouns: Sequence[Noun]) -> list[str]:
    """Words that are one token each: of the names, of everyday nouns, and names of things.

    A rare word said in pieces ("den", "##im") comes out wrong; said whole, it only has to be
    remembered.
    """
    frequent = Counter(w for n in nouns for w in _parts(n.lemma))
    words = {w for text in (*names, *TEMPLATES, *ATTRIBUTES) for w in _parts(text.format(""))}
    for noun in nouns:
        parts = _parts(noun.lemma)
        if noun.tagged > 0 or (noun.thing and len(parts) == 1):
            words.update(parts)
        elif noun.thing:
            words.update(w for w in parts if frequent[w] >= 3)
    return sorted(words)


def _parts(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _pieces(corpus: Corpus, count: int) -> list[str]:
    """Parts of words that say most of the corpus' letters, and every letter by itself.

    Counted, not merged step by step: the same corpus gives the same pieces. Everyday texts count
    three times.
    """
    words: Counter[str] = Counter()
    for text, kind in zip(corpus.texts, corpus.kinds, strict=True):
        for word in _parts(text):
            words[word] += 1 if kind == _OBSCURE else 3
    letters: set[str] = set()
    found: Counter[str] = Counter()
    for word, times in words.items():
        letters.update(word)
        for start in range(len(word)):
            for end in range(start + 2, min(start + 9, len(word) + 1)):
                found[("##" if start else "") + word[start:end]] += times * (end - start - 1)
    order = sorted(found, key=lambda piece: (-found[piece], piece))
    return [*letters, *(f"##{letter}" for letter in letters), *order[:count]]


def _tokeniser(corpus: Corpus, whole: Sequence[str], pieces: int) -> Tokenizer:
    """Whole words, and parts of words for all others."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    listed = ["[UNK]", *sorted({*_pieces(corpus, pieces), *whole})]
    vocabulary = {piece: i for i, piece in enumerate(listed)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


@torch.no_grad()
def _start_from_teacher(
    tower: TextTower,
    tokenizer: Tokenizer,
    corpus: Corpus,
    teacher: Callable[[Sequence[str]], Tensor],
) -> None:
    """Start every token at its principal components of what it means.

    That is the corpus' target for a word of its own, and the teacher's view of any other piece.
    The bag of words then gives the mean meaning back, but for what the components leave out.
    """
    dim = tower.tokens.weight.shape[1]
    numbers = tokenizer.get_vocab()
    pieces = sorted(numbers, key=numbers.__getitem__)
    row = {text: i for i, text in reversed(list(enumerate(corpus.texts)))}
    views = teacher([piece.removeprefix("##") for piece in pieces])
    for i, piece in enumerate(pieces):
        if piece in row:
            views[i] = corpus.targets[row[piece]]
    basis = torch.linalg.svd(corpus.targets, full_matrices=False).Vh[:dim]
    parts = views @ basis.T
    spread = parts.std()
    tower.tokens.weight[: len(pieces)].copy_(parts / spread * 0.1)
    tower.direct.weight.copy_(basis.T * (spread / 0.1))


def train_text(
    names: Sequence[str],
    out: Path,
    recipe: TextRecipe | None = None,
    config: TextConfig | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> TextTower:
    """Train tokeniser and tower on ``names`` and WordNet; write ``tokenizer.json``, ``text.pt``."""
    from tokenizers import Tokenizer

    recipe, config = recipe or TextRecipe(), config or TextConfig()
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    corpus = _cached_corpus(names, recipe, out / "corpus.pt")
    log(f"corpus: {len(corpus.texts)} texts")
    state, start = out / "text-state.pt", 0
    if state.is_file():
        tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    else:
        whole = _whole_words(names, read_nouns(recipe.wordnet))
        tokenizer = _tokeniser(corpus, whole, recipe.pieces)
        tokenizer.save(str(out / "tokenizer.json"))
    config = replace(config, vocab_size=tokenizer.get_vocab_size())
    tower = TextTower(config)
    if not state.is_file():
        _start_from_teacher(tower, tokenizer, corpus, SentenceEncoder())
    optimiser = torch.optim.AdamW(
        tower.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay
    )
    share = _WEIGHTS[corpus.kinds] / _WEIGHTS[corpus.kinds].sum()
    of_names = int(recipe.batch * recipe.known_share)
    curve: list[dict[str, float]] = []
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        tower.load_state_dict(saved["tower"])
        optimiser.load_state_dict(saved["optimiser"])
        start, curve = saved["step"], saved["curve"]
        log(f"text tower: going on from step {start}")
    for step in range(start, recipe.steps):
        rng = np.random.default_rng([recipe.seed, step])
        rows = np.concatenate(
            [
                rng.integers(0, corpus.names, of_names),
                rng.choice(len(corpus.texts), recipe.batch - of_names, p=share),
            ]
        )
        texts = [_varied(corpus.texts[i], rng) for i in rows]
        # Short and long texts apart: padding would cost more than the texts themselves.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        made = torch.cat(
            [
                tower(*tokenise(tokenizer, [texts[i] for i in part], config.max_tokens))
                for part in np.array_split(order, recipe.chunks)
            ]
        )
        wanted = corpus.targets[rows[order]]
        rate = min(1.0, (step + 1) / recipe.warmup)
        rate *= 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * rate
        direct = (1 - (made * wanted).sum(-1)).mean()
        structure = (made @ made.T - wanted @ wanted.T).square().mean()
        loss = direct + recipe.structure * structure
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            curve.append({"step": step, "cosine": 1 - direct.item(), "loss": loss.item()})
            log(f"text {step}: cosine {1 - direct.item():.4f}, structure {structure.item():.5f}")
        if (step + 1) % recipe.save_every == 0:
            save_whole(
                state,
                {
                    "tower": tower.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step + 1,
                    "curve": curve,
                },
            )
    tower.eval()
    save_whole(out / "text.pt", tower.state_dict())
    (out / "text-log.json").write_text(json.dumps(curve))
    return tower
