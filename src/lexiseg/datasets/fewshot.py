"""Data sets for few-shot segmentation: photos with class masks, and the episodes of a fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets.annotations import MaskFile
from lexiseg.datasets.episodes import (
    MIN_AREA,
    Episode,
    hsnet_coco_episodes,
    pfenet_episodes,
)
from lexiseg.datasets.semantic import Sample, SemanticDataset
from lexiseg.errors import InputError, UnknownName

__all__ = ["PROTOCOLS", "FewShotDataset", "class_areas", "draw_pfenet", "episodes_of"]


PROTOCOLS = {"hsnet": "HSNet", "pfenet": "PFENet"}


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


def episodes_of(data: SemanticDataset, protocol: str = "hsnet") -> FewShotDataset:
    """Return a set with class masks as one fold of episodes, all its classes but the background.

    protocol: "hsnet" draws class and query as HSNet does of COCO, "pfenet" as PFENet does. Reads
    every mask; a class counts from the second photo on. Raises UnknownName, and InputError where no
    class has two photos, or masks are no files.
    """
    if protocol not in PROTOCOLS:
        raise UnknownName.among("protocol of episodes", protocol, PROTOCOLS)
    kept = [i for i in range(len(data.classes)) if i != data.background_index]
    table = {data.ignore_index: 255} | {index: place + 1 for place, index in enumerate(kept)}
    if data.background_index is not None:
        table[data.background_index] = 0
    if len(kept) > 254 or max(table) > 65535:
        raise InputError(f"{data.name} has {len(kept)} classes; give a set of at most 254")
    samples = {}
    for sample in data:
        truth = sample.truth
        if not isinstance(truth, MaskFile):
            raise InputError(f"{sample.id} has no mask file; its classes cannot be counted")
        own = range(max(table) + 1) if truth.values is None else truth.values
        values = tuple(table.get(index, -1) for index in own)
        samples[sample.id] = replace(sample, truth=replace(truth, ignore_index=255, values=values))
    areas = class_areas(samples.values())
    by_class: dict[int, list[str]] = {}
    for name, held in areas:
        for index in held:
            by_class.setdefault(index, []).append(name)
    ids = tuple(sorted(index for index, names in by_class.items() if len(names) > 1))
    if not ids:
        raise InputError(f"{data.name}/{data.split} shows no class twice; give more photos")
    draw: Callable[..., tuple[Episode, ...]]
    if protocol == "hsnet":
        draw = partial(hsnet_coco_episodes, by_class, ids)
    else:
        enough = tuple(i for i in ids if sum(held.get(i, 0) >= MIN_AREA for _, held in areas) > 1)
        ids, draw = enough, partial(pfenet_episodes, areas, enough)
        if not ids:
            raise InputError(
                f"no class of {data.name}/{data.split} has {MIN_AREA} pixels in two photos; take "
                "larger photos, or the protocol hsnet"
            )
    names = tuple(data.classes[index] for index in kept)
    title = f"{data.title}; episodes drawn as {PROTOCOLS[protocol]} does"
    return FewShotDataset(
        data.name, title, data.split, protocol, names, ids, samples, draw, ignore_index=255
    )


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
