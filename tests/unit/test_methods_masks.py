"""clip-then-sam and sam-then-clip with models that see colours: results worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import clip_weights
from tests.conftest import COLOURS
from tests.flood import FloodMasker

from lexiseg.errors import OptionError, PromptError, UnknownName
from lexiseg.masks import Masks
from lexiseg.methods import clip_then_sam, dense, sam_then_clip
from lexiseg.methods.sam_then_clip import classify_masks
from lexiseg.models import load_encoder
from lexiseg.protocols import DenseMapper
from lexiseg.stages.dense import WordVectors

Pixels = NDArray[np.uint8]


@pytest.fixture
def garden() -> Pixels:
    """(64, 96, 3): green, with two red squares, a blue one, and a yellow spot on the first red."""
    out = np.empty((64, 96, 3), np.uint8)
    out[:] = COLOURS["green"]
    out[9:31, 9:31] = out[41:63, 65:87] = COLOURS["red"]
    out[10:30, 50:70] = COLOURS["blue"]
    out[16:24, 16:24] = COLOURS["yellow"]
    return out


def guided(colours: Any, **settings: Any) -> tuple[clip_then_sam.Segmenter, FloodMasker]:
    masker = FloodMasker()
    mapper = dense.Segmenter(colours, dense.Config(encoder="colours", refine="none"))
    config = replace(clip_then_sam.Config(min_region_area=20), **settings)
    return clip_then_sam.Segmenter(mapper, masker, config), masker


def everything(colours: Any, **settings: Any) -> sam_then_clip.Segmenter:
    config = replace(sam_then_clip.Config(points_per_side=8, crop_side=32), **settings)
    return sam_then_clip.Segmenter(colours, FloodMasker(), config)


def area(picture: Pixels, colour: str) -> NDArray[np.bool_]:
    return (picture == COLOURS[colour]).all(2)


def test_masks_are_exact_where_the_map_is_coarse(colours: Any, garden: Pixels) -> None:
    seg, masker = guided(colours)
    assert isinstance(seg.mapper, DenseMapper)
    out = seg(garden, ["red", "blue"])
    rough = seg.mapper(garden, ["red", "blue"])
    assert (rough.semantic() != out.semantic()).any()
    np.testing.assert_array_equal(out.semantic() == 0, area(garden, "red"))
    np.testing.assert_array_equal(out.semantic() == 1, area(garden, "blue"))
    assert out.labels.tolist() == ["red", "red", "blue"]  # two red things are two entries
    np.testing.assert_allclose(out.quality, 0.9)
    assert (out.scores > 0.7).all()
    prompts = out.provenance.prompts
    assert prompts is not None
    assert prompts.grid_size == 4096
    assert prompts.num_prompts == masker.asked < 4096
    assert prompts.points_xy is not None
    assert len(prompts.points_xy) == masker.asked
    assert out.provenance.masker == "flood"
    assert "masker flood.safetensors" in out.provenance.checkpoint_sha256


def test_another_mapper_is_found_by_name(colours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import lexiseg

    monkeypatch.setattr("lexiseg.models.load_encoder", lambda *_, **__: colours)
    monkeypatch.setattr("lexiseg.models.load_masker", lambda *_, **__: FloodMasker())
    seg = lexiseg.load("clip-then-sam", mapper_fields={"short_side": 96}, background=("grey",))
    assert seg.mapper.config.short_side == 96
    assert seg.mapper.config.background == ("grey",)
    for mapper in ("clip-then-sam", "sam-then-clip"):
        with pytest.raises(OptionError, match="asks a mask model itself"):
            lexiseg.load("clip-then-sam", mapper=mapper)
    with pytest.raises(UnknownName, match="dense"):
        lexiseg.load("clip-then-sam", mapper="dens")
    with pytest.raises(UnknownName, match="short_side"):
        lexiseg.load("clip-then-sam", mapper_fields={"short_sid": 96})


@pytest.mark.parametrize("method", ["guided", "everything"])
def test_excluded_words_keep_their_pixels_and_are_no_instances(
    colours: Any, garden: Pixels, method: str
) -> None:
    seg = guided(colours)[0] if method == "guided" else everything(colours)
    out = seg(garden, ["red -yellow", "blue -green"])
    assert out.words == ("red", "blue")
    np.testing.assert_array_equal(out.semantic() == 0, area(garden, "red"))
    assert (out.semantic()[area(garden, "yellow")] == -1).all()
    assert set(out.labels.tolist()) == {"red", "blue"}


def test_negative_points_lie_on_other_words(colours: Any, garden: Pixels) -> None:
    seg, masker = guided(colours, negative_points=2)
    seg(garden, ["red", "blue", "yellow"])
    prompts = masker.prompts[0]
    assert prompts.points_xy.shape[1] == 3
    for places, labels in zip(
        prompts.points_xy.tolist(), prompts.point_labels.tolist(), strict=True
    ):
        assert labels == [1, 0, 0]
        seen = [tuple(garden[int(y), int(x)]) for x, y in places]
        assert seen[0] not in seen[1:]


def test_no_region_is_told_with_the_best_score(colours: Any, garden: Pixels) -> None:
    seg, masker = guided(colours, min_region_area=5000)
    out = seg(garden, ["red", "blue"])
    assert masker.asked == len(out) == 0
    (note,) = out.provenance.notes
    assert "no region of 5000 pixels" in note
    assert "the best score is" in note
    assert "--min-confidence" in note
    assert out.share("red") > 0.05  # the map itself stays


def test_nested_masks_stay_whole_and_the_label_map_as_it_was(colours: Any, garden: Pixels) -> None:
    plain = guided(colours)[0](garden, ["red", "blue", "yellow"])
    seg, masker = guided(colours, nested=True, points_per_side=8, min_quality=0.1)
    masker.min_quality = 0.75
    out = seg(garden, ["red", "blue", "yellow"])
    assert masker.asked > len(plain.labels)
    np.testing.assert_array_equal(out.semantic(), plain.semantic())
    # Quarters are no duplicates of the whole; the grown one is of the blue square and of the red
    # one without a hole: 400 / 484 and 484 / 576 of them are common, but 420 / 540 and 64 / 100.
    assert out.labels.tolist() == ["red"] * 5 + ["blue"] * 2 + ["yellow"] * 3
    spot = area(garden, "yellow")
    grown = np.zeros_like(spot)
    grown[15:25, 15:25] = True
    whole = [out.masks.mask(i) for i in np.flatnonzero(out.labels == "yellow")]
    assert any((mask == spot).all() for mask in whole)
    assert any((mask == grown).all() for mask in whole)  # though red has some of these pixels
    masker.min_quality = 0.88  # leaves nothing but the whole ones
    assert seg(garden, ["red", "blue", "yellow"]).labels.tolist() == [
        "red", "red", "blue", "yellow"
    ]  # fmt: skip


def test_clicks_alone_are_named_by_their_order(colours: Any, garden: Pixels) -> None:
    seg, _ = guided(colours)
    out = seg(garden, points=[(12, 12), (60, 20)], boxes=[(60, 30, 90, 60)], not_points=[(1, 1)])
    assert out.words == ("point 1", "point 2", "box 1")
    assert out.labels.tolist() == list(out.words)
    assert out["point 1"].areas.tolist() == [22 * 22 - 64]
    np.testing.assert_array_equal(out["box 1"].union()[41:60, 65:87], True)
    assert colours.seen == []  # no map of words was made
    view = seg.prepare(garden, words=False)
    again = seg(view, points=[(12, 12)])
    assert again.semantic()[12, 12] == 0
    assert (seg(view, ["red"]).semantic() == 0).any()  # now the map is made


def test_clicks_refine_what_words_found(colours: Any, garden: Pixels) -> None:
    seg, _ = guided(colours, min_region_area=400)  # the second red square alone gets a point
    plain = seg(garden, ["red", "blue"])
    out = seg(garden, ["red", "blue"], points=[(11, 11)])
    assert len(out["red"]) >= len(plain["red"])
    np.testing.assert_array_equal(out.semantic() == 0, area(garden, "red"))
    out = seg(garden, ["red", "blue"], not_points=[(75, 50)])
    assert not out["red"].union()[50, 75]
    assert out.semantic()[50, 75] != 0


def test_clicks_outside_are_refused_in_one_line(colours: Any, garden: Pixels) -> None:
    seg, _ = guided(colours)
    for wrong in (
        {"points": [(96, 3)]}, {"points": [(-1, 3)]}, {"not_points": [(3, 64)]},
        {"boxes": [(5, 5, 97, 20)]}, {"boxes": [(9, 9, 9, 20)]},
    ):  # fmt: skip
        with pytest.raises(PromptError, match="96 pixels wide and 64 high"):
            seg(garden, ["red"], **wrong)
    for wrong in ({"points": [(1, 2, 3)]}, {"boxes": [(1, 2)]}, {"points": [("a", "b")]}):
        with pytest.raises(PromptError, match="numbers"):
            seg(garden, **wrong)
    with pytest.raises(PromptError, match="nothing to look for"):
        seg(garden)


@pytest.mark.parametrize("scoring", ["crops", "features"])
def test_everything_is_drawn_then_named(colours: Any, garden: Pixels, scoring: str) -> None:
    seg = everything(colours, scoring=scoring, alpha=0.0)
    view = seg.prepare(garden)
    assert sorted(view.everything.areas.tolist())[:2] == [64, 400]
    out = seg(view, ["red", "blue", "yellow"])
    for k, word in enumerate(out.words):
        np.testing.assert_array_equal(out.semantic() == k, area(garden, word))
    assert out.labels.tolist() == ["red", "red", "blue", "yellow"]
    best = everything(colours, scoring=scoring, alpha=0.0, top_k=1)(garden, ["red", "blue"])
    assert best.labels.tolist() == ["red", "blue"]
    assert seg(garden, ["white"]).found == ()


def test_what_surrounds_a_mask_counts_against_it(colours: Any, garden: Pixels) -> None:
    loud = everything(colours, alpha=0.0)(garden, ["red"]).word_scores[0]
    quiet = everything(colours, alpha=1.0)(garden, ["red"]).word_scores[0]
    assert 0 < quiet < loud


def test_all_masks_over_a_pixel_vote() -> None:
    dense_masks = np.zeros((2, 6, 9), np.bool_)
    dense_masks[0, 1:] = dense_masks[1, 1:, :4] = True
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9]], np.float32)
    opinions = classify_masks._Opinions(
        Masks.from_dense(dense_masks), np.array([1, 2], np.float32), probabilities,
        np.array([0, 1]),
        np.array([0.6, 0.9], np.float32),
    )  # fmt: skip
    for limit, right in ((0.5, 0), (0.65, -1)):
        limits = np.array([limit, 0], np.float32)
        owners, labels, scores = classify_masks._label_map(opinions, limits, 2, -1)
        assert (owners[0] == -1).all()
        assert (owners[1:, :4] == 1).all()  # (0.4 + 2 * 0.9) / 3 is more than (0.6 + 2 * 0.1) / 3
        assert (owners[1:, 4:] == 0).all()
        assert (labels[1:, 4:] == right).all()
        assert (labels[1:, :4] == 1).all()
        np.testing.assert_allclose(scores, [0.6 if right == 0 else 0, 0.9])
    asked = classify_masks._label_map(opinions, limits, 1, 0)[1]  # the second one is the background
    assert (asked[0] == 0).all(), "no mask: the word that stands for nothing"
    assert (asked[1:] == -1).all()


def test_surroundings_count_by_themselves_for_clip_alone(
    colours: Any, garden: Pixels, tmp_path: Path
) -> None:
    def scores(encoder: Any, **settings: Any) -> list[float]:
        config = sam_then_clip.Config(points_per_side=4, short_side=64, **settings)
        seg = sam_then_clip.Segmenter(encoder, FloodMasker(), config)
        view = seg.prepare(garden)
        vectors = seg.encoder.text(["red", "blue"])
        owners = torch.tensor([0, 1])
        return seg._cosines(view, WordVectors(vectors, owners, 2, None)).flatten().tolist()

    assert scores(colours) == scores(colours, alpha=0.0) != scores(colours, alpha=0.3)
    clip = load_encoder(str(clip_weights.write_openclip(tmp_path / "clip")), device="cpu")
    assert scores(clip) == scores(clip, alpha=0.3) != scores(clip, alpha=0.0)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (
        {"region_threshold": 2.0}, {"iou_threshold": 0.0}, {"points_per_region": 0},
        {"point": "middle"}, {"points_per_side": -1}, {"min_region_area": 0},
        {"word_thresholds": {"a": 3.0}},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            replace(clip_then_sam.Config(), **wrong)
    for wrong in (
        {"scoring": "loud"}, {"top_k": 0}, {"layers": (0.0,)}, {"templates": "none such"},
        {"alpha": 2.0}, {"word_thresholds": {"a": 3.0}},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            replace(sam_then_clip.Config(), **wrong)


def test_a_view_of_another_segmenter_is_refused(colours: Any, garden: Pixels) -> None:
    for seg in (guided(colours)[0], everything(colours)):
        view = replace(seg.prepare(garden), makers=("somebody", "else"))
        with pytest.raises(OptionError, match="same segmenter"):
            seg(view, ["red"])
