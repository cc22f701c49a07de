"""The method sam3, with a detector whose answers can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.boxes import ColourBoxes
from tests.conftest import COLOURS

from lexiseg.errors import OptionError, PromptError
from lexiseg.methods.sam3 import Config, Segmenter


def segmenter(detector: ColourBoxes | None = None, **fields: Any) -> Segmenter:
    return Segmenter(detector or ColourBoxes(), Config(**fields))


def test_words_find_and_draw(stripes: NDArray[np.uint8]) -> None:
    detector = ColourBoxes()
    out = segmenter(detector)(stripes, ["red|crimson", "blue", "green -grey"])
    assert detector.asked == [["red", "crimson", "blue", "green", "grey"]]
    assert out.labels.tolist() == ["red", "blue", "green"]
    assert out.scores.tolist() == pytest.approx([0.9, 0.7, 0.8])
    assert out.quality is None
    wanted = np.full((64, 96), -1)
    wanted[:, :40], wanted[:, 40:64], wanted[:, 80:] = 0, 2, 1
    np.testing.assert_array_equal(out.semantic(), wanted)
    assert out.provenance.masker == "boxes"


def test_boxes_alone_are_concepts_of_their_own(stripes: NDArray[np.uint8]) -> None:
    rgb = stripes.copy()
    rgb[:10, 85:95] = COLOURS["red"]  # far from the example, and like it
    detector = ColourBoxes()
    out = segmenter(detector)(rgb, boxes=[(5, 5, 30, 30), (45, 5, 60, 60)])
    assert detector.examples == [
        (None, [[5, 5, 30, 30]], [True]),
        (None, [[45, 5, 60, 60]], [True]),
    ]
    assert out.words == ("box 1", "box 2")
    np.testing.assert_array_equal(out["box 1"].union(), (rgb == COLOURS["red"]).all(2))
    assert out.semantic()[5, 90] == 0
    assert out.semantic()[30, 50] == 1


def test_boxes_are_examples_of_one_word(stripes: NDArray[np.uint8]) -> None:
    detector = ColourBoxes()
    out = segmenter(detector)(
        stripes, "thing -blue", boxes=[(5, 5, 30, 30), (45, 5, 60, 60)], not_boxes=[(66, 5, 78, 60)]
    )
    (asked,) = detector.examples
    assert asked[0] == "thing"
    assert asked[2] == [True, True, False]
    assert ["blue"] in detector.asked
    assert out.words == ("thing",)
    assert len(out) == 2
    np.testing.assert_array_equal(out["thing"].union()[:, :64], True)
    assert not out["thing"].union()[:, 64:].any()
    with pytest.raises(PromptError, match="examples of one word"):
        segmenter()(stripes, ["a", "b"], boxes=[(5, 5, 30, 30)])
    with pytest.raises(PromptError, match="give words or boxes"):
        segmenter()(stripes)
    with pytest.raises(PromptError, match="does not lie in"):
        segmenter()(stripes, boxes=[(5, 5, 300, 30)])


def test_the_best_of_each_word_and_thresholds(stripes: NDArray[np.uint8]) -> None:
    boxes = [((0, 0, 20, 64), 0.5), ((20, 0, 40, 64), 0.4), ((45, 0, 60, 64), 0.2)]
    detector = ColourBoxes(extra={"thing": boxes})  # type: ignore[dict-item]
    assert len(segmenter(detector)(stripes, ["thing"])) == 2
    assert len(segmenter(detector, box_threshold=0.1)(stripes, ["thing"])) == 3
    assert segmenter(detector, top_k=1)(stripes, ["thing"]).scores.tolist() == [0.5]
    few = segmenter(detector, threshold=0.45)(stripes, ["thing"])
    assert few.scores.tolist() == [0.5]
    assert few.share("thing") == pytest.approx(20 / 96)


def test_a_detector_of_boxes_alone_is_refused() -> None:
    class Boxes:
        name = "boxes only"

    with pytest.raises(OptionError, match="boxes only"):
        Segmenter(Boxes(), Config())  # type: ignore[arg-type]
    for fields in ({"box_threshold": 2.0}, {"top_k": 0}, {"iou_threshold": 0.0}):
        with pytest.raises(OptionError):
            Config(**fields)  # type: ignore[arg-type]
