"""Big pictures, tile by tile: the same masks as in one piece, whole over borders, flat memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from tests.colour_finder import COLOURS, ColourFinder

import lexiseg
from lexiseg import imaging
from lexiseg.cli import main
from lexiseg.errors import OptionError, PictureError
from lexiseg.export import read_annotations
from lexiseg.masks import Masks
from lexiseg.prompts import Vocabulary
from lexiseg.tiled import segment_tiled
from lexiseg.tiled.reader import open_windows
from lexiseg.tiled.tiles import UnionFind, plan_tiles, shared_pairs

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

WORDS = Vocabulary.parse(["red", "green", "blue"])
TILE = 256
MANY = ("street", "car", "tree", "building", "sky", "person", "sidewalk", "window", "bicycle")
PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "street.jpg"


def shapes(height: int, width: int) -> NDArray[np.uint8]:
    """Discs and lines of three colours, over and beside the borders of tiles."""
    random = np.random.default_rng(3)
    out = np.full((height, width, 3), 40, np.uint8)
    colours = list(COLOURS.values())
    for number in range(40):
        x, y = random.integers(0, (width, height)).tolist()
        cv2.circle(out, (x, y), int(random.integers(3, 70)), colours[number % 3], -1)
    cv2.line(out, (5, 7), (width - 9, height - 5), colours[0], 9)  # through all tiles
    return out


def write_tiff(path: Path, rgb: NDArray[np.uint8], **profile: object) -> Path:
    height, width = rgb.shape[:2]
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=3, dtype=rgb.dtype,
        tiled=True, blockxsize=128, blockysize=128, compress="deflate", photometric="rgb",
        **profile,
    ) as file:  # fmt: skip
        file.write(rgb.transpose(2, 0, 1))
    return path


def parts_of(labels: NDArray[np.integer]) -> set[bytes]:
    """Each connected part of each word, as what tells it from any other."""
    out = set()
    for k in range(3):
        count, parts = cv2.connectedComponents((labels == k).astype(np.uint8), connectivity=8)
        out |= {bytes([k]) + np.packbits(parts == i).tobytes() for i in range(1, count)}
    return out


# Two pieces of a thing that one tile alone sees apart are joined by the tile that sees them whole.
def test_two_by_three_tiles_are_as_in_one_piece(tmp_path: Path) -> None:
    rgb = shapes(375, 570)
    assert len(plan_tiles((375, 570), TILE)) == 2 * 3
    path = write_tiff(
        tmp_path / "big.tif", rgb, crs="EPSG:32633", transform=rasterio.Affine(2, 0, 9, 0, -2, 8)
    )
    steps: list[tuple[int, int]] = []
    found = segment_tiled(
        PartFinder(), path, WORDS, tmp_path / "out", tile=TILE,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert steps == [(i, 6) for i in range(1, 7)]
    whole = PartFinder()(rgb, WORDS)
    with rasterio.open(tmp_path / "out" / "labels.tif") as file:
        np.testing.assert_array_equal(file.read(1), whole.label_map + 1)
        assert (file.crs, file.transform[0]) == ("EPSG:32633", 2)
    with rasterio.open(tmp_path / "out" / "instances.tif") as file:
        numbers = file.read(1).astype(np.int32)
    masks = Masks.from_labels(numbers, range(1, len(found.instances) + 1))
    # Every instance is one of the untiled way's, and the other way round.
    iou = masks.iou(whole.masks)
    assert iou.shape[0] == iou.shape[1] == len(parts_of(whole.label_map))
    assert sorted(iou.argmax(axis=1)) == list(range(len(iou)))
    assert iou.max(axis=1).min() == 1.0
    for one, mask, box, area in zip(
        found.instances, masks, masks.boxes_xyxy.tolist(), masks.areas.tolist(), strict=True
    ):
        assert (list(one.box_xyxy), one.area) == (box, area)
        assert one.word == WORDS.names[whole.label_map[mask][0]]
    assert found.pixels.tolist() == whole.pixels.tolist()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["instances.tif", "labels.tif"]
    np.testing.assert_array_equal(found.thumbnail.image, rgb)
    np.testing.assert_array_equal(found.thumbnail.label_map, whole.label_map)


class PartFinder(ColourFinder):
    """Finds colours; instances are the connected parts of what it sees."""

    def __call__(self, image, words, **options):  # type: ignore[no-untyped-def]
        seg = super().__call__(image, words, **options)
        masks, labels = [], []
        for k, word in enumerate(seg.words):
            count, parts = cv2.connectedComponents((seg.label_map == k).astype(np.uint8))
            masks += [parts == i for i in range(1, count)]
            labels += [word] * (count - 1)
        dense = np.array(masks, np.bool_).reshape(-1, *seg.size_hw)
        return replace(
            seg, labels=np.array(labels, np.str_), scores=np.ones(len(labels), np.float32),
            masks=Masks.from_dense(dense), score_map=None,
        )  # fmt: skip


@pytest.mark.parametrize("size_hw", [(90, 70), (256, 256), (257, 300), (500, 1000), (1023, 449)])
def test_what_tiles_keep_covers_a_picture_once(size_hw: tuple[int, int]) -> None:
    covered = np.zeros(size_hw, np.int32)
    for one in plan_tiles(size_hw, TILE):
        wy0, wx0, wy1, wx1 = one.window
        ky0, kx0, ky1, kx1 = one.kept
        covered[ky0:ky1, kx0:kx1] += 1
        assert 0 <= wy0 <= ky0 < ky1 <= wy1 <= size_hw[0]
        assert 0 <= wx0 <= kx0 < kx1 <= wx1 <= size_hw[1]
        assert (wy1 - wy0, wx1 - wx0) == (min(TILE, size_hw[0]), min(TILE, size_hw[1]))
        # An eighth of a tile of context, but at the picture's border.
        assert wx0 == 0 or kx0 - wx0 >= TILE // 8
        assert wy1 == size_hw[0] or wy1 - ky1 >= TILE // 8
    assert (covered == 1).all()


def test_tiles_of_odd_sides_are_refused() -> None:
    for side in (64, 200, 0):
        with pytest.raises(OptionError, match="multiple of 64"):
            plan_tiles((999, 999), side)


def test_what_is_one_thing() -> None:
    first = np.array([[0, 0, 0, -1], [1, 1, -1, -1]])
    second = np.array([[2, 2, 3, 3], [2, -1, 3, 3]])
    # 0 and 2 share two of three; 1 shares one of its two with 2; 0 has one pixel with 3.
    assert set(shared_pairs(first, second, [5, 5, 5, 5])) == {(0, 2), (1, 2)}
    assert set(shared_pairs(first, second, [5, 6, 5, 5])) == {(0, 2)}
    sets = UnionFind()
    sets.add(5)
    for a, b in ((3, 4), (1, 3), (4, 1)):
        sets.join(a, b)
    assert sets.roots().tolist() == [0, 1, 2, 1, 1]


def test_windows_are_the_picture(tmp_path: Path) -> None:
    rgb = shapes(200, 330)
    jp2 = tmp_path / "a.jp2"
    with rasterio.open(
        jp2, "w", driver="JP2OpenJPEG", height=200, width=330, count=3, dtype="uint8",
        QUALITY=100, REVERSIBLE="YES",
    ) as file:  # fmt: skip
        file.write(rgb.transpose(2, 0, 1))
    deep = write_tiff(tmp_path / "deep.tif", rgb.astype(np.uint16) * 257)
    for path in (jp2, deep, write_tiff(tmp_path / "plain.tif", rgb)):
        with open_windows(path) as picture:
            assert picture.size_hw == (200, 330)
            np.testing.assert_array_equal(picture.read(30, 70, 190, 320), rgb[30:190, 70:320])
    (tmp_path / "no.tif").write_text("no")
    with (
        pytest.raises(PictureError, match="cannot be read by window"),
        open_windows(tmp_path / "no.tif"),
    ):
        pass
    floats = write_tiff(tmp_path / "float.tif", rgb.astype(np.float32))
    with pytest.raises(PictureError, match="kind float32"), open_windows(floats):
        pass


# Memory, of a process of its own: the bundled model, all words that there are, a big picture.

MEASURED = """
import sys
from pathlib import Path
import lexiseg
from lexiseg.device import peak_memory
from lexiseg.tiled import segment_tiled
segmenter = lexiseg.load("tiny")
vocabulary = segmenter.vocabulary(sys.argv[3:])
found = segment_tiled(segmenter, Path(sys.argv[1]), vocabulary, Path(sys.argv[2]))
print(len(vocabulary.names), len(found.instances), found.num_tiles, peak_memory())
"""


def sparse_tiff(path: Path, side: int, photo: NDArray[np.uint8], copies: int) -> None:
    """A square picture of one colour, with copies of a photo here and there."""
    with rasterio.open(
        path, "w", driver="GTiff", height=side - 40, width=side, count=3, dtype="uint8", tiled=True,
        blockxsize=512, blockysize=512, sparse_ok=True, compress="deflate", bigtiff="IF_SAFER",
        photometric="rgb",
    ) as file:  # fmt: skip
        for number in range(copies):
            x, y = (number * 7919 * 3) % (side - 700), (number * 104729 * 5) % (side - 700)
            window = rasterio.windows.Window(x, y, photo.shape[1], photo.shape[0])
            file.write(photo.transpose(2, 0, 1), window=window)


def peak_of(tmp_path: Path, side: int, copies: int) -> tuple[int, float]:
    """Segment by 1,000 words; return how many tiles there were, and the most memory in GB."""
    photo = cv2.imread(str(PHOTO))[..., ::-1]
    sparse_tiff(tmp_path / "big.tif", side, photo, copies)
    ends = ["at", "en", "ig", "oom", "ock", "ull", "ay", "ar", "ipe", "ond"]
    middles = [first + end for first in "bdgklmnprs" for end in ends]
    words = [*MANY, *(middle + end for middle in middles for end in ends)][:1000]
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path / "big.tif", tmp_path / "out", *words],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=3000, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    count, instances, tiles, most = map(int, run.stdout.split())
    assert count == 1000
    assert instances > 0
    return tiles, most / 1e9


# The slow tests have the real sizes.
@pytest.mark.slow
def test_memory_does_not_follow_the_picture(tmp_path: Path) -> None:
    tiles, most = peak_of(tmp_path, side=1500, copies=2)
    assert tiles == 4
    assert most < 1.2


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("side", "copies"), [(14_200, 30), (45_000, 60)])
def test_200_megapixels_and_2_gigapixels_take_less_than_2_5_gigabytes(
    tmp_path: Path, side: int, copies: int
) -> None:
    assert peak_of(tmp_path, side, copies)[1] < 2.5


@pytest.mark.slow
def test_tiles_see_what_is_around_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = cv2.resize(imaging.read(PHOTO).rgb[:300], (448, 384))
    path, seg = write_tiff(tmp_path / "big.tif", rgb), lexiseg.load("tiny")
    whole = seg(rgb, MANY).label_map
    agreed = {}
    for around in (True, False):
        monkeypatch.setattr(type(seg), "mixes_surroundings", around)
        segment_tiled(seg, path, seg.vocabulary(MANY), tmp_path / str(around), tile=192)
        with rasterio.open(tmp_path / str(around) / "labels.tif") as labels:
            agreed[around] = float((labels.read(1).astype(int) - 1 == whole).mean())
    assert agreed[True] > agreed[False] + 0.02
    with rasterio.open(tmp_path / "False" / "labels.tif") as labels:
        street = labels.read(1) == 1
    words, out = seg.vocabulary(MANY), tmp_path / "only"
    found = segment_tiled(seg, path, words, out, tile=192, only=["street"])
    with rasterio.open(out / "labels.tif") as labels:
        np.testing.assert_array_equal(labels.read(1), street)
    assert {one.word for one in found.instances} == {"street"}
    assert found.pixels.tolist() == [street.sum(), *[0] * (len(MANY) - 1)]


def test_the_command_writes_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_tiff(tmp_path / "big.tif", shapes(375, 570))
    words = ["sky", "grass"]
    arguments = ["segment", str(path), *words, "--out", str(tmp_path / "out")]
    assert main([*arguments, "--tile", "200"]) == 2
    assert "multiple of 64" in capsys.readouterr().err
    assert main([*arguments, "--tile", "256", "--cutout"]) == 2
    assert "--tile goes without --cutout" in capsys.readouterr().err
    for _ in range(2):  # again: its own files are replaced
        assert main([*arguments, "--tile", "256", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    folder = tmp_path / "out" / "big"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"labels.tif", "instances.tif", "overview.png", "result.json"}
    written = json.loads((folder / "result.json").read_text("utf-8"))
    assert written["instances"] == told["pictures"][0]["instances"]
    assert written["image"]["path"] == "../../big.tif"
    # Its masks go on to other programs.
    (back,) = read_annotations(folder)
    assert back.photo is not None
    assert (back.file_name, back.photo.resolve()) == ("big.tif", path)
    assert back.seg.masks.areas.tolist() == [one["area"] for one in written["instances"]]
    assert back.seg.labels.tolist() == [one["word"] for one in written["instances"]]
    with (
        rasterio.open(folder / "labels.tif") as labels,
        rasterio.open(folder / "instances.tif") as n,
    ):
        assert labels.shape == n.shape == (375, 570)
        for one in written["words"]:
            assert (labels.read(1) == one["value"]).sum() == one["pixels"]
        for one in written["instances"]:
            assert (n.read(1) == one["value"]).sum() == one["area"]
    assert main([*arguments, "--tile", "256", "--only", "grass", "-q"]) == 0
    only = json.loads((folder / "result.json").read_text("utf-8"))
    assert only["words"] == written["words"][1:]
