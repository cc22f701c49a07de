"""The benchmark row of instances, on hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import store
from benchmarks.rows.instances import Totals, match
from benchmarks.rows.thing_scores import auc, fit_logistic

from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation
from lexiseg.stages.thing_candidates import FEATURES, WEIGHTS


def test_each_mask_counts_for_one_object_the_best_pair_first() -> None:
    iou = np.array([[0.6, 0.9], [0.55, 0.7], [0.2, 0.1]])
    assert match(iou).tolist() == [True, True]  # mask 0 has object 1, mask 1 has object 0
    assert match(iou[:1]).tolist() == [False, True]
    assert match(np.zeros((0, 2))).tolist() == [False, False]


def test_found_doubles_and_counting_error() -> None:
    size = (50, 90)
    dogs = np.zeros((2, *size), np.bool_)
    dogs[0, :40, :40], dogs[1, :40, 40:80] = True, True
    found = np.stack([dogs[0], dogs[0], dogs.any(0), dogs[1, ::-1]])
    result = Segmentation(
        words=("dog", "cat"),
        labels=np.array(["dog", "dog", "dog", "cat"]),
        scores=np.full(4, 0.5, np.float32),
        masks=Masks.from_dense(found),
        label_map=np.where(dogs[0], 0, -1).astype(np.int16),
        word_scores=np.full(2, 0.5, np.float32),
        provenance=Provenance(method="made", encoder="tests"),
    )
    total = Totals()
    total.add(result, dogs, ["dog", "dog"])
    values = total.values()
    # Both dogs are found: one by its own mask, the other by that of both, whose IoU is a half.
    assert (values["objects"], values["found"], values["doubles"]) == (2, 2, 1)
    assert (values["held"], values["found_of_held"]) == (1, 1)
    assert values["count_error"] == pytest.approx((1 + 1) / 2)  # dogs 3 for 2, cats 1 for 0


def test_the_numbers_that_tell_things_are_those_of_the_committed_fit() -> None:
    result = store.read("thing-scores-tiny")["result"]
    assert tuple(result["weights"]) == WEIGHTS
    assert len(WEIGHTS) == len(FEATURES) + 1
    assert result["auc_shipped"] == pytest.approx(result["auc"], abs=0.01)


def test_a_logistic_fit_leaves_no_slope_and_finds_the_rule_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(size=(20_000, 2)) * (1.0, 50.0) + (0.0, 10.0)
    rule = known @ (2.0, -0.04) + 0.4
    good = rng.random(len(known)) < 1 / (1 + np.exp(-rule))
    found = fit_logistic(known, good, 1e-6)
    np.testing.assert_allclose(found, (2.0, -0.04, 0.4), rtol=0.1)
    chance = 1 / (1 + np.exp(-(known @ found[:2] + found[2])))
    slopes = np.column_stack([known, np.ones(len(known))]).T @ (good - chance)
    assert (np.abs(slopes) < 1e-3).all()
    assert np.abs(fit_logistic(known, good, 1e6)[:2]).max() < 0.02  # a penalty shrinks


def test_auc_counts_pairs_and_halves_of_ties() -> None:
    good = np.array([True, False, True, False, False])
    score = np.array([0.9, 0.1, 0.5, 0.5, 0.7])
    assert auc(score, good) == pytest.approx((3 + 1 + 0.5) / 6)
