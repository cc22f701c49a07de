"""Evaluation on sets made here, with segmenters that return stored label maps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lexiseg.datasets import open_set
from lexiseg.errors import InputError, OptionError, OutputError
from lexiseg.evaluation import evaluate
from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation


class Stored:
    """ScoredMasks with label maps given by word: {photo's first pixel: (H, W) array of words}."""

    def __init__(self, maps):
        self.maps = maps
        self.asked = []

    def __call__(self, image, words, *, background):
        self.asked.append((tuple(words), background))
        names = self.maps[int(image[0, 0, 0])]
        index = {word: position for position, word in enumerate(words)}
        label_map = np.vectorize(lambda name: index.get(name, -1))(names).astype(np.int16)
        return Segmentation(
            words=tuple(words),
            labels=np.zeros(0, str),
            scores=np.zeros(0, np.float32),
            masks=Masks.empty(label_map.shape),
            label_map=label_map,
            word_scores=np.zeros(len(words), np.float32),
            provenance=Provenance(method="stored", encoder="none"),
        )


def write_set(root, truths, **card):
    """Write one photo for each truth, (H, W) of class indices; photo i is grey value 10 i."""
    for number, truth in enumerate(truths, start=1):
        truth = np.asarray(truth, np.uint8)
        for folder, pixels in [
            ("images", np.full((*truth.shape, 3), 10 * number, np.uint8)),
            ("masks", truth),
        ]:
            path = root / "val" / folder / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (root / "dataset.json").write_text(json.dumps(card))
    return root


@pytest.fixture
def streets(tmp_path):
    """Two photos, 2 x 4; no background; "bus" is in no photo."""
    truths = [[[0, 0, 1, 1], [0, 0, 1, 255]], [[1, 1, 1, 1], [1, 1, 1, 1]]]
    return write_set(tmp_path / "streets", truths, classes=["sky", "road", "bus"])


STREET_MAPS = {
    10: np.array([["sky", "sky", "sky", "road"], ["sky", "bus", "road", "bus"]]),
    20: np.array([["road", "road", "road", "road"], ["road", "road", "sky", "tram"]]),
}


def test_numbers_are_those_worked_by_hand(streets):
    found = evaluate(Stored(STREET_MAPS), streets)
    # sky: 3 right of 4, and 2 pixels of road; road: 8 right of 11; one pixel has no word.
    score = found.score
    assert [one.iou.value for one in score.classes[:2]] == pytest.approx([3 / 6, 8 / 11])
    assert score.classes[2].iou.value == 0
    assert [one.photos for one in score.classes] == [1, 2, 0]
    assert score.pixel_accuracy.value == pytest.approx(11 / 15)
    assert score.mean_iou_all == pytest.approx((3 / 6 + 8 / 11) / 3)
    assert (score.absent_words, score.absent_share) == (("bus",), pytest.approx(1 / 15))
    assert score.unlabelled == pytest.approx(1 / 15)
    assert score.classes[1].confused_with == (
        ("sky", pytest.approx(2 / 11)),
        ("", pytest.approx(1 / 11)),
    )
    assert score.classes[0].share == pytest.approx(4 / 15)
    assert score.classes[0].predicted_share == pytest.approx(5 / 15)
    assert found.ids == ("01", "02")
    assert found.provenance.method == "stored"


def test_every_pixel_gets_a_word_where_the_set_has_no_background(streets):
    segmenter = Stored(STREET_MAPS)
    evaluate(segmenter, streets)
    assert segmenter.asked == [(("sky", "road", "bus"), None)] * 2


def test_the_background_class_is_asked_as_the_literal_word_and_put_aside(tmp_path):
    truths = [[[0, 0, 0, 1, 1, 1]]] * 6
    root = write_set(tmp_path, truths, classes=["void", "dog"], background_index=0)
    half = np.array([["background", "background", "dog", "dog", "dog", "dog"]])
    segmenter = Stored({10 * number: half for number in range(1, 7)})
    found = evaluate(segmenter, root)
    assert segmenter.asked[0] == (("background", "dog"), "default")
    assert found.score.mean_classes == 1
    assert found.score.mean_iou.value == pytest.approx(3 / 4)
    # Six equal photos: no resampling can change the number.
    assert (found.score.mean_iou.low, found.score.mean_iou.high) == pytest.approx((0.75, 0.75))
    assert found.score.mean_iou_all == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert found.score.absent_words == ()
    assert found.score.classes[0].name == "void"


def test_only_classes_in_five_photos_are_in_the_mean(tmp_path):
    truths = [[[0, 0, 1, 1]]] * 4 + [[[0, 0, 0, 0]]]
    root = write_set(tmp_path, truths, classes=["sky", "road"])
    sky = np.array([["sky", "sky", "sky", "sky"]])
    found = evaluate(Stored({10 * number: sky for number in range(1, 6)}), root)
    assert found.score.mean_classes == 1
    assert found.score.mean_iou.value == pytest.approx(12 / 20)
    assert found.score.mean_iou.low < 0.6 < found.score.mean_iou.high
    first = evaluate(Stored({10: sky}), root, limit=1)
    assert first.score.mean_classes == 0
    assert np.isnan(first.score.mean_iou.value)


def test_shuffled_words_give_the_same_scores(streets):
    plain = evaluate(Stored(STREET_MAPS), streets)
    segmenter = Stored(STREET_MAPS)
    shuffled = evaluate(segmenter, streets, shuffle_words=3)
    assert shuffled.asked != plain.asked
    assert sorted(shuffled.asked) == sorted(plain.asked)
    assert segmenter.asked[0][0] == shuffled.asked
    np.testing.assert_array_equal(shuffled.matrix.total, plain.matrix.total)
    assert shuffled.score.to_json() == plain.score.to_json()


def test_extra_words_compete_and_what_they_get_is_wrong(streets):
    segmenter = Stored(STREET_MAPS)
    found = evaluate(segmenter, streets, extra_words=["tram", "sky"], shuffle_words=1)
    assert sorted(segmenter.asked[0][0]) == ["bus", "road", "sky", "tram"]
    assert found.score.extra_share == pytest.approx(1 / 15)
    assert found.score.unlabelled == 0
    assert found.score.classes[1].iou.value == pytest.approx(8 / 11)


def test_other_words_stand_for_the_classes(streets):
    maps = {key: np.where(value == "sky", "heaven", value) for key, value in STREET_MAPS.items()}
    found = evaluate(Stored(maps), streets, words=["heaven", "road", "bus"])
    assert found.score.classes[0].name == "sky"
    assert found.score.classes[0].word == "heaven"
    assert found.score.classes[0].iou.value == pytest.approx(3 / 6)
    with pytest.raises(OptionError, match="2 words for the 3 classes"):
        evaluate(Stored(maps), streets, words=["heaven", "road"])
    with pytest.raises(OptionError, match="'road' stands for two classes"):
        evaluate(Stored(maps), streets, words=["road", "road", "bus"])


def test_an_open_set_and_background_words_of_ones_own(streets):
    segmenter = Stored(STREET_MAPS)
    one = open_set(streets).subset(["02"])
    found = evaluate(segmenter, one, background=["wall"])
    assert segmenter.asked == [(("sky", "road", "bus"), ("wall",))]
    assert found.ids == ("02",)
    assert found.score.absent_words == ("sky", "bus")
    with pytest.raises(InputError, match="no photos"):
        evaluate(segmenter, one.first(0))


def test_files_hold_what_the_result_holds(streets, tmp_path):
    out = tmp_path / "deep" / "out"
    seen = []
    found = evaluate(
        Stored(STREET_MAPS), streets, out=out, progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen == [(1, 2), (2, 2)]
    files = ["pictures.jsonl", "report.html", "results.json", "summary.txt", "thumbnails"]
    assert sorted(path.name for path in out.iterdir()) == files
    content = json.loads((out / "results.json").read_text())
    assert content == json.loads(json.dumps(found.document()))
    assert content.items() >= json.loads(json.dumps(found.to_json())).items()
    assert content["set"] == "streets"
    assert content["mean_iou"] == {"value": None, "low": None, "high": None}
    assert content["classes"][1]["iou"]["value"] == round(8 / 11, 6)
    assert content["provenance"]["method"] == "stored"
    text = (out / "summary.txt").read_text()
    assert "stored on streets/val" in text
    assert "pixel accuracy" in text
    road = next(line for line in text.splitlines() if line.startswith("road"))
    assert "72.7" in road
    assert "(nothing) 9.1 %" in road


def test_an_output_folder_that_cannot_be_made_is_refused_before_the_work(streets, tmp_path):
    (tmp_path / "file").write_text("")
    segmenter = Stored(STREET_MAPS)
    with pytest.raises(OutputError, match="cannot be made"):
        evaluate(segmenter, streets, out=tmp_path / "file" / "out")
    assert segmenter.asked == []


def test_label_maps_of_another_size_are_refused(streets):
    turned = {key: value.T for key, value in STREET_MAPS.items()}
    with pytest.raises(InputError, match=r"photo 01 is \(2, 4\) .* width are swapped"):
        evaluate(Stored(turned), streets)
    small = {key: value[:, :3] for key, value in STREET_MAPS.items()}
    with pytest.raises(InputError, match="the photo's own size"):
        evaluate(Stored(small), streets)


def test_answers_for_fewer_words_are_refused(streets):
    segmenter = Stored(STREET_MAPS)
    with pytest.raises(InputError, match="asked for 3 words and answered for 2"):
        evaluate(lambda image, words, **kw: segmenter(image, words[:2], **kw), streets)


def test_a_limit_below_one_is_refused(streets):
    with pytest.raises(OptionError, match="limit is 0"):
        evaluate(Stored(STREET_MAPS), streets, limit=0)
