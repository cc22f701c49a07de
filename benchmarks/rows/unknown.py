"""Does the model say so when it does not know a word, and is it silent when it does?"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from benchmarks import vocabulary
from benchmarks.machine import ROOT
from benchmarks.rows.common import load, markdown, percent

ABOUT = "share of far-away nouns flagged as unknown, and of trained words that are not"
NEEDS = ("wordnet",)
NOUNS, COMMONEST, SEED = 50, 100, 0
PHOTO = ROOT / "examples" / "photos" / "street.jpg"
_AT_ONCE = 100


def run(options: Namespace) -> dict[str, Any]:
    """Ask for nouns from far away, and for every word that the model was trained on."""
    segmenter, trained = load(options), vocabulary.trained(options.method)
    far = vocabulary.far_nouns(vocabulary.wordnet(), trained.words)
    asked = vocabulary.draw(far[:COMMONEST], NOUNS, SEED)
    found = _flagged(segmenter, asked)
    return {
        "asked": [
            {
                "word": word,
                "flagged": word in found,
                "nearest": list(found[word].nearest[:3]) if word in found else [],
            }
            for word in asked
        ],
        "flagged": round(len(found) / len(asked), 4),
        "far_nouns": len(far),
        "seed": SEED,
        "trained": _silence(segmenter, trained.words),
        "trained_with_masks": _silence(segmenter, trained.known),
    }


def table(result: dict[str, Any]) -> str:
    """Return the shares, and the words on which the model was wrong."""
    missed = [entry["word"] for entry in result["asked"] if not entry["flagged"]]
    lines = [
        [f"{len(result['asked'])} nouns from far away, flagged", percent(result["flagged"])],
        *(
            [f"{result[key]['words']} {label}, silent", percent(result[key]["silent"])]
            for key, label in [
                ("trained", "words trained on"),
                ("trained_with_masks", "of them with masks"),
            ]
        ),
    ]
    return (
        f"{markdown(['words', '%'], lines)}\n\n"
        f"Taken for known: {', '.join(missed) or 'none'}. The nouns are drawn by the rule in "
        "`benchmarks/vocabulary.py`."
    )


def _silence(segmenter: Any, words: Sequence[str]) -> dict[str, Any]:
    flagged = _flagged(segmenter, words)
    silent = round(1 - len(flagged) / len(words), 4)
    return {"words": len(words), "silent": silent, "flagged": sorted(flagged)}


def _flagged(segmenter: Any, words: Sequence[str]) -> dict[str, Any]:
    """Return what the segmenter says of the words that it calls unknown, by word."""
    from lexiseg import imaging

    image = imaging.read(PHOTO).rgb[::4, ::4]  # the words are asked about; any picture does
    found = {}
    for start in range(0, len(words), _AT_ONCE):
        for one in segmenter(image, list(words[start : start + _AT_ONCE])).unknown:
            found[one.word] = one
    return found
