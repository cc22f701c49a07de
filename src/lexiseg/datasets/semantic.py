"""A data set for semantic segmentation: photos, and the class of each of their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lexiseg.datasets.annotations import Labels, Truth
from lexiseg.errors import UnknownName

__all__ = ["Sample", "SemanticDataset"]


@dataclass(frozen=True)
class Sample:
    """One photo: its id (unique in its data set), its file, and where its class mask comes from."""

    id: str
    path: Path
    truth: Truth

    def labels(self, size_hw: tuple[int, int]) -> Labels:
        """Return the class indices, (H, W), for the photo's upright size; see `Truth`."""
        return self.truth.labels(size_hw)


@dataclass(frozen=True)
class SemanticDataset:
    """Photos with class masks, in a fixed order; `len`, iteration and `[i]` as a tuple.

    `classes` are the names as they stand; `background_index` is None where every pixel has a
    name; pixels of `ignore_index` do not count. `groups` are sets of classes that papers report
    apart, as class indices: {"base": (0, ...), "novel": (4, ...)}.
    """

    name: str
    title: str
    split: str
    classes: tuple[str, ...]
    background_index: int | None
    ignore_index: int
    samples: tuple[Sample, ...]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, position: int) -> Sample:
        return self.samples[position]

    def first(self, count: int) -> SemanticDataset:
        """Return the set with its first `count` photos only."""
        return replace(self, samples=self.samples[:count])

    def subset(self, ids: Iterable[str]) -> SemanticDataset:
        """Return the set with these photos, in this order; UnknownName for an id it lacks."""
        by_id = {sample.id: sample for sample in self.samples}
        selected = []
        for wanted in ids:
            if wanted not in by_id:
                raise UnknownName.among(f"photo of {self.name}/{self.split}", wanted, by_id)
            selected.append(by_id[wanted])
        return replace(self, samples=tuple(selected))
