"""What holds for every registered operation, whatever it does."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np
import pytest

import lexiseg
from lexiseg import imaging
from lexiseg.edit import EditResult, apply, list_operations, operation, settings
from lexiseg.edit.xmp import digital_source
from lexiseg.errors import OptionError, PromptError, UnknownName
from lexiseg.imaging import Picture

NAMES = [one.name for one in list_operations()]
EACH = pytest.mark.parametrize("name", NAMES)
SIZE = (60, 83)
# How far from the mask an operation may change pixels with its defaults; None: anywhere outside.
# None in a Config means: by what comes in; here a colour and a filter.
REACH = {
    one.name: sum(one.defaults.get(part) or 0 for part in ("dilation", "blur"))
    for one in list_operations()
} | {"remove": 13, "replace": 3, "style": 3}
WHOLE = {"mask", "cutout"}  # give something else than the picture
OUTSIDE = {"background"}


def photo(depth: int = 8, *, alpha: bool = False) -> np.ndarray:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    base = np.stack([3 * y, 2 * x + 20, 120 + 40 * np.sin(x / 4)], -1) + rng.normal(
        0, 6, (*SIZE, 3)
    )
    if alpha:
        base = np.dstack([base, np.where(y > 8, 255, 90)])
    if depth == 16:
        return np.clip(base * 257 + rng.integers(-90, 90, base.shape), 0, 65535).astype(np.uint16)
    return np.clip(base, 0, 255).astype(np.uint8)


def thing() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - 30) ** 2 + (x - 35) ** 2 < 9**2


def away(mask: np.ndarray) -> np.ndarray:
    """The distance of every pixel to the mask, slowly."""
    inside = np.argwhere(mask)
    places = np.argwhere(np.ones(mask.shape, bool))
    out = np.array([np.sqrt(((inside - place) ** 2).sum(1).min()) for place in places])
    return out.reshape(mask.shape)


AWAY = away(thing())


@EACH
def test_it_says_what_it_does(name: str) -> None:
    module = operation(name)
    assert is_dataclass(module.Config)
    assert module.SUMMARY.strip(". ") == module.SUMMARY
    assert settings(name) == module.Config()
    with pytest.raises(UnknownName, match=f"field of {name}'s Config"):
        settings(name, no_such_field=1)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WHOLE])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_what_is_out_of_reach_stays_bit_by_bit(name: str, depth: int, alpha: bool) -> None:
    given = imaging.read(photo(depth, alpha=alpha))
    result = apply(name, given, thing())
    after = result.picture
    far = ~thing() & (AWAY > 0) if name in OUTSIDE else REACH[name] < AWAY
    near = thing() & (AWAY == 0)
    assert after.size_hw == SIZE
    if name in OUTSIDE:
        inner = ~thing()
        for _ in range(2):  # the guided filter may soften the rim alone
            inner = inner | np.roll(inner, 1, 0) | np.roll(inner, -1, 0)
            inner = inner | np.roll(inner, 1, 1) | np.roll(inner, -1, 1)
        far = ~inner
    assert far.any()
    assert (after.rgb[far] == given.rgb[far]).all()
    if given.deep is not None:
        assert after.deep is not None
        assert (after.deep[far][:, :3] == given.deep[far][:, :3]).all()
    if given.alpha is not None:
        assert after.alpha is not None
        assert (after.alpha[far] == given.alpha[far]).all()
    changed = ~thing() if name in OUTSIDE else near
    different = (result.rgba != EditResult((given,), result.steps).rgba).any(-1)
    assert different[changed].mean() > 0.5


@EACH
def test_the_same_call_gives_the_same_picture(name: str) -> None:
    one, other = (apply(name, photo(), thing()) for _ in range(2))
    assert (one.rgba == other.rgba).all()


@EACH
def test_the_input_is_not_changed(name: str) -> None:
    given = imaging.read(photo(alpha=True))
    before = given.rgb.copy(), given.alpha.copy()
    apply(name, given, thing())
    assert (given.rgb == before[0]).all()
    assert (given.alpha == before[1]).all()


@EACH
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
def test_files_keep_what_they_carried_and_tell_of_the_edit(
    name: str, suffix: str, tmp_path: Path
) -> None:
    icc, exif = _profile(), _exif()
    given = Picture(photo(), icc=icc, exif=exif)
    result = apply(name, given, thing(), words=["dog"])
    path = tmp_path / f"out{suffix}"
    if suffix == ".jpg" and result.picture.alpha is not None:
        with pytest.raises(lexiseg.errors.OutputError, match="JPEG has no transparency"):
            result.save(path)
        assert list(tmp_path.iterdir()) == []
        return
    result.save(path)
    back = imaging.read(path)
    assert back.size_hw == result.picture.size_hw
    if name != "mask":
        assert back.icc == icc
        if suffix != ".tif":
            assert b"Lexicam" in (back.exif or b"")
    assert digital_source(back.xmp) == result.source
    assert f"&quot;{name}&quot;".encode() in (back.xmp or b"")
    if suffix in (".png", ".tif"):
        assert (back.rgb == result.rgb).all()


@EACH
def test_the_record_is_json(name: str) -> None:
    result = apply(name, photo(), thing(), words=["dog"])
    (step,) = json.loads(json.dumps(result.to_json()))["steps"]
    assert step["operation"] == name
    assert step["words"] == ["dog"]
    assert step["share"] == pytest.approx(thing().mean(), abs=1e-6)
    assert set(step["config"]) == set(operation(name).Config.__dataclass_fields__)


@EACH
def test_masks_that_cannot_be_used_are_refused(name: str) -> None:
    with pytest.raises(PromptError, match="the mask is empty"):
        apply(name, photo(), np.zeros(SIZE, bool))
    with pytest.raises(PromptError, match="give the mask of this very picture"):
        apply(name, photo(), np.ones((SIZE[1], SIZE[0]), bool))
    with pytest.raises(PromptError, match="a mask of uint8"):
        apply(name, photo(), thing().astype(np.uint8))


@EACH
def test_a_mask_over_the_whole_picture_works_or_is_refused(name: str) -> None:
    everywhere = np.ones(SIZE, bool)
    if name == "remove":
        with pytest.raises(PromptError, match="covers all of the picture"):
            apply(name, photo(), everywhere)
    else:
        assert apply(name, photo(), everywhere).picture.size_hw == SIZE


@EACH
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (3, 5)])
def test_tiny_pictures(name: str, size: tuple[int, int]) -> None:
    rgb = np.full((*size, 3), 120, np.uint8)
    mask = np.zeros(size, bool)
    mask[0, 0] = True
    try:
        assert apply(name, rgb, mask).picture.rgb.dtype == np.uint8
    except PromptError as error:  # remove: the hole may be all there is
        assert "covers all of the picture" in str(error)  # noqa: PT017


@EACH
def test_edits_chain(name: str) -> None:
    first = apply("blur", photo(), thing())
    result = apply(name, first, thing())
    assert [step.operation for step in result.steps] == ["blur", name]


def test_several_pictures_do_not_chain() -> None:
    two = np.stack([thing(), np.roll(thing(), 30, 1)])
    cut = apply("cutout", photo(), two, instances=True)
    assert len(cut.pictures) == 2
    with pytest.raises(OptionError, match="go on from one of them"):
        apply("blur", cut, thing())


def test_the_public_room() -> None:
    verbs = {name for name in lexiseg.edit.__all__ if name in NAMES}
    assert verbs == set(NAMES)
    result = lexiseg.edit.recolour(photo(), thing(), "teal", strength=0.5)
    assert isinstance(result, lexiseg.EditResult)
    assert result.steps[0].config["colour"] == "teal"


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _exif() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010F] = "Lexicam"
    return exif.tobytes()
