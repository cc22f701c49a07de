"""What files hold beside their pixels: kept, cleaned of what an edit makes untrue, or left out."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from docs.make.formats import IPTC, PHOTO, exif, grey_profile, profile, thumbnail, with_thumbnail
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from lexiseg import imaging
from lexiseg.imaging._exif import clean, fitted, resolution, with_resolution, without_orientation

PREVIEW = thumbnail()


def loaded(block: bytes | None) -> Image.Exif:
    assert block is not None
    found = Image.Exif()
    found.load(block)
    return found


def little_endian(entries: list[tuple[int, int, int, int]], following: int, behind: bytes) -> bytes:
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    table = struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + table + behind


def test_a_thumbnail_goes_and_all_else_stays_where_it_was() -> None:
    plain = exif(orientation=6)
    block, orientation = clean(with_thumbnail(plain))
    assert orientation == 6
    assert block is not None
    assert PREVIEW[:40] not in block
    assert len(block) == len(plain)  # the thumbnail stood last
    after, before = loaded(block), loaded(plain)
    assert after[0x0112] == 1
    assert not after.get_ifd(1)
    del after[0x0112], before[0x0112]
    for group in (0x8769, 0x8825):
        assert after.get_ifd(group) == before.get_ifd(group)
    assert {**after} == {**before}


def test_a_preview_in_a_makers_note_is_overwritten() -> None:
    note = b"maker\0" + PREVIEW + b"the end"
    # A first directory that points to the one of EXIF, which holds the note.
    start = 8 + 2 + 12 + 4
    inner = struct.pack("<HHHII", 1, 0x927C, 7, len(note), start + 18) + bytes(4)
    whole = little_endian([(0x8769, 4, 1, start)], 0, inner + note)
    block, _ = clean(whole)
    assert block is not None
    found = loaded(block).get_ifd(0x8769)[0x927C]
    assert found == b"maker\0" + bytes(len(PREVIEW)) + b"the end"


def test_a_preview_that_no_directory_names_is_overwritten() -> None:
    block, _ = clean(little_endian([(0x0112, 3, 1, 3)], 0, b"gap" + PREVIEW + b"rest"))
    assert block is not None
    assert PREVIEW[:4] not in block
    assert block.endswith(b"rest")


def test_thumbnails_without_compression_go_too() -> None:
    pixels = b"RGB" * 50
    second = 8 + 2 + 12 + 4
    table = struct.pack("<H", 2) + struct.pack("<HHII", 273, 4, 1, second + 30)
    table += struct.pack("<HHII", 279, 4, 1, len(pixels)) + bytes(4)
    block, _ = clean(little_endian([(0x0112, 3, 1, 1)], second, table + pixels))
    assert block is not None
    assert b"RGB" not in block


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_no_preview_survives_reading(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo"
    Image.fromarray(PHOTO).save(path, kind, exif=exif(thumbnail=True))
    picture = imaging.read(path)
    assert picture.exif is not None
    assert PREVIEW[20:60] not in picture.exif
    assert loaded(picture.exif)[0x010F] == "a camera"


@pytest.mark.parametrize(
    "block",
    [
        b"not an exif block at all",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08",
    ],
)
def test_damaged_exif_is_left_out_with_a_remark(tmp_path: Path, block: bytes) -> None:
    data = io.BytesIO()
    Image.fromarray(PHOTO).save(data, "JPEG")
    whole = data.getvalue()
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2 + 6) + b"Exif\0\0" + block
    path = tmp_path / "photo.jpg"
    path.write_bytes(whole[:2] + segment + whole[2:])
    picture = imaging.read(path)
    assert picture.exif is None
    empty = block == b"Exif\0\0"
    assert picture.notes == (() if empty else ("its EXIF block is damaged and left out",))


def test_an_orientation_can_be_taken_out() -> None:
    block, _ = clean(exif(orientation=8))
    assert block is not None
    before, after = loaded(block), loaded(without_orientation(block))
    assert 0x0112 not in after
    del before[0x0112]
    assert {**after} == {**before}
    assert after.get_ifd(0x8769) == before.get_ifd(0x8769)
    assert without_orientation(without_orientation(block)) == without_orientation(block)


def test_resolution_in_exif() -> None:
    block, _ = clean(exif())
    assert block is not None
    assert resolution(block) is None
    told = with_resolution(block, (300, 200.5))
    assert resolution(told) == pytest.approx((300, 200.5))
    assert with_resolution(told, (300.01, 200.5)) is told
    assert loaded(told).get_ifd(0x8825) == loaded(block).get_ifd(0x8825)
    assert resolution(with_resolution(None, (72, 72))) == (72, 72)
    centimetres = Image.Exif()
    centimetres[282], centimetres[283], centimetres[296] = 100.0, 50.0, 3
    assert resolution(centimetres.tobytes()) == pytest.approx((254, 127))


def test_pixel_dimensions_are_fitted() -> None:
    block = Image.Exif()
    block[0x010F] = "a camera"
    block.get_ifd(0x8769)[0xA002], block.get_ifd(0x8769)[0xA003] = 6000, 4000
    inner = loaded(fitted(block.tobytes(), (30, 20))).get_ifd(0x8769)
    assert (inner[0xA002], inner[0xA003]) == (20, 30)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tags_of_tiff_are_an_exif_block(tmp_path: Path, order: str, big: bool) -> None:
    path = tmp_path / "scan.tif"
    extratags = [
        (315, 2, None, "the author", True),
        (33432, 2, None, "mine", True),
        (33550, 12, 3, (0.5, 0.5, 0.0), True),  # GeoTIFF: how large a pixel is
        (65000, 7, 4, b"\1\2\3\4", True),  # nobody knows
    ]
    tifffile.imwrite(
        path,
        PHOTO,
        photometric="rgb",
        byteorder=order,
        bigtiff=big,
        resolution=(300, 200),
        resolutionunit="INCH",
        description="a lake",
        extratags=extratags,
    )
    picture = imaging.read(path)
    assert picture.dpi == (300, 200)
    found = loaded(picture.exif)
    assert (found[315], found[33432], found[270]) == ("the author", "mine", "a lake")
    for tag in (256, 258, 262, 273, 279):
        assert tag not in found
    imaging.write(tmp_path / "out.tif", picture)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        tags = file.pages[0].tags
        assert tags[33550].value == (0.5, 0.5, 0.0)
        assert tags[65000].value == b"\1\2\3\4"
        assert tags["Artist"].value == "the author"
        assert tags["XResolution"].value == (300, 1)
        np.testing.assert_array_equal(file.asarray(), PHOTO)


def test_iptc_of_a_jpeg(tmp_path: Path) -> None:
    resource = b"8BIM\x04\x0c\0\0\0\0\0\x06" + PREVIEW[:6]  # Photoshop's thumbnail stands before
    resource += b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    body = b"Photoshop 3.0\0" + resource
    data = io.BytesIO()
    Image.fromarray(PHOTO).save(data, "JPEG")
    whole = data.getvalue()
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + whole[2:])
    picture = imaging.read(path)
    assert picture.extras.iptc == IPTC
    imaging.write(tmp_path / "o.jpg", picture)
    with Image.open(tmp_path / "o.jpg") as image:
        assert IptcImagePlugin.getiptcinfo(image) == {(2, 25): b"harbo", (2, 116): b"mine"}
        assert 0x040C not in image.info["photoshop"]
    (remark,) = imaging.check_target(picture, "o.png")
    assert remark == "PNG has no place for its IPTC record; its XMP packet is kept"


def test_xmp_loses_thumbnails_and_is_upright(tmp_path: Path) -> None:
    head = b'<x:xmpmeta><rdf:Description xmp:Rating="5" '
    thumbs = b"<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQ</rdf:li></rdf:Alt></xmp:Thumbnails>"
    packet = head + b'tiff:Orientation="6">' + thumbs + b"<dc:rights>mine</dc:rights>" + thumbs
    packet += b"<tiff:Orientation>8</tiff:Orientation></rdf:Description></x:xmpmeta>"
    Image.fromarray(PHOTO).save(tmp_path / "a.webp", xmp=packet)
    assert imaging.read(tmp_path / "a.webp").xmp == (
        head + b'tiff:Orientation="1"><dc:rights>mine</dc:rights>'
        b"<tiff:Orientation>1</tiff:Orientation></rdf:Description></x:xmpmeta>"
    )


def other_space(space: bytes) -> bytes:
    return profile()[:16] + space + profile()[20:]


@pytest.mark.parametrize(
    ("block", "kept", "notes"),
    [
        (profile(), "icc", ()),
        (grey_profile(), "grey_icc", ()),
        (other_space(b"XYZ "), None, ("its colour profile is of another kind (XYZ) and left out",)),
        (profile()[:200], None, ("its colour profile is damaged and left out",)),
        (b"nonsense", None, ("its colour profile is damaged and left out",)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_profiles(tmp_path: Path, kind: str, block: bytes, kept: str | None, notes: Any) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a", kind, icc_profile=block)
    picture = imaging.read(tmp_path / "a")
    assert picture.icc == (block if kept == "icc" else None)
    assert picture.extras.grey_icc == (block if kept == "grey_icc" else None)
    assert picture.notes == notes


@pytest.mark.parametrize("unit", [0, 1, 2])
def test_resolution_of_jpeg(tmp_path: Path, unit: int) -> None:
    data = io.BytesIO()
    Image.fromarray(PHOTO).save(data, "JPEG", dpi=(118, 100))
    whole = bytearray(data.getvalue())
    whole[whole.index(b"JFIF") + 7] = unit
    (tmp_path / "a.jpg").write_bytes(bytes(whole))
    want = [None, (118, 100), pytest.approx((299.72, 254))][unit]
    assert imaging.read(tmp_path / "a.jpg").dpi == want


def test_colours_of_png_without_a_profile_come_back(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    data = io.BytesIO()
    Image.fromarray(PHOTO).save(data, "PNG")
    whole = data.getvalue()
    chunks = [(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", bytes(range(32)))]
    chunks += [(b"cICP", b"\x09\x10\0\1")]
    between = b"".join(chunk(*one) for one in chunks)
    (tmp_path / "a.png").write_bytes(whole[:33] + between + whole[33:])
    picture = imaging.read(tmp_path / "a.png")
    assert list(picture.extras.chunks) == chunks
    imaging.write(tmp_path / "o.png", picture)
    assert list(imaging.read(tmp_path / "o.png").extras.chunks) == chunks
    assert imaging.check_target(picture, "o.jpg") == ()


def test_content_credentials_are_named(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(PHOTO).save(data, "JPEG")
    whole = data.getvalue()
    body = b"JP\0\1\0\0\0\1\0\0\0\x20jumb\0\0\0\x18jumdc2pa" + bytes(40)
    segment = b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body
    (tmp_path / "a.jpg").write_bytes(whole[:2] + segment + whole[2:])
    picture = imaging.read(tmp_path / "a.jpg")
    assert picture.notes == ()
    (remark,) = imaging.check_target(picture, "o.jpg")
    assert remark == (
        "its content credentials (C2PA), which tell of unchanged pixels are not written"
    )


def test_remarks_stand_once_in_the_notes(tmp_path: Path) -> None:
    deep = np.full((4, 6), 255, np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert imaging.read(tmp_path / "a.png").notes == (
        "a 16-bit picture that is dark: its values end at 255 of 65535",
    )


@pytest.mark.parametrize("packed", [False, True])
def test_exif_that_imagemagick_wrote_as_text(tmp_path: Path, packed: bool) -> None:
    block = exif(orientation=6, thumbnail=True)
    lines = "\n".join(block.hex()[at : at + 72] for at in range(0, 2 * len(block), 72))
    texts = PngInfo()
    texts.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{lines}\n", zip=packed)
    texts.add_text("Raw profile type odd", "x")
    Image.fromarray(PHOTO).save(tmp_path / "a.png", pnginfo=texts)
    picture = imaging.read(tmp_path / "a.png")
    assert picture.size_hw == (60, 40)
    assert loaded(picture.exif)[0x010F] == "a camera"
    assert [body[:20] for _, body in picture.extras.chunks] == [b"Raw profile type odd"]


@pytest.mark.parametrize("dots", [(0, 5), (1, 1), (2**32 - 1, 2**32 - 1)])
def test_nonsense_for_a_resolution_is_left_out(tmp_path: Path, dots: tuple[int, int]) -> None:
    body = b"pHYs" + struct.pack(">IIB", *dots, 1)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    data = io.BytesIO()
    Image.fromarray(PHOTO).save(data, "PNG")
    whole = data.getvalue()
    (tmp_path / "a.png").write_bytes(whole[:33] + chunk + whole[33:])
    picture = imaging.read(tmp_path / "a.png")
    assert picture.dpi is None
    for suffix in ("png", "jpg", "tif", "webp", "avif"):
        imaging.write(tmp_path / f"o.{suffix}", picture)
