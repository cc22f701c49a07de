"""Run the official code of SCLIP, NACLIP and ClearCLIP on small seeded weights; keep what it says.

    python -m tests.parity.golden.make_windows SCLIP_DIR NACLIP_DIR CLEARCLIP_DIR

The folders are checkouts of wangf3014/SCLIP, sinahmr/NACLIP and mc-lan/ClearCLIP. Their segmentors
inherit from mmseg; stand-ins for the three names that they import are enough to run them. Each
golden file holds the picture, the word vectors, what the official classes return, and the commit.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tests import clip_weights
from torch import Tensor, nn

HERE = Path(__file__).parent
PHOTO = HERE.parents[2] / "examples" / "photos" / "street.jpg"
WIDTH, LAYERS = 128, 4
OWNERS = [0, 0, 0, *range(1, 18), 4, 9, 9, 13]  # of 24 words; 0 is the background
MEAN, STD = (122.771, 116.746, 104.094), (68.501, 66.632, 70.323)


def weights() -> dict[str, Tensor]:
    """Weights that half precision holds exactly: official code converts some of them to it."""
    state = clip_weights.vit_state(11, width=WIDTH, layers=LAYERS)
    return {name: value.half().float() for name, value in state.items()}


def picture(height: int = 117, width: int = 158) -> Any:
    photo = cv2.imread(str(PHOTO))[..., ::-1]
    return np.ascontiguousarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA))


def stand_ins() -> None:
    def module(name: str, **names: Any) -> None:
        made = types.ModuleType(name)
        made.__dict__.update(names)
        sys.modules[name] = made

    class Anything(types.ModuleType):
        """What official files import beside the classes that are compared, and never use there."""

        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.__path__: list[str] = []

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return sys.modules.get(f"{self.__name__}.{name}", object)

    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional",
                 "torchvision.ops", "torchvision.ops.misc", "BLIP", "BLIP.models",
                 "BLIP.models.blip_retrieval", "gem"):  # fmt: skip
        sys.modules[name] = Anything(name)

    sys.modules["transformers"] = None  # type: ignore[assignment]  # optional for open_clip, slow

    class Segmentor(nn.Module):
        def __init__(self, data_preprocessor: Any = None) -> None:
            super().__init__()

    class Registry:
        def register_module(self) -> Any:
            return lambda kind: kind

    class Pixels:
        def __init__(self, data: Tensor) -> None:
            self.data = data

    for name in ("mmseg", "mmseg.models", "mmengine"):
        module(name)
    module("mmseg.models.segmentors", BaseSegmentor=Segmentor)
    module("mmseg.models.data_preprocessor", SegDataPreProcessor=lambda **_: None)
    module("mmseg.registry", MODELS=Registry())
    module("mmengine.structures", PixelData=Pixels)


class Sample:
    def __init__(self, ori_shape: tuple[int, int]) -> None:
        self.metainfo = {"ori_shape": ori_shape, "img_path": "photo"}
        self.said: dict[str, Any] = {}

    def set_data(self, said: dict[str, Any]) -> None:
        self.said = said


def load(folder: str, name: str, *shared: str) -> Any:
    """Import a module of a checkout, without what an earlier checkout left behind."""
    for key in [k for k in sys.modules if k in (*shared, name) or k.split(".")[0] in shared]:
        del sys.modules[key]
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def bare(folder: str, name: str) -> None:
    """Make a package of a checkout importable without running its __init__."""
    package = types.ModuleType(name)
    package.__path__ = [f"{folder}/{name}"]
    sys.modules[name] = package


def segmentor(kind: Any, net: Any, **settings: Any) -> Any:
    made = kind.__new__(kind)
    nn.Module.__init__(made)
    made.net = net.eval()
    made.query_idx = torch.tensor(OWNERS)
    made.num_queries, made.num_classes = len(OWNERS), max(OWNERS) + 1
    made.dtype, made.align_corners, made.prob_thd, made.area_thd = torch.float32, False, 0.0, None
    for key, value in settings.items():
        setattr(made, key, value)
    return made


def vectors_of(features: Tensor, seed: int) -> Tensor:
    """Centres of a picture's own features, so that many words win somewhere; unit length."""
    points = features.flatten(0, -2)
    generator = torch.Generator().manual_seed(seed)
    centres = points[torch.randperm(len(points), generator=generator)[: len(OWNERS)]].clone()
    for _ in range(10):
        nearest = (points @ centres.T).argmax(1)
        for k in range(len(centres)):
            if bool((nearest == k).any()):
                centres[k] = nn.functional.normalize(points[nearest == k].mean(0), dim=-1)
    return centres


def normalised(rgb: Any, short_side: int) -> Tensor:
    """As mmseg's pipeline: mmcv's size, cv2's bilinear on bytes, then mean and std."""
    height, width = rgb.shape[:2]
    factor = min(2048 / max(height, width), short_side / min(height, width))
    size = (int(width * factor + 0.5), int(height * factor + 0.5))
    scaled = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return torch.from_numpy((scaled - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)[None]


def commit(folder: str) -> str:
    run = ["git", "-C", folder, "rev-parse", "HEAD"]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


def keep(name: str, folder: str, rgb: Any, vectors: Tensor, logits: Tensor, sample: Sample) -> None:
    labels = sample.said["pred_sem_seg"].data[0].numpy().astype(np.uint8)
    counts = np.bincount(labels.reshape(-1), minlength=max(OWNERS) + 1) / labels.size
    print(name, commit(folder), f"{(counts > 0).sum()} labels, the largest {counts.max():.0%}")
    np.savez_compressed(
        HERE / f"{name}.npz",
        commit=commit(folder),
        command="python -m tests.parity.golden.make_windows SCLIP_DIR NACLIP_DIR CLEARCLIP_DIR",
        rgb=rgb,
        vectors=vectors.numpy(),
        owners=np.array(OWNERS),
        logits=logits[0, :, ::6, ::6].numpy(),  # of every sixth pixel of the picture
        labels=labels,
        score=sample.said["seg_logits"].data.amax(0)[::6, ::6].numpy(),
    )


def old_net(folder: str) -> Any:
    bare(folder, "clip")
    clip_model = load(folder, "clip.model")
    return clip_model.build_model(dict(weights())).float()


@torch.no_grad()
def sclip(folder: str, rgb: Any) -> None:
    net = old_net(folder)
    kind = load(folder, "clip_segmentor", "prompts", "pamr").CLIPForSegmentation
    pixels = normalised(rgb, 96)
    whole = net.encode_image(pixels, return_all=True, csa=True)[:, 1:]
    vectors = vectors_of(nn.functional.normalize(whole, dim=-1), 1)
    made = segmentor(
        kind, net, query_features=vectors, pamr=None, logit_scale=65, slide_stride=32,
        slide_crop=64, area_thd=0.03, prob_thd=0.08,
    )  # fmt: skip
    sample = Sample(rgb.shape[:2])
    logits = made.forward_slide(pixels, [sample.metainfo], 32, 64)
    made.predict(pixels, [sample])
    keep("sclip", folder, rgb, vectors, logits, sample)


@torch.no_grad()
def naclip(folder: str, rgb: Any) -> None:
    net = old_net(folder)
    net.visual.set_params("reduced", "naclip", 5.0)
    module = load(folder, "naclip", "prompts", "pamr")
    pixels = normalised(rgb, 100)
    whole = net.encode_image(pixels, return_all=True)[:, 1:]
    vectors = vectors_of(nn.functional.normalize(whole, dim=-1), 2)
    made = segmentor(
        module.NACLIP, net, query_features=vectors, pamr=module.PAMR(10, dilations=(8, 16)),
        logit_scale=40, slide_stride=0, slide_crop=0, prob_thd=0.08,
    )  # fmt: skip
    sample = Sample(rgb.shape[:2])
    made.predict(pixels, [sample])
    size = rgb.shape[:2]
    plain = nn.functional.interpolate(made.forward_feature(pixels), size=size, mode="bilinear")
    logits = made.pamr(nn.functional.interpolate(pixels, size=size, mode="bilinear"), plain)
    keep("naclip", folder, rgb, vectors, logits, sample)


@torch.no_grad()
def clearclip(folder: str, rgb: Any) -> None:
    bare(folder, "open_clip")
    model = load(folder, "open_clip.model")
    vision = {
        "image_size": clip_weights.IMAGE, "patch_size": clip_weights.PATCH, "width": WIDTH,
        "layers": LAYERS, "head_width": 64,
    }  # fmt: skip
    text = {
        "context_length": clip_weights.CONTEXT, "vocab_size": clip_weights.VOCABULARY,
        "width": clip_weights.TEXT_WIDTH, "heads": 1, "layers": clip_weights.TEXT_LAYERS,
    }  # fmt: skip
    net = model.CLIP(clip_weights.EMBED, vision, text, quick_gelu=True)
    net.load_state_dict(weights(), strict=True)
    package = sys.modules["open_clip"]
    package.__dict__.update(tokenizer=None, create_model=None)
    kind = load(folder, "clearclip_segmentor", "prompts").ClearCLIPSegmentation
    made = segmentor(
        kind, net, clip_type="OpenCLIP", model_type="ClearCLIP", ignore_residual=True,
        patch_size=(clip_weights.PATCH,) * 2, logit_scale=50, slide_stride=56, slide_crop=88,
        prob_thd=0.06,
    )  # fmt: skip
    pixels = normalised(rgb, 120)
    whole = net.encode_image(pixels[:, :, :112, :160], "ClearCLIP", True)
    vectors = vectors_of(nn.functional.normalize(whole, dim=-1), 22)
    made.query_features = vectors
    sample = Sample(rgb.shape[:2])
    # predict() converts to half precision, which a CPU lacks: its two steps, one by one.
    logits = made.forward_slide(pixels, [sample.metainfo], 56, 88)
    made.postprocess_result(logits, [sample])
    keep("clearclip", folder, rgb, vectors, logits, sample)


def main() -> None:
    stand_ins()
    rgb = picture()
    for run, folder in zip((sclip, naclip, clearclip), sys.argv[1:], strict=True):
        run(folder, rgb)


if __name__ == "__main__":
    main()
