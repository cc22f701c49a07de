"""What earlier runs left: results, by the result.json in their folder, and edits, by their XMP."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lexiseg import imaging

__all__ = [
    "FOLDERS", "RESULT", "Record", "edit_ending", "is_edit", "picture_path", "read_record",
]  # fmt: skip

RESULT = "result.json"
FOLDERS = ("masks", "cutouts", "heatmaps")  # what lies in a folder of results beside files
# Only names that `lexiseg segment` gives: result.json may have been edited.
_OURS = re.compile(
    rf"(overlay|labels|looked-at|all_masks|segmented)\.png|({'|'.join(FOLDERS)})/[^/\\]+\.png"
)
_HEAD = 1 << 16  # instances, at the end, may take megabytes
_FILES = '"files":'
_MAX_OPERATIONS = 5  # in the name of an edit


@dataclass(frozen=True)
class Record:
    """The results of one picture.

    picture: the path of the picture, relative to the folder; None where it is not told.
    names: the files, relative to the folder, "/" between parts; result.json is not among them.
    """

    picture: str | None
    names: frozenset[str]


def read_record(folder: str | os.PathLike[str]) -> Record | None:
    """Return what result.json in a folder says; None where there is none of lexiseg's."""
    path = os.path.join(folder, RESULT)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never end
            return None
        with open(path, "rb") as file:
            text = file.read(_HEAD).decode("utf-8", "replace")
            files = _value(text, _FILES)
            if files is None:
                text += file.read().decode("utf-8", "replace")
                files = _value(text, _FILES)
    except OSError:
        return None
    image = _value(text, '"image":')
    if '"schema_version":' not in text[:200] or not isinstance(image, dict):
        return None
    picture = image.get("path")
    names = frozenset(name for name in _flat(files) if _OURS.fullmatch(name))
    return Record(picture if isinstance(picture, str) else None, names)


def edit_ending(operations: Sequence[str]) -> str:
    """Return how the name of an edit ends, behind that of the picture, such as "-blur.png"."""
    first = operations[:_MAX_OPERATIONS]
    return f"-{'-'.join((*first, 'more')[: len(operations)])}.png"


def is_edit(path: str) -> bool:
    """Whether `lexiseg edit` made a file and named it: its own name tells, and its XMP packet."""
    name = os.path.basename(path)
    if "-" not in name or not name.endswith(".png"):
        return False
    from lexiseg import edit  # rarely needed
    from lexiseg.edit.xmp import origin_of

    endings = tuple(f"-{operation}" for operation in (*edit.operation_names(), "more"))
    if not re.sub(r"-\d+$", "", name[:-4]).endswith(endings):
        return False
    return bool(origin_of(imaging.read_xmp(path)))


def picture_path(picture: str, folder: str) -> str:
    """Return the path of a picture as a folder's record tells it: relative, "/" between parts.

    Both are absolute, links resolved. So a record holds where pictures and results are moved
    together. An absolute path where no relative one leads there (another drive); an address as it
    is.
    """
    if "://" in picture:
        return picture
    try:
        path = os.path.relpath(picture, folder)
    except ValueError:
        path = picture
    return path.replace(os.sep, "/")


def _value(text: str, key: str) -> object:
    """The JSON value behind the first `key`, which cannot stand inside a string: it has quotes."""
    at = text.find(key)
    try:
        value: object = json.JSONDecoder().raw_decode(text[at + len(key) :].lstrip())[0]
    except (ValueError, RecursionError):
        return None
    return value if at >= 0 else None


def _flat(files: object) -> Iterator[str]:
    """The file names in the values of `files`."""
    for value in files.values() if isinstance(files, dict) else ():
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from (name for name in value.values() if isinstance(name, str))
