"""Photos with phrases and the mask of each: what prompt decoders are trained on.

Read from every data set of ``lexiseg.datasets`` that has phrases or class masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lexiseg.datasets import InstanceDataset, PhraseDataset, SemanticDataset, open_datasets
from lexiseg.datasets.annotations import Truth
from lexiseg.datasets.phrases import PhraseSample
from lexiseg.errors import InputError
from lexiseg.training.run_folder import label_source

__all__ = ["LabelledPhoto", "PhraseSet", "from_plain", "open_phrases"]

MaskOf = Callable[[str, tuple[int, int]], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo and what it shows.

    mask: (phrase, size_hw) -> (H, W) bool, empty for another phrase. source: the file of the
    masks, or a text that says the same. ignored: size_hw -> (H, W) bool, what does not count.
    """

    id: str
    path: Path
    phrases: tuple[str, ...]
    mask: MaskOf
    source: Path | str
    ignored: Callable[[tuple[int, int]], NDArray[np.bool_]] | None = None


@dataclass(frozen=True, eq=False)
class PhraseSet:
    """Photos, and all phrases that there are."""

    name: str
    photos: tuple[LabelledPhoto, ...]

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p for photo in self.photos for p in photo.phrases))

    @cached_property
    def by_phrase(self) -> dict[str, list[int]]:
        """Phrase -> the photos that show it."""
        out: dict[str, list[int]] = {}
        for i, photo in enumerate(self.photos):
            for phrase in photo.phrases:
                out.setdefault(phrase, []).append(i)
        return out


def open_phrases(
    root: str | Path,
    split: str = "train",
    *,
    only: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[PhraseSet]:
    """Open what a folder holds: a published data set, a plain one, or several of them.

    only: names of sets. limit: photos of each set with class masks, evenly over the list. Raises
    InputError where it holds none of these.
    """
    sets: list[PhraseSet] = []
    for data in open_datasets(root, split, only=only):
        if isinstance(data, PhraseDataset):
            sets.append(_from_phrases(data))
        elif isinstance(data, InstanceDataset | SemanticDataset):
            masks = data.semantic() if isinstance(data, InstanceDataset) else data
            sets.append(from_plain(masks, limit))
        else:
            raise InputError(f"{data.name} has no phrases and no class masks; give another set")
    return sets


def from_plain(data: SemanticDataset, limit: int | None = None) -> PhraseSet:
    """Return a data set whose phrases are the classes that each photo shows, but the background."""
    count = len(data) if limit is None else min(limit, len(data))
    samples = [data[place * len(data) // count] for place in range(count)]
    photos = (_labelled(s.id, s.path, s.truth, _size_of(s.path), data) for s in samples)
    return PhraseSet(data.name, tuple(one for one in photos if one.phrases))


def _labelled(
    name: str, path: Path, truth: Truth, size_hw: tuple[int, int], data: SemanticDataset
) -> LabelledPhoto:
    """A photo with a class mask."""
    index = {c: i for i, c in enumerate(data.classes)}
    present = set(np.unique(truth.labels(size_hw)).tolist())
    present -= {data.ignore_index, data.background_index}
    last: list[tuple[tuple[int, int], NDArray[np.int32]]] = []

    def labels(size_hw: tuple[int, int]) -> NDArray[np.int32]:
        if not last or last[0][0] != size_hw:
            last[:] = [(size_hw, truth.labels(size_hw))]
        return last[0][1]

    def mask(phrase: str, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        return np.asarray(labels(size_hw) == index.get(phrase, -1))

    def ignored(size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        return np.asarray(labels(size_hw) == data.ignore_index)

    phrases = tuple(data.classes[i] for i in sorted(present))
    return LabelledPhoto(name, path, phrases, mask, label_source(truth), ignored)


def _from_phrases(data: PhraseDataset) -> PhraseSet:
    """Phrases of one photo together; one that is said twice means all that either means."""
    by_photo: dict[str, dict[str, list[PhraseSample]]] = {}
    for sample in data:
        by_photo.setdefault(sample.image_id, {}).setdefault(sample.phrase, []).append(sample)
    photos = []
    for number, own in by_photo.items():
        first = next(iter(own.values()))[0]
        source = repr([sample.shape for samples in own.values() for sample in samples])
        photos.append(LabelledPhoto(number, first.path, tuple(own), _union_of(own), source))
    return PhraseSet(data.name, tuple(photos))


def _union_of(phrases: dict[str, list[PhraseSample]]) -> MaskOf:
    def mask(phrase: str, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        out = np.zeros(size_hw, np.bool_)
        for sample in phrases.get(phrase, ()):
            out |= sample.mask(size_hw)
        return out

    return mask


def _size_of(path: Path) -> tuple[int, int]:
    """The upright size of a photo, (H, W), from its header."""
    with Image.open(path) as file:
        size = (file.height, file.width)
        return size[::-1] if file.getexif().get(0x0112, 1) >= 5 else size  # turned on its side
