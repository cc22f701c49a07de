"""Masker protocol over the bundled mask network, on the encoder's own maps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, OnDevice, skip_init
from lexiseg.errors import CheckpointError, PromptError
from lexiseg.imaging import pad_to_multiple, resize_image, working_size
from lexiseg.models.tiny import MASKER
from lexiseg.models.tiny.masknet import CANDIDATES, Maps, MaskNet, MaskNetConfig, Pointers
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.models.tiny.weights import fill, load_vision
from lexiseg.protocols import BackboneMaps, Frame, MaskPrompts, RawMasks

__all__ = ["TinyMaskState", "TinyMasker", "from_checkpoint"]

_SHORT_SIDE, _LARGEST = 288, 288 * 1024  # pixels of the scaled picture: its short side, all of it
_MULTIPLE = 32
# Prompts: what they touch fits the cache, and no tensor of theirs is so large that the allocator
# takes it from the system anew, page by page, which doubles the time.
_AT_ONCE = 4
_ON_GPU = 256


@dataclass(frozen=True, eq=False)
class TinyMaskState:
    """An encoded picture."""

    maps: Maps
    frame: Frame


class TinyMasker(OnDevice):
    """Points, boxes and rough masks to masks, on a grid of a quarter of the scaled picture."""

    min_quality, min_stability = 0.35, 0.5  # chosen on train photos; it rates few above 0.6

    def __init__(
        self,
        vision: VisionNet,
        net: MaskNet,
        compute: Compute,
        *,
        name: str = "tiny",
        sha256: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._compute = compute
        self._vision = vision.eval().requires_grad_(False).to(compute.device)
        self._vision.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._net = net.eval().requires_grad_(False).to(compute.device)
        compute.cast_weights(self._net)
        self.sha256: Mapping[str, str] = dict(sha256 or {})

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8], maps: Iterable[BackboneMaps] = ()) -> TinyMaskState:
        """Encode a picture, (H, W, 3) uint8 RGB, of any size; the short side becomes 288 pixels.

        maps: of the encoder that stands on the same weights; those of this size spare the backbone.
        """
        size_hw = (rgb.shape[0], rgb.shape[1])
        height, width = working_size(size_hw, _SHORT_SIDE, _LARGEST)
        bottom, right = -height % _MULTIPLE, -width % _MULTIPLE
        frame = Frame(size_hw, (height, width), (height + bottom, width + right))
        vision = next((made.value for made in maps if self._made(made, frame)), None)
        with self._compute.autocast():
            if vision is None:
                vision = self._vision.maps(self._pixels(rgb, frame))
            prepared = self._net.prepare(vision.decoded, vision.fine)[0]
        return TinyMaskState(prepared, frame)

    def _made(self, maps: BackboneMaps, frame: Frame) -> bool:
        """Whether these maps are what this masker would make."""
        same = maps.backbone is self._vision and maps.dtype_name == self.dtype_name
        return same and (maps.input_hw, maps.padded_hw) == (frame.input_hw, frame.padded_hw)

    def _pixels(self, rgb: NDArray[np.uint8], frame: Frame) -> Tensor:
        """The picture as the backbone takes it, (1, 3, h, w) in [-1, 1]."""
        whole = pad_to_multiple(resize_image(rgb, frame.input_hw), _MULTIPLE)
        pixels = torch.from_numpy(whole)[None].to(self._compute.device)
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        return x.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def decode(
        self,
        state: TinyMaskState,
        prompts: MaskPrompts,
        *,
        candidates: int = CANDIDATES,
        keep: Callable[[RawMasks], Tensor] | None = None,
    ) -> RawMasks:
        """Return masks for every prompt, by prompt then by candidate; see ``Masker.decode``.

        candidates: 3, or 1 for the one with the best quality. Raises PromptError for prompts that
        ask for nothing.
        """
        if candidates not in (1, CANDIDATES):
            raise PromptError(f"{candidates} candidates a prompt; give 1 or {CANDIDATES}")
        asked = self._pointers(state, prompts)
        at_once = _AT_ONCE if self._compute.device.type == "cpu" else _ON_GPU
        found: list[RawMasks] = []
        for start in range(0, len(asked), at_once):
            part = asked[start : start + at_once]
            with self._compute.autocast():
                logits, quality = self._net(state.maps, part)
            logits, quality = logits.float(), quality.float().sigmoid()
            if candidates == 1:
                best = quality.argmax(1)
                rows = torch.arange(len(best), device=best.device)
                logits, quality = logits[rows, best][:, None], quality[rows, best][:, None]
            prompt = torch.arange(start, start + len(part), device=quality.device)
            raw = RawMasks(
                logits.flatten(0, 1),
                quality.flatten(),
                prompt.repeat_interleave(candidates),
                state.frame,
            )
            found.append(raw if keep is None else raw[keep(raw)])
        return RawMasks(
            torch.cat([raw.logits for raw in found]),
            torch.cat([raw.quality for raw in found]),
            torch.cat([raw.prompt for raw in found]),
            state.frame,
        )

    def _pointers(self, state: TinyMaskState, prompts: MaskPrompts) -> Pointers:
        """Prompts in pixels of the picture -> in parts of the grid."""
        count, device = len(prompts), self._compute.device
        if count == 0:
            raise PromptError("there are no points, boxes or masks to ask with; give at least one")
        frame = state.frame
        scale = torch.tensor(
            [frame.input_hw[i] / frame.size_hw[i] / frame.padded_hw[i] for i in (1, 0)],
            device=device,
        )
        points = torch.zeros(count, 0, 2, device=device)
        labels = torch.zeros(count, 0, dtype=torch.long)
        if prompts.points_xy is not None:
            points = prompts.points_xy.to(device, torch.float32) * scale
            labels = torch.ones(points.shape[:2], dtype=torch.long)
            if prompts.point_labels is not None:
                labels = prompts.point_labels
        # Before they go to the device: that would wait.
        clicked, negatives = bool((labels == 1).any(1).all()), bool((labels == 0).any())
        labels = labels.to(device)
        boxes, boxed = torch.zeros(count, 4, device=device), prompts.boxes_xyxy is not None
        if prompts.boxes_xyxy is not None:
            boxes = prompts.boxes_xyxy.to(device, torch.float32) * scale.repeat(2)
        has_box = torch.full((count,), boxed, device=device)
        earlier = prompts.masks
        with_mask = None if earlier is None else torch.ones(count, dtype=torch.bool, device=device)
        if earlier is not None:
            h, w = state.maps.detail.shape[:2]
            earlier = earlier.to(device, torch.float32)
            if earlier.shape[1:] != (h, w):
                raise PromptError(
                    f"masks of {tuple(earlier.shape[1:])} as prompts; give logits of {(h, w)}"
                )
            if not boxed and not clicked:
                points, labels = _with_peaks(points, labels, earlier)
                clicked = True
        if not boxed and not clicked:
            raise PromptError("a prompt needs a point on the thing, a box or a mask; give one")
        return Pointers(
            points, labels, boxes, has_box, earlier, with_mask, clicked, negatives, boxed
        )


def _with_peaks(points: Tensor, labels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Add the surest place of each rough mask as a click, smoothed so that it lies inside."""
    smooth = F.avg_pool2d(logits[:, None].sigmoid(), 5, 1, 2)[:, 0]
    h, w = smooth.shape[1:]
    place = smooth.flatten(1).argmax(1)
    peak = torch.stack([(place % w + 0.5) / w, (place // w + 0.5) / h], 1)
    label = torch.where((labels == 1).any(1), -1, 1)
    return torch.cat([points, peak[:, None]], 1), torch.cat([labels, label[:, None]], 1)


def from_checkpoint(checkpoint: Checkpoint, compute: Compute) -> TinyMasker:
    """Build the masker from verified files. Raises CheckpointError where they do not fit."""
    if MASKER not in checkpoint.paths:
        raise CheckpointError(
            f"{checkpoint.record.name!r} has no {MASKER}; choose another masker, or "
            "train one with `lexiseg train tiny`"
        )
    config = json.loads(checkpoint["config.json"].read_text("utf-8"))
    given = config["masker"]
    vision = load_vision(checkpoint, config["vision"], compute)
    with skip_init():
        net = MaskNet(MaskNetConfig(**{**given, "dilations": tuple(given["dilations"])}))
    fill(net, checkpoint[MASKER])
    return TinyMasker(vision, net, compute, name=checkpoint.record.name, sha256=checkpoint.sha256)
