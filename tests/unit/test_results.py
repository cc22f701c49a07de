"""Results: checked at birth, chosen from, counted, sent, and written as JSON."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lexiseg
from lexiseg.errors import InputError, OptionError, PromptError, WordNotAsked
from lexiseg.masks import Masks
from lexiseg.results import PromptSummary, Provenance, ScoreMap, Segmentation, UnknownWord

WORDS = ("dog", "grass", "sky", "unicorn")
LABEL_MAP = np.array(
    [
        [2, 2, 2, 2, 2, 2],
        [2, 0, 0, -1, 2, 2],
        [1, 0, 0, 1, 0, 0],
        [1, 1, 1, 1, 0, 0],
    ],
    np.int16,
)


def some_result(**changes: Any) -> Segmentation:
    left, right = LABEL_MAP == 0, LABEL_MAP == 0
    left[:, 4:], right[:, :4] = False, False
    parts: dict[str, Any] = {
        "words": WORDS,
        "labels": np.array(["dog", "dog", "sky"]),
        "scores": np.array([0.9, 0.4, 0.7], np.float32),
        "quality": np.array([0.5, 0.6, 0.7], np.float32),
        "masks": Masks.from_dense(np.stack([left, right, LABEL_MAP == 2])),
        "label_map": LABEL_MAP,
        "word_scores": np.array([0.9, 0.3, 0.7, 0.0], np.float32),
        "unknown": (UnknownWord("unicorn", ("horse", "zebra"), 0.4),),
        "score_map": ScoreMap(np.linspace(0, 1, 24).reshape(4, 2, 3).astype(np.float16), (4, 6)),
        "image": np.zeros((4, 6, 3), np.uint8),
        "provenance": Provenance(method="dense", encoder="tiny"),
    }
    return Segmentation(**{**parts, **changes})


def test_masks_of_a_word() -> None:
    out = some_result()
    assert len(out) == 3
    assert out.size_hw == (4, 6)
    assert isinstance(out["dog"], Masks)
    np.testing.assert_array_equal(out["dog"].union(), LABEL_MAP == 0)
    assert len(out["unicorn"]) == 0
    assert out["unicorn"].union().shape == (4, 6)


def test_a_word_that_was_not_asked_is_a_key_error() -> None:
    out = some_result()
    with pytest.raises(KeyError, match="did you mean 'dog'"):
        out["dogs"]
    with pytest.raises(PromptError, match="the words are: dog, grass, sky, unicorn"):
        out.share("xx")
    assert out.index("d\u200bog") == out.index("dog")
    assert len(out["d\u200bog"]) == len(out["dog"])
    with pytest.raises(WordNotAsked):
        out.heatmap("cat")


def test_choosing_instances_keeps_the_label_map_whole() -> None:
    out = some_result()
    best = out[out.scores > 0.5]
    assert best.labels.tolist() == ["dog", "sky"]
    assert best.scores.tolist() == pytest.approx([0.9, 0.7])
    assert best.quality is not None
    assert best.quality.tolist() == pytest.approx([0.5, 0.7])
    assert best.masks.areas.tolist() == [4, 9]
    np.testing.assert_array_equal(best.semantic(), LABEL_MAP)
    assert out[-1].labels.tolist() == ["sky"]
    assert out[1:].labels.tolist() == ["dog", "sky"]
    assert out[[]].labels.tolist() == []
    assert out[np.array([2, 0])].labels.tolist() == ["sky", "dog"]
    assert some_result(quality=None)[0].quality is None
    with pytest.raises(IndexError):
        out[3]


def test_shares_come_from_the_label_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexiseg.masks.masks._BAND_PIXELS", 12)  # of 24
    out = some_result()
    assert out.pixels.tolist() == [8, 6, 9, 0]
    assert out.share("dog") == 8 / 24
    assert out.share("unicorn") == 0.0
    assert out.found == ("dog", "grass", "sky")
    assert out[[]].found == out.found
    assert out.semantic()[1, 3] == -1
    assert repr(out) == "Segmentation(4 x 6, 3 instances; dog 33.3%, grass 25.0%, sky 37.5%)"


def test_nothing_found_is_a_result() -> None:
    out = some_result(
        labels=np.array([], str),
        scores=np.zeros(0, np.float32),
        quality=None,
        masks=Masks.empty((4, 6)),
        label_map=np.full((4, 6), -1, np.int32),
    )
    assert len(out) == 0
    assert out.found == ()
    assert repr(out) == "Segmentation(4 x 6, 0 instances; nothing)"
    assert out[out.scores > 0.5].labels.shape == (0,)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"words": ("dog", "grass", "sky", "dog")}, "repeat"),
        ({"labels": np.array(["dog", "cat", "sky"])}, "labels \\['cat'\\] are not among"),
        ({"labels": np.array(["dog", "sky"])}, "2 labels for 3 masks"),
        ({"scores": np.array([0.5, 0.5])}, "scores of shape \\(2,\\); give \\(3,\\)"),
        ({"scores": np.array([0.5, 0.5, 1.5])}, "scores from 0.5 to 1.5"),
        ({"scores": np.array([0.5, np.nan, 0.5])}, "scores from nan to nan"),
        ({"quality": np.array([-0.1, 0.5, 0.5])}, "quality from -0.1"),
        ({"word_scores": np.zeros(3)}, "word scores of shape"),
        ({"label_map": LABEL_MAP.T}, "label map of shape \\(6, 4\\)"),
        ({"label_map": LABEL_MAP.astype(np.int64)}, "give \\(H, W\\) int16 or int32"),
        ({"label_map": LABEL_MAP + np.int16(2)}, "values from 1 to 4; with 4 words"),
        ({"label_map": LABEL_MAP - np.int16(1)}, "values from -2 to 1"),
        ({"image": np.zeros((6, 4, 3), np.uint8)}, "image of shape \\(6, 4, 3\\)"),
        ({"image": np.zeros((4, 6, 3))}, "type float64"),
        ({"score_map": ScoreMap(np.zeros((3, 2, 3), np.float16), (4, 6))}, "3 words at"),
        ({"score_map": ScoreMap(np.zeros((4, 2, 3), np.float16), (6, 4))}, "one map a word"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        some_result(**changes)


def test_rounding_beyond_one_is_clipped() -> None:
    out = some_result(scores=np.array([1.00001, -0.00001, 0.5]))
    assert out.scores.tolist() == [1.0, 0.0, 0.5]
    assert out.scores.dtype == np.float32


def test_values_are_frozen_and_can_be_sent() -> None:
    mine = LABEL_MAP.copy()
    out = some_result(label_map=mine)
    for array in (out.label_map, out.scores, out.word_scores, out.labels, out.image):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    mine[0, 0] = 1  # the caller's own array stays writable
    again = pickle.loads(pickle.dumps(some_result()))
    assert again.words == WORDS
    np.testing.assert_array_equal(again.masks.dense(), some_result().masks.dense())
    assert again.unknown == some_result().unknown


def slow_bilinear(grid: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Bilinear with pixel centres at halves, edges repeated: one pixel at a time."""
    h, w = grid.shape
    out = np.empty(size_hw)
    for y in range(size_hw[0]):
        for x in range(size_hw[1]):
            gy = (y + 0.5) * h / size_hw[0] - 0.5
            gx = (x + 0.5) * w / size_hw[1] - 0.5
            y0, x0 = int(np.floor(gy)), int(np.floor(gx))
            total = 0.0
            for dy in (0, 1):
                for dx in (0, 1):
                    weight = (1 - abs(gy - y0 - dy)) * (1 - abs(gx - x0 - dx))
                    at = grid[min(max(y0 + dy, 0), h - 1), min(max(x0 + dx, 0), w - 1)]
                    total += weight * float(at)
            out[y, x] = total
    return out


@pytest.mark.parametrize("size_hw", [(4, 6), (13, 29), (1, 1), (3, 50)])
def test_score_map_at_full_size(size_hw: tuple[int, int]) -> None:
    grid = np.random.default_rng(0).random((2, 3, 5)).astype(np.float16)
    full = ScoreMap(grid, size_hw).full(1)
    assert full.dtype == np.float32
    assert full.shape == size_hw
    np.testing.assert_allclose(full, slow_bilinear(grid[1], size_hw), atol=1e-5)


def test_heatmap_is_the_score_map_of_the_word() -> None:
    out = some_result()
    assert out.score_map is not None
    np.testing.assert_array_equal(out.heatmap("sky"), out.score_map.full(2))
    with pytest.raises(OptionError, match="no heat map of 'sky'"):
        some_result(score_map=None).heatmap("sky")


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (np.zeros((2, 3, 5), np.float32), "give \\(K, h, w\\) float16"),
        (np.zeros((3, 5), np.float16), "give \\(K, h, w\\) float16"),
        (np.full((1, 3, 5), 1.5, np.float16), "score map from 1.5 to 1.5"),
        (np.full((1, 3, 5), np.nan, np.float16), "score map from nan"),
    ],
)
def test_wrong_score_maps_are_refused(grid: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ScoreMap(grid, (30, 50))


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (3, 4)


def test_provenance_as_json() -> None:
    provenance = Provenance(
        method="dense",
        encoder="tiny",
        config={
            "threshold": np.float32(0.5),
            "weights": Path("tiny.safetensors"),
            "scales": (1, 2.5),
            "inner": Inner(),
            "none": None,
            "by_word": {"sky": 0.25},
        },
        version="0.1.0",
        checkpoint_sha256={"tiny": "ab12"},
        seconds={"encode": 0.123456, "text": np.float64(1)},
        notes=("turned upright",),
    )
    assert json.loads(json.dumps(provenance.to_json())) == {
        "method": "dense",
        "encoder": "tiny",
        "masker": None,
        "config": {
            "threshold": 0.5,
            "weights": "tiny.safetensors",
            "scales": [1, 2.5],
            "inner": {"sizes": [3, 4]},
            "none": None,
            "by_word": {"sky": 0.25},
        },
        "version": "0.1.0",
        "device": "cpu",
        "dtype": "float32",
        "checkpoint_sha256": {"tiny": "ab12"},
        "prompts": {},
        "seconds": {"encode": 0.1235, "text": 1.0},
        "notes": ["turned upright"],
    }
    assert replace(provenance, notes=()).to_json()["notes"] == []


def test_prompts_as_json() -> None:
    points = np.array([[3.25, 4.0], [5.04, 6.06]], np.float32)
    prompts = PromptSummary(num_prompts=2, grid_size=4096, points_xy=points)
    assert prompts == PromptSummary(
        num_prompts=2, grid_size=4096, points_xy=[[3.25, 4.0], *points[1:].tolist()]
    )
    made = Provenance(method="clip-then-sam", encoder="tiny", prompts=prompts)
    assert made.to_json()["prompts"] == {
        "asked": 2,
        "grid": 4096,
        "points_xy": [[3.2, 4.0], [5.0, 6.1]],
    }
    none = PromptSummary(num_prompts=0, num_masks=7, points_xy=(), boxes_xyxy=[[0, 1, 2, 3]])
    assert json.loads(json.dumps(none.to_json())) == {
        "asked": 0,
        "masks": 7,
        "points_xy": [],
        "boxes_xyxy": [[0, 1, 2, 3]],
    }


@dataclass(frozen=True)
class Model:
    name: str
    sha256: dict[str, str]
    device_name: str = "cuda:0"
    dtype_name: str = "bfloat16"


def test_provenance_of_models() -> None:
    encoder, masker = Model("tiny", {"a": "12"}), Model("sam", {"b": "34"}, "cpu", "float32")
    made = Provenance.from_models("dense", Inner(), encoder)
    assert made == Provenance(
        method="dense",
        encoder="tiny",
        config={"sizes": (3, 4)},
        version=lexiseg.__version__,
        device="cuda:0",
        dtype="bfloat16",
        checkpoint_sha256={"a": "12"},
    )
    both = Provenance.from_models("dense", Inner(), encoder, masker)
    assert both == made.with_masker(masker)
    assert (both.masker, both.device) == ("sam", "cuda:0")
    assert both.checkpoint_sha256 == {"a": "12", "masker b": "34"}
    timed = both.with_seconds({"read": 0.5, "encode": 1.0}).with_seconds({"encode": 2.0})
    assert timed.seconds == {"read": 0.5, "encode": 2.0}
    assert both.seconds == {}
