"""SAM 2 as a masker: what it promises, whatever its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import sam2_weights
from tests.close import assert_close

from lexiseg.device import Compute
from lexiseg.errors import CheckpointError, PromptError
from lexiseg.models.sam2.decoder import Stable, steady
from lexiseg.models.sam2.hiera import HieraConfig, PyramidEncoder, hiera_config
from lexiseg.models.sam2.masker import Sam2Masker, masker_of
from lexiseg.protocols import LoadOptions, MaskPrompts, RawMasks
from lexiseg.stages.mask_upsampling import upsample_masks

CPU = Compute(torch.device("cpu"), torch.float32)
SMALL = HieraConfig(**sam2_weights.HIERA, out=sam2_weights.WIDTH, side=sam2_weights.SIDE // 16)


@pytest.fixture(scope="module")
def masker() -> Sam2Masker:
    return masker_of(sam2_weights.trained(), CPU, name="small", hiera=SMALL)


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(20, 0).repeat(20, 1)[:110, :150])


def clicks(count: int) -> MaskPrompts:
    rng = np.random.default_rng(count)
    places = torch.from_numpy((rng.random((count, 1, 2)) * [150, 110]).astype(np.float32))
    return MaskPrompts(places, torch.ones(count, 1, dtype=torch.long))


def test_batches_do_not_change_answers(masker: Sam2Masker, rgb: NDArray[np.uint8]) -> None:
    state = masker.encode(rgb)
    together = masker.decode(state, clicks(9))
    for i in range(9):
        alone = masker.decode(state, clicks(9)[i : i + 1])
        assert_close(alone.logits, together.logits[3 * i : 3 * i + 3])
    assert together.prompt.tolist() == np.repeat(np.arange(9), 3).tolist()


def test_keep_drops_masks_batch_by_batch(masker: Sam2Masker, rgb: NDArray[np.uint8]) -> None:
    state = masker.encode(rgb)
    every = masker.decode(state, clicks(70))
    seen: list[int] = []

    def keep(raw: RawMasks) -> torch.Tensor:
        seen.append(len(raw))
        return raw.quality > every.quality.median()

    some = masker.decode(state, clicks(70), keep=keep)
    kept = every.quality > every.quality.median()
    assert len(seen) > 1
    assert sum(seen) == 210
    torch.testing.assert_close(some.logits, every.logits[kept])
    assert some.prompt.tolist() == every.prompt[kept].tolist()


def test_masks_lie_on_the_picture(masker: Sam2Masker, rgb: NDArray[np.uint8]) -> None:
    raw = masker.decode(masker.encode(rgb), clicks(2))
    assert raw.frame.size_hw == (110, 150)
    masks = upsample_masks(raw)
    wanted = torch.nn.functional.interpolate(
        raw.logits[:, None], (110, 150), mode="bilinear", align_corners=False
    )[:, 0]  # as Meta's code enlarges them
    sure = wanted.abs() > 1e-3
    for i in range(len(raw)):
        got = np.zeros((110, 150), np.bool_)
        x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
        got[y0:y1, x0:x1] = masks.crop(i)
        np.testing.assert_array_equal(got[sure[i]], (wanted[i] > 0).numpy()[sure[i]])


def test_prompts_that_ask_for_nothing_are_refused(
    masker: Sam2Masker, rgb: NDArray[np.uint8]
) -> None:
    state = masker.encode(rgb)
    for prompts in (MaskPrompts(), MaskPrompts(masks=torch.zeros(1, 9, 9))):
        with pytest.raises(PromptError):
            masker.decode(state, prompts)
    with pytest.raises(PromptError, match="give 1 or 3"):
        masker.decode(state, clicks(1), candidates=2)


def test_the_single_answer_is_the_stable_one_or_the_best_of_three() -> None:
    logits = torch.full((2, 4, 4, 5), -3.0)
    logits[0, 0, :2] = 3.0  # stable: the threshold may move
    logits[1, 0, :2] = 0.01  # not
    logits[:, 1, 0], logits[:, 2, 1], logits[:, 3, 2] = 1.0, 1.0, 1.0
    quality = torch.tensor([[0.1, 0.2, 0.9, 0.3], [0.95, 0.2, 0.3, 0.6]])
    masks, value = steady(logits, quality, Stable())
    torch.testing.assert_close(masks[:, 0], torch.stack([logits[0, 0], logits[1, 3]]))
    assert value.tolist() == [[pytest.approx(0.1)], [pytest.approx(0.6)]]
    always, _ = steady(logits, quality, Stable(min_stability=0.0))
    torch.testing.assert_close(always[:, 0], logits[:, 0])


@pytest.mark.parametrize(
    ("width", "blocks", "heads", "everywhere"),
    [
        (96, (1, 2, 7, 2), 1, (5, 7, 9)),
        (96, (1, 2, 11, 2), 1, (7, 10, 13)),
        (112, (2, 3, 16, 3), 2, (12, 16, 20)),
        (144, (2, 6, 36, 4), 2, (23, 33, 43)),
    ],
    ids=["tiny", "small", "base-plus", "large"],
)
def test_the_size_shows_in_the_shapes(
    width: int, blocks: tuple[int, ...], heads: int, everywhere: tuple[int, ...]
) -> None:
    widths = tuple(width * 2**i for i in range(4))
    given: dict[str, Any] = {"blocks": blocks, "widths": widths, "everywhere": everywhere}
    windows = (8, 4, 16, 8) if width == 144 else (8, 4, 14, 7)
    background = (14, 14) if width == 112 else (7, 7)
    config = HieraConfig(
        **given, heads=tuple(heads * 2**i for i in range(4)), windows=windows, background=background
    )
    with torch.device("meta"):
        state = PyramidEncoder(config).state_dict()
    assert hiera_config(state) == config


def test_other_sizes_and_missing_weights_are_named(tmp_path: Path) -> None:
    state = sam2_weights.trained()
    with pytest.raises(CheckpointError, match="12 wide"):
        masker_of(state, CPU, name="small")
    del state["sam_mask_decoder.obj_score_token.weight"]
    with pytest.raises(CheckpointError, match="obj_score_token"):
        masker_of(state, CPU, name="small", hiera=SMALL)
    with pytest.raises(CheckpointError, match="not the weights of a SAM 2"):
        hiera_config({"anything": torch.zeros(1)})


@pytest.mark.slow
def test_metas_file_is_told_by_its_shapes(tmp_path: Path) -> None:
    """Meta's .pt, whatever its file's name; the video's weights in it are left aside."""
    from lexiseg.models import load_masker

    widths = (96, 192, 384, 768)
    tiny = HieraConfig((1, 2, 7, 2), widths, (1, 2, 4, 8), (8, 4, 14, 7), (5, 7, 9), out=64)
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in PyramidEncoder(tiny).state_dict().items()}
    state = {k: v for k, v in sam2_weights.trained().items() if not k.startswith("image_")}
    state |= {
        f"image_encoder.{k}": torch.full(s, i / 999) for i, (k, s) in enumerate(shapes.items())
    }
    state["maskmem_tpos_enc"] = torch.zeros(7, 1, 1, 64)
    state["sam_mask_decoder.pred_obj_score_head.layers.0.weight"] = torch.zeros(64, 64)
    torch.save({"model": state}, tmp_path / "mine.pt")
    loaded = load_masker(tmp_path / "mine.pt", LoadOptions(device="cpu", dtype="fp32"))
    direct = masker_of(state, CPU, name="same")
    assert isinstance(loaded, Sam2Masker)
    for mine, other in zip(
        loaded.encoder.state_dict().values(), direct.encoder.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, other)
    assert loaded.encoder.config.everywhere == (5, 7, 9)
