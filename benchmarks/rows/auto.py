"""The words that a photo is given where nobody asked for any: are they there, and are they all?"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.rows.common import load, markdown, open_data, percent
from lexiseg.prompts import general_terms, group_synonyms

ABOUT = "words that photos are given without being asked, against the annotations"
NEEDS = ("data",)
SETS = ("coco-panoptic", "coco", "voc", "msrc", "camvid")
LARGE = 0.02  # of the pixels: what should be named


def run(options: Namespace) -> dict[str, Any]:
    """Name what every photo shows, and judge the words by the classes that its annotation holds."""
    from lexiseg import imaging

    segmenter = load(options)
    out = []
    for data in (one for one in open_data(options) if one.name in SETS):
        things = [c for k, c in enumerate(data.classes) if k != data.background_index]
        right = wrong = large = named = words = 0
        for sample in data:
            rgb = imaging.read(sample.path).rgb
            labels = sample.labels(rgb.shape[:2])
            result = segmenter(rgb)
            shares = {c: float((labels == data.classes.index(c)).mean()) for c in things}
            there = [c for c, share in shares.items() if share > 0]
            verdicts = [judge(word, things, there) for word in result.found]
            words += len(verdicts)
            right += verdicts.count(True)
            wrong += verdicts.count(False)
            wanted = [c for c, share in shares.items() if share >= LARGE]
            large += len(wanted)
            named += sum(any(same(word, c) for word in result.found) for c in wanted)
        out.append(
            {
                "set": data.name,
                "photos": len(data),
                "words": round(words / len(data), 2),
                "judged": right + wrong,
                "precision": round(right / max(1, right + wrong), 4),
                "large": large,
                "recall": round(named / max(1, large), 4),
            }
        )
    return {"sets": out, "min_share": LARGE}


def table(result: dict[str, Any]) -> str:
    """Return a line a set."""
    lines = [
        [
            one["set"],
            one["photos"],
            one["words"],
            one["judged"],
            percent(one["precision"]),
            percent(one["recall"]),
        ]
        for one in result["sets"]
    ]
    head = ["set", "photos", "words a photo", "judged", "of them there, %", "large ones named, %"]
    return (
        f"{markdown(head, lines)}\n\nA word is judged by a set that has it, or what it is a kind "
        "of, among its classes: there, where the photo's annotation holds it. Large: annotated "
        f"classes of at least {percent(result['min_share'], 0)} % of the pixels."
    )


def judge(word: str, classes: Sequence[str], there: Iterable[str]) -> bool | None:
    """Return whether the annotation holds a word; None where the set has no class for it."""
    if any(same(word, one) for one in there):
        return True
    return False if any(same(word, one) for one in classes) else None


def same(word: str, other: str) -> bool:
    """Return whether two words mean the same, or one is a kind of the other."""
    if len(group_synonyms([word, other])) == 1:
        return True
    one, two = general_terms(word), general_terms(other)
    return one[0] in two or two[0] in one
