"""What comes back of masks in every format of annotations: 500 random ones of each of three kinds.
The table of the docs and the tests are made of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from benchmarks.rows.common import markdown
from numpy.typing import NDArray

from lexiseg.export import Annotated, get_format, list_formats, read_annotations
from lexiseg.export.annotated import segmentation_of
from lexiseg.masks import Masks

KINDS = ("one part, holes", "islands, holes", "overlapping")
PICTURES, PER_PICTURE = 20, 25
SIZE_HW = (30, 41)
WORDS = ("dog", "größe 犬", "red & <big> car", "sky")


@dataclass(frozen=True)
class Outcome:
    """ious: of each mask that went out, with what came back; 0 where nothing did."""

    ious: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def lossless(self) -> bool:
        """Whether every mask is the same."""
        return min(self.ious) == 1.0

    def __str__(self) -> str:
        if self.lossless:
            return "1"
        same = sum(iou == 1.0 for iou in self.ious) / len(self.ious)
        mean, worst = sum(self.ious) / len(self.ious), min(self.ious)
        return f"{same:.0%} the same, mean {mean:.3f}, worst {worst:.2f}"


def random_masks(kind: str, seed: int) -> NDArray[np.bool_]:
    """Return (25, H, W) masks, none empty: smooth shapes, some pixels of which are flipped.

    one part, holes: each connected, perhaps by corners alone. islands, holes: of several parts,
    single pixels among them. No two overlap, but in the third kind, of islands and holes too.
    """
    random = np.random.default_rng([seed, KINDS.index(kind)])
    # Whole numbers throughout: the same masks on any machine.
    field = random.integers(-99, 100, (PER_PICTURE, *SIZE_HW))
    for axis in (1, 2, 1, 2):
        framed = np.pad(field, [(2, 2) if a == axis else (0, 0) for a in range(3)])
        shape = field.shape[axis]
        field = sum(framed.take(range(i, i + shape), axis) for i in range(5))
    if kind == "overlapping":
        high = np.sort(field.reshape(PER_PICTURE, -1), axis=1)[:, -SIZE_HW[0] * SIZE_HW[1] // 4]
        return (field > high[:, None, None]) ^ (random.random(field.shape) < 0.02)
    owner = field.argmax(axis=0)
    salt = random.random(SIZE_HW) < 0.03
    owner[salt] = random.integers(0, PER_PICTURE, SIZE_HW)[salt]
    owner.reshape(-1)[random.permutation(owner.size)[:PER_PICTURE]] = np.arange(PER_PICTURE)
    out: NDArray[np.bool_] = owner == np.arange(PER_PICTURE)[:, None, None]
    if kind == "one part, holes":
        for i, mask in enumerate(out):
            _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
            out[i] = parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    return out


def pictures(kind: str, count: int) -> list[Annotated]:
    """Return pictures of 25 masks each."""
    out = []
    for number in range(count):
        labels = [WORDS[i % 3] for i in range(PER_PICTURE)]
        scores = np.round(np.random.default_rng(number).random(PER_PICTURE), 6)
        masks = Masks.from_dense(random_masks(kind, number))
        seg = segmentation_of(WORDS, labels, masks, scores, source="random")
        out.append(Annotated(f"part {number % 2}/{number:02d}.tif", seg))
    return out


def with_photos(given: Sequence[Annotated], folder: Path) -> list[Annotated]:
    """Write a GeoTIFF of noise for each picture, and return the pictures with them."""
    import rasterio

    out = []
    for number, one in enumerate(given):
        path = folder / one.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = one.size_hw
        pixels = np.random.default_rng(number).integers(0, 256, (3, height, width), np.uint8)
        place = rasterio.Affine(0.31, 0.02, 4.1e5 + number, 0.02, -0.31, 5.82e6)  # turned a little
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8",
            crs="EPSG:32633", transform=place,
        ) as file:  # fmt: skip
            file.write(pixels)
        out.append(Annotated(one.file_name, one.seg, path))
    return out


def outcome(name: str, kind: str, folder: Path, count: int = PICTURES) -> Outcome:
    """Write pictures of a kind in a format and read them again, in an empty folder."""
    given = with_photos(pictures(kind, count), folder / "photos")
    written = get_format(name).write(given, folder / "out")
    back = {one.file_name: one for one in read_annotations(folder / "out", folder / "photos")}
    ious = []
    for one in given:
        found = back[one.file_name].seg
        same_word = one.seg.labels[:, None] == found.labels[None]
        iou = np.where(same_word, one.seg.masks.iou(found.masks), 0)
        ious += iou.max(axis=1, initial=0).tolist()
    return Outcome(tuple(ious), tuple(written.notes))


def outcomes(name: str) -> dict[str, Outcome]:
    """Return what comes back of each kind of masks in a format."""
    out = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            out[kind] = outcome(name, kind, Path(folder))
    return out


def table() -> str:
    """Return the table of the docs: IoU of the masks that come back."""
    rows = []
    for form in list_formats():
        cells = [str(one) for one in outcomes(form.name).values()] if form.reads else ["-"] * 3
        rows.append([f"`{form.name}`", form.summary, *cells])
    return markdown(["format", "what it is", *KINDS], rows).replace("---:", "---")


def options() -> str:
    """Return the table of the formats' options."""
    rows = []
    for form in list_formats():
        names = [f"`{one.name}={getattr(form, one.name)}`" for one in fields(form)]
        rows.append([f"`{form.name}`", form.keeps, ", ".join(names) or "-"])
    return markdown(["format", "what it keeps", "options"], rows).replace("---:", "---")
