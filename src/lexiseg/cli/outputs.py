"""The files of one picture, written together or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging, visualize
from lexiseg.errors import OutputError
from lexiseg.export import file_names, result_json, save_label_map, save_masks, save_overlay
from lexiseg.masks import Masks
from lexiseg.results import Segmentation

__all__ = ["check_folder", "write_results"]

RESULT = "result.json"
_OURS = re.compile(
    r"(overlay|labels|looked-at|all_masks|segmented)\.png|(masks|cutouts|heatmaps)/[^/\\]+\.png"
)


def check_folder(folder: Path) -> None:
    """Make `folder` and see that files can be written into it; raises OutputError if not."""
    probe = folder / f".lexiseg-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"the output folder {str(folder)!r} cannot be written ({error.strerror or error}); "
            "choose another with --out"
        ) from error


def write_results(
    folder: Path,
    picture: imaging.Picture,
    seg: Segmentation,
    words: Sequence[str],
    *,
    heatmaps: bool = False,
    cutouts: bool = False,
    debug_overlay: NDArray[np.uint8] | None = None,
    everything: Masks | None = None,
) -> dict[str, Any]:
    """Write the results of `words` into `folder`, and return what result.json holds.

    everything: the masks of a method that draws them all, drawn too.

    The files are made beside the folder and moved in when all are there, result.json last; files
    of an earlier run that this one does not replace go away, anything else in the folder stays.
    """
    stage = folder.parent / f".{folder.name}.{os.getpid()}.partial"
    try:
        files = _write(stage, picture, seg, words, heatmaps, cutouts, debug_overlay, everything)
        result = result_json(seg, picture=picture, only=words, files=files)
        imaging.write_text(stage / RESULT, json.dumps(result, ensure_ascii=False, indent=1) + "\n")
        written = _flat(files)
        for name in _earlier(folder) - written:
            (folder / name).unlink(missing_ok=True)
        for name in [*sorted(written), RESULT]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(stage / name, folder / name)
    except OSError as error:
        raise OutputError(
            f"the results cannot be written to {str(folder)!r} ({error.strerror or error}); "
            "make room, or choose another folder with --out"
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return result


def _write(
    stage: Path,
    picture: imaging.Picture,
    seg: Segmentation,
    words: Sequence[str],
    heatmaps: bool,
    cutouts: bool,
    debug_overlay: NDArray[np.uint8] | None,
    everything: Masks | None,
) -> dict[str, str | dict[str, str]]:
    """Write all files but result.json into `stage`; return what each is, relative to it."""
    save_overlay(seg, stage / "overlay.png", picture, only=words)
    save_label_map(seg, stage / "labels.png", words)
    files: dict[str, str | dict[str, str]] = {"overlay": "overlay.png", "labels": "labels.png"}
    if debug_overlay is not None:
        imaging.write(stage / "looked-at.png", debug_overlay)
        files["looked_at"] = "looked-at.png"
    if everything is not None:
        imaging.write(stage / "all_masks.png", visualize.mask_overlay(seg, everything, picture))
        imaging.write(stage / "segmented.png", visualize.cutout(seg, words, picture))
        files |= {"all_masks": "all_masks.png", "segmented": "segmented.png"}
    masks = {word: path.name for word, path in save_masks(seg, stage / "masks", words).items()}
    files["masks"] = {word: f"masks/{name}" for word, name in masks.items()}
    if cutouts:
        files["cutouts"] = {word: f"cutouts/{name}" for word, name in masks.items()}
        for word, name in masks.items():
            imaging.write(stage / "cutouts" / name, visualize.cutout(seg, word, picture))
    if heatmaps:
        # Of every word: why one was not found is what a heat map shows.
        names = dict(zip(words, file_names(words), strict=True))
        files["heatmaps"] = {word: f"heatmaps/{names[word]}.png" for word in words}
        for word in words:
            drawn = visualize.heatmap(seg, word, picture)
            imaging.write(stage / "heatmaps" / f"{names[word]}.png", drawn)
    return files


def _flat(files: object) -> set[str]:
    """The file names in the values of `files`, which may be of an earlier run's result.json."""
    if not isinstance(files, dict):
        return set()
    values = [*files.values(), *(name for part in files.values() for name in _flat(part))]
    return {value for value in values if isinstance(value, str)}


def _earlier(folder: Path) -> set[str]:
    """The files that an earlier run left in `folder`, by its result.json."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    named = _flat(result.get("files")) if isinstance(result, dict) else set()
    # Only names that this module gives: the file may have been edited.
    return {name for name in named if _OURS.fullmatch(name)}
