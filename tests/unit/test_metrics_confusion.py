"""The confusion matrix, against scikit-learn, slow obvious code, and hand-worked cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.later import Later

from lexiseg.errors import InputError, OptionError
from lexiseg.metrics import ConfusionMatrix, confusion

sklearn_metrics: Any = Later("sklearn.metrics")


def random_maps(seed: int, size_hw=(13, 21), classes=5, ignored=0.2):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, size_hw)
    truth[rng.random(size_hw) < ignored] = 255
    return rng.integers(0, classes, size_hw), truth


@pytest.mark.parametrize("dtypes", [(np.int16, np.uint8), (np.int64, np.uint16)])
def test_counts_equal_scikit_learn(dtypes):
    pred, truth = random_maps(1)
    pred, truth = pred.astype(dtypes[0]), truth.astype(dtypes[1])
    counted = truth != 255
    expected = sklearn_metrics.confusion_matrix(truth[counted], pred[counted], labels=range(5))
    got = confusion(pred, truth, 5)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, expected)


def test_iou_over_a_set_equals_scikit_learn_on_all_pixels_together():
    matrix = ConfusionMatrix(5)
    maps = [random_maps(seed, size_hw=(7 + seed, 11)) for seed in range(6)]
    for pred, truth in maps:
        matrix.add(pred, truth)
    preds = np.concatenate([pred.ravel() for pred, _ in maps])
    truths = np.concatenate([truth.ravel() for _, truth in maps])
    counted = truths != 255
    expected = sklearn_metrics.jaccard_score(truths[counted], preds[counted], average=None)
    np.testing.assert_allclose(matrix.iou(), expected)
    assert matrix.mean_iou() == pytest.approx(expected.mean())
    accuracy = sklearn_metrics.accuracy_score(truths[counted], preds[counted])
    assert matrix.pixel_accuracy() == pytest.approx(accuracy)


def test_hand_worked_photo():
    truth = np.array([[0, 0, 1], [2, 2, 255]])
    pred = np.array([[0, 1, 1], [2, 0, 1]])
    matrix = ConfusionMatrix(3)
    matrix.add(pred, truth)
    np.testing.assert_array_equal(matrix.total, [[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_allclose(matrix.iou(), [1 / 3, 1 / 2, 1 / 2])
    assert matrix.mean_iou() == pytest.approx(4 / 9)
    assert matrix.pixel_accuracy() == pytest.approx(3 / 5)


def test_areas_are_summed_before_they_are_divided():
    # Photo one: 1 of 10 right pixels; photo two: 10 of 10. The mean of photo IoUs would be 0.55.
    matrix = ConfusionMatrix(2)
    truth = np.ones((2, 5), int)
    first = np.zeros((2, 5), int)
    first[0, 0] = 1
    matrix.add(first, truth)
    matrix.add(truth, truth)
    assert matrix.iou()[1] == pytest.approx(11 / 20)
    unequal = np.ones((2, 50), int)
    matrix.add(unequal, unequal)
    assert matrix.iou()[1] == pytest.approx(111 / 120)


def test_ignored_pixels_do_not_count_even_for_the_predicted_class():
    truth = np.array([[1, 255, 255, 255]])
    pred = np.array([[1, 1, 0, 2]])
    matrix = ConfusionMatrix(3)
    matrix.add(pred, truth)
    assert matrix.total.sum() == 1
    iou = matrix.iou()
    assert iou[1] == 1
    assert np.isnan(iou[[0, 2]]).all()


def test_no_ignore_index_counts_every_pixel():
    assert confusion(np.array([[0, 1]]), np.array([[1, 1]]), 2, None).sum() == 2


def test_class_neither_there_nor_predicted_leaves_the_mean_alone_and_a_false_one_does_not():
    truth = np.array([[0, 0, 1, 1]])
    matrix = ConfusionMatrix(4)
    matrix.add(np.array([[0, 0, 1, 3]]), truth)
    np.testing.assert_allclose(matrix.iou(), [1, 0.5, np.nan, 0])
    assert matrix.mean_iou() == pytest.approx(0.5)
    assert matrix.mean_iou(min_photos=1) == pytest.approx(0.75)


def test_classes_in_few_photos_and_those_put_aside_are_not_in_the_mean():
    matrix = ConfusionMatrix(3)
    for _ in range(2):
        matrix.add(np.array([[0, 1, 1]]), np.array([[0, 0, 1]]))
    matrix.add(np.array([[2, 2]]), np.array([[2, 2]]))
    np.testing.assert_array_equal(matrix.class_photos, [2, 2, 1])
    np.testing.assert_array_equal(matrix.select_classes(min_photos=2), [0, 1])
    np.testing.assert_array_equal(matrix.select_classes(min_photos=1, exclude=[0]), [1, 2])
    assert matrix.mean_iou(min_photos=2, exclude=[0]) == pytest.approx(0.5)
    assert np.isnan(matrix.mean_iou(min_photos=3))


def test_pixels_given_to_things_without_a_label_are_wrong():
    matrix = ConfusionMatrix(2, num_predicted=4)
    matrix.add(np.array([[0, 3, 1, 2]]), np.array([[0, 0, 1, 1]]))
    np.testing.assert_array_equal(matrix.total, [[1, 0, 0, 1], [0, 1, 1, 0]])
    np.testing.assert_allclose(matrix.iou(), [0.5, 0.5])
    assert matrix.share([2, 3]) == 0.5


def test_each_photo_keeps_its_own_counts():
    matrix = ConfusionMatrix(5, num_predicted=6)
    maps = [random_maps(seed, classes=4) for seed in range(4)]
    for pred, truth in maps:
        matrix.add(pred, truth)
    alone = [confusion(pred, truth, 5, num_predicted=6) for pred, truth in maps]
    np.testing.assert_array_equal(matrix.truth_areas(), [one.sum(1) for one in alone])
    np.testing.assert_array_equal(matrix.predicted_areas(), [one.sum(0) for one in alone])
    np.testing.assert_array_equal(matrix.hits(), [one.diagonal() for one in alone])
    np.testing.assert_array_equal(matrix.subset([2, 0]).total, alone[2] + alone[0])
    np.testing.assert_array_equal(matrix.subset([2, 0]).hits(), matrix.hits()[[2, 0]])


def test_matrices_counted_apart_merge_into_the_whole():
    whole, first, second = ConfusionMatrix(5), ConfusionMatrix(5), ConfusionMatrix(5)
    for seed in range(4):
        maps = random_maps(seed)
        whole.add(*maps)
        (first if seed < 2 else second).add(*maps)
    first.merge(second)
    assert len(first) == 4
    np.testing.assert_array_equal(first.total, whole.total)
    np.testing.assert_array_equal(first.hits(), whole.hits())
    with pytest.raises(OptionError, match="one kind"):
        first.merge(ConfusionMatrix(6))


def test_an_empty_matrix_has_no_numbers():
    matrix = ConfusionMatrix(3)
    assert np.isnan(matrix.iou()).all()
    assert np.isnan([matrix.mean_iou(), matrix.pixel_accuracy(), matrix.share([0])]).all()
    assert matrix.truth_areas().shape == (0, 3)


def test_swapped_height_and_width_are_refused_by_name():
    with pytest.raises(InputError, match="swapped"):
        confusion(np.zeros((4, 6), int), np.zeros((6, 4), int), 2)
    with pytest.raises(InputError, match=r"\(4, 6\)"):
        confusion(np.zeros((4, 6), int), np.zeros((4, 5), int), 2)


@pytest.mark.parametrize(("pred", "truth"), [([[-1]], [[0]]), ([[2]], [[0]]), ([[0]], [[7]])])
def test_indices_out_of_range_are_refused(pred, truth):
    with pytest.raises(InputError, match=r"outside 0\.\.1;"):
        confusion(np.array(pred), np.array(truth), 2)


@pytest.mark.parametrize("sizes", [(0, None), (3, 2)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(OptionError, match="num_classes"):
        ConfusionMatrix(sizes[0], num_predicted=sizes[1])
