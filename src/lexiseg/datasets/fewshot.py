"""Data sets for few-shot segmentation: photos with class masks, and the episodes of a fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets.annotations import MaskFile
from lexiseg.datasets.episodes import Episode, pfenet_episodes
from lexiseg.datasets.semantic import Sample
from lexiseg.errors import InputError

__all__ = ["FewShotDataset", "class_areas", "draw_pfenet"]


@dataclass(frozen=True)
class FewShotDataset:
    """One fold: the classes that are new in it, its photos by id, and how episodes are drawn.

    protocol: whose episodes they are, "hsnet" or "pfenet", see ``lexiseg.datasets.episodes``.
    classes: the names of all classes; class_ids: those of this fold. In the masks of `samples`
    class c is c + 1, 0 is everything else, and `ignore_index` does not count.
    """

    name: str
    title: str
    split: str
    protocol: str
    classes: tuple[str, ...]
    class_ids: tuple[int, ...]
    samples: Mapping[str, Sample]
    draw: Callable[..., tuple[Episode, ...]]
    ignore_index: int = 255

    def __len__(self) -> int:
        return len(self.samples)

    def episodes(
        self, *, shots: int = 1, seed: int | None = None, count: int | None = None
    ) -> tuple[Episode, ...]:
        """Return the episodes, those of the published run if seed and count are left out.

        FSS-1000 has one for each photo, of which the first `count` are returned.
        """
        given = {"seed": seed, "count": count}
        return self.draw(shots=shots, **{k: v for k, v in given.items() if v is not None})

    def mask(
        self, photo: str, class_id: int, size_hw: tuple[int, int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where a photo shows a class, and which of its pixels do not count, (H, W) each."""
        labels = self.samples[photo].labels(size_hw)
        return labels == class_id + 1, labels == self.ignore_index


def class_areas(samples: Iterable[Sample]) -> list[tuple[str, dict[int, int]]]:
    """Return how many pixels of each class every photo holds: what PFENet's episodes need.

    Reads every mask. The masks are those of a ``FewShotDataset``, as files.
    """
    areas = []
    for sample in samples:
        truth = sample.truth
        if not isinstance(truth, MaskFile):
            raise InputError(f"{sample.id} has no mask file; its classes cannot be counted")
        pixels = imaging.read_indices(truth.path)
        labels, counts = np.unique(truth.indices(pixels, pixels.shape), return_counts=True)
        held = {
            int(label) - 1: int(count)
            for label, count in zip(labels, counts, strict=True)
            if label not in (0, truth.ignore_index)
        }
        areas.append((sample.id, held))
    return areas


def draw_pfenet(
    samples: Sequence[Sample],
    class_ids: Sequence[int],
    *,
    shots: int,
    count: int,
    seed: int = 321,
) -> tuple[Episode, ...]:
    """Return PFENet's episodes of a fold's photos; arguments as of ``pfenet_episodes``."""
    areas = class_areas(samples)
    return pfenet_episodes(areas, class_ids, shots=shots, seed=seed, count=count)
