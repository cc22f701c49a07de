"""A result beside the name of its picture: what every format writes, and what reading one gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexiseg import imaging
from lexiseg.errors import InputError
from lexiseg.export.files import safe_name
from lexiseg.imaging import Picture
from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation

__all__ = ["Annotated", "instances_of", "paint", "restricted", "safe_path", "segmentation_of"]


@dataclass(frozen=True, eq=False)
class Annotated:
    """One picture and what is on it.

    file_name: the picture's name, relative to the folder of all pictures, "/" between parts.
    seg: the result; it knows the size.
    photo: where the picture lies, for formats that copy it, cut from it or take its georeference.
    stem: what its own files are called, without ending; by itself the picture's name without its
        ending, each part made safe for any system, so that it leads out of no folder.
    """

    file_name: str
    seg: Segmentation
    photo: Path | None = None
    stem: str = ""

    def __post_init__(self) -> None:
        if not self.stem:
            plain = PurePosixPath(self.file_name.replace("\\", "/")).with_suffix("").as_posix()
            object.__setattr__(self, "stem", safe_path(plain))

    @property
    def size_hw(self) -> tuple[int, int]:
        """(H, W) of the picture."""
        return self.seg.size_hw

    def read_photo(self, what: str) -> Picture:
        """Return the photo, for a format that holds its pixels.

        what: of the message where it is not found, such as "cut-outs are". Raises InputError.
        """
        given = self.photo if self.seg.image is None or self.photo else self.seg.image
        if given is None:
            raise InputError(
                f"the photo {self.file_name!r} is not found, which {what} made of; give "
                "--photos DIR"
            )
        photo = imaging.read(given)
        if photo.size_hw != self.size_hw:
            raise InputError(
                f"{self.file_name!r} has {list(photo.size_hw)} pixels (height, width), its masks "
                f"{list(self.size_hw)}; give the photo that was segmented"
            )
        return photo


def safe_path(name: str) -> str:
    """Return a path with each of its parts as a name that any system takes, "/" between."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "/".join(safe_name(part) for part in parts if part != "/") or "_"


def segmentation_of(
    words: Iterable[str],
    labels: Sequence[str],
    masks: Masks,
    scores: ArrayLike | None = None,
    *,
    source: str,
    label_map: NDArray[np.integer] | None = None,
) -> Segmentation:
    """Return a result of N masks that were read from a file.

    words: the vocabulary; labels that it lacks are added. scores: (N,), 1 where not given.
    source: the format's name, for the provenance. label_map: (H, W), index into words, -1 for
    none; drawn from the masks where it is left out, small ones over large ones.
    """
    known = tuple(dict.fromkeys([*words, *labels]))
    index = {word: k for k, word in enumerate(known)}
    values = np.array([index[word] for word in labels], np.int64)
    given = np.asarray(np.ones(len(masks)) if scores is None else scores, np.float32).clip(0, 1)
    best = np.zeros(len(known), np.float32)
    np.maximum.at(best, values, given)
    if label_map is None:
        label_map = paint(masks, values)
    short = len(known) < 2**15
    return Segmentation(
        words=known,
        labels=np.array(list(labels), np.str_),
        scores=given,
        masks=masks,
        label_map=label_map.astype(np.int16) if short else label_map.astype(np.int32),
        word_scores=best,
        provenance=Provenance(method="read", encoder=source),
    )


def restricted(seg: Segmentation, words: Sequence[str]) -> Segmentation:
    """Return a result with some of its words alone, in their order; none hides under another.

    Raises WordNotAsked.
    """
    places = [seg.index(word) for word in words]
    kept = tuple(seg.words[k] for k in places)
    if kept == seg.words:
        return seg
    chosen = seg[np.isin(seg.labels, kept)]
    table = np.full(len(seg.words) + 1, -1, np.int32)
    table[places] = np.arange(len(kept))
    label_map = table[seg.shown(kept)]
    return Segmentation(
        words=kept,
        labels=chosen.labels,
        scores=chosen.scores,
        quality=chosen.quality,
        masks=chosen.masks,
        label_map=label_map,
        word_scores=seg.word_scores[places],
        provenance=seg.provenance,
        image=seg.image,
        wholes={word: whole for word, whole in seg.wholes.items() if word in kept},
    )


def paint(masks: Masks, values: ArrayLike) -> NDArray[np.int32]:
    """Return a map, (H, W), of a value a mask, small masks over large ones, -1 where none is."""
    out = np.full(masks.size_hw, -1, np.int32)
    given = np.asarray(values).tolist()
    boxes = masks.boxes_xyxy.tolist()
    for i in np.argsort(-masks.areas, kind="stable").tolist():
        x0, y0, x1, y1 = boxes[i]
        out[y0:y1, x0:x1][masks.crop(i)] = given[i]
    return out


def instances_of(seg: Segmentation) -> Segmentation:
    """Return a result that has instances: of one without any, each word found is one.

    So a label map alone (`instances="off"`) is not lost in formats of instances.
    """
    if len(seg) or not seg.found:
        return seg
    values = [seg.index(word) for word in seg.found]
    return Segmentation(
        words=seg.words,
        labels=np.array(seg.found),
        scores=seg.word_scores[values],
        masks=Masks.concat(
            seg.wholes[word] if word in seg.wholes else Masks.from_labels(seg.label_map, [k])
            for word, k in zip(seg.found, values, strict=True)
        ),
        label_map=seg.label_map,
        word_scores=seg.word_scores,
        provenance=seg.provenance,
        image=seg.image,
        wholes=seg.wholes,
    )
