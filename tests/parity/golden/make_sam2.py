"""Run the official SAM 2 code on small seeded weights, and keep what it says.

    python -m tests.parity.golden.make_sam2 OFFICIAL

OFFICIAL is a checkout of facebookresearch/sam2 at the commit below; ``sam2.npz`` is written beside
this file. The weights are those of ``tests.sam2_weights``, by name; stand-ins take the place of
torchvision's transforms, hydra and iopath. Masks are kept at every fourth row and column.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from tests import sam2_weights as small
from torch import nn

COMMIT = "2b90b9f5ceec907a1c18123530e92e794ad901a4"
HERE = Path(__file__).parent
PHOTO = HERE.parents[2] / "examples" / "photos" / "street.jpg"


def picture() -> Any:
    """A small picture, (H, W, 3), of few colours, so that it packs well."""
    rgb = np.array(Image.open(PHOTO).convert("RGB"))[:330:3, :420:3]
    return rgb // 16 * 16 + 8


def prompts(size_hw: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Prompts in the official code's coordinates: pixels, from the middle of the first one."""
    rng = np.random.default_rng(0)
    extent = np.array(size_hw[::-1], np.float32)
    points = (rng.random((5, 3, 2)) * extent).astype(np.float32)
    labels = np.array([[1, 0, -1], [1, 1, 0], [0, 1, 1], [1, -1, -1], [1, 0, 0]])
    low, size = rng.random((5, 2)) * extent * 0.6, extent * (0.15 + rng.random((5, 1)) * 0.25)
    boxes = np.concatenate([low, low + size], 1).astype(np.float32)
    return {
        "click": {"points": points[:, :1], "labels": np.ones((5, 1), np.int64)},
        "clicks": {"points": points, "labels": labels},
        "boxes": {"boxes": boxes},
        "both": {"points": points, "labels": labels, "boxes": boxes},
    }


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


def stand_ins() -> None:
    """What the code imports of other packages."""
    names = (
        "torchvision", "torchvision.transforms", "hydra", "hydra.core", "hydra.core.global_hydra",
        "iopath", "iopath.common", "iopath.common.file_io",
    )  # fmt: skip
    made: dict[str, Any] = {name: ModuleType(name) for name in names}
    transforms = made["torchvision.transforms"]
    transforms.Resize, transforms.Normalize = _Resize, _Normalize
    transforms.ToTensor = lambda: lambda x: torch.from_numpy(x).permute(2, 0, 1).float() / 255
    made["hydra"].initialize_config_module = lambda *_, **__: None
    made["hydra.core.global_hydra"].GlobalHydra = type(
        "GlobalHydra", (), {"instance": staticmethod(lambda: type("I", (), {
            "is_initialized": staticmethod(lambda: True)
        }))}
    )  # fmt: skip
    made["iopath.common.file_io"].g_pathmgr = None
    sys.modules.update(made)


def official(folder: Path) -> Any:
    """The official network at the small sizes, with the small weights, all of them."""
    stand_ins()
    sys.path.insert(0, str(folder))
    from sam2.modeling.backbones.hieradet import Hiera  # type: ignore
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder  # type: ignore
    from sam2.modeling.position_encoding import PositionEmbeddingSine  # type: ignore
    from sam2.modeling.sam.mask_decoder import MaskDecoder  # type: ignore
    from sam2.modeling.sam.prompt_encoder import PromptEncoder  # type: ignore
    from sam2.modeling.sam.transformer import TwoWayTransformer  # type: ignore
    from sam2.modeling.sam2_base import SAM2Base  # type: ignore

    h, side, width = small.HIERA, small.SIDE // 16, small.WIDTH
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
    state = {k: small.drawn(k, tuple(v.shape)) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    missing = set(small.meta_shapes()) - set(state)
    assert not missing, missing
    return model.eval()


def main(folder: Path) -> None:
    model = official(folder)
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    script, torch.jit.script = torch.jit.script, lambda module: module
    predictor = SAM2ImagePredictor(model)
    torch.jit.script = script
    predictor._bb_feat_sizes = [(small.SIDE // n,) * 2 for n in (4, 8, 16)]
    rgb = picture()
    predictor.set_image(rgb)
    out: dict[str, Any] = {"commit": np.array(COMMIT), "rgb": rgb}

    def ask(given: dict[str, Any], many: bool) -> tuple[Any, Any]:
        _, points, labels, boxes = predictor._prep_prompts(
            given.get("points"), given.get("labels"), given.get("boxes"), None, True
        )
        # The predictor clamps what it hands out; the network's own words are taken before.
        kept: list[Any] = []
        hook = model.sam_mask_decoder.register_forward_hook(
            lambda _m, _i, answer: kept.append((answer[0], answer[1]))
        )
        predictor._predict(points, labels, boxes, given.get("masks"), many, return_logits=True)
        hook.remove()
        return kept[0]

    for name, given in prompts(rgb.shape[:2]).items():
        for many in (True, False):
            low, quality = ask(given, many)
            out[f"{name} {3 if many else 1} masks"] = low.flatten(0, 1).numpy()[:, ::4, ::4]
            out[f"{name} {3 if many else 1} quality"] = quality.flatten().numpy()
            print(name, many, float(low.std()), ((low > 0).float().mean((2, 3))).flatten().tolist())
        if name in ("click", "both"):  # the single answer, asked with again
            low, quality = ask({**given, "masks": low.clamp(-32, 32)}, True)
            out[f"{name} again masks"] = low.flatten(0, 1).numpy()[:, ::4, ::4]
            out[f"{name} again quality"] = quality.flatten().numpy()
    np.savez_compressed(HERE / "sam2.npz", **out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
