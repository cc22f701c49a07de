"""The benchmark row of instances, on hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.rows.instances import Totals, match

from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation


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
