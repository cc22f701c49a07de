"""Data sets of instances in COCO's format: each thing with its class and its own mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lexiseg.datasets.annotations import InstanceLabels
from lexiseg.datasets.card import read_json
from lexiseg.datasets.semantic import Sample, SemanticDataset
from lexiseg.errors import InputError, UnknownName
from lexiseg.masks import Masks

__all__ = ["Instance", "InstanceDataset", "InstanceSample", "read_coco", "shape_masks"]


@dataclass(frozen=True)
class Instance:
    """One thing: the index of its class, its COCO segmentation, and whether it is a crowd.

    area: pixels as the annotation gives them, by which COCO calls things small or large.
    """

    class_id: int
    segmentation: Any
    area: float
    crowd: bool = False


@dataclass(frozen=True)
class InstanceSample:
    """One photo, its size as annotated, and the things on it.

    absent, incomplete: of LVIS, the classes that were looked for in vain, and those of which not
    every instance is annotated; other classes of the set may be there without an annotation.
    """

    id: str
    path: Path
    size_hw: tuple[int, int]
    instances: tuple[Instance, ...]
    absent: tuple[int, ...] = ()
    incomplete: tuple[int, ...] = ()

    def masks(self) -> Masks:
        """Return the masks of the instances, in their order, as pycocotools draws them."""
        return shape_masks([one.segmentation for one in self.instances], self.size_hw)


@dataclass(frozen=True)
class InstanceDataset:
    """Photos with instances, by the photo's number; `len`, iteration and `[i]` as a tuple.

    category_ids: the published number of each class. groups: see ``SemanticDataset``.
    """

    name: str
    title: str
    split: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    samples: tuple[InstanceSample, ...]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[InstanceSample]:
        return iter(self.samples)

    def __getitem__(self, position: int) -> InstanceSample:
        return self.samples[position]

    def first(self, count: int) -> InstanceDataset:
        """Return the set with its first `count` photos only."""
        return replace(self, samples=self.samples[:count])

    def semantic(self, ignored: frozenset[int] = frozenset()) -> SemanticDataset:
        """Return the set with a class mask for each photo: small instances over large ones.

        Index 0 is the background, and class i is i + 1. Pixels of `ignored` classes do not count,
        and these classes are not among the set's.
        """
        kept = [i for i in range(len(self.classes)) if i not in ignored]
        # Beyond every index, as 255 is a class of sets with more.
        ignore_index = max(255, len(kept) + 1)
        index_of = dict.fromkeys(range(len(self.classes)), ignore_index)
        index_of |= {class_id: place for place, class_id in enumerate(kept, start=1)}
        samples = tuple(
            Sample(
                one.id,
                one.path,
                InstanceLabels(
                    one.size_hw,
                    tuple(
                        (index_of[thing.class_id], thing.segmentation) for thing in one.instances
                    ),
                    0,
                ),
            )
            for one in self.samples
        )
        groups = {
            name: tuple(index_of[i] for i in group if i not in ignored)
            for name, group in self.groups.items()
        }
        classes = ("background", *(self.classes[i] for i in kept))
        return SemanticDataset(
            self.name, self.title, self.split, classes, 0, ignore_index, samples, groups
        )


def read_coco(
    path: Path,
    photos: Path,
    *,
    name: str,
    title: str,
    split: str,
    groups: Mapping[str, tuple[str, ...]] | None = None,
    by_stem: Mapping[str, Path] | None = None,
) -> InstanceDataset:
    """Read a file in COCO's format, or LVIS's, whose photos lie in a folder.

    The order is the official readers': classes by category number, photos by image number,
    instances as they are listed. LVIS names photos by their URLs, whose last two parts are a
    folder and a file below `photos`. groups: names of classes. by_stem: the photos by their names
    without suffix, where these may differ from the file's. Raises InputError for a file of
    another format, and for photos that are missing.
    """
    content = read_json(path)
    try:
        categories = sorted(content["categories"], key=lambda one: int(one["id"]))
        index = {int(one["id"]): place for place, one in enumerate(categories)}
        classes = tuple(str(one["name"]) for one in categories)
        things: dict[int, list[Instance]] = defaultdict(list)
        for one in content["annotations"]:
            things[int(one["image_id"])].append(
                Instance(
                    index[int(one["category_id"])],
                    one["segmentation"],
                    float(one["area"]),
                    bool(one.get("iscrowd", 0)),
                )
            )
        samples = tuple(
            _sample(image, photos, by_stem or {}, tuple(things[int(image["id"])]), index)
            for image in sorted(content["images"], key=lambda image: int(image["id"]))
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is not COCO's instances format (at {error!r}); it needs images, annotations "
            "and categories"
        ) from error
    missing = [sample for sample in samples if not sample.path.is_file()]
    if missing or not samples:
        first = f"; the first missing is {missing[0].path}" if missing else ""
        raise InputError(
            f"{name}/{split}: {len(missing)} of the {len(samples)} photos of {path.name} are "
            f"missing{first}; download them: lexiseg datasets how {name}"
        )
    places = {
        group: tuple(classes.index(_known(path, one, classes)) for one in names)
        for group, names in (groups or {}).items()
    }
    return InstanceDataset(name, title, split, classes, tuple(index), samples, places)


def shape_masks(shapes: list[Any], size_hw: tuple[int, int]) -> Masks:
    """Return a mask for each COCO segmentation: polygons, or run lengths, compressed or not."""
    parts = [
        Masks.from_rle([shape], size_hw)
        if isinstance(shape, dict)
        else Masks.from_polygons([shape], size_hw)
        for shape in shapes
    ]
    return Masks.concat(parts) if parts else Masks.empty(size_hw)


def _sample(
    image: Mapping[str, Any],
    photos: Path,
    by_stem: Mapping[str, Path],
    things: tuple[Instance, ...],
    index: Mapping[int, int],
) -> InstanceSample:
    file_name = image.get("file_name") or "/".join(str(image["coco_url"]).split("/")[-2:])
    return InstanceSample(
        str(image["id"]),
        by_stem.get(Path(str(file_name)).stem, photos / str(file_name)),
        (int(image["height"]), int(image["width"])),
        things,
        tuple(index[int(i)] for i in image.get("neg_category_ids", ())),
        tuple(index[int(i)] for i in image.get("not_exhaustive_category_ids", ())),
    )


def _known(path: Path, name: str, classes: tuple[str, ...]) -> str:
    if name not in classes:
        raise UnknownName.among(f"category of {path.name}", name, classes)
    return name
