"""What every mask model promises: the bundled one, and each family in its published format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.close import assert_close
from tests.sam_weights import published_folder, trained

from lexiseg.errors import PromptError
from lexiseg.models import load_masker
from lexiseg.protocols import LoadOptions, Masker, MaskPrompts, RawMasks
from lexiseg.stages.mask_upsampling import upsample_masks

MASKERS = ["tiny", "sam, as transformers saves it", "sam, Meta's file"]


@pytest.fixture(scope="module", params=MASKERS)
def masker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Masker:
    name: str | Path = request.param
    if name != "tiny":
        folder = tmp_path_factory.mktemp("masker")
        if request.param.endswith("file"):
            name = folder / "sam_someones.pth"
            torch.save(trained(), name)
        else:
            name = published_folder(folder / "sam-drawn")
    return load_masker(name, LoadOptions(device="cpu", dtype="fp32"))


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    y, x = np.mgrid[:70, :120]
    out = np.full((70, 120, 3), (60, 120, 40), np.uint8)
    out[np.hypot(y - 30, x - 45) < 20] = (200, 40, 30)
    return out


def clicks(count: int) -> MaskPrompts:
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform([0, 0], [120, 70], (count, 1, 2)).astype(np.float32))
    return MaskPrompts(points, torch.ones(count, 1, dtype=torch.int64))


def same(a: RawMasks, b: RawMasks) -> None:
    assert_close(a.logits, b.logits)
    assert_close(a.quality, b.quality)


def test_it_is_a_masker(masker: Masker) -> None:
    assert isinstance(masker, Masker)
    assert masker.name
    assert masker.device_name == "cpu"
    assert masker.dtype_name == "fp32"
    assert all(len(digest) == 64 for digest in masker.sha256.values())
    assert masker.sha256


def test_answers_come_by_prompt_then_by_candidate(masker: Masker, rgb: NDArray[np.uint8]) -> None:
    state = masker.encode(rgb)
    assert state.frame.size_hw == (70, 120)
    for candidates in (3, 1):
        raw = masker.decode(state, clicks(7), candidates=candidates)
        assert raw.prompt.tolist() == [i for i in range(7) for _ in range(candidates)]
        assert raw.logits.shape[0] == raw.quality.shape[0] == 7 * candidates
        assert raw.logits.isfinite().all()
        assert upsample_masks(raw).size_hw == (70, 120)


def test_batches_change_nothing(masker: Masker, rgb: NDArray[np.uint8]) -> None:
    state, asked = masker.encode(rgb), clicks(9)
    whole = masker.decode(state, asked)
    for i in (0, 5, 8):
        same(masker.decode(state, asked[i : i + 1]), whole[slice(3 * i, 3 * i + 3)])
    assert (whole.logits[0] - whole.logits[12]).abs().max() > 0.01


def test_only_what_is_kept_stays(masker: Masker, rgb: NDArray[np.uint8]) -> None:
    state, asked = masker.encode(rgb), clicks(9)
    whole = masker.decode(state, asked)
    limit = whole.quality.median()
    seen = []

    def keep(raw: RawMasks) -> torch.Tensor:
        seen.append(len(raw))
        return raw.quality > limit

    some = masker.decode(state, asked, keep=keep)
    assert sum(seen) == 27
    wanted = torch.nonzero(whole.quality > limit)[:, 0]
    assert some.prompt.tolist() == whole.prompt[wanted].tolist()
    same(some, whole[wanted])
    none = masker.decode(state, asked, keep=lambda raw: torch.zeros(len(raw), dtype=torch.bool))
    assert len(none) == 0
    assert none.logits.shape[1:] == whole.logits.shape[1:]


def test_an_encoded_picture_is_a_value(masker: Masker, rgb: NDArray[np.uint8]) -> None:
    state = masker.encode(rgb)
    before = masker.decode(state, clicks(2))
    masker.encode(rgb[::-1].copy())
    asked = clicks(2)
    kept = asked.points_xy.clone() if asked.points_xy is not None else None
    same(masker.decode(state, asked), before)
    assert asked.points_xy is not None
    assert kept is not None
    assert torch.equal(asked.points_xy, kept), "prompts are left as they were"


def test_boxes_rough_masks_and_padding(masker: Masker, rgb: NDArray[np.uint8]) -> None:
    state = masker.encode(rgb)
    box = torch.tensor([[25.0, 10.0, 65.0, 50.0]])
    boxed = masker.decode(state, MaskPrompts(boxes_xyxy=box), candidates=1)
    assert len(boxed) == 1
    again = masker.decode(state, MaskPrompts(boxes_xyxy=box, masks=boxed.logits))
    assert len(again) == 3
    with pytest.raises(PromptError, match="as prompts"):
        masker.decode(state, MaskPrompts(boxes_xyxy=box, masks=torch.zeros(1, 3, 5)))
    point = torch.tensor([[[45.0, 30.0], [3.0, 3.0]]])
    padded = MaskPrompts(point, torch.tensor([[1, -1]]))
    elsewhere = MaskPrompts(torch.tensor([[[45.0, 30.0], [99.0, 60.0]]]), torch.tensor([[1, -1]]))
    same(masker.decode(state, padded), masker.decode(state, elsewhere))
    beside = MaskPrompts(point, torch.tensor([[1, 0]]))
    change = masker.decode(state, beside).logits - masker.decode(state, padded).logits
    assert change.abs().max() > 1e-3


@pytest.mark.parametrize("candidates", [0, 2, 4])
def test_other_numbers_of_candidates_are_refused(
    masker: Masker, rgb: NDArray[np.uint8], candidates: int
) -> None:
    with pytest.raises(PromptError, match="give 1 or 3"):
        masker.decode(masker.encode(rgb), clicks(1), candidates=candidates)


def test_nothing_asked_is_refused(masker: Masker, rgb: NDArray[np.uint8]) -> None:
    with pytest.raises(PromptError, match="give at least one"):
        masker.decode(masker.encode(rgb), MaskPrompts())


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 90), (140, 3)])
def test_pictures_of_any_size(masker: Masker, size_hw: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    middle = torch.tensor([[[size_hw[1] / 2, size_hw[0] / 2]]])
    raw = masker.decode(masker.encode(rgb), MaskPrompts(middle, torch.ones(1, 1, dtype=torch.long)))
    assert upsample_masks(raw).size_hw == size_hw
