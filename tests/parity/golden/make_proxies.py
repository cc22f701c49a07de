"""Run the official code of ProxyCLIP, Trident and ResCLIP on small seeded weights; keep its output.

    python -m tests.parity.golden.make_proxies PROXYCLIP_DIR TRIDENT_DIR RESCLIP_DIR DINO_DIR

The folders are checkouts of mc-lan/ProxyCLIP, YuHengsss/Trident, yvhangyang/ResCLIP and
facebookresearch/dino; "-" leaves one out. As in ``make_windows``, stand-ins take the place of
mmseg and torchvision.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from tests import clip_weights, proxy_weights
from tests.parity.golden.make_windows import (
    HERE,
    MEAN,
    OWNERS,
    STD,
    WIDTH,
    Sample,
    bare,
    commit,
    load,
    normalised,
    picture,
    segmentor,
    stand_ins,
    weights,
)
from torch import Tensor, nn

DEEP = 10  # blocks, since ResCLIP takes the maps of blocks 5 to 8
COMMAND = (
    "python -m tests.parity.golden.make_proxies PROXYCLIP_DIR TRIDENT_DIR RESCLIP_DIR DINO_DIR"
)
# The values that the official code normalises with, not CLIP's own, which differ in the sixth
# digit: affinities are cut off at 0, and a cut is no small change.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = [v / 255 for v in MEAN], [v / 255 for v in STD]


def deep_weights() -> dict[str, Tensor]:
    state = clip_weights.vit_state(12, width=WIDTH, layers=DEEP)
    return {name: value.half().float() for name, value in state.items()}


class Normalize:
    def __init__(self, mean: Any, std: Any) -> None:
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def __call__(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


class Reversed(Normalize):
    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels * self.std + self.mean


def more_stand_ins() -> None:
    """What a CPU and this machine lack: half precision, CUDA, torchvision's two functions."""
    stand_ins()
    functional = types.ModuleType("torchvision.transforms.functional")
    functional.to_pil_image = Image.fromarray  # type: ignore[attr-defined]
    functional.resize = lambda image, size: image.resize(  # type: ignore[attr-defined]
        size[::-1], Image.Resampling.BILINEAR
    )
    sys.modules["torchvision.transforms.functional"] = functional
    sys.modules["torchvision.transforms"].Normalize = Normalize  # type: ignore[attr-defined]
    boxes = types.ModuleType("torchvision.ops.boxes")
    boxes.batched_nms = boxes.box_area = None  # type: ignore[attr-defined]
    sys.modules["torchvision.ops.boxes"] = boxes
    sys.modules["openpyxl"] = types.ModuleType("openpyxl")
    for name in ("matplotlib", "matplotlib.pyplot"):
        sys.modules[name] = types.ModuleType(name)
    for name in ("einops", "mae", "mae.models_vit", "mae.pos_embed", "skimage"):
        made = types.ModuleType(name)
        made.__path__ = []
        sys.modules[name] = made
    sys.modules["einops"].rearrange = None  # type: ignore[attr-defined]
    sys.modules["mae"].models_vit = None  # type: ignore[attr-defined]
    sys.modules["mae.pos_embed"].interpolate_pos_embed = None  # type: ignore[attr-defined]
    sys.modules["skimage"].measure = None  # type: ignore[attr-defined]
    torch.Tensor.half = lambda self: self  # type: ignore[method-assign]
    torch.Tensor.cuda = lambda self: self  # type: ignore[method-assign,assignment,return-value]
    torch.cuda.empty_cache = lambda: None


def official_clip(folder: str, state: dict[str, Tensor]) -> Any:
    for key in [k for k in sys.modules if k.split(".")[0] == "open_clip"]:
        del sys.modules[key]
    bare(folder, "open_clip")
    model = load(folder, "open_clip.model")
    vision = {
        "image_size": clip_weights.IMAGE, "patch_size": clip_weights.PATCH, "width": WIDTH,
        "layers": 4, "head_width": 64,
    }  # fmt: skip
    text = {
        "context_length": clip_weights.CONTEXT, "vocab_size": clip_weights.VOCABULARY,
        "width": clip_weights.TEXT_WIDTH, "heads": 1, "layers": clip_weights.TEXT_LAYERS,
    }  # fmt: skip
    net = model.CLIP(clip_weights.EMBED, vision, text, quick_gelu=True)
    net.load_state_dict(state, strict=True)
    sys.modules["open_clip"].__dict__.update(tokenizer=None, create_model=None)
    return net.eval()


def official_dino(folder: str, patch: int) -> Any:
    kind = load(folder, "vision_transformer", "utils").VisionTransformer
    sizes = proxy_weights.DINO
    net = kind(
        img_size=[sizes["side"] * patch], patch_size=patch, embed_dim=sizes["width"],
        depth=sizes["layers"], num_heads=2, mlp_ratio=sizes["hidden"] / sizes["width"],
        qkv_bias=True, norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6),
    )  # fmt: skip
    net.load_state_dict(proxy_weights.dino_state(patch), strict=True)
    return net.eval()


def words_of(features: Tensor, seed: int) -> Tensor:
    """Random directions, weighted so that the features differ alike along each: many words win."""
    points = nn.functional.normalize(features, dim=-1).flatten(0, -2)
    _, spread, axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(OWNERS), 24, generator=generator)
    words = (drawn / spread[:24]) @ axes[:24]
    shared = nn.functional.normalize(points.mean(0), dim=0)  # or one word would win everywhere
    return nn.functional.normalize(words - (words @ shared)[:, None] * shared, dim=-1)


def keep(name: str, folder: str, rgb: Any, vectors: Tensor, logits: Tensor, labels: Any) -> None:
    labels = np.asarray(labels, np.uint8)
    counts = np.bincount(labels.reshape(-1), minlength=len(OWNERS)) / labels.size
    sure = (
        (logits[0] * 40).softmax(0).amax(0).flatten().quantile(torch.tensor([0.0, 0.2, 0.5, 1.0]))
    )
    print(
        name, commit(folder), f"{(counts > 0).sum()} labels, the largest {counts.max():.0%}", sure
    )
    np.savez_compressed(
        HERE / f"{name}.npz", commit=commit(folder), command=COMMAND, rgb=rgb,
        vectors=vectors.numpy(), owners=np.array(OWNERS), labels=labels,
        logits=logits[0, :, ::6, ::6].numpy(),
    )  # fmt: skip


@torch.no_grad()
def proxyclip(folder: str, dino: str, rgb: Any, state: dict[str, Tensor]) -> None:
    net = official_clip(folder, state)
    kind = load(folder, "proxyclip_segmentor", "prompts", "myutils", "segment_anything")
    made = segmentor(
        kind.ProxyCLIPSegmentation, net, clip=net, vfm_model="dino", vfm=official_dino(dino, 8),
        unnorm=Reversed(CLIP_MEAN, CLIP_STD), norm=Normalize(*IMAGENET),
        logit_scale=40, prob_thd=0.049, slide_stride=56, slide_crop=104, beta=1.2, gamma=12.0,
    )  # fmt: skip
    pixels = normalised(rgb, 112)
    window = pixels[:, :, :112, :112]
    made.query_features = torch.eye(clip_weights.EMBED)
    raw = made.forward_feature(window, logit_size=(14, 14))  # the features themselves
    vectors = words_of(raw[0].permute(1, 2, 0), 111)
    made.query_features = vectors
    sample = Sample(rgb.shape[:2])
    logits = made.forward_slide(pixels, [sample.metainfo], 56, 104)
    made.postprocess_result(logits, [sample])
    keep("proxyclip", folder, rgb, vectors, logits, sample.said["pred_sem_seg"].data[0])


def official_sam(folder: str) -> Any:
    encoder = load(folder, "segment_anything.modeling.image_encoder").ImageEncoderViT
    module = importlib.import_module("segment_anything.modeling.sam")
    sizes = proxy_weights.SAM
    net = encoder(
        img_size=1024, patch_size=16, embed_dim=sizes["width"], depth=sizes["layers"],
        num_heads=sizes["heads"], mlp_ratio=sizes["hidden"] / sizes["width"],
        out_chans=sizes["out"], qkv_bias=True, use_rel_pos=True, window_size=sizes["window"],
        global_attn_indexes=(1,), norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6),
    )  # fmt: skip
    net.load_state_dict(proxy_weights.sam_state(), strict=True)
    return module.Sam(net, nn.Identity(), nn.Identity()).eval()


@torch.no_grad()
def trident(folder: str, dino: str, rgb: Any, state: dict[str, Tensor]) -> None:
    for key in [k for k in sys.modules if k.split(".")[0] in ("segment_anything", "myutils")]:
        del sys.modules[key]
    sys.modules["torchvision.ops"].masks_to_boxes = None  # type: ignore[attr-defined]
    net = official_clip(folder, state)
    sys.path.insert(0, folder)
    kind = load(folder, "trident", "prompts", "pamr", "seg_utils")
    sam = official_sam(folder)
    predictor = importlib.import_module("segment_anything.predictor").SamPredictor(sam)
    made = segmentor(
        kind.Trident, net, clip=net, clip_stride=16, vfm_model="dino", vfm=official_dino(dino, 16),
        unnorm=Reversed(CLIP_MEAN, CLIP_STD), norm=Normalize(*IMAGENET),
        dataset_type="", logit_scale=40, prob_thd=0.0, slide_stride=64, slide_crop=112, beta=1.2,
        gamma=3.0, debug=False, sam=sam, sam_predictor=predictor,
        sam_heads=proxy_weights.SAM["heads"], cos_fac=1.2, refine_neg_cos=True, sam_refine=False,
        pamr=None,
    )  # fmt: skip
    pixels = normalised(rgb, 130)
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "photo.png")
        cv2.imwrite(path, rgb[..., ::-1])
        meta = [{"ori_shape": rgb.shape[:2]}]
        made.query_features = torch.eye(clip_weights.EMBED)
        raw = made.get_trident_seg(pixels, path, meta)
        vectors = words_of(raw[0, :, ::4, ::4].permute(1, 2, 0), 32)
        made.query_features = vectors
        logits = made.get_trident_seg(pixels, path, meta)
    # The official code takes words beside the first class for classes of one word; the test
    # has classes with several, so labels are the winning words.
    keep("trident", folder, rgb, vectors, logits, logits[0].argmax(0))
    sys.path.remove(folder)


@torch.no_grad()
def resclip(
    folder: str, rgb: Any, state: dict[str, Tensor], name: str, arch: str, strategy: str, seed: int
) -> None:
    nn.Module.to = lambda self, *_, **__: self  # type: ignore[method-assign,assignment]
    bare(folder, "clip")
    load(folder, "pamr")
    sys.path.insert(0, folder)
    net = load(folder, "clip.model").build_model(dict(state)).float()
    net.visual.set_params(arch, strategy, 5.0)
    bare(folder, "clip")
    kind = load(folder, "resclip_segmentor", "prompts", "pamr").ResCLIPSegmentation
    pixels = normalised(rgb, 100)
    settings = {
        "temp_thd": 0.047, "attn_sfr_weights": (2.1, 0.7), "attn_rcs_weights": (2.0, 0.3),
        "delete_same_entity": True,
    }  # fmt: skip
    asked = dict(
        return_all=True,
        use_rcs=True,
        use_sfr=True,
        patch_size=16,
        logit_scale=40,
        dtype=torch.float32,
        align_corners=False,
        **settings,
    )
    window = pixels[:, :, :96, :112]
    first = torch.randn(8, clip_weights.EMBED, generator=torch.Generator().manual_seed(3))
    whole = net.encode_image(
        window, query_features=nn.functional.normalize(first, dim=-1), img=window, **asked
    )[:, 1:]
    vectors = words_of(whole, seed)
    made = segmentor(
        kind, net, query_features=vectors, pamr=None, logit_scale=40, slide_stride=32,
        slide_crop=80, prob_thd=0.046, area_thd=None, use_rcs=True, use_sfr=True, **settings,
    )  # fmt: skip
    sample = Sample(rgb.shape[:2])
    logits = made.forward_slide(pixels, 32, 80)
    logits = nn.functional.interpolate(logits, size=rgb.shape[:2], mode="bilinear")
    made.postprocess_result(logits, [sample])
    sys.path.remove(folder)
    keep(name, folder, rgb, vectors, logits, sample.said["pred_sem_seg"].data[0])


def main() -> None:
    shallow, deep = weights(), deep_weights()  # while there still is half precision
    more_stand_ins()
    proxy_dir, trident_dir, resclip_dir, dino_dir = sys.argv[1:]
    rgb = picture()
    if proxy_dir != "-":
        proxyclip(proxy_dir, dino_dir, rgb, shallow)
    if trident_dir != "-":
        trident(trident_dir, dino_dir, rgb, shallow)
    if resclip_dir != "-":
        resclip(resclip_dir, rgb, deep, "resclip", "wo_resi", "resclip", 203)
        resclip(resclip_dir, rgb, deep, "resclip_sclip", "w_resi", "sclip", 202)
        resclip(resclip_dir, rgb, deep, "resclip_clearclip", "wo_resi", "clearclip", 315)


if __name__ == "__main__":
    main()
