"""Example images made ready as prompts; maps of several prompts made into one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lexiseg.errors import PromptError, UnknownName
from lexiseg.prompts import Example
from lexiseg.stages.clipseg_prompts import compete, example_pixels, fuse, prepare_example

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
    boxed, inside = example_pixels(Example(photo, box_xyxy=(20, 10, 50, 30)), ())
    np.testing.assert_array_equal(boxed, photo)
    assert np.argwhere(inside).min(0).tolist() == [10, 20]
    assert np.argwhere(inside).max(0).tolist() == [29, 49]
    masked, _ = example_pixels(Example(photo, mask=mask), ("darken",))
    np.testing.assert_array_equal(masked, prepare_example(photo, mask, ("darken",))[0])
    for bad in (
        Example(photo, box_xyxy=(40, 10, 70, 30)),
        Example(photo, box_xyxy=(0, 0, 0, 5)),
        Example(photo, mask=mask.T),
    ):
        with pytest.raises(PromptError):
            example_pixels(bad, ())
    with pytest.raises(PromptError, match="read it"):
        example_pixels(Example("photo.jpg"), ())
    with pytest.raises(PromptError, match="one of the two"):
        Example(photo, box_xyxy=(0, 0, 1, 1), mask=mask)


def maps() -> torch.Tensor:
    return torch.tensor([[[2.0, -1.0, 0.0]], [[-2.0, 3.0, 0.0]], [[1.0, 1.0, -3.0]]])


def test_max_and_mean() -> None:
    vectors = torch.eye(3)
    assert fuse(maps(), vectors, "max").tolist() == [[2.0, 3.0, 0.0]]
    torch.testing.assert_close(fuse(maps(), vectors, "mean"), torch.tensor([[1 / 3, 1.0, -1.0]]))
    assert fuse(maps()[:1], vectors[:1], "attention").tolist() == maps()[0].tolist()
    with pytest.raises(UnknownName, match="way to fuse"):
        fuse(maps(), vectors, "median")


def test_attention_against_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 5, generator=generator) * 2
    vectors = torch.randn(4, 6, generator=generator)
    got = fuse(logits, vectors, "attention")
    for y in range(3):
        for x in range(5):
            weights = []
            for i in range(4):
                cosines = [
                    float(torch.cosine_similarity(vectors[i], vectors[j], dim=0))
                    for j in range(4)
                    if j != i
                ]
                weights.append(math.exp(float(logits[i, y, x]) + 10 * sum(cosines) / 3))
            wanted = sum(w * float(logits[i, y, x]) for i, w in enumerate(weights)) / sum(weights)
            assert float(got[y, x]) == pytest.approx(wanted, abs=1e-4)


def test_attention_passes_over_a_phrase_that_means_something_else() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]])
    logits = torch.tensor([[[2.0]], [[2.0]], [[2.5]]])
    assert float(fuse(logits, vectors, "attention")) == pytest.approx(2.0, abs=1e-3)


def test_a_word_alone_has_the_sigmoid_of_its_map() -> None:
    logits = torch.tensor([[[-3.0, 0.0, 2.0]], [[9.0, 9.0, 9.0]]])  # the second is nothing's place
    out = compete(logits, 1, 0.5)
    torch.testing.assert_close(out[0], torch.sigmoid(logits[0]))
    torch.testing.assert_close(out.sum(0), torch.ones(1, 3))


@pytest.mark.parametrize("cutoff", [0.3, 0.5, 0.8])
def test_the_winner_is_the_highest_map_that_passes_the_cutoff(cutoff: float) -> None:
    logits = 3 * torch.randn(4, 6, 7, generator=torch.Generator().manual_seed(1))
    out = compete(torch.cat([logits, torch.zeros(1, 6, 7)]), 4, cutoff).argmax(0)
    best, owner = logits.sigmoid().max(0)
    wanted = torch.where(best > cutoff, owner, 4)
    assert torch.equal(out, wanted)
    assert set(wanted.unique().tolist()) == {0, 1, 2, 3, 4}


def test_background_words_add_to_nothing() -> None:
    logits, rest = torch.zeros(2, 1, 1), torch.zeros(3, 1, 1)
    # One word against nothing and three background words, all with odds of 1.
    assert float(compete(logits, 1, 0.5, rest)[0]) == pytest.approx(1 / 5)


def test_a_closed_vocabulary_shares_all() -> None:
    out = compete(torch.tensor([[[-5.0]], [[-6.0]]]), None, 0.5)
    assert float(out.sum()) == pytest.approx(1)
    assert int(out.argmax(0)) == 0
    assert float(compete(torch.tensor([[[-50.0]]]), None, 0.5)) == 1.0
