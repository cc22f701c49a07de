"""Damaged and hostile files: a picture or one clear line; nothing crashes, hangs or swells."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from docs.make.formats import DEEP, PHOTO, RGBA, XMP, exif, profile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lexiseg import imaging
from lexiseg.errors import OutputError, PictureError


def saved(array: Any, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(data, kind, **options)
    return data.getvalue()


def tiff(array: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, array, **options)
    return data.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size_wh: tuple[int, int], data: bytes, *further: bytes, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", *size_wh, 8, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *further, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def texts() -> PngInfo:
    info = PngInfo()
    info.add_text("key", "value")
    info.add_text("packed", "text " * 500, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


def sound_files(folder: Path) -> dict[str, bytes]:
    """Return a small file of every kind and most ways of storing it that is read."""
    everything = {"exif": exif(orientation=6, thumbnail=True), "icc_profile": profile()}

    def two() -> dict[str, Any]:  # anew each time: Pillow notes on the image how it was written
        return {"save_all": True, "append_images": [Image.fromarray(PHOTO[::-1].copy())]}

    bits = Image.fromarray(PHOTO).convert("1")
    few = Image.fromarray(PHOTO).quantize(16)
    found = {
        "jpeg": saved(PHOTO, "JPEG", xmp=XMP, comment=b"hi", dpi=(300, 300), **everything),
        "jpeg progressive": saved(PHOTO, "JPEG", progressive=True, quality=95),
        "jpeg ink": saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG"),
        "mpo": saved(PHOTO, "MPO", **two()),
        "png": saved(PHOTO, "PNG", pnginfo=texts(), dpi=(300, 300), **everything),
        "png rgba": saved(RGBA, "PNG"),
        "png palette": saved(few, "PNG", transparency=3),
        "apng": saved(PHOTO, "PNG", **two()),
        "webp": saved(PHOTO, "WEBP", xmp=XMP, **everything),
        "webp lossless": saved(RGBA, "WEBP", lossless=True),
        "webp animated": saved(PHOTO, "WEBP", **two()),
        "tiff": saved(PHOTO, "TIFF", exif=exif()),
        "tiff lzw": saved(PHOTO, "TIFF", compression="tiff_lzw"),
        "tiff deflate": saved(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": saved(PHOTO, "TIFF", compression="jpeg"),
        "tiff packbits": saved(PHOTO, "TIFF", compression="packbits"),
        "tiff fax": saved(bits, "TIFF", compression="group4"),
        "tiff pages": saved(PHOTO, "TIFF", **two()),
        "tiff tiles": tiff(PHOTO, tile=(16, 16), photometric="rgb"),
        "tiff planes": tiff(np.moveaxis(DEEP, -1, 0), planarconfig="separate", photometric="rgb"),
        "tiff grey and alpha": tiff(
            DEEP[..., :2], photometric="minisblack", extrasamples=["unassalpha"]
        ),
        "bigtiff": tiff(DEEP, bigtiff=True, photometric="rgb"),
        "bmp": saved(PHOTO, "BMP", dpi=(300, 300)),
        "bmp palette": saved(few, "BMP"),
        "gif": saved(PHOTO, "GIF", comment=b"hi"),
        "gif animated": saved(PHOTO, "GIF", **two()),
        "ppm": saved(PHOTO, "PPM"),
        "pgm": b"P5 60 40 65535\n" + DEEP[..., 0].astype(">u2").tobytes(),
        "ppm plain": b"P3 # c\n60 40 255\n" + " ".join(map(str, PHOTO.ravel())).encode(),
        "pbm plain": b"P1 60 40\n" + b"01" * 1200,
        "pbm": b"P4 60 40\n" + bytes(range(160)) * 2,
    }
    for name, array in (("png 16", DEEP), ("png 16 grey", DEEP[..., 0])):
        imaging.write(folder / "deep.png", array)
        found[name] = (folder / "deep.png").read_bytes()
    imaging.write(folder / "deep.tif", DEEP)
    found["tiff 16"] = (folder / "deep.tif").read_bytes()
    if "AVIF" in Image.SAVE:
        found["avif"] = saved(PHOTO, "AVIF", xmp=XMP, **everything)
        found["avif rgba"] = saved(RGBA, "AVIF")
    try:
        import pillow_heif
    except ImportError:
        return found
    data = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(RGBA)).save(data, quality=80, exif=exif())
    return found | {"heic": data.getvalue()}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file cut off, with flipped bits, odd values, or bytes put in or taken out."""
    out = bytearray(data)
    count, place = len(out), int(rng.integers(0, len(out)))
    match int(rng.integers(0, 9)):
        case 0:
            del out[max(place, 1) :]
        case 1:
            del out[count - int(rng.integers(1, min(20, count))) :]
        case 2:
            for at in rng.integers(0, count, int(rng.integers(1, 6))):
                out[at] ^= 1 << int(rng.integers(0, 8))
        case 3:  # in the header
            for at in rng.integers(0, min(count, int(rng.choice([40, 200, 600]))), 4):
                out[at] = int(rng.integers(0, 256))
        case 4:
            out[place : place + 40] = b"\xff" * min(40, count - place)
        case 5:
            out[place:place] = rng.bytes(int(rng.integers(1, 64)))
        case 6:
            del out[max(place, 1) : place + int(rng.integers(2, 64))]
        case 7:
            out += rng.bytes(int(rng.integers(1, 2000)))
        case _:  # a length or an offset that is absurd
            at = int(rng.integers(0, max(1, min(count, 400) - 4)))
            value = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 65_535, 10**6]))
            out[at : at + 4] = struct.pack(str(rng.choice(["<I", ">I"])), value)
    return bytes(out)


def mutations(folder: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield files of all kinds in turn, each damaged once or twice."""
    rng = np.random.default_rng(seed)
    files = sound_files(folder)
    for number in range(count):
        name = list(files)[number % len(files)]
        data = mutated(files[name], rng)
        yield name, mutated(data, rng) if rng.random() < 0.3 else data


def read_all(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Read mutated files; return how many were pictures and how many one-line errors."""
    path = folder / "damaged"
    found = {"pictures": 0, "errors": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of Pillow's reaches a user
        for name, data in mutations(folder, count, seed):
            path.write_bytes(data)
            message = ""
            try:
                picture = imaging.read(path, max_pixels=10**6)
            except PictureError as error:
                message = str(error)
                found["errors"] += 1
            else:
                assert picture.rgb.shape == (*picture.size_hw, 3), name
                assert picture.rgb.dtype == np.uint8, name
                found["pictures"] += 1
                if found["pictures"] % 5 == 0 and max(picture.size_hw) < 400:
                    write_all(picture, folder)
            assert "\n" not in message, name
    return found


def write_all(picture: imaging.Picture, folder: Path) -> None:
    """Write a picture as every kind of file that lets it in: then nothing stops it any more."""
    for suffix in ("png", "jpg", "webp", "tif"):
        path = folder / f"written.{suffix}"
        try:
            imaging.check_target(picture, path)
        except OutputError:
            continue
        imaging.write(path, picture)
        assert imaging.read(path).size_hw == picture.size_hw


def test_sound_files_are_read(tmp_path: Path) -> None:
    for name, data in sound_files(tmp_path).items():
        (tmp_path / "sound").write_bytes(data)
        assert min(imaging.read(tmp_path / "sound").size_hw) == 40, name


def test_mutated_files_are_pictures_or_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = read_all(tmp_path, 160, seed=0)
    assert found["pictures"] > 20
    assert found["errors"] > 20
    assert capfd.readouterr() == ("", "")  # not a word of any library


def import_path() -> str:
    root = Path(__file__).parents[2]
    return os.pathsep.join([str(root), str(root / "src")])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_2000_mutated_files_in_one_process(tmp_path: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from benchmarks.machine import peak_mb;"
        "from tests.unit.test_imaging_damage import read_all;"
        "found = read_all(Path(sys.argv[1]), 2000, seed=1);"
        "found['megabytes'] = peak_mb();"
        "print(json.dumps(found))"
    )
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": import_path()},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    found = json.loads(run.stdout)
    assert found["pictures"] + found["errors"] == 2000
    assert min(found["pictures"], found["errors"]) > 200
    assert found["megabytes"] < 1000


# Slight damage: read, with a remark


def read(folder: Path, data: bytes) -> imaging.Picture:
    (folder / "photo").write_bytes(data)
    return imaging.read(folder / "photo")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_jpeg_without_its_end(tmp_path: Path, cut: int, progressive: bool, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (37, 51, 3), dtype=np.uint8)
    whole = saved(noise, "JPEG", progressive=progressive)
    picture = read(tmp_path, whole[:-cut])
    # libjpeg does not always look for the end.
    assert picture.notes in ((), ("its end is missing, but all its pixels are there",))
    np.testing.assert_array_equal(picture.rgb, read(tmp_path, whole).rgb)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_last_pixels_is_never_read_as_whole(
    tmp_path: Path, progressive: bool
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)
    whole = saved(noise, "JPEG", progressive=progressive, quality=90)
    want = read(tmp_path, whole).rgb
    for cut in [*range(3, 40), 200, 900]:
        try:
            picture = read(tmp_path, whole[:-cut])
        except PictureError:
            continue
        np.testing.assert_array_equal(picture.rgb, want)


def test_a_progressive_jpeg_without_its_last_scan_is_refused(tmp_path: Path) -> None:
    whole = saved(PHOTO, "JPEG", progressive=True)
    with pytest.raises(PictureError, match="damaged or cut off"):
        read(tmp_path, whole[: whole.rindex(b"\xff\xda")])


@pytest.mark.parametrize("cut", [1, 4, 12, 13, 16, 20])
def test_a_png_without_its_end(tmp_path: Path, cut: int) -> None:
    picture = read(tmp_path, saved(PHOTO, "PNG")[:-cut])
    assert picture.notes == ("its end is missing, but all its pixels are there",)
    np.testing.assert_array_equal(picture.rgb, PHOTO)


def spoilt(data: bytes, kind: bytes) -> bytes:
    """Return a PNG with a wrong checksum behind the first chunk of a type."""
    at = data.index(kind) - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    return data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"pHYs"])
def test_a_wrong_checksum_beside_the_pixels(tmp_path: Path, kind: bytes) -> None:
    whole = saved(PHOTO, "PNG", pnginfo=texts(), dpi=(300, 300), exif=exif(), icc_profile=profile())
    picture = read(tmp_path, spoilt(whole, kind))
    assert picture.notes == (f"its {kind.decode()} chunk has a wrong checksum and is left out",)
    np.testing.assert_array_equal(picture.rgb, PHOTO)


def test_a_wrong_checksum_of_pixels(tmp_path: Path) -> None:
    whole = saved(PHOTO, "PNG")
    picture = read(tmp_path, spoilt(whole, b"IDAT"))
    assert "a checksum of its pixels is wrong, but another one is right" in picture.notes
    np.testing.assert_array_equal(picture.rgb, PHOTO)
    at = whole.index(b"IDAT") + 60
    with pytest.raises(PictureError, match="damaged"):
        read(tmp_path, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for kind in (b"IHDR", b"PLTE"):
        with pytest.raises(PictureError, match="wrong checksum"):
            read(tmp_path, spoilt(saved(Image.fromarray(PHOTO).quantize(9), "PNG"), kind))


def test_transparency_with_a_wrong_checksum_still_hides(tmp_path: Path) -> None:
    few = Image.fromarray(PHOTO).quantize(4)
    whole = saved(few, "PNG", transparency=2)
    picture = read(tmp_path, spoilt(whole, b"tRNS"))
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(few) == 2)
    assert "used all the same" in picture.notes[0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF"])
def test_what_stands_behind_a_picture_is_not_looked_at(tmp_path: Path, kind: str) -> None:
    whole = saved(PHOTO, kind)
    video = b"\0\0\0\x18ftypmp42" + np.random.default_rng(0).bytes(300_000)
    np.testing.assert_array_equal(read(tmp_path, whole + video).rgb, read(tmp_path, whole).rgb)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_that_says_it_is_longer(tmp_path: Path, lossless: bool) -> None:
    whole = saved(PHOTO, "WEBP", lossless=lossless)
    picture = read(tmp_path, whole[:4] + struct.pack("<I", len(whole) + 92) + whole[8:])
    assert picture.notes == ("it is shorter than it says",)
    np.testing.assert_array_equal(picture.rgb, read(tmp_path, whole).rgb)


def test_apples_own_png(tmp_path: Path) -> None:
    whole = saved(PHOTO, "PNG")
    with pytest.raises(PictureError, match="Apple's own kind of PNG"):
        read(tmp_path, whole[:8] + chunk(b"CgBI", bytes(4)) + whole[8:])


# Hostile files: refused, or read, without filling the memory


def directory(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)


BOMB = zlib.compress(bytes(60_000_000), 9)
FLAT = zlib.compress(bytes(14))
TINY = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
TINY += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 4), (279, 4, 1, 16)]
TINY_START = b"II*\0" + struct.pack("<I", 24) + bytes(range(16))
EXIF_START = b"II*\0" + struct.pack("<I", 8)
MANY_TAGS = EXIF_START + directory([(1000 + tag, 1, 200_000, 8) for tag in range(20_000)])
LOOP = EXIF_START + directory([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)], 8)


def huge_jpeg(scans: int = 0) -> bytes:
    data = bytearray(saved(np.zeros((64, 64), np.uint8), "JPEG", progressive=scans > 0))
    at = data.index(b"\xff\xc2" if scans else b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", *((2000, 2000) if scans else (2700, 65_500)))
    last = bytes(data[data.rindex(b"\xff\xda") : -2])
    return bytes(data[:-2]) + last * scans + b"\xff\xd9"


REFUSED = {
    "png with too few bytes": (png((13_000, 13_000), FLAT), "cannot hold its 13000 x 13000"),
    "png with too many": (png((2, 2), b"", *[chunk(b"IDAT", BOMB)] * 25), "than its pixels need"),
    "png of absurd size": (png((2**31 - 1, 2**31 - 1), FLAT), "more than the limit"),
    "png without a width": (png((0, 5), FLAT), "give one with at least 1 x 1|cut off"),
    "jpeg with too few bytes": (huge_jpeg(), "cannot hold its 2700 x 65500 pixels"),
    "jpeg with endless scans": (huge_jpeg(scans=2000), "scans, more than any camera"),
    "webp of absurd size": (
        b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(40),
        "more than the limit",
    ),
    "tiff of absurd size": (
        TINY_START + directory([(256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1), *TINY[2:]]),
        "more than the limit",
    ),
    "tiff with samples without end": (
        TINY_START + directory([*TINY[:6], (277, 3, 1, 65_535), *TINY[7:]]),
        "65535 samples a pixel",
    ),
    "ppm of absurd size": (b"P6 99999999 99999999 255\n", "more than the limit"),
    "ppm with an endless comment": (b"P6 #" + b"a" * 10**6, "a number is missing"),
}
HARMLESS = {
    "png with a text bomb": png((2, 2), FLAT, *[chunk(b"zTXt", b"a\0\0" + BOMB)] * 9),
    "png with a packet bomb": png(
        (2, 2), FLAT, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB)
    ),
    "png with a profile bomb": png((2, 2), FLAT, chunk(b"iCCP", b"a\0\0" + BOMB)),
    "png with many chunks": png((2, 2), FLAT, chunk(b"abCd", b"") * 20_000),
    "png with a pixel bomb": png((2, 2), BOMB),
    "png with endless thumbnails in XMP": png(
        (2, 2), FLAT, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x:Thumbnails>" * 99_999)
    ),
    "exif that points to itself": png((2, 2), FLAT, chunk(b"eXIf", LOOP)),
    "exif whose tags share their bytes": png((2, 2), FLAT, chunk(b"eXIf", MANY_TAGS)),
    "exif full of previews": png(
        (2, 2), FLAT, chunk(b"eXIf", EXIF_START + directory([]) + b"\xff\xd8\xff\xe0" * 99_999)
    ),
    "tiff that points to itself": TINY_START
    + directory([*TINY, (330, 4, 1, 24), (34665, 4, 1, 24), (34853, 4, 1, 24)], 24),
    "tiff whose tags share their bytes": TINY_START
    + directory([*TINY, *((1000 + tag, 1, 60_000, 8) for tag in range(5000))]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_files_are_refused(tmp_path: Path, name: str) -> None:
    data, says = REFUSED[name]
    with pytest.raises(PictureError, match=says) as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", HARMLESS)
def test_hostile_files_do_no_harm(tmp_path: Path, name: str) -> None:
    data = HARMLESS[name]
    assert max(read(tmp_path, data).size_hw) <= 4


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_hostile_files_stay_small(tmp_path: Path) -> None:
    for number, data in enumerate([*HARMLESS.values(), *(data for data, _ in REFUSED.values())]):
        (tmp_path / f"{number:02}").write_bytes(data)
    code = (
        "import sys; from pathlib import Path; from benchmarks.machine import peak_mb;"
        "from lexiseg import imaging; from lexiseg.errors import PictureError\n"
        "imaging.read(b'P5 1 1 255 a' and Path(sys.argv[2]))\n"
        "before = peak_mb()\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: imaging.read(path)\n"
        "    except PictureError: pass\n"
        "print(peak_mb() - before)"
    )
    photo = tmp_path.parent / "photo.png"
    photo.write_bytes(saved(PHOTO, "PNG"))
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(photo)],
        env=os.environ | {"PYTHONPATH": import_path()},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout) < 300  # megabytes
