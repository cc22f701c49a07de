"""Formats of annotations: what goes out comes back, and a file is known by its content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from lexiseg.errors import InputError, UnknownName
from lexiseg.export import Annotated, format_names, get_format, read_annotations
from lexiseg.export.annotated import segmentation_of
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


LOSSLESS = ("coco", "lexiseg", "npz")


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


@pytest.mark.parametrize("name", format_names())
def test_the_same_pictures_are_the_same_bytes(name: str, tmp_path: Path) -> None:
    form = get_format(name)
    if form.needs_photo:
        pytest.skip("it has photos in it, tested with them")
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
    pictures = [scattered(), Annotated("A/photo one.png", scattered().seg)]
    with pytest.raises(InputError, match="would have one name"):
        get_format("npz").write(pictures, tmp_path / "npz")
    with pytest.raises(InputError, match="would have one name"):
        get_format("coco").write(pictures, tmp_path / "coco")
    assert list((tmp_path / "coco").iterdir()) == []  # nothing half-written


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
