"""Which pictures and which words a command line names, and where the results go."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lexiseg import imaging
from lexiseg.errors import OptionError, PictureError, PromptError
from lexiseg.export import safe_name

__all__ = ["SUFFIXES", "Job", "pictures", "plan", "split", "words"]

# By these a picture is known in a folder; a file that is named may end in anything.
_KINDS = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif", "ppm", "pgm", "pnm", "avif")
SUFFIXES = frozenset(f".{kind}" for kind in _KINDS)


@dataclass(frozen=True)
class Job:
    """A picture and the folder for its results."""

    source: Path
    folder: Path


def split(
    items: Sequence[str], asked: str | None, *, wordless: bool = False
) -> tuple[list[str], list[str]]:
    """Return (pictures, words) of `PICTURE WORD...`, or of `PICTURE...` with `--words` asked.

    wordless: there may be no words, as where points say what is meant. Raises PromptError where a
    word looks like a picture, with the line that was meant.
    """
    if not items:
        raise PictureError("no picture is given: lexiseg segment PICTURE WORD...")
    if asked is not None:
        return list(items), words([asked])
    first, rest = items[0], list(items[1:])
    files = [item for item in rest if _is_picture(item)]
    others = [item for item in rest if item not in files]
    if files and not _is_picture(first) and not Path(first).exists():
        line = shlex.join(["lexiseg", "segment", files[0], first, *others])
        raise PromptError(f"the picture comes first, then the words; perhaps: {line}")
    if files:
        asked = "; ".join(others) or "sky; road"
        line = shlex.join(["lexiseg", "segment", "--words", asked, first, *files])
        raise PromptError(
            f"{files[0]!r} is a picture, not a word; for several pictures use --words: {line}"
        )
    if not rest and wordless:
        return [first], []
    if not rest:
        raise PromptError(f"no words to look for: lexiseg segment {shlex.quote(first)} WORD...")
    return [first], words(rest)


def words(texts: Sequence[str]) -> list[str]:
    """Return the words of texts that may hold several, with ";" between them."""
    out = []
    for text in texts:
        parts = text.split(";")
        if len(parts) > 1 and not parts[-1].strip():
            parts.pop()
        out += [part.strip() for part in parts]
    return out


def pictures(names: Sequence[str]) -> list[Path]:
    """Return the files that `names` stand for: files, folders (their files) and patterns.

    Each file comes once, in the order given, those of a folder or pattern sorted. Raises
    PictureError for one that stands for none.
    """
    found: dict[Path, Path] = {}
    for name in names:
        for path in _files(name):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def plan(sources: Sequence[Path], out: Path) -> list[Job]:
    """Return where the results of each picture go: a folder of its own under `out`.

    It is named after the picture: "x" for a/x.jpg, or, where two would share it, "x.jpg", then
    "a/x", then "a/x.jpg". Raises OptionError where two still would, or where results would fall
    on an input.
    """
    styles: tuple[Callable[[Path], tuple[str, ...]], ...] = (
        lambda path: (path.stem,),
        lambda path: (path.name,),
        lambda path: (path.resolve().parent.name, path.stem),
        lambda path: (path.resolve().parent.name, path.name),
    )
    for style in styles:
        names = [tuple(safe_name(part) for part in style(source)) for source in sources]
        # Some file systems take "A" and "a" for one.
        if len({tuple(part.casefold() for part in name) for name in names}) == len(names):
            break
    else:
        twice = next(name for name in names if names.count(name) > 1)
        raise OptionError(
            f"the results of two pictures would both go to {out.joinpath(*twice)}; "
            "run them one after the other, each with an --out of its own"
        )
    jobs = [Job(source, out.joinpath(*name)) for source, name in zip(sources, names, strict=True)]
    inputs = {source.resolve() for source in sources}
    for job in jobs:
        own = job.folder.resolve()
        hit = next((path for path in inputs if own in path.parents), None)
        if hit is not None:
            raise OptionError(
                f"the results would go to {job.folder}, where the picture {hit.name!r} lies; "
                "choose another folder with --out"
            )
    return jobs


def _is_picture(text: str) -> bool:
    path = Path(text)
    if path.suffix.lower() in SUFFIXES:
        return True
    return ("/" in text or "\\" in text) and path.exists()


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        inside = sorted(entry for entry in path.iterdir() if _listed(entry))
        if not inside:
            raise PictureError(
                f"the folder {name!r} holds no pictures ({', '.join(sorted(SUFFIXES))})"
            )
        return inside
    if not path.exists() and glob.has_magic(name):
        matches = sorted(Path(match) for match in glob.glob(name, recursive=True))
        inside = [match for match in matches if _listed(match)]
        if not inside:
            raise PictureError(f"no picture matches the pattern {name!r}; check it")
        return inside
    if not path.is_file():
        imaging.read(path)  # says what is wrong
    return [path]


def _listed(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()
