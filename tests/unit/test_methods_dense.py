"""The method dense, with an encoder that sees colours: every result can be worked out by hand."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.errors import OptionError, PictureError, PromptError, UnknownName
from lexiseg.methods.dense import PRESETS, Config, Segmenter
from lexiseg.prompts import DEFAULT_BACKGROUND, Vocabulary
from lexiseg.results import UnknownWord

Pixels = NDArray[np.uint8]
PLAIN = Config(encoder="colours", refine="none")


def columns(**spans: tuple[int, int]) -> NDArray[np.int16]:
    """A row of 96 labels: -1, and each word's number, in the order given, in its columns."""
    row = np.full(96, -1, np.int16)
    for k, (start, stop) in enumerate(spans.values()):
        row[start:stop] = k
    return row


# Label maps


@pytest.mark.parametrize("refine", ["none", "guided"])
def test_words_find_exactly_their_areas(colours: Any, stripes: Pixels, refine: str) -> None:
    seg = Segmenter(colours, replace(PLAIN, refine=refine))
    out = seg(stripes, ["blue", "red", "green"])
    expected = columns(blue=(80, 96), red=(0, 40), green=(40, 64))  # grey is background
    np.testing.assert_array_equal(out.semantic(), np.tile(expected, (64, 1)))
    assert out.labels.tolist() == ["blue", "red", "green"]
    assert out["red"].union()[:, :40].all()
    assert out["red"].areas.tolist() == [40 * 64]
    assert out.share("green") == 24 / 96
    assert out.found == ("blue", "red", "green")


def test_a_word_that_is_not_there_gets_nothing(colours: Any, stripes: Pixels) -> None:
    out = Segmenter(colours, PLAIN)(stripes, ["yellow", "red"])
    assert len(out["yellow"]) == 0
    assert out.word_scores[0] == 0
    assert out.found == ("red",)
    # The rest is background: green and blue are nearer to no word than to another.
    assert out.share("red") == pytest.approx(40 / 96)


def test_without_background_every_pixel_gets_a_word(colours: Any, stripes: Pixels) -> None:
    out = Segmenter(colours, PLAIN)(stripes, ["yellow", "red"], background=None)
    assert out.semantic().min() >= 0
    assert (out.semantic()[:, :40] == 1).all()


def test_background_words_of_ones_own(colours: Any, stripes: Pixels) -> None:
    seg = Segmenter(colours, PLAIN)
    out = seg(stripes, ["green", "grey"], background=["red", "blue"])
    expected = columns(green=(40, 64), grey=(64, 80))
    np.testing.assert_array_equal(out.semantic()[0], expected)
    assert replace(PLAIN, background=("red", "blue")).background == ("red", "blue")
    config = replace(PLAIN, background=("red", "blue"))
    again = Segmenter(colours, config)(stripes, ["green", "grey"])
    np.testing.assert_array_equal(again.semantic(), out.semantic())


def test_the_literal_word_background_is_painted(colours: Any, stripes: Pixels) -> None:
    out = Segmenter(colours, PLAIN)(stripes, ["red", "background", "green", "blue"])
    expected = columns(red=(0, 40), background=(64, 80), green=(40, 64), blue=(80, 96))
    np.testing.assert_array_equal(out.semantic()[0], expected)
    assert out.share("background") == pytest.approx(16 / 96)
    assert "background" in out.found
    assert "background" not in out.labels.tolist()  # it is no thing
    assert len(out["background"]) == 0
    closed = Segmenter(colours, PLAIN)(
        stripes, ["red", "background", "green", "blue"], background=None
    )
    np.testing.assert_array_equal(closed.semantic(), out.semantic())


def test_excluded_words_take_their_pixels_away(colours: Any, stripes: Pixels) -> None:
    seg = Segmenter(colours, PLAIN)
    with_it = seg(stripes, ["crimson"], background=["grey"])
    assert with_it.share("crimson") > 0.4
    without = seg(stripes, ["yellow|blue -red"], background=None)
    np.testing.assert_array_equal(without.semantic()[0, :40], np.full(40, -1))
    assert (without.semantic()[:, 80:] == 0).all()
    assert without.words == ("yellow",)
    assert without.score_map is not None
    assert without.score_map.grid.shape == (1, 16, 24)


def test_synonyms_are_one_word(colours: Any, stripes: Pixels) -> None:
    out = Segmenter(colours, PLAIN)(stripes, ["colour|red|green", "blue"])
    np.testing.assert_array_equal(out.semantic()[0], columns(colour=(0, 64), blue=(80, 96)))
    assert out.words == ("colour", "blue")
    assert out["colour"].areas.tolist() == [64 * 64]


def test_the_order_of_words_makes_no_difference(colours: Any, stripes: Pixels) -> None:
    words = ["red", "green", "blue", "yellow"]
    seg = Segmenter(colours, Config(encoder="colours"))
    plain = seg(stripes, words)
    order = [2, 3, 0, 1]
    shuffled = seg(stripes, [words[i] for i in order])
    names = np.array([*order, -1])
    np.testing.assert_array_equal(names[shuffled.semantic()], plain.semantic())
    np.testing.assert_allclose(plain.word_scores[order], shuffled.word_scores)


def test_a_vocabulary_may_be_given_parsed(colours: Any, stripes: Pixels) -> None:
    seg = Segmenter(colours, PLAIN)
    parsed = Vocabulary.parse("red; green")
    np.testing.assert_array_equal(
        seg(stripes, parsed).semantic(), seg(stripes, "red; green").semantic()
    )
    with pytest.raises(OptionError, match="has its own"):
        seg(stripes, parsed, background=None)


# Scores and thresholds


def half_red(colours: Any) -> Pixels:
    """Every cell of the left half is red above and yellow below: both words have 0.5 there."""
    out = np.empty((64, 96, 3), np.uint8)
    out[:] = (0, 0, 255)
    out[0::4, :48] = out[1::4, :48] = (255, 0, 0)
    out[2::4, :48] = out[3::4, :48] = (255, 255, 0)
    return out


def test_scores_are_the_softmax_at_the_encoders_scale(colours: Any) -> None:
    # On the left the cosine is 1 / sqrt 2 with both words and 0 with the third and the background.
    seg = Segmenter(colours, PLAIN)
    out = seg(half_red(colours), ["red", "yellow", "blue"], background=["grey"])
    share = 1 / (2 + 2 * np.exp(-20 / np.sqrt(2)))
    assert out.heatmap("red")[30, 20] == pytest.approx(share, abs=1e-3)
    assert out.heatmap("yellow")[30, 20] == pytest.approx(share, abs=1e-3)
    assert out.heatmap("blue")[30, 90] == pytest.approx(1, abs=1e-3)
    assert out.word_scores[2] == pytest.approx(1, abs=0.03)


def test_a_threshold_takes_pixels_that_score_less(colours: Any) -> None:
    picture = half_red(colours)
    sure = Segmenter(colours, replace(PLAIN, threshold=0.6))(picture, "red; yellow; blue")
    assert (sure.semantic()[:, :47] == -1).all()
    assert (sure.semantic()[:, 49:] == 2).all()
    unsure = Segmenter(colours, replace(PLAIN, threshold=0.4))(picture, "red; yellow; blue")
    assert (unsure.semantic()[:, :46] >= 0).all()


def test_a_threshold_of_one_word_leaves_the_others(colours: Any, stripes: Pixels) -> None:
    picture = half_red(colours)
    config = replace(PLAIN, threshold=0.6, word_thresholds={"red": 0.1})
    out = Segmenter(colours, config)(picture, "red; blue", background=["yellow"])
    wins = out.semantic()[:, :46] == 0
    free = Segmenter(colours, PLAIN)(picture, "red; blue", background=["yellow"])
    np.testing.assert_array_equal(wins, free.semantic()[:, :46] == 0)
    with pytest.raises(UnknownName, match="blu"):
        Segmenter(colours, replace(PLAIN, word_thresholds={"blu": 0.5}))(stripes, "red; blue")


def test_a_threshold_spares_the_literal_background_unless_it_is_named(colours: Any) -> None:
    picture, words = half_red(colours), "background; red"
    free = Segmenter(colours, replace(PLAIN, threshold=0.6))(picture, words, background=["yellow"])
    assert (free.semantic()[:, :46] == 0).all()
    named = replace(PLAIN, word_thresholds={"background": 0.6})
    out = Segmenter(colours, named)(picture, words, background=["yellow"])
    assert (out.semantic()[:, :46] == -1).all()


def test_small_parts_are_no_instances_but_stay_in_the_label_map(colours: Any) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[8:16, 8:16] = (255, 0, 0)  # 64 pixels, 1 % of the picture
    picture[32:56, 40:80] = (255, 0, 0)  # 960
    for least, areas in ((0.0, 2), (0.005, 2), (0.02, 1), (0.5, 0)):
        out = Segmenter(colours, replace(PLAIN, min_share=least))(
            picture, "red", background="black"
        )
        assert len(out["red"]) == areas
        assert (out.semantic() == 0).sum() > 900


# Pictures of every size


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1), (3, 2), (2, 3), (37, 61)])
@pytest.mark.parametrize("config", [PLAIN, Config(), Config(flip=True, scales=(0.5, 0.9))])
def test_tiny_pictures_and_strips(colours: Any, size_hw: tuple[int, int], config: Config) -> None:
    picture = np.full((*size_hw, 3), (0, 255, 0), np.uint8)
    out = Segmenter(colours, config)(picture, "red; green")
    assert out.semantic().shape == size_hw
    assert (out.semantic() == 1).all()
    assert out["green"].areas.tolist() == [size_hw[0] * size_hw[1]]
    assert out.heatmap("green").shape == size_hw


@pytest.mark.parametrize("size_hw", [(200, 301), (301, 200), (67, 230)])
@pytest.mark.parametrize(
    "changes",
    [{}, {"window": 64}, {"flip": True}, {"scales": (1.5, 1.0)}, {"refine": "none"}],
    ids=str,
)
def test_areas_are_found_at_any_size(
    colours: Any, size_hw: tuple[int, int], changes: dict[str, Any]
) -> None:
    height, width = size_hw
    truth = np.full(size_hw, -1)
    truth[height // 5 : height // 2, width // 6 : width // 2] = 0
    truth[height // 3 :, width * 2 // 3 :] = 1
    palette = np.array([(255, 0, 0), (0, 0, 255), (128, 128, 128)], np.uint8)
    out = Segmenter(colours, Config(**changes))(palette[truth], "red; blue")
    for k in (0, 1):
        made, wanted = out.semantic() == k, truth == k
        assert (made & wanted).sum() / (made | wanted).sum() > 0.85


def test_scales_are_averaged_on_the_finest_grid(colours: Any, stripes: Pixels) -> None:
    seg = Segmenter(colours, replace(PLAIN, scales=(0.5, 2.0, 1.0)))
    view = seg.prepare(stripes)
    assert [f.work_hw for f in view.encoded] == [(128, 192), (64, 96), (32, 48)]
    out = seg(view, "red; green; blue")
    assert out.score_map is not None
    assert out.score_map.grid.shape == (3, 32, 48)
    each = [
        Segmenter(colours, replace(PLAIN, scales=(s,)))(stripes, "red; green; blue").heatmap("red")
        for s in (0.5, 1.0, 2.0)
    ]
    np.testing.assert_allclose(out.heatmap("red")[:, 10:30], np.mean(each, 0)[:, 10:30], atol=5e-3)
    shuffled = Segmenter(colours, replace(PLAIN, scales=(2.0, 1.0, 0.5)))(
        stripes, "red; green; blue"
    )
    np.testing.assert_array_equal(shuffled.semantic(), out.semantic())


@pytest.mark.parametrize("width", [90, 91, 93, 94, 95, 96])
def test_score_maps_end_where_the_picture_ends(colours: Any, width: int) -> None:
    # The last cell may reach over the border; the heat map must not be squeezed by it.
    picture = np.zeros((64, width, 3), np.uint8)
    picture[:, 64:] = (255, 0, 0)
    heat = Segmenter(colours, PLAIN)(picture, "red", background=["black"]).heatmap("red")
    assert heat.shape == (64, width)
    middle = int(np.argmax(heat[32] > 0.5))
    assert abs(middle - 64) <= 1


# Views


def test_a_view_gives_the_same_as_the_picture(colours: Any, stripes: Pixels) -> None:
    seg = Segmenter(colours, Config(scales=(1.0, 0.5)))
    view = seg.prepare(stripes)
    looks = len(colours.seen)
    first, second = seg(view, "red; blue"), seg(view, "green -red")
    assert len(colours.seen) == looks
    np.testing.assert_array_equal(first.semantic(), seg(stripes, "red; blue").semantic())
    np.testing.assert_array_equal(second.semantic(), seg(stripes, "green -red").semantic())
    np.testing.assert_array_equal(first.scores, seg(stripes, "red; blue").scores)
    np.testing.assert_array_equal(first.semantic(), seg(view, "red; blue").semantic())


def test_a_view_of_another_encoder_is_refused(colours: Any, stripes: Pixels) -> None:
    view = Segmenter(colours, PLAIN).prepare(stripes)
    other = type(colours)()
    other.name = "shapes"
    with pytest.raises(OptionError, match="dense with colours, and this is dense with shapes; pre"):
        Segmenter(other, PLAIN)(view, "red")


def test_a_view_says_what_was_looked_at(colours: Any) -> None:
    picture = np.zeros((50, 200, 3), np.uint8)
    seg = Segmenter(colours, replace(PLAIN, short_side=64, window=96, scales=(1.0, 0.5)))
    view = seg.prepare(picture)
    assert view.encoded[0].work_hw == (64, 256)
    boxes = view.windows_xyxy
    assert boxes.dtype == np.int64
    assert boxes.shape == (len(view.encoded[0].windows) + len(view.encoded[1].windows), 4)
    assert boxes[:, 1].tolist() == [0] * len(boxes)
    assert set(boxes[:, 3].tolist()) == {50}
    assert boxes[0].tolist() == [0, 0, 75, 50]
    assert boxes[:, 2].max() == 200


# Results


def test_provenance_says_how(colours: Any, stripes: Pixels) -> None:
    config = Config(encoder="colours", word_thresholds={"red": 0.2})
    made = Segmenter(colours, config)(stripes, ["red"]).provenance
    assert (made.method, made.encoder, made.device, made.dtype) == (
        "dense",
        "colours",
        "cpu",
        "fp32",
    )
    assert made.config["word_thresholds"] == {"red": 0.2}
    assert set(made.config) == set(Config.__dataclass_fields__)
    assert made.checkpoint_sha256 == {"colours.safetensors": "0" * 64}
    assert set(made.seconds) == {"read", "encode", "words", "score", "label", "instances"}
    assert min(made.seconds.values()) >= 0


def test_notes_of_the_picture_reach_the_result(colours: Any, stripes: Pixels) -> None:
    from lexiseg.imaging import Picture

    picture = Picture(stripes, notes=("turned upright",))
    assert Segmenter(colours, PLAIN)(picture, "red").provenance.notes == ("turned upright",)


def test_unknown_words_are_named_and_a_known_synonym_suffices(
    colours: Any, stripes: Pixels
) -> None:
    seg = Segmenter(colours, PLAIN)
    out = seg(stripes, ["red", "zither", "oboe|lute pipe", "tuba|green", "background"])
    assert [(u.word, u.nearest) for u in out.unknown] == [
        ("zither", ("red", "green")),
        ("oboe", ("red", "green")),
    ]
    assert out.unknown[1].similarity == pytest.approx(len("lute pipe") / 1000)  # the nearest one
    assert seg(stripes, "background").unknown == ()


def test_unknown_words_get_no_pixels_unless_that_is_asked_for(
    colours: Any, stripes: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = UnknownWord("green", ("blue",), 0.1)
    monkeypatch.setattr(colours, "unknown", lambda words: (far,) if "green" in words else ())
    silent = Segmenter(colours, PLAIN)(stripes, ["red", "green"])
    assert silent.found == ("red",)
    assert silent.heatmap("green").max() == 0
    assert [u.word for u in silent.unknown] == ["green"]
    painted = Segmenter(colours, replace(PLAIN, paint_unknown=True))(stripes, ["red", "green"])
    assert painted.share("green") == 24 / 96
    closed = Segmenter(colours, PLAIN)(stripes, ["red", "green"], background=None)
    assert closed.semantic().min() >= 0
    assert (closed.semantic()[:, 40:64] == 1).all()


def test_an_unknown_word_is_not_painted_unless_that_is_asked(colours: Any, stripes: Pixels) -> None:
    # "zither" and this background word lie in the same direction, with no colour near: they tie,
    # and the word would win the green and blue stripes.
    words, options = ["zither", "red"], {"background": ["wall"]}
    silent = Segmenter(colours, PLAIN)(stripes, words, **options)
    assert silent.found == ("red",)
    assert silent.heatmap("zither").max() == 0
    assert [u.word for u in silent.unknown] == ["zither"]
    loud = Segmenter(colours, replace(PLAIN, paint_unknown=True))(stripes, words, **options)
    assert loud.heatmap("zither").max() > 0.3
    assert [u.word for u in loud.unknown] == ["zither"]
    closed = Segmenter(colours, PLAIN)(stripes, ["zither"], background=None)
    assert (closed.semantic() == 0).all()
    nothing = Segmenter(colours, PLAIN)(stripes, ["zither", "oboe"])
    assert (nothing.semantic() == -1).all()
    assert nothing.word_scores.tolist() == [0, 0]


def test_an_encoder_without_limits_names_no_unknown_words(colours: Any, stripes: Pixels) -> None:
    class Sure(type(colours)):  # type: ignore[misc]
        unknown = None

    del Sure.unknown
    encoder = Sure()
    wrapped = type("Bare", (), {k: getattr(encoder, k) for k in (
        "name", "scale", "synonym_threshold", "presence", "size", "device_name", "dtype_name",
        "sha256", "text", "dense",
    )})()  # fmt: skip
    assert Segmenter(wrapped, PLAIN)(stripes, ["red", "zither"]).unknown == ()


def test_nothing_is_kept_between_calls(colours: Any, stripes: Pixels) -> None:
    seg = Segmenter(colours, PLAIN)
    before = seg(stripes, "red; blue")
    seg(stripes[:, ::-1], "green", background=None)
    after = seg(stripes, "red; blue")
    np.testing.assert_array_equal(before.semantic(), after.semantic())
    with_image = seg(stripes, "red; blue", keep_image=True)
    stripes[:] = 0
    assert with_image.image is not None
    assert with_image.image.max() == 255


@pytest.mark.parametrize(
    ("picture", "words", "error"),
    [
        (np.zeros((4, 4, 3), np.float32), "red", PictureError),
        (np.zeros((4, 5, 7), np.uint8), "red", PictureError),
        ("no such file.jpg", "red", PictureError),
        (np.zeros((4, 5, 3), np.uint8), "", PromptError),
        (np.zeros((4, 5, 3), np.uint8), [], PromptError),
        ("no such file.jpg", "red;red", PromptError),  # words first: they cost nothing
    ],
)
def test_bad_input_is_refused(colours: Any, picture: Any, words: Any, error: type) -> None:
    with pytest.raises(error):
        Segmenter(colours, PLAIN)(picture, words)


def test_without_a_radius_no_guide_is_followed(colours: Any, stripes: Pixels) -> None:
    """An edge inside a cell of 4 pixels: the guided filter finds it, enlarging alone does not."""
    picture = stripes.copy()
    picture[:, 40:43] = (255, 0, 0)
    free = Segmenter(colours, replace(PLAIN, refine="guided", refine_radius=0))
    plain = Segmenter(colours, PLAIN)(picture, "red; green")
    np.testing.assert_array_equal(free(picture, "red; green").semantic(), plain.semantic())
    guided = Segmenter(colours, replace(PLAIN, refine="guided"))(picture, "red; green")
    assert (guided.semantic() != plain.semantic()).any()


# Config


def test_config_is_frozen_and_presets_fit() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().threshold = 0.5  # type: ignore[misc]
    for preset in PRESETS.values():
        assert isinstance(replace(Config(), **preset), Config)
    assert Config().background == DEFAULT_BACKGROUND


@pytest.mark.parametrize(
    "change",
    [
        {"overlap": -0.1}, {"overlap": 1.0}, {"overlap": float("nan")}, {"readout": "resclip"},
        {"ragged": "cut"}, {"layers": (0, 2)}, {"layers": (3, 3)},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_settings_are_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError) as caught:
        Config(**change)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 20


def test_templates_by_name_or_written_out(colours: Any, stripes: Pixels) -> None:
    assert Config(templates="plain").sentences == ("{}",)
    assert "a photo of a {}" in Config(templates="photo").sentences
    assert Config(templates="one {}").sentences == ("one {}",)
    # "blue thing" in every sentence makes every word half blue.
    out = Segmenter(colours, replace(PLAIN, templates=("{} blue",)))(
        stripes, "red", background=None
    )
    assert out.semantic().min() == 0


# Phrases


def test_a_phrase_chooses_among_what_its_noun_finds(colours: Any, stripes: Pixels) -> None:
    twice = np.concatenate([stripes, stripes], axis=1)
    seg = Segmenter(colours, Config())
    out = seg(twice, ["red on the left", "the largest green"], background=["blue"])
    width = stripes.shape[1]
    left = np.flatnonzero((out.label_map == 0).any(0))
    assert len(left) > 0
    assert left.max() < width
    assert [one.num_kept for one in out.readings] == [1, 1]


def test_phrases_may_be_left_whole(colours: Any, stripes: Pixels) -> None:
    words = ["red on the left"]
    whole = Segmenter(colours, Config(phrases=False))(stripes, words)
    assert whole.readings == ()
    plain = Segmenter(colours, Config())(stripes, ["red"])
    off = Segmenter(colours, Config(phrases=False))(stripes, ["red"])
    assert (plain.label_map == off.label_map).all()


def test_words_that_are_nouns_cost_no_reading(
    colours: Any, stripes: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lexiseg.prompts.phrases.noun_vocabulary", None)
    assert Segmenter(colours, Config())(stripes, ["red", "green"]).readings == ()
