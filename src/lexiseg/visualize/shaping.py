"""Text in scripts whose letters join, stack, or run from right to left: shaped by libraqm.

OpenCV writes letter after letter from left to right, which Arabic, Hebrew, Thai and the scripts of
India are not. Pillow brings libraqm; the letters come from a font of the machine, since one font of
all scripts would be larger than this package.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

__all__ = [
    "font_for", "installed_fonts", "missing_scripts", "shaped_width", "split_runs", "write_shaped",
]  # fmt: skip

# Blocks of letters that join or stack, beside all that run from right to left: Devanagari to
# Myanmar, Ethiopic excluded; Khmer; Mongolian; further Indic blocks.
_JOINING = ((0x0900, 0x109F), (0x1780, 0x18AF), (0xA8E0, 0xA8FF), (0xA980, 0xAA7F))
_FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": (r"%WINDIR%\Fonts", r"%LOCALAPPDATA%\Microsoft\Windows\Fonts"),
}
_OTHER_FOLDERS = (
    "/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts",
)  # fmt: skip
_ODD = ("bold", "italic", "oblique", "mono", "condensed", "light", "thin", "black", "serif")
_MAX_FONTS = 3000


@lru_cache(maxsize=1024)
def split_runs(text: str) -> tuple[tuple[str, str | None], ...]:
    """Split a text at spaces into runs and the font that each is to be shaped with, None for none.

    Words that share a font stay together, so that those from right to left stand in their order.
    """
    runs: list[tuple[str, str | None]] = []
    for word in text.split(" "):
        path = font_for(_letters(word))
        if runs and runs[-1][1] == path:
            runs[-1] = (f"{runs[-1][0]} {word}", path)
        else:
            runs.append((word, path))
    return tuple(runs)


def shaped_width(text: str, path: str, size: int) -> int:
    """Return how many pixels wide a text is in a font."""
    return round(_opened(path, size).getlength(text))


def write_shaped(
    canvas: NDArray[np.uint8],
    text: str,
    xy: tuple[int, int],
    colour: tuple[int, int, int],
    path: str,
    size: int,
) -> None:
    """Write on `canvas` (H, W, 3) in a font, from the left end `xy` of the baseline."""
    from PIL import Image, ImageDraw

    font = _opened(path, size)
    margin = 2 * size  # signs reach above and below the line, and beyond its ends
    wide = round(font.getlength(text)) + 2 * margin
    ink = Image.new("L", (wide, 2 * margin))
    ImageDraw.Draw(ink).text((margin, margin), text, fill=255, font=font, anchor="ls")
    height, width = canvas.shape[:2]
    left, top = xy[0] - margin, xy[1] - margin
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + wide, width), min(top + 2 * margin, height)
    if x0 >= x1 or y0 >= y1:
        return
    weight = np.asarray(ink, np.float32)[y0 - top : y1 - top, x0 - left : x1 - left, None] / 255
    part = canvas[y0:y1, x0:x1]
    part[:] = np.rint(part + weight * (np.array(colour, np.float32) - part)).astype(np.uint8)


def missing_scripts(words: Sequence[str]) -> str | None:
    """Return a remark on scripts among words that cannot be drawn here, or None."""
    missing = [word for word in words if (needed := _letters(word)) and not font_for(needed)]
    if not missing:
        return None
    scripts = {_script(letter) for word in missing for letter in _letters(word)}
    return (
        f"no font on this machine has the letters of {' and '.join(sorted(scripts))}, so that the "
        "legend cannot show them well; install one, such as Noto Sans of that script"
    )


def _letters(text: str) -> frozenset[str]:
    """The letters of a text that need shaping."""
    return frozenset(c for c in text if c.isalpha() and _needs_shaping(c))


def _needs_shaping(letter: str) -> bool:
    if unicodedata.bidirectional(letter) in ("R", "AL"):
        return True
    return any(low <= ord(letter) <= high for low, high in _JOINING)


def _script(letter: str) -> str:
    """The name of a letter's script, as its own name begins."""
    return unicodedata.name(letter, "other scripts").partition(" ")[0].capitalize()


@lru_cache(maxsize=256)
def font_for(letters: frozenset[str]) -> str | None:
    """Return the path of the plainest font of the machine that has all of some letters, or None."""
    from PIL import features

    if not letters or not features.check("raqm") or not features.check("fribidi"):
        return None
    return next((path for path in installed_fonts() if _has_all(path, letters)), None)


@lru_cache(maxsize=1)
def installed_fonts() -> tuple[str, ...]:
    """Return the fonts of the machine, plain ones first."""
    found = []
    for folder in _FOLDERS.get(sys.platform, _OTHER_FOLDERS):
        found += list(_in_folder(os.path.expandvars(os.path.expanduser(folder))))

    def oddness(path: str) -> tuple[int, int, str]:
        name = Path(path).stem.lower()
        return sum(word in name for word in _ODD), "sans" not in name, path

    return tuple(sorted(found, key=oddness)[:_MAX_FONTS])


def _in_folder(folder: str) -> Iterator[str]:
    for home, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith((".ttf", ".otf", ".ttc")):
                yield os.path.join(home, name)


def _has_all(path: str, letters: frozenset[str]) -> bool:
    """Whether a font has letters: what it lacks, it draws as it draws what no font has."""
    from PIL import ImageFont

    try:
        font = ImageFont.truetype(path, 20, layout_engine=ImageFont.Layout.BASIC)
        lacking = _drawn(font, "\U0010fffe")
        return all(_drawn(font, letter) != lacking for letter in letters)
    except (OSError, ValueError):
        return False


def _drawn(font: FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@lru_cache(maxsize=64)
def _opened(path: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.RAQM)
