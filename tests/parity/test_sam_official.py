"""SAM and its automatic mask generator against the official code, on a small trained SAM.

The golden files were made by ``tests/parity/golden/make_sam.py``, which names the commit, on the
weights of ``train_sam.py``: this net draws dozens of masks, as a fresh one would not.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests import sam_weights
from tests.close import assert_close
from tests.parity.golden.make_sam import GENERATED, STABILITY, prompts, rough_masks
from tests.parity.sam_equal import asked, read, same_in_short, same_logits, same_masks

from lexiseg.device import pick
from lexiseg.models.sam.masker import SamMasker, masker_of


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return read("sam")


@pytest.fixture(scope="module")
def masker() -> SamMasker:
    return masker_of(sam_weights.trained(), pick("cpu", "fp32"), name="trained")


@pytest.fixture(scope="module")
def state(masker: SamMasker, golden: dict[str, Any]) -> Any:
    return masker.encode(golden["rgb street"])


@pytest.mark.parametrize("candidates", [3, 1])
@pytest.mark.parametrize("case", ["click", "clicks", "boxes", "both"])
def test_masks_and_qualities(
    masker: SamMasker, state: Any, golden: dict[str, Any], case: str, candidates: int
) -> None:
    assert str(golden["commit"]).startswith("dca509f")
    given = prompts(golden["rgb street"].shape[:2])[case]
    raw = masker.decode(state, asked(given), candidates=candidates)
    same_logits(golden, f"{case} {candidates}", raw)
    if case == "click":  # all at once, or one by one
        one = masker.decode(state, asked(given)[3:4], candidates=candidates)
        at = slice(3 * candidates, 4 * candidates)
        assert_close(one.logits, raw.logits[at], 1e-5)


@pytest.mark.parametrize("case", ["click", "both"])
def test_rough_masks_as_prompts(
    masker: SamMasker, state: Any, golden: dict[str, Any], case: str
) -> None:
    given = prompts(golden["rgb street"].shape[:2])[case]
    prompts_too = asked(given)
    raw = masker.decode(state, asked(given, rough_masks(len(prompts_too))))
    same_logits(golden, f"{case} again", raw)
    plain = masker.decode(state, prompts_too)
    assert (raw.logits - plain.logits).abs().mean() > 0.1, "the rough mask changes the answer"


SLOW = pytest.param("plain", marks=pytest.mark.slow)  # the official default: 1,024 points


@pytest.mark.parametrize("case", [SLOW, *(name for name in GENERATED if name != "plain")])
def test_automatic_generation(masker: SamMasker, golden: dict[str, Any], case: str) -> None:
    photo, settings = GENERATED[case]
    rgb, given = golden[f"rgb {photo}"], {**STABILITY, **settings}
    same_masks(masker, rgb, read("sam_masks"), case, given)


def test_bf16_draws_the_same_masks(masker: SamMasker, golden: dict[str, Any]) -> None:
    short = masker_of(sam_weights.trained(), pick("cpu", "bf16"), name="trained")
    same_in_short(
        masker, short, [golden[f"rgb {name}"] for name in ("street", "coffee", "kitchen")]
    )
