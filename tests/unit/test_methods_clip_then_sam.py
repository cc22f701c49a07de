"""clip-then-sam with models that see colours: results worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import COLOURS, ColourPrompted
from tests.contract.test_methods import small_models
from tests.flood import FloodMasker

import lexiseg
from lexiseg import Like
from lexiseg.errors import OptionError, PromptError, UnknownName
from lexiseg.methods import clip_then_sam, dense
from lexiseg.prompts import Vocabulary
from lexiseg.protocols import DenseMapper, LoadOptions
from lexiseg.registry import methods

Pixels = NDArray[np.uint8]


def guided(colours: Any, **settings: Any) -> tuple[clip_then_sam.Segmenter, FloodMasker]:
    masker = FloodMasker()
    mapper = dense.Segmenter(colours, dense.Config(encoder="colours", refine="none"))
    config = replace(clip_then_sam.Config(min_region_area=20), **settings)
    return clip_then_sam.Segmenter(mapper, masker, config), masker


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


@pytest.fixture
def loaders(colours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every encoder is the one that sees colours, every mask model one that floods them."""
    monkeypatch.setattr("lexiseg.models.load_encoder", lambda *_, **__: colours)
    monkeypatch.setattr("lexiseg.models.load_prompted", lambda *_, **__: ColourPrompted(colours))
    monkeypatch.setattr("lexiseg.models.load_proxy", lambda *_, **__: None)
    monkeypatch.setattr("lexiseg.models.load_attention_source", lambda *_, **__: None)
    monkeypatch.setattr("lexiseg.models.load_masker", lambda *_, **__: FloodMasker())


@pytest.mark.usefixtures("loaders")
def test_another_mapper_is_found_by_name() -> None:
    seg = lexiseg.load("clip-then-sam", mapper_fields={"short_side": 96}, background=("grey",))
    assert seg.mapper.config.short_side == 96  # type: ignore[attr-defined]
    assert seg.mapper.config.background == ("grey",)  # type: ignore[attr-defined]
    for mapper in ("clip-then-sam", "sam-then-clip", "grounded", "sam3"):
        with pytest.raises(OptionError, match="gives no map of words"):
            lexiseg.load("clip-then-sam", mapper=mapper)
    with pytest.raises(UnknownName, match="dense"):
        lexiseg.load("clip-then-sam", mapper="dens")


# What clip-then-sam makes of the map itself.
OWN = {
    "threshold": 0.3, "word_thresholds": {"red": 0.3}, "min_share": 0.1, "background": ("wall",),
    "refine": "none", "refine_radius": 2, "refine_epsilon": 1e-3, "pamr_steps": 3,
    "pamr_dilations": (2,), "area_threshold": 0.1, "refine_masker": "tiny", "min_agreement": 0.3,
}  # fmt: skip
MAPPERS = [
    m.name for m in lexiseg.list_methods() if hasattr(methods().get(m.name).Segmenter, "score_map")
]


def test_there_are_mappers() -> None:
    assert MAPPERS == ["clipseg", "dense", "proxy-clip", "resclip", "trident"]


@pytest.mark.usefixtures("loaders")
@pytest.mark.parametrize("mapper", MAPPERS)
def test_fields_that_the_map_does_without_are_refused(mapper: str) -> None:
    known = set(lexiseg.config_class(mapper).__dataclass_fields__)
    assert known & set(OWN)
    for name in known & set(OWN):
        with pytest.raises(OptionError, match=f"mapper_fields gives '{name}'.*set its own fields"):
            lexiseg.load("clip-then-sam", mapper=mapper, mapper_fields={name: OWN[name]})  # type: ignore[dict-item]


@pytest.mark.usefixtures("loaders")
@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"short_sid": 96}, UnknownName, "did you mean 'short_side'"),
        ({"mapper": "dense"}, UnknownName, "field of dense's Config"),
        ({"short_side": 1}, OptionError, "short_side is 1"),
        ({"short_side": "large"}, OptionError, "not of its field's type"),
        ({"templates": "no place"}, OptionError, "templates"),
        ({"readout": "sclip"}, OptionError, "readout is for CLIP"),
        ({"encoder": "tiny"}, OptionError, "give one of the two"),
    ],
)
def test_wrong_mapper_fields_are_refused_in_one_line(
    fields: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        lexiseg.load("clip-then-sam", encoder="clip-vit-b16.openai", mapper_fields=fields)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("loaders")
@pytest.mark.parametrize("mapper", ["proxy-clip", "resclip", "trident"])
def test_an_encoder_that_the_mapper_cannot_use_is_never_dropped(
    mapper: str, monkeypatch: pytest.MonkeyPatch, colours: Any
) -> None:
    wanted: list[str] = []

    def load_encoder(name: str, options: Any) -> Any:
        wanted.append(name)
        return colours

    monkeypatch.setattr("lexiseg.models.load_encoder", load_encoder)
    for given in ({"encoder": "tiny"}, {"mapper_fields": {"encoder": "tiny"}}):
        with pytest.raises(OptionError, match=f"{mapper} needs a CLIP, and 'colours' is none"):
            lexiseg.load("clip-then-sam", mapper=mapper, **given)
    assert wanted == ["tiny", "tiny"]
    with pytest.raises(OptionError, match="needs a CLIP"):
        lexiseg.load("clip-then-sam", mapper=mapper)
    assert wanted[2:] == [lexiseg.config_class(mapper).encoder]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("loaders")
def test_without_an_encoder_it_is_the_mappers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clip_then_sam.Config().encoder is None
    seg = lexiseg.load("clip-then-sam")
    assert seg.mapper.config.encoder == "tiny"  # type: ignore[attr-defined]
    seg = lexiseg.load("clip-then-sam", mapper="clipseg", encoder="clipseg-rd64-refined")
    assert seg.mapper.config.encoder == "clipseg-rd64-refined"  # type: ignore[attr-defined]


def reading(made_of: Any) -> tuple[Any, set[str]]:
    """A Config class that remembers which of its fields were read after it was made."""
    read: set[str] = set()

    class Reading(made_of):  # type: ignore[misc]
        made = False

        def __post_init__(self) -> None:
            super().__post_init__()
            object.__setattr__(self, "made", True)

        def __getattribute__(self, name: str) -> Any:
            if name in made_of.__dataclass_fields__ and object.__getattribute__(self, "made"):
                read.add(name)
            return object.__getattribute__(self, name)

    return Reading, read


@pytest.mark.parametrize("mapper", MAPPERS)
def test_every_field_that_is_taken_has_a_part_in_the_map(
    mapper: str, colours: Any, garden: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a map is made of was read; what was not read is refused, or names what was loaded."""
    module = methods().get(mapper)
    made_of, read = reading(module.Config)
    models: list[dict[str, Any]] = [small_models()]
    if mapper == "dense":
        models.append({"load_encoder": colours})
    if mapper == "clipseg":
        models = [{"load_prompted": ColourPrompted(colours)}]
    for loaded in models:
        for name, model in loaded.items():
            monkeypatch.setattr(f"lexiseg.models.{name}", lambda *_, model=model, **__: model)
        fields = {"short_side": 112, "templates": "plain"}
        if mapper not in ("clipseg", "dense"):
            fields |= {"window": 112, "stride": 48}
        seg = module.load(made_of(**fields), LoadOptions())
        like = Like.of(garden, box=(50, 10, 70, 30), words="blue", name="square")
        seg.score_map(seg.prepare(garden), Vocabulary.parse(["red", like]))
    taken = set(module.Config.__dataclass_fields__) - set(OWN)
    assert taken - read == set()
    assert len(taken) > 5


def test_excluded_words_keep_their_pixels_and_are_no_instances(
    colours: Any, garden: Pixels
) -> None:
    out = guided(colours)[0](garden, ["red -yellow", "blue -green"])
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


def test_a_click_takes_the_place_of_what_was_found_there(colours: Any, garden: Pixels) -> None:
    seg, masker = guided(colours)
    out = seg(garden, ["red", "blue"], points=[(12, 12)])
    assert out.labels.tolist() == ["red", "red", "blue"]  # not one more
    np.testing.assert_array_equal(out.semantic() == 0, area(garden, "red"))
    assert out.provenance.prompts is not None
    assert out.provenance.prompts.points_xy is not None
    assert out.provenance.prompts.points_xy[-1] == (12, 12)
    assert out.provenance.prompts.num_prompts == masker.asked


def test_pixels_are_labelled_once_at_the_end(
    colours: Any, garden: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mapper gives its map alone; the fused one is followed along the image's outlines."""
    from lexiseg.stages import map_fusion

    seg, _ = guided(colours)
    monkeypatch.setattr(dense.Segmenter, "segment", None)
    labelled: list[Any] = []
    real = map_fusion.winning_labels
    monkeypatch.setattr(
        map_fusion, "winning_labels", lambda *a, **b: labelled.append(a) or real(*a, **b)
    )
    seg(garden, ["red", "blue"])
    assert len(labelled) == 1


def test_clicks_outside_are_refused_in_one_line(colours: Any, garden: Pixels) -> None:
    seg, _ = guided(colours)
    for wrong in (
        {"points": [(99, 3)]}, {"points": [(-3, 3)]}, {"not_points": [(3, 67)]},
        {"boxes": [(5, 5, 99, 20)]}, {"boxes": [(9, 9, 9, 20)]},
    ):  # fmt: skip
        with pytest.raises(PromptError, match="96 pixels wide and 64 high"):
            seg(garden, ["red"], **wrong)
    for wrong in ({"points": [(1, 2, 3)]}, {"boxes": [(1, 2)]}, {"points": [("a", "b")]}):
        with pytest.raises(PromptError, match="numbers"):
            seg(garden, **wrong)
    with pytest.raises(PromptError, match="nothing to look for"):
        seg(garden, not_points=[(3, 3)])


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (
        {"region_threshold": 2.0}, {"points_per_region": 0}, {"point": "middle"},
        {"points_per_side": -1}, {"min_region_area": 0}, {"min_agreement": -0.1},
        {"coverage": 1.5}, {"pooling": -1.0}, {"trust": -1.0}, {"negative_points": 17},
        {"min_quality": 2.0},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            replace(clip_then_sam.Config(), **wrong)  # type: ignore[arg-type]


def test_a_view_of_another_segmenter_is_refused(colours: Any, garden: Pixels) -> None:
    seg = guided(colours)[0]
    view = replace(seg.prepare(garden), models=("somebody", "else"))
    with pytest.raises(OptionError, match="same segmenter"):
        seg(view, ["red"])
    with pytest.raises(OptionError, match="same segmenter"):
        seg(view, points=[(12, 12)])


def test_a_part_gets_its_masks_beside_the_whole(colours: Any, garden: Pixels) -> None:
    """Red is "person", blue is "face"; each has prompts of its own map."""
    text = colours.text
    names = {"person": "red", "face": "blue"}
    colours.text = lambda words, templates=("{}",): text(
        [names.get(word, word) for word in words], templates
    )
    seg, _ = guided(colours)
    seg.mapper.config = replace(seg.mapper.config, paint_unknown=True)  # it knows only colours
    out = seg(garden, ["face", "person"])
    assert set(out.labels.tolist()) == {"face", "person"}
    assert set(out.wholes) == {"person"}
    assert out["person"].union().any()
    np.testing.assert_array_equal(out.label_map == 1, area(garden, "red"))
    np.testing.assert_array_equal(out.label_map == 0, area(garden, "blue"))
    assert (out.mask("person") >= (out.label_map == 1)).all()
