"""The method grounded, on pictures and with boxes whose answers can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.boxes import ColourBoxes
from tests.conftest import COLOURS
from tests.flood import FloodMasker

from lexiseg.errors import OptionError, UnknownName
from lexiseg.methods.grounded import Config, Segmenter


def segmenter(detector: ColourBoxes | None = None, **fields: Any) -> Segmenter:
    return Segmenter(detector or ColourBoxes(), FloodMasker(), Config(**fields))


def test_things_are_boxed_and_drawn(stripes: NDArray[np.uint8]) -> None:
    out = segmenter()(stripes, ["red", "blue", "yellow"])
    assert out.labels.tolist() == ["red", "blue"]
    assert out.scores.tolist() == pytest.approx([0.9, 0.7])
    assert out.quality is not None
    assert out.quality.tolist() == pytest.approx([0.9, 0.9])
    wanted = np.full((64, 96), -1)
    wanted[:, :40], wanted[:, 80:] = 0, 1
    np.testing.assert_array_equal(out.semantic(), wanted)
    assert out.masks.boxes_xyxy.tolist() == [[0, 0, 40, 64], [80, 0, 96, 64]]
    assert out.word_scores.tolist() == pytest.approx([0.9, 0.7, 0])
    assert out.found == ("red", "blue")
    assert out.provenance.prompts is not None
    assert out.provenance.prompts.boxes_xyxy == ((0, 0, 40, 64), (80, 0, 96, 64))


def test_synonyms_are_asked_for_and_answer_together(stripes: NDArray[np.uint8]) -> None:
    detector = ColourBoxes()
    out = segmenter(detector)(stripes, ["red|blue", "green|lawn"])
    assert detector.asked == [["red", "blue", "green", "lawn"]]
    assert out.labels.tolist() == ["red", "red", "green"]
    assert out.scores.tolist() == pytest.approx([0.9, 0.7, 0.8])


def test_what_scores_too_little_is_no_box(stripes: NDArray[np.uint8]) -> None:
    words = ["red?", "blue"]
    assert segmenter()(stripes, words).found == ("blue",)
    assert segmenter(box_threshold=0.1)(stripes, words).found == ("red?", "blue")
    weak = segmenter(box_threshold=0.1, word_thresholds={"red?": 0.3})(stripes, words)
    assert weak.found == ("blue",)
    assert weak.word_scores.tolist() == pytest.approx([0, 0.7])


def test_excluded_words_give_their_pixels_away(stripes: NDArray[np.uint8]) -> None:
    # A grey and green thing, of which green is excluded: it scores less, and lies on it.
    detector = ColourBoxes(extra={"thing": [((40, 0, 80, 64), 0.85)]})
    masker = FloodMasker()
    rgb = stripes.copy()
    rgb[:, 40:80] = COLOURS["grey"]
    rgb[20:40, 45:60] = COLOURS["green"]

    class Boxed(FloodMasker):
        """Draws the whole box, so that a part lies inside it."""

        def _answers(self, state: Any, prompts: Any, i: int, made: Any) -> Any:
            x0, y0, x1, y1 = (round(v) for v in prompts.boxes_xyxy[i].tolist())
            mask = np.zeros(state.areas.shape, np.bool_)
            mask[y0:y1, x0:x1] = True
            return [(mask, 0.9)]

    plain = Segmenter(detector, Boxed(), Config())(rgb, ["thing"])
    assert plain.pixels.tolist() == [64 * 40]
    out = Segmenter(detector, Boxed(), Config())(rgb, ["thing -green"])
    assert out.words == ("thing",)
    wanted = np.full((64, 96), -1)
    wanted[:, 40:80] = 0
    wanted[20:40, 45:60] = -1
    np.testing.assert_array_equal(out.semantic(), wanted)
    np.testing.assert_array_equal(out["thing"].union(), wanted == 0)
    # The same thing under two names: the better score has it.
    same = ColourBoxes(extra={"thing": [((40, 0, 80, 64), 0.85)], "grey": [((41, 0, 80, 64), 0.5)]})
    kept = Segmenter(same, Boxed(), Config())(stripes, ["thing -grey"])
    assert kept.found == ("thing",)
    same.extra["grey"] = [((41, 0, 80, 64), 0.95)]
    lost = Segmenter(same, Boxed(), Config())(stripes, ["thing -grey"])
    assert lost.found == ()
    assert len(lost) == 0
    assert masker.asked == 0


def test_double_boxes_are_one_and_overlaps_go_to_the_better_score(
    stripes: NDArray[np.uint8],
) -> None:
    detector = ColourBoxes(extra={"thing": [((0, 0, 39, 64), 0.5), ((0, 0, 20, 64), 0.4)]})
    out = segmenter(detector, box_nms_threshold=0.5)(stripes, ["thing"])
    assert len(out) == 1  # 20 of 39 columns: an IoU of 0.51
    assert len(segmenter(detector, box_nms_threshold=0.6)(stripes, ["thing"])) == 2
    both = segmenter(detector)(stripes, ["thing", "red"])
    assert both.labels.tolist() == ["red"]  # 39 and 20 of 40 columns of the same area
    assert segmenter(detector, iou_threshold=0.99)(stripes, ["thing", "red"]).found == ("red",)
    best = segmenter(detector, top_k=1)(stripes, ["thing"])
    assert best.scores.tolist() == pytest.approx([0.5])


def test_background_words_are_looked_for_only_where_they_are_given(
    stripes: NDArray[np.uint8],
) -> None:
    detector = ColourBoxes(extra={"thing": [((0, 0, 40, 64), 0.5)]})
    seg = segmenter(detector)
    assert seg(stripes, ["thing"]).found == ("thing",)
    assert seg(stripes, ["thing"], background=["red"]).found == ()
    assert detector.asked == [["thing"], ["thing", "red"]]
    named = seg(stripes, ["thing", "background"])
    assert detector.asked[-1] == ["thing"]
    assert named.share("background") == pytest.approx(56 / 96)
    assert "background" not in named.labels.tolist()


def test_a_closed_vocabulary_fills_with_the_nearest(stripes: NDArray[np.uint8]) -> None:
    out = segmenter()(stripes, ["red", "blue"], background=None)
    labels = out.semantic()
    assert (labels[:, :60] == 0).all()  # 40 to 80 is nobody's: half to each
    assert (labels[:, 60:] == 1).all()
    assert out["red"].areas.tolist() == [40 * 64]  # an instance is what was drawn
    nobody = segmenter(ColourBoxes(extra={"thing": [((0, 0, 9, 9), 0.1)]}))
    far = nobody(stripes, ["yellow", "thing"], background=None)
    assert (far.semantic() == 1).all()
    assert far.word_scores.tolist() == pytest.approx([0, 0.1])


def test_a_view_is_encoded_once_and_belongs_to_its_models(stripes: NDArray[np.uint8]) -> None:
    detector = ColourBoxes()
    seg = segmenter(detector)
    view = seg.prepare(stripes)
    seg(view, ["red"])
    seg(view, ["blue"])
    assert detector.encoded == 1
    assert seg.masker.encoded == 1  # type: ignore[attr-defined]
    other = segmenter(ColourBoxes(name="other"))
    with pytest.raises(OptionError, match="prepare the image with the same segmenter"):
        other(view, ["red"])


@pytest.mark.parametrize(
    "fields",
    [
        {"box_threshold": 1.5}, {"box_nms_threshold": 0.0}, {"top_k": 0}, {"iou_threshold": -1.0},
        {"word_thresholds": {"red": 3.0}}, {"min_quality": 1.5}, {"min_share": -0.1},
    ],
)  # fmt: skip
def test_absurd_settings_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Config(**fields)


def test_a_threshold_for_a_word_that_is_not_asked_is_refused(stripes: NDArray[np.uint8]) -> None:
    with pytest.raises(UnknownName):
        segmenter(word_thresholds={"green": 0.5})(stripes, ["red"])
