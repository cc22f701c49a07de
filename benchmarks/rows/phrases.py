"""Do phrases choose the right thing of its noun's, and find nothing where they are false?"""

from __future__ import annotations

import random
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.annotated_phrases import (
    Asked,
    Photo,
    annotated_photos,
    place_phrases,
    related_phrases,
)
from benchmarks.rows.common import markdown, percent, progress
from lexiseg.masks import Masks

ABOUT = "phrases built from annotations: the right thing of its noun's chosen, false ones refused"
NEEDS = ("data",)
SAME, RECOLOURED, ROUNDS, SEED = 0.5, 200, 4, 0
# Focal colours of English, placed by hand after Sturges and Whitfield (1995), as sRGB.
FOCAL = {
    "black": "#1a1a1a", "white": "#f2f2f2", "grey": "#808080", "red": "#c0202c",
    "orange": "#f08020", "yellow": "#f5d020", "green": "#208a3c", "blue": "#2060c0",
    "purple": "#803c9c", "pink": "#f49cb4", "brown": "#6c4428",
}  # fmt: skip
Score = dict[str, dict[str, list[float]]]


def run(options: Namespace) -> dict[str, Any]:
    """Ask every phrase of pictures in which the noun's things were all found.

    A thing is found where an instance of its noun has an IoU of 0.5 with it; a phrase is right
    where it keeps one instance, and that one is the thing. Beside it the phrase as a plain word,
    whose best instance counts. Colours: photos with one thing of a noun, beside their mirrored
    copy, the thing recoloured in either to another of the eleven basic colours; the phrase must
    choose the right one of the two, and that of a third colour must find nothing. Photos are taken
    again in other colours until there are enough pairs of which both things were found.
    """
    import lexiseg

    photos = list(annotated_photos(list(options.data), options.split, options.limit))
    segmenter: Any = lexiseg.load(options.method, device=options.device)
    plain: Any = lexiseg.load(replace(segmenter.config, phrases=False), device=options.device)
    show = progress("phrases")
    scores: Score = {}
    for done, photo in enumerate(photos, start=1):
        _places(segmenter, plain, photo, scores)
        if show is not None:
            show(done, len(photos))
    return {
        "kinds": {kind: _means(parts) for kind, parts in sorted(scores.items())},
        "colours": _colours(segmenter, plain, photos),
        "photos": len(photos),
        "seed": SEED,
    }


def table(result: dict[str, Any]) -> str:
    """Return a line for each kind of phrases, those of colours last."""
    lines = [
        [kind, mean["count"], percent(mean["phrase"]), percent(mean["plain"])]
        for kind, mean in result["kinds"].items()
    ]
    made = result["colours"]
    wrong = {name: None if made[name] is None else 1 - made[name]
             for name in ("false", "false_plain")}  # fmt: skip
    lines += [
        ["colour, the right of two", made["count"], percent(made["right"]),
         percent(made["right_plain"])],
        ["colour, false", made["count"], percent(wrong["false"]), percent(wrong["false_plain"])],
    ]  # fmt: skip
    return (
        f"{markdown(['phrases', 'asked', 'right, %', 'as a plain word, %'], lines)}\n\n"
        f"{result['photos']} photos of coco, voc, msrc and davis; only phrases about nouns whose "
        "things were all found count, and of relations what the thing stands to. A false phrase is "
        "right where it finds nothing. Colours: "
        f"{made['count']} of {made['drawn']} pairs, the others' things were not found."
    )


def _places(segmenter: Any, plain: Any, photo: Photo, scores: Score) -> None:
    """Ask all phrases about a photo's things."""
    whole = photo.set_name != "davis"  # whose masks are of one thing alone
    asked = {
        noun: place_phrases(noun, masks, all_there=whole)
        for noun, masks in photo.things.items()
        if not photo.small.get(noun)
    }
    related = related_phrases(photo)
    if not any(asked.values()) and not related:
        return
    from lexiseg import imaging

    view = segmenter.prepare(imaging.read(photo.path))
    for noun, phrases in asked.items():
        if not phrases:
            continue
        words = [noun, *(one.phrase for one in phrases)]  # about one noun: one question
        out = segmenter(view, words)
        if _all_found(out[noun], photo.things[noun]):
            for one in phrases:
                _score(out[one.phrase], plain, view, one, photo.things[noun], scores)
    for one in related:
        other, place = one.other or (one.noun, 0)
        out = segmenter(view, [one.noun, other, one.phrase])
        both = [(one.noun, one.target or 0), (other, place)]
        if all(_all_found(out[noun], photo.things[noun][[k]]) for noun, k in both):
            _score(out[one.phrase], plain, view, one, photo.things[one.noun], scores)


def _score(found: Masks, plain: Any, view: Any, asked: Asked, things: Masks, scores: Score) -> None:
    entry = scores.setdefault(asked.kind, {"phrase": [], "plain": []})
    entry["phrase"].append(_right(found, asked, things))
    entry["plain"].append(_right(_best(plain(view, [asked.phrase])), asked, things))


def _right(found: Masks, asked: Asked, things: Masks) -> float:
    if asked.target is None:
        return float(len(found) == 0)
    iou = found.iou(things[[asked.target]])
    return float(len(found) == 1 and iou[0, 0] >= SAME)


def _all_found(found: Masks, things: Masks) -> bool:
    """Whether each thing has an instance of its own."""
    iou = found.iou(things) >= SAME
    return bool(len(found) and iou.any(0).all() and len(set(iou.argmax(0).tolist())) == len(things))


def _means(parts: dict[str, list[float]]) -> dict[str, float]:
    means = {name: round(float(np.mean(values)), 4) for name, values in parts.items() if values}
    return {"count": len(parts["phrase"]), **means}


def _colours(segmenter: Any, plain: Any, photos: Sequence[Photo]) -> dict[str, Any]:
    """Recolour single things until enough were found; score the phrases about their colours."""
    rng = random.Random(SEED)
    places = [
        (photo, noun)
        for photo in photos
        for noun, masks in photo.things.items()
        if len(masks) == 1 and not photo.small.get(noun) and photo.set_name != "davis"
    ]
    rng.shuffle(places)
    right: dict[str, list[float]] = {name: [] for name in ("phrase", "plain")}
    false: dict[str, list[float]] = {name: [] for name in ("phrase", "plain")}
    show = progress("colours")
    drawn = 0
    for photo, noun in places * ROUNDS:
        if len(right["phrase"]) >= RECOLOURED:
            break
        drawn += 1
        first, second, third = rng.sample(sorted(FOCAL), 3)
        rgb, things = _twice(photo, noun, first, second)
        view = segmenter.prepare(rgb)
        true, other = _coloured(noun, first), _coloured(noun, third)
        out = segmenter(view, [noun, true, other])
        if not _all_found(out[noun], things):
            continue
        asked = Asked("colour", true, noun, 0)
        right["phrase"].append(_right(out[true], asked, things))
        false["phrase"].append(float(len(out[other]) > 0))
        right["plain"].append(_right(_best(plain(view, [true])), asked, things))
        false["plain"].append(float(len(plain(view, [other])) > 0))
        if show is not None:
            show(len(right["phrase"]), RECOLOURED)
    return {
        "drawn": drawn,
        "count": len(right["phrase"]),
        "right": _share(right["phrase"]),
        "right_plain": _share(right["plain"]),
        "false": _share(false["phrase"]),
        "false_plain": _share(false["plain"]),
    }


def _coloured(noun: str, colour: str) -> str:
    """A noun in a colour; of people it is that of what they wear."""
    return f"person in {colour}" if noun == "person" else f"{colour} {noun}"


def _best(found: Any) -> Masks:
    """The mask of the best instance, none where there is none."""
    masks: Masks = found.masks
    return masks[[int(np.argmax(found.scores))]] if len(found) else masks


def _twice(photo: Photo, noun: str, first: str, second: str) -> tuple[NDArray[np.uint8], Masks]:
    """A photo beside its mirrored copy, its thing in one colour and in the other; both things."""
    from lexiseg import edit, imaging

    rgb = imaging.read(photo.path).rgb
    masks = photo.things[noun]
    left = edit.recolour(rgb, masks, FOCAL[first]).rgb
    right = edit.recolour(rgb, masks, FOCAL[second]).rgb[:, ::-1]
    mask = masks.mask(0)
    empty = np.zeros_like(mask)
    both = [np.concatenate([mask, empty], 1), np.concatenate([empty, mask[:, ::-1]], 1)]
    return np.concatenate([left, right], 1), Masks.from_dense(np.stack(both))


def _share(values: Iterable[float]) -> float | None:
    made = list(values)
    return round(float(np.mean(made)), 4) if made else None
