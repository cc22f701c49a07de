"""Words that are queried in vain: the right answer is that nothing of them is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexiseg.datasets import Sample, SemanticDataset
from lexiseg.datasets.annotations import Labels
from lexiseg.training.tiny.words import WordBank

__all__ = ["NegativeSampler", "NegativeSampling", "open_absent"]

ABSENT = "absent"  # the name of the set of photos without the words

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


class NegativeSampler:
    """Draws the words, as rows of the bank, that are queried in vain on a photo of a set."""

    def __init__(
        self, bank: WordBank, sets: Sequence[SemanticDataset], how: NegativeSampling
    ) -> None:
        """sets: of the bank, in its order."""
        self.how = how
        meanings = bank.meanings[0]
        near_background = (meanings @ meanings[bank.background].T).amax(1) >= how.max_background
        rows = {row for one, own in zip(sets, bank.sets, strict=True) for row in own.rows.tolist()
                if one.name not in (*how.stuff_sets, ABSENT)}  # fmt: skip
        of_bodies = {row for one, own in zip(sets, bank.sets, strict=True)
                     if one.name in how.body_sets for row in own.rows.tolist()}  # fmt: skip
        of_bodies |= {row for row in rows if bank.words[row] in how.body_words}
        self._bodies = np.array(sorted(of_bodies), np.int64)
        self._candidates: list[NDArray[np.int64]] = []
        for one, own in zip(sets, bank.sets, strict=True):
            near = near_background | (
                (meanings @ meanings[own.rows].T).amax(1) >= how.max_similarity
            )
            barred = set(np.flatnonzero(near.numpy()).tolist())
            barred |= {r for r in rows if bank.words[r] in how.possible.get(one.name, ())}
            if one.name in how.body_sets:
                barred |= of_bodies
            # Of photos that only say what they lack, nothing else is known.
            fits = [] if one.name == ABSENT else sorted(rows - barred)
            self._candidates.append(np.array(fits, np.int64))
        self._living = [
            np.array([k for k, c in enumerate(one.classes) if c in how.living_words], np.int64)
            for one in sets
        ]

    def candidates(self, number: int, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows that may be queried in vain on a photo of a set with these labels."""
        rows = self._candidates[number]
        if np.isin(labels, self._living[number]).any():
            rows = rows[~np.isin(rows, self._bodies)]
        return rows

    def sample(
        self, number: int, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return some of the candidates' rows, often none."""
        if rng.random() >= self.how.share:
            return np.array([], np.int64)
        rows = self.candidates(number, labels)
        keep: NDArray[np.bool_] = rng.random(len(rows)) < rng.uniform(0, self.how.max_fraction)
        return rows[keep]


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
