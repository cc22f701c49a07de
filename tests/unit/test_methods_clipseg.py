"""The method clipseg on a model that sees nothing but colours: results worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import COLOURS, ColourEncoder, ColourPrompted
from tests.flood import FloodMasker

import lexiseg
from lexiseg import Example, Like
from lexiseg.errors import OptionError, PromptError, UnknownName
from lexiseg.methods.clipseg import Config, Segmenter
from lexiseg.prompts import Vocabulary

# The stripes: red to column 40, green to 64, grey to 80, blue to the end.


@pytest.fixture
def model(colours: ColourEncoder) -> ColourPrompted:
    return ColourPrompted(colours)


@pytest.fixture
def seg(model: ColourPrompted) -> Segmenter:
    return Segmenter(model, Config(refine="none"))


def plain(name: str, height: int = 30, width: int = 50) -> NDArray[np.uint8]:
    return np.full((height, width, 3), COLOURS[name], np.uint8)


def columns(labels: NDArray[np.integer], value: int) -> tuple[int, int]:
    found = np.flatnonzero((labels == value).all(0))
    return int(found[0]), int(found[-1]) + 1


def test_words(seg: Segmenter, stripes: NDArray[np.uint8]) -> None:
    out = seg(stripes, ["blue", "red"])
    assert columns(out.semantic(), 1) == (0, 40)
    assert columns(out.semantic(), 0) == (80, 96)
    assert (out.semantic()[:, 41:79] == -1).all()
    assert out.word_scores.tolist() == pytest.approx([1, 1], abs=0.04)


def test_an_example_picture_stands_for_a_word(
    seg: Segmenter, stripes: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "leaf.png"
    Image.fromarray(plain("green")).save(path)
    out = seg(stripes, [Like.of(path), "red"])
    assert out.words == ("like leaf.png", "red")
    assert columns(out.semantic(), 0) == (40, 64)
    assert columns(out.semantic(), 1) == (0, 40)
    assert seg(stripes, Like.of(plain("green"), name="leaf")).words == ("leaf",)


def test_a_box_or_a_mask_says_what_of_it_is_meant(
    seg: Segmenter, stripes: NDArray[np.uint8]
) -> None:
    mask = np.zeros(stripes.shape[:2], np.bool_)
    mask[5:50, 45:60] = True
    for like in (
        Like.of(stripes, box=(45, 5, 60, 50), name="x"),
        Like.of(stripes, mask=mask, name="x"),
    ):
        assert columns(seg(stripes, [like]).semantic(), 0) == (40, 64)


def test_examples_are_averaged(seg: Segmenter, stripes: NDArray[np.uint8]) -> None:
    """Half red, half blue: cosines of 0.71 with both, and logits of 4."""
    both = Like((Example(plain("red")), Example(plain("blue"))), name="x")
    maps = seg.prompt_maps(stripes, [both])
    wanted = 1 / (1 + np.exp(-(20 * 0.5 - 10 + 20 * (0.5 - 0.5))))
    # The mean of two unit vectors at a right angle has a product of 0.5 with each.
    assert maps.full(0)[30, 20] == pytest.approx(wanted, abs=1e-3)
    assert maps.full(0)[30, 88] == pytest.approx(wanted, abs=1e-3)
    assert maps.full(0)[30, 52] < 1e-4


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_words_and_examples_are_mixed_by_weight(
    seg: Segmenter, stripes: NDArray[np.uint8], weight: float
) -> None:
    like = Like.of(plain("red"), words="blue|azure", name="x", weight=weight)
    maps = seg.prompt_maps(stripes, [like])
    # "azure" lies elsewhere, so the words' mean has half of blue.
    for column, part in ((20, 1 - weight), (88, weight / 2)):
        wanted = 1 / (1 + np.exp(-(20 * part - 10)))
        assert maps.full(0)[30, column] == pytest.approx(wanted, abs=2e-3)


def test_prompt_maps_do_not_hang_on_other_prompts(
    seg: Segmenter, stripes: NDArray[np.uint8]
) -> None:
    alone = seg.prompt_maps(stripes, "red").full(0)
    among = seg.prompt_maps(stripes, "scarlet; red; green").full(1)
    np.testing.assert_array_equal(alone, among)
    together = seg(stripes, "red; scarlet", background=None).heatmap("red")
    assert together[30, 20] < alone[30, 20]


@pytest.mark.parametrize("fusion", ["max", "mean", "attention"])
def test_synonyms_are_fused(model: ColourPrompted, stripes: NDArray[np.uint8], fusion: str) -> None:
    seg = Segmenter(model, Config(refine="none", fusion=fusion))
    out = seg(stripes, ["red|crimson|scarlet"])
    assert columns(out.semantic(), 0) == (0, 40)
    far = seg(stripes, ["red|blue"]).semantic()
    # The mean of a map of 10 and one of -10 does not pass the cutoff.
    assert bool((far[:, :40] == 0).all()) == (fusion != "mean")


def test_excluded_words_give_pixels_away(seg: Segmenter, stripes: NDArray[np.uint8]) -> None:
    assert columns(seg(stripes, ["orange"]).semantic(), 0) == (0, 40)
    # Red itself has a better map there.
    assert (seg(stripes, ["orange -red"]).semantic() == -1).all()


def test_the_cutoff_is_what_a_map_must_pass(
    model: ColourPrompted, stripes: NDArray[np.uint8]
) -> None:
    """Orange has a cosine of 0.71 with red: a logit of 4.1, a probability of 0.984."""
    for cutoff, found in ((0.3, True), (0.97, True), (0.99, False)):
        out = Segmenter(model, Config(refine="none", cutoff=cutoff))(stripes, "orange")
        assert ("orange" in out.found) == found


@pytest.mark.parametrize("factor", [0.02, 3.0])
def test_zero_shot_takes_the_largest_map_the_backgrounds_times_a_factor(
    model: ColourPrompted, stripes: NDArray[np.uint8], factor: float
) -> None:
    seg = Segmenter(model, Config(refine="none", templates="plain", background_factor=factor))
    asked = ["background", "orange", "green"]
    out = seg(stripes, asked, background=None)
    view = seg.prepare(stripes)
    own = model.maps(view.encoded, model.words(asked)).sigmoid()  # a bare name a class
    own[0] *= factor
    grid = out.score_map
    assert grid is not None
    np.testing.assert_array_equal(grid.grid.argmax(0), own.argmax(0).numpy())
    cut = Segmenter(model, Config(refine="none", cutoff=0.99))(stripes, asked, background=None)
    assert "orange" not in cut.found  # without a factor the cutoff decides


def test_one_picture_pass_for_any_number_of_prompts(
    seg: Segmenter, colours: ColourEncoder, stripes: NDArray[np.uint8]
) -> None:
    view = seg.prepare(stripes)
    before = len(colours.seen)
    seg(view, "red; green; blue; grey; yellow; white")
    seg(view, ["black"])
    assert len(colours.seen) == before


def test_guided_and_pamr_keep_what_is_there(
    model: ColourPrompted, stripes: NDArray[np.uint8]
) -> None:
    for refine in ("guided", "pamr"):
        out = Segmenter(model, Config(refine=refine, pamr_steps=2))(stripes, "red; green; blue")
        assert (out.semantic()[:, 4:36] == 0).all()
        assert (out.semantic()[:, 44:60] == 1).all()
        assert (out.semantic()[:, 84:92] == 2).all()


def test_a_mask_model_draws_the_outlines(model: ColourPrompted, stripes: NDArray[np.uint8]) -> None:
    """Blocks of the map end at whole cells; the flood's areas where colours end."""
    picture = stripes.copy()
    picture[:, 40:43] = COLOURS["red"]  # an edge inside a cell of 4 pixels
    masker = FloodMasker()
    seg = Segmenter(model, Config(refine="sam"), masker)
    out = seg(picture, "red; green; blue")
    assert masker.encoded == 1
    assert masker.asked == 3
    boxes = masker.prompts[0].boxes_xyxy
    assert boxes is not None
    assert boxes.shape == (3, 4)
    assert columns(out.semantic(), 0) == (0, 43)
    assert columns(out.semantic(), 1) == (43, 64)
    assert out.provenance.masker == "flood"
    assert out.quality is not None
    assert sorted(out.labels.tolist()) == ["blue", "green", "red"]
    for word in ("red", "green", "blue"):
        k = out.index(word)
        np.testing.assert_array_equal(out[word].union(), out.semantic() == k)


def test_clip_then_sam_takes_its_maps(
    model: ColourPrompted, stripes: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lexiseg.models.load_prompted", lambda *_, **__: model)
    monkeypatch.setattr("lexiseg.models.load_masker", lambda *_, **__: FloodMasker())
    seg = lexiseg.load("clip-then-sam", mapper="clipseg")
    assert seg.mapper.name == "clipseg"
    out = seg(stripes, "red; blue")
    assert columns(out.semantic(), 0) == (0, 40)
    assert columns(out.semantic(), 1) == (80, 96)


@pytest.mark.parametrize("method", ["dense", "clip-then-sam", "sam-then-clip"])
def test_examples_stand_for_words_in_other_methods(
    colours: ColourEncoder, stripes: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr("lexiseg.models.load_encoder", lambda *_, **__: colours)
    monkeypatch.setattr("lexiseg.models.load_masker", lambda *_, **__: FloodMasker())
    seg = lexiseg.load(method)
    like = Like.of(stripes, box=(84, 4, 92, 54), name="sea")
    out = seg(stripes, [like, "red"])
    assert columns(out.semantic(), 0) == (80, 96)
    assert columns(out.semantic(), 1) == (0, 40)
    assert out.unknown == ()


def test_what_cannot_be_is_refused(model: ColourPrompted, stripes: NDArray[np.uint8]) -> None:
    for settings in (
        {"cutoff": 0.0}, {"mix": 2.0}, {"short_side": 8}, {"templates": ("no place",)},
        {"templates": ()}, {"min_agreement": 1.5}, {"pamr_steps": 0},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            Config(**settings)  # type: ignore[arg-type]
    for settings in ({"refine": "crf"}, {"fusion": "sum"}, {"prepare": ("dim",)}):
        with pytest.raises(UnknownName):
            Config(**settings)  # type: ignore[arg-type]
    seg = Segmenter(model, Config())
    with pytest.raises(PromptError):
        seg(stripes, [Like.of(stripes, box=(0, 0, 0, 4), name="x")])
    with pytest.raises(PromptError, match="twice"):
        seg(stripes, ["red", Like.of(stripes, name="red")])
    with pytest.raises(OptionError, match="one of the two"):
        seg(stripes, Vocabulary.parse("red"), background=None)
    view = seg.prepare(stripes)
    with pytest.raises(OptionError, match="same segmenter"):
        seg.prepare(replace(view, models=("another",)))
