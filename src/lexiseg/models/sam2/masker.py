"""SAM 2 as a masker: a picture encoded once, then any number of prompts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, skip_init
from lexiseg.errors import CheckpointError
from lexiseg.models.sam.decoder import DecoderConfig
from lexiseg.models.sam.masker import SamMasker
from lexiseg.models.sam.prompts import PromptEncoder
from lexiseg.models.sam.weights import part, read_weights, weights_file
from lexiseg.models.sam2.decoder import FineCells, FineDecoder, Stable, steady
from lexiseg.models.sam2.hiera import HieraConfig, PyramidEncoder, hiera_config
from lexiseg.models.sam2.weights import meta_state
from lexiseg.protocols import BackboneMaps, Frame, MaskPrompts, RawMasks

__all__ = [
    "Sam2Masker",
    "Sam2State",
    "decoder_of",
    "decoder_settings",
    "from_checkpoint",
    "load_weights",
    "masker_of",
    "squashed",
]  # fmt: skip

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LIMIT = 32.0  # logits that Meta's predictor hands out for a next round


@dataclass(frozen=True, eq=False)
class Sam2State:
    """An encoded picture."""

    cells: FineCells
    frame: Frame


class Sam2Masker(SamMasker):
    """Protocol ``Masker`` over SAM 2, 2.1, and what has their prompts and decoder.

    Asked for one candidate, it answers with the mask for prompts that leave no doubt where that is
    stable, else with the best rated of the three, as Meta's predictor does.
    """

    min_quality, min_stability = 0.8, 0.95  # the defaults of its own generator

    def __init__(
        self,
        encoder: nn.Module,
        prompts: PromptEncoder,
        decoder: FineDecoder,
        no_memory: Tensor,
        compute: Compute,
        *,
        name: str,
        sha256: Mapping[str, str] | None = None,
        stable: Stable | None = None,
        mean: tuple[float, float, float] = _MEAN,
        std: tuple[float, float, float] = _STD,
    ) -> None:
        super().__init__(encoder, prompts, decoder, compute, name=name, sha256=sha256)  # type: ignore[arg-type]
        self._net, self._fine = encoder, decoder  # moved to the device in place, above
        config: Any = encoder.config
        self._sides = (int(config.side), int(config.side * config.patch))
        self._no_memory = no_memory.to(compute.device)
        self._stable = stable or Stable()
        self._colours = (mean, std)

    @torch.inference_mode()
    def encode(  # type: ignore[override]
        self, rgb: NDArray[np.uint8], maps: Iterable[BackboneMaps] = ()
    ) -> Sam2State:
        """Encode a picture, (H, W, 3) uint8 RGB, of any size; it is squashed to a square."""
        cells, side = self._sides
        pixels = squashed(rgb, side, *self._colours)
        with self._compute.autocast():
            pyramid = self._net(pixels.to(self._compute.device))
            no_mask = self._prompts.no_mask_embed.weight
            fine = self._fine.fine_cells(pyramid, self._no_memory, no_mask, self._places)
        grid = (4 * cells, 4 * cells)
        return Sam2State(fine, Frame((rgb.shape[0], rgb.shape[1]), grid, grid))

    def _batch(  # type: ignore[override]
        self, state: Sam2State, prompts: MaskPrompts, answers: slice, start: int
    ) -> RawMasks:
        points, boxes = self._scaled(state.frame, prompts)
        single = answers.start == 0
        with self._compute.autocast():
            tokens = self._tokens(len(prompts), points, prompts.point_labels, boxes)
            rough = None
            if prompts.masks is not None:
                rough = self._prompts.dense(prompts.masks.clamp(-_LIMIT, _LIMIT))
            logits, quality = self._fine(
                state.cells, tokens, rough, slice(0, 4) if single else answers
            )
        logits = logits.float()
        if single:
            logits, quality = steady(logits, quality, self._stable)
        prompt = torch.arange(start, start + len(prompts), device=quality.device)
        return RawMasks(
            logits.flatten(0, 1),
            quality.flatten(),
            prompt.repeat_interleave(quality.shape[1]),
            state.frame,
        )

    def _tokens(
        self, count: int, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None
    ) -> Tensor:
        """As SAM's, but that a box too is followed by the token for "no further point"."""
        tokens = self._prompts.tokens(count, points, labels, boxes)
        if boxes is None:
            return tokens
        padding = self._prompts.not_a_point_embed.weight
        return torch.cat([tokens, padding.expand(count, 1, -1)], 1)

    def _scaled(self, frame: Frame, prompts: MaskPrompts) -> tuple[Tensor | None, Tensor | None]:
        """Points and boxes in parts of the square, each side by itself; see ``SamMasker``."""
        _, side = self._sides
        whole = replace(frame, input_hw=(side, side), padded_hw=(side, side))
        return super()._scaled(whole, prompts)


def squashed(
    rgb: NDArray[np.uint8],
    side: int,
    mean: tuple[float, float, float] = _MEAN,
    std: tuple[float, float, float] = _STD,
) -> Tensor:
    """Scale a picture (H, W, 3) to a square and normalise it, (1, 3, side, side).

    Bilinear with antialiasing, as torchvision scales tensors. One colour after the other, so that
    a large picture needs little memory.
    """
    planes = []
    for channel, (middle, spread) in enumerate(zip(mean, std, strict=True)):
        plane = torch.from_numpy(np.ascontiguousarray(rgb[:, :, channel])).float()[None, None] / 255
        small = F.interpolate(plane, (side, side), mode="bilinear", antialias=True)
        planes.append((small[0, 0] - middle) / spread)
    return torch.stack(planes)[None]


def from_checkpoint(checkpoint: Checkpoint, compute: Compute) -> Sam2Masker:
    """Build the masker. Raises CheckpointError where weights are missing or do not fit."""
    state = meta_state(read_weights(weights_file(checkpoint)))
    hiera, heads, stable = None, 8, None
    if "config.json" in checkpoint.paths:
        config = json.loads(checkpoint["config.json"].read_text("utf-8"))
        hiera = _hiera_of(config)
        heads, stable = decoder_settings(config)
    return masker_of(
        state, compute, name=checkpoint.record.name, sha256=checkpoint.sha256, hiera=hiera,
        heads=heads, stable=stable,
    )  # fmt: skip


def masker_of(
    state: Mapping[str, Tensor],
    compute: Compute,
    *,
    name: str,
    sha256: Mapping[str, str] | None = None,
    hiera: HieraConfig | None = None,
    heads: int = 8,
    stable: Stable | None = None,
) -> Sam2Masker:
    """The masker that these weights, by Meta's names, describe.

    hiera: sizes of the picture encoder; None: those of the published model that has these shapes.
    Weights of video memory are left aside. Raises CheckpointError.
    """
    weights = part(state, "image_encoder.")
    config = hiera or hiera_config(weights)
    with skip_init():
        encoder = PyramidEncoder(config)
    load_weights(encoder, weights, name)
    prompts, decoder, no_memory = decoder_of(state, config.side, heads, name)
    return Sam2Masker(
        encoder.eval().requires_grad_(False), prompts, decoder, no_memory, compute,
        name=name, sha256=sha256, stable=stable,
    )  # fmt: skip


def decoder_of(
    state: Mapping[str, Tensor], side: int, heads: int, name: str
) -> tuple[PromptEncoder, FineDecoder, Tensor]:
    """Prompt encoder, decoder and the vector of "no memory". Raises CheckpointError."""
    prompt_state, masks = part(state, "sam_prompt_encoder."), part(state, "sam_mask_decoder.")
    # SAM 2's MLPs in the transformer are SAM's under another name.
    masks = {
        k.replace(".mlp.layers.0.", ".mlp.lin1.").replace(".mlp.layers.1.", ".mlp.lin2."): v
        for k, v in masks.items()
        if not k.startswith("pred_obj_score_head.")  # whether a thing is in view, in videos
    }
    try:
        layers = [n for n in masks if n.startswith("iou_prediction_head") and n.endswith("weight")]
        config = DecoderConfig(
            width=masks["iou_token.weight"].shape[1],
            hidden=masks["transformer.layers.0.mlp.lin1.weight"].shape[0],
            mask_channels=prompt_state["mask_downscaling.3.weight"].shape[0],
            side=side,
            quality_hidden=masks["iou_prediction_head.layers.0.weight"].shape[0],
            quality_layers=len(layers),
            heads=heads,
        )
        no_memory = state["no_mem_embed"].float().flatten()
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"the weights of {name!r} are not those of a whole SAM 2 ({error} is missing); copy or "
            "pull them again"
        ) from error
    with skip_init():
        prompts = PromptEncoder(config.width, config.mask_channels)
        decoder = FineDecoder(config)
    load_weights(prompts, prompt_state, name)
    load_weights(decoder, masks, name)
    return prompts.eval().requires_grad_(False), decoder.eval().requires_grad_(False), no_memory


def load_weights(net: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Give a net its weights, all of them and no others; raises CheckpointError."""
    try:
        given = {k: v.float() for k, v in weights.items()}
        net.load_state_dict(given, strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"the weights of {name!r} are not those of a whole SAM 2 ({reason}); copy or pull them "
            "again"
        ) from error


def decoder_settings(config: Mapping[str, Any]) -> tuple[int, Stable | None]:
    """Heads and rules of the mask decoder, from transformers' config.json."""
    given = config.get("mask_decoder_config", {})
    known = Stable()
    stable = Stable(
        float(given.get("dynamic_multimask_stability_delta", known.delta)),
        float(given.get("dynamic_multimask_stability_thresh", known.min_stability)),
    )
    if not given.get("dynamic_multimask_via_stability", True):
        stable = replace(stable, min_stability=0.0)  # the first answer, whatever it is
    return int(given.get("num_attention_heads", 8)), stable


def _hiera_of(config: Mapping[str, Any]) -> HieraConfig:
    """Sizes from transformers' config.json; what it leaves out is that of the tiny model."""
    vision = config.get("vision_config", {})
    trunk = vision.get("backbone_config") or {}
    prompt = config.get("prompt_encoder_config", {})
    patch = int(prompt.get("patch_size", 16))
    background = trunk.get("window_positional_embedding_background_size", (7, 7))
    return HieraConfig(
        blocks=tuple(trunk.get("blocks_per_stage", (1, 2, 7, 2))),
        widths=tuple(trunk.get("embed_dim_per_stage", (96, 192, 384, 768))),
        heads=tuple(trunk.get("num_attention_heads_per_stage", (1, 2, 4, 8))),
        windows=tuple(trunk.get("window_size_per_stage", (8, 4, 14, 7))),
        everywhere=tuple(trunk.get("global_attention_blocks", (5, 7, 9))),
        background=(int(background[0]), int(background[1])),
        mlp_ratio=float(trunk.get("mlp_ratio", 4.0)),
        out=int(vision.get("fpn_hidden_size", 256)),
        side=int(prompt.get("image_size", 1024)) // patch,
        patch=patch,
    )
