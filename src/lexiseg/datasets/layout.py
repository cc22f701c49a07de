"""Folders as data sets are published: where the root is, what is missing, which mask is whose."""

from __future__ import annotations

import io
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from lexiseg.datasets.annotations import Truth
from lexiseg.datasets.semantic import Sample
from lexiseg.errors import InputError

__all__ = ["find_root", "is_there", "pair", "read_list", "read_plain_pickle", "require"]

_LOOKED_AT = 2000  # entries of a folder, when the nearest to a missing one is sought
_SHOWN = 3


def is_there(path: Path) -> bool:
    """Return whether a path exists with just these letters, on any file system.

    Where a file system takes "val.TXT" for "val.txt", a set that works would fail elsewhere.
    """
    return path.exists() and (path.name in ("", ".", "..") or path.name in _names(path.parent))


def find_root(given: Path, name: str, folders: Sequence[str], marks: Sequence[str]) -> Path:
    """Return the root of a data set: `given`, or one of the folders below it, whichever has a mark.

    Raises InputError with the place that was expected and the nearest that is there.
    """
    if not given.is_dir():
        raise InputError(
            f"{str(given)!r} is not a folder; give the one that holds {name} "
            f"({folders[0]}): lexiseg datasets how {name}"
        )
    for folder in ("", *folders):
        if any(is_there(given / folder / mark) for mark in marks):
            return given / folder
    above = next((p for p in given.resolve().parents if any((p / m).exists() for m in marks)), None)
    if above is not None:
        near = f"{str(above)!r}, above it, looks right"
    else:
        wanted = {path for folder in folders for path in (folder, PurePosixPath(folder).name)}
        near = _nearest(given, {*wanted, *marks})
    raise InputError(
        f"{name} is not in {str(given)!r}: there is no {folders[0]}/{marks[0]}; {near} "
        f"(lexiseg datasets how {name})"
    )


def require(root: Path, name: str, *paths: str) -> Path:
    """Return the first of these paths below `root` that is there.

    Raises InputError with the one that was expected and the nearest that is there.
    """
    for path in paths:
        if is_there(root / path):
            return root / path
    first = PurePosixPath(paths[0])
    folder = root / first.parent
    while not folder.is_dir() and folder != root:
        folder = folder.parent
    others = f" (nor {', '.join(paths[1:])})" if len(paths) > 1 else ""
    raise InputError(
        f"{name} lacks {paths[0]}{others} in {str(root)!r}; "
        f"{_nearest(folder, {str(first), first.name})} (lexiseg datasets check {name})"
    )


def read_list(path: Path) -> list[str]:
    """Return the ids that a split's file lists, one a line.

    A line may also be a pair of photo and mask, as lists for training have it: the photo's stem
    counts. Raises InputError for a file that cannot be read or lists nothing or an id twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); take the published list") from error
    ids = []
    for line in lines:
        words = line.split()
        if words:
            stem = PurePosixPath(words[0])
            ids.append(stem.stem if stem.suffix.lower() in (".jpg", ".png") else words[0])
    if not ids:
        raise InputError(f"{path} lists no photos; take the published list")
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise InputError(f"{path} lists {twice} twice; take the published list")
    return ids


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle of numbers, texts and containers of them; one that names code is refused.

    Texts that Python 2 wrote are read too. Raises InputError for any other file.
    """
    try:
        return _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError) as error:
        raise InputError(
            f"{path} is not a pickle of plain values ({error}); take the published file"
        ) from error


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names the code {module}.{name}")


def pair(
    label: str,
    photos: Path,
    masks: Path,
    truth: Callable[[Path], Truth],
    *,
    ids: Sequence[str] | None = None,
    photo_suffix: str = ".jpg",
    mask_suffix: str = ".png",
    other_suffixes: tuple[str, ...] = (),
) -> tuple[Sample, ...]:
    """Return the photos of a split with their masks, in the order of `ids`, else of their paths.

    An id is a path below both folders, without the suffixes. Raises InputError for a photo or a
    mask that is missing, and, where no list says what belongs to the split, for a mask too many.
    other_suffixes: of masks of other kinds, which lie beside these.
    """
    has_photo, has_mask = _tree(photos), _tree(masks)
    if ids is None:
        ids = [
            name.removesuffix(photo_suffix)
            for name in sorted(has_photo)
            if name.endswith(photo_suffix)
        ]
        if not ids:
            raise InputError(
                f"{label} has no photos (*{photo_suffix}) in {photos}; "
                f"{_nearest(photos, {photo_suffix})}"
            )
        known = set(ids)
        unknown = [
            name
            for name in has_mask
            if name.endswith(mask_suffix)
            and not name.endswith(other_suffixes)
            and name.removesuffix(mask_suffix) not in known
        ]
        _refuse(label, "mask", unknown, "without a photo", photos, ())
    for what, folder, suffix, there in (
        ("photo", photos, photo_suffix, has_photo),
        ("mask", masks, mask_suffix, has_mask),
    ):
        missing = [f"{i}{suffix}" for i in ids if f"{i}{suffix}" not in there]
        _refuse(label, what, missing, "not", folder, there)
    return tuple(
        Sample(i, photos / f"{i}{photo_suffix}", truth(masks / f"{i}{mask_suffix}")) for i in ids
    )


def _refuse(
    label: str, what: str, names: Sequence[str], how: str, folder: Path, there: Iterable[str]
) -> None:
    """Raise InputError for files that have no counterpart, if there are any."""
    if not names:
        return
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    count = f"{len(names)} {what}s are" if len(names) > 1 else f"1 {what} is"
    other = {name.casefold(): name for name in there}.get(names[0].casefold())
    hint = f" (there is {other})" if other else ""
    raise InputError(f"{label}: {count} {how} in {folder}: {shown}{hint}; download the set again")


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _tree(folder: Path) -> set[str]:
    """The files of a folder and the folders in it, as paths with slashes."""
    found: set[str] = set()
    for place, _, names in os.walk(folder):
        below = Path(place).relative_to(folder).as_posix()
        found.update(names if below == "." else (f"{below}/{name}" for name in names))
    return found


def _nearest(folder: Path, wanted: Iterable[str]) -> str:
    """What looks most like the wanted paths in a folder or two levels below it, in words."""
    there: list[str] = []
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder)
        if len(below.parts) >= 2:
            folders.clear()
        there += [(below / name).as_posix() for name in sorted([*folders, *names])]
        if len(there) > _LOOKED_AT:
            break
    if not there:
        return f"{folder.name or folder} is empty"
    scored = [
        (SequenceMatcher(None, want.casefold(), name.casefold()).ratio(), name)
        for want in wanted
        for name in there[:_LOOKED_AT]
    ]
    ratio, best = max(scored, key=lambda pair: (pair[0], -len(pair[1])))
    if ratio >= 0.6:
        return f"the nearest that is there is {best}"
    shown = ", ".join(sorted(_names(folder))[:_SHOWN])
    return f"{folder.name or folder} holds {shown}"
