"""What result.json holds about one picture, and reading it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lexiseg.errors import InputError
from lexiseg.imaging import Picture
from lexiseg.masks import Masks
from lexiseg.prompts.phrases import Dropped, PhraseReading
from lexiseg.results import PromptSummary, Provenance, Segmentation, UnknownWord

__all__ = ["SCHEMA_VERSION", "result_json", "segmentation_from_json"]

SCHEMA_VERSION = 1  # grows when a key changes its name or meaning, not when one is added


def result_json(
    seg: Segmentation,
    *,
    picture: Picture | None = None,
    path: str | None = None,
    only: Iterable[str] | None = None,
    files: Mapping[str, object] | None = None,
    label_map: bool = False,
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
    label_map, where it is asked for: word -> compressed COCO run length of its pixels in the label
        map; wholes: the same of words under finer ones. With them, `segmentation_from_json` makes
        the result again.

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
        **(_maps(seg) if label_map else {}),
    }


def segmentation_from_json(document: Mapping[str, Any]) -> Segmentation:
    """Return the result that `result_json(seg, label_map=True)` was made of.

    Masks and label map are the same; scores have six decimals. Probability map and image are not
    in it. Raises InputError for a document that does not hold a result, or another schema.
    """
    if document.get("schema_version") != SCHEMA_VERSION or "label_map" not in document:
        raise InputError(
            f"a result of schema {document.get('schema_version')!r} "
            f"{'with' if 'label_map' in document else 'without'} label map; give one of schema "
            f"{SCHEMA_VERSION}, made by result_json(seg, label_map=True)"
        )
    try:
        return _segmentation(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the result is incomplete or damaged ({error!r}); ask for it again"
        ) from (error)


def _segmentation(document: Mapping[str, Any]) -> Segmentation:
    size_hw = int(document["image"]["height"]), int(document["image"]["width"])
    words = tuple(item["word"] for item in document["vocabulary"])
    kind = np.int16 if len(words) < np.iinfo(np.int16).max else np.int32
    label_map = np.full(size_hw, -1, kind)
    for word, rle in document["label_map"].items():
        label_map[Masks.from_rle([rle]).union()] = words.index(word)
    instances = document["instances"]
    quality = [item["quality"] for item in instances]
    return Segmentation(
        words=words,
        labels=np.array([item["word"] for item in instances], np.str_),
        scores=np.array([item["score"] for item in instances], np.float32),
        quality=None if None in quality else np.array(quality, np.float32),
        masks=Masks.from_rle([item["rle"] for item in instances], size_hw),
        label_map=label_map,
        word_scores=np.array([item["score"] for item in document["vocabulary"]], np.float32),
        unknown=tuple(
            UnknownWord(item["word"], tuple(item["nearest"]), item["similarity"], item["is_name"])
            for item in document["unknown"]
        ),
        readings=tuple(_phrase_reading(item) for item in document["phrases"]),
        wholes={word: Masks.from_rle([rle]) for word, rle in document["wholes"].items()},
        provenance=_provenance(document["provenance"]),
    )


def _phrase_reading(item: Mapping[str, Any]) -> PhraseReading:
    dropped = []
    for one in item["dropped"]:
        x, y, w, h = one["box_xywh"]
        dropped.append(Dropped((x, y, x + w, y + h), one["score"], one["reason"]))
    return PhraseReading(
        phrase=item["word"],
        read_as=item["read_as"],
        nouns=tuple(item["nouns"]),
        num_instances=item["found"],
        num_kept=item["kept"],
        dropped=tuple(dropped),
        reason=item["reason"],
    )


def _provenance(plain: Mapping[str, Any]) -> Provenance:
    prompts = plain["prompts"]
    summary = None
    if prompts:
        summary = PromptSummary(
            num_prompts=prompts["asked"],
            grid_size=prompts.get("grid"),
            num_masks=prompts.get("masks"),
            points_xy=prompts.get("points_xy"),
            boxes_xyxy=prompts.get("boxes_xyxy"),
        )
    return Provenance(**{**plain, "prompts": summary, "notes": tuple(plain["notes"])})


def _maps(seg: Segmentation) -> dict[str, Any]:
    """The label map and the wholes, a run length a word."""
    found = [k for k, word in enumerate(seg.words) if word in seg.found]
    each = Masks.from_labels(seg.label_map, found)
    return {
        "label_map": {seg.words[k]: rle for k, rle in zip(found, each.to_rle(), strict=True)},
        "wholes": {word: whole.to_rle()[0] for word, whole in seg.wholes.items()},
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
        "by_whole_phrase": reading.by_whole,
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
