"""Names for results: distinct by construction, in linear time, whatever their order."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from lexiseg.planning import Item, choose_places


def places(*paths: str, ending: str = "") -> list[str]:
    items = []
    for path in paths:
        *folder, name = path.split("/")
        items.append(Item(tuple(folder), name, path, ending))
    return ["/".join(place) for _, place in choose_places(items)]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["x.jpg", "y.png"], ["x", "y"]),
        (["x.jpg", "x.png", "y.png"], ["x.jpg", "x.png", "y"]),
        (["a/x.jpg", "b/x.jpg"], ["a/x", "b/x"]),
        (["a/b/x.jpg", "b/a/x.jpg"], ["a/b/x", "b/a/x"]),
        # No folder of results lies in another, which may hold "masks".
        (["a.jpg", "a/masks.jpg"], ["a.jpg", "a/masks"]),
        (["x.jpg", "x.jpg.png"], ["x", "x.jpg"]),
        (["x.jpg", "x.png", "x.jpg.png"], ["x.jpg-", "x.png", "x.jpg.png"]),
        (["IMG_1.JPG", "IMG_1.jpg", "img_1.png"], ["IMG_1.JPG-", "IMG_1.jpg-", "img_1.png"]),
        (["a/x.jpg", "A/x.jpg"], ["a/x.jpg-", "A/x.jpg-"]),
        ([f"{'猫' * 40}1.jpg", f"{'猫' * 40}2.jpg"], [f"{'猫' * 33}-", f"{'猫' * 33}-"]),
        (["caf\udce9.jpg", "caf\udce8.jpg", "ok.jpg"], ["caf_.jpg-", "caf_.jpg-", "ok"]),
        (["e\u0301.jpg", "é.jpg"], ["é.jpg-", "é.jpg-"]),
        (["con.jpg", "a\nb.jpg", ".jpg.jpg"], ["_con", "a_b", "jpg"]),
    ],
)
def test_names_are_as_long_as_they_must_be(paths: list[str], expected: list[str]) -> None:
    for got, want in zip(places(*paths), expected, strict=True):
        if want.endswith("-"):  # eight digits of a hash follow
            assert got.startswith(want)
            assert len(got) == len(want) + 8
            assert set(got[-8:]) <= set("0123456789abcdef")
        else:
            assert got == want
    shuffled = random.Random(0).sample(paths, len(paths))
    assert dict(zip(shuffled, places(*shuffled), strict=True)) == dict(
        zip(paths, places(*paths), strict=True)
    )


def test_a_name_that_looks_like_a_hashed_one_is_another() -> None:
    twins = places("x.jpg", "X.jpg")
    crafted = [*twins, "x.jpg", "X.jpg"]
    got = places(*(f"{name}.png" for name in twins), "x.jpg", "X.jpg")
    assert len({name.casefold() for name in got}) == len(crafted)


def test_files_get_their_endings_behind_all_else() -> None:
    assert places("x.jpg", "y.jpg", ending="-blur.png") == ["x-blur.png", "y-blur.png"]
    assert places("x.jpg", "x.png", ending="-blur.png") == ["x.jpg-blur.png", "x.png-blur.png"]
    first, second = places("x.jpg", "x-blur.png/y.jpg", ending="-blur.png")
    assert (first, second) == ("x.jpg-blur.png", "x-blur.png/y-blur.png")


def twins(count: int) -> list[Item]:
    """Names of which many meet: by case, by what is cut, by ending, by folder."""
    return [
        Item(
            (f"d{i % 7}",) if i % 3 else ("D0", "e"),
            f"{'名' * 50}{i}.jpg" if i % 2 else f"IMG_{i // 4}.{'JPG' if i % 4 else 'jpg'}",
            str(i),
        )
        for i in range(count)
    ]


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, Python's and C's."""
    count = 0

    def count_call(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_time_is_linear_in_the_number_of_names() -> None:
    few, many = (calls(lambda n=n: choose_places(twins(n))) for n in (500, 2000))
    assert many < 4.2 * few


def test_ten_thousand_names_are_distinct() -> None:
    items = twins(10_000)
    places = [place for _, place in choose_places(items)]
    assert len({tuple(part.casefold() for part in place) for place in places}) == len(items)
