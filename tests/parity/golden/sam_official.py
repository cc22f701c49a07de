"""The official SAM code, run from its checkout, with stand-ins for what it takes of torchvision.

Only the scripts that make golden files use this; tests read what they made.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

COMMIT = "dca509fe793f601edb92606367a655c15ac00fdf"
_PHOTOS = Path(__file__).parents[3] / "examples" / "photos"
# Photo -> (rows, columns) of it, every second or third pixel: none is square.
CROPS = {"street": (2, 330, 420), "coffee": (3, 400, 600), "kitchen": (3, 470, 400)}


def picture(name: str) -> Any:
    """A small picture, (H, W, 3), of few colours, so that it packs well."""
    step, rows, columns = CROPS[name]
    rgb = np.array(Image.open(_PHOTOS / f"{name}.jpg").convert("RGB"))[:rows:step, :columns:step]
    return rgb // 16 * 16 + 8


def scaled(rgb: Any, side: int) -> Any:
    """The long side at ``side``, as the official transform does it."""
    factor = side / max(rgb.shape[:2])
    h, w = (int(s * factor + 0.5) for s in rgb.shape[:2])
    return np.array(Image.fromarray(rgb).resize((w, h), Image.Resampling.BILINEAR))


def nms(boxes: Any, scores: Any, threshold: float) -> Any:
    """Greedy suppression, as torchvision defines it: best first, ties in order, IoU above."""
    order = scores.sort(descending=True, stable=True).indices.tolist()
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    gone = torch.zeros(len(boxes), dtype=torch.bool)
    for i in order:
        if gone[i]:
            continue
        kept.append(i)
        low = torch.maximum(boxes[i, :2], boxes[:, :2])
        high = torch.minimum(boxes[i, 2:], boxes[:, 2:])
        shared = (high - low).clamp_min(0).prod(1)
        gone |= shared / (area[i] + area - shared) > threshold
    return torch.tensor(kept, dtype=torch.long)


def _stand_in() -> None:
    names = (
        "torchvision",
        "torchvision.ops",
        "torchvision.ops.boxes",
        "torchvision.transforms",
        "torchvision.transforms.functional",
    )
    made = {name: ModuleType(name) for name in names}
    boxes: Any = made["torchvision.ops.boxes"]
    boxes.batched_nms = lambda b, s, _, iou_threshold: nms(b, s, iou_threshold)
    boxes.box_area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    change: Any = made["torchvision.transforms.functional"]
    change.to_pil_image = Image.fromarray
    change.resize = lambda image, hw: image.resize(hw[::-1], Image.Resampling.BILINEAR)
    sys.modules.update(made)


def load_official(folder: Path) -> SimpleNamespace:
    """The official classes, and ``build(sizes)``, the official network at other sizes."""
    _stand_in()
    sys.path.insert(0, str(folder))
    from segment_anything import SamAutomaticMaskGenerator, SamPredictor  # type: ignore
    from segment_anything.modeling import (  # type: ignore
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )  # fmt: skip

    def build(s: dict[str, Any]) -> Any:
        cells = s["image"] // s["patch"]
        return Sam(
            image_encoder=ImageEncoderViT(
                depth=s["layers"], embed_dim=s["width"], img_size=s["image"],
                mlp_ratio=s["hidden"] / s["width"],
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), num_heads=s["heads"],
                patch_size=s["patch"], qkv_bias=True, use_rel_pos=True,
                global_attn_indexes=s["global"], window_size=s["window"], out_chans=s["dim"],
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=s["dim"], image_embedding_size=(cells, cells),
                input_image_size=(s["image"], s["image"]), mask_in_chans=s["mask_channels"],
            ),
            mask_decoder=MaskDecoder(
                num_multimask_outputs=3,
                transformer=TwoWayTransformer(
                    depth=2, embedding_dim=s["dim"], mlp_dim=s["mlp"], num_heads=8,
                ),
                transformer_dim=s["dim"], iou_head_depth=3, iou_head_hidden_dim=s["dim"],
            ),
            pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375],
        )  # fmt: skip

    return SimpleNamespace(build=build, Generator=SamAutomaticMaskGenerator, Predictor=SamPredictor)
