"""SAM 2 and its automatic mask generator against the official code, on a small trained SAM 2.

The golden files were made by ``tests/parity/golden/make_sam2.py``, which names the commit, on the
weights of ``train_sam2.py``: this net draws dozens of masks, as a fresh one would not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests import sam2_weights
from tests.parity.golden.make_sam import prompts, rough_masks
from tests.parity.golden.make_sam2 import GENERATED, STABILITY
from tests.parity.golden.sam2_official import COMMIT
from tests.parity.sam_equal import asked, read, same_in_short, same_logits, same_masks

from lexiseg.device import pick
from lexiseg.models.sam2.hiera import HieraConfig
from lexiseg.models.sam2.masker import Sam2Masker, masker_of

SMALL = HieraConfig(**sam2_weights.HIERA, out=sam2_weights.WIDTH, side=sam2_weights.SIDE // 16)


def small(dtype: str) -> Sam2Masker:
    compute = pick("cpu", dtype)
    return masker_of(sam2_weights.trained(), compute, name="trained", hiera=SMALL)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    pictures = {name: value for name, value in read("sam").items() if name.startswith("rgb ")}
    return {**pictures, **read("sam2")}


@pytest.fixture(scope="module")
def masker() -> Sam2Masker:
    return small("fp32")


@pytest.fixture(scope="module")
def state(masker: Sam2Masker, golden: dict[str, Any]) -> Any:
    return masker.encode(golden["rgb street"])


@pytest.mark.parametrize("candidates", [3, 1])
@pytest.mark.parametrize("case", ["click", "clicks", "boxes", "both"])
def test_masks_and_qualities(
    masker: Sam2Masker, state: Any, golden: dict[str, Any], case: str, candidates: int
) -> None:
    assert str(golden["commit"]) == COMMIT
    given = prompts(golden["rgb street"].shape[:2])[case]
    raw = masker.decode(state, asked(given), candidates=candidates)
    same_logits(golden, f"{case} {candidates}", raw)


@pytest.mark.parametrize("case", ["click", "both"])
def test_earlier_answers_and_rough_masks_as_prompts(
    masker: Sam2Masker, state: Any, golden: dict[str, Any], case: str
) -> None:
    given = prompts(golden["rgb street"].shape[:2])[case]
    first = masker.decode(state, asked(given), candidates=1)
    same_logits(golden, f"{case} again", masker.decode(state, asked(given, first.logits)))
    rough = masker.decode(state, asked(given, rough_masks(len(first))))
    same_logits(golden, f"{case} rough", rough)
    plain = masker.decode(state, asked(given))
    assert float((plain.logits - rough.logits).abs().mean()) > 0.1  # the rough mask is felt


def test_both_ways_of_the_single_answer_are_taken(golden: dict[str, Any]) -> None:
    """Some prompts get the mask for no doubt, some the best of three."""
    best, single = [], []
    for case in ("click", "clicks", "boxes", "both"):
        best.append(golden[f"{case} 3 quality"].reshape(-1, 3).max(1))
        single.append(golden[f"{case} 1 quality"])
    fallback = np.isclose(np.concatenate(best), np.concatenate(single), atol=1e-6)
    assert 0 < fallback.sum() < len(fallback)


SLOW = pytest.param("plain", marks=pytest.mark.slow)  # the official default: 1,024 points


@pytest.mark.parametrize("case", [SLOW, *(name for name in GENERATED if name != "plain")])
def test_automatic_generation(masker: Sam2Masker, golden: dict[str, Any], case: str) -> None:
    photo, settings = GENERATED[case]
    # SAM 2's generator has another default than SAM 1's.
    given = {"pred_iou_thresh": 0.8, **STABILITY, **settings}
    same_masks(masker, golden[f"rgb {photo}"], read("sam2_masks"), case, given)


def test_asking_again_changes_masks(masker: Sam2Masker, golden: dict[str, Any]) -> None:
    """Else the case above would prove nothing of ``use_m2m``."""
    given = {"pred_iou_thresh": 0.8, **STABILITY, **GENERATED["again"][1], "use_m2m": False}
    with pytest.raises(AssertionError):
        same_masks(masker, golden["rgb kitchen"], read("sam2_masks"), "again", given)


def test_bf16_draws_the_same_masks(masker: Sam2Masker, golden: dict[str, Any]) -> None:
    same_in_short(
        masker, small("bf16"), [golden[f"rgb {name}"] for name in ("street", "coffee", "kitchen")]
    )
