"""Example pictures made ready, against slow and obvious code."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lexiseg.errors import PromptError, UnknownName
from lexiseg.prompts import Example
from lexiseg.stages.example_prompts import example_pixels, prepare_example

MEAN = np.array([0.485, 0.456, 0.406]) * 255


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


@pytest.fixture
def mask() -> NDArray[np.bool_]:
    out = np.zeros((40, 60), np.bool_)
    out[10:30, 20:50] = True
    out[10:15, 20:30] = False
    return out


def blurred(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """A Gaussian of 15 pixels and sigma 3, borders mirrored without repeating the last pixel."""
    places = np.arange(-7, 8)
    kernel = np.exp(-(places**2) / (2 * 3.0**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        wide = np.pad(plane, [(7, 7) if a == axis else (0, 0) for a in (0, 1)], mode="reflect")
        plane = np.apply_along_axis(lambda row: np.convolve(row, kernel, "valid"), axis, wide)
    return plane


def test_blur_and_darken_change_the_background_alone(photo, mask) -> None:
    made, same = prepare_example(photo, mask, ("blur", "darken"))
    np.testing.assert_array_equal(same, mask)
    np.testing.assert_array_equal(made[mask], photo[mask])
    for channel in range(3):
        soft = blurred(photo[..., channel].astype(float))
        wanted = MEAN[channel] + 0.1 * (soft - MEAN[channel])
        difference = np.abs(made[..., channel] - wanted)[~mask]
        assert difference.max() <= 0.51  # rounding


def test_crop_keeps_a_tenth_around_the_box_and_pads_to_a_square(photo, mask) -> None:
    made, inside = prepare_example(photo, mask, ("crop",))
    # The box is 30 wide and 20 high: 3 pixels more at the sides, 2 above and below.
    assert made.shape == (36, 36, 3)
    assert inside.shape == (36, 36)
    np.testing.assert_array_equal(made[6:30], photo[8:32, 17:53])
    np.testing.assert_array_equal(inside[6:30], mask[8:32, 17:53])
    assert not inside[:6].any()
    np.testing.assert_array_equal(made[0, 0], np.rint(MEAN))


def test_a_crop_ends_at_the_picture(photo) -> None:
    corner = np.zeros((40, 60), np.bool_)
    corner[30:, 40:] = True
    made, inside = prepare_example(photo, corner, ("crop",))
    assert made.shape == (22, 22, 3)
    np.testing.assert_array_equal(made[5:16], photo[29:, 38:])
    assert inside.sum() == corner.sum()


def test_what_cannot_be_is_refused(photo, mask) -> None:
    with pytest.raises(PromptError, match="empty"):
        prepare_example(photo, np.zeros((40, 60), np.bool_))
    with pytest.raises(UnknownName, match="blur"):
        prepare_example(photo, mask, ("blurr",))


def test_an_example_is_a_picture_a_box_or_a_mask(photo, mask) -> None:
    whole, everywhere = example_pixels(Example(photo), ("crop", "blur", "darken"))
    np.testing.assert_array_equal(whole, photo)
    assert everywhere.all()
    boxed, inside = example_pixels(Example(photo, box_xywh=(20, 10, 30, 20)), ())
    np.testing.assert_array_equal(boxed, photo)
    assert np.argwhere(inside).min(0).tolist() == [10, 20]
    assert np.argwhere(inside).max(0).tolist() == [29, 49]
    masked, _ = example_pixels(Example(photo, mask=mask), ("darken",))
    np.testing.assert_array_equal(masked, prepare_example(photo, mask, ("darken",))[0])
    for bad in (
        Example(photo, box_xywh=(40, 10, 30, 20)),
        Example(photo, box_xywh=(0, 0, 0, 5)),
        Example(photo, mask=mask.T),
    ):
        with pytest.raises(PromptError):
            example_pixels(bad, ())
    with pytest.raises(PromptError, match="read it"):
        example_pixels(Example("photo.jpg"), ())
    with pytest.raises(PromptError, match="one of the two"):
        Example(photo, box_xywh=(0, 0, 1, 1), mask=mask)
