"""What files carry on, and what they tell of the edits."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from tests.edit_pictures import SIZE, disc, noise

from lexiseg import edit, imaging
from lexiseg.edit.xmp import (
    COMPOSITE,
    EDITED,
    GENERATED,
    digital_source,
    packet,
    steps_of,
    strongest,
)
from lexiseg.imaging import Picture

PLACE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PROPERTY = "<rdf:Description><i:DigitalSourceType{}</rdf:Description>"


def xmp(inner: str) -> bytes:
    """A packet as other programs write it, with room to be changed in place behind it."""
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    own = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    return (
        f'<?xpacket begin="\ufeff" id="x"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        f"xmlns:rdf='{rdf}' xmlns:i='{own}'>{inner}</rdf:RDF></x:xmpmeta>\n    "
        '<?xpacket end="w"?>\0'
    ).encode()


@pytest.mark.parametrize(
    "inner",
    [
        PROPERTY.format(f">{PLACE}</i:DigitalSourceType>"),
        PROPERTY.format(f">\n  {PLACE}\n</i:DigitalSourceType>"),
        PROPERTY.format(f' rdf:resource="{PLACE}"/>'),
        f'<rdf:Description i:DigitalSourceType="{PLACE}"/>',
        f"<rdf:Description rdf:about='' i:DigitalSourceType = '{PLACE}'/>",
        f'<rdf:Description/><rdf:Description i:DigitalSourceType="{PLACE}"/>',
    ],
)
def test_the_source_type_is_read_where_others_write_it(inner: str) -> None:
    assert digital_source(xmp(inner)) == PLACE
    assert strongest(digital_source(xmp(inner)), EDITED) == GENERATED


def test_packets_without_a_source_type() -> None:
    entity = b'<!DOCTYPE x [<!ENTITY a "b">]>' + xmp(PROPERTY.format(">&a;</i:DigitalSourceType>"))
    other = b'<x xmlns:y="z" y:DigitalSourceType="a"/>'
    for given in (None, b"", b"<x/>", b"<x", b"\xff\xfe<", b"\0", entity, other):
        assert digital_source(given) is None
        assert steps_of(given) == []
    assert digital_source(packet([], GENERATED)) == GENERATED
    assert strongest(None, EDITED, COMPOSITE) == COMPOSITE


def test_what_was_generated_stays_marked(tmp_path: Path) -> None:
    given = Picture(noise(), xmp=packet([], GENERATED))
    path = edit.blur(given, disc()).save(tmp_path / "a.jpg")
    assert digital_source(imaging.read(path).xmp) == GENERATED


def test_steps_add_up_over_files(tmp_path: Path) -> None:
    first = edit.blur(noise(), disc()).save(tmp_path / "a.png")
    second = edit.pixelate(first, disc()).save(tmp_path / "b.jpg")
    told = steps_of(imaging.read(second).xmp)
    assert [step["operation"] for step in told] == ["blur", "pixelate"]
    broken = b'<x xmlns:y="urn:lexiseg:edit:1" y:steps="[broken"/>'
    assert steps_of(broken) == steps_of(broken.replace(b"[broken", b"7")) == []


def test_what_others_wrote_into_the_packet_stays(tmp_path: Path) -> None:
    rights = "<dc:rights xmlns:dc='http://purl.org/dc/elements/1.1/'>© Ada &amp; Bob</dc:rights>"
    element = f"<i:DigitalSourceType>{PLACE}</i:DigitalSourceType>"
    start = f'<rdf:Description i:Event="fair" i:DigitalSourceType="{PLACE}">'
    before = xmp(f"{start}{rights}{element}</rdf:Description>")
    given = Picture(noise(), xmp=before)
    for suffix in ("png", "jpg", "webp", "tif"):
        first = edit.blur(given, disc()).save(tmp_path / f"a.{suffix}")
        after = imaging.read(edit.pixelate(first, disc()).save(tmp_path / f"b.{suffix}")).xmp
        assert after is not None
        root = ET.fromstring(after.decode().partition("?>")[2].rpartition("<?")[0])
        assert root.find(".//{http://purl.org/dc/elements/1.1/}rights").text == "© Ada & Bob"
        assert b'Event="fair"' in after
        assert after.count(b"DigitalSourceType=") == 1
        assert b"DigitalSourceType>" not in after
        assert digital_source(after) == GENERATED
        assert [step["operation"] for step in steps_of(after)] == ["blur", "pixelate"]


@pytest.mark.parametrize("before", [b"<x/>", b"no XML", xmp(f"<i:Note>{'x' * 70_000}</i:Note>")])
def test_a_packet_that_has_no_place_for_the_steps_is_replaced(before: bytes) -> None:
    assert packet([], COMPOSITE, before=before) == packet([], COMPOSITE)


def test_colours_hidden_in_the_file_stay_outside_of_the_edit_alone(tmp_path: Path) -> None:
    rgba = np.dstack([noise(), np.full(SIZE, 255, np.uint8)])
    rgba[:, :35, 3] = 0  # the disc reaches into it
    imaging.write(tmp_path / "a.png", rgba)
    path = edit.blur(tmp_path / "a.png", disc(), blur=0).save(tmp_path / "b.png")
    with Image.open(path) as image:
        after = np.array(image)
    assert (after[..., 3] == rgba[..., 3]).all()
    assert (after[~disc()] == rgba[~disc()]).all()
    assert (after[disc() & (rgba[..., 3] == 0), :3] == 0).all()


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


def test_steps_are_read_back_whatever_they_say() -> None:
    words = ['a "b" <c> & d\'e', "犬", "line\nbreak", "\x07", "caf\udce9", "\ufffe"]
    (root,) = ET.fromstring(packet([{"words": words}], EDITED).decode())[0]
    assert json.loads(root.attrib["{urn:lexiseg:edit:1}steps"]) == [{"words": words}]
    assert steps_of(packet([{"words": words}], EDITED)) == [{"words": words}]
    single = packet([{"words": []}], EDITED).decode().replace('"', "'").replace("&quot;", '"')
    assert steps_of(single.encode()) == [{"words": []}]


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
