"""What result.json holds about one picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lexiseg.imaging import Picture
from lexiseg.prompts.phrases import PhraseReading
from lexiseg.results import Segmentation

__all__ = ["SCHEMA_VERSION", "result_json"]

SCHEMA_VERSION = 1  # grows when a key changes its name or meaning, not when one is added


def result_json(
    seg: Segmentation,
    *,
    picture: Picture | None = None,
    path: str | None = None,
    only: Iterable[str] | None = None,
    files: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Return a result as dicts, lists, strings and numbers, ready for json.dumps.

    schema_version: 1.
    image: file_name (None without one), path, height, width in pixels, notes from reading it.
    files: as given.
    vocabulary: word, index in the label map, score in [0, 1], share of the picture in [0, 1] and
        pixels, also those on which the label map shows a part or kind of it, and whether the model
        knows the word.
    instances: word, score, quality (or None), area in pixels, box_xywh in pixels, and rle, a
        compressed COCO run length; any COCO tool reads it.
    unknown: word, the nearest words that the model knows, similarity in [-1, 1], and whether it is
        a name of a person or brand.
    phrases: of words that are phrases: word, read_as, nouns, the instances of its noun that were
        found and kept, those that were dropped (box_xywh, score, reason), and the reason why
        none is meant (or None).
    provenance: as `Provenance.to_json`.

    picture: what was segmented, for its name and notes. path: where it lies, as seen from the
    folder of the file that is made of this, for whoever finds that.
    only: keep these words alone. Raises WordNotAsked for one outside the vocabulary.
    """
    words = list(seg.words) if only is None else list(dict.fromkeys(only))
    unknown = {item.word for item in seg.unknown}
    height, width = seg.size_hw
    return {
        "schema_version": SCHEMA_VERSION,
        "image": {
            "file_name": picture.path.name if picture is not None and picture.path else None,
            **({} if path is None else {"path": path}),
            "height": height,
            "width": width,
            "notes": list(picture.notes) if picture is not None else [],
        },
        "files": dict(files or {}),
        "vocabulary": [
            {
                "word": word,
                "index": seg.index(word),
                "score": _rounded(seg.word_scores[seg.index(word)]),
                "share": _rounded(seg.share(word)),
                "pixels": int(seg.pixels[seg.index(word)]),
                "known": word not in unknown,
            }
            for word in words
        ],
        "instances": _instances(seg, set(words)),
        "unknown": [
            {
                "word": item.word,
                "nearest": list(item.nearest),
                "similarity": _rounded(item.similarity),
                "is_name": item.is_name,
            }
            for item in seg.unknown
            if item.word in words
        ],
        "phrases": [_reading(one) for one in seg.readings if one.phrase in words],
        "provenance": seg.provenance.to_json(),
    }


def _reading(reading: PhraseReading) -> dict[str, Any]:
    return {
        "word": reading.phrase,
        "read_as": reading.read_as,
        "nouns": list(reading.nouns),
        "found": reading.num_instances,
        "kept": reading.num_kept,
        "dropped": [
            {
                "box_xywh": [x0, y0, x1 - x0, y1 - y0],
                "score": _rounded(one.score),
                "reason": one.reason,
            }
            for one in reading.dropped
            for x0, y0, x1, y1 in [one.box_xyxy]
        ],
        "reason": reading.reason,
    }


def _instances(seg: Segmentation, words: set[str]) -> list[dict[str, Any]]:
    selected = seg[[i for i, word in enumerate(seg.labels.tolist()) if word in words]]
    return [
        {
            "word": word,
            "score": _rounded(score),
            "quality": None if selected.quality is None else _rounded(selected.quality[i]),
            "area": int(selected.masks.areas[i]),
            "box_xywh": [x0, y0, x1 - x0, y1 - y0],
            "rle": rle,
        }
        for i, (word, score, (x0, y0, x1, y1), rle) in enumerate(
            zip(
                selected.labels.tolist(),
                selected.scores.tolist(),
                selected.masks.boxes_xyxy.tolist(),
                selected.masks.to_rle(),
                strict=True,
            )
        )
    ]


def _rounded(value: float) -> float:
    """Return a number with six decimals: float32 has no more."""
    return round(float(value), 6)
