"""Fits what tells masks that are a thing of their word: the numbers in `stages/thing_candidates`.

Run it on training photos (`--split train`); the result file holds the numbers, and how well they
tell things on photos that they were not fitted on.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows.common import markdown, percent, progress
from benchmarks.rows.instances import SAME, check, instances_file, truth_of
from lexiseg.stages.thing_candidates import (
    FEATURES,
    Candidates,
    features,
    propose_things,
    thing_probabilities,
)

__all__ = ["ABOUT", "NEEDS", "auc", "check", "fit_logistic", "run", "table"]

ABOUT = "numbers that tell masks which are things, fitted on photos with instances"
NEEDS = ("data", "package:pycocotools")
PROMPTS = 20  # places asked in a photo
FOLDS, PENALTY = 5, 1.0
Floats = NDArray[np.float64]


def run(options: Namespace) -> dict[str, Any]:
    """Fit on all photos; judge on each fifth of them by what the other four fifths give."""
    known, good, photo = _candidates(options)
    apart = np.zeros(len(good))
    for fold in range(FOLDS):
        mine = photo % FOLDS == fold
        weights = fit_logistic(known[~mine], good[~mine], PENALTY)
        apart[mine] = _scores(known[mine], weights)
    shipped = thing_probabilities(_tensor(known)).numpy()
    return {
        "weights": [round(float(w), 3) for w in fit_logistic(known, good, PENALTY)],
        "photos": int(photo.max()) + 1,
        "candidates": len(good),
        "things": int(good.sum()),
        "auc": round(auc(apart, good), 4),
        "auc_shipped": round(auc(shipped, good), 4),
        "auc_of_features": [round(auc(column, good), 4) for column in known.T],
    }


def table(result: dict[str, Any]) -> str:
    """Return a line a feature."""
    aucs = [*(percent(max(a, 1 - a)) for a in result["auc_of_features"]), "-"]
    lines = [
        [name, f"{weight:g}", area]
        for name, weight, area in zip([*FEATURES, "constant"], result["weights"], aucs, strict=True)
    ]
    return (
        f"{markdown(['feature', 'weight', 'AUC alone'], lines)}\n\n"
        f"{result['candidates']:,} masks of {result['photos']} training photos, of which "
        f"{result['things']:,} have an IoU of at least {SAME} with a thing of their word. AUC, the "
        "chance that such a mask scores above another one, in percent: "
        f"{percent(result['auc'])} on photos left out of the fit, {percent(result['auc_shipped'])} "
        "by the numbers in the package."
    )


def fit_logistic(known: Floats, good: NDArray[np.bool_], penalty: float) -> Floats:
    """Return the weights of columns (M, F), and a constant, (F + 1,): logistic regression.

    penalty: of squared weights of columns of variance 1. By Newton's method (iteratively reweighted
    least squares), to convergence.
    """
    mean, spread = known.mean(0), known.std(0) + 1e-9
    x = np.column_stack([(known - mean) / spread, np.ones(len(known))])
    ridge = penalty * np.append(np.ones(known.shape[1]), 0)
    weights = np.zeros(x.shape[1])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (good - chance) - ridge * weights
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curve, slope)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    scaled = weights[:-1] / spread
    return np.append(scaled, weights[-1] - scaled @ mean)


def auc(score: NDArray[np.floating], good: NDArray[np.bool_]) -> float:
    """Return how often a good one scores above another, ties counting half."""
    values, number = np.unique(score, return_inverse=True)
    counts = np.bincount(number, minlength=len(values))
    rank = (np.cumsum(counts) - (counts - 1) / 2)[number]
    ours = int(good.sum())
    return float((rank[good].sum() - ours * (ours + 1) / 2) / max(ours * (len(good) - ours), 1))


def _scores(known: Floats, weights: Floats) -> Floats:
    return np.asarray(known @ weights[:-1] + weights[-1])


def _tensor(known: Floats) -> Any:
    import torch

    return torch.from_numpy(known.astype(np.float32))


def _candidates(options: Namespace) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Features of all candidates, (M, F), which are things, and the number of the photo of each."""
    import lexiseg
    from lexiseg.methods.dense import Segmenter

    path = instances_file(options)
    truth, names = truth_of(path)
    whole: Any = lexiseg.load(options.method, device=options.device, instances="masks")
    segmenter = Segmenter(whole.encoder, replace(whole.config, instances="off"), whole.masker)
    show = progress("thing-scores")
    photos = sorted(truth.imgs)[: options.limit]
    known, good, photo = [], [], []
    for number, key in enumerate(photos):
        objects = [one for one in truth.imgToAnns[key] if not one["iscrowd"]]
        masks = [truth.annToMask(one).astype(bool) for one in objects]
        words = np.array([names.index(truth.cats[one["category_id"]]["name"]) for one in objects])
        asked = _ask(segmenter, path.parent / truth.imgs[key]["file_name"], names)
        if asked is not None:
            some = np.flatnonzero(asked.masks.flatten(1).any(1).numpy())
            known.append(features(asked).numpy()[some])
            good.append(_are_things(asked, masks, words)[some])
            photo.append(np.full(len(some), number))
        if show is not None:
            show(number + 1, len(photos))
    return np.concatenate(known).astype(np.float64), np.concatenate(good), np.concatenate(photo)


def _ask(segmenter: Any, path: Path, names: list[str]) -> Candidates | None:
    """The candidates of a photo for all words."""
    view, vocabulary = segmenter.prepare(path), segmenter.vocabulary(names)
    labels = segmenter(view, names).label_map
    state = segmenter.masker.encode(view.picture.rgb, segmenter.backbone_maps(view))
    return propose_things(
        segmenter.masker, state, labels, segmenter.score_map(view, vocabulary), len(names),
        max_prompts=PROMPTS, min_area=max(1, round(segmenter.config.min_share * labels.size)),
    )  # fmt: skip


def _are_things(
    asked: Candidates, masks: list[NDArray[np.bool_]], words: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which candidates have the IoU with an object of their word, both on the mask model's grid."""
    import cv2

    frame, found = asked.raw.frame, asked.masks.numpy()
    h, w = found.shape[1:]
    inner = tuple(
        round(cells * given / padded)
        for cells, given, padded in zip((h, w), frame.input_hw, frame.padded_hw, strict=True)
    )
    best = np.zeros(len(found))
    for mask, word in zip(masks, words.tolist(), strict=True):
        there = np.zeros((h, w), np.bool_)
        small = cv2.resize(mask.astype(np.float32), inner[::-1], interpolation=cv2.INTER_AREA)
        there[: inner[0], : inner[1]] = small >= 0.5
        common = (found & there).sum((1, 2))
        iou = common / np.maximum((found | there).sum((1, 2)), 1)
        best = np.maximum(best, np.where(asked.class_ids == word, iou, 0))
    return np.asarray(best >= SAME)
