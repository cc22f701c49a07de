"""SAM 1 as a masker: a picture encoded once, then any number of prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, OnDevice, skip_init
from lexiseg.errors import CheckpointError, PromptError
from lexiseg.models.sam.decoder import Cells, DecoderConfig, MaskDecoder
from lexiseg.models.sam.encoder import PictureEncoder
from lexiseg.models.sam.prompts import PromptEncoder
from lexiseg.models.sam.trunk import scaled_pixels, trunk_of
from lexiseg.models.sam.weights import meta_state, part, read_weights, weights_file
from lexiseg.protocols import BackboneMaps, Frame, MaskPrompts, RawMasks

__all__ = ["SamMasker", "SamState", "from_checkpoint", "masker_of"]

_CANDIDATES = 3
# Numbers of a prompt's cells that are worked on together: what fits the cache of a CPU, or a GPU.
_AT_ONCE, _ON_GPU = 1 << 22, 1 << 26


@dataclass(frozen=True, eq=False)
class SamState:
    """An encoded picture."""

    cells: Cells
    frame: Frame


class SamMasker(OnDevice):
    """Protocol ``Masker`` over SAM (Kirillov et al. 2023)."""

    min_quality, min_stability = 0.88, 0.95  # the defaults of its own generator

    def __init__(
        self,
        encoder: PictureEncoder,
        prompts: PromptEncoder,
        decoder: MaskDecoder,
        compute: Compute,
        *,
        name: str,
        sha256: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.sha256: Mapping[str, str] = dict(sha256 or {})
        self._compute = compute
        self.encoder = compute.ready(encoder)
        self._prompts = prompts.to(compute.device)
        self._decoder = compute.ready(decoder, sizes_change=True)
        with torch.inference_mode():
            self._places = prompts.grid(encoder.config.side)
            decoder.prepare(self._places)

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8], maps: Iterable[BackboneMaps] = ()) -> SamState:
        """Encode a picture, (H, W, 3) uint8 RGB, of any size; the long side becomes SAM's own."""
        config = self.encoder.config
        side = config.side * config.patch
        pixels, input_hw = scaled_pixels(rgb, side)
        with self._compute.autocast():
            features = self.encoder(pixels.to(self._compute.device)).flatten(2).transpose(1, 2)
            no_mask = self._prompts.no_mask_embed.weight
            cells = self._decoder.cells(features.contiguous(), no_mask, self._places)
        return SamState(cells, Frame((rgb.shape[0], rgb.shape[1]), input_hw, (side, side)))

    @torch.inference_mode()
    def decode(
        self,
        state: SamState,
        prompts: MaskPrompts,
        *,
        candidates: int = _CANDIDATES,
        keep: Callable[[RawMasks], Tensor] | None = None,
    ) -> RawMasks:
        """Return masks for every prompt, by prompt then by candidate; see ``Masker.decode``.

        candidates: 3, or 1 for the mask that SAM draws where a prompt leaves no doubt. Qualities
        are what the network says: a little above 1 at times. Raises PromptError.
        """
        if candidates not in (1, _CANDIDATES):
            raise PromptError(f"{candidates} candidates a prompt; give 1 or {_CANDIDATES}")
        checked = self._checked(prompts)
        answers = slice(0, 1) if candidates == 1 else slice(1, 1 + _CANDIDATES)
        budget = _AT_ONCE if self._compute.device.type == "cpu" else _ON_GPU
        at_once = min(64, max(1, budget // state.cells.plain.numel()))
        parts: list[RawMasks] = []
        for start in range(0, len(checked), at_once):
            raw = self._batch(state, checked[start : start + at_once], answers, start)
            parts.append(raw if keep is None else raw[keep(raw)])
        return RawMasks(
            torch.cat([raw.logits for raw in parts]),
            torch.cat([raw.quality for raw in parts]),
            torch.cat([raw.prompt for raw in parts]),
            state.frame,
        )

    def _batch(self, state: SamState, prompts: MaskPrompts, answers: slice, start: int) -> RawMasks:
        points, boxes = self._scaled(state.frame, prompts)
        with self._compute.autocast():
            tokens = self._prompts.tokens(len(prompts), points, prompts.point_labels, boxes)
            rough = None if prompts.masks is None else self._prompts.dense(prompts.masks)
            logits, quality = self._decoder(state.cells, tokens, rough, answers)
        prompt = torch.arange(start, start + len(prompts), device=quality.device)
        return RawMasks(
            logits.float().flatten(0, 1),
            quality.float().flatten(),
            prompt.repeat_interleave(quality.shape[1]),
            state.frame,
        )

    def _checked(self, prompts: MaskPrompts) -> MaskPrompts:
        """The prompts on the device, all with labels; raises PromptError."""
        if len(prompts) == 0:
            raise PromptError("there are no points, boxes or masks to ask with; give at least one")
        device, side = self._compute.device, 4 * self.encoder.config.side
        points, labels, masks = prompts.points_xy, prompts.point_labels, prompts.masks
        if points is not None:
            points = points.to(device, torch.float32)
            if labels is None:
                labels = torch.ones(points.shape[:2], dtype=torch.long)
            labels = labels.to(device, torch.long)
            if points.shape[1] == 0:
                points, labels = None, None
        if masks is not None:
            masks = masks.to(device, torch.float32)
            if masks.shape[1:] != (side, side):
                raise PromptError(
                    f"masks of {tuple(masks.shape[1:])} as prompts; give logits of {(side, side)}"
                )
        boxes = prompts.boxes_xyxy
        boxes = None if boxes is None else boxes.to(device, torch.float32)
        if points is None and boxes is None and masks is None:
            raise PromptError("a prompt needs a point, a box or a mask; give one")
        return MaskPrompts(points, labels if points is not None else None, boxes, masks)

    def _scaled(self, frame: Frame, prompts: MaskPrompts) -> tuple[Tensor | None, Tensor | None]:
        """Points and boxes in parts of the padded input.

        Meta's code counts pixels from the middle of the first one, scales, and adds half a pixel
        of the input: a point is taken there from our coordinates, whose first middle is 0.5. Boxes
        are taken as they are: callers of Meta's code give the borders between pixels too.
        """
        side = frame.padded_hw[0]
        scale = torch.tensor(
            [frame.input_hw[i] / frame.size_hw[i] for i in (1, 0)], device=self._compute.device
        )
        points = (
            None if prompts.points_xy is None else ((prompts.points_xy - 0.5) * scale + 0.5) / side
        )
        boxes = prompts.boxes_xyxy
        boxes = None if boxes is None else (boxes * scale.repeat(2) + 0.5) / side
        return points, boxes


def from_checkpoint(checkpoint: Checkpoint, compute: Compute) -> SamMasker:
    """Build the masker. Raises CheckpointError where weights are missing or do not fit."""
    heads = 8
    if "config.json" in checkpoint.paths:
        config = json.loads(checkpoint["config.json"].read_text("utf-8"))
        heads = int(config.get("mask_decoder_config", {}).get("num_attention_heads", heads))
    state = meta_state(read_weights(weights_file(checkpoint)))
    return masker_of(
        state, compute, name=checkpoint.record.name, sha256=checkpoint.sha256, heads=heads
    )


def masker_of(
    state: Mapping[str, Tensor],
    compute: Compute,
    *,
    name: str,
    sha256: Mapping[str, str] | None = None,
    heads: int = 8,
) -> SamMasker:
    """The masker that these weights, by Meta's names, describe. Raises CheckpointError."""
    encoder = trunk_of(part(state, "image_encoder."))
    prompt_state, masks = part(state, "prompt_encoder."), part(state, "mask_decoder.")
    try:
        layers = [n for n in masks if n.startswith("iou_prediction_head") and n.endswith("weight")]
        config = DecoderConfig(
            width=masks["iou_token.weight"].shape[1],
            hidden=masks["transformer.layers.0.mlp.lin1.weight"].shape[0],
            mask_channels=prompt_state["mask_downscaling.3.weight"].shape[0],
            side=encoder.config.side,
            quality_hidden=masks["iou_prediction_head.layers.0.weight"].shape[0],
            quality_layers=len(layers),
            heads=heads,
        )
        with skip_init():
            prompts = PromptEncoder(config.width, config.mask_channels)
            decoder = MaskDecoder(config)
        for net, weights in ((prompts, prompt_state), (decoder, masks)):
            given = {k: v.float() for k, v in weights.items()}
            net.load_state_dict(given, strict=True, assign=True)
    except (KeyError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights of {name!r} are not those of a whole SAM ({error}); copy or pull them "
            "again"
        ) from error
    for net in (prompts, decoder):
        net.eval().requires_grad_(False)
    return SamMasker(encoder, prompts, decoder, compute, name=name, sha256=sha256)
