"""CLIP's dense maps and word vectors against the straightforward way, on the same weights.

The straightforward way: transformers' model in float32, windows one by one, every word's map
enlarged and added at full size; of the words, 80 templates a batch, 77 tokens each. Weights are
drawn (``benchmarks.drawn``), since none may be downloaded, and words for the pictures are centres
of the picture's own features, so that many win somewhere.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.drawn import B16, Sizes, to_transformers, vit_state
from benchmarks.machine import ROOT
from benchmarks.rows.common import markdown, percent
from lexiseg.checkpoints.folders import CLIP_PIXELS
from lexiseg.device import pick
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.tokenizer import END, tokenise, tokenizer
from lexiseg.prompts import TEMPLATES
from lexiseg.stages.attention import vanilla
from lexiseg.stages.dense import WordVectors
from lexiseg.stages.sliding import Look, look
from lexiseg.stages.winners import Rules, winners

ABOUT = "CLIP ViT-B/16 with drawn weights: dense maps and word vectors, against transformers"
NEEDS_DATA = False
PHOTO = ROOT / "examples" / "photos" / "street.jpg"
SIZES: Sizes = B16
# label, width and height of the photo, its short side when looked at
PHOTOS = (("street", (2048, 1024), 560), ("small", (640, 480), 336))
FEW, MANY = 21, 171
RUNS = 3

Labels = NDArray[np.int16] | NDArray[np.int32]


def run(options: Namespace) -> dict[str, Any]:
    """Time everything in this process, the quickest of some runs; bf16 as the machine has it."""
    state = vit_state(SIZES)
    reference = _reference(state)
    ours = {dtype: _encoder(state, options.device, dtype) for dtype in ("fp32", "bf16")}
    maps = {
        label: _maps(ours, reference, _photo(size_wh), short_side)
        for label, size_wh, short_side in PHOTOS
    }
    return {"maps": maps, "words": _words(ours, reference, state)}


def table(result: dict[str, Any]) -> str:
    """Return a line a measurement."""
    lines = []
    for label, one in result["maps"].items():
        slow = one["reference_s"]
        lines.append([f"{label}, {FEW} words: transformers, windows one by one", _s(slow), "", ""])
        for dtype in ("fp32", "bf16"):
            few, many = one[dtype]["few_s"], one[dtype]["many_s"]
            agree = percent(one[dtype]["agreement"], 2)
            lines.append([f"{label}, {FEW} words: {dtype}", _s(few), f"{slow / few:.1f}x", agree])
            lines.append([f"{label}, {MANY} words: {dtype}", _s(many), f"{many / few:.2f} of", ""])
    words = result["words"]
    what = f"{MANY} words, 80 templates"
    lines.append([f"{what}: transformers, 77 tokens", _s(words["reference_s"]), "", ""])
    for dtype in ("fp32", "bf16"):
        one = words[dtype]
        times = f"{words['reference_s'] / one['first_s']:.1f}x"
        lines.append([f"{what}: {dtype}", _s(one["first_s"]), times, f"{one['difference']:.1e}"])
        lines.append([f"{what}: {dtype}, the second time", _s(one["second_s"]), "", ""])
    note = (
        "Faster: than transformers; of maps of more words, their time as a part of that of few. "
        "Agreement: pixels with the same label; of words, the largest difference of a value."
    )
    return f"{markdown(['what', 'time', 'faster', 'agreement'], lines)}\n\n{note}"


def _s(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _photo(size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    photo = Image.open(PHOTO).convert("RGB")
    return np.asarray(photo.resize(size_wh, Image.Resampling.LANCZOS), np.uint8)


def _encoder(state: Mapping[str, Tensor], device: str | None, dtype: str) -> ClipEncoder:
    compute = pick(device, dtype)
    net = Clip.of(ClipConfig.of(state, "quick-gelu"), dict(state), compute.dtype)
    return ClipEncoder(net, tokenizer(), CLIP_PIXELS, compute, name="drawn", cache=False)


def _reference(state: Mapping[str, Tensor]) -> Any:
    from transformers import CLIPConfig, CLIPModel

    vision = {
        "hidden_size": SIZES.width, "intermediate_size": 4 * SIZES.width,
        "num_hidden_layers": SIZES.layers, "num_attention_heads": SIZES.width // 64,
        "image_size": SIZES.image, "patch_size": SIZES.patch, "hidden_act": "quick_gelu",
    }  # fmt: skip
    text = {
        "hidden_size": SIZES.text_width, "intermediate_size": 4 * SIZES.text_width,
        "num_hidden_layers": SIZES.text_layers, "num_attention_heads": SIZES.text_width // 64,
        "vocab_size": SIZES.vocabulary, "eos_token_id": 49407, "hidden_act": "quick_gelu",
    }  # fmt: skip
    config = CLIPConfig(projection_dim=SIZES.embed, vision_config=vision, text_config=text)
    model = CLIPModel(config).eval()
    model.load_state_dict(to_transformers(state), strict=True)
    return model


def _maps(
    ours: Mapping[str, ClipEncoder], reference: Any, photo: NDArray[np.uint8], short_side: int
) -> dict[str, Any]:
    how = Look(short_side, SIZES.image, SIZES.image // 2, positions="size")
    exact = look(ours["fp32"], photo, how, vanilla)
    words = {count: _vectors(exact.cells, count) for count in (FEW, MANY)}

    def dense(encoder: ClipEncoder, count: int) -> Labels:
        return winners([look(encoder, photo, how, vanilla)], words[count], Rules(40.0)).owner

    started = time.perf_counter()
    wanted = _straightforward(reference, photo, exact.work_hw, how, words[FEW].vectors)
    out: dict[str, Any] = {"reference_s": time.perf_counter() - started}
    for dtype, encoder in ours.items():
        few, labels = _quickest(lambda e=encoder: dense(e, FEW))  # type: ignore[misc]
        many, _ = _quickest(lambda e=encoder: dense(e, MANY))  # type: ignore[misc]
        agreement = float((labels == wanted).mean())
        out[dtype] = {"few_s": few, "many_s": many, "agreement": agreement}
    return out


@torch.no_grad()
def _straightforward(
    model: Any, photo: NDArray[np.uint8], work_hw: tuple[int, int], how: Look, vectors: Tensor
) -> Labels:
    import cv2

    vectors = vectors.cpu()
    scaled = cv2.resize(photo, work_hw[::-1], interpolation=cv2.INTER_LINEAR)
    mean, std = torch.tensor(CLIP_PIXELS.mean), torch.tensor(CLIP_PIXELS.std)
    pixels = ((torch.from_numpy(scaled) / 255 - mean) / std).permute(2, 0, 1)[None]
    height, width = work_hw
    total = torch.zeros(1, len(vectors), height, width)
    count = torch.zeros(1, 1, height, width)
    for top in range(max(height - how.crop + how.stride - 1, 0) // how.stride + 1):
        for left in range(max(width - how.crop + how.stride - 1, 0) // how.stride + 1):
            y1, x1 = (
                min(top * how.stride + how.crop, height),
                min(left * how.stride + how.crop, width),
            )
            y0, x0 = max(y1 - how.crop, 0), max(x1 - how.crop, 0)
            view = pixels[:, :, y0:y1, x0:x1]
            hidden = model.vision_model(view, interpolate_pos_encoding=True).last_hidden_state
            tokens = model.visual_projection(model.vision_model.post_layernorm(hidden[:, 1:]))
            maps = (F.normalize(tokens, dim=-1) @ vectors.T).mT
            grid = (view.shape[2] // SIZES.patch, view.shape[3] // SIZES.patch)
            maps = F.interpolate(maps.reshape(1, -1, *grid), size=view.shape[2:], mode="bilinear")
            total[:, :, y0:y1, x0:x1] += maps
            count[:, :, y0:y1, x0:x1] += 1
    full = F.interpolate(total / count, size=photo.shape[:2], mode="bilinear")[0]
    labels: Labels = (40 * full).softmax(0).argmax(0).to(torch.int16).numpy()
    return labels


def _vectors(cells: Tensor, count: int) -> WordVectors:
    """Centres of the features, (count, D), each the word of its own owner."""
    points = cells.flatten(0, -2)
    generator = torch.Generator().manual_seed(count)
    centres = points[torch.randperm(len(points), generator=generator)[:count]].clone()
    for _ in range(5):
        nearest = (points @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        centres = F.normalize(torch.where(sums.norm(dim=1, keepdim=True) > 0, sums, centres), dim=1)
    owners = torch.arange(len(centres), device=centres.device)
    return WordVectors(centres, owners, len(centres), None)


def _words(
    ours: Mapping[str, ClipEncoder], reference: Any, state: Mapping[str, Tensor]
) -> dict[str, Any]:
    from benchmarks.rows.speed import many_words

    words, templates = many_words(MANY), TEMPLATES["imagenet-80"]
    started = time.perf_counter()
    wanted = torch.stack([_papers_way(reference, word, templates) for word in words])
    out: dict[str, Any] = {"reference_s": time.perf_counter() - started}
    for dtype, encoder in ours.items():
        started = time.perf_counter()
        got = encoder.text(words, templates)
        first = time.perf_counter()
        encoder.text(words, templates)
        out[dtype] = {
            "first_s": first - started,
            "second_s": time.perf_counter() - first,
            "difference": float((got.cpu() - wanted).abs().max()),
        }
    return out


@torch.no_grad()
def _papers_way(model: Any, word: str, templates: tuple[str, ...]) -> Tensor:
    table = tokenizer()
    tokens = tokenise(table, [template.format(word) for template in templates], SIZES.context)
    end = table.token_to_id(END)
    ids = torch.tensor([[*one, *[end] * (SIZES.context - len(one))] for one in tokens])
    pooled = model.text_model(ids).pooler_output
    vectors = F.normalize(model.text_projection(pooled), dim=-1)
    return F.normalize(vectors.mean(0), dim=0)


def _quickest(work: Callable[[], Labels]) -> tuple[float, Labels]:
    seconds = []
    result = work()
    for _ in range(RUNS):
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
    return min(seconds), result
