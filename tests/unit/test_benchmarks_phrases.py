"""The rule that builds phrases from annotations: on drawn scenes, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.annotated_phrases import Asked, Photo, place_phrases, related_phrases

from lexiseg.masks import Masks

SIZE = (150, 250)
Box = tuple[int, int, int, int]


def masks(*boxes: Box) -> Masks:
    dense = np.zeros((len(boxes), *SIZE), np.bool_)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def related(**things: tuple[Box, ...]) -> set[tuple[str, int | None]]:
    photo = Photo("drawn", Path("drawn"), {noun: masks(*boxes) for noun, boxes in things.items()})
    return {(one.phrase, one.target) for one in related_phrases(photo) if "beside" not in one.kind}


RIDER, HORSE = (60, 10, 90, 60), (40, 60, 120, 130)


def test_who_sits_over_a_horse_and_ends_above_it_is_on_it() -> None:
    far = (200, 20, 220, 130)
    assert related(person=(RIDER, far), horse=(HORSE,)) == {("person on horse", 0)}


@pytest.mark.parametrize("person", [(122, 20, 150, 135), (200, 20, 220, 130)])
def test_who_stands_beside_a_horse_or_far_from_it_is_not_on_it(person: Box) -> None:
    assert related(person=(person,), horse=(HORSE,)) == {("person on horse", None)}


def test_where_two_are_near_nothing_is_asked() -> None:
    beside = (122, 20, 150, 135)
    assert related(person=(RIDER, beside), horse=(HORSE,)) == set()


def test_one_person_alone_is_near_what_is_theirs() -> None:
    people = ((20, 20, 50, 130), (180, 20, 210, 130))
    assert related(person=people, umbrella=((15, 5, 60, 22),)) == {("person with umbrella", 0)}


def test_places_are_asked_only_where_they_are_clear() -> None:
    alone = place_phrases("dog", masks((10, 40, 60, 90)))
    assert [(one.phrase, one.target) for one in alone] == [
        ("dog on the left", 0), ("dog on the right", None),
    ]  # fmt: skip
    assert place_phrases("dog", masks((100, 40, 150, 90))) == []
    two = place_phrases("dog", masks((10, 40, 60, 90), (150, 42, 200, 92)))
    assert two == [
        Asked("place", "the left dog", "dog", 0), Asked("place", "the right dog", "dog", 1),
        Asked("number, false", "3 dogs", "dog", None),
    ]  # fmt: skip
