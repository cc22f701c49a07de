"""What every method promises, with every encoder that is there."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pickle
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests import weights_here
from tests.boxes import ColourBoxes
from tests.close import assert_close
from tests.conftest import COLOURS, ColourPrompted
from tests.flood import FloodMasker

import lexiseg
from lexiseg import errors, loading, models
from lexiseg.prompts import Vocabulary

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "cows.jpg"
# What is there, where every third pixel is taken.
PLACES = {
    "cow": (slice(75, 85), slice(39, 60)),
    "grass": (slice(107, 117), slice(0, 176)),
}
METHODS = [method.name for method in loading.list_methods()]
ENCODERS = ["colours", *weights_here.encoders()]
# Methods that open a CLIP, and look through further models beside it: with small drawn ones.
OPENING = [
    m.name for m in loading.list_methods() if str(m.defaults.get("encoder")).startswith("clip-")
]
# Methods that label by maps, whatever masks there are.
MAPPING = ("clip-then-sam", "clipseg", "dense")
# Methods that find things one by one: a detector takes the encoder's place.
FINDING = [m.name for m in loading.list_methods() if "detector" in m.defaults]
PAIRS = [(m, e) for m in METHODS if m not in (*OPENING, *FINDING) for e in ENCODERS]
PAIRS += [(m, "drawn") for m in OPENING]
PAIRS += [(m, "boxes") for m in FINDING]


@dataclasses.dataclass(frozen=True)
class Case:
    """A method with an encoder, a picture for it, four words, and settings to load it again."""

    method: str
    encoder: str
    picture: NDArray[np.uint8]
    words: tuple[str, str, str, str]

    def small(self) -> dict[str, Any]:
        """Settings for small pictures, where a method has them: promises hold at any size."""
        # Of a smaller picture, a model of photos makes too little.
        short_side = 96 if self.encoder in ("boxes", "colours", "drawn") else 160
        small: dict[str, Any] = {"short_side": short_side, "points_per_side": 6}
        if self.encoder == "drawn":
            small |= {"window": 112, "stride": 48, "templates": "plain"}
            small["background"] = ("orange",)  # all of the default ones together leave no word
        if self.method == "resclip":  # a first answer for every window
            small |= {"short_side": 64, "window": 64, "stride": 32}
        small["mapper_fields"] = {"short_side": short_side}
        names = {field.name for field in dataclasses.fields(loading.config_class(self.method))}
        return {name: value for name, value in small.items() if name in names}

    def load(self, **settings: Any) -> Any:
        encoder = {} if self.encoder == "boxes" else {"encoder": self.encoder}
        return lexiseg.load(self.method, device="cpu", **{**self.small(), **encoder, **settings})

    def places(self) -> dict[str, Any]:
        """Words, and pixels where they are for sure."""
        if self.encoder == "drawn":  # drawn weights mean nothing by words
            return {}
        if self.encoder not in ("colours", "boxes"):
            # The areas of a photo that the flood finds are as they fall: the cow is part of one.
            return {w: p for w, p in PLACES.items() if w == "grass" or self.method in MAPPING}
        return {w: (self.picture == COLOURS[w]).all(2) for w in ("red", "green", "blue")}


STRIPES = ("blue", "red", "green", "yellow")


@pytest.fixture(params=PAIRS, ids="-".join)
def case(
    request: pytest.FixtureRequest,
    colours: Any,
    stripes: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> Case:
    from lexiseg import imaging

    method, encoder = request.param
    # What a method promises must not hang on a mask model: those have a contract of their own.
    monkeypatch.setattr("lexiseg.models.load_masker", lambda *_, **__: FloodMasker())
    if encoder != "tiny":
        monkeypatch.setattr("lexiseg.models.load_own_masker", lambda *_: None)
    if encoder == "drawn":
        drawn = small_models()
        for name, model in drawn.items():
            monkeypatch.setattr(f"lexiseg.models.{name}", lambda *_, model=model, **__: model)
        return Case(method, encoder, stripes, STRIPES)
    if encoder == "boxes":
        monkeypatch.setattr("lexiseg.models.load_detector", lambda *_, **__: ColourBoxes())
        return Case(method, encoder, stripes, STRIPES)
    if encoder == "colours":
        monkeypatch.setattr("lexiseg.models.load_encoder", lambda *_, **__: colours)
        prompted = ColourPrompted(colours)
        monkeypatch.setattr("lexiseg.models.load_prompted", lambda *_, **__: prompted)
        return Case(method, encoder, stripes, STRIPES)
    for loader in LOADERS:  # models are functions: one serves all tests
        monkeypatch.setattr(f"lexiseg.models.{loader}", partial(loaded_once, loader))
    rgb = imaging.read(PHOTO).rgb
    return Case(method, encoder, rgb[::3, ::3].copy(), ("cow", "grass", "sky", "road"))


LOADERS = {name: getattr(models, name) for name in ("load_encoder", "load_prompted")}


@cache
def loaded_once(loader: str, *arguments: Any, **options: Any) -> Any:
    return LOADERS[loader](*arguments, **options)


@cache
def small_models() -> dict[str, Any]:
    """Loaders' names -> what they return in place of published models."""
    from tests import proxy_weights
    from tests.parity.golden.make_proxies import deep_weights
    from tests.parity.test_proxies_official import clip, dino

    from lexiseg.device import pick
    from lexiseg.models.sam.trunk import SamTrunk, trunk_of

    sam = SamTrunk(trunk_of(proxy_weights.sam_state(side=16)), pick("cpu", "fp32"), name="drawn")
    return {
        "load_encoder": clip(deep_weights()),
        "load_proxy": dino(16),
        "load_attention_source": sam,
    }


def same(a: NDArray[np.integer], b: NDArray[np.integer]) -> bool:
    """Equal, but for places where the last bit of a product decides."""
    return a.shape == b.shape and float(np.mean(a != b)) < 1e-3


def test_a_result_fits_the_picture(case: Case) -> None:
    out = case.load()(case.picture, case.words)
    height, width = case.picture.shape[:2]
    assert height != width
    assert out.semantic().shape == out.size_hw == out.masks.size_hw == (height, width)
    assert out.words == case.words
    assert out.semantic().min() >= -1
    assert out.semantic().max() < len(case.words)
    assert len(out.labels) == len(out.scores) == len(out.masks) == len(out)
    assert out.image is None
    assert out.provenance.method == case.method
    assert out.provenance.version == lexiseg.__version__


def test_a_result_holds_its_image_if_that_is_wanted(case: Case) -> None:
    seg = case.load()
    out = seg(seg.prepare(case.picture), case.words, keep_image=True)
    np.testing.assert_array_equal(out.image, case.picture)
    with pytest.raises(ValueError, match="read-only"):
        out.image[...] = 0
    without = seg(case.picture, case.words)
    np.testing.assert_array_equal(without.semantic(), out.semantic())
    assert len(pickle.dumps(without)) < len(pickle.dumps(out)) - case.picture.nbytes + 1000


def test_scores_are_probabilities(case: Case) -> None:
    out = case.load()(case.picture, case.words)
    for values in (out.scores, out.word_scores, out.quality):
        if values is not None:
            assert values.dtype == np.float32
            assert np.isfinite(values).all()
            assert ((values >= 0) & (values <= 1)).all()
    total = sum(out.heatmap(word) for word in case.words)
    assert total.shape == out.size_hw
    assert total.max() <= 1.01  # the words share with the background
    absent = [i for i, word in enumerate(case.words) if word not in out.found]
    assert (out.word_scores[absent] == 0).all()


def test_instances_are_a_view_of_their_words_pixels(case: Case) -> None:
    out = case.load(min_share=0.0)(case.picture, case.words)
    for k, word in enumerate(case.words):
        if out.provenance.masker is not None:  # instances are masks; the map may hold more
            others = out.semantic() != k
            if case.method == "dense":  # a mask may reach to where no word is
                others &= out.semantic() >= 0
            assert not (out[word].union() & others).any()
            continue
        np.testing.assert_array_equal(out[word].union(), out.semantic() == k)
        assert out[word].areas.sum() == (out.semantic() == k).sum()
    few = case.load(min_share=0.05)(case.picture, case.words)
    assert len(few) <= len(out)
    np.testing.assert_array_equal(few.semantic(), out.semantic())


def test_a_result_is_frozen_and_can_be_sent(case: Case) -> None:
    out = case.load()(case.picture, case.words)
    with pytest.raises(dataclasses.FrozenInstanceError):
        out.scores = None
    for values in (out.label_map, out.scores, out.word_scores):
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0
    back = pickle.loads(pickle.dumps(out))
    np.testing.assert_array_equal(back.semantic(), out.semantic())
    assert back.provenance == out.provenance


def test_the_same_call_gives_the_same_bytes(case: Case) -> None:
    seg = case.load()
    first, second = seg(case.picture, case.words), seg(case.picture, case.words)
    again = case.load()(case.picture, case.words)
    for other in (second, again):
        np.testing.assert_array_equal(first.semantic(), other.semantic())
        np.testing.assert_array_equal(first.scores, other.scores)
        assert first.masks.to_rle() == other.masks.to_rle()


def test_a_view_gives_the_same_as_the_picture(case: Case) -> None:
    seg = case.load()
    view = seg.prepare(case.picture)
    plain = seg(case.picture, case.words)
    for _ in range(2):
        out = seg(view, case.words)
        np.testing.assert_array_equal(out.semantic(), plain.semantic())
        np.testing.assert_array_equal(out.scores, plain.scores)
    other = seg(view, case.words[:2], background=None)
    direct = seg(case.picture, case.words[:2], background=None)
    np.testing.assert_array_equal(other.semantic(), direct.semantic())


def test_pictures_come_as_arrays_images_or_files(case: Case, tmp_path: Path) -> None:
    from PIL import Image

    seg = case.load()
    plain = seg(case.picture, case.words).semantic()
    image = Image.fromarray(case.picture)
    image.save(tmp_path / "picture.png")
    for source in (image, tmp_path / "picture.png", str(tmp_path / "picture.png")):
        np.testing.assert_array_equal(seg(source, case.words).semantic(), plain)


def test_the_order_of_words_permutes_the_label_map(case: Case) -> None:
    seg, order = case.load(), [2, 0, 3, 1]
    plain = seg(case.picture, case.words)
    shuffled = seg(case.picture, [case.words[i] for i in order])
    assert same(np.array([*order, -1])[shuffled.semantic()], plain.semantic())
    assert np.ptp(plain.word_scores) > 0.1  # of equal scores any order would do
    assert_close(shuffled.word_scores, plain.word_scores[order], 1e-3)


def test_words_as_list_text_or_vocabulary(case: Case) -> None:
    seg = case.load()
    plain = seg(case.picture, list(case.words)).semantic()
    text = "; ".join(case.words)
    np.testing.assert_array_equal(seg(case.picture, text).semantic(), plain)
    parsed = Vocabulary.parse(text, default_background=seg.config.background)
    np.testing.assert_array_equal(seg(case.picture, parsed).semantic(), plain)


def test_without_background_every_pixel_gets_a_word(case: Case) -> None:
    out = case.load()(case.picture, case.words, background=None)
    assert out.semantic().min() >= 0
    assert sum(out.share(word) for word in case.words) == pytest.approx(1)


def test_one_word_without_background_is_everywhere(case: Case) -> None:
    out = case.load()(case.picture, case.words[:1], background=None)
    assert (out.semantic() == 0).all()
    if case.method not in FINDING:  # their scores are not shared out between words
        assert out.word_scores.tolist() == pytest.approx([1], abs=1e-3)


def test_the_literal_word_background_stands_for_the_default_list(case: Case) -> None:
    seg, words = case.load(), case.words[:2]
    plain = seg(case.picture, words)
    out = seg(case.picture, [*words, "background"])
    assert out.words == (*words, "background")
    rest = np.where(plain.semantic() == -1, 2, plain.semantic())
    assert same(out.semantic(), rest)
    assert "background" not in out.labels.tolist()
    closed = seg(case.picture, [*words, "background"], background=None)
    np.testing.assert_array_equal(closed.semantic(), out.semantic())
    assert "background" not in {unknown.word for unknown in out.unknown}


def test_background_words_of_ones_own_replace_the_list(case: Case) -> None:
    seg = case.load()
    first, *rest = case.words
    out = seg(case.picture, [first], background=rest)
    closed = seg(case.picture, case.words, background=None)
    text = seg(case.picture, [first], background=";".join(rest))
    np.testing.assert_array_equal(out.semantic(), text.semantic())
    # The rest sums up what single words score, so it takes at least as much; a mask that it wins
    # as a whole is another one, by a pixel here and there.
    assert out.share(first) <= closed.share(first) + 0.01
    configured = case.load(background=tuple(rest))(case.picture, [first])
    np.testing.assert_array_equal(configured.semantic(), out.semantic())


def test_excluded_words_give_their_pixels_away(case: Case) -> None:
    seg = case.load()
    first, *others = case.words
    closed = seg(case.picture, case.words, background=None)
    out = seg(case.picture, f"{first} -{' -'.join(others)}", background=None)
    assert out.words == (first,)
    assert same(out.semantic(), np.where(closed.semantic() == 0, 0, -1))
    assert set(out.labels.tolist()) <= {first}


def test_a_synonym_adds_its_pixels(case: Case) -> None:
    seg = case.load()
    a, b, *rest = case.words
    apart, together = seg(case.picture, case.words), seg(case.picture, [f"{a}|{b}", *rest])
    assert together.words == (a, *rest)
    union = np.isin(apart.semantic(), [0, 1])
    assert np.mean((together.semantic() == 0) != union) < 0.02


def test_what_masks_cannot_say_the_whole_phrase_says(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lexiseg.stages import phrase_results

    asked = []
    make = phrase_results.whole_vocabulary

    def spy(*arguments: Any) -> Vocabulary:
        asked.append(make(*arguments).names)
        return make(*arguments)

    monkeypatch.setattr(phrase_results, "whole_vocabulary", spy)
    noun = case.words[0]
    phrase = f"{noun} on xyzzy"
    for whole in (True, False):
        asked.clear()
        (reading,) = case.load(whole_phrases=whole)(case.picture, [phrase]).readings
        missing = bool(reading.num_instances) and "xyzzy" not in (reading.reason or "")
        if case.encoder in ("colours", "boxes"):
            assert reading.num_instances
        assert asked == ([(phrase, "xyzzy")] if whole and reading.num_instances else [])
        assert reading.by_whole is bool(whole and reading.num_kept)
        assert missing is bool(reading.num_kept)


def test_thresholds_only_take_away(case: Case) -> None:
    free = case.load()(case.picture, case.words).semantic()
    shares = []
    for threshold in (0.0, 0.5, 0.9, 1.0):
        out = case.load(threshold=threshold)(case.picture, case.words).semantic()
        assert ((out == free) | (out == -1)).all()
        shares.append(float(np.mean(out >= 0)))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == np.mean(free >= 0)
    word = case.words[1]
    one = case.load(word_thresholds={word: 1.0})(case.picture, case.words).semantic()
    np.testing.assert_array_equal(one[free != 1], free[free != 1])
    with pytest.raises(errors.UnknownName):
        case.load(word_thresholds={"nobody asked": 0.5})(case.picture, case.words)


def test_a_word_of_the_vocabulary_is_there_and_another_is_a_key_error(case: Case) -> None:
    out = case.load(threshold=1.0)(case.picture, case.words)
    for word in case.words:
        assert out[word].size_hw == out.size_hw
    with pytest.raises(KeyError):
        out["nobody asked"]


def test_pictures_of_any_size(case: Case) -> None:
    seg = case.load()
    sizes = [(1, 1), (1, 300), (300, 2), (3, 2), (33, 65)]
    # Models of photos enlarge all of them, which takes a second each.
    for size_hw in sizes if case.encoder in ("boxes", "colours", "drawn") else sizes[1:4:2]:
        rgb = np.full((*size_hw, 3), COLOURS["red"], np.uint8)
        out = seg(rgb, case.words, background=None)
        assert out.semantic().shape == size_hw
        assert out.semantic().min() >= 0
        assert out.heatmap(case.words[0]).shape == size_hw
        if case.encoder in ("colours", "boxes"):
            assert (out.semantic() == case.words.index("red")).all()


def test_bad_words_are_refused_before_the_picture_is_read(case: Case) -> None:
    seg = case.load()
    for words in ("", [], ["a", "a"], [3], "-hat"):
        with pytest.raises(errors.PromptError):
            seg("no such picture.jpg", words)
    with pytest.raises(errors.PictureError):
        seg("no such picture.jpg", case.words)


# Settings of papers that change a CLIP's last block: of a method that takes any encoder.
OF_CLIP = {("dense", preset) for preset in ("clearclip", "maskclip", "naclip", "resclip", "sclip")}
PRESETS = [(m.name, preset) for m in loading.list_methods() for preset in m.presets]


def encoders_for(method: str, preset: str) -> list[str]:
    """Return the encoders that a preset is for."""
    if method in OPENING or (method, preset) in OF_CLIP:
        return ["drawn"]
    if method in FINDING:
        return ["boxes"]
    # The crops of so small a photo are too small for the bundled model.
    return ["colours"] if preset == "crops" else ENCODERS


@pytest.mark.parametrize(
    ("case", "preset"),
    [
        pytest.param((method, encoder), preset, id=f"{method}-{encoder}-{preset}")
        for method, preset in PRESETS
        for encoder in encoders_for(method, preset)
    ],
    indirect=["case"],
)
def test_presets_find_what_is_there(case: Case, preset: str) -> None:
    out = case.load(preset=preset)(case.picture, case.words, background=None)
    labels = out.semantic()
    for word, place in case.places().items():
        part = labels[place]
        assert (part == case.words.index(word)).mean() >= (0.6 if case.encoder == "tiny" else 1)
    # The word with the highest map is the label, but where its edges were refined.
    maps = np.stack([out.heatmap(word) for word in case.words])
    assert (labels == maps.argmax(0)).mean() > 0.7
    assert maps.std((1, 2)).max() > 1e-2
    if case.encoder != "drawn":
        assert (np.bincount(labels.reshape(-1)) > 0.01 * labels.size).sum() >= 2
    module = importlib.import_module(f"lexiseg.methods.{case.method.replace('-', '_')}")
    wanted = {**module.PRESETS[preset], **case.small()}
    told = {name: out.provenance.config[name] for name in wanted}
    assert json.loads(json.dumps(told)) == json.loads(json.dumps(wanted))


def test_presets_for_clip_are_refused_by_others(
    colours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lexiseg.models.load_encoder", lambda *_, **__: colours)
    for method, preset in sorted(OF_CLIP & set(PRESETS)):
        with pytest.raises(errors.OptionError, match="is for CLIP"):
            lexiseg.load(method, preset=preset, encoder="colours", device="cpu")
