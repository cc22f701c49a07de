"""What comes back of a picture file: every property, written as every kind of file and read by
somebody else's code. The table of the docs and the test that nothing is lost are made of it."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.rows.common import markdown
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, IptcImagePlugin, PngImagePlugin

from lexiseg import imaging
from lexiseg.errors import OutputError
from lexiseg.imaging._formats import FORMATS

TARGETS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif", "AVIF": ".avif"}
KEPT, NAMED, REFUSED, LOST = "kept", "named before", "refused before", "LOST"

_ROWS, _COLUMNS = np.mgrid[:40, :60]
PHOTO = np.dstack([_COLUMNS * 4, _ROWS * 6, _COLUMNS + _ROWS]).astype(np.uint8)  # (40, 60, 3)
ALPHA = np.where(_COLUMNS < 20, 0, np.where(_ROWS < 8, 128, 255)).astype(np.uint8)
RGBA = np.dstack([PHOTO, ALPHA])
DEEP = PHOTO.astype(np.uint16) * 257 + (_ROWS % 7).astype(np.uint16)[..., None]
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:rights="all mine" dc:subject="a, b"/>'
    b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
IPTC = b"\x1c\x02\x19\x00\x05harbo" + b"\x1c\x02\x74\x00\x04mine"  # a keyword, a copyright
TEXTS = {"parameters": "a lake, steps 20", "größe": "ä"}


@dataclass(frozen=True)
class Property:
    """sources: makers of files that have it. there: whether a written file has it."""

    name: str
    sources: tuple[Callable[[Path], Path], ...]
    there: Callable[[Path], bool]


def outcome(one: Property, target: str, folder: Path) -> str:
    """Write each source of a property as a kind of file; return what became of it."""
    found = set()
    for number, source in enumerate(one.sources):
        picture = imaging.read(source(folder / f"source-{number}"))
        path = folder / f"written{TARGETS[target]}"
        try:
            remarks = imaging.check_target(picture, path)
        except OutputError:
            found.add(REFUSED)
            continue
        imaging.write(path, picture)
        found.add(KEPT if one.there(path) else NAMED if remarks else LOST)
    return " or ".join(each for each in (LOST, REFUSED, NAMED, KEPT) if each in found)


def outcomes() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each property with what becomes of it in every kind of file."""
    for one in properties():
        with tempfile.TemporaryDirectory() as folder:
            yield one.name, {target: outcome(one, target, Path(folder)) for target in TARGETS}


def table() -> str:
    """Return the table of the docs."""
    rows = ([name, *cells.values()] for name, cells in outcomes())
    return markdown(["", *TARGETS], rows).replace("---:", "---")


def kinds() -> str:
    """Return a line a kind of file: how its names end, whether it is written."""
    rows = [
        [
            one.name.replace("WEBP", "WebP").replace("HEIF", "HEIC, HEIF"),
            " ".join(f"`{suffix}`" for suffix in one.suffixes),
            "yes",
            "yes" if one.writable else "no",
        ]
        for one in FORMATS.values()
    ]
    return markdown(["kind", "names end in", "read", "written"], rows).replace("---:", "---")


@cache
def profile() -> bytes:
    """Return a colour profile of RGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def grey_profile() -> bytes:
    """Return the same, said to be of grey."""
    return profile()[:16] + b"GRAY" + profile()[20:]


def exif(*, orientation: int = 1, thumbnail: bool = False) -> bytes:
    """Return an EXIF block: camera, copyright, date, place, a maker's note, perhaps a preview."""
    block = Image.Exif()
    block[ExifTags.Base.Make] = "a camera"
    block[ExifTags.Base.Copyright] = "mine"
    block[ExifTags.Base.Orientation] = orientation
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:02:03 04:05:06"
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"note\0\1\2"
    place = block.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    packed = block.tobytes()
    return with_thumbnail(packed) if thumbnail else packed


def with_thumbnail(block: bytes) -> bytes:
    """Return a big-endian EXIF block with a second directory, which holds a JPEG thumbnail."""
    body = bytearray(block.removeprefix(b"Exif\0\0"))
    order = "big" if body[:2] == b"MM" else "little"
    at = int.from_bytes(body[4:8], order)
    following = at + 2 + 12 * int.from_bytes(body[at : at + 2], order)
    preview = thumbnail()
    start = len(body) + 2 + 2 * 12 + 4

    def row(tag: int, value: int) -> bytes:
        parts = ((tag, 2), (4, 2), (1, 4), (value, 4))
        return b"".join(number.to_bytes(size, order) for number, size in parts)

    body[following : following + 4] = len(body).to_bytes(4, order)  # type: ignore[arg-type]
    body += (2).to_bytes(2, order) + row(513, start) + row(514, len(preview)) + bytes(4) + preview
    return b"Exif\0\0" + bytes(body)


def thumbnail() -> bytes:
    """Return a small JPEG, such as cameras put into EXIF."""
    data = io.BytesIO()
    Image.fromarray(PHOTO).resize((16, 12)).save(data, "JPEG")
    return data.getvalue()


def properties() -> tuple[Property, ...]:
    """Return all properties that are looked at."""
    everywhere = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
    lossless = ("PNG", "WEBP", "TIFF")
    return (
        Property("16 bits a channel", (_deep("png"), _deep("tif"), _deep_ppm), _has_depth),
        Property("transparency", _saved(RGBA, *lossless, "AVIF"), _has_alpha),
        Property("colours hidden under full transparency", _saved(RGBA, *lossless), _has_hidden),
        Property("colour profile", _saved(PHOTO, *everywhere, icc_profile=profile()), _has_profile),
        Property(
            "profile of a grey picture",
            _saved(PHOTO[..., 0], "PNG", "JPEG", "TIFF", icc_profile=grey_profile()),
            _has_grey_profile,
        ),
        Property(
            "EXIF: camera, date, place, copyright, maker's note",
            (*_saved(PHOTO, "PNG", "JPEG", "WEBP", "AVIF", exif=exif()), _tiff),
            _has_exif,
        ),
        Property("upright as EXIF says", _saved(PHOTO, *everywhere, exif=exif(orientation=6)), _up),
        Property(
            "no preview of the unedited picture",
            _saved(PHOTO, "JPEG", "WEBP", "PNG", exif=exif(thumbnail=True)),
            _has_no_preview,
        ),
        Property(
            "XMP: rights, keywords",
            (*_saved(PHOTO, "JPEG", "WEBP", "AVIF", xmp=XMP), _tiff),
            _has_xmp,
        ),
        Property("IPTC: keywords, rights", (_iptc_jpeg, _tiff), _has_iptc),
        Property(
            "resolution (dpi)", (*_saved(PHOTO, "PNG", "JPEG", dpi=(300, 200)), _tiff), _has_dpi
        ),
        Property("texts of PNG", (_text_png,), _has_texts),
        Property("comment", _saved(PHOTO, "JPEG", "GIF", comment=b"a comment"), _has_comment),
        Property(
            "further frames and pages",
            _saved(PHOTO, "GIF", "WEBP", "TIFF", "PNG", save_all=True, append_images=[_other()]),
            _has_frames,
        ),
        Property("ink colours (CMYK)", (_ink,), _is_ink),
    )


def _saved(array: NDArray[Any], *formats: str, **options: Any) -> tuple[Any, ...]:
    def saver(kind: str) -> Callable[[Path], Path]:
        def save(path: Path) -> Path:
            more = {"lossless": True, "exact": True} if kind == "WEBP" else {}
            more |= {"quality": 100} if kind in ("JPEG", "AVIF") else {}
            if kind == "TIFF" and "exif" in options:
                more |= {"compression": None}
            Image.fromarray(array).save(path, kind, **more, **options)
            return path

        return save

    return tuple(saver(kind) for kind in formats)


def _other() -> Image.Image:
    return Image.fromarray(PHOTO[::-1].copy())


def _deep(suffix: str) -> Callable[[Path], Path]:
    def save(path: Path) -> Path:
        path = path.with_suffix(f".{suffix}")
        cv2.imwrite(str(path), DEEP[:, :, ::-1])
        return path

    return save


def _deep_ppm(path: Path) -> Path:
    height, width = DEEP.shape[:2]
    path.write_bytes(b"P6\n%d %d\n65535\n" % (width, height) + DEEP.astype(">u2").tobytes())
    return path


def _tiff(path: Path) -> Path:
    """A TIFF whose first directory holds all of it, as scanners and photo programs write it."""
    block = Image.Exif()
    block.load(exif())
    for tag, value in ((282, 300.0), (283, 200.0), (296, 2), (700, XMP), (33723, IPTC)):
        block[tag] = value
    Image.fromarray(PHOTO).save(path, "TIFF", exif=block)
    return path


def _iptc_jpeg(path: Path) -> Path:
    Image.fromarray(PHOTO).save(path, "JPEG", quality=100)
    resource = b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC + bytes(len(IPTC) % 2)
    body = b"Photoshop 3.0\0" + resource
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body + data[2:])
    return path


def _text_png(path: Path) -> Path:
    texts = PngImagePlugin.PngInfo()
    for key, value in TEXTS.items():
        texts.add_text(key, value, zip=key == "parameters")
    Image.fromarray(PHOTO).save(path, "PNG", pnginfo=texts)
    return path


def _ink(path: Path) -> Path:
    Image.fromarray(PHOTO).convert("CMYK").save(path, "TIFF")
    return path


def _has_depth(path: Path) -> bool:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return found is not None and np.array_equal(found[:, :, ::-1], DEEP)


def _has_alpha(path: Path) -> bool:
    with Image.open(path) as image:
        return image.mode == "RGBA" and bool(
            (np.abs(np.asarray(image)[..., 3].astype(int) - ALPHA) <= 2).all()
        )


def _has_hidden(path: Path) -> bool:
    with Image.open(path) as image:
        found = np.asarray(image)
        return found.shape[2] == 4 and np.array_equal(found[ALPHA == 0], RGBA[ALPHA == 0])


def _has_profile(path: Path) -> bool:
    with Image.open(path) as image:
        return image.info.get("icc_profile") == profile()


def _has_grey_profile(path: Path) -> bool:
    with Image.open(path) as image:
        return image.info.get("icc_profile") == grey_profile()


def _has_exif(path: Path) -> bool:
    with Image.open(path) as image:
        block = image.getexif()
        inner, place = block.get_ifd(ExifTags.IFD.Exif), block.get_ifd(ExifTags.IFD.GPSInfo)
        return (
            block.get(ExifTags.Base.Make) == "a camera"
            and block.get(ExifTags.Base.Copyright) == "mine"
            and inner.get(ExifTags.Base.DateTimeOriginal) == "2020:02:03 04:05:06"
            and inner.get(ExifTags.Base.MakerNote) == b"note\0\1\2"
            and tuple(map(float, place.get(ExifTags.GPS.GPSLatitude, ()))) == (52.0, 31.0, 12.0)
        )


def _up(path: Path) -> bool:
    with Image.open(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1)
        upright = PHOTO.swapaxes(0, 1)[:, ::-1]  # the 0th row is the right side, the 0th column top
        near = np.abs(np.asarray(image.convert("RGB")).astype(int) - upright).mean() < 4
        return turned == 1 and near


def _has_no_preview(path: Path) -> bool:
    return thumbnail()[20:200] not in path.read_bytes()


def _has_xmp(path: Path) -> bool:
    with Image.open(path) as image:
        found = image.info.get("xmp", b"")
        return bytes(found).strip(b"\0") == XMP


def _has_iptc(path: Path) -> bool:
    with Image.open(path) as image:
        found = IptcImagePlugin.getiptcinfo(image)
        return found is not None and found.get((2, 25)) == b"harbo"


def _has_dpi(path: Path) -> bool:
    with Image.open(path) as image:
        found = image.info.get("dpi")
        if found is None:
            block = image.getexif()
            found = (block.get(282, 0), block.get(283, 0))
        return bool(np.allclose(np.array(found, float), (300, 200), atol=0.5))


def _has_texts(path: Path) -> bool:
    with Image.open(path) as image:
        found = getattr(image, "text", {})
        return {key: str(found.get(key)) for key in TEXTS} == TEXTS


def _has_comment(path: Path) -> bool:
    with Image.open(path) as image:
        found = image.info.get("comment") or getattr(image, "text", {}).get("Comment", "").encode()
        return bytes(found) == b"a comment"


def _has_frames(path: Path) -> bool:
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1) > 1


def _is_ink(path: Path) -> bool:
    with Image.open(path) as image:
        return image.mode == "CMYK"
