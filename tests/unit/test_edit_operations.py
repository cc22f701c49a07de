"""The operations one by one, on pictures whose results can be worked out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.edit_pictures import SIZE, disc, noise

from lexiseg import edit, imaging
from lexiseg.edit.colour import luminance, to_linear
from lexiseg.edit.xmp import COMPOSITE, EDITED
from lexiseg.errors import OptionError, PictureError, UnknownName
from lexiseg.metrics import psnr


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
