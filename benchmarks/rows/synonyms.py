"""Synonyms that the model was not trained on, in place of the class names that it was."""

from __future__ import annotations

import random
from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks import vocabulary
from benchmarks.rows.common import load, markdown, open_data, percent, progress

ABOUT = "IoU of a class asked by a synonym never trained on, over its IoU by its own name"
NEEDS = ("data", "wordnet")
PAIRS, MOST_OF_A_CLASS, LEAST_IOU, SEED = 30, 2, 0.05, 0


def run(options: Namespace) -> dict[str, Any]:
    """Draw the pairs, evaluate each on the photos that hold its class, and average the ratios.

    In the set's words the synonym takes the place of the class name; nothing else changes.
    Pairs are drawn class by class in an order set by the seed: a class counts in the set with most
    photos of it, with at most two synonyms, and only where its own name reaches an IoU of 0.05.
    """
    from lexiseg.evaluation import evaluate

    segmenter, excluded = load(options), vocabulary.trained(options.method).words
    plain = {}
    for data in open_data(options):
        plain[data.name] = (data, evaluate(segmenter, data, progress=progress(data.name)))
    places = _places(plain)
    order = sorted(places)
    random.Random(SEED).shuffle(order)
    pairs: list[dict[str, Any]] = []
    for name in order:
        data, found = plain[places[name]]
        index = data.classes.index(name)
        photos = np.flatnonzero(found.matrix.truth_areas()[:, index])
        own = found.matrix.subset(photos).iou()[index]
        if own < LEAST_IOU:
            continue
        lemmas = vocabulary.synonyms(vocabulary.wordnet(), name, [*excluded, *data.classes])
        for lemma in lemmas[:MOST_OF_A_CLASS]:
            if len(pairs) == PAIRS:
                break
            words = [lemma if one == name else one for one in data.classes]
            subset = data.subset(found.ids[photo] for photo in photos)
            again = evaluate(segmenter, subset, words=words, progress=progress(lemma))
            iou = float(again.matrix.iou()[index])
            pairs.append(
                {
                    "set": data.name,
                    "class": name,
                    "synonym": lemma,
                    "photos": len(photos),
                    "iou_class": round(float(own), 4),
                    "iou_synonym": round(iou, 4),
                    "ratio": round(iou / float(own), 4),
                }
            )
    pairs.sort(key=lambda pair: (pair["class"], pair["synonym"]))
    ratios = [pair["ratio"] for pair in pairs]
    names, synonyms = (
        np.mean([pair[f"iou_{kind}"] for pair in pairs]) for kind in ("class", "synonym")
    )
    return {
        "pairs": pairs,
        "mean_ratio": round(float(np.mean(ratios)), 4),
        "mean_ratio_capped": round(float(np.mean(np.minimum(ratios, 1))), 4),
        "ratio_of_means": round(float(synonyms / names), 4),
        "seed": SEED,
    }


def table(result: dict[str, Any]) -> str:
    """Return the means, and a table of the pairs."""
    lines = [
        [
            pair["class"],
            pair["synonym"],
            pair["set"],
            pair["photos"],
            percent(pair["iou_class"]),
            percent(pair["iou_synonym"]),
            percent(pair["ratio"], 0),
        ]
        for pair in result["pairs"]
    ]
    head = ["class", "synonym", "set", "photos", "IoU by name", "IoU by synonym", "ratio"]
    return (
        f"**{percent(result['mean_ratio'])} %** on average over {len(result['pairs'])} pairs "
        f"({percent(result['mean_ratio_capped'])} % with no pair above 100 %; the mean IoUs are to "
        f"each other as {percent(result['ratio_of_means'])} %). Synonyms are WordNet lemmas of the "
        "classes, drawn by the rule in `benchmarks/vocabulary.py`; none is among the words that "
        "the picture side was trained on. The package's own dictionary is made of WordNet too, and "
        f"tells the model which known word most of them stand for.\n\n{markdown(head, lines)}"
    )


def _places(plain: dict[str, Any]) -> dict[str, str]:
    """Return, by class, the set with most photos of it; backgrounds and absent classes aside."""
    best: dict[str, tuple[int, str]] = {}
    for data, found in plain.values():
        for index, photos in enumerate(found.matrix.class_photos):
            name = data.classes[index]
            if photos and index != data.background_index:
                best[name] = max(best.get(name, (0, "")), (int(photos), data.name))
    return {name: place for name, (_, place) in best.items()}
