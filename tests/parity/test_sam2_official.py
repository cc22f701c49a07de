"""SAM 2 against the official code: the same weights, and what it said (``make_sam2``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import sam2_weights
from tests.parity.golden.make_sam2 import COMMIT, prompts

from lexiseg.device import Compute
from lexiseg.models.sam2.hiera import HieraConfig
from lexiseg.models.sam2.masker import Sam2Masker, masker_of
from lexiseg.protocols import MaskPrompts

GOLDEN = Path(__file__).parent / "golden" / "sam2.npz"
SMALL = HieraConfig(**sam2_weights.HIERA, out=sam2_weights.WIDTH, side=sam2_weights.SIDE // 16)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def asked(golden: dict[str, Any]) -> tuple[Sam2Masker, Any]:
    compute = Compute(torch.device("cpu"), torch.float32)
    masker = masker_of(sam2_weights.meta_weights(), compute, name="small", hiera=SMALL)
    return masker, masker.encode(golden["rgb"])


def ours(given: dict[str, Any], masks: torch.Tensor | None = None) -> MaskPrompts:
    """The official code counts pixels from the middle of the first one; boxes are the same."""
    points, labels, boxes = (given.get(name) for name in ("points", "labels", "boxes"))
    return MaskPrompts(
        None if points is None else torch.from_numpy(points + np.float32(0.5)),
        None if labels is None else torch.from_numpy(labels),
        None if boxes is None else torch.from_numpy(boxes),
        masks,
    )


def test_the_golden_file_is_of_the_named_commit_and_says_something(golden: dict[str, Any]) -> None:
    assert str(golden["commit"]) == COMMIT
    assert GOLDEN.stat().st_size <= 200_000
    assert golden["rgb"].shape[0] != golden["rgb"].shape[1]
    for name, value in golden.items():
        if name.endswith("masks"):
            inside = (value > 0).mean((1, 2))
            assert ((inside > 0.02) & (inside < 0.98)).mean() > 0.6
            assert value.std() > 1


@pytest.mark.parametrize("candidates", [3, 1])
@pytest.mark.parametrize("case", ["click", "clicks", "boxes", "both"])
def test_masks_and_quality_are_the_official_ones(
    golden: dict[str, Any], asked: tuple[Sam2Masker, Any], case: str, candidates: int
) -> None:
    masker, state = asked
    given = prompts(golden["rgb"].shape[:2])[case]
    raw = masker.decode(state, ours(given), candidates=candidates)
    wanted = golden[f"{case} {candidates} masks"]
    np.testing.assert_allclose(raw.logits[:, ::4, ::4], wanted, atol=1e-3)
    np.testing.assert_allclose(raw.quality, golden[f"{case} {candidates} quality"], atol=1e-4)


@pytest.mark.parametrize("case", ["click", "both"])
def test_an_earlier_answer_as_a_prompt(
    golden: dict[str, Any], asked: tuple[Sam2Masker, Any], case: str
) -> None:
    masker, state = asked
    given = prompts(golden["rgb"].shape[:2])[case]
    first = masker.decode(state, ours(given), candidates=1)
    raw = masker.decode(state, ours(given, first.logits))
    np.testing.assert_allclose(raw.logits[:, ::4, ::4], golden[f"{case} again masks"], atol=2e-3)
    np.testing.assert_allclose(raw.quality, golden[f"{case} again quality"], atol=1e-4)
    plain = masker.decode(state, ours(given))
    assert float((plain.logits - raw.logits).abs().max()) > 0.1  # the rough mask is felt


def test_both_ways_of_the_single_answer_are_taken(golden: dict[str, Any]) -> None:
    """Some prompts get the mask for no doubt, some the best of three."""
    best = golden["click 3 quality"].reshape(-1, 3).max(1)
    single = golden["click 1 quality"]
    fallback = np.isclose(best, single)
    assert 0 < fallback.sum() < len(fallback)
