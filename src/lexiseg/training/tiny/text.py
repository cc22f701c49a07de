"""Stage one of the recipe: distil the text tower from a sentence encoder over a wide vocabulary."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from lexiseg.device import seeded
from lexiseg.models.sentence import SentenceEncoder
from lexiseg.models.tiny.text import TextConfig, TextTower, tokenise
from lexiseg.training.loop import FitSettings, RunOptions, fit
from lexiseg.training.run_folder import RunFolder, save_atomically
from lexiseg.training.tiny.bundle import TOKENIZER
from lexiseg.training.tiny.corpus import (
    Corpus,
    Teacher,
    build_corpus,
    common_words,
    frequent_pieces,
    vary,
)
from lexiseg.training.wordnet import Nouns

__all__ = ["TextRecipe", "make_tokenizer", "pieces_of", "start_from_teacher", "train_text"]


# How often a text of each kind is drawn: names (drawn by ``name_share``), everyday nouns, other
# nouns, phrases.
_KIND_WEIGHTS = np.array([0.0, 5.0, 0.4, 1.2])


@dataclass(frozen=True)
class TextRecipe(FitSettings):
    """Everything that decides the text tower, but for the names to know.

    num_phrases: made-up phrases beside the nouns. num_pieces: parts of words, for words that are
    no tokens themselves. relation_weight: of the similarities within a batch, beside each text's
    own (relational distillation, Park et al. 2019). name_share: of every batch that are names to
    know. chunks: parts of a batch by length, so that little is padded. wordnet: the folder of
    WordNet's files.
    """

    steps: int = 1300
    lr: float = 2e-3
    warmup_steps: int = 100
    save_every: int = 200
    batch: int = 448
    num_phrases: int = 30_000
    num_pieces: int = 6_000
    relation_weight: float = 4.0
    name_share: float = 0.15
    chunks: int = 6
    wordnet: str | None = None


@dataclass(frozen=True)
class _Batch:
    """Token ids with their masks, in chunks, and the targets (B, 384) in the chunks' order."""

    tokens: list[tuple[Tensor, Tensor]]
    targets: Tensor


def train_text(
    names: Sequence[str],
    out: Path,
    recipe: TextRecipe | None = None,
    config: TextConfig | None = None,
    *,
    teacher: Teacher | None = None,
    options: RunOptions | None = None,
) -> tuple[TextTower, Tokenizer]:
    """Train a tower and its tokenizer on the names and WordNet, or continue the run in ``out``.

    teacher: a sentence encoder, by default MiniLM; it is asked once, and its answers are kept in
    ``out``. Raises OptionError where the run in ``out`` has other settings.
    """
    recipe, config = recipe or TextRecipe(), config or TextConfig()
    settings = {"recipe": asdict(recipe), "tower": asdict(config), "names": list(names)}
    run = RunFolder(out, settings)
    options = options or RunOptions()
    corpus, tokenizer, views = _prepare(names, out, recipe, teacher, options.log)
    with seeded(recipe.seed):
        tower = TextTower(replace(config, vocab_size=tokenizer.get_vocab_size()))
    if not run.checkpoint.is_file():
        start_from_teacher(tower, tokenizer, corpus, views)
    weights = _KIND_WEIGHTS[corpus.kinds] / _KIND_WEIGHTS[corpus.kinds].sum()
    num_names = int(recipe.batch * recipe.name_share)

    def make_batch(step: int) -> _Batch:
        rng = np.random.default_rng([recipe.seed, step])
        names = rng.integers(0, corpus.num_names, num_names)
        others = rng.choice(len(corpus.texts), recipe.batch - num_names, p=weights)
        rows = np.concatenate([names, others])
        texts = [vary(corpus.texts[i], rng) for i in rows]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        tokens = [
            tokenise(tokenizer, [texts[i] for i in part], config.max_tokens)
            for part in np.array_split(order, recipe.chunks)
        ]
        return _Batch(tokens, corpus.targets[rows[order]])

    def step_loss(batch: _Batch, step: int) -> tuple[Tensor, Mapping[str, float]]:
        meanings = torch.cat([tower(*part) for part in batch.tokens])
        cosine = (meanings * batch.targets).sum(-1).mean()
        relation = (meanings @ meanings.T - batch.targets @ batch.targets.T).square().mean()
        loss = 1 - cosine + recipe.relation_weight * relation
        return loss, {"cosine": float(cosine.detach()), "relation": float(relation.detach())}

    fit(tower, make_batch, step_loss, recipe, run, options=options)
    return tower, tokenizer


def _prepare(
    names: Sequence[str], out: Path, recipe: TextRecipe, teacher: Teacher | None,
    log: Callable[[str], None],
) -> tuple[Corpus, Tokenizer, Tensor]:  # fmt: skip
    """The corpus, the tokenizer, and the teacher's meanings of its tokens; kept once made."""
    key = json.dumps([list(names), recipe.num_phrases, recipe.num_pieces, recipe.seed])
    path = out / "corpus.pt"
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        if saved["key"] == key:
            corpus = Corpus(
                saved["texts"], saved["targets"], saved["kinds"].numpy(), saved["num_names"]
            )
            return corpus, Tokenizer.from_file(str(out / TOKENIZER)), saved["views"]
    teacher = teacher or SentenceEncoder()
    nouns = Nouns(recipe.wordnet).lemmas()
    corpus = build_corpus(names, nouns, recipe.num_phrases, recipe.seed, teacher)
    log(f"corpus: {len(corpus.texts)} texts")
    tokenizer = make_tokenizer(corpus, common_words(names, nouns), recipe.num_pieces)
    tokenizer.save(str(out / TOKENIZER))
    views = teacher([piece.removeprefix("##") for piece in pieces_of(tokenizer)])
    kept = {
        "texts": corpus.texts, "targets": corpus.targets, "num_names": corpus.num_names,
        "kinds": torch.from_numpy(corpus.kinds), "views": views, "key": key,
    }  # fmt: skip
    save_atomically(path, kept)
    return corpus, tokenizer, views


def make_tokenizer(corpus: Corpus, whole: Sequence[str], num_pieces: int) -> Tokenizer:
    """Return a tokenizer of ``whole`` words, and ``num_pieces`` parts of words for all others."""
    listed = ["[UNK]", *sorted({*frequent_pieces(corpus, num_pieces), *whole})]
    vocabulary = {piece: i for i, piece in enumerate(listed)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def pieces_of(tokenizer: Tokenizer) -> list[str]:
    """Return all pieces of a tokenizer, in the order of their numbers."""
    numbers = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


@torch.no_grad()
def start_from_teacher(
    tower: TextTower, tokenizer: Tokenizer, corpus: Corpus, views: Tensor
) -> None:
    """Start every token at the principal components of what it means.

    That is the corpus' target for a word of its own, and the teacher's view of any other piece.
    The bag of words then gives the mean meaning back, but for what the components leave out.
    """
    dim = tower.tokens.weight.shape[1]
    row = {text: i for i, text in reversed(list(enumerate(corpus.texts)))}
    meanings = views.clone()
    for i, piece in enumerate(pieces_of(tokenizer)):
        if piece in row:
            meanings[i] = corpus.targets[row[piece]]
    basis = torch.linalg.svd(corpus.targets, full_matrices=False).Vh[:dim]
    parts = meanings @ basis.T
    spread = parts.std()
    tower.tokens.weight[: len(parts)].copy_(parts / spread * 0.1)
    tower.direct.weight.copy_(basis.T * (spread / 0.1))
