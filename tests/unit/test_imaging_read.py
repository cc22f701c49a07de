"""Reading pictures: every kind of pixel, every way a file can be wrong."""

from __future__ import annotations

import io
import itertools
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps

from lexiseg import imaging
from lexiseg.errors import OptionError, PictureError

RNG = np.random.default_rng(0)
SMOOTH = np.stack(np.meshgrid(np.arange(60), np.arange(40)), axis=-1)
# (40, 60, 3): smooth, so that JPEG keeps it, and without any symmetry
PHOTO = np.dstack([SMOOTH * 4, SMOOTH[..., :1] + SMOOTH[..., 1:]]).astype(np.uint8)


def png_bytes(array: NDArray[Any], colour_type: int, chunks: bytes = b"") -> bytes:
    """A PNG file written by hand: 16 bits a channel where the array has them."""
    depth = array.dtype.itemsize * 8
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(f">u{array.dtype.itemsize}").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunks + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff_bytes(array: NDArray[Any], orientation: int, apart: bool) -> bytes:
    """A plain TIFF file of 16-bit RGB written by hand: its planes interleaved, or apart."""
    height, width = array.shape[:2]
    planes = [array[..., i] for i in range(3)] if apart else [array]
    strips = [np.ascontiguousarray(plane).astype("<u2").tobytes() for plane in planes]
    tags: dict[int, list[int]] = {
        256: [width],
        257: [height],
        258: [16] * 3,
        259: [1],  # not compressed
        262: [2],  # RGB
        273: [0] * len(strips),  # where each strip begins; filled in below
        274: [orientation],
        277: [3],
        278: [height],
        279: [len(strip) for strip in strips],
        284: [2 if apart else 1],
    }
    behind = 8 + 2 + 12 * len(tags) + 4  # long values follow the tags, then the strips
    longer = sum(4 * len(values) for values in tags.values() if len(values) > 1)
    starts = np.cumsum([behind + longer, *tags[279][:-1]])
    tags[273] = starts.tolist()
    entries, extra = b"", b""
    for tag, values in tags.items():
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            extra += packed
            packed = struct.pack("<I", behind + len(extra) - len(packed))
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    header = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return header + entries + bytes(4) + extra + b"".join(strips)


def shown(rgb: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """What may be shown of colours: those under alpha 0 are black."""
    return np.where(alpha[..., None] == 0, 0, rgb)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


# Upright, then what the camera stored for each EXIF orientation, as the standard words it:
# "the 0th row of what is stored is the visual ..., the 0th column the visual ...".
STORED = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.swapaxes(0, 1),  # left, top
    6: lambda a: a[:, ::1].swapaxes(0, 1)[::-1],  # right, top
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],  # left, bottom
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "pil"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](PHOTO)))
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    name = tmp_path / f"photo.{'png' if suffix == 'pil' else suffix}"
    saved(name, stored, exif=exif, **options.get(suffix, {}))
    if suffix == "pil":
        with Image.open(name) as image:
            picture = imaging.read(image)
    else:
        picture = imaging.read(name)
    assert picture.size_hw == (40, 60)
    difference = np.abs(picture.rgb.astype(int) - PHOTO)
    assert difference.max() <= (6 if suffix == "jpg" else 0)
    assert picture.rgb.flags.c_contiguous
    assert picture.notes == (
        () if orientation == 1 else (f"turned upright by its EXIF orientation ({orientation})",)
    )
    if suffix != "tif":  # what is written back is upright, and keeps the rest
        again = Image.Exif()
        again.load(picture.exif)
        assert again[0x0112] == 1
        assert again[0x010F] == "a camera"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_alpha_and_16_bits_turn_with_the_colours(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgba = RNG.integers(0, 65536, (4, 7, 4), dtype=np.uint16)
    rgba[..., 3] |= 1 << 12  # where alpha rounds to 0, colours are kept aside
    stored = np.ascontiguousarray(STORED[orientation](rgba))
    path = tmp_path / "deep.png"
    path.write_bytes(png_bytes(stored, 6, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))))
    picture = imaging.read(path)
    np.testing.assert_array_equal(picture.deep, rgba)
    assert picture.alpha is not None
    eight = np.round(rgba / 257)
    np.testing.assert_array_equal(picture.rgb, eight[..., :3])
    np.testing.assert_array_equal(picture.alpha, eight[..., 3])


def test_plain_rgb_keeps_everything(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path / "photo.png", Image.fromarray(PHOTO), icc_profile=profile)
    for source in (path, str(path)):
        picture = imaging.read(source)
        np.testing.assert_array_equal(picture.rgb, PHOTO)
        assert picture.rgb.dtype == np.uint8
        assert picture.alpha is None
        assert picture.deep is None
        assert picture.exif is None
        assert picture.icc == profile
        assert picture.path == path
        assert picture.mode == "RGB"
        assert picture.notes == ()
        assert imaging.read(picture) is picture


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "gif", "ppm"])
def test_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    flat = np.zeros_like(PHOTO) + np.array([200, 60, 20], np.uint8)
    path = saved(tmp_path / f"PHOTO.{suffix.upper()}", Image.fromarray(flat))
    picture = imaging.read(path)
    assert picture.size_hw == (40, 60)
    assert np.abs(picture.rgb.astype(int) - flat).max() <= 4


def test_avif_where_pillow_reads_it(tmp_path: Path) -> None:
    Image.init()
    path = tmp_path / "photo.avif"
    if "AVIF" in Image.SAVE:
        saved(path, Image.fromarray(PHOTO), quality=100)
        assert np.abs(imaging.read(path).rgb.astype(int) - PHOTO).mean() < 3
    else:
        path.write_bytes(b"\0\0\0\x1cftypavif" + b"\0" * 40)
        with pytest.raises(PictureError, match="not a picture that lexiseg reads"):
            imaging.read(path)


def test_grey_with_and_without_alpha(tmp_path: Path) -> None:
    grey, alpha = PHOTO[..., 0], PHOTO[..., 1]
    picture = imaging.read(saved(tmp_path / "l.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(picture.rgb, np.dstack([grey] * 3))
    assert (picture.alpha, picture.mode) == (None, "L")
    both = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    picture = imaging.read(saved(tmp_path / "la.png", both))
    np.testing.assert_array_equal(picture.rgb, shown(np.dstack([grey] * 3), alpha))
    np.testing.assert_array_equal(picture.alpha, alpha)
    assert picture.mode == "LA"


def test_colours_under_transparent_pixels_are_out_of_reach(tmp_path: Path) -> None:
    rgba = RNG.integers(0, 256, (5, 9, 4), dtype=np.uint8)
    rgba[..., 3] |= 1
    rgba[:2, :, 3] = 0
    for suffix in ("png", "tif", "webp"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(rgba).save(path, **({"lossless": True} if suffix == "webp" else {}))
        for source in (path, rgba, Image.fromarray(rgba)):
            picture = imaging.read(source)
            assert (picture.rgb[:2] == 0).all()
            np.testing.assert_array_equal(picture.rgb[2:], rgba[2:, :, :3])
            np.testing.assert_array_equal(picture.alpha, rgba[..., 3])
            np.testing.assert_array_equal(picture.opaque, rgba[..., 3] > 0)
            assert picture.transparent
    deep = imaging.read(rgba.astype(np.uint16) * 257)
    assert (deep.rgb[:2] == 0).all()
    assert (deep.deep[:2, :, :3] == 0).all()
    np.testing.assert_array_equal(deep.deep[2:], rgba[2:].astype(np.uint16) * 257)


@pytest.mark.parametrize(("alpha", "transparent"), [(None, False), (255, False), (1, True)])
def test_a_picture_without_hidden_pixels(alpha: int | None, transparent: bool) -> None:
    array = PHOTO if alpha is None else np.dstack([PHOTO, np.full((40, 60), alpha, np.uint8)])
    picture = imaging.read(array)
    assert picture.opaque is None
    assert picture.hidden is None
    assert picture.transparent == transparent
    np.testing.assert_array_equal(picture.rgb, PHOTO)


def test_one_bit(tmp_path: Path) -> None:
    bits = RNG.random((5, 11)) < 0.5
    picture = imaging.read(saved(tmp_path / "bits.png", Image.fromarray(bits)))
    np.testing.assert_array_equal(picture.rgb, np.dstack([bits * 255] * 3))
    assert picture.mode == "1"


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    index = RNG.integers(0, 3, (5, 9), dtype=np.uint8)
    colours = np.array([[10, 20, 30], [200, 100, 50], [0, 255, 0]], np.uint8)
    image = Image.fromarray(index)
    image.putpalette(colours.tobytes())
    picture = imaging.read(saved(tmp_path / "p.png", image))
    np.testing.assert_array_equal(picture.rgb, colours[index])
    assert (picture.alpha, picture.mode) == (None, "P")
    for transparency, alphas in [(1, [255, 0, 255]), (bytes([0, 128, 255]), [0, 128, 255])]:
        picture = imaging.read(saved(tmp_path / "pt.png", image, transparency=transparency))
        alpha = np.array(alphas)[index]
        np.testing.assert_array_equal(picture.rgb, shown(colours[index], alpha))
        np.testing.assert_array_equal(picture.alpha, alpha)


def test_one_transparent_colour(tmp_path: Path) -> None:
    grey = RNG.integers(0, 3, (5, 9), dtype=np.uint8)
    picture = imaging.read(saved(tmp_path / "l.png", Image.fromarray(grey), transparency=2))
    np.testing.assert_array_equal(picture.alpha, np.where(grey == 2, 0, 255))
    rgb = np.dstack([grey, grey, grey])
    path = saved(tmp_path / "rgb.png", Image.fromarray(rgb), transparency=(1, 1, 1))
    np.testing.assert_array_equal(imaging.read(path).alpha, np.where(grey == 1, 0, 255))


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_colours_multiplied_by_their_alpha(mode: str) -> None:
    rgba = np.full((3, 5, 4), 255, np.uint8)
    rgba[1, 2] = (0, 0, 0, 0)
    image = Image.fromarray(rgba)
    picture = imaging.read((image.convert("LA") if mode == "La" else image).convert(mode))
    np.testing.assert_array_equal(picture.alpha, rgba[..., 3])
    np.testing.assert_array_equal(picture.rgb, shown(rgba[..., :3], rgba[..., 3]))


def test_palette_with_an_alpha_of_its_own() -> None:
    image = Image.frombytes("PA", (1, 2), bytes([0, 10, 1, 200]))
    image.putpalette([9, 8, 7, 30, 20, 10])
    picture = imaging.read(image)
    assert picture.rgb.tolist() == [[[9, 8, 7]], [[30, 20, 10]]]
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[10], [200]]


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "RGBX"])
def test_other_colour_spaces(mode: str) -> None:
    picture = imaging.read(Image.fromarray(PHOTO).convert(mode))
    assert np.abs(picture.rgb.astype(int) - PHOTO).max() <= 6
    assert picture.mode == mode


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_without_a_profile(tmp_path: Path, suffix: str) -> None:
    cmyk = Image.fromarray(PHOTO).convert("CMYK")
    path = saved(tmp_path / f"ink.{suffix}", cmyk, **({"quality": 100} if suffix == "jpg" else {}))
    picture = imaging.read(path)
    assert picture.mode == "CMYK"
    assert np.abs(picture.rgb.astype(int) - PHOTO).mean() < 3
    assert np.abs(picture.rgb.astype(int) - PHOTO).max() < 20


def ink_profile() -> bytes:
    """A CMYK profile whose magenta ink prints pure red: far from the plain formula."""
    lab = []
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        del c, y  # black, sRGB's red, or white, as 8-bit Lab
        lab += [0, 128, 128] if k else [138, 209, 198] if m else [255, 128, 128]
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + bytes(lab) + ramp * 3
    table += bytes(-len(table) % 4)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 4) + b"ink\0" + bytes(78 + 3)
    tags, body = [], b""
    for name, content in ((b"A2B0", table), (b"wtpt", white), (b"desc", text)):
        tags.append(name + struct.pack(">II", 128 + 4 + 36 + len(body), len(content)))
        body += content + bytes(-len(content) % 4)
    rest = struct.pack(">I", 3) + b"".join(tags) + body
    header = struct.pack(">I4sI", 128 + len(rest), b"none", 0x02400000)
    header += b"prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header + bytes(128 - len(header)) + rest


def test_cmyk_with_a_profile_goes_by_it(tmp_path: Path) -> None:
    magenta = Image.new("CMYK", (9, 5), (0, 255, 0, 0))
    path = saved(tmp_path / "ink.tif", magenta, icc_profile=ink_profile())
    picture = imaging.read(path)
    red, green, blue = picture.rgb[2, 4].tolist()
    assert red > 240
    assert green < 40
    assert blue < 40
    assert picture.icc is None  # it describes ink, not the RGB that is here
    damaged = saved(tmp_path / "bad.tif", magenta, icc_profile=ink_profile()[:140])
    assert imaging.read(damaged).rgb[2, 4].tolist() == [255, 0, 255]  # the plain formula


def test_16_bit_grey(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (5, 9), dtype=np.uint16)
    deep[0, :3] = [0, 65535, 32768]
    for suffix in ("png", "tif"):
        picture = imaging.read(saved(tmp_path / f"deep.{suffix}", Image.fromarray(deep)))
        assert picture.deep is not None
        np.testing.assert_array_equal(picture.deep, deep[:, :, None])
        np.testing.assert_array_equal(picture.rgb, np.dstack([np.round(deep / 257)] * 3))
        assert picture.rgb[0, :3, 0].tolist() == [0, 255, 128]
        assert picture.mode.startswith("I;16")


@pytest.mark.parametrize(("colour_type", "channels"), [(4, 2), (2, 3), (6, 4)])
def test_16_bit_colour_png(tmp_path: Path, colour_type: int, channels: int) -> None:
    deep = RNG.integers(0, 65536, (5, 9, channels), dtype=np.uint16)
    path = tmp_path / "deep.png"
    path.write_bytes(png_bytes(deep, colour_type))
    if channels == 2:
        deep = deep[..., [0, 0, 0, 1]]
    picture = imaging.read(path)
    np.testing.assert_array_equal(picture.deep, deep)
    np.testing.assert_array_equal(picture.rgb, np.round(deep[..., :3] / 257))
    assert (picture.alpha is None) == (channels == 3)
    assert picture.notes == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_with_one_transparent_colour(tmp_path: Path, channels: int) -> None:
    deep = RNG.integers(0, 65536, (5, 9, channels), dtype=np.uint16)
    deep[1, 2] = key = [40_001, 2, 3][:channels]
    deep[1, 3] = [40_002, 2, 3][:channels]  # the same in 8 bits
    path = tmp_path / "deep.png"
    transparency = chunk(b"tRNS", struct.pack(f">{channels}H", *key))
    path.write_bytes(png_bytes(deep, 0 if channels == 1 else 2, transparency))
    picture = imaging.read(path)
    alpha = np.full((5, 9), 255)
    alpha[1, 2] = 0
    np.testing.assert_array_equal(picture.alpha, alpha)
    colours = deep if channels == 3 else deep[..., [0, 0, 0]]
    np.testing.assert_array_equal(picture.deep[..., :3], np.where(alpha[..., None], colours, 0))


@pytest.mark.parametrize("planes", ["together", "apart"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_16_bit_colour_tiff(tmp_path: Path, orientation: int, planes: str) -> None:
    deep = RNG.integers(0, 65536, (5, 9, 3), dtype=np.uint16)
    path = tmp_path / "deep.tif"
    path.write_bytes(tiff_bytes(STORED[orientation](deep), orientation, planes == "apart"))
    picture = imaging.read(path)
    np.testing.assert_array_equal(picture.rgb, np.round(deep / 257))
    np.testing.assert_array_equal(picture.deep, deep)


def test_dark_16_bit_pictures_say_so(tmp_path: Path) -> None:
    twelve_bits = RNG.integers(0, 4096, (5, 9), dtype=np.uint16)
    picture = imaging.read(saved(tmp_path / "raw.png", Image.fromarray(twelve_bits)))
    assert "dark" in picture.notes[0]
    assert f"end at {twelve_bits.max()} of 65535" in picture.notes[0]


def test_32_bit_integers(tmp_path: Path) -> None:
    whole = RNG.integers(0, 65536, (5, 9)).astype(np.int32)
    picture = imaging.read(saved(tmp_path / "i.tif", Image.fromarray(whole)))
    np.testing.assert_array_equal(picture.deep, whole[:, :, None])
    whole[0, 0] = 70_000
    with pytest.raises(PictureError, match="beyond 0 to 65535"):
        imaging.read(saved(tmp_path / "i.tif", Image.fromarray(whole)))


def test_float_pictures_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "f.tif", Image.fromarray(np.zeros((5, 9), np.float32)))
    with pytest.raises(PictureError, match=r"pixels of kind F.*scale it to 8 or 16 bits first"):
        imaging.read(path)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif", "mpo"])
def test_the_first_frame_of_several(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (9, 5), colour) for colour in ("red", "green", "blue")]
    options = {"webp": {"lossless": True}}.get(suffix, {})
    path = saved(
        tmp_path / f"m.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options
    )
    picture = imaging.read(path)
    assert np.abs(picture.rgb.astype(int) - [255, 0, 0]).max() <= (3 if suffix == "mpo" else 0)
    assert picture.size_hw == (5, 9)
    assert picture.notes == ("holds several frames or pages: the first is used",)


def test_one_pixel(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "gif", "bmp", "webp"):
        path = saved(tmp_path / f"one.{suffix}", Image.new("RGB", (1, 1), (255, 255, 255)))
        assert imaging.read(path).rgb.tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "ppm", "gif"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_cut_off_files_are_refused(tmp_path: Path, suffix: str, part: float) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    whole = saved(tmp_path / f"whole.{suffix}", noise).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(PictureError, match=r"damaged|not a picture") as caught:
        imaging.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "ppm", "gif", "avif"])
def test_random_damage_gives_a_picture_or_one_clear_error(tmp_path: Path, suffix: str) -> None:
    Image.init()
    if suffix.upper() not in {
        name.replace("JPEG", "JPG").replace("TIFF", "TIF") for name in Image.SAVE
    }:
        return
    whole = np.frombuffer(
        saved(tmp_path / f"w.{suffix}", Image.fromarray(PHOTO)).read_bytes(), np.uint8
    )
    path = tmp_path / f"damaged.{suffix}"
    rng = np.random.default_rng(1)
    for _ in range(60):
        bad = whole.copy()
        places = rng.integers(0, min(len(bad), int(rng.choice([40, 200, len(bad)]))), 4)
        bad[places] = rng.integers(0, 256, 4)
        path.write_bytes(bad.tobytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on odd headers
            try:
                picture = imaging.read(path, max_pixels=10**6)
            except PictureError as error:
                message = str(error)
            else:
                message = ""
                assert picture.rgb.shape == (*picture.size_hw, 3)
        assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"these are not the pixels you are looking for\n" * 30, "it is text"),
        (b"", "is empty \\(0 bytes\\)"),
        (b"%PDF-1.7 \x80", "it is a PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "SVG, HTML or XML"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "damaged or cut off"),
        (b"\x00\x01\x02\x03 nothing known", "not a picture that lexiseg reads; give a JPEG"),
        (b"8BPS\0\1" + bytes(30), "it is a Photoshop document"),
        (b"\xff\x0a\xfa\x7f" + bytes(30), "it is JPEG XL; export it"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp41isom", "it is a video"),
    ],
)
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=says) as caught:
        imaging.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_only_listed_formats_are_read(tmp_path: Path) -> None:
    for suffix in ("ico", "tga", "pcx", "sgi"):
        path = saved(tmp_path / f"photo.{suffix}", Image.fromarray(PHOTO))
        with pytest.raises(PictureError, match="not a picture that lexiseg reads"):
            imaging.read(path)


def test_names_that_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(PictureError, match=r"does not exist; did you mean 'photo.jpg'?"):
        imaging.read(tmp_path / "phto.jpg")
    with pytest.raises(PictureError, match="does not exist; check the path"):
        imaging.read(tmp_path / "zzzzzz")
    with pytest.raises(PictureError, match="there is no folder"):
        imaging.read(tmp_path / "away" / "photo.jpg")
    with pytest.raises(PictureError, match="is a folder"):
        imaging.read(tmp_path)
    with pytest.raises(PictureError, match="cannot be opened"):
        imaging.read(tmp_path / "photo.jpg" / "x")
    with pytest.raises(PictureError, match="cannot be opened"):
        imaging.read("a\0b")
    with pytest.raises(PictureError, match="is an address"):
        imaging.read("https://example.org/photo.jpg")
    with pytest.raises(PictureError):
        imaging.read("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PictureError, match="not an ordinary file"):
        imaging.read(tmp_path / "pipe")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PictureError, match=r"Permission denied.*who may read it"):
        imaging.read(tmp_path / "photo.jpg")


def test_a_huge_header_is_refused_before_any_pixel(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    whole = png_bytes(np.zeros((1, 1, 3), np.uint8), 2)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0))
    path.write_bytes(whole[:8] + header + whole[33:])
    with pytest.raises(PictureError) as caught:
        imaging.read(path)
    assert "50000 x 60000 = 3,000,000,000 pixels" in str(caught.value)
    assert "--max-pixels 3000000000" in str(caught.value)
    with pytest.raises(PictureError, match="--max-pixels"):
        imaging.read(Image.new("L", (20, 10)), max_pixels=199)
    assert imaging.read(Image.new("L", (20, 10)), max_pixels=200).size_hw == (10, 20)
    with pytest.raises(OptionError, match="give at least 1"):
        imaging.read(path, max_pixels=0)


def test_the_limit_is_the_callers_not_pillows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "photo.png", Image.fromarray(PHOTO))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Image.open would refuse the photo
    assert imaging.read(path).size_hw == (40, 60)
    assert Image.MAX_IMAGE_PIXELS == 100
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("array", "rgb", "alpha"),
    [
        (PHOTO, PHOTO, None),
        (PHOTO[::-1, ::2], PHOTO[::-1, ::2], None),
        (PHOTO[..., 0], np.dstack([PHOTO[..., 0]] * 3), None),
        (PHOTO[..., :1], np.dstack([PHOTO[..., 0]] * 3), None),
        (PHOTO[..., [0, 1, 2, 0]], PHOTO, PHOTO[..., 0]),
        (PHOTO[..., 0] > 90, np.dstack([(PHOTO[..., 0] > 90) * 255] * 3), None),
        (PHOTO.astype(np.uint16) * 257, PHOTO, None),
    ],
)
def test_arrays(array: NDArray[Any], rgb: NDArray[Any], alpha: NDArray[Any] | None) -> None:
    picture = imaging.read(array)
    np.testing.assert_array_equal(picture.rgb, rgb if alpha is None else shown(rgb, alpha))
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.flags.c_contiguous
    assert not np.shares_memory(picture.rgb, array)
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, alpha)
    assert (picture.deep is not None) == (array.dtype == np.uint16)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.zeros((4, 6, 3)), "array of float64.*astype\\('uint8'\\)"),
        (np.zeros((4, 6, 3), np.float16), "array of float16"),
        (np.zeros((4, 6, 3), np.int64), "array of int64.*give uint8"),
        (np.zeros((3, 40, 60), np.uint8), "channels first; give array.transpose\\(1, 2, 0\\)"),
        (np.zeros((4, 6, 2), np.uint8), "give \\(H, W, 3\\) RGB"),
        (np.zeros((2, 4, 6, 3), np.uint8), "give \\(H, W, 3\\) RGB"),
        (np.zeros(6, np.uint8), "give \\(H, W, 3\\) RGB"),
        (np.zeros((0, 6, 3), np.uint8), "no pixels"),
        ([[1, 2], [3, 4]], "cannot be made of builtins.list"),
        (None, "cannot be made of builtins.NoneType"),
        (Image.new("L", (0, 5)), "give one with at least 1 x 1"),
    ],
)
def test_wrong_sources(source: Any, says: str) -> None:
    with pytest.raises(PictureError, match=says):
        imaging.read(source)


def test_a_pil_image_is_left_as_it_was(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "photo.png", Image.fromarray(PHOTO), exif=exif)
    with Image.open(path) as image:
        picture = imaging.read(image)
        assert picture.path is None
        assert image.size == (60, 40)
        assert image.getexif()[0x0112] == 6
        assert picture.size_hw == (60, 40)
        np.testing.assert_array_equal(picture.rgb, np.array(ImageOps.exif_transpose(image)))


def test_a_pil_image_of_a_tiff_tells_what_the_file_does(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    path = saved(tmp_path / "photo.tif", Image.fromarray(PHOTO), exif=exif)
    with Image.open(path) as image:
        picture = imaging.read(image)
    np.testing.assert_array_equal(picture.rgb, imaging.read(path).rgb)
    again = Image.Exif()
    again.load(picture.exif)
    assert again[0x010F] == "a camera"
    assert again.get(0x0112, 1) == 1
    assert 273 not in again


def test_a_pil_image_of_16_bits_keeps_its_transparency(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (5, 9), dtype=np.uint16)
    path = tmp_path / "deep.png"
    key = struct.pack(">H", int(deep[1, 2]))
    path.write_bytes(png_bytes(deep[..., None], 0, chunk(b"tRNS", key)))
    with Image.open(path) as image:
        picture = imaging.read(image)
    np.testing.assert_array_equal(picture.alpha == 0, deep == deep[1, 2])


def test_damaged_exif_does_not_stop_the_picture(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(PHOTO).save(data, "PNG")
    whole = data.getvalue()
    path = tmp_path / "photo.png"
    path.write_bytes(whole[:33] + chunk(b"eXIf", b"not an exif block at all") + whole[33:])
    picture = imaging.read(path)
    np.testing.assert_array_equal(picture.rgb, PHOTO)
    assert picture.exif is None
    assert picture.notes == ("its EXIF block is damaged and left out",)


def test_a_bmp_whose_fourth_byte_is_unused(tmp_path: Path) -> None:
    rgba = np.dstack([PHOTO, np.zeros(PHOTO.shape[:2], np.uint8)])
    picture = imaging.read(saved(tmp_path / "a.bmp", Image.fromarray(rgba)))
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.rgb, PHOTO)


def test_a_picture_in_which_nothing_is(tmp_path: Path) -> None:
    rgba = np.dstack([PHOTO, np.zeros(PHOTO.shape[:2], np.uint8)])
    picture = imaging.read(saved(tmp_path / "a.png", Image.fromarray(rgba)))
    assert not picture.rgb.any()
    assert not picture.opaque.any()
    assert picture.notes == ("every pixel is fully transparent: there is nothing in it",)


@pytest.mark.parametrize("dng", [False, True])
def test_raw_files_of_cameras_are_no_pictures(tmp_path: Path, dng: bool) -> None:
    path = tmp_path / "IMG.NEF"
    version = [(50706, 1, 4, (1, 4, 0, 0), True)] if dng else []
    with tifffile.TiffWriter(path) as file:  # the first directory holds a small preview
        file.write(PHOTO[::4, ::4], photometric="rgb", subfiletype=1, subifds=1, extratags=version)
        file.write(PHOTO, photometric="rgb")
    with pytest.raises(PictureError, match=r"a camera's raw file.*develop it to TIFF or JPEG"):
        imaging.read(path)


def test_threads_read_at_the_same_time(tmp_path: Path) -> None:
    paths = [
        saved(tmp_path / f"{number}.{suffix}", Image.fromarray(PHOTO), **options)
        for number, (suffix, options) in enumerate(
            [("tif", {"compression": "tiff_lzw"}), ("png", {}), ("webp", {"lossless": True})] * 8
        )
    ]
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        for picture in pool.map(imaging.read, paths * 4):
            np.testing.assert_array_equal(picture.rgb, PHOTO)
    assert warnings.filters == before
