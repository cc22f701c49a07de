"""Data sets as sources of a run: a row for each photo, with the words that the set has for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lexiseg.batch.tables import Row
from lexiseg.datasets import FewShotDataset, InstanceDataset, PhraseDataset, SemanticDataset
from lexiseg.datasets.catalogue import AnyDataset

__all__ = ["rows_of"]


def rows_of(data: AnyDataset, *, words: bool) -> list[Row]:
    """Return a row for each photo of an open data set, in its order; of videos for each frame.

    words: ask its classes, closed where it has no background; of phrases those of the photo.
    Otherwise rows name pictures alone, as those of videos always do.
    """
    asked: dict[str, Any] = {}
    if words and isinstance(data, SemanticDataset | InstanceDataset | FewShotDataset):
        behind = getattr(data, "background_index", None)
        asked["words"] = [name for i, name in enumerate(data.classes) if i != behind]
        if isinstance(data, SemanticDataset) and behind is None:
            asked["background"] = "none"
    by_photo: dict[Path, list[str]] = {}
    for path, phrase in _photos(data):
        by_photo.setdefault(path, []).extend(phrase)
    rows = []
    for number, (path, phrases) in enumerate(by_photo.items(), start=1):
        given = {"picture": str(path), **asked}
        if words and phrases:
            given["words"] = list({one.casefold(): one for one in reversed(phrases)}.values())[::-1]
        rows.append(Row(f"{data.name}/{data.split}, photo {number}", given))
    return rows


def _photos(data: AnyDataset) -> Iterator[tuple[Path, Iterable[str]]]:
    """The photos, each with what is said of it; those of several phrases come several times."""
    if isinstance(data, PhraseDataset):
        yield from ((one.path, (one.phrase,)) for one in data)
    elif isinstance(data, SemanticDataset | InstanceDataset):
        yield from ((one.path, ()) for one in data.samples)
    elif isinstance(data, FewShotDataset):
        yield from ((one.path, ()) for one in data.samples.values())
    else:
        yield from ((frame, ()) for video in data for frame in video.frames)
