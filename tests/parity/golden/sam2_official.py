"""The official SAM 2 code, run from its checkout, with stand-ins for what it takes of others.

Only the scripts that make golden files use this; tests read what they made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from tests import sam2_weights as small
from tests.parity.golden.sam_official import nms
from torch import nn

COMMIT = "2b90b9f5ceec907a1c18123530e92e794ad901a4"


class _Resize(nn.Module):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, pixels: Any) -> Any:
        return nn.functional.interpolate(
            pixels[None], self.size, mode="bilinear", antialias=True, align_corners=False
        )[0]


class _Normalize(nn.Module):
    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__()
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def forward(self, pixels: Any) -> Any:
        return (pixels - self.mean) / self.std


def _stand_ins() -> None:
    names = (
        "torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms",
        "hydra", "hydra.core", "hydra.core.global_hydra",
        "iopath", "iopath.common", "iopath.common.file_io",
    )  # fmt: skip
    made: dict[str, Any] = {name: ModuleType(name) for name in names}
    boxes = made["torchvision.ops.boxes"]
    boxes.batched_nms = lambda b, s, _, iou_threshold: nms(b, s, iou_threshold)
    boxes.box_area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    transforms = made["torchvision.transforms"]
    transforms.Resize, transforms.Normalize = _Resize, _Normalize
    transforms.ToTensor = lambda: (
        lambda x: torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1).float() / 255
    )
    made["hydra"].initialize_config_module = lambda *_, **__: None
    made["hydra.core.global_hydra"].GlobalHydra = type(
        "GlobalHydra", (), {"instance": staticmethod(lambda: type("I", (), {
            "is_initialized": staticmethod(lambda: True)
        }))}
    )  # fmt: skip
    made["iopath.common.file_io"].g_pathmgr = None
    sys.modules.update(made)


def load_official(folder: Path) -> SimpleNamespace:
    """``build()``, the official network at the small sizes; its predictor and its generator."""
    _stand_ins()
    sys.path.insert(0, str(folder))
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator  # type: ignore
    from sam2.modeling.backbones.hieradet import Hiera  # type: ignore
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder  # type: ignore
    from sam2.modeling.position_encoding import PositionEmbeddingSine  # type: ignore
    from sam2.modeling.sam.mask_decoder import MaskDecoder  # type: ignore
    from sam2.modeling.sam.prompt_encoder import PromptEncoder  # type: ignore
    from sam2.modeling.sam.transformer import TwoWayTransformer  # type: ignore
    from sam2.modeling.sam2_base import SAM2Base  # type: ignore
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    # Its transforms are scripted, which stand-ins cannot be.
    torch.jit.script = lambda module: module  # type: ignore[assignment]
    h, side, width = small.HIERA, small.SIDE // 16, small.WIDTH

    def build() -> Any:
        attention, memory = nn.Module(), nn.Module()
        attention.d_model = width  # type: ignore[assignment]
        encoder = ImageEncoder(
            scalp=1,
            trunk=Hiera(
                embed_dim=h["widths"][0], num_heads=1, stages=h["blocks"],
                window_pos_embed_bkg_spatial_size=h["background"], window_spec=h["windows"],
                global_att_blocks=h["everywhere"],
            ),
            neck=FpnNeck(
                PositionEmbeddingSine(width, normalize=True), width, list(reversed(h["widths"])),
                fpn_top_down_levels=[2, 3], fpn_interp_model="nearest",
            ),
        )  # fmt: skip
        model = SAM2Base(
            encoder, attention, memory, image_size=small.SIDE, directly_add_no_mem_embed=True,
            use_high_res_features_in_sam=True, multimask_output_in_sam=True,
            iou_prediction_use_sigmoid=True, pred_obj_scores=True, pred_obj_scores_mlp=True,
        )  # fmt: skip
        model.sam_prompt_encoder = PromptEncoder(
            width, (side, side), (small.SIDE, small.SIDE), small.MASK_CHANNELS
        )
        model.sam_mask_decoder = MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(2, width, small.HEADS, small.HIDDEN),
            iou_head_depth=3, iou_head_hidden_dim=width, use_high_res_features=True,
            iou_prediction_use_sigmoid=True, pred_obj_scores=True, pred_obj_scores_mlp=True,
            dynamic_multimask_via_stability=True, dynamic_multimask_stability_delta=0.05,
            dynamic_multimask_stability_thresh=0.98,
        )  # fmt: skip
        return model

    def predictor(model: Any, **settings: Any) -> Any:
        out = SAM2ImagePredictor(model, **settings)
        # The official sizes are those of a picture of 1024 x 1024.
        out._bb_feat_sizes = [(small.SIDE // n,) * 2 for n in (4, 8, 16)]
        return out

    def generator(model: Any, **settings: Any) -> Any:
        out = SAM2AutomaticMaskGenerator(model, **settings)
        out.predictor = predictor(
            model,
            max_hole_area=settings.get("min_mask_region_area", 0),
            max_sprinkle_area=settings.get("min_mask_region_area", 0),
        )
        return out

    return SimpleNamespace(build=build, predictor=predictor, generator=generator)
