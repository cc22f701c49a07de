"""Big pictures, segmented tile by tile: read and written by window, instances made whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OutputError
from lexiseg.export.annotated import paint, segmentation_of
from lexiseg.export.georeference import rasterio
from lexiseg.masks import Masks, label_boxes
from lexiseg.prompts import Vocabulary
from lexiseg.protocols import Segmenter
from lexiseg.results import Provenance, Segmentation
from lexiseg.tiled.reader import WindowReader, bounded_cache, open_windows
from lexiseg.tiled.tiles import Tile, UnionFind, plan_tiles, shared_pairs, surrounding

__all__ = ["INSTANCES", "LABELS", "TILE", "TiledInstance", "TiledResult", "segment_tiled"]

_AROUND = 4  # times as wide as a tile: the part around it that is looked at coarsely
TILE = 1024  # pixels a side; a model looks at each at its usual size
LABELS, INSTANCES, _RAW = "labels.tif", "instances.tif", ".instances-of-tiles.tif"
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class TiledInstance:
    """number: its value in instances.tif. area in pixels, box_xyxy half-open, in the picture."""

    number: int
    word: str
    score: float
    area: int
    box_xyxy: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class TiledResult:
    """What a big picture shows; its maps are files.

    size_hw: (H, W). words: in the order of labels.tif, whose values are places among them plus 1.
    pixels: (K,), of each word. instances: of all the picture. thumbnail: a Segmentation of every
    n-th pixel, with its image. provenance: of the first tile; its seconds are of all tiles.
    shown: the words that are written; the others only competed.
    """

    size_hw: tuple[int, int]
    words: tuple[str, ...]
    pixels: NDArray[np.int64]
    instances: tuple[TiledInstance, ...]
    num_tiles: int
    thumbnail: Segmentation
    provenance: Provenance
    shown: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it; masks are in instances.tif."""
        height, width = self.size_hw
        return {
            "schema_version": 1,
            "image": {"height": height, "width": width},
            "files": {"labels": LABELS, "instances": INSTANCES},
            "tiles": self.num_tiles,
            "words": [
                {"word": word, "value": k + 1, "pixels": int(self.pixels[k])}
                for k, word in enumerate(self.words)
                if word in self.shown
            ],
            "instances": [
                {
                    "value": one.number,
                    "word": one.word,
                    "score": round(one.score, 6),
                    "area": one.area,
                    "box_xywh": [
                        one.box_xyxy[0], one.box_xyxy[1],
                        one.box_xyxy[2] - one.box_xyxy[0], one.box_xyxy[3] - one.box_xyxy[1],
                    ],
                }
                for one in self.instances
            ],
            "provenance": self.provenance.to_json(),
        }  # fmt: skip


@dataclass
class _Parts:
    """The instances of tiles, numbered through: word, score, area, box of what is kept."""

    sets: UnionFind = field(default_factory=UnionFind)
    words: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    areas: list[int] = field(default_factory=list)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)


def segment_tiled(
    segmenter: Segmenter,
    path: Path,
    vocabulary: Vocabulary,
    folder: Path,
    *,
    tile: int = TILE,
    only: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> TiledResult:
    """Segment a picture of any size; write labels.tif and instances.tif into a folder.

    Memory follows from the tile, the words and the picture's width, not from its pixels. tile: its
    side in pixels, a multiple of 64: the smaller, the finer things are seen. Each tile is looked at
    with an eighth of it as context on every side; dense methods also look coarsely at a part four
    times as wide around it, and mix what both say. An instance over a border is one where both
    tiles see it: half of the smaller part's pixels agree. Tiles of one colour are looked at once.
    only: words that are written, where not all are; the others compete. progress: called with the
    number of each tile, and of all.

    Raises PictureError, OptionError, OutputError; ExtraMissing without rasterio.
    """
    with bounded_cache(), open_windows(path) as picture:
        tiles = plan_tiles(picture.size_hw, tile)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            run = _Run(segmenter, picture, vocabulary, folder, tile, only)
            with run:
                for number, one in enumerate(tiles, 1):
                    if progress is not None:
                        progress(number, len(tiles))
                    run.look_at(one)
            return run.result(len(tiles))
        except rasterio("errors").RasterioError as error:
            raise OutputError(f"the maps cannot be written to {str(folder)!r} ({error})") from error
        finally:
            (folder / _RAW).unlink(missing_ok=True)


class _Run:
    """One picture on its way: the files that are written, and what neighbours have seen."""

    def __init__(
        self,
        segmenter: Segmenter,
        picture: WindowReader,
        vocabulary: Vocabulary,
        folder: Path,
        tile: int,
        only: Sequence[str],
    ) -> None:
        self._shown = tuple(word for word in vocabulary.names if not only or word in only)
        self._segmenter, self._picture, self._vocabulary = segmenter, picture, vocabulary
        self._folder, self._block = folder, tile // 4
        self._parts = _Parts()
        self._pixels = np.zeros(len(vocabulary.names) + 1, np.int64)
        self._left: tuple[Window, NDArray[np.int32]] | None = None
        self._above: dict[int, tuple[Window, NDArray[np.int32]]] = {}
        self._plain: dict[bytes, Segmentation] = {}
        self._around_row, self._around = -1, dict[int, Any]()  # coarse views, by column
        self._seconds: dict[str, float] = {}
        self._first: Segmentation | None = None
        self._stack = ExitStack()
        height, width = picture.size_hw
        self._every = max(1, -(-max(height, width) // 1500))
        small = (-(-height // self._every), -(-width // self._every))
        self._small_labels = np.full(small, -1, np.int32)
        self._small_rgb = np.zeros((*small, 3), np.uint8)

    def __enter__(self) -> _Run:
        deep = len(self._vocabulary.names) > 254
        self._labels = self._created(LABELS, np.uint16 if deep else np.uint8)
        self._raw = self._created(_RAW, np.uint32)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _created(self, name: str, kind: Any) -> Any:
        """A tiled TIFF of the picture's size and place, open for writing."""
        height, width = self._picture.size_hw
        return self._stack.enter_context(
            rasterio().open(
                self._folder / name, "w", driver="GTiff", height=height, width=width, count=1,
                dtype=kind, nodata=0, tiled=True, blockxsize=self._block, blockysize=self._block,
                compress="deflate", zlevel=1, sparse_ok=True, bigtiff="IF_SAFER",
                **self._picture.place,
            )
        )  # fmt: skip

    def look_at(self, tile: Tile) -> None:
        """Segment a tile, write what is kept, and join its instances with the neighbours'."""
        rgb = self._picture.read(*tile.window)
        seg = self._segmented(rgb, tile)
        label_map = seg.label_map
        if len(self._shown) < len(self._vocabulary.names):
            seg = seg[np.flatnonzero(np.isin(seg.labels, self._shown))]
            shown = [seg.index(word) for word in self._shown]
            label_map = np.where(np.isin(label_map, shown), label_map, -1)
        parts, first = self._parts, len(self._parts.words)
        owner = paint(seg.masks, np.arange(len(seg)))
        owner[owner >= 0] += first
        wy, wx = tile.window[:2]
        ky0, kx0, ky1, kx1 = tile.kept
        inner = np.s_[ky0 - wy : ky1 - wy, kx0 - wx : kx1 - wx]
        kept = owner[inner]
        parts.sets.add(len(seg))
        parts.words += [seg.index(word) for word in seg.labels.tolist()]
        parts.scores += seg.scores.tolist()
        if len(seg):
            areas, boxes = _extents(kept - first, len(seg))
            parts.areas += areas.tolist()
            parts.boxes += [(x0 + kx0, y0 + ky0, x1 + kx0, y1 + ky0) for x0, y0, x1, y1 in boxes]
        self._join(tile, owner)
        labels = label_map[inner]
        self._pixels += np.bincount(
            labels.reshape(-1).astype(np.int64) + 1, minlength=len(self._pixels)
        )
        window = rasterio("windows").Window(kx0, ky0, kx1 - kx0, ky1 - ky0)
        if (labels >= 0).any():
            self._labels.write((labels + 1).astype(self._labels.dtypes[0]), 1, window=window)
        if (kept >= 0).any():
            self._raw.write((kept + 1).astype(np.uint32), 1, window=window)
        self._sample(tile, labels, rgb[inner])

    def _segmented(self, rgb: NDArray[np.uint8], tile: Tile) -> Segmentation:
        """The result of a tile; those of one colour, as beside scans, are looked at once."""
        plain = bool((rgb == rgb[:1, :1]).all())
        key = rgb[0, 0].tobytes() + repr(rgb.shape).encode()
        if plain and key in self._plain:
            return self._plain[key]
        seg = self._segmenter(self._view(rgb, tile), self._vocabulary)
        if plain:
            self._plain[key] = seg
        self._first = self._first or seg
        for stage, seconds in seg.provenance.seconds.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
        return seg

    def _view(self, rgb: NDArray[np.uint8], tile: Tile) -> Any:
        """A tile with what is around it, for methods that take that into account."""
        whole = rgb.shape[:2] == self._picture.size_hw
        if whole or not getattr(self._segmenter, "mixes_surroundings", False):
            return rgb
        larger = surrounding(tile.window, self._picture.size_hw, _AROUND)
        if larger.row != self._around_row:
            self._around_row, self._around = larger.row, {}
        if larger.column not in self._around:
            longer = max(larger.window[2] - larger.window[0], larger.window[3] - larger.window[1])
            every = max(1, longer // (2 * max(rgb.shape[:2])))  # models scale it down further
            coarse = self._picture.read(*larger.window, every=every)
            self._around[larger.column] = self._segmenter.prepare(coarse)
        y0, x0, y1, x1 = larger.window
        top, left, bottom, right = tile.window
        box = (
            (left - x0) / (x1 - x0), (top - y0) / (y1 - y0),
            (right - x0) / (x1 - x0), (bottom - y0) / (y1 - y0),
        )  # fmt: skip
        return replace(self._segmenter.prepare(rgb), around=(self._around[larger.column], box))

    def _join(self, tile: Tile, owner: NDArray[np.int32]) -> None:
        """Compare a tile with the one on its left and the one above, where both have looked."""
        neighbours = [self._left if tile.column else None, self._above.get(tile.column)]
        for neighbour in neighbours:
            if neighbour is None:
                continue
            window, theirs = neighbour
            y0, x0 = (max(tile.window[a], window[a]) for a in (0, 1))
            y1, x1 = (min(tile.window[a], window[a]) for a in (2, 3))
            if y0 >= y1 or x0 >= x1:
                continue
            mine = owner[y0 - tile.window[0] : y1 - tile.window[0],
                         x0 - tile.window[1] : x1 - tile.window[1]]  # fmt: skip
            other = theirs[y0 - window[0] : y1 - window[0], x0 - window[1] : x1 - window[1]]
            for a, b in shared_pairs(other, mine, self._parts.words):
                self._parts.sets.join(a, b)
        wy0, wx0, wy1, wx1 = tile.window
        # Only what the next ones see as well is remembered.
        right = max(tile.kept[3] - self._block, wx0)
        low = max(tile.kept[2] - self._block, wy0)
        self._left = ((wy0, right, wy1, wx1), owner[:, right - wx0 :].copy())
        self._above[tile.column] = ((low, wx0, wy1, wx1), owner[low - wy0 :].copy())

    def _sample(self, tile: Tile, labels: NDArray[np.integer], rgb: NDArray[np.uint8]) -> None:
        every = self._every
        y, x = -tile.kept[0] % every, -tile.kept[1] % every
        top, left = -(-tile.kept[0] // every), -(-tile.kept[1] // every)
        few = labels[y::every, x::every]
        place = np.s_[top : top + few.shape[0], left : left + few.shape[1]]
        self._small_labels[place] = few
        self._small_rgb[place] = rgb[y::every, x::every]

    def result(self, num_tiles: int) -> TiledResult:
        """Number the whole instances, write their map, and return what is known of them."""
        parts = self._parts
        assert self._first is not None  # a picture has a tile
        provenance = self._first.provenance
        roots = parts.sets.roots()
        areas = np.array(parts.areas, np.int64)
        total = np.zeros(len(roots), np.int64)
        np.add.at(total, roots, areas)
        alive = np.flatnonzero((total > 0) & (roots == np.arange(len(roots))))
        number = np.zeros(len(roots) + 1, np.uint32)  # the first is no instance
        number_of_root = np.zeros(len(roots), np.uint32)
        number_of_root[alive] = np.arange(1, len(alive) + 1)
        number[1:] = number_of_root[roots]
        self._renumber(number)
        return TiledResult(
            size_hw=self._picture.size_hw,
            words=self._vocabulary.names,
            pixels=self._pixels[1:],
            instances=tuple(self._whole(roots, areas, alive)),
            num_tiles=num_tiles,
            thumbnail=self._thumbnail(provenance),
            provenance=provenance.with_seconds(self._seconds),
            shown=self._shown,
        )

    def _whole(
        self, roots: NDArray[np.int64], areas: NDArray[np.int64], alive: NDArray[np.intp]
    ) -> Iterator[TiledInstance]:
        """The instances: scores are means by area."""
        members: dict[int, list[int]] = {}
        for i in np.flatnonzero(areas).tolist():
            members.setdefault(int(roots[i]), []).append(i)
        for number, root in enumerate(alive.tolist(), 1):
            some = members[root]
            boxes = np.array([self._parts.boxes[i] for i in some])
            x0, y0 = boxes[:, :2].min(axis=0).tolist()
            x1, y1 = boxes[:, 2:].max(axis=0).tolist()
            score = np.average([self._parts.scores[i] for i in some], weights=areas[some])
            word = self._vocabulary.names[self._parts.words[root]]
            yield TiledInstance(
                number, word, float(score), int(areas[some].sum()), (x0, y0, x1, y1)
            )

    def _renumber(self, number: NDArray[np.uint32]) -> None:
        """Write instances.tif: the numbers of tiles' instances as those of whole ones."""
        with ExitStack() as self._stack, rasterio().open(self._folder / _RAW) as raw:
            final = self._created(INSTANCES, np.uint32)
            for _, window in raw.block_windows(1):
                block = raw.read(1, window=window)
                if block.any():
                    final.write(number[block], 1, window=window)

    def _thumbnail(self, provenance: Provenance) -> Segmentation:
        names = self._vocabulary.names
        seen = [int(k) for k in np.unique(self._small_labels) if k >= 0]
        seg = segmentation_of(
            names, [names[k] for k in seen],
            Masks.from_labels(self._small_labels, seen), source=provenance.method,
            label_map=self._small_labels,
        )  # fmt: skip
        return replace(seg, image=self._small_rgb)


def _extents(
    owner: NDArray[np.integer], count: int
) -> tuple[NDArray[np.int64], list[tuple[int, int, int, int]]]:
    """Return the area, (N,), and the box of each number from 0 on in a map; negative: none."""
    inside = owner >= 0
    areas = np.bincount(owner[inside], minlength=count).astype(np.int64)
    boxes = label_boxes(np.where(inside, owner, -1), np.arange(count))
    return areas, [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes.tolist()]
