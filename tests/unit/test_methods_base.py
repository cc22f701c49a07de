"""What all segmenters share, with one that does next to nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import ColourEncoder

import lexiseg.protocols
from lexiseg import imaging
from lexiseg.errors import OptionError, PictureError, PromptError, UnknownName
from lexiseg.masks import Masks
from lexiseg.methods._base import (
    BaseSegmenter,
    StageTimer,
    class_thresholds,
    parse_vocabulary,
)
from lexiseg.methods._config import VocabularyConfig
from lexiseg.prompts import DEFAULT_BACKGROUND, Vocabulary
from lexiseg.protocols import View
from lexiseg.results import Segmentation

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Config(VocabularyConfig):
    """No settings of its own."""


@dataclass(frozen=True)
class PaintingConfig(VocabularyConfig):
    """paint_unknown: let words that the encoder does not know compete too."""

    paint_unknown: bool = True


class Model:
    device_name, dtype_name = "cpu", "fp32"

    def __init__(self, name: str) -> None:
        self.name, self.sha256 = name, {f"{name}.bin": name * 4}


class FirstWord(BaseSegmenter[float]):
    """Every pixel shows the first word; an image is encoded as its mean."""

    name = "first-word"

    def __init__(self, config: Any = None, *models: Any) -> None:
        scorer, *rest = models or (Model("one"),)
        super().__init__(config or Config(), scorer, rest[0] if rest else None, rest[1:])
        self.encodings = 0

    def encode(self, picture: imaging.Picture) -> tuple[float, NDArray[np.int64] | None]:
        self.encodings += 1
        half = picture.size_hw[1] // 2
        return float(picture.rgb.mean()), np.array([[0, 0, half, 5]]) if half > 50 else None

    def segment(self, view: View[float], vocabulary: Vocabulary) -> Segmentation:
        timer = StageTimer(view.seconds)
        with timer("label"):
            labels = np.zeros(view.picture.size_hw, np.int16)
        first = np.array(vocabulary.names[:1])
        scores = np.ones(len(vocabulary.names), np.float32)
        return Segmentation(
            words=vocabulary.names, labels=first, scores=np.ones(1, np.float32),
            masks=Masks.from_dense(labels[None] == 0), label_map=labels,
            word_scores=np.where(np.arange(len(scores)) == 0, scores, 0),
            provenance=self.provenance(view, timer.seconds),
        )  # fmt: skip


@pytest.fixture
def seg() -> FirstWord:
    return FirstWord()


def test_it_is_a_segmenter(seg: FirstWord) -> None:
    assert isinstance(seg, lexiseg.protocols.Segmenter)
    assert seg.all_masks(seg.prepare(np.zeros((3, 4, 3), np.uint8))) is None
    with pytest.raises(TypeError, match="abstract"):
        BaseSegmenter(Config(), Model("one"))  # type: ignore[abstract]


# Views


def test_an_image_becomes_a_view_once(seg: FirstWord, stripes: Pixels, tmp_path: Path) -> None:
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    for source in (stripes, tmp_path / "stripes.png", imaging.read(stripes)):
        view = seg.prepare(source)
        np.testing.assert_array_equal(view.picture.rgb, stripes)
        assert view.encoded == stripes.mean()
    assert (view.method, view.models) == ("first-word", ("one",))
    assert view.windows_xyxy.tolist() == [[0, 0, 96, 64]]
    assert set(view.seconds) == {"read", "encode"}
    assert seg.prepare(view) is view
    seg(view, ["red"])
    seg(view, ["blue"])
    assert seg.encodings == 3
    wide = seg.prepare(np.zeros((5, 120, 3), np.uint8))
    assert wide.windows_xyxy.tolist() == [[0, 0, 60, 5]]


def test_a_view_belongs_to_its_method_and_models(stripes: Pixels) -> None:
    seg = FirstWord(None, Model("one"), Model("two"))
    view = seg.prepare(stripes)
    assert view.models == ("one", "two")  # the mask model comes last
    for changes, says in (
        ({"models": ("one",)}, "made by first-word with one, and this is first-word with one, two"),
        ({"models": ("two", "one")}, "with two, one,"),
        ({"method": "last-word"}, "made by last-word with one, two, and this is first-word with"),
    ):
        with pytest.raises(OptionError, match=f"{says}.*; prepare the image with the same seg"):
            seg(replace(view, **changes), ["red"])  # type: ignore[arg-type]


def test_larger_images_are_refused_where_that_is_wanted(
    seg: FirstWord, stripes: Pixels, tmp_path: Path
) -> None:
    path = tmp_path / "stripes.png"
    Image.fromarray(stripes).save(path)
    with pytest.raises(PictureError):
        seg.prepare(path, max_pixels=64 * 96 - 1)
    assert seg.prepare(path, max_pixels=64 * 96).picture.size_hw == (64, 96)


# Words


def test_words_are_parsed_before_the_image_is_read(seg: FirstWord) -> None:
    for words in ("", [], ["a", "a"]):
        with pytest.raises(PromptError):
            seg("no such picture.jpg", words)
    with pytest.raises(PictureError):
        seg("no such picture.jpg", "a")


def test_the_background_is_of_the_call_or_of_the_config() -> None:
    config = Config(background=("wall", "sky"))
    assert parse_vocabulary("red", "default", config).background == ("wall", "sky")
    assert parse_vocabulary("red", "default", Config()).background == DEFAULT_BACKGROUND
    assert parse_vocabulary("red", ["floor"], config).background == ("floor",)
    assert parse_vocabulary("red", None, config).background is None
    parsed = Vocabulary.parse("red", background=["floor"])
    assert parse_vocabulary(parsed, "default", config) is parsed
    for background in (None, ["floor"]):
        with pytest.raises(OptionError, match="a Vocabulary has its own; give one of the two"):
            parse_vocabulary(parsed, background, config)


def test_a_threshold_is_for_a_word_that_is_asked() -> None:
    config = Config(threshold=0.3, word_thresholds={"sky": 0.5, "background": 0.2})
    with pytest.raises(UnknownName, match="did you mean 'sky'"):
        parse_vocabulary("sky; background", "default", Config(word_thresholds={"sly": 0.5}))
    words = parse_vocabulary("red; background; sky -sun", "default", config)
    # Excluded words and what is no word have no limit, the word "background" its own alone.
    np.testing.assert_allclose(class_thresholds(words, config), [0.3, 0.2, 0.5, 0.0])
    plain = replace(config, word_thresholds={})
    np.testing.assert_allclose(class_thresholds(words, plain), [0.3, 0.0, 0.3, 0.0])
    opened = parse_vocabulary("red", "default", plain)
    np.testing.assert_allclose(class_thresholds(opened, plain), [0.3, 0.0])


@pytest.mark.parametrize(
    ("config", "background", "silent"),
    [
        (Config(), "default", {"zither"}), (Config(), None, set()),
        (PaintingConfig(), "default", set()), (PaintingConfig(paint_unknown=False), "default",
                                               {"zither"}),
    ],
)  # fmt: skip
def test_unknown_words_get_no_pixel_unless_there_is_nothing_else(
    colours: ColourEncoder, config: Any, background: str | None, silent: set[str]
) -> None:
    seg = FirstWord(config, colours)
    words = Vocabulary.parse("red; zither", background=background)
    unknown, without_pixels = seg.unknown_words(colours, words)
    assert [word.word for word in unknown] == ["zither"]
    assert without_pixels == silent
    assert seg.unknown_words(Model("one"), words) == ((), set())


# Results


def test_a_result_holds_its_image_if_that_is_wanted(seg: FirstWord, stripes: Pixels) -> None:
    assert seg(stripes, "red").image is None
    view = seg.prepare(stripes)
    out = seg(view, "red", keep_image=True)
    np.testing.assert_array_equal(out.image, stripes)  # type: ignore[arg-type]
    assert seg(view, "red").image is None


def test_what_is_fully_transparent_is_nothing(seg: FirstWord, stripes: Pixels) -> None:
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:, :32], alpha[10, 50] = 0, 1
    out = seg(np.dstack([stripes, alpha]), "red; blue", background=None)
    there = alpha > 0
    assert (out.label_map == np.where(there, 0, -1)).all()
    assert (out.masks.mask(0) == there).all()
    assert out.share("red") == 64 / 96
    assert out.word_scores.tolist() == [1, 0]
    nothing = seg(np.dstack([stripes, np.zeros_like(alpha)]), "red")
    assert (nothing.found, len(nothing), nothing.word_scores.tolist()) == ((), 0, [0])
    assert nothing.label_map.dtype == np.int16


def test_a_result_says_how_it_came_about(stripes: Pixels) -> None:
    picture = imaging.Picture(stripes, notes=("turned upright",))
    config = Config(threshold=0.25)
    seg = FirstWord(config, Model("one"), Model("two"), Model("three"))
    made = seg(picture, "red").provenance
    assert (made.method, made.encoder, made.masker) == ("first-word", "one", "two")
    assert made.config["threshold"] == 0.25
    assert set(made.seconds) == {"read", "encode", "label"}
    assert min(made.seconds.values()) >= 0
    assert made.notes == ("turned upright",)
    assert dict(made.checkpoint_sha256) == dict(seg.sha256)
    assert {"one.bin", "three.bin"} <= set(seg.sha256)
    assert sorted(seg.sha256.values()) == sorted(name * 4 for name in ("one", "two", "three"))


def test_times_of_a_stage_add_up() -> None:
    timer = StageTimer({"read": 1.0, "words": 2.0})
    for _ in range(3):
        with timer("words"):
            pass
    with pytest.raises(KeyError), timer("label"):
        raise KeyError
    assert timer.seconds["read"] == 1.0
    assert timer.seconds["words"] >= 2.0
    given = {"read": 1.0}
    with StageTimer(given)("read"):
        pass
    assert given == {"read": 1.0}
