"""Overlays, heat maps, cut-outs and the debug overlay, by hand-worked pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lexiseg.errors import OptionError, PictureError, WordNotAsked
from lexiseg.masks import Masks
from lexiseg.results import Provenance, ScoreMap, Segmentation, UnknownWord
from lexiseg.visualize import (
    cutout,
    debug_overlay,
    heatmap,
    mask_overlay,
    overlay,
    palette,
)
from lexiseg.visualize.debug_overlay import margin_map

WORDS = ("dog", "grass", "zebra")


def result(size_hw: tuple[int, int] = (30, 50), **changes: Any) -> Segmentation:
    """A dog on the left half of the upper two thirds, grass below, nothing elsewhere."""
    height, width = size_hw
    label_map = np.full(size_hw, -1, np.int16)
    label_map[: 2 * height // 3, : width // 2] = 0
    label_map[2 * height // 3 :] = 1
    grid = np.zeros((3, 2, 2), np.float16)
    grid[0, 0, 0], grid[1, 1, :], grid[2, 0, 1] = 1.0, 0.75, 0.25
    parts: dict[str, Any] = {
        "words": WORDS,
        "labels": np.array(["dog", "grass"]),
        "scores": np.array([0.9, 0.8], np.float32),
        "masks": Masks.from_labels(label_map, [0, 1]),
        "label_map": label_map,
        "word_scores": np.array([0.9, 0.8, 0.0], np.float32),
        "provenance": Provenance(method="dense", encoder="tiny"),
        "score_map": ScoreMap(grid, size_hw),
        "image": np.random.default_rng(1).integers(0, 256, (*size_hw, 3)).astype(np.uint8),
    }
    return Segmentation(**{**parts, **changes})


def test_without_legend_and_outlines_each_pixel_is_a_blend() -> None:
    seg = result(image=np.full((30, 50, 3), (200, 100, 40), np.uint8))
    out = overlay(seg, alpha=0.5, outlines=False, legend=False)
    assert out.shape == (30, 50, 3)
    grey = round(0.299 * 200 + 0.587 * 100 + 0.114 * 40)
    pale = (np.array([200, 100, 40]) + grey) / 2
    dog, grass, _ = palette(WORDS).astype(float)
    np.testing.assert_allclose(out[5, 5], (pale + dog) / 2, atol=1.5)
    np.testing.assert_allclose(out[25, 40], (pale + grass) / 2, atol=1.5)
    quiet = 0.6 * np.array([200, 100, 40]) + 0.3 * grey
    np.testing.assert_allclose(out[5, 45], quiet, atol=1.5)


def test_alpha_0_leaves_found_pixels_as_they_are() -> None:
    seg = result()
    assert seg.image is not None
    out = overlay(seg, alpha=0.0, outlines=False, legend=False)
    found = seg.label_map >= 0
    assert (out[found] == seg.image[found]).all()


def test_only_leaves_other_words_out() -> None:
    seg = result()
    everything = overlay(seg, outlines=False, legend=False)
    only = overlay(seg, outlines=False, legend=False, only=["grass"])
    assert (only[20:] == everything[20:]).all()
    nothing = overlay(seg, outlines=False, legend=False, only=["zebra"])
    assert (only[:20] == nothing[:20]).all()
    assert (only[:20, :25] != everything[:20, :25]).any()
    with pytest.raises(WordNotAsked, match="did you mean 'grass'"):
        overlay(seg, only=["gras"])


def test_outlines_follow_the_border_and_leave_the_edge_of_the_picture() -> None:
    seg = result((300, 500))
    plain = overlay(seg, outlines=False, legend=False).astype(int)
    lined = overlay(seg, outlines=True, legend=False).astype(int)
    changed = (lined != plain).any(axis=-1)
    assert changed[100, 245:255].any()  # where the dog ends
    assert changed[195:205, 100].any()  # where the grass begins
    assert not changed[100, 10:230].any()
    assert not changed[0:190, 0:230].any()
    assert not changed[215:].any()


def test_a_speck_gets_its_tint_and_no_outline() -> None:
    label_map = np.full((300, 500), -1, np.int16)
    label_map[100, 100] = 0
    seg = result((300, 500), label_map=label_map)
    plain = overlay(seg, outlines=False, legend=False)
    assert (overlay(seg, legend=False) == plain).all()


@pytest.mark.parametrize(
    ("size_hw", "drawn"),
    [
        ((48, 64), (480, 640)),
        ((480, 640), (480, 640)),
        ((3000, 4000), (1536, 2048)),
        ((1, 1), (640, 640)),
        ((3, 5000), (1, 2048)),
    ],
)
def test_a_figure_has_a_size_for_the_eye(size_hw: tuple[int, int], drawn: tuple[int, int]) -> None:
    label_map = np.zeros(size_hw, np.int16)
    grid = ScoreMap(np.full((3, 1, 1), 0.5, np.float16), size_hw)
    seg = result(
        size_hw, label_map=label_map, masks=Masks.from_labels(label_map, [0, 1]), score_map=grid
    )
    for figure in (overlay(seg), heatmap(seg, "dog"), debug_overlay(seg)):
        assert figure.dtype == np.uint8
        assert figure.shape[0] >= drawn[0]
        assert figure.shape[1] >= drawn[1]
        assert figure.shape[0] > drawn[0] or figure.shape[1] > drawn[1]
    assert overlay(seg, legend=False).shape == (*size_hw, 3)


def test_a_small_picture_is_enlarged_by_whole_pixels() -> None:
    # On one colour, so that only the labels can differ: ten pixels for one, in each direction.
    flat = result((48, 64), image=np.full((48, 64, 3), 90, np.uint8))
    large = overlay(flat, outlines=False)[:480, :640]
    expected = np.kron(overlay(flat, outlines=False, legend=False), np.ones((10, 10, 1), np.uint8))
    assert (large == expected).all()


def test_unknown_and_absent_words_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from lexiseg.visualize import legend

    seen: list[Any] = []
    monkeypatch.setattr(legend, "attach", lambda figure, *rest: seen.append(rest) or figure)
    overlay(result())
    overlay(result(unknown=(UnknownWord("zebra", ("horse",), 0.3),)))
    overlay(result(), only=["dog"])
    (first, notes), (_, other), (alone, none) = seen
    assert [(e.name, round(e.share, 3), e.count) for e in first] == [
        ("dog", 0.333, 1),
        ("grass", 0.333, 1),
    ]
    assert notes == ["not found: zebra"]
    assert other == ["not known: zebra"]
    assert [entry.name for entry in alone] == ["dog"]
    assert none == []


def test_an_overlay_needs_the_picture_that_was_segmented() -> None:
    seg = result(image=None)
    with pytest.raises(PictureError, match="keeps no photo to draw on; give it as image="):
        overlay(seg)
    with pytest.raises(PictureError, match="50x31 pixels, the masks have 50x30"):
        overlay(seg, np.zeros((31, 50, 3), np.uint8))
    with pytest.raises(OptionError, match=r"alpha must be in \[0, 1\], got 3"):
        overlay(seg, np.zeros((30, 50, 3), np.uint8), alpha=3)
    out = overlay(seg, np.zeros((30, 50, 3), np.uint8), legend=False)
    assert out.shape == (30, 50, 3)


def test_heat_rises_from_dim_grey_to_bright() -> None:
    seg = result(image=np.full((30, 50, 3), 128, np.uint8))
    out = heatmap(seg, "dog", legend=False).astype(int)
    assert out.shape == (30, 50, 3)
    dim = out[-1, -1]  # score 0
    bright = out[0, 0]  # score 1
    assert np.ptp(dim) < 6
    assert 70 < dim.mean() < 90
    assert bright[0] > 200
    assert bright[2] < bright[0]
    with pytest.raises(WordNotAsked):
        heatmap(seg, "cat")
    with pytest.raises(OptionError, match="keeps no probabilities"):
        heatmap(result(score_map=None), "dog")


def test_a_cut_out_keeps_the_pixels_of_the_word_and_nothing_else() -> None:
    seg = result()
    assert seg.image is not None
    out = cutout(seg, "dog")
    mask = seg.label_map == 0
    assert out.shape == (30, 50, 4)
    assert (out[mask, :3] == seg.image[mask]).all()
    assert (out[mask, 3] == 255).all()
    assert not out[~mask].any()
    assert not cutout(seg, "zebra").any()
    every = cutout(seg)
    assert (every[seg.label_map >= 0, 3] == 255).all()
    assert not every[seg.label_map < 0].any()
    assert (cutout(seg, ["dog", "zebra"]) == out).all()
    half = np.full(mask.shape, 128, np.uint8)
    thin = cutout(seg, "dog", np.dstack([seg.image, half]))
    assert (thin == np.where(out[..., 3:] > 0, np.dstack([out[..., :3], half]), 0)).all()
    with pytest.raises(WordNotAsked):
        cutout(seg, "cat")


def test_the_margin_counts_what_the_words_leave_as_background() -> None:
    # By place: one word sure; two words even; background wins; word ahead of the background.
    grid = np.array([[[1.0, 0.5], [0.1, 0.6]], [[0.0, 0.5], [0.2, 0.1]]], np.float16)
    margin = margin_map(ScoreMap(grid, (20, 30)))
    np.testing.assert_allclose(margin, [[1.0, 0.0], [0.5, 0.3]], atol=1e-3)


def test_windows_and_points_are_drawn_where_they_are() -> None:
    seg = result((300, 640), score_map=None, image=np.zeros((300, 640, 3), np.uint8))
    boxes = np.array([[100, 50, 400, 250]])
    plain = debug_overlay(seg)[:300, :640]
    out = debug_overlay(seg, boxes_xyxy=boxes, points_xy=np.array([[200.0, 100.0]]))[:300, :640]
    rows, columns = np.nonzero((out != plain).any(axis=-1))
    assert columns.min() in range(100, 107)
    assert rows.min() in range(50, 57)
    assert rows.max() in range(243, 250)
    assert columns.max() in range(393, 400)
    assert (out[100, 200] == 255).all()
    assert not (out[150, 250] != plain[150, 250]).any()


def test_every_mask_is_tinted_and_only_what_matched_is_kept() -> None:
    rgb = np.full((20, 30, 3), 100, np.uint8)
    dense = np.zeros((2, 20, 30), bool)
    dense[0, 2:18, 2:20] = True
    dense[1, 5:9, 5:9] = True
    labels = np.where(dense[0], 0, -1).astype(np.int16)
    labels[dense[1]] = 1
    seg = Segmentation(
        words=("a", "b"), labels=np.array(["a", "b"]), scores=np.ones(2, np.float32),
        masks=Masks.from_dense(dense), label_map=labels, word_scores=np.ones(2, np.float32),
        provenance=Provenance(method="sam-then-clip", encoder="tiny"), image=rgb,
    )  # fmt: skip
    drawn = mask_overlay(seg, seg.masks)
    assert (drawn[~dense[0]] == 100).all()
    inner, outer = drawn[6, 6], drawn[15, 15]
    assert (inner != outer).any()  # the small mask lies over the large one
    assert (drawn[dense[0] & ~dense[1]] == outer).all()
    cut = cutout(seg, ["b"])
    np.testing.assert_array_equal(cut[..., 3] == 255, dense[1])
    assert not cut[~dense[1]].any()
