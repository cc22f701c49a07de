"""Formats of annotations: what goes out comes back, and a file is known by its content."""

from __future__ import annotations

import contextlib
import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.warp
import skimage.draw
import supervision as sv
import yaml
from docs.make import blocks, exports
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from lexiseg.cli import main
from lexiseg.errors import InputError, UnknownName
from lexiseg.export import (
    Annotated,
    format_names,
    get_format,
    list_formats,
    read_annotations,
    recognise,
    to_coco,
    to_supervision,
)
from lexiseg.export.annotated import restricted, segmentation_of
from lexiseg.export.brush_rle import brush_decode, brush_encode
from lexiseg.export.georeference import doubled_area
from lexiseg.export.outlines import fill_even_odd, outlines_of
from lexiseg.masks import Masks

# pycocotools decodes in a way that NumPy 2 is about to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WORDS = ("dog", "größe 犬", "red & <big> car", "sky")


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Small masks with holes, islands, single pixels and corners that touch; never empty."""
    height, width = draw(st.tuples(st.integers(1, 11), st.integers(1, 13)))
    seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.1, 0.4, 0.6, 0.9]))
    out: NDArray[np.bool_] = np.random.default_rng(seed).random((height, width)) < share
    out.reshape(-1)[draw(st.integers(0, height * width - 1))] = True
    return out


def annotated(dense: NDArray[np.bool_], file_name: str = "a/photo one.jpg") -> Annotated:
    labels = [WORDS[i % 3] for i in range(len(dense))]
    scores = [round(0.9 / (i + 1), 6) for i in range(len(dense))]
    masks = Masks.from_dense(dense)
    return Annotated(file_name, segmentation_of(WORDS, labels, masks, scores, source="test"))


def scattered(size_hw: tuple[int, int] = (13, 17), count: int = 4, seed: int = 0) -> Annotated:
    """Masks that overlap, with holes and islands."""
    random = np.random.default_rng(seed)
    return annotated(random.random((count, *size_hw)) < 0.5)


def same(back: Annotated, given: Annotated, *, scores: bool = True) -> None:
    assert back.seg.labels.tolist() == given.seg.labels.tolist()
    np.testing.assert_array_equal(back.seg.masks.dense(), given.seg.masks.dense())
    if scores:
        np.testing.assert_allclose(back.seg.scores, given.seg.scores, atol=1e-6)


# Outlines


@given(masks())
@settings(max_examples=500, deadline=None)
def test_outlines_along_pixel_edges_come_back(mask: NDArray[np.bool_]) -> None:
    parts = outlines_of(mask)
    rings = [ring for part in parts for ring in (part.exterior, *part.holes)]
    crop, x0, y0 = fill_even_odd(rings, mask.shape)  # type: ignore[arg-type]
    back = np.zeros_like(mask)
    back[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    np.testing.assert_array_equal(back, mask)
    # No ring comes by a corner again, and pycocotools fills those without holes alike.
    assert all(len({tuple(c) for c in ring.tolist()}) == len(ring) for ring in rings)
    if all(not part.holes for part in parts):
        polygons = [part.exterior.reshape(-1).astype(float).tolist() for part in parts]
        rles = coco_mask.frPyObjects(polygons, *mask.shape)
        np.testing.assert_array_equal(coco_mask.decode(coco_mask.merge(rles)), mask)


def test_polygons_of_any_corners_are_filled_by_pixel_centres() -> None:
    # The triangle's edge x + y = 4 runs through no centre but (1.5, 2.5) and its like: 10 inside.
    crop, x0, y0 = fill_even_odd([[(0, 0), (4.2, 0), (0, 4.2)]], (6, 5))
    assert (x0, y0) == (0, 0)
    expected = np.add.outer(np.arange(4) + 0.5, np.arange(4) + 0.5) < 4.2
    np.testing.assert_array_equal(crop, expected)
    assert fill_even_odd([[(9, 9), (12, 9), (12, 12)]], (6, 5))[0].sum() == 0


# Every format


LOSSLESS = ("coco", "cvat", "label-studio", "labelme", "lexiseg", "npz")


@pytest.mark.parametrize("name", LOSSLESS)
def test_masks_come_back(name: str, tmp_path: Path) -> None:
    pictures = [scattered(seed=i) for i in range(3)]
    pictures = [Annotated(f"a/{i}.jpg", one.seg) for i, one in enumerate(pictures)]
    pictures.append(
        Annotated("b/none.png", segmentation_of(WORDS, [], Masks.empty((3, 4)), source=""))
    )
    written = get_format(name).write(pictures, tmp_path / "out", WORDS)
    assert (written.pictures, written.instances, written.notes) == (4, 12, [])
    assert all(path.is_file() for path in written.files)
    back = {one.file_name: one for one in read_annotations(tmp_path / "out")}
    assert sorted(back) == sorted(one.file_name for one in pictures)
    for one in pictures:
        same(back[one.file_name], one)
        assert back[one.file_name].size_hw == one.size_hw
        assert set(back[one.file_name].seg.words) == set(WORDS)


@pytest.mark.parametrize("name", [one.name for one in list_formats() if not one.needs_photo])
def test_the_same_pictures_are_the_same_bytes(name: str, tmp_path: Path) -> None:
    form = get_format(name)
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        form.write([scattered()], folder)
        contents.append({p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize("masks", ["rle", "polygons"])
@given(mask=masks())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_coco_masks_come_back_through_pycocotools(
    masks: str, mask: NDArray[np.bool_], tmp_path: Path
) -> None:
    given = annotated(mask[None])
    written = get_format("coco", masks=masks).write([given], tmp_path)
    content = json.loads(written.files[0].read_text("utf-8"))
    shape = content["annotations"][0]["segmentation"]
    if isinstance(shape, list):
        shape = coco_mask.merge(coco_mask.frPyObjects(shape, *mask.shape))
    np.testing.assert_array_equal(coco_mask.decode(shape), mask)
    same(next(read_annotations(tmp_path / "instances.json")), given)


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    seg = scattered().seg
    pictures = [Annotated(name, seg) for name in ("a/b.jpg", "A/b.png", "a/c.jpg")]
    written = get_format("npz").write(pictures, tmp_path / "npz")
    names = [path.relative_to(tmp_path / "npz").as_posix() for path in written.files]
    assert names == ["a/b.npz", "A/b.png.npz", "a/c.npz"]
    for name in ("coco", "npz"):
        with pytest.raises(InputError, match="have one name"):
            get_format(name).write([pictures[0]] * 2 + [pictures[0]], tmp_path / name / "twice")
    assert list((tmp_path / "coco" / "twice").iterdir()) == []  # nothing half-written


def test_names_lead_out_of_no_folder(tmp_path: Path) -> None:
    for name in ("../../up.jpg", "/etc/passwd.jpg", "..\\x.jpg", "a/../../b.jpg"):
        form = get_format("npz")
        files = form.write([Annotated(name, scattered().seg)], tmp_path / "in").files
        assert files[0].resolve().is_relative_to((tmp_path / "in").resolve())


def test_wrong_files_get_a_line(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text('{"a": [1, 2')
    with pytest.raises(InputError, match="damaged or cut off"):
        read_annotations(tmp_path / "text.json")
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="is not of a format that is read"):
        read_annotations(tmp_path / "other.json")
    (tmp_path / "half.json").write_text('{"images": [{"id": 1}], "annotations": []}')
    with pytest.raises(InputError, match="no whole COCO instances file"):
        list(read_annotations(tmp_path / "half.json"))
    with pytest.raises(InputError, match="does not exist"):
        read_annotations(tmp_path / "none.json")
    with pytest.raises(UnknownName, match="did you mean 'coco'"):
        get_format("cocoa")


# Of so many kinds of masks, in the order of `exports.KINDS`, a format loses nothing.
LOSSLESS_KINDS = {"geotiff": 2, "panoptic": 2, "voc": 2, "yolo": 1}


@pytest.mark.parametrize("name", [one.name for one in list_formats() if one.reads])
def test_random_masks_come_back(name: str, tmp_path: Path) -> None:
    for number, kind in enumerate(exports.KINDS):
        found = exports.outcome(name, kind, tmp_path / str(number), count=1)
        lossless = number < LOSSLESS_KINDS.get(name, 3)
        assert found.lossless is lossless, (kind, str(found))
        assert lossless is not any("come back changed" in note for note in found.notes)
        if not lossless:  # what is said is what is so
            said = re.search(r"([\d,]+) of 25 masks .*IoU ([\d.]+)", "; ".join(found.notes))
            assert said is not None
            assert int(said[1]) == sum(iou < 1 for iou in found.ious)


@pytest.mark.slow
def test_the_table_of_formats_is_current() -> None:
    page = blocks.ROOT / "docs" / "how_to" / "export.md"
    text = page.read_text("utf-8")
    assert blocks.fill(text, {"exports-kept": exports.table}) == text, "run: python -m docs.make"


# Each format as others read and write it


def test_scikit_image_and_opencv_fill_outlines_alike() -> None:
    for mask in exports.random_masks(exports.KINDS[1], 0):
        drawn = np.zeros_like(mask)
        for part in outlines_of(mask):
            # scikit-image's pixel centres are whole numbers, ours halves.
            drawn[skimage.draw.polygon(*(part.exterior.T[::-1] - 0.5), mask.shape)] = True
            for hole in part.holes:
                drawn[skimage.draw.polygon(*(hole.T[::-1] - 0.5), mask.shape)] = False
        np.testing.assert_array_equal(drawn, mask)


def test_supervision_has_the_same_masks(tmp_path: Path) -> None:
    given = exports.with_photos(exports.pictures(exports.KINDS[0], 2), tmp_path)
    seg = given[0].seg
    found = to_supervision(seg)
    np.testing.assert_array_equal(found.mask, seg.masks.dense())
    np.testing.assert_array_equal(found.xyxy, seg.masks.boxes_xyxy)
    assert found["class_name"].tolist() == seg.labels.tolist()
    np.testing.assert_array_equal(np.add(sv.mask_to_xyxy(found.mask), [0, 0, 1, 1]), found.xyxy)
    get_format("coco").write(given, tmp_path / "coco")
    coco = sv.DetectionDataset.from_coco(str(tmp_path), str(tmp_path / "coco" / "instances.json"))
    by_name = {Path(path).name: found for path, _, found in coco}
    assert len(by_name) == 2
    for one in given:
        back = by_name[Path(one.file_name).name]
        np.testing.assert_array_equal(back.mask, one.seg.masks.dense())


def test_yolo_is_drawn_by_the_rule_of_ultralytics(tmp_path: Path) -> None:
    given = exports.with_photos(exports.pictures(exports.KINDS[0], 6), tmp_path / "photos")
    written = get_format("yolo", val=0.3).write(given, tmp_path / "set", ["sky"])
    assert "4 pictures to train and 2 to validate" in written.notes[-1]
    content = yaml.safe_load((tmp_path / "set" / "data.yaml").read_text("utf-8"))
    assert content["names"] == {0: "sky", **dict(enumerate(exports.WORDS[:3], 1))}
    for part, count in (("train", 4), ("val", 2)):
        photos = sorted((tmp_path / "set" / content[part]).rglob("*.tif"))
        assert len(photos) == count
        for photo in photos:
            labels = Path(str(photo).replace("images", "labels")).with_suffix(".txt")
            one = next(p for p in given if Path(p.file_name).name == photo.name)
            rows = [row.split() for row in labels.read_text().splitlines()]
            assert [content["names"][int(row[0])] for row in rows] == one.seg.labels.tolist()
            height, width = one.size_hw
            for row, mask in zip(rows, one.seg.masks, strict=True):
                # polygon2mask: shares times sides in 32 bits, cut to whole numbers, fillPoly.
                shares = np.array(row[1:], np.float32).reshape(-1, 2)
                canvas = np.zeros((height, width), np.uint8)
                corners = (shares * np.array([width, height], np.float32)).astype(np.int32)
                cv2.fillPoly(canvas, [corners], 1)
                np.testing.assert_array_equal(canvas, mask)


def test_yolo_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --photos DIR, or --set photos=false"):
        get_format("yolo").write([scattered()], tmp_path / "set")
    get_format("yolo", photos=False).write([scattered()], tmp_path / "labels")
    assert not (tmp_path / "labels" / "images").exists()


def test_label_studio_strokes_are_those_of_its_own_converter() -> None:
    # What label_studio_sdk 2.1.2 encodes and decodes, its byte of padding apart.
    mask = np.array([[1, 0, 0, 1], [0, 0, 1, 1]], np.bool_)
    stroke = [0, 0, 0, 32, 57, 27, 252, 127, 243, 128, 71, 255, 56, 4, 255, 224]
    assert brush_encode(mask) == stroke
    np.testing.assert_array_equal(brush_decode([*stroke, 0], 32), np.repeat(mask * 255, 4))
    long = np.ones((300, 400), np.bool_)  # beyond the longest counter
    assert (brush_decode(brush_encode(long), long.size * 4) == 255).all()
    with pytest.raises(ValueError, match="cut off"):
        brush_decode(stroke[:-3], 32)


def test_cvat_reads_the_example_of_its_manual_and_drawn_shapes(tmp_path: Path) -> None:
    # The mask of CVAT's documentation: a disc in a box of 13 x 15 pixels.
    disc = "3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, "
    disc += "1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7, 5, 3"
    (tmp_path / "a.xml").write_text(
        f"""<?xml version="1.0"?><annotations><version>1.1</version><meta><task><labels>
        <label><name>car</name></label><label><name>unused</name></label></labels></task></meta>
        <image id="0" name="x/photo.jpg" width="40" height="30">
        <mask label="car" rle="{disc}" left="7" top="8" width="13" height="15" z_order="0"/>
        <polygon label="car" points="30.0,1.0;34.0,1.0;34.0,4.0;30.0,4.0" group_id="1"/>
        <box label="car" xtl="36" ytl="1" xbr="38" ybr="3" group_id="1"/>
        <ellipse label="unused" cx="30" cy="20" rx="3" ry="5"/>
        <points label="car" points="1,1"/></image></annotations>"""
    )
    form, source = recognise(tmp_path / "a.xml")
    (one,) = form.read(source)
    assert (one.file_name, one.size_hw, len(one.seg)) == ("x/photo.jpg", (30, 40), 3)
    first, joined, ellipse = one.seg.masks.dense()
    crop = first[8:23, 7:20]
    assert first.sum() == crop.sum() == sum(map(int, disc.split(",")[1::2]))
    np.testing.assert_array_equal(np.flatnonzero(crop[0]), np.arange(3, 8))
    expected = np.zeros((30, 40), np.bool_)
    expected[1:4, 30:34] = expected[1:3, 36:38] = True
    np.testing.assert_array_equal(joined, expected)
    y, x = np.mgrid[:30, :40] + 0.5
    np.testing.assert_array_equal(ellipse, ((x - 30) / 3) ** 2 + ((y - 20) / 5) ** 2 <= 1)
    assert source.notes == ["1 lines, points and tags have no area, left out"]


def test_labelme_polygons_are_drawn_as_labelme_does(tmp_path: Path) -> None:
    content = {
        "version": "5.0.1", "flags": {}, "imagePath": "..\\photos\\cat 1.jpg", "imageData": None,
        "imageHeight": 9, "imageWidth": 12,
        "shapes": [
            {"label": "cat", "points": [[1, 1], [4.2, 1], [4, 5]], "group_id": 3,
             "shape_type": "polygon", "flags": {}},
            {"label": "cat", "points": [[8, 2], [10, 3]], "group_id": 3, "shape_type": "rectangle"},
            {"label": "dog", "points": [[0, 8], [5, 8]], "shape_type": "line"},
        ],
    }  # fmt: skip
    (tmp_path / "cat.json").write_text(json.dumps(content))
    form, source = recognise(tmp_path)
    (one,) = form.read(source)
    canvas = Image.new("1", (12, 9))
    draw = ImageDraw.Draw(canvas)
    draw.polygon([(1, 1), (4.2, 1), (4, 5)], outline=1, fill=1)
    draw.rectangle((8, 2, 10, 3), outline=1, fill=1)
    np.testing.assert_array_equal(one.seg.masks.dense(), np.array(canvas)[None])
    assert (one.file_name, one.seg.labels.tolist()) == ("cat 1.jpg", ["cat"])
    assert source.notes == ["cat.json: 1 lines and points have no area, left out"]


def test_label_studio_shapes_are_percent_of_the_sides(tmp_path: Path) -> None:
    about = {"original_width": 20, "original_height": 10, "from_name": "l", "to_name": "i"}
    results = [
        {**about, "type": "polygonlabels", "value":
            {"points": [[10, 20], [40, 20], [40, 60], [10, 60]], "polygonlabels": ["a"]}},
        {**about, "type": "rectanglelabels", "value":
            {"x": 50, "y": 10, "width": 20, "height": 30, "rotation": 0, "rectanglelabels": ["b"]}},
        {**about, "type": "choices", "value": {"choices": ["good"]}},
    ]  # fmt: skip
    address = "https://example.org/photos/one.jpg?size=2"
    task = {"id": 4, "data": {"image": address}, "annotations": [{"result": results}]}
    (tmp_path / "t.json").write_text(json.dumps([task]))
    (one,) = read_annotations(tmp_path / "t.json")
    expected = np.zeros((2, 10, 20), np.bool_)
    expected[0, 2:6, 2:8] = expected[1, 1:4, 10:14] = True
    np.testing.assert_array_equal(one.seg.masks.dense(), expected)
    assert (one.file_name, one.seg.labels.tolist()) == ("photos/one.jpg", ["a", "b"])


def test_coco_of_others_is_read(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 9, "file_name": "b.jpg", "height": 6, "width": 8}],
        "categories": [{"id": 7, "name": "cow"}, {"id": 3, "name": "hay"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 3, "iscrowd": 0,
             "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3], [5, 4, 7, 4, 7, 5, 5, 5]]},
            {"id": 2, "image_id": 9, "category_id": 7, "iscrowd": 1,
             "segmentation": {"size": [6, 8], "counts": [48]}},
            {"id": 3, "image_id": 9, "category_id": 7, "bbox": [1, 2, 3, 4]},
        ],
    }  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(content))
    form, source = recognise(tmp_path / "c.json")
    (one,) = form.read(source)
    expected = np.zeros((1, 6, 8), np.bool_)
    expected[0, 1:3, 1:4] = expected[0, 4, 5:7] = True
    np.testing.assert_array_equal(one.seg.masks.dense(), expected)
    assert one.seg.words == ("cow", "hay")
    assert source.notes == ["2 crowds and boxes without a mask, left out"]


def test_geodata_lie_where_the_picture_lies(tmp_path: Path) -> None:
    given = exports.with_photos(exports.pictures(exports.KINDS[1], 1), tmp_path)
    seg, photo = given[0].seg, given[0].photo
    (path,) = get_format("geojson").write(given, tmp_path / "out").files
    content = json.loads(path.read_text("utf-8"))
    with rasterio.open(photo) as file:
        shape, transform, crs = file.shape, file.transform, file.crs
    for feature, mask in zip(content["features"], seg.masks, strict=True):
        placed = rasterio.warp.transform_geom("OGC:CRS84", crs, feature["geometry"])
        drawn = rasterio.features.rasterize([placed], shape, transform=transform)
        np.testing.assert_array_equal(drawn, mask)
        first = feature["geometry"]["coordinates"][0][0]
        assert first[0] == first[-1]  # closed
        assert doubled_area(np.array(first[:-1])) > 0  # counterclockwise
    (path,) = get_format("geotiff").write(given, tmp_path / "tif").files
    with rasterio.open(path) as file:
        assert (file.crs, file.transform) == (crs, transform)
        np.testing.assert_array_equal(file.read(1), seg.label_map + 1)
    Image.new("RGB", (41, 30)).save(tmp_path / "plain.tif")
    plain = Annotated("plain.tif", seg, tmp_path / "plain.tif")
    with pytest.raises(InputError, match="has no georeference"):
        get_format("geojson").write([plain], tmp_path / "none")


def test_cutouts_are_the_pixels_of_the_masks(tmp_path: Path) -> None:
    (one,) = exports.with_photos(exports.pictures(exports.KINDS[1], 1), tmp_path)
    files = get_format("cutouts", crop=False).write([one], tmp_path / "out").files
    rgb = np.array(Image.open(one.photo))
    for path, mask in zip(sorted(files), one.seg.masks, strict=True):
        pixels = np.array(Image.open(path))
        np.testing.assert_array_equal(pixels[..., 3], mask * 255)
        np.testing.assert_array_equal(pixels[..., :3], rgb * mask[..., None])
    assert files[1].name == "002-größe 犬.png"


def test_layers_are_the_pixels_of_the_masks(tmp_path: Path) -> None:
    (one,) = exports.with_photos(exports.pictures(exports.KINDS[2], 1), tmp_path)  # they overlap
    (path,) = get_format("openraster").write([one], tmp_path / "out").files
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert archive.read("mimetype") == b"image/openraster"
        image = ET.fromstring(archive.read("stack.xml"))
        pixels = {name: np.array(Image.open(io.BytesIO(archive.read(name))))
                  for name in archive.namelist() if name.endswith(".png")}  # fmt: skip
    rgb, (height, width) = np.array(Image.open(one.photo)), one.size_hw
    assert (image.get("w"), image.get("h")) == (str(width), str(height))
    *layers, bottom = image.iter("layer")
    assert bottom.get("name") == one.file_name
    np.testing.assert_array_equal(pixels[bottom.get("src")][..., :3], rgb)
    assert [layer.get("name") for layer in layers[::-1]] == one.seg.labels.tolist()
    for layer, mask in zip(layers[::-1], one.seg.masks, strict=True):
        part = pixels[layer.get("src")]
        x, y = int(layer.get("x")), int(layer.get("y"))
        whole = np.zeros((height, width, 4), np.uint8)
        whole[y : y + part.shape[0], x : x + part.shape[1]] = part
        np.testing.assert_array_equal(whole[..., 3], mask * 255)
        np.testing.assert_array_equal(whole[..., :3], rgb * mask[..., None])
    assert max(pixels["Thumbnails/thumbnail.png"].shape[:2]) <= 256
    for name, mask in zip(
        sorted(get_format("png").write([one], tmp_path / "png").files), one.seg.masks, strict=True
    ):
        np.testing.assert_array_equal(np.array(Image.open(name)) > 0, mask)


def test_a_label_map_alone_is_exported_word_by_word(tmp_path: Path) -> None:
    seg = replace(scattered().seg[[]])
    found = to_coco(seg)["annotations"]
    words = {one["name"]: one["id"] for one in to_coco(seg)["categories"]}
    assert [one["category_id"] for one in found] == [words[word] for word in seg.found]
    for one, word in zip(found, seg.found, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(one["segmentation"]), seg.mask(word))


def test_some_words_of_a_result_are_exported() -> None:
    seg = scattered().seg
    few = restricted(seg, [WORDS[2], WORDS[0]])
    assert few.words == (WORDS[2], WORDS[0])
    assert set(few.labels) == {WORDS[0], WORDS[2]}
    np.testing.assert_array_equal(few.mask(WORDS[0]), seg.mask(WORDS[0]))


# The command


def convert(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["convert", *map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


def test_one_format_becomes_another(tmp_path: Path) -> None:
    given = scattered()
    get_format("cvat").write([given], tmp_path)
    code, said, _ = convert(tmp_path / "annotations.xml", "--to", "coco", "--out", tmp_path / "c")
    assert (code, said) == (
        0,
        f"1 pictures with 4 masks as coco: {tmp_path / 'c'}/instances.json\n",
    )
    same(next(read_annotations(tmp_path / "c")), given)
    code, said, _ = convert(tmp_path / "c", "--to", "voc", "--out", tmp_path / "v", "--json")
    assert code == 0
    told = json.loads(said)
    assert (told["from"], told["instances"]) == (["coco"], 4)
    assert re.search(r"\d of 4 masks come back changed \(smallest IoU 0\.\d+\)", told["notes"][0])
    # A second run replaces what the first wrote, and what is no longer made goes away.
    get_format("cvat").write([Annotated("other.jpg", given.seg)], tmp_path)
    again = convert(tmp_path / "annotations.xml", "--to", "npz", "--out", tmp_path / "v")
    assert again[0] == 0
    left = sorted(p.name for p in (tmp_path / "v").rglob("*") if p.is_file())
    assert left == [".lexiseg-export.json", "other.npz"]


def test_convert_overwrites_nothing_of_others(tmp_path: Path) -> None:
    get_format("cvat").write([scattered()], tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "instances.json").write_text("mine")
    code, _, err = convert(tmp_path / "annotations.xml", "--to", "coco", "--out", tmp_path / "out")
    assert (code, "which no export wrote" in err) == (2, True)
    assert (tmp_path / "out" / "instances.json").read_text() == "mine"
    code, _, err = convert(tmp_path / "annotations.xml", "--to", "coco", "--out", tmp_path)
    assert (code, "is read from there" in err) == (2, True)
    code, _, err = convert(tmp_path / "annotations.xml", "--to", "yolo", "--out", tmp_path / "y")
    assert (code, "--photos DIR" in err, err.count("\n")) == (2, True, 1)
    assert not (tmp_path / "y").exists()
    code, _, err = convert(tmp_path / "annotations.xml", "--to", "yolo", "--set", "vall=0.1")
    assert (code, "did you mean 'val'" in err) == (2, True)


def test_formats_are_listed() -> None:
    code, said, _ = convert("--list")
    assert code == 0
    assert [name for name in format_names() if f"\n{name} " not in f"\n{said}"] == []
    assert convert("x.json")[0] == 2
