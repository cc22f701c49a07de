"""The operations one by one, on pictures whose results can be worked out."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lexiseg import edit, imaging
from lexiseg.editing.colours import is_colour, parse_colour
from lexiseg.editing.edits.replace import poisson
from lexiseg.editing.light import from_linear, luminance, to_linear
from lexiseg.editing.mark import (
    COMPOSITE,
    EDITED,
    GENERATED,
    digital_source,
    steps_of,
    strongest,
    xmp,
)  # fmt: skip
from lexiseg.editing.matting import foreground, matte
from lexiseg.editing.region import Region, border, region
from lexiseg.editing.sources import covering, inside, like
from lexiseg.editing.window import grown
from lexiseg.errors import OptionError, PictureError, UnknownName, WordNotAsked
from lexiseg.imaging import Picture
from lexiseg.masks import Masks
from lexiseg.metrics import psnr
from lexiseg.results import Provenance, ScoreMap, Segmentation

SIZE = (40, 57)


def disc(radius: float = 9, size: tuple[int, int] = SIZE, at: tuple[int, int] = (20, 30)):
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2


def noise(size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 1.2)


# Regions


def test_the_weight_by_hand() -> None:
    mask = np.zeros((5, 12), bool)
    mask[2, 3] = True
    found = region(mask, dilation=2, blur=3)
    assert found.box_xyxy == (0, 0, 9, 5)
    row = found.weight[2]
    ramp = np.array([3 / 4, 2 / 4, 1 / 4])
    soft = ramp**2 * (3 - 2 * ramp)
    assert row[3:9] == pytest.approx([1, 1, 1, *soft])
    assert found.weight[0, 8] == 0  # the root of 29 pixels away, beyond 2 + 3
    assert region(mask).weight.tolist() == [[1.0]]


@pytest.mark.parametrize(("dilation", "blur"), [(0, 0), (5, 8), (3, 0), (0, 4)])
def test_the_weight_is_zero_beyond_its_reach(dilation: int, blur: int) -> None:
    mask = disc(6)
    found = region(mask, dilation=dilation, blur=blur)
    full = np.zeros(SIZE, np.float32)
    full[found.window] = found.weight
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert (full[away > dilation + blur] == 0).all()
    assert (full[away <= dilation] == 1).all()
    between = (away > dilation) & (away <= dilation + blur)
    assert ((full[between] > 0) & (full[between] < 1)).all()
    assert (np.diff(full[20, 36:]) <= 0).all()


def test_borders_grow_with_the_photo() -> None:
    assert border(None, None, (480, 640), generous=True) == (5, 8)
    assert border(None, None, (3200, 2000), generous=True) == (25, 40)
    assert border(None, None, (3200, 2000), generous=False) == (0, 3)
    assert border(1, None, (3200, 2000), generous=True) == (1, 40)
    assert border(1, 0, (3200, 2000), generous=True) == (1, 0)


def test_impossible_borders() -> None:
    with pytest.raises(OptionError, match="dilation is -1"):
        region(disc(), dilation=-1)


# Colours and light


def test_colours() -> None:
    assert parse_colour("teal") == (0, 128, 128)
    assert parse_colour("#f80") == (255, 136, 0)
    assert not is_colour("sunset.jpg")
    with pytest.raises(OptionError, match="transparent"):
        parse_colour("#11223344")


def test_linear_light_there_and_back() -> None:
    all_values = np.arange(256, dtype=np.uint8)
    assert (from_linear(to_linear(all_values), np.dtype(np.uint8)) == all_values).all()
    assert to_linear(np.array([188], np.uint8))[0] == pytest.approx(0.5029, abs=1e-4)
    deep = np.arange(0, 65536, 37, dtype=np.uint16)
    assert (from_linear(to_linear(deep), np.dtype(np.uint16)) == deep).all()


def test_recolouring_keeps_the_order_of_shades() -> None:
    ramp = np.zeros((*SIZE, 3), np.uint8)
    ramp[:] = np.linspace(20, 230, SIZE[1]).astype(np.uint8)[None, :, None]
    out = edit.recolour(ramp, np.ones(SIZE, bool), "#c03020").rgb
    light = luminance(to_linear(out))[10]
    assert (np.diff(light) > 0).all()
    middle = out[10, SIZE[1] // 2].astype(int)
    assert np.abs(middle - (0xC0, 0x30, 0x20)).max() <= 12
    half = edit.recolour(ramp, np.ones(SIZE, bool), "red", strength=0.0).rgb
    assert (half == ramp).all()


# Blur and blocks


def test_blocks_are_means() -> None:
    rgb = noise()
    mask = np.zeros(SIZE, bool)
    mask[8:20, 16:40] = True
    out = edit.pixelate(rgb, mask, block=8).rgb
    first = rgb[8:16, 16:24].reshape(-1, 3).mean(0)
    rest = rgb[16:20, 16:24].reshape(-1, 3).mean(0)
    assert np.abs(out[8:16, 16:24] - first).max() <= 0.5
    assert np.abs(out[16:20, 16:24] - rest).max() <= 0.5
    assert (out[~mask] == rgb[~mask]).all()


def test_blur_is_a_gaussian_of_the_whole_picture() -> None:
    rgb = noise()
    out = edit.blur(rgb, disc(6), radius=2.0, blur=0).rgb
    expected = cv2.GaussianBlur(rgb, (0, 0), 2.0, borderType=cv2.BORDER_REPLICATE)
    assert np.abs(out[disc(6)].astype(int) - expected[disc(6)]).max() <= 1
    with pytest.raises(OptionError, match="radius is 0"):
        edit.blur(rgb, disc(), radius=0.0)


# Removal


def test_a_spot_on_a_gradient_goes() -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    clean = np.stack([3 * y + 60, 2 * x + 40, y + x], -1).astype(np.uint8)
    spotted = np.where(disc(6)[..., None], np.uint8((250, 250, 250)), clean)
    out = edit.remove(spotted, disc(6), dilation=1, blur=2)
    assert out.steps[0].notes == ("filled by exemplar",)
    assert psnr(out.rgb, clean, disc(6)) > 28


def test_black_covers_the_mask_alone() -> None:
    rgb = noise()
    out = edit.remove(rgb, disc(), fill="black").rgb
    assert (out[disc()] == 0).all()
    assert (out[~disc()] == rgb[~disc()]).all()
    with pytest.raises(UnknownName, match="did you mean 'telea'"):
        edit.remove(rgb, disc(), fill="tela")


def test_removal_does_not_copy_what_is_hidden() -> None:
    rgba = np.dstack([np.full((*SIZE, 3), 90, np.uint8), np.full(SIZE, 255, np.uint8)])
    rgba[:, :20] = (255, 0, 0, 0)  # red, but nobody sees it
    out = edit.remove(rgba, disc(6), dilation=0, blur=0)
    assert (out.rgb[disc(6)] == 90).all()
    assert (out.picture.alpha[disc(6)] == 255).all()


def test_a_sticker_on_nothing_leaves_nothing() -> None:
    rgba = np.zeros((*SIZE, 4), np.uint8)
    rgba[disc(9, at=(20, 14))] = (10, 200, 10, 255)
    rgba[disc(5, at=(20, 44))] = (200, 10, 10, 255)
    out = edit.remove(rgba, disc(5, at=(20, 44)), dilation=2, blur=2)
    assert (out.picture.alpha[disc(5, at=(20, 44))] == 0).all()
    assert (out.picture.alpha[disc(9, at=(20, 14))] == 255).all()


# Replacing


def test_a_picture_covers_the_region_in_its_proportions() -> None:
    other = np.zeros((20, 60, 3), np.uint8)
    other[:, 20:40] = 200
    found = covering(Picture(other), (30, 30))
    assert found.shape == (30, 30, 4)
    # The middle third, at one and a half the size; cubic interpolation rings at its edges.
    assert (found[:, 3:-3, 0] == 200).all()


def test_a_cut_out_stands_at_the_bottom() -> None:
    other = Picture(np.full((10, 10, 3), 50, np.uint8), np.full((10, 10), 255, np.uint8))
    found = inside(other, (20, 10))
    assert (found[:10, :, 3] == 0).all()
    assert (found[10:, :, 3] == 255).all()
    assert (found[10:, :, :3] == 50).all()


def test_hidden_colours_do_not_bleed_when_scaled() -> None:
    rgb = np.full((40, 40, 3), (255, 0, 0), np.uint8)
    rgb[:, 20:] = (0, 0, 255)
    alpha = np.where(np.arange(40)[None] < 20, 255, 0).repeat(40, 0).astype(np.uint8)
    found = covering(Picture(rgb, alpha), (13, 13))
    seen = found[..., 3] > 0
    assert (found[seen][:, 0] >= 250).all()
    assert (found[seen][:, 2] <= 5).all()


def test_colours_take_mean_and_spread_of_others() -> None:
    new, old = noise(seed=1), (noise(seed=2) // 3 + 120).astype(np.uint8)
    flat = np.ones(SIZE, np.float32)
    moved = like(new, flat, old, flat, 1.0)
    to_lab = lambda rgb: cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)  # noqa: E731
    before, after, wanted = (to_lab(one).reshape(-1, 3).mean(0) for one in (new, moved, old))
    assert np.abs(after - wanted).max() < 0.15 * np.abs(before - wanted).max()
    assert (like(new, flat, old, flat, 0) == new).all()


def test_poisson_blending_is_opencvs() -> None:
    """Without fading, the blend is what cv2.seamlessClone gives."""
    size = (60, 74)
    old, new = noise(size, 3) // 2 + 60, noise(size, 4) // 3 + 20
    old, new = (cv2.GaussianBlur(one.astype(np.uint8), (0, 0), 2) for one in (old, new))
    inner = disc(16, size, (30, 37))
    where = Region((0, 0, size[1], size[0]), inner.astype(np.float32), inner)
    mine = poisson(new, old, where, 1.0)
    # It erodes the mask by three pixels before it solves.
    mask = cv2.dilate(inner.astype(np.uint8) * 255, np.ones((7, 7), np.uint8))
    ys, xs = np.nonzero(mask)
    centre = ((xs.min() + xs.max() + 1) // 2, (ys.min() + ys.max() + 1) // 2)
    theirs = cv2.seamlessClone(new, old, mask, centre, cv2.NORMAL_CLONE)
    core = cv2.erode(inner.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    apart = np.abs(mine[core].astype(int) - theirs[core])
    assert np.median(apart) <= 2
    plain = np.abs(new[core].astype(int) - theirs[core])
    assert apart.mean() < 0.1 * plain.mean()


def test_replacing_says_that_it_is_a_composite(tmp_path: Path) -> None:
    path = tmp_path / "sunset.png"
    imaging.write(path, noise(seed=6))
    out = edit.replace(noise(), disc(), path)
    assert out.source == COMPOSITE
    assert out.steps[0].config["with_"] == "sunset.png"
    assert edit.replace(noise(), disc(), "teal").source == EDITED
    with pytest.raises(OptionError, match="bleed is 2"):
        edit.replace(noise(), disc(), "teal", bleed=2)


def test_cut_outs_stand_for_each_instance() -> None:
    masks = np.stack([disc(6, at=(20, 12)), disc(6, at=(20, 44))])
    red = np.zeros((8, 8, 4), np.uint8)
    red[:, :, 0] = red[:, :, 3] = 255
    red[0, 0, 3] = 0
    grey = np.full((*SIZE, 3), 128, np.uint8)
    out = edit.replace(grey, masks, red, match=0, instances=True).rgb
    assert (out[20, 12] == (255, 0, 0)).all()
    assert (out[20, 44] == (255, 0, 0)).all()
    assert (out[20, 28] == 128).all()


# Styles


@pytest.mark.parametrize("name", ["stylise", "sketch", "coloured-sketch", "cartoon", "oil",
                                  "detail", "grey"])  # fmt: skip
def test_every_style_changes_the_region(name: str) -> None:
    rgb = noise()
    out = edit.style(rgb, disc(), name, blur=0).rgb
    assert (out[disc()] != rgb[disc()]).any(-1).mean() > 0.5
    assert (out[~disc()] == rgb[~disc()]).all()


def test_unknown_styles() -> None:
    with pytest.raises(UnknownName, match="did you mean 'cartoon'"):
        edit.style(noise(), disc(), "cartoo")


# Backgrounds and cut-outs


def fuzzy(front: tuple[int, int, int], back: tuple[int, int, int], size=(80, 101)):
    """A disc with an edge 6 pixels wide: the picture, its true opacity, and a hard mask."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(y - 40, x - 50) - 24
    alpha = np.clip(0.5 - away / 6, 0, 1)
    rgb = alpha[..., None] * front + (1 - alpha[..., None]) * np.array(back)
    return np.rint(rgb).astype(np.uint8), alpha, alpha > 0.5


@pytest.mark.parametrize("edges", ["soft", pytest.param("closed-form", marks=pytest.mark.slow)])
def test_soft_edges_come_near_the_truth(edges: str) -> None:
    if edges == "closed-form":
        pytest.importorskip("pymatting")
    rgb, alpha, mask = fuzzy((200, 40, 30), (20, 60, 180))
    found = matte(rgb, mask, edges, band=6)
    assert np.abs(found - alpha).mean() < 0.5 * np.abs(mask - alpha).mean()
    assert (found[np.hypot(*np.mgrid[-40:40, -50:51]) < 15] == 1).all()
    assert (found[np.hypot(*np.mgrid[-40:40, -50:51]) > 33] == 0).all()


def test_cut_outs_hold_the_colour_of_the_thing_alone() -> None:
    front, back = (200, 40, 30), (20, 60, 180)
    rgb, alpha, _ = fuzzy(front, back)
    found = foreground(rgb, alpha.astype(np.float32))
    rim = (alpha > 0.2) & (alpha < 1)
    assert np.abs(found[rim].astype(int) - front).mean() < 6
    assert np.abs(rgb[rim].astype(int) - front).mean() > 30
    assert (found[alpha == 0] == 0).all()
    assert (found[alpha == 1] == rgb[alpha == 1]).all()


def test_a_cut_out_laid_on_another_ground_is_as_if_it_had_been_there() -> None:
    rgb, alpha, mask = fuzzy((200, 40, 30), (20, 60, 180))
    truth, _, _ = fuzzy((200, 40, 30), (240, 240, 100))
    cut = edit.cutout(rgb, mask, band=6, trim=False).rgba
    share = cut[..., 3:] / 255
    laid = np.rint(cut[..., :3] * share + np.array((240, 240, 100)) * (1 - share))
    naive = np.where(mask[..., None], rgb, (240, 240, 100))
    rim = (alpha > 0) & (alpha < 1)
    assert np.abs(laid[rim] - truth[rim]).mean() < 0.5 * np.abs(naive[rim] - truth[rim]).mean()
    over = edit.background(rgb, mask, "#f0f064", band=6).rgb
    assert np.abs(over.astype(int) - laid).max() <= 2


def test_cut_outs_are_trimmed_and_one_by_one() -> None:
    rgb = noise((60, 90))
    masks = np.zeros((2, 60, 90), bool)
    masks[0, 10:30, 5:25] = True
    masks[1, 20:50, 60:75] = True
    hard = {"edges": "hard"}
    assert edit.cutout(rgb, masks, **hard).picture.size_hw == (40, 70)
    both = edit.cutout(rgb, masks, instances=True, margin=2, **hard).pictures
    assert [one.size_hw for one in both] == [(24, 24), (34, 19)]
    assert (both[0].rgb[2:22, 2:22] == rgb[10:30, 5:25]).all()
    assert (both[0].alpha[:2] == 0).all()
    full = edit.cutout(rgb, masks, trim=False, **hard).picture
    assert full.size_hw == (60, 90)
    assert (full.rgb[~masks.any(0)] == 0).all()
    with pytest.raises(PictureError, match="transparent already"):
        edit.cutout(np.dstack([rgb, np.zeros((60, 90), np.uint8)]), masks)


def test_a_blurred_background_does_not_smear_the_thing() -> None:
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[disc()] = 255
    out = edit.background(rgb, disc(), "blur", radius=4.0, edges="hard").rgb
    assert (out[~disc()] <= 1).all()
    assert (out[disc()] == 255).all()


def test_backgrounds() -> None:
    rgb = noise()
    clear = edit.background(rgb, disc(), "transparent", edges="hard").rgba
    assert (clear[..., 3] == 255 * disc()).all()
    assert (clear[~disc()] == 0).all()
    teal = edit.background(rgb, disc(), "teal", edges="hard")
    assert teal.picture.alpha is None
    assert (teal.rgb[~disc()] == (0, 128, 128)).all()
    other = edit.background(rgb, disc(), noise((10, 30), 9), edges="hard")
    assert other.source == COMPOSITE
    with pytest.raises(PictureError, match="does not exist"):
        edit.background(rgb, disc(), "no-such-colour-or-file")


# The record


def test_the_source_type_is_read_where_others_write_it() -> None:
    place = b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    element = b"<Iptc4xmpExt:DigitalSourceType>" + place + b"</Iptc4xmpExt:DigitalSourceType>"
    attribute = b'<x Iptc4xmpExt:DigitalSourceType="' + place + b'"/>'
    linked = b'<Iptc4xmpExt:DigitalSourceType rdf:resource="' + place + b'"/>'
    for packet in (element, attribute, linked):
        assert digital_source(packet) == place.decode()
    assert digital_source(b"<x/>") is None
    assert digital_source(xmp([], GENERATED)) == GENERATED
    assert strongest(None, EDITED, COMPOSITE) == COMPOSITE
    assert strongest(place.decode(), EDITED) == GENERATED


def test_what_was_generated_stays_marked(tmp_path: Path) -> None:
    given = Picture(noise(), xmp=xmp([], GENERATED))
    path = edit.blur(given, disc()).save(tmp_path / "a.jpg")
    assert digital_source(imaging.read(path).xmp) == GENERATED


def test_steps_add_up_over_files(tmp_path: Path) -> None:
    first = edit.blur(noise(), disc()).save(tmp_path / "a.png")
    second = edit.pixelate(first, disc()).save(tmp_path / "b.jpg")
    told = steps_of(imaging.read(second).xmp)
    assert [step["operation"] for step in told] == ["blur", "pixelate"]
    assert steps_of(None) == steps_of(b"<x/>") == steps_of(b'lexiseg:steps="[broken"') == []


def test_the_old_thumbnail_does_not_tell_what_was_covered(tmp_path: Path) -> None:
    """EXIF may hold a small copy of the whole photo, in a second directory."""
    secret = b"a small copy of the photo"
    first = struct.pack("<H", 1) + struct.pack("<HHI4s", 0x010F, 2, 4, b"Cam\0")
    first += struct.pack("<I", 8 + len(first) + 4)
    start = 8 + len(first)
    second = struct.pack("<H", 2) + struct.pack("<HHII", 0x201, 4, 1, start + 2 + 24 + 4)
    second += struct.pack("<HHII", 0x202, 4, 1, len(secret)) + struct.pack("<I", 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + secret
    Image.fromarray(noise()).save(tmp_path / "a.jpg", exif=exif)
    assert secret in (tmp_path / "a.jpg").read_bytes()
    for suffix in ("jpg", "png", "webp", "tif"):
        path = edit.blur(tmp_path / "a.jpg", disc()).save(tmp_path / f"b.{suffix}")
        assert secret not in path.read_bytes()
        assert suffix == "tif" or b"Cam" in (imaging.read(path).exif or b"")


def test_xmp_is_well_formed() -> None:
    from xml.etree import ElementTree as ET

    packet = xmp([{"operation": "remove", "words": ['a "b" <c> & d', "犬"]}], EDITED)
    (described,) = ET.fromstring(packet.decode().partition("?>")[2].rpartition("<?")[0])[0]
    assert '"words": ["a \\"b\\" <c> & d", "犬"]' in described.attrib["{urn:lexiseg:edit:1}steps"]


def test_grey_pictures_stay_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 65536, SIZE, np.uint16)
    path = edit.blur(grey, disc()).save(tmp_path / "grey.png")
    with Image.open(path) as image:
        assert image.mode == "I;16"
    eight = edit.mask(noise(), disc()).save(tmp_path / "mask.png")
    with Image.open(eight) as image:
        assert image.mode == "L"
    assert (imaging.read(eight).rgb[..., 0] == 255 * disc()).all()


def test_arrays_and_files_in_the_record() -> None:
    out = edit.background(noise(), disc(), noise((5, 8)))
    assert out.steps[0].config["ground"] == "a picture of (5, 8)"
    out = edit.background(noise(), disc(), Image.fromarray(noise((5, 8))))
    assert out.steps[0].config["ground"] == "a picture of (5, 8)"


def test_a_region_in_a_larger_box_is_the_same_region() -> None:
    where = region(disc(5, at=(20, 3)), dilation=2)
    larger = grown(where, SIZE, 4)
    one, other = (np.zeros(SIZE, np.float32) for _ in range(2))
    one[where.window], other[larger.window] = where.weight, larger.weight
    assert (one == other).all()
    x0, y0, x1, y1 = where.box_xyxy
    assert larger.box_xyxy == (0, y0 - 4, x1 + 4, y1 + 4)
    assert x0 == 0


def test_all_of_a_word_is_its_pixels_and_what_scores_high_beside_them() -> None:
    label_map = np.full((8, 12), -1, np.int16)
    label_map[0:4, 0:4] = 0
    label_map[4:8, 0:4] = 1
    grid = np.zeros((2, 8, 12), np.float16)
    grid[0, 0:4, 0:8] = 0.6  # half of it was left out of the label map
    grid[0, 0:4, 8] = 0.4  # nothing has 0.6 there, which is near
    grid[0, 0:4, 9] = 0.3  # and this is not
    grid[0, 6:8, 10:12] = 0.9  # far away from what has the word
    grid[1, 4:8, 0:4] = 0.9
    out = segmentation(label_map, grid)
    expected = label_map == 0
    expected[0:4, 4:9] = True
    np.testing.assert_array_equal(edit.all_of(out, "a"), expected)
    np.testing.assert_array_equal(edit.all_of(out, ["a", "b"]), expected | (label_map == 1))
    alone = segmentation(label_map, None)
    np.testing.assert_array_equal(edit.all_of(alone, "a"), label_map == 0)
    with pytest.raises(WordNotAsked):
        edit.all_of(alone, "c")


def segmentation(label_map: NDArray[np.int16], grid: NDArray[np.float16] | None) -> Segmentation:
    return Segmentation(
        words=("a", "b"),
        labels=np.zeros(0, np.str_),
        scores=np.zeros(0, np.float32),
        quality=None,
        masks=Masks.empty((8, 12)),
        label_map=label_map,
        word_scores=np.ones(2, np.float32),
        score_map=None if grid is None else ScoreMap(grid, (8, 12)),
        provenance=Provenance(method="dense", encoder="none"),
    )
