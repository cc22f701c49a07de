"""Pictures as files: what comes back, kind of file by kind of file, and what is named before."""

from __future__ import annotations

import builtins
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from docs.make import formats
from PIL import Image

from lexiseg import imaging
from lexiseg.errors import OutputError, PictureError

RNG = np.random.default_rng(0)
PROPERTIES = {one.name: one for one in formats.properties()}
EVERYWHERE = (
    "colour profile",
    "EXIF: camera, date, place, copyright, maker's note",
    "upright as EXIF says",
    "no preview of the unedited picture",
    "XMP: rights, keywords",
    "resolution (dpi)",
)


@pytest.mark.parametrize("target", formats.TARGETS)
@pytest.mark.parametrize("name", PROPERTIES)
def test_everything_comes_back_or_is_named_before(name: str, target: str, tmp_path: Path) -> None:
    found = formats.outcome(PROPERTIES[name], target, tmp_path)
    assert formats.LOST not in found
    if name in EVERYWHERE or (target in ("PNG", "TIFF") and "transparen" in name):
        assert found == formats.KEPT


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_samples_are_read_by_others(
    tmp_path: Path, channels: int, order: str, suffix: str
) -> None:
    samples = RNG.integers(0, 65536, (31, 47, channels), dtype=np.uint16)
    samples[..., -1] |= 512  # no pixel is hidden
    source = tmp_path / "source.tif"
    extra = ["unassalpha"] if channels in (2, 4) else None
    kind = "rgb" if channels > 2 else "minisblack"
    tifffile.imwrite(
        source, samples.squeeze(), byteorder=order, photometric=kind, extrasamples=extra
    )
    picture = imaging.read(source)
    imaging.write(tmp_path / f"out{suffix}", picture)
    if suffix == ".tif":
        found = tifffile.imread(tmp_path / "out.tif").reshape(samples.shape)
        np.testing.assert_array_equal(found, samples)
    again = imaging.read(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.deep, picture.deep)
    assert (again.alpha is None) == (channels in (1, 3))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_tiff_in_every_layout(
    tmp_path: Path, planar: str, predictor: bool, tile: Any, channels: int
) -> None:
    samples = RNG.integers(512, 65536, (20, 37, channels), dtype=np.uint16)
    stored = np.moveaxis(samples, -1, 0) if planar == "separate" else samples
    path = tmp_path / "photo.tif"
    tifffile.imwrite(
        path,
        stored,
        compression="zlib",
        predictor=predictor or None,
        planarconfig=planar,
        photometric="rgb" if channels > 2 else "minisblack",
        extrasamples=["unassalpha"] if channels != 3 else None,
        tile=tile,
    )
    want = samples if channels > 2 else samples[..., [0, 0, 0, 1]]
    np.testing.assert_array_equal(imaging.read(path).deep, want)


def test_colours_multiplied_by_alpha_are_divided_in_16_bits(tmp_path: Path) -> None:
    straight = RNG.integers(0, 65536, (20, 37, 4), dtype=np.uint16)
    straight[..., 3] |= 4096
    stored = straight.copy()
    stored[..., :3] = np.rint(straight[..., :3] * (straight[..., 3:] / 65535))
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"])
    found = imaging.read(path).deep
    assert np.abs(found.astype(int) - straight).max() <= 65535 / 4096


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_white_is_zero(tmp_path: Path, order: str, invert: bool) -> None:
    deep = RNG.integers(0, 65536, (20, 37), dtype=np.uint16)
    kind = "miniswhite" if invert else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric=kind, byteorder=order)
    want = 65535 - deep if invert else deep
    np.testing.assert_array_equal(imaging.read(tmp_path / "a.tif").deep[..., 0], want)


@pytest.mark.parametrize(
    ("kind", "top"),
    [(1, 1), (4, 1), *((kind, top) for kind in (2, 3, 5, 6) for top in (1, 7, 255, 1000, 65535))],
)
def test_pnm(tmp_path: Path, kind: int, top: int) -> None:
    channels = 3 if kind in (3, 6) else 1
    values = RNG.integers(0, top + 1, (5, 11, channels))
    header = f"P{kind}\n# a comment\n11 5" + ("" if kind in (1, 4) else f" # top\n{top}") + "\n"
    if kind == 1:
        body = "".join(map(str, values.ravel())).encode()
    elif kind <= 3:
        body = " ".join(map(str, values.ravel())).encode()
    elif kind == 4:
        body = np.packbits(values[..., 0], axis=1).tobytes()
    else:
        body = values.astype(">u2" if top > 255 else "u1").tobytes()
    path = tmp_path / "a.pnm"
    path.write_bytes(header.encode() + body)
    picture = imaging.read(path)
    if kind in (1, 4):
        values, top = 1 - values, 1
    if top > 255:
        np.testing.assert_array_equal(picture.deep, np.rint(values * (65535 / top)))
    want = np.rint(np.rint(values * (65535 / top)) / 257) if top > 255 else values * (255 / top)
    np.testing.assert_allclose(picture.rgb, np.broadcast_to(want, picture.rgb.shape), atol=0.5)
    if top in (1, 255) and kind > 1:  # Pillow reads these well
        with Image.open(path) as image:
            np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(formats.PHOTO), srgb, lab, outputMode="LAB")
    image.save(tmp_path / "lab.tif")
    picture = imaging.read(tmp_path / "lab.tif")
    assert np.abs(picture.rgb.astype(int) - formats.PHOTO).mean() < 5
    assert picture.notes == ("its Lab colours were turned into sRGB",)


def heic(path: Path, array: Any, **options: Any) -> Path:
    pillow_heif = pytest.importorskip("pillow_heif")
    depth16 = array.dtype == np.uint16
    mode = {(3, False): "RGB", (4, False): "RGBA", (3, True): "RGB;16"}[array.shape[2], depth16]
    size = (array.shape[1], array.shape[0])
    image = pillow_heif.from_bytes(mode, size, np.ascontiguousarray(array).tobytes())
    image.save(path, quality=-1, chroma=444, **options)
    return path


def test_heic(tmp_path: Path) -> None:
    block = formats.exif(orientation=6)
    profile = formats.profile()
    path = heic(tmp_path / "IMG.HEIC", formats.PHOTO, exif=block, icc_profile=profile)
    picture = imaging.read(path)
    assert picture.format == "HEIF"
    assert picture.exif is not None
    loaded = Image.Exif()
    loaded.load(picture.exif)
    assert loaded[0x0112] == 1
    assert loaded[0x010F] == "a camera"
    assert sorted(picture.size_hw) == [40, 60]
    upright = np.asarray(Image.fromarray(formats.PHOTO).transpose(Image.Transpose.ROTATE_270))
    turned = picture.rgb if picture.size_hw == (60, 40) else np.rot90(picture.rgb, -1)
    assert np.abs(turned.astype(int) - upright).mean() < 3


def test_heic_with_transparency_and_with_10_bits(tmp_path: Path) -> None:
    picture = imaging.read(heic(tmp_path / "a.heic", formats.RGBA))
    assert np.abs(picture.alpha.astype(int) - formats.ALPHA).max() <= 2
    assert (picture.rgb[formats.ALPHA == 0] == 0).all()
    deep = imaging.read(heic(tmp_path / "b.heif", formats.DEEP)).deep
    assert deep is not None
    assert np.abs(deep.astype(int) - formats.DEEP).mean() < 3 * 257


def test_heic_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "IMG.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40))
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(PictureError, match=r"needs pillow-heif; pip install 'lexiseg\[heif\]'"):
        imaging.read(path)


@pytest.mark.parametrize("suffix", ["jpe", "jfif", "JPG"])
def test_other_ends_of_jpeg_names(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    imaging.write(path, formats.PHOTO)
    assert imaging.read(path).format == "JPEG"
    assert path.suffix.lower() in imaging.SUFFIXES
    assert path.suffix.lower() in imaging.WRITABLE_SUFFIXES


@pytest.mark.parametrize(
    ("name", "array", "transparent", "says"),
    [
        ("o.jpg", formats.RGBA, False, "JPEG has no transparency; end the name in .png"),
        ("o.jpg", formats.PHOTO, True, "JPEG has no transparency"),
        ("o.gif", formats.PHOTO, False, "ends in '.gif'; end it in one of .png, .jpg"),
        ("o.heic", formats.PHOTO, False, "ends in '.heic'"),
        ("o", formats.PHOTO, False, "ends in ''"),
        ("o.webp", np.zeros((1, 17_000, 3), np.uint8), False, "WEBP, which has at most 16,383"),
        ("o.jpg", np.zeros((66_000, 1), np.uint8), False, "at most 65,500 a side"),
    ],
)
def test_targets_that_are_refused_before_the_work(
    tmp_path: Path, name: str, array: Any, transparent: bool, says: str
) -> None:
    with pytest.raises(OutputError, match=says):
        imaging.check_target(imaging.read(array), tmp_path / name, transparent=transparent)


def test_opaque_rgba_goes_to_jpeg(tmp_path: Path) -> None:
    screenshot = np.dstack([formats.PHOTO, np.full((40, 60), 255, np.uint8)])
    picture = imaging.read(screenshot)
    assert imaging.check_target(picture, "o.jpg") == ()
    imaging.write(tmp_path / "o.jpg", picture)
    assert imaging.read(tmp_path / "o.jpg").alpha is None
    imaging.write(tmp_path / "o.png", picture)
    assert imaging.read(tmp_path / "o.png").mode == "RGBA"


def test_remarks_name_what_is_lost(tmp_path: Path) -> None:
    path = next(iter(PROPERTIES["texts of PNG"].sources))(tmp_path / "a.png")
    (remark,) = imaging.check_target(imaging.read(path), "o.jpg")
    assert remark == "JPEG has no place for texts as PNG has: parameters, größe"
    deep = imaging.read(formats.DEEP)
    (remark,) = imaging.check_target(deep, "o.webp")
    assert remark == "WebP holds 8 bits a channel: the picture's 16 are rounded to them"
    assert imaging.check_target(deep, "o.tiff") == ()


def test_blocks_that_jpeg_cannot_hold_are_named_and_left_out(tmp_path: Path) -> None:
    block = Image.Exif()
    block[0x010E] = "x" * 70_000
    Image.fromarray(formats.PHOTO).save(tmp_path / "a.png", exif=block)
    picture = replace(imaging.read(tmp_path / "a.png"), xmp=formats.XMP + b" " * 70_000)
    remarks = imaging.check_target(picture, "o.jpg")
    assert [remark.split(" of ")[0] for remark in remarks] == ["its EXIF block", "its XMP packet"]
    imaging.write(tmp_path / "o.jpg", picture)
    again = imaging.read(tmp_path / "o.jpg")
    assert (again.exif, again.xmp) == (None, None)
    assert imaging.check_target(picture, "o.png") == ()


def test_a_grey_file_stays_grey_until_it_gets_colour(tmp_path: Path) -> None:
    grey = formats.PHOTO[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png", icc_profile=formats.grey_profile())
    picture = imaging.read(tmp_path / "a.png")
    for suffix in ("png", "jpg", "tif"):
        imaging.write(tmp_path / f"o.{suffix}", picture)
        with Image.open(tmp_path / f"o.{suffix}") as image:
            assert image.mode == "L"
            assert image.info["icc_profile"] == formats.grey_profile()
    rgb = picture.rgb.copy()
    rgb[0, 0] = (255, 0, 0)
    imaging.write(tmp_path / "o.png", replace(picture, rgb=rgb))
    with Image.open(tmp_path / "o.png") as image:
        assert image.mode == "RGB"
        assert "icc_profile" not in image.info


def test_blocks_of_ones_own_stand_in_place_of_the_pictures(tmp_path: Path) -> None:
    Image.fromarray(formats.PHOTO).save(tmp_path / "a.jpg", xmp=formats.XMP, exif=formats.exif())
    picture = imaging.read(tmp_path / "a.jpg")
    imaging.write(tmp_path / "o.jpg", picture, xmp=b"<x:xmpmeta/>")
    again = imaging.read(tmp_path / "o.jpg")
    assert again.xmp == b"<x:xmpmeta/>"
    assert again.exif == picture.exif


def test_new_transparency_uncovers_nothing(tmp_path: Path) -> None:
    picture = imaging.read(formats.RGBA)
    alpha = picture.alpha.copy()
    alpha[:, 40:] = 0  # as a cut-out does
    alpha[:, :5] = 255  # and what was hidden becomes visible
    rgb = np.where(alpha[..., None] == 0, 0, picture.rgb).astype(np.uint8)
    imaging.write(tmp_path / "o.png", replace(picture, rgb=rgb, alpha=alpha))
    with Image.open(tmp_path / "o.png") as image:
        found = np.asarray(image)
    np.testing.assert_array_equal(found[..., 3], alpha)
    assert (found[:, 40:, :3] == 0).all()  # not the photo's colours
    assert (found[:, :5, :3] == 0).all()  # not those that were hidden
    np.testing.assert_array_equal(found[:, 5:20, :3], formats.PHOTO[:, 5:20])  # as in the file


def test_a_smaller_picture_tells_its_own_size(tmp_path: Path) -> None:
    block = Image.Exif()
    block[0x010F] = "a camera"
    block.get_ifd(0x8769)[0xA002] = 60
    block.get_ifd(0x8769)[0xA003] = 40
    Image.fromarray(formats.RGBA).save(tmp_path / "a.png", exif=block)
    picture = imaging.read(tmp_path / "a.png")
    smaller = replace(picture, rgb=picture.rgb[:30, :20], alpha=picture.alpha[:30, :20])
    imaging.write(tmp_path / "o.webp", smaller)
    with Image.open(tmp_path / "o.webp") as image:
        inner = image.getexif().get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003]) == (20, 30)


def test_a_lossless_webp_stays_so(tmp_path: Path) -> None:
    noise = RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.webp", lossless=True, exact=True)
    imaging.write(tmp_path / "o.webp", imaging.read(tmp_path / "a.webp"))
    with Image.open(tmp_path / "o.webp") as image:
        np.testing.assert_array_equal(np.asarray(image), noise)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_second_round_changes_nothing(tmp_path: Path, suffix: str) -> None:
    for number, one in enumerate(PROPERTIES.values()):
        source = one.sources[0](tmp_path / f"source-{number}")
        first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
        imaging.write(first, imaging.read(source))
        imaging.write(second, imaging.read(first))
        assert first.read_bytes() == second.read_bytes(), one.name


def test_large_texts_come_back_as_they_were(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("workflow", "node " * 1_300_000, zip=True)
    texts.add_itxt("Title", "ein See", lang="de", tkey="Titel")
    data = io.BytesIO()
    Image.fromarray(formats.PHOTO).save(data, "PNG", pnginfo=texts)
    (tmp_path / "a.png").write_bytes(data.getvalue())
    picture = imaging.read(tmp_path / "a.png")
    assert picture.notes == ()
    imaging.write(tmp_path / "o.png", picture)
    assert imaging.read(tmp_path / "o.png").extras.chunks == picture.extras.chunks
    assert [kind for kind, _ in picture.extras.chunks] == [b"zTXt", b"iTXt"]
