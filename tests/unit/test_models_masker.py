"""The bundled masker: coordinates, prompts, batches, and what each kind of prompt does."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg import checkpoints
from lexiseg.device import pick, seeded
from lexiseg.errors import CheckpointError, MissingError, PromptError
from lexiseg.models import load_encoder, load_masker
from lexiseg.models.tiny.masker import TinyMasker
from lexiseg.models.tiny.masknet import MaskNet, MaskNetConfig, dilated_depthwise
from lexiseg.models.tiny.vision import MobileNetV2, VisionConfig, VisionNet
from lexiseg.models.tiny.weights import load_vision
from lexiseg.protocols import LoadOptions, Masker, MaskPrompts, RawMasks
from lexiseg.stages.automatic_masks import AutomaticMaskSettings, generate_masks
from lexiseg.stages.dense_features import encode_image
from lexiseg.stages.mask_upsampling import upsample_masks

HEIGHT, WIDTH = 170, 300


@pytest.fixture(scope="module")
def drawn() -> TinyMasker:
    with seeded(0):
        vision = VisionNet(
            VisionConfig(
                dim=16, context_dim=16, context_layers=1, heads=2, mlp=24, middle_dim=12,
                fine_dim=8, text_dim=20,
            )
        )  # fmt: skip
        net = MaskNet(
            MaskNetConfig(
                decoded_dim=8, shared_dim=12, groups=2, key_dim=4, dim=8, mlp=12, fine_dim=6
            )
        )
        for parameter in net.parameters():
            parameter.data.normal_(std=0.4)
    return TinyMasker(vision, net, pick("cpu", "fp32"))


@pytest.fixture(scope="module")
def shipped() -> Masker:
    try:
        checkpoints.resolve("tiny")
    except MissingError:
        pytest.skip("the bundled weights are not in this tree")
    return load_masker("tiny", LoadOptions(device="cpu", dtype="fp32"))


def scene() -> NDArray[np.uint8]:
    """A red disc on the upper left, a blue bar on the lower right, on a green ground."""
    x = np.mgrid[:HEIGHT, :WIDTH][1]
    rgb = np.full((HEIGHT, WIDTH, 3), (70, 140, 60), np.uint8)
    rgb[_disc()] = (200, 40, 30)
    rgb[_bar()] = (40, 60, 200)
    noise = np.random.default_rng(0).integers(-8, 9, rgb.shape)
    return (rgb.astype(int) + noise + (x[..., None] // 40)).clip(0, 255).astype(np.uint8)


def _disc() -> NDArray[np.bool_]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray((y - 55) ** 2 + (x - 70) ** 2 < 38**2)


def _bar() -> NDArray[np.bool_]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray((y > 105) & (y < 150) & (x > 170) & (x < 280))


def clicks(*points: tuple[float, float], labels: list[list[int]] | None = None) -> MaskPrompts:
    """One prompt a point; with labels, all points belong to one prompt."""
    places = torch.tensor(points, dtype=torch.float32)
    if labels is not None:
        return MaskPrompts(places[None], torch.tensor(labels))
    return MaskPrompts(places[:, None], torch.ones(len(points), 1, dtype=torch.int64))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_click_gets_what_lies_there(shipped: Masker) -> None:
    state = shipped.encode(scene())
    raw = shipped.decode(state, clicks((70, 55), (225, 128)), candidates=1)
    disc, bar = upsample_masks(raw)
    assert iou(disc, _disc()) > 0.6
    assert iou(bar, _bar()) > 0.6
    assert disc[55, 70]
    assert not disc[128, 225]


def test_a_box_gets_what_lies_in_it(shipped: Masker) -> None:
    boxes = torch.tensor([[28.0, 14.0, 112.0, 96.0], [168.0, 102.0, 283.0, 152.0]])
    raw = shipped.decode(shipped.encode(scene()), MaskPrompts(boxes_xyxy=boxes), candidates=1)
    disc, bar = upsample_masks(raw)
    assert iou(disc, _disc()) > 0.7
    assert iou(bar, _bar()) > 0.6


def test_candidates_and_quality(shipped: Masker) -> None:
    state = shipped.encode(scene())
    three = shipped.decode(state, clicks((70, 55), (225, 128)))
    one = shipped.decode(state, clicks((70, 55), (225, 128)), candidates=1)
    assert three.prompt.tolist() == [0, 0, 0, 1, 1, 1]
    assert float(three.quality.min()) >= 0
    assert float(three.quality.max()) <= 1
    best = three.quality.view(2, 3).argmax(1) + torch.tensor([0, 3])
    torch.testing.assert_close(one.logits, three.logits[best])
    with pytest.raises(PromptError, match="candidates"):
        shipped.decode(state, clicks((5, 5)), candidates=2)


def test_where_a_model_computes_is_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_masker("tiny", LoadOptions("cpu", "bf16"))
    assert (made.device_name, made.dtype_name) == ("cpu", "bf16")
    asked: list[tuple[object, ...]] = []

    def resolve(name: str, *, pull: bool, offline: bool | None) -> checkpoints.Checkpoint:
        asked.append((name, pull, offline))
        return checkpoints.resolve("tiny")

    monkeypatch.setattr("lexiseg.models.resolve", resolve)
    load_encoder("tiny", LoadOptions("cpu", pull=True, offline=True))
    load_encoder("tiny", LoadOptions(device="cpu"))
    assert asked == [("tiny", True, True), ("tiny", False, None)]


def test_one_run_of_the_backbone_serves_encoder_and_masker(
    shipped: Masker, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[int, ...]] = []
    forward = MobileNetV2.forward

    def counted(self: MobileNetV2, pixels: Tensor) -> object:
        runs.append(tuple(pixels.shape))
        return forward(self, pixels)

    monkeypatch.setattr(MobileNetV2, "forward", counted)
    encoder: Any = load_encoder("tiny", LoadOptions(device="cpu", dtype="fp32"))
    alone = shipped.encode(scene())
    features = encode_image(encoder, scene(), short_side=288, window=640)
    assert features.maps is not None
    runs.clear()
    shared = shipped.encode(scene(), [features.maps])
    assert not runs
    assert shared.frame == alone.frame
    one, other = (shipped.decode(state, clicks((70, 55))) for state in (alone, shared))
    torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=0)
    # What another size, number format or net made is of no use, and many windows make no maps.
    small = encode_image(encoder, scene(), short_side=256, window=640).maps
    assert small is not None
    others = [
        small, replace(features.maps, dtype_name="bf16"), replace(features.maps, backbone=None),
        replace(features.maps, input_hw=(287, 508)),
    ]  # fmt: skip
    runs.clear()
    other = shipped.decode(shipped.encode(scene(), others), clicks((70, 55)))
    assert runs == [(1, 3, 288, 512)]
    torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=0)
    assert encode_image(encoder, scene(), short_side=288, window=320).maps is None
    runs.clear()
    proposals = generate_masks(
        shipped, scene(), AutomaticMaskSettings(points_per_side=2), [features.maps]
    )
    assert proposals.prompts == 4
    assert not runs


def test_features_are_the_same_by_either_way(shipped: Masker) -> None:
    encoder: Any = load_encoder("tiny", LoadOptions(device="cpu", dtype="fp32"))
    pixels = torch.from_numpy(scene()[:160, :288])[None]
    maps = encoder.backbone_maps(pixels, (150, 280))
    assert maps.input_hw == (150, 280)
    assert maps.padded_hw == (160, 288)
    torch.testing.assert_close(encoder.features(maps), encoder.dense(pixels), rtol=0, atol=0)


def test_weights_are_in_memory_once_and_only_while_used(
    shipped: Masker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints.resolve("tiny")
    config = json.loads(folder["config.json"].read_text("utf-8"))["vision"]
    net = load_vision(folder, config, pick("cpu", "fp32"))
    encoder: Any = load_encoder("tiny", LoadOptions(device="cpu", dtype="fp32"))
    assert encoder.net is net
    # What autocast would cast at every call is cast once, in a net of its own.
    small: Any = load_encoder("tiny", LoadOptions(device="cpu", dtype="bf16"))
    assert small.net is not net
    assert small.net.backbone.stem.weight.dtype == torch.bfloat16
    assert net.backbone.stem.weight.dtype == small.net.words.weight.dtype == torch.float32
    pixels = torch.from_numpy(scene()[:64, :96].copy())[None]
    scaled = (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(
        memory_format=torch.channels_last
    )
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        cast_at_each_call = net.maps(scaled).decoded
    torch.testing.assert_close(small.decoded(pixels), cast_at_each_call, rtol=0, atol=0)
    # The same weights under another digest, which no other test holds.
    digests = {**folder.sha256, "vision.safetensors": "f" * 64}
    monkeypatch.setattr(checkpoints.Checkpoint, "sha256", digests)
    other = load_vision(folder, config, pick("cpu", "fp32"))
    assert other is not net
    assert load_vision(folder, config, pick("cpu", "fp32")) is other
    left = weakref.ref(other)
    del other
    gc.collect()
    assert left() is None


def test_many_prompts_are_decoded_as_each_alone(drawn: TinyMasker) -> None:
    state = drawn.encode(scene())
    rng = np.random.default_rng(1)
    points = [(float(x), float(y)) for x, y in rng.uniform((0, 0), (WIDTH, HEIGHT), (37, 2))]
    together = drawn.decode(state, clicks(*points))
    for i in (0, 15, 16, 36):
        alone = drawn.decode(state, clicks(points[i]))
        torch.testing.assert_close(
            together.logits[3 * i : 3 * i + 3], alone.logits, atol=1e-4, rtol=1e-4
        )
    kept: list[int] = []

    def keep(raw: RawMasks) -> Tensor:
        kept.append(len(raw))
        return raw.quality > together.quality.median()

    some = drawn.decode(state, clicks(*points), keep=keep)
    assert sum(kept) == 3 * 37
    assert max(kept) < 3 * 37  # by batches
    wanted = together.quality > together.quality.median()
    torch.testing.assert_close(some.logits, together.logits[wanted], atol=1e-4, rtol=1e-4)
    assert some.prompt.tolist() == together.prompt[wanted].tolist()


def test_every_part_of_a_prompt_counts(drawn: TinyMasker) -> None:
    state = drawn.encode(scene())
    plain = drawn.decode(state, clicks((70, 55)))
    mask = plain.logits[:1]
    changed = [
        clicks((70, 55), (200, 120), labels=[[1, 0]]),
        clicks((70, 55), (200, 120), labels=[[1, 1]]),
        MaskPrompts(torch.tensor([[[70.0, 55.0]]]), torch.ones(1, 1, dtype=torch.int64),
                    torch.tensor([[20.0, 10.0, 120.0, 100.0]])),
        MaskPrompts(torch.tensor([[[70.0, 55.0]]]), torch.ones(1, 1, dtype=torch.int64),
                    masks=mask),
    ]  # fmt: skip
    for prompt in changed:
        assert (drawn.decode(state, prompt).logits - plain.logits).abs().max() > 1e-3
    padded = clicks((70, 55), (200, 120), labels=[[1, -1]])
    torch.testing.assert_close(drawn.decode(state, padded).logits, plain.logits)
    assert len(drawn.decode(state, MaskPrompts(masks=mask))) == 3


def test_one_click_is_what_it_is_beside_a_place_left_empty(drawn: TinyMasker) -> None:
    """A single point takes a shorter way through the net."""
    state = drawn.encode(scene())
    alone = drawn.decode(state, clicks((90.0, 60.0), labels=[[1]]))
    padded = MaskPrompts(
        torch.tensor([[[90.0, 60.0], [200.0, 20.0]]]), torch.tensor([[1, -1]])
    )  # fmt: skip
    beside = drawn.decode(state, padded)
    torch.testing.assert_close(alone.logits, beside.logits)
    torch.testing.assert_close(alone.quality, beside.quality)


def test_prompts_that_ask_for_nothing_are_refused(drawn: TinyMasker) -> None:
    state = drawn.encode(scene())
    with pytest.raises(PromptError, match="at least one"):
        drawn.decode(state, MaskPrompts())
    with pytest.raises(PromptError, match="a point on the thing"):
        drawn.decode(state, clicks((70, 55), labels=[[0]]))
    with pytest.raises(PromptError, match="as prompts"):
        drawn.decode(state, MaskPrompts(masks=torch.zeros(1, 5, 7)))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 700), (40, 31), (333, 90)])
def test_pictures_of_any_size(drawn: TinyMasker, size_hw: tuple[int, int]) -> None:
    rgb = np.zeros((*size_hw, 3), np.uint8)
    masks = upsample_masks(drawn.decode(drawn.encode(rgb), clicks((0.5, 0.5))))
    assert masks.size_hw == size_hw
    assert len(masks) == 3


def test_a_bundle_without_a_masker_says_so(tmp_path: Path) -> None:
    from lexiseg.device import pick
    from lexiseg.models.tiny.masker import from_checkpoint

    checkpoint = checkpoints.resolve("tiny")
    fewer = {n: p for n, p in checkpoint.paths.items() if n != "masker.safetensors"}
    with pytest.raises(CheckpointError, match=r"no masker\.safetensors"):
        from_checkpoint(checkpoints.Checkpoint(checkpoint.record, fewer), pick("cpu", "fp32"))


@pytest.mark.parametrize("size_hw", [(36, 48), (35, 47), (1, 3)])
def test_a_wide_depthwise_convolution_is_what_torch_computes(size_hw: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(8, 8, 5, padding=8, dilation=4, groups=8)
    x = torch.randn(2, *size_hw, 8).permute(0, 3, 1, 2)
    torch.testing.assert_close(dilated_depthwise(conv, x), conv(x), rtol=0, atol=1e-5)
