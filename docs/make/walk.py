"""The files of the package that a call enters, in order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import lexiseg

PHOTO = Path(__file__).resolve().parents[2] / "examples" / "photos" / "street.jpg"
WORDS = ["car", "road", "sky", "tree"]
_SOURCE = str(Path(lexiseg.__file__).parent)


def files_entered(call: Callable[[], Any]) -> list[str]:
    """Return the package's files whose functions a call runs, each where it is first entered."""
    call()  # what is imported or encoded only once stays out
    found: dict[str, None] = {}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(_SOURCE):
            found.setdefault(Path(name).relative_to(_SOURCE).as_posix())

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    return list(found)


@cache
def walk(what: str) -> tuple[str, ...]:
    """Return the files of a way: "dense", "clip-then-sam" or "remove"."""
    from lexiseg import imaging

    picture = imaging.read(PHOTO)
    if what == "remove":
        masks = lexiseg.load("clip-then-sam")(picture, ["car", "road"])["car"]
        return tuple(files_entered(lambda: lexiseg.edit.remove(picture, masks)))
    segmenter = lexiseg.load(what)
    return tuple(files_entered(lambda: segmenter(picture, WORDS)))


def text(what: str) -> str:
    """Return a way as a list of files, numbered."""
    files = walk(what)
    return f"{len(files)} files: " + " → ".join(f"`{name}`" for name in files)
