"""Words that are queried in vain: the right answer is that nothing of them is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lexiseg.datasets import Sample, SemanticDataset
from lexiseg.datasets.annotations import Labels
from lexiseg.training.tiny.photos import ABSENT
from lexiseg.training.tiny.words import SetWords, WordBank

__all__ = ["NamedSet", "NegativeSampling", "Negatives", "find_negatives", "open_absent"]

_BODY = ("person", "face", "body", "human body", "skin")
_LIVING = (
    "person", "face", "body", "human body", "pedestrian", "bicyclist", "rider", "bird", "cat",
    "cow", "dog", "horse", "sheep", "bear", "elephant", "zebra", "giraffe", "teddy bear",
)  # fmt: skip
# What photos of a set may show although the set names it otherwise, or not at all.
_POSSIBLE = {
    "celebamask": (
        "tie", "handbag", "backpack", "umbrella", "suitcase", "cell phone", "chair", "bench",
    ),
    "ccp": ("tie", "handbag", "backpack", "umbrella", "suitcase", "cell phone", "chair", "bench"),
    "camvid": (
        "bus", "truck", "bicycle", "motorcycle", "motorbike", "person", "train", "traffic light",
        "stop sign", "parking meter", "fire hydrant", "bench",
    ),
}  # fmt: skip
_ABSENT_WORDS = (
    "person", "face", "human body", "pedestrian", "bicyclist", "car", "chair", "dining table",
    "bicycle", "boat", "sofa", "couch", "bottle", "cup",
)  # fmt: skip


class NamedSet(Protocol):
    """A data set's name, and the names of its classes."""

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def background_index(self) -> int | None: ...


@dataclass(frozen=True)
class NegativeSampling:
    """Which words of other sets compete on a photo although it cannot show them.

    share: of the photos have such words, of each up to ``max_fraction`` of those that are
    possible: whose meaning's cosine is below ``max_similarity`` to every word of the photo's own
    set, and below ``max_background`` to every background word. stuff_sets: whose words may be
    anywhere, unlabelled. body_sets, body_words: no parts and clothes of bodies where one of
    ``living_words`` is labelled. possible: by set, what its photos may show without a label.

    absent_words: what is queried in vain on photos of animals (ImageNet's, of the synsets
    ``absent_wnids``, from first to last).
    """

    share: float = 0.6
    max_fraction: float = 0.25
    max_similarity: float = 0.55
    max_background: float = 0.6
    stuff_sets: tuple[str, ...] = ("coco-panoptic", "camvid", "facade")
    body_sets: tuple[str, ...] = ("celebamask", "ccp")
    body_words: tuple[str, ...] = _BODY
    living_words: tuple[str, ...] = _LIVING
    possible: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(_POSSIBLE))
    absent_words: tuple[str, ...] = _ABSENT_WORDS
    absent_wnids: tuple[str, str] = ("n01440764", "n02487347")


@dataclass(frozen=True, eq=False)
class Negatives:
    """Which words a photo cannot show.

    candidates: (S, C) bool, by data set. bodies: (C,) bool, of these the words of parts and
    clothes of bodies. living: (S, 256) bool, the class indices that say that something lives.
    """

    candidates: Tensor
    bodies: Tensor
    living: Tensor


def find_negatives(bank: WordBank, sets: Sequence[NamedSet], how: NegativeSampling) -> Negatives:
    """Return which of the bank's first C words may be queried in vain on photos of each set.

    sets: of the bank, in its order.
    """
    count = bank.num_named
    named, words = bank.meanings[0][:count], bank.words[:count]
    near_background = (named @ bank.meanings[0][bank.background].T).amax(1) >= how.max_background

    def rows_of(one: SetWords) -> Tensor:
        out = torch.zeros(count, dtype=torch.bool)
        out[one.rows] = True
        return out

    def rows_named(names: Sequence[str]) -> Tensor:
        return torch.tensor([word in names for word in words])

    usable, bodies = torch.zeros(2, count, dtype=torch.bool)
    for one, own in zip(sets, bank.sets, strict=True):
        if one.name not in (*how.stuff_sets, ABSENT):
            usable |= rows_of(own)
        if one.name in how.body_sets:
            bodies |= rows_of(own)
    bodies |= usable & rows_named(how.body_words)
    candidates = torch.zeros(len(sets), count, dtype=torch.bool)
    living = torch.zeros(len(sets), 256, dtype=torch.bool)
    for s, (one, own) in enumerate(zip(sets, bank.sets, strict=True)):
        living[s, [k for k, c in enumerate(one.classes) if c in how.living_words]] = True
        if one.name == ABSENT or not len(own.rows):
            continue  # of photos that only say what they lack, nothing else is known
        near = (named @ bank.meanings[0][own.rows].T).amax(1) >= how.max_similarity
        barred = near_background | near | rows_named(how.possible.get(one.name, ()))
        if one.name in how.body_sets:
            barred = barred | bodies
        candidates[s] = usable & ~barred
    return Negatives(candidates, bodies, living)


@dataclass(frozen=True)
class _AllBackground:
    """The class mask of a photo that shows none of the words."""

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        return np.zeros(size_hw, np.int32)


def open_absent(folder: Path, how: NegativeSampling) -> SemanticDataset | None:
    """Return ImageNet's photos of animals as a set on which ``how.absent_words`` are in vain.

    folder: ``train/images/<wnid>.webp``; photos of which ``seeds/<wnid>.png`` says that somebody
    is there (class 0) are left out. None where there are no such photos.
    """
    first, last = how.absent_wnids
    samples = [
        Sample(path.stem, path, _AllBackground())
        for path in sorted((folder / "train" / "images").glob("n*"))
        if first <= path.stem.split("_")[0] <= last
        and not _shows_person(folder / "seeds" / f"{path.stem}.png")
    ]
    if not samples or not how.absent_words:
        return None
    classes = ("background", *how.absent_words)
    return SemanticDataset(ABSENT, "photos without", "train", classes, 0, 255, tuple(samples))


def _shows_person(seeds: Path) -> bool:
    from lexiseg import imaging

    return seeds.is_file() and bool((imaging.read(seeds).rgb[..., 0] == 0).any())
