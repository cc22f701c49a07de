"""The data sets that are opened as they are published: one registry behind every command.

A family of data sets is a file of ``lexiseg.datasets.published``, or of another package under the
entry-point group ``lexiseg.datasets``: a module with ``DATASETS``, a tuple of ``DatasetInfo``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Literal

from lexiseg.datasets.fewshot import FewShotDataset
from lexiseg.datasets.instances import InstanceDataset
from lexiseg.datasets.layout import find_root, is_there
from lexiseg.datasets.phrases import PhraseDataset
from lexiseg.datasets.plain import find_sets
from lexiseg.datasets.semantic import SemanticDataset
from lexiseg.datasets.videos import VideoDataset
from lexiseg.errors import InputError, OptionError, UnknownName, did_you_mean
from lexiseg.prompts import Vocabulary, named
from lexiseg.registry import Registry

__all__ = [
    "AnyDataset", "DatasetInfo", "Part", "Split", "dataset_info", "dataset_table", "list_datasets",
    "open_dataset", "open_datasets", "open_semantic", "paper_words", "recognise",
]  # fmt: skip

AnyDataset = SemanticDataset | InstanceDataset | PhraseDataset | FewShotDataset | VideoDataset
Kind = Literal["semantic", "instances", "phrases", "few-shot", "video"]


@dataclass(frozen=True)
class Part:
    """A file or folder that a split is made of.

    what: "photos", as a user calls it. paths: below the set's root; any one of them will do.
    """

    what: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """A part of a data set, as its authors name it.

    count: its photos (of phrases: phrases; of few-shot sets: episodes; of videos: videos), None
    where that depends on what was downloaded.
    """

    name: str
    count: int | None
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a published data set, and how it is opened.

    folders: where its root may lie below the folder that a user names; the first is the published
        one. marks: paths below the root, any of which tells it apart from other folders.
    open: (root, split) -> the data set. splits: the first is what `evaluate` takes.
    size: of what has to be downloaded for the first split, in words. commands: what gets it, run
        in the folder that `--root` names.
    vocabulary: the class names of the papers, see ``Vocabulary.named``. primary: what a folder is
        opened as where only the folder is named.
    """

    name: str
    title: str
    kind: Kind
    folders: tuple[str, ...]
    marks: tuple[str, ...]
    splits: tuple[Split, ...]
    open: Callable[[Path, str], AnyDataset]
    home: str
    licence: str
    size: str
    commands: tuple[str, ...]
    notes: str = ""
    vocabulary: str | None = None
    primary: bool = False

    def split(self, name: str) -> Split:
        """Return a split by its name; raises UnknownName."""
        for split in self.splits:
            if split.name == name:
                return split
        raise UnknownName.among(f"split of {self.name}", name, [s.name for s in self.splits])

    def find(self, root: str | Path) -> Path:
        """Return the set's own root, in or below a folder; InputError tells what is there."""
        return find_root(Path(root), self.name, self.folders, self.marks)


@cache
def dataset_table() -> dict[str, DatasetInfo]:
    """Return all registered data sets by their names; raises OptionError where two share one."""
    families: Registry[ModuleType] = Registry("family of data sets")
    families.discover("lexiseg.datasets.published", group="lexiseg.datasets")
    found: dict[str, DatasetInfo] = {}
    for family in families.names():
        for info in families.get(family).DATASETS:
            if info.name in found:
                raise OptionError(
                    f"two data sets are named {info.name!r}; rename one or uninstall its package"
                )
            found[info.name] = info
    return found


def list_datasets() -> tuple[DatasetInfo, ...]:
    """Return every data set that is opened as it is published, by name."""
    return tuple(dataset_table()[name] for name in sorted(dataset_table()))


def dataset_info(name: str) -> DatasetInfo:
    """Return what is known of a data set; raises UnknownName with the nearest names."""
    if name not in dataset_table():
        raise UnknownName.among("data set", name, dataset_table())
    return dataset_table()[name]


def recognise(root: str | Path) -> tuple[DatasetInfo, ...]:
    """Return the sets whose published layout a folder holds, those that it is opened as."""
    return tuple(
        info
        for info in list_datasets()
        if info.primary
        and any(is_there(Path(root) / folder / mark) for folder in ("", *info.folders)
                for mark in info.marks)
    )  # fmt: skip


def open_dataset(
    data: str | Path, split: str | None = None, *, root: str | Path | None = None
) -> AnyDataset:
    """Open one split of one data set. Files are listed here and read when they are asked for.

    data: the name of a published set, which lies in or below `root` (the working folder if left
        out); or a folder (below `root`, if that is given) in the plain layout or a published one.
    split: the set's first one if left out; of a folder in the plain layout "val".
    Raises UnknownName, and InputError with one line for whatever is missing or does not fit.
    """
    if str(data) in dataset_table() and (root is not None or not Path(data).is_dir()):
        info = dataset_table()[str(data)]
        chosen = info.splits[0].name if split is None else info.split(split).name
        return info.open(info.find("." if root is None else root), chosen)
    if root is None and not Path(data).is_dir():
        raise _named_error(str(data), root)
    found = open_datasets(data, split, root=root)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise InputError(f"{data} holds {len(found)} data sets ({names}); choose one of them")
    return found[0]


def open_datasets(
    data: str | Path,
    split: str | None = None,
    *,
    root: str | Path | None = None,
    only: Sequence[str] | None = None,
) -> tuple[AnyDataset, ...]:
    """Open a split of every data set that a name or a folder stands for.

    A folder may hold several sets in the plain layout, see ``find_sets``, or one as published.
    only: names; the others are left out. A published set that is named here is opened as itself,
    such as "voc20" from a folder that is opened as "voc21" otherwise.
    """
    folder = Path(data)
    if root is not None and str(data) not in dataset_table():
        folder = Path(root) / data
    elif root is not None or not folder.is_dir():
        return (open_dataset(data, split, root=root),)
    if not folder.is_dir():
        raise _named_error(str(data), root)
    if not (folder / "dataset.json").is_file() and not any(folder.glob("*/dataset.json")):
        published = [info.name for info in recognise(folder)]
        named_ones = [name for name in only or () if name in dataset_table()]
        if published or named_ones:
            names = published if only is None else named_ones
            return tuple(open_dataset(name, split, root=folder) for name in names)
    found = find_sets(folder, split or "val")
    return tuple(one for one in found if only is None or one.name in only)


def open_semantic(
    data: str | Path,
    split: str | None = None,
    *,
    root: str | Path | None = None,
    only: Sequence[str] | None = None,
) -> tuple[SemanticDataset, ...]:
    """Open data sets as ``open_datasets`` does, for their class masks.

    Those of instances are drawn, small over large. Raises InputError for a set that has neither.
    """
    found = []
    for one in open_datasets(data, split, root=root, only=only):
        if isinstance(one, InstanceDataset):
            found.append(one.semantic())
        elif isinstance(one, SemanticDataset):
            found.append(one)
        else:
            raise InputError(
                f"{one.name} has no classes for every pixel, it is a set of {_kind_of(one)}; "
                "choose one of the kind semantic or instances: lexiseg datasets list"
            )
    return tuple(found)


def paper_words(
    data: SemanticDataset, vocabulary: str
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Return what papers ask for a set's classes, in order, and their words for the background.

    vocabulary: the name of one, see ``Vocabulary.named``, or a paper, "sclip", whose words for
    this set are taken. A class has all its names, as in "sofa|couch". Raises UnknownName, and
    OptionError for the words of another set.
    """
    name = vocabulary.casefold()
    own = dataset_table()[data.name].vocabulary if data.name in dataset_table() else None
    if own is not None and f"{own}.{name}" in named.names():
        name = f"{own}.{name}"
    elif own is None and any(known.endswith(f".{name}") for known in named.names()):
        raise OptionError(f"{name} has no words of its own for {data.name}; leave vocabulary out")
    words = Vocabulary.named(name)
    if len(words.words) != len(data.classes):
        raise OptionError(
            f"the vocabulary {name!r} has {len(words.words)} classes and {data.name} has "
            f"{len(data.classes)}; take "
            + (f"{own!r} or a paper, as in 'sclip'" if own else "the set's own names")
        )
    return tuple("|".join(word.synonyms) for word in words.words), words.background


def _kind_of(data: AnyDataset) -> str:
    """Return what a data set is made of, in words."""
    names = {
        FewShotDataset: "few-shot episodes",
        InstanceDataset: "instances",
        PhraseDataset: "phrases",
        SemanticDataset: "class masks",
        VideoDataset: "videos",
    }
    return names[type(data)]


def _named_error(name: str, root: str | Path | None) -> UnknownName:
    hint = did_you_mean(name, dataset_table()) or "lexiseg datasets list shows all"
    below = "" if root is None else f" in {str(root)!r}"
    return UnknownName(
        f"no data set is named {name!r}; {hint} (or give a folder: {name!r} is none{below})"
    )
