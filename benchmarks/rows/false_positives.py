"""Does the model paint a word on photos that cannot hold it?

Photos of ImageNet's classes that no training had (``is_held_out``), and for each word the classes
on whose photos it cannot be: a person is asked for on animals, a dog on birds and food.
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.machine import Unmeasurable
from benchmarks.rows.common import load, markdown, percent

ABOUT = "photos that cannot hold a word on which it gets more than 2 % of the pixels"
NEEDS = ("data:imagenet1000",)
SET, MOST = "imagenet1000", 0.02
ASKED = ("person", "car", "tree", "dog", "building")
# By number of the class, as ImageNet counts: animals are 0 to 397, dogs and their kin 151 to 280,
# cats 281 to 293, food 924 to 969; fish, fowl and crabs may be food.
ANIMALS = range(398)
CANNOT_HOLD = {
    "person": (*ANIMALS,),
    "car": (*ANIMALS, *range(924, 970)),
    "dog": (*range(151), *range(294, 398), *range(924, 970)),
    "chair": (*range(151), *range(286, 398), *range(924, 970)),
    "food": (*range(9, 118), *range(127, 389)),
}
# All of these photos were looked at: in four of them people hold the dog, or are beside it, and
# behind one cars are parked.
SEEN = {
    "person": ("n02097298", "n02098286", "n02106166", "n02112018"),
    "car": ("n02106166",),
}


def run(options: Namespace) -> dict[str, Any]:
    """Ask for each word among a few others on every photo that cannot hold it."""
    from lexiseg import imaging
    from lexiseg.training.tiny.photos import ABSENT, is_held_out

    roots = [Path(place) for place in options.data]
    folders = [place for root in roots for place in (root, root / SET) if place.name == SET]
    photos = sorted(path for root in folders for path in (root / "train" / "images").glob("*.webp"))
    if not photos:
        raise Unmeasurable(f"there are no photos of {SET!r} in {options.data}")
    classes = _class_numbers(photos[0].parents[2])
    kept = [path for path in photos if is_held_out(ABSENT, path.stem)]
    kept = kept[: options.limit] if options.limit else kept
    segmenter = load(options)
    out = []
    for word, numbers in CANNOT_HOLD.items():
        asked = list(dict.fromkeys([*ASKED, word]))
        shares = {
            path.stem: segmenter(imaging.read(path).rgb, asked).share(word)
            for path in kept
            if classes[path.stem] in numbers
        }
        painted = sorted(name for name, share in shares.items() if share > MOST)
        seen = sorted(set(SEEN.get(word, ())) & set(shares))
        wrong = [name for name in painted if name not in seen]
        out.append(
            {
                "word": word,
                "photos": len(shares) - len(seen),
                "wrong": len(wrong),
                "on": wrong,
                "seen": seen,
                "found": len(painted) - len(wrong),
            }
        )
    return {"set": SET, "min_share": MOST, "asked": list(ASKED), "words": out}


def table(result: dict[str, Any]) -> str:
    """Return a line a word."""
    lines = [
        [
            one["word"],
            one["photos"],
            one["wrong"],
            percent(one["wrong"] / one["photos"] if one["photos"] else None),
            f"{one['found']} of {len(one['seen'])}",
        ]
        for one in result["words"]
    ]
    head = ["word", "photos without it", "painted on", "%", "found where it is"]
    return (
        f"{markdown(head, lines)}\n\nPhotos of "
        f"{result['set']} that no training had, of classes that cannot hold the word; painted: "
        f"more than {percent(result['min_share'], 0)} % of the pixels, asked among "
        f"{', '.join(result['asked'])}. All photos were looked at: those that do hold the word all "
        "the same are counted in the last column alone."
    )


def _class_numbers(root: Path) -> dict[str, int]:
    """The class of each photo: files are named by WordNet's numbers."""
    card = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    return {wnid: number for number, wnid in enumerate(card["wnids"])}
