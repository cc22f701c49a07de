"""sam-then-clip with models that see colours: results worked out by hand."""

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

from lexiseg.errors import OptionError
from lexiseg.masks import Masks
from lexiseg.methods import clip_then_sam, dense, sam_then_clip
from lexiseg.methods.sam_then_clip.classify_masks import classify_masks
from lexiseg.methods.sam_then_clip.segmenter import EncodedMasks
from lexiseg.models import load_encoder
from lexiseg.prompts import Vocabulary
from lexiseg.protocols import LoadOptions
from lexiseg.results import Provenance, Segmentation
from lexiseg.stages.automatic_masks import Proposals
from lexiseg.stages.word_vectors import WordVectors

Pixels = NDArray[np.uint8]


def everything(colours: Any, **settings: Any) -> sam_then_clip.Segmenter:
    config = replace(sam_then_clip.Config(points_per_side=8, crop_side=32), **settings)
    return sam_then_clip.Segmenter(colours, FloodMasker(), config)


def area(picture: Pixels, colour: str) -> NDArray[np.bool_]:
    return (picture == COLOURS[colour]).all(2)


@pytest.mark.parametrize("scoring", ["crops", "features"])
def test_everything_is_drawn_then_named(colours: Any, garden: Pixels, scoring: str) -> None:
    seg = everything(colours, scoring=scoring, alpha=0.0)
    view = seg.prepare(garden)
    assert sorted(view.encoded.masks.areas[:-1].tolist())[:2] == [64, 400]
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


def test_excluded_words_keep_their_pixels_and_are_no_instances(
    colours: Any, garden: Pixels
) -> None:
    out = everything(colours)(garden, ["red -yellow", "blue -green"])
    assert out.words == ("red", "blue")
    np.testing.assert_array_equal(out.semantic() == 0, area(garden, "red"))
    assert (out.semantic()[area(garden, "yellow")] == -1).all()
    assert set(out.labels.tolist()) == {"red", "blue"}


def classified(
    words: str, background: list[str] | None, probabilities: list[list[float]], threshold: float
) -> Segmentation:
    """Two masks and what neither covers, of 6x9 pixels, each with a probability of every class.

    The first mask covers all rows but the first; the second, twice as good, their first columns.
    """
    masks = np.zeros((2, 6, 9), np.bool_)
    masks[0, 1:] = masks[1, 1:, :4] = True
    vocabulary = Vocabulary.parse(words, background=background)
    assert vocabulary.num_classes == len(probabilities[0])
    quality = np.array([0.4, 0.8], np.float32)
    proposals = Proposals(Masks.from_dense(masks), quality, np.ones_like(quality), 9, 9)
    uncovered = Masks.from_dense(~masks.any(0, keepdims=True))
    class_ids = torch.arange(vocabulary.num_classes)
    vectors = WordVectors(
        torch.zeros(len(class_ids), 4), class_ids, len(class_ids), vocabulary.background_class
    )
    scale = 20.0
    config = sam_then_clip.Config(
        threshold=threshold, relative_threshold=0.0, nested_threshold=None, iou_threshold=1.0
    )
    return classify_masks(
        EncodedMasks(proposals, uncovered, None, None), vocabulary, vectors,
        torch.tensor(probabilities).clamp_min(1e-6).log() / scale, scale, config,
        Provenance(method="sam-then-clip", encoder="none"),
    )  # fmt: skip


@pytest.mark.parametrize(("threshold", "right"), [(0.5, 0), (0.65, -1)])
def test_all_masks_over_a_pixel_vote(threshold: float, right: int) -> None:
    probabilities = [[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.3, 0.7, 0.0]]
    out = classified("one; two", ["wall"], probabilities, threshold)
    labels = out.semantic()
    assert (labels[0] == -1).all()  # no mask
    assert (labels[1:, :4] == 1).all()  # (0.4 + 2 * 0.9) / 3 is more than (0.6 + 2 * 0.1) / 3
    assert (labels[1:, 4:] == right).all()
    np.testing.assert_allclose(out.word_scores, [0.6 if right == 0 else 0, 0.9], atol=1e-5)
    # An instance is what its mask keeps of its pixels.
    assert out.labels.tolist() == (["one", "two"] if right == 0 else ["two"])
    assert out["two"].areas.tolist() == [20]
    assert out["one"].areas.sum() == (25 if right == 0 else 0)
    assert out.score_map is not None
    shared = [0.6 + 2 * 0.1, 0.4 + 2 * 0.9]  # over 3, but for the least weight of any mask
    np.testing.assert_allclose(out.score_map.grid[:, 3, 2] * 3, shared, atol=0.01)
    np.testing.assert_allclose(out.score_map.grid[:, 3, 6], [0.6, 0.4], atol=0.001)


def test_what_no_mask_covers_is_one_more_mask_in_a_closed_vocabulary() -> None:
    probabilities = [[0.6, 0.4], [0.1, 0.9], [0.3, 0.7]]
    labels = classified("one; two", None, probabilities, 0.0).semantic()
    assert (labels[0] == 1).all()
    assert (labels[1:, 4:] == 0).all()
    assert (labels[1:, :4] == 1).all()


def test_what_no_mask_covers_is_the_word_background() -> None:
    """Classes: the background, another word, and one that is excluded and wins the first columns"""
    probabilities = [[0.6, 0.0, 0.4], [0.1, 0.0, 0.9], [0.0, 1.0, 0.0]]
    out = classified("background; one -two", ["wall"], probabilities, 0.0)
    assert (out.semantic()[0] == 0).all()
    assert (out.semantic()[1:, 4:] == 0).all()
    assert (out.semantic()[1:, :4] == -1).all()
    assert len(out) == 0


def test_surroundings_count_by_themselves_for_clip_alone(
    colours: Any, garden: Pixels, tmp_path: Path
) -> None:
    def scores(encoder: Any, **settings: Any) -> Any:
        config = sam_then_clip.Config(points_per_side=4, short_side=64, **settings)
        seg = sam_then_clip.Segmenter(encoder, FloodMasker(), config)
        found = seg(garden, ["red", "blue"], background=None).score_map
        assert found is not None
        return found.grid.tolist()

    assert scores(colours) == scores(colours, alpha=0.0) != scores(colours, alpha=0.3)
    clip = load_encoder(
        str(clip_weights.write_openclip(tmp_path / "clip")), LoadOptions(device="cpu")
    )
    assert scores(clip) == scores(clip, alpha=0.3) != scores(clip, alpha=0.0)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (
        {"scoring": "loud"}, {"top_k": 0}, {"layer_depths": (0.0,)}, {"layer_depths": ()},
        {"layer_depths": (0.5, 1.1)}, {"alpha": 2.0}, {"min_mask_region_area": -1},
        {"min_quality": 1.5}, {"crop_n_layers": 5}, {"points_per_side": 0}, {"batch": 0},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            replace(sam_then_clip.Config(), **wrong)  # type: ignore[arg-type]


def test_a_view_of_another_segmenter_is_refused(colours: Any, garden: Pixels) -> None:
    seg = everything(colours)
    view = replace(seg.prepare(garden), models=("somebody", "else"))
    with pytest.raises(OptionError, match="same segmenter"):
        seg(view, ["red"])
    # The same two models, of another method.
    mapper = dense.Segmenter(colours, dense.Config(encoder="colours"))
    other = clip_then_sam.Segmenter(mapper, FloodMasker(), clip_then_sam.Config())
    assert other.prepare(garden).models == seg.prepare(garden).models
    with pytest.raises(OptionError, match=r"made by clip-then-sam .* this is sam-then-clip"):
        seg(other.prepare(garden), ["red"])


def test_thresholds_of_sam_are_refused_with_a_masker_that_rates_otherwise() -> None:
    from lexiseg import load

    for preset in ("sam1", "sam2"):
        with pytest.raises(OptionError, match=f"the preset '{preset}' is for SAM's weights: 'tiny"):
            load("sam-then-clip", preset=preset)
    sam = FloodMasker()
    sam.min_quality = 0.8
    for preset in ("sam1", "sam2"):
        settings = sam_then_clip.PRESETS[preset]
        sam_then_clip.config.check_masker(sam_then_clip.Config(**settings), sam)
    sam_then_clip.config.check_masker(sam_then_clip.Config(), FloodMasker())
