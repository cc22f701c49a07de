"""What is called close is close: mistakes that are made in ports of networks are not."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tests import clip_weights
from tests.close import assert_close, assert_labels, error, lead
from torch import Tensor

from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.model import Clip

Array = NDArray[np.float32]


def features(state: dict[str, Tensor], pixels: Tensor, activation: str = "quick-gelu") -> Tensor:
    """The grid of a small CLIP, as one comes out of its last block."""
    net = Clip.of(ClipConfig.of(state, activation), state).visual.to(pixels.dtype)
    with torch.no_grad():
        block = net.trunk(pixels, "size")
        whole = F.scaled_dot_product_attention(block.q, block.k, block.v)
        return block.complete(block.project(whole))


def picture(height: int = 64, width: int = 96) -> Tensor:
    """Blobs, (1, 3, H, W) in [0, 1]: half a pixel changes a photo less than it changes noise."""
    rough = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(2))
    return F.interpolate(rough, (height, width), mode="bicubic").clamp(0, 1)


def normalised(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module", params=["vit", "resnet"])
def state(request: pytest.FixtureRequest) -> dict[str, Tensor]:
    return {"vit": clip_weights.vit_state, "resnet": clip_weights.resnet_state}[request.param](4)


def test_the_same_sums_in_another_order_are_close(state: dict[str, Tensor]) -> None:
    """Float32 against double precision is further apart than two processors are."""
    pixels = normalised(picture(), *CLIP)
    want = features(state, pixels.double())
    assert want.dtype == torch.float64
    got = features(state, pixels)
    assert_close(got, want)
    assert error(got, want) > 0
    with pytest.raises(AssertionError, match="of the largest value"):
        assert_close(got, want, 1e-8)


MISTAKES: dict[str, Callable[[Tensor], Tensor]] = {
    "normalised as ImageNet is": lambda x: normalised(x, *IMAGENET),
    "blue for red": lambda x: normalised(x.flip(1), *CLIP),
    "half a pixel to the right": lambda x: normalised(
        (F.pad(x, (1, 0, 0, 0), mode="replicate")[..., :-1] + x) / 2, *CLIP
    ),
    "corners aligned": lambda x: normalised(
        F.interpolate(
            F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True),
            x.shape[-2:], mode="bilinear",
        ), *CLIP
    ),
    "a level of 255 more": lambda x: normalised(x + 1 / 255, *CLIP),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_with_pixels_are_not_close(state: dict[str, Tensor], mistake: str) -> None:
    right = features(state, normalised(picture(), *CLIP))
    wrong = features(state, MISTAKES[mistake](picture()))
    with pytest.raises(AssertionError, match="of the largest value"):
        assert_close(wrong, right, 5e-4)  # five times what is called close


def test_another_activation_or_norm_is_not_close() -> None:
    state = clip_weights.vit_state(4)
    pixels = normalised(picture(), *CLIP)
    right = features(state, pixels)
    gelu = features(state, pixels, "gelu")
    swapped = dict(state)  # the two norms of one block
    one, two = (f"visual.transformer.resblocks.1.{name}.weight" for name in ("ln_1", "ln_2"))
    swapped[one], swapped[two] = state[two], state[one]
    for wrong in (gelu, features(swapped, pixels)):
        with pytest.raises(AssertionError, match="of the largest value"):
            assert_close(wrong, right, 1e-3)  # ten times what is called close


def test_closeness_by_hand() -> None:
    want = torch.tensor([100.0, 0.0, -1.0])
    assert error(want + torch.tensor([0.0, 0.5, 0.0]), want) == pytest.approx(0.005)
    assert_close(want + 0.009, want)
    for got in (want + 0.011, want * torch.nan):
        with pytest.raises(AssertionError, match="of the largest value"):
            assert_close(got, want)
    with pytest.raises(AssertionError, match=re.escape("shape (2,), not (3,)")):
        assert_close(want[:2], want)
    with pytest.raises(AssertionError, match="nothing is compared"):
        assert_close(want[:0], want[:0])
    with pytest.raises(AssertionError, match="0 everywhere"):
        assert_close(want, want * 0)
    with pytest.raises(AssertionError, match="not finite"):
        assert_close(want, want / 0)


def ramps(height: int = 40, width: int = 300) -> Array:
    """Three words whose lead changes slowly from left to right, (3, H, W)."""
    x = np.linspace(0, 3, width, dtype=np.float32)
    return np.stack([1.5 - x, np.ones_like(x) * 0.2, x - 1.7])[:, None].repeat(height, 1)


def test_labels_may_differ_where_words_tie_however_many_pixels_that_are() -> None:
    maps = ramps()
    want = maps.argmax(0)
    leads = lead(maps)
    assert leads[0, 0] == pytest.approx(1.3)
    open_ = leads <= 2e-2 * np.abs(maps).max()
    assert 0.005 < open_.mean() < 0.1
    assert_labels(np.where(open_, 1 - want.clip(0, 1), want), want, maps, 1e-2)
    wrong = want.copy()
    sure = np.unravel_index(np.where(open_, np.inf, leads).argmin(), want.shape)  # but hardly
    wrong[sure] = (want[sure] + 1) % 3
    with pytest.raises(AssertionError, match="1 sure pixels of 12000 differ"):
        assert_labels(wrong, want, maps, 1e-2)


def test_labels_that_are_moved_or_swapped_are_not_the_same() -> None:
    maps = ramps()
    want = maps.argmax(0)
    for wrong in (np.roll(want, 2, 1), 2 - want, want * 0):
        with pytest.raises(AssertionError, match="sure pixels"):
            assert_labels(wrong, want, maps)


def test_labels_of_maps_that_say_nothing_prove_nothing() -> None:
    flat = np.ones((3, 9, 12)) + np.random.default_rng(0).normal(0, 1e-5, (3, 9, 12))
    with pytest.raises(AssertionError, match="too few"):
        assert_labels(flat.argmax(0), flat.argmax(0), flat)


def test_margins_replace_the_lead_where_a_threshold_decides() -> None:
    maps = ramps()
    want = np.where(maps.max(0) < 0.5, -1, maps.argmax(0))
    margins = np.minimum(lead(maps), np.abs(maps.max(0) - 0.5))
    got = np.where(maps.max(0) < 0.5005, -1, maps.argmax(0))
    assert_labels(got, want, maps, 1e-2, margins=margins)
    with pytest.raises(AssertionError, match="sure pixels"):
        assert_labels(np.where(maps.max(0) < 0.6, -1, maps.argmax(0)), want, maps, 1e-2,
                      margins=margins)  # fmt: skip
