"""What a format of annotations is: how results are written, recognised and read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import InputError
from lexiseg.export.annotated import Annotated, instances_of, paint, safe_path
from lexiseg.export.source import Source
from lexiseg.results import Segmentation

__all__ = ["Format", "Loss", "Numbers", "PictureFormat", "Writer", "Written"]


@dataclass
class Loss:
    """What became of masks in a format that cannot hold them all.

    why: what the format lacks. changed: masks that come back otherwise. worst_iou: of those, the
    smallest IoU with what was given.
    """

    why: str
    changed: int = 0
    worst_iou: float = 1.0


@dataclass
class Written:
    """What was written: the files, how many pictures and instances, and remarks on losses."""

    files: list[Path] = field(default_factory=list)
    pictures: int = 0
    instances: int = 0
    notes: list[str] = field(default_factory=list)


class Numbers(dict[str, int]):
    """The number of each word, counted from `first` as they come; `names` lists them in order."""

    def __init__(self, words: Iterable[str] = (), first: int = 1) -> None:
        super().__init__()
        self._first = first
        self.add(words)

    def add(self, words: Iterable[str]) -> None:
        """Number the words that have none yet."""
        for word in words:
            self.setdefault(word, len(self) + self._first)

    @property
    def names(self) -> list[str]:
        """The words in the order of their numbers."""
        return list(self)


class Writer(ABC):
    """Writes pictures one by one into a folder; what is made of all is made by `close`.

    As a context, it leaves nothing half-written behind an error.

    words: those that are numbered first, in order; others follow as they come.
    """

    def __init__(self, form: Format, folder: Path, words: Sequence[str] = ()) -> None:
        self.format = form
        self.folder = folder
        self.words = tuple(words)
        self.written = Written()
        self._losses: dict[str, Loss] = {}
        self._stems: dict[str, str] = {}

    def add(self, picture: Annotated) -> None:
        """Write one picture.

        Of two that are called the same but for their ending or case, the files of the second have
        its whole name. Raises InputError for two of one name, OutputError.
        """
        stem = picture.stem
        if stem.casefold() in self._stems:
            stem = safe_path(picture.file_name)
        other = self._stems.setdefault(stem.casefold(), picture.file_name)
        if len(self._stems) == self.written.pictures:
            raise InputError(f"{picture.file_name!r} and {other!r} have one name; rename one")
        picture = replace(picture, seg=instances_of(picture.seg), stem=stem)
        self._add(picture)
        self.written.pictures += 1
        self.written.instances += len(picture.seg)

    @abstractmethod
    def _add(self, picture: Annotated) -> None:
        """Write one picture, whose result has instances."""

    def close(self) -> Written:
        """Write what is made of all pictures; return what was written, and what was lost."""
        for loss in self._losses.values():
            self.written.notes.append(
                f"{loss.changed:,} of {self.written.instances:,} masks come back changed "
                f"(smallest IoU {loss.worst_iou:.3f}): {loss.why}"
            )
        return self.written

    def abandon(self) -> None:
        """Leave nothing half-written behind, after an error."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.abandon()

    def flattened(self, seg: Segmentation) -> NDArray[np.int32]:
        """Return the index of the instance at each pixel, (H, W), -1 for none, small over large.

        What is hidden under others is counted as lost.
        """
        owner = paint(seg.masks, np.arange(len(seg)))
        left = np.bincount(owner[owner >= 0], minlength=len(seg))
        for area, seen in zip(seg.masks.areas.tolist(), left.tolist(), strict=True):
            if seen < area:
                self.lost("a pixel has one instance, the smaller where two overlap", seen / area)
        return owner

    def lost(self, why: str, iou: float) -> None:
        """Count a mask that comes back changed; see `Loss`."""
        loss = self._losses.setdefault(why, Loss(why))
        loss.changed += 1
        loss.worst_iou = min(loss.worst_iou, iou)


@dataclass(frozen=True)
class Format(ABC):
    """A format of annotations; its fields are its options.

    name: by which it is asked for. summary: what it is, in a line. keeps: what comes back.
    per_picture: each picture has files of its own, which follow from it and from `words` alone, so
    that pictures may be written at any time and in any order.
    needs_photo: `Annotated.photo` must be given.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    keeps: ClassVar[str]
    reads: ClassVar[bool] = True
    per_picture: ClassVar[bool] = False
    needs_photo: ClassVar[bool] = False

    @abstractmethod
    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        """Return a writer into a folder, which is made with the first file."""

    def write(
        self, pictures: Iterable[Annotated], folder: Path, words: Sequence[str] = ()
    ) -> Written:
        """Write all pictures into a folder. Raises InputError, OutputError."""
        with self.open(folder, words) as writer:
            for picture in pictures:
                writer.add(picture)
            return writer.close()

    def accepts(self, source: Source) -> bool:
        """Whether a file or folder is of this format, by its content."""
        return False

    def read(self, source: Source) -> Iterator[Annotated]:
        """Yield the pictures of a file or folder. Raises InputError for what is damaged."""
        raise InputError(f"{self.name} is written only, not read; give another format")


@dataclass(frozen=True)
class PictureFormat(Format):
    """A format with a file a picture.

    suffixes: the endings of its files, in lower case.
    """

    suffixes: ClassVar[tuple[str, ...]]
    per_picture: ClassVar[bool] = True

    @abstractmethod
    def accepts_file(self, source: Source) -> bool:
        """Whether a file is of this format."""

    @abstractmethod
    def read_file(self, source: Source, file_name: str) -> Annotated:
        """Return what a file holds; file_name: its path below the folder that is read."""

    def files(self, source: Source) -> list[Path]:
        """Return the files of a folder that may be of this format."""
        return source.files(*self.suffixes)

    def accepts(self, source: Source) -> bool:
        if not source.is_folder:
            return source.path.suffix.lower() in self.suffixes and self.accepts_file(source)
        return any(self.accepts_file(Source(path)) for path in self.files(source)[:1])

    def read(self, source: Source) -> Iterator[Annotated]:
        for path in self.files(source):
            one = Source(path, source.photos)
            if self.accepts_file(one):
                yield self.read_file(one, path.relative_to(source.folder).as_posix())
                source.notes += one.notes
