"""What an earlier run left in a folder of results, by its result.json."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["FOLDERS", "RESULT", "Record", "picture_path", "read_record"]

RESULT = "result.json"
FOLDERS = ("masks", "cutouts", "heatmaps")  # what lies in a folder of results beside files
# Only names that `lexiseg segment` gives: result.json may have been edited.
_OURS = re.compile(
    rf"(overlay|labels|looked-at|all_masks|segmented)\.png|({'|'.join(FOLDERS)})/[^/\\]+\.png"
)
_HEAD = 1 << 16  # instances, at the end, may take megabytes
_FILES = '"files":'


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
    try:
        with open(os.path.join(folder, RESULT), "rb") as file:
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
    path = image.get("path")
    names = frozenset(name for name in _flat(files) if _OURS.fullmatch(name))
    return Record(path if isinstance(path, str) else None, names)


def picture_path(picture: str, folder: str) -> str:
    """Return the path of a picture as a folder's record tells it: relative, "/" between parts.

    Both are absolute, links resolved. So a record holds where pictures and results are moved
    together. An absolute path where no relative one leads there (another drive).
    """
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
