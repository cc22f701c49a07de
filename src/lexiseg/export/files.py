"""Results as picture files: the overlay, a mask for each word, the label map."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from lexiseg import imaging
from lexiseg._version import __version__
from lexiseg.imaging import Source
from lexiseg.results import Segmentation
from lexiseg.visualize import OverlayOptions, overlay, palette

__all__ = ["file_names", "safe_name", "save_label_map", "save_masks", "save_overlay"]

_MAX_COLOURS = 256  # of a PNG palette, one of them for no word
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)


def save_overlay(
    seg: Segmentation,
    path: str | os.PathLike[str],
    image: Source | None = None,
    **options: Unpack[OverlayOptions],
) -> None:
    """Write the photo with the words painted over it; options as for `overlay`.

    image: the photo, where the result keeps none: a path, a PIL image or an (H, W, 3) uint8 array.
    The name says the kind of file: png, jpg, webp or tif. Raises OutputError, PictureError.
    """
    picture = None if image is None else imaging.read(image)
    icc = None if picture is None else picture.icc  # the overlay's colours are the photo's
    imaging.write(path, overlay(seg, picture, **options), icc=icc)


def save_masks(
    seg: Segmentation, folder: str | os.PathLike[str], only: Sequence[str] | None = None
) -> dict[str, Path]:
    """Write the mask of each word that was found as a black and white PNG; return word -> file.

    A mask holds the pixels of the word, also those under finer words, 255 inside. Files have the
    names of the words, made safe for any system. The folder is made where it is not there.
    only: write these words alone. Raises OutputError, WordNotAsked.
    """
    words = seg.words if only is None else tuple(dict.fromkeys(only))
    names = dict(zip(words, file_names(words), strict=True))
    files = {}
    for word in words:
        if seg.pixels[seg.index(word)]:
            files[word] = Path(folder) / f"{names[word]}.png"
            imaging.write(files[word], seg.mask(word))
    return files


def save_label_map(
    seg: Segmentation, path: str | os.PathLike[str], only: Sequence[str] | None = None
) -> None:
    """Write the label map: value 0 where no word is, i + 1 for word i of the vocabulary.

    A PNG with a palette, black for no word; with more than 255 words, which no palette holds, a
    grey PNG of 16 bits. Its text "words" is a JSON object from value to name, "0" to "unlabelled".
    only: keep the pixels of these words alone; values and names stay those of the vocabulary.

    Raises OutputError, and WordNotAsked for a word outside the vocabulary.
    """
    deep = len(seg.words) >= _MAX_COLOURS
    indices = range(len(seg.words)) if only is None else [seg.index(word) for word in only]
    # Value of each label; the last place is reached by -1, no word.
    values = np.zeros(len(seg.words) + 1, np.uint16 if deep else np.uint8)
    for k in indices:
        values[k] = k + 1
    names = {"0": "unlabelled", **{str(i): word for i, word in enumerate(seg.words, 1)}}
    colours = None
    if not deep:
        colours = np.concatenate([np.zeros((1, 3), np.uint8), palette(seg.words, seg.found)])
    imaging.write(
        path,
        values[seg.label_map if only is None else seg.shown(only)],
        palette=colours,
        metadata={
            "Software": f"lexiseg {__version__}",
            "words": json.dumps(names, ensure_ascii=False),
        },
    )


def file_names(names: Sequence[str]) -> list[str]:
    """Return a file name for each word, without suffix: safe on any system, no two alike."""
    out: list[str] = []
    taken: set[str] = set()
    for name in names:
        safe = plain = safe_name(name)
        count = 1
        while safe.casefold() in taken:
            count += 1
            safe = f"{plain}-{count}"
        taken.add(safe.casefold())
        out.append(safe)
    return out


def safe_name(text: str) -> str:
    """Return `text` as the name of a file: no separators, no reserved names, 100 bytes.

    What is not printable becomes "_": so do the bytes of names that are no UTF-8, and what this
    system's file names cannot spell.
    """
    text = unicodedata.normalize("NFC", text)
    text = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in text)
    spelling = sys.getfilesystemencoding()
    if spelling != "utf-8":
        text = text.encode(spelling, "replace").decode(spelling).replace("?", "_")
    text = text.encode()[:100].decode(errors="ignore").strip(" .")
    if not text or text.partition(".")[0].casefold() in _RESERVED:
        text = f"_{text}"
    return text
