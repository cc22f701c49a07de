"""The plain layout: a folder of photos and class masks, and a file that says what they are.

    <set>/dataset.json               classes (index -> name), background_index, ignore_index, title
    <set>/<split>/images/<id>.jpg    photos (any format that is read)
    <set>/<split>/masks/<id>.png     class index per pixel; or, in place of the folder `masks`,
    <set>/<split>/instances.json     COCO's format, drawn as class masks
    <set>/splits.json                optional: further splits, {"tune": ["train/<id>", ...], ...}

A file of splits may also lie elsewhere and serve several sets: {"tune": {"<set>": [...]}}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lexiseg.datasets.annotations import MaskFile, Truth, read_instances
from lexiseg.datasets.card import FILE_NAME, Card, read_card, read_json
from lexiseg.datasets.instances import InstanceDataset, read_coco
from lexiseg.datasets.semantic import Sample, SemanticDataset
from lexiseg.errors import InputError, UnknownName

__all__ = ["find_sets", "open_instances", "open_set"]

PHOTO_SUFFIXES = (".webp", ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif")
_SPLITS_FILE = "splits.json"


def open_set(
    root: str | Path, split: str = "val", *, splits: str | Path | None = None
) -> SemanticDataset:
    """Open one split of one data set. Files are listed here and read when they are asked for.

    A split is a folder of the set, or a list of photos in `splits` (by default the set's own
    `splits.json`). Raises InputError for a set or split that is not there, for a photo without a
    mask and a mask without a photo.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give a data set in the plain layout")
    card = read_card(root)
    if card.classes is None:
        raise InputError(
            f"{root} names no classes (its masks are nameless regions); give a set with classes"
        )
    name = root.resolve().name
    if (root / split).is_dir():
        folder = _open_folder(root / split, card, card.classes)
    else:
        listed = _listed(root, name, split, splits)
        folder = _gather(root, listed, card, card.classes)
    return SemanticDataset(
        name,
        card.title,
        split,
        folder.classes,
        folder.background_index,
        card.ignore_index,
        folder.samples,
    )


def open_instances(root: str | Path, split: str = "val") -> InstanceDataset | None:
    """Open a split's instances.json for its things; None where the split has none.

    Photos are found by the stem of their names, in SPLIT/images.
    """
    root = Path(root)
    path = root / split / "instances.json"
    if not (root / FILE_NAME).is_file() or not path.is_file():
        return None
    photos = _by_stem(root / split / "images")
    title, name = read_card(root).title, root.resolve().name
    return read_coco(path, root / split / "images", name=name, title=title, split=split,
                     by_stem=photos)  # fmt: skip


def find_sets(
    roots: str | Path | Sequence[str | Path],
    split: str = "val",
    *,
    splits: str | Path | None = None,
) -> tuple[SemanticDataset, ...]:
    """Open the split of each root that is a data set, and of each data set in a root that is not.

    Of the sets inside a folder, those without named classes or without labels for the split are
    passed over; a root that is given itself must have them. Raises InputError where nothing is
    left.
    """
    opened = []
    for root in [Path(roots)] if isinstance(roots, str | Path) else [Path(root) for root in roots]:
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; give data sets in the plain layout")
        inside = sorted(path.parent for path in root.glob(f"*/{FILE_NAME}"))
        if (root / FILE_NAME).is_file() or not inside:
            opened.append(open_set(root, split, splits=splits))
            continue
        usable = [path for path in inside if _has_labels(path, split, splits)]
        if not usable:
            raise InputError(
                f"no data set in {root} has labels for the split {split!r} "
                f"(there are {', '.join(path.name for path in inside)}); give another split"
            )
        opened += [open_set(path, split, splits=splits) for path in usable]
    return tuple(opened)


@dataclass(frozen=True)
class _Folder:
    """What a split that is a folder holds."""

    classes: tuple[str, ...]
    background_index: int | None
    samples: tuple[Sample, ...]


def _open_folder(folder: Path, card: Card, classes: tuple[str, ...]) -> _Folder:
    if not (folder / "images").is_dir():
        raise InputError(f"{folder} has no folder images; put the split's photos there")
    photos = _by_stem(folder / "images")
    if not photos:
        raise InputError(f"{folder / 'images'} holds no photos; put some there")
    background = card.background_index
    truths: dict[str, Truth]
    if (folder / "masks").is_dir():
        source = folder / "masks"
        masks = _by_stem(source)
        truths = {stem: MaskFile(masks[stem], classes, card.ignore_index) for stem in masks}
    elif (source := folder / "instances.json").is_file():
        if background is None:
            # Instances leave pixels without a name; they need a class of their own.
            classes, background = ("background", *classes), 0
        truths = dict(read_instances(source, classes, background))
    else:
        raise InputError(f"{folder} has neither a folder masks nor instances.json; add one")
    _refuse(photos.keys() - truths.keys(), f"photo(s) of {folder} without a label in {source}")
    _refuse(truths.keys() - photos.keys(), f"label(s) in {source} without a photo in {folder}")
    samples = tuple(Sample(stem, photos[stem], truths[stem]) for stem in sorted(photos))
    return _Folder(classes, background, samples)


def _gather(root: Path, listed: list[str], card: Card, classes: tuple[str, ...]) -> _Folder:
    """Open the folders that the entries, folder/id, name, and keep the photos listed."""
    names = dict.fromkeys(entry.partition("/")[0] for entry in listed)
    folders = {name: _open_folder(root / name, card, classes) for name in names}
    if len({folder.classes for folder in folders.values()}) > 1:
        raise InputError(
            f"a split of {root.name} joins folders with masks and folders with instances.json, "
            "whose classes differ; list photos of one kind"
        )
    known = {
        f"{name}/{sample.id}": replace(sample, id=f"{name}/{sample.id}")
        for name, folder in folders.items()
        for sample in folder.samples
    }
    for entry in listed:
        if entry not in known:
            raise UnknownName.among(f"photo of {root.name}", entry, known)
    first = folders[next(iter(names))]
    return _Folder(first.classes, first.background_index, tuple(known[entry] for entry in listed))


def _by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PHOTO_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise InputError(
                f"{folder} holds {files[path.stem].name} and {path.name}; an id stands for one "
                "file: rename or remove one"
            )
        files[path.stem] = path
    return files


def _refuse(stems: Iterable[str], complaint: str) -> None:
    listed = sorted(stems)
    if listed:
        shown = ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
        raise InputError(f"{len(listed)} {complaint}: {shown}; photo and label need the same name")


def _splits(root: Path, splits: str | Path | None) -> dict[str, object]:
    path = root / _SPLITS_FILE if splits is None else Path(splits)
    if splits is None and not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f'{path} holds no splits; write {{"name": ["folder/id", ...]}}')
    return content


def _listed(root: Path, name: str, split: str, splits: str | Path | None) -> list[str]:
    """Return the entries, folder/id, of a split that is a list."""
    known = _splits(root, splits)
    if split not in known:
        folders = [path.parent.name for path in root.glob("*/images")]
        raise UnknownName.among(f"split of {root}", split, [*folders, *known])
    entries = known[split]
    if isinstance(entries, dict):
        entries = entries.get(name)
    if not isinstance(entries, list) or not entries or not all(isinstance(e, str) for e in entries):
        raise InputError(
            f'the split {split!r} lists no photos of {name}; write them as ["folder/id", ...]'
        )
    return list(entries)


def _has_labels(root: Path, split: str, splits: str | Path | None) -> bool:
    folder = root / split
    if folder.is_dir():
        there = (folder / "masks").is_dir() or (folder / "instances.json").is_file()
    else:
        entries = _splits(root, splits).get(split)
        there = bool(entries.get(root.resolve().name) if isinstance(entries, dict) else entries)
    # The card last: of a set without labels it need not be one that can be evaluated.
    return there and read_card(root).classes is not None
