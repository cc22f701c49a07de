"""A file or folder that is to be read, looked at once by all formats that might know it."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from lexiseg.errors import InputError

__all__ = ["Source"]

_HEAD = 4096
# Where photos lie, as seen from the folder of the file that names them, in the order tried.
_PHOTOS = (".", "images", "../images", "..", "JPEGImages", "../JPEGImages", "data")


class Source:
    """What is read: `path`, and its content, parsed when first asked for.

    photos: the folder in which the pictures lie, where the user named one.
    notes: remarks on what was left out, which fill while it is read.
    Raises InputError where there is nothing.
    """

    def __init__(self, path: Path, photos: Path | None = None) -> None:
        self.path = path
        self.photos = photos
        if not path.exists():
            raise InputError(f"{str(path)!r} does not exist; check the path")
        self.notes: list[str] = []
        self.is_folder = path.is_dir()
        self.folder = path if self.is_folder else path.parent

    @cached_property
    def head(self) -> bytes:
        """The first bytes of the file; none of a folder."""
        if self.is_folder:
            return b""
        try:
            with self.path.open("rb") as file:
                return file.read(_HEAD)
        except OSError as error:
            raise InputError(f"{str(self.path)!r} cannot be read ({error.strerror})") from error

    @cached_property
    def json(self) -> Any:
        """The JSON document; None where the file does not begin like one.

        Raises InputError where it does, and is none.
        """
        if self.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            return None
        try:
            return json.loads(self.path.read_text("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{str(self.path)!r} is damaged or cut off: no JSON ({error}); copy it again"
            ) from error

    @cached_property
    def xml(self) -> ET.Element | None:
        """The root of an XML document; None where the file does not begin like one.

        Raises InputError where it does, and is none, and for one that declares entities, which
        may grow without end.
        """
        if self.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"<":
            return None
        text = self.path.read_bytes()
        if b"<!ENTITY" in text:
            raise InputError(f"{str(self.path)!r} declares XML entities; write it without them")
        try:
            return ET.fromstring(text)
        except ET.ParseError as error:
            raise InputError(
                f"{str(self.path)!r} is damaged or cut off: no XML ({error}); copy it again"
            ) from error

    def files(self, *suffixes: str) -> list[Path]:
        """The files of these endings in the folder and below, sorted; the file itself, of a file.

        Hidden ones are left out.
        """
        if not self.is_folder:
            return [self.path] if self.path.suffix.lower() in suffixes else []
        found = (path for path in self.path.rglob("*") if path.suffix.lower() in suffixes)
        shown = (
            path for path in found
            if not any(part.startswith(".") for part in path.relative_to(self.path).parts)
        )  # fmt: skip
        return sorted(path for path in shown if path.is_file())

    def photo(self, file_name: str, near: Path | None = None) -> Path | None:
        """Return where a picture lies, in the folder of photos or near the file; or None.

        near: the folder of the file that names it, where it is another than `folder`.
        """
        name = file_name.replace("\\", "/")
        if self.photos is not None:
            places = [self.photos / name, self.photos / Path(name).name]
        else:
            home = self.folder if near is None else near
            places = [home / place / name for place in _PHOTOS]
        return next((place for place in places if place.is_file()), None)

    def wrong(self, what: str, kind: str) -> InputError:
        """Return the error of a file of a kind that is not as that kind must be."""
        return InputError(f"{str(self.path)!r} is no whole {kind}: {what}; export it again")
