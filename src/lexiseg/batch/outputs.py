"""The files of one picture, written together or not at all."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2s
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging, loading, visualize
from lexiseg.batch.finishing import finishing
from lexiseg.errors import DiskFull, OptionError, OutputError
from lexiseg.export import file_names, result_json, save_label_map, save_masks, save_overlay
from lexiseg.masks import Masks
from lexiseg.planning import (
    RESULT,
    EditPlaces,
    Job,
    edit_origin,
    picture_path,
    read_record,
    results_obstacle,
)
from lexiseg.results import Segmentation

if TYPE_CHECKING:
    from lexiseg.edit import EditResult
    from lexiseg.prompts import Clicks, Vocabulary
    from lexiseg.protocols import View

__all__ = [
    "KINDS", "check_folder", "check_method", "possible_names", "segment_picture", "staged",
    "write_edit",
    "write_results",
]  # fmt: skip

KINDS = ("overlay", "labels", "masks", "cutouts", "heatmaps")

# Endings by which a name is meant as a file, though it may be the name of a folder.
_FILE_ENDINGS = imaging.SUFFIXES | {".psd", ".svg", ".pdf", ".jp2", ".jxl", ".ico", ".json", ".zip"}


def check_folder(folder: Path, *, one_file: bool = False) -> None:
    """See that files can be written into `folder`; it is made with the first of them.

    one_file: a file could be meant, too, of a kind that is written.
    Raises OutputError if not, and OptionError for a name that is meant as a file's.
    """
    if folder.suffix.lower() in _FILE_ENDINGS and not folder.is_dir():
        what = "results are several files"
        if one_file:
            what = f"no file of that kind is written ({', '.join(imaging.WRITABLE_SUFFIXES)} are)"
        raise OptionError(
            f"--out {str(folder)!r} is the name of a file, and {what}; give another name, or a "
            f"folder, such as {str(folder.with_suffix(''))!r}"
        )
    probe = folder / f".lexiseg-{os.getpid()}"
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"the output folder {str(folder)!r} cannot be written ({error.strerror or error}); "
            "choose another with --out"
        ) from error
    finally:
        for path in made:
            _remove_empty(path)


def possible_names(words: Sequence[str]) -> frozenset[str]:
    """Return every file that the results of a picture may be, relative to their folder."""
    return _possible_names(tuple(words))


@lru_cache(maxsize=8)  # pictures of a run mostly have the same words
def _possible_names(words: tuple[str, ...]) -> frozenset[str]:
    names = file_names(words)
    fixed = {"overlay.png", "labels.png", "looked-at.png", "all_masks.png", "segmented.png"}
    folders = ("masks", "cutouts", "heatmaps")
    return frozenset(fixed | {f"{part}/{name}.png" for part in folders for name in names})


def segment_picture(
    segmenter: Any,
    picture: imaging.Picture,
    words: Vocabulary | str | None,
    background: Mapping[str, Any],
    clicks: Clicks,
) -> tuple[Segmentation, View[Any] | None]:
    """Return what a picture shows, and how it was encoded; None where clicks alone were asked.

    words: a Vocabulary; "@auto" or "@known", against `background`, as the segmenter takes it.
    """
    if words is None:
        return segmenter(picture, **clicks.arguments), None
    view = segmenter.prepare(picture)
    given = background if isinstance(words, str) else {}
    return segmenter(view, words, **given, **clicks.arguments), view


def check_method(segmenter: Any, given: Clicks) -> None:
    """Raise OptionError where there are points, or boxes, and the method takes none."""
    taken = signature(segmenter.__call__).parameters
    for name in given.arguments:
        if name not in taken:
            what = "boxes" if name == "boxes" else "points"
            raise OptionError(
                f"{segmenter.name} takes no {what}: points and boxes are for methods that ask "
                f"there; use --method {loading.WITH_MASKS}"
            )


def write_results(
    job: Job,
    picture: imaging.Picture,
    seg: Segmentation,
    words: Sequence[str],
    *,
    kinds: Collection[str] = KINDS[:3],
    debug_overlay: NDArray[np.uint8] | None = None,
    everything: Masks | None = None,
    workshop: Path | None = None,
) -> dict[str, Any]:
    """Write the results of `words` to the place of a job, and return what result.json holds.

    kinds: which files of `KINDS` are written beside result.json.
    everything: the masks of a method that draws them all, drawn too.
    workshop: a folder on the same disk in which files are made; beside the place if left out.

    The files are made beside the folder and moved in when all are there; files of an earlier run
    that this one does not replace go away, anything else in the folder stays.
    """
    with staged(job.target, workshop) as stage:
        files = _write(stage, picture, seg, words, kinds, debug_overlay, everything)
        home = picture_path(job.real, os.path.realpath(job.target))
        result = result_json(seg, picture=picture, path=home, only=words, files=files)
        _write_json(stage / RESULT, result)
        with finishing():
            _move(stage, job, words, result)
    return result


def write_edit(
    job: Job, result: EditResult, places: EditPlaces, workshop: Path | None = None
) -> list[Path]:
    """Write the edited pictures to the place of a job, and return their paths.

    One has the name of the place; of several each has a number behind it. Files of an earlier edit
    of the same picture that this one does not replace go away.
    """
    target, home = job.target, os.path.realpath(job.target.parent)
    place = os.path.join(home, target.name)
    several = len(result.pictures) > 1
    names = [target.name]
    if several:
        names = [f"{target.stem}-{n}{target.suffix}" for n in range(1, len(result.pictures) + 1)]
    with staged(target, workshop) as stage:
        for index, name in enumerate(names):
            origin = edit_origin(job.real, home, index + 1 if several else None)
            result.save(stage / name, index, origin=origin)
        with finishing():
            why = places.obstacle(place, job.real, names)
            if why is not None:  # it was free when the run began
                raise OutputError(f"the edit cannot be written to {str(target)!r}: {why}")
            for path in places.earlier(place, job.real):
                if os.path.basename(path) not in names:
                    os.unlink(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            for name in names:
                os.replace(stage / name, target.with_name(name))
    return [target.with_name(name) for name in names]


@contextmanager
def staged(target: Path, workshop: Path | None) -> Iterator[Path]:
    """Yield a folder beside `target` from which complete files are moved; it goes away after that.

    Raises OutputError, DiskFull among them, for what cannot be written.
    """
    stage = target.parent / f".{target.name}.{os.getpid()}.partial"
    made = [path for path in target.parents if not path.exists()]
    if workshop is not None:  # others may write beside the target: no folder is taken away
        digest = blake2s(os.fsencode(target), digest_size=16).hexdigest()
        stage, made = workshop / f"{digest}.{secrets.token_hex(4)}", []
    try:
        yield stage
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (DiskFull if full else OutputError)(
            f"the results cannot be written to {str(target)!r} ({error.strerror or error}); "
            "make room, or choose another place with --out"
        ) from error
    except OutputError as error:
        raise type(error)(str(error).replace(str(stage), str(target.parent))) from error
    finally:
        with finishing():
            shutil.rmtree(stage, ignore_errors=True)
            for path in made:  # where nothing was written
                _remove_empty(path)


def _move(stage: Path, job: Job, words: Sequence[str], result: dict[str, Any]) -> None:
    """Put complete results in their place; were that cut off, result.json tells of all files."""
    folder = job.target
    may_write = frozenset(name.casefold() for name in (*possible_names(words), RESULT))
    why = results_obstacle(str(folder), job.real, may_write)
    if why is not None:  # it was free when the run began
        raise OutputError(f"the results cannot be written to {str(folder)!r}: {why}")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage, folder)
        return
    earlier = read_record(folder)
    before = frozenset() if earlier is None else earlier.names
    written = {path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file()}
    written.remove(RESULT)
    unfinished = {"files": {name: name for name in sorted(before | written)}, "complete": False}
    _write_json(folder / RESULT, {**result, **unfinished})
    for name in before - written:
        (folder / name).unlink(missing_ok=True)
    for name in [*sorted(written), RESULT]:
        (folder / name).parent.mkdir(exist_ok=True)
        os.replace(stage / name, folder / name)
    for name in {os.path.dirname(name) for name in before - written} - {""}:
        _remove_empty(folder / name)


def _write(
    stage: Path,
    picture: imaging.Picture,
    seg: Segmentation,
    words: Sequence[str],
    kinds: Collection[str],
    debug_overlay: NDArray[np.uint8] | None,
    everything: Masks | None,
) -> dict[str, str | dict[str, str]]:
    """Write all files but result.json into `stage`; return what each is, relative to it."""

    def draw(name: str, pixels: NDArray[np.uint8]) -> None:
        imaging.write(stage / name, pixels, icc=picture.icc)  # the photo's colours are in it

    files: dict[str, str | dict[str, str]] = {}
    if "overlay" in kinds:
        save_overlay(seg, stage / "overlay.png", picture, only=words)
        files["overlay"] = "overlay.png"
    if "labels" in kinds:
        save_label_map(seg, stage / "labels.png", words)
        files["labels"] = "labels.png"
    if debug_overlay is not None:
        draw("looked-at.png", debug_overlay)
        files["looked_at"] = "looked-at.png"
    if everything is not None:
        draw("all_masks.png", visualize.mask_overlay(seg, everything, picture))
        draw("segmented.png", visualize.cutout(seg, words, picture))
        files |= {"all_masks": "all_masks.png", "segmented": "segmented.png"}
    names = dict(zip(words, file_names(words), strict=True))
    if "masks" in kinds:
        masks = save_masks(seg, stage / "masks", words)
        files["masks"] = {word: f"masks/{path.name}" for word, path in masks.items()}
    if "cutouts" in kinds:
        found = [word for word in words if seg.pixels[seg.index(word)]]
        files["cutouts"] = {word: f"cutouts/{names[word]}.png" for word in found}
        for word in found:
            draw(f"cutouts/{names[word]}.png", visualize.cutout(seg, word, picture))
    if "heatmaps" in kinds:
        # Of every word: why one was not found is what a heat map shows.
        files["heatmaps"] = {word: f"heatmaps/{names[word]}.png" for word in words}
        for word in words:
            draw(f"heatmaps/{names[word]}.png", visualize.heatmap(seg, word, picture))
    return files


def _write_json(path: Path, document: dict[str, Any]) -> None:
    """Write JSON. Bytes of names that are no UTF-8 become escapes, which JSON strings may hold."""
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    imaging.write_bytes(path, text.encode("utf-8", "backslashreplace"))


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # there is something in it, or it has gone
        return
