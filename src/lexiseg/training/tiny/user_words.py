"""`lexiseg train words`: teach a bundle words of one's own, from a folder of labelled photos.

The head learns on features that are kept (see ``head``). What it knew stays: on the user's photos
it is to say of its known words what it said before (learning without forgetting, Li and Hoiem
2016), and known words are to stay where they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.datasets import SemanticDataset, open_semantic
from lexiseg.errors import InputError
from lexiseg.models.tiny.text import tokenise
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.prompts import DEFAULT_BACKGROUND
from lexiseg.training.loop import FitSettings, RunOptions
from lexiseg.training.run_folder import RunFolder
from lexiseg.training.tiny.bundle import Bundle, read_bundle, rewrite_bundle
from lexiseg.training.tiny.features import FeatureSampling, FeatureStore
from lexiseg.training.tiny.head import FeatureBatch, fit_head
from lexiseg.training.tiny.losses import word_loss
from lexiseg.training.tiny.negatives import NegativeSampling
from lexiseg.training.tiny.queries import Queries, QuerySampler
from lexiseg.training.tiny.words import WordBank, build_bank

__all__ = ["WordsRecipe", "forgetting_loss", "train_words"]

_BACKGROUND = "background"
_MANY = 32  # photos: of fewer, none is held out


@dataclass(frozen=True)
class WordsRecipe(FitSettings):
    """How a bundle learns words of one's own.

    batch: views a step. subset_share: of the views, of which only a part of the words is queried.
    negatives: known words that compete where a new word is labelled. max_similarity: of their
    meanings to the new words', so that "vehicle" need not lose against "my car". keep_weight: of
    what was known before, at the places of the photos. anchor_weight: of the known words' vectors.
    """

    steps: int = 400
    lr: float = 1e-3
    warmup_steps: int = 20
    weight_decay: float = 0.0
    ema_decay: float | None = 0.98
    save_every: int = 100
    batch: int = 16
    subset_share: float = 0.3
    negatives: int = 40
    max_similarity: float = 0.55
    dice_weight: float = 0.3
    keep_weight: float = 1.0
    anchor_weight: float = 1.0
    noise: float = 0.15
    evaluate_every: int = 50
    sampling: FeatureSampling = field(default_factory=lambda: FeatureSampling(views=8, places=384))


@dataclass(frozen=True)
class _Known:
    """What the bundle knew: its net, its words' meanings (K, 384), with the background words."""

    net: VisionNet
    meanings: Tensor

    @classmethod
    def of(cls, bundle: Bundle) -> _Known:
        words = list(dict.fromkeys([*bundle.known_words, *DEFAULT_BACKGROUND]))
        tokens = tokenise(bundle.tokenizer, words, bundle.tower.config.max_tokens)
        with torch.no_grad():
            meanings = bundle.tower(*tokens)
        return cls(copy.deepcopy(bundle.net).eval().requires_grad_(False), meanings)


def train_words(
    data: str | Path,
    out: str | Path,
    recipe: WordsRecipe | None = None,
    *,
    bundle: str | Path = "tiny",
    only: Sequence[str] | None = None,
    options: RunOptions | None = None,
) -> Path | None:
    """Teach a bundle the classes of labelled photos, and write the new one to ``out/bundle``.

    data: a data set in the plain layout, or a folder of such, each with a split "train"; its class
    names are the words. Of 32 photos or more a sixteenth, by their names, is held out and chooses
    the best weights. bundle: "tiny", or a folder. Returns the bundle's folder, or None when
    ``options.stop_after`` ended the run. Raises InputError where there is nothing to learn,
    OptionError where the run in ``out`` has other settings.
    """
    recipe, out, options = recipe or WordsRecipe(), Path(out), options or RunOptions()
    sets = list(open_semantic(data, "train", only=only))
    words = list(dict.fromkeys(n for s in sets for n in s.classes if n != _BACKGROUND))
    if not words:
        raise InputError(f"{data} has no class to learn; name some in dataset.json")
    base = read_bundle(bundle)
    photos = sum(map(len, sets))
    store = FeatureStore(
        out / "features",
        sets,
        base.net,
        recipe.sampling,
        hold_out=photos >= _MANY,
        log=options.log,
    )
    options.log(f"{len(words)} words, {photos} photos, {len(store)} views")
    settings = {"recipe": asdict(recipe), "words": words, "data_digest": store.key}
    run = RunFolder(out, settings)
    classes = [(s.classes, s.background_index) for s in sets]
    bank = build_bank(classes, base.known_words, base.tower, base.tokenizer)
    known = _Known.of(base)
    fitted = fit_head(
        base.net, _batches(store, sets, bank, recipe), _step_loss(base.net, known, bank, recipe),
        recipe, run, store, [s.name for s in sets], bank, evaluate_every=recipe.evaluate_every,
        options=options,
    )  # fmt: skip
    if not fitted.finished:
        return None
    return rewrite_bundle(
        base, out / "bundle", fitted.net, words=words, recipe={"words": settings},
        notes=f"{base.checkpoint.record.name} with words taught by `lexiseg train words`",
    )  # fmt: skip


def _batches(
    store: FeatureStore, sets: Sequence[SemanticDataset], bank: WordBank, recipe: WordsRecipe
) -> Callable[[int], FeatureBatch]:
    """Step -> views drawn by their rarest class, with known words as negatives."""
    trained = np.flatnonzero(~store.held_out)
    own = np.unique(np.concatenate([s.rows.numpy() for s in bank.sets]))
    similar = (bank.meanings[0][bank.further] @ bank.meanings[0][own].T).amax(1)
    others = bank.further[similar < recipe.max_similarity].numpy()
    rarity, count = _rarity(store, trained), len(bank.words)
    sampler = QuerySampler(bank, sets, NegativeSampling(share=0.0), recipe.subset_share)

    def make_batch(step: int) -> FeatureBatch:
        rng = np.random.default_rng([recipe.seed, step])
        chosen = rng.choice(trained, recipe.batch, p=rarity)
        drawn = sampler.draw(
            torch.from_numpy(store.sets[chosen]), torch.from_numpy(store.labels[chosen]), rng
        )
        # All words of the bank compete in place of the sets' alone. A known word may well be in
        # the background, which the user does not name.
        targets = torch.where(drawn.targets == bank.num_named, count, drawn.targets)
        known = torch.zeros(recipe.batch, count, dtype=torch.bool)
        for one in known:
            one[torch.from_numpy(rng.permutation(others)[: recipe.negatives])] = True
        words = F.pad(drawn.words, (0, count - bank.num_named)) | known
        # Always: the background words compete also where the photos name no background.
        background = torch.ones(recipe.batch, dtype=torch.bool)
        features = torch.from_numpy(store.features[chosen]).float()
        queries = Queries(words, background, targets, tolerated=known)
        return FeatureBatch(features, queries, int(rng.integers(2**31)))

    return make_batch


def _rarity(store: FeatureStore, views: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each view is drawn: by the rarest class in it, as one over its views' root."""
    counts: dict[tuple[int, int], int] = {}
    shown = [[(int(store.sets[v]), int(c)) for c in np.unique(store.labels[v])] for v in views]
    for own in shown:
        for one in own:
            counts[one] = counts.get(one, 0) + 1
    weights = np.array([max(counts[one] ** -0.5 for one in own) for own in shown])
    return np.asarray(weights / weights.sum())


def _step_loss(
    net: VisionNet, known: _Known, bank: WordBank, recipe: WordsRecipe
) -> Callable[[FeatureBatch, int], tuple[Tensor, Mapping[str, float | Tensor]]]:
    def step_loss(batch: FeatureBatch, step: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        vectors = net.project(bank.augmented(recipe.noise, batch.seed))
        loss, accuracy = word_loss(
            net.embed(batch.features), batch.queries, bank, vectors, net.scale(),
            dice_weight=recipe.dice_weight, dice_from=recipe.sampling.num_balanced,
        )  # fmt: skip
        places, words = forgetting_loss(net, known.net, batch.features, known.meanings)
        total = loss + recipe.keep_weight * places + recipe.anchor_weight * words
        return total, {"accuracy": accuracy, "kept": places.detach(), "anchor": words.detach()}

    return step_loss


def forgetting_loss(
    net: VisionNet, before: VisionNet, features: Tensor, meanings: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what a net has forgotten: at places, and of words.

    features: (B, P, F); meanings: (K, 384) of known words. The first is the mean divergence (KL)
    of the probabilities over these words from those before, the second the mean of one less the
    cosine of each word's vector with the one before.
    """
    with torch.no_grad():
        old_vectors = before.project(meanings)
        old = (before.scale() * before.embed(features) @ old_vectors.T).log_softmax(-1)
    vectors = net.project(meanings)
    new = (net.scale() * net.embed(features) @ vectors.T).log_softmax(-1)
    places = F.kl_div(new, old, reduction="none", log_target=True).sum(-1).mean()
    return places, (1 - (vectors * old_vectors).sum(-1)).mean()
