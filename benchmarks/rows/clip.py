"""CLIP's dense maps and word vectors against the straightforward way, on the same weights.

The straightforward way: transformers' model in float32, windows one by one, every word's map
enlarged and added at full size; of the words, 80 templates a batch, 77 tokens each. Weights are
drawn (``benchmarks.drawn``), since none may be downloaded, and words for the pictures are centres
of the picture's own features, so that many win somewhere. Ours is a whole call of the segmenter,
from pixels to instances; both ways take turns.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.drawn import B16, Sizes, to_transformers, vit_state
from benchmarks.machine import ROOT, output
from benchmarks.rows.common import markdown, percent
from lexiseg.checkpoints import CLIP_PIXELS
from lexiseg.device import pick
from lexiseg.methods.dense import Config, Segmenter
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.tokenizer import END, tokenise, tokenizer
from lexiseg.prompts import TEMPLATES
from lexiseg.stages.clip_windows import paper_size, spans

ABOUT = "CLIP ViT-B/16 with drawn weights: dense maps and word vectors, against transformers"
NEEDS = ("package:transformers",)
SPEED = True
PHOTO = ROOT / "examples" / "photos" / "street.jpg"
SIZES: Sizes = B16
# label, width and height of the photo, its short side when looked at
PHOTOS = (("street", (2048, 1024), 560), ("small", (640, 480), 336))
LARGE = ((4000, 3000), 336, 1000)  # and words
FEW, MANY = 21, 171
ROUNDS = 3
SAMPLE = 12  # words encoded the papers' way, which costs the same for each

Labels = NDArray[np.int16] | NDArray[np.int32]


class Drawn(ClipEncoder):
    """An encoder that is given the vectors of a picture's words, for they are not texts."""

    vectors: Tensor | None = None

    def text(self, words: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
        return super().text(words, templates) if self.vectors is None else self.vectors


def run(options: Namespace) -> dict[str, Any]:
    """Time everything in turns, but for the large photo, which has a process of its own."""
    native = pick(options.device).dtype_name == "bf16"
    reference = _reference(SIZES)
    ours = {dtype: encoder(SIZES, options.device, dtype) for dtype in ("fp32", "bf16")}
    if not native:
        ours.pop("bf16")
    found = {
        "bf16": native,
        "threads": torch.get_num_threads(),
        "maps": {
            label: _maps(ours, reference, photo(size_wh), short_side)
            for label, size_wh, short_side in PHOTOS
        },
        "words": _words(ours, reference),
    }
    size_wh, short_side, count = LARGE
    job = {
        "size_wh": size_wh, "short_side": short_side, "words": count, "device": options.device,
        "sizes": asdict(SIZES),
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.clip_probe", json.dumps(job)]
    found["large"] = {**job, **json.loads(output(command).splitlines()[-1])}
    del found["large"]["sizes"], found["large"]["device"]
    return found


def table(result: dict[str, Any]) -> str:
    """Return a line a measurement."""
    lines = []
    for label, one in result["maps"].items():
        what, slow, work = f"{label}, {FEW} words", one["reference_s"], one["reference_cpu_s"]
        lines.append([f"{what}: transformers, windows one by one", _s(slow), _s(work), "", "", ""])
        for dtype in ("fp32", "bf16") if result["bf16"] else ("fp32",):
            ours = one[dtype]
            few, few_work = ours["few_s"], ours["few_cpu_s"]
            lines.append([
                f"{what}: {dtype}", _s(few), _s(few_work), f"{slow / few:.1f}x",
                f"{work / few_work:.1f}x", percent(ours["agreement"], 3),
            ])  # fmt: skip
            many, many_work = ours["many_s"], ours["many_cpu_s"]
            lines.append([
                f"{label}, {MANY} words: {dtype}", _s(many), _s(many_work),
                f"{many / few:.2f} of", f"{many_work / few_work:.2f} of", "",
            ])  # fmt: skip
    words = result["words"]
    what = f"{MANY} words, 80 templates"
    slow, work = words["reference_s"], words["reference_cpu_s"]
    lines.append([f"{what}: transformers, 77 tokens", _s(slow), _s(work), "", "", ""])
    for dtype in ("fp32", "bf16") if result["bf16"] else ("fp32",):
        one = words[dtype]
        lines.append([
            f"{what}: {dtype}", _s(one["first_s"]), _s(one["first_cpu_s"]),
            f"{slow / one['first_s']:.1f}x", f"{work / one['first_cpu_s']:.1f}x",
            f"{one['difference']:.1e}",
        ])  # fmt: skip
        lines.append([f"{what}: {dtype}, the second time", _s(one["second_s"]), "", "", "", ""])
    large = result["large"]
    what = f"{large['size_wh'][0]}x{large['size_wh'][1]}, {large['words']} words"
    blank = ["", "", ""]
    lines.append([f"{what}: encoding", _s(large["encode_s"]), "", *blank])
    lines.append(
        [f"{what}: words to instances", _s(large["label_s"]), _s(large["label_cpu_s"]), *blank]
    )
    lines.append([f"{what}: peak memory of the process", f"{large['peak_mb']} MB", "", *blank])
    note = (
        f"Threads: {result['threads']}. Medians of {ROUNDS} rounds, in which all take turns. CPU: "
        "seconds of all cores, which other processes on the machine disturb less. Faster: than "
        "transformers; of maps of more words, their time as a part of that of few. Agreement: "
        "pixels with the same label; of words, the largest difference of a value. The papers' way "
        "was timed on "
        f"{SAMPLE} of the {MANY} words, each of which costs it the same, and multiplied."
    )
    if not result["bf16"]:
        note += (
            " bf16 was not measured: this machine's processor has no instructions for it (AMX, "
            "AVX-512 BF16), without which it is slower than fp32."
        )
    return f"{markdown(['what', 'time', 'CPU', 'faster', 'by CPU', 'agreement'], lines)}\n\n{note}"


def encoder(sizes: Sizes, device: str | None, dtype: str) -> Drawn:
    """Return a CLIP with drawn weights."""
    state = vit_state(sizes)
    compute = pick(device, dtype)
    net = Clip.of(ClipConfig.of(state, "quick-gelu"), dict(state), compute.dtype)
    return Drawn(net, tokenizer(), CLIP_PIXELS, compute, name="drawn", cache=False)


def segmenter(model: Drawn, short_side: int) -> Segmenter:
    """Return the method as the straightforward way does it."""
    return Segmenter(
        model,
        Config(
            short_side=short_side, window=SIZES.image, stride=SIZES.image // 2, positions="size",
            readout="vanilla", logit_scale=40.0, refine="none",
        ),
    )  # fmt: skip


def photo(size_wh: Sequence[int]) -> NDArray[np.uint8]:
    """Return the photo of a street, (H, W, 3) uint8."""
    from PIL import Image

    opened = Image.open(PHOTO).convert("RGB")
    size = (int(size_wh[0]), int(size_wh[1]))
    return np.asarray(opened.resize(size, Image.Resampling.LANCZOS), np.uint8)


def names(count: int) -> list[str]:
    """Return names for words that have none."""
    return [f"centre{i}" for i in range(count)]


def centres(cells: Tensor, count: int) -> Tensor:
    """Centres of the features, (count, D)."""
    points = cells.flatten(0, -2)
    generator = torch.Generator().manual_seed(count)
    found = points[torch.randperm(len(points), generator=generator)[:count]].clone()
    for _ in range(5):
        nearest = (points @ found.T).argmax(1)
        sums = torch.zeros_like(found).index_add_(0, nearest, points)
        found = F.normalize(torch.where(sums.norm(dim=1, keepdim=True) > 0, sums, found), dim=1)
    return found


def _s(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _reference(sizes: Sizes) -> Any:
    from transformers import CLIPConfig, CLIPModel

    vision = {
        "hidden_size": sizes.width, "intermediate_size": 4 * sizes.width,
        "num_hidden_layers": sizes.layers, "num_attention_heads": sizes.width // 64,
        "image_size": sizes.image, "patch_size": sizes.patch, "hidden_act": "quick_gelu",
    }  # fmt: skip
    text = {
        "hidden_size": sizes.text_width, "intermediate_size": 4 * sizes.text_width,
        "num_hidden_layers": sizes.text_layers, "num_attention_heads": sizes.text_width // 64,
        "vocab_size": sizes.vocabulary, "eos_token_id": 49407, "hidden_act": "quick_gelu",
    }  # fmt: skip
    config = CLIPConfig(projection_dim=sizes.embed, vision_config=vision, text_config=text)
    model = CLIPModel(config).eval()
    model.load_state_dict(to_transformers(vit_state(sizes)), strict=True)
    return model


def _maps(
    ours: dict[str, Drawn], reference: Any, rgb: NDArray[np.uint8], short_side: int
) -> dict[str, Any]:
    exact = segmenter(ours["fp32"], short_side).prepare(rgb).encoded[0].cells
    words = {count: centres(exact, count) for count in (FEW, MANY)}

    def dense(model: Drawn, count: int) -> Labels:
        model.vectors = words[count]
        labels = segmenter(model, short_side)(rgb, names(count), background=None).label_map
        model.vectors = None
        return labels

    def straightforward() -> Labels:
        return _straightforward(reference, rgb, short_side, words[FEW])

    jobs: dict[str, Callable[[], Labels]] = {"reference": straightforward}
    for dtype, model in ours.items():
        jobs[f"{dtype} few"] = lambda m=model: dense(m, FEW)  # type: ignore[misc]
        jobs[f"{dtype} many"] = lambda m=model: dense(m, MANY)  # type: ignore[misc]
    seconds, labels = _in_turns(jobs)
    out: dict[str, Any] = _named("reference", seconds["reference"])
    for dtype in ours:
        agreement = float((labels[f"{dtype} few"] == labels["reference"]).mean())
        out[dtype] = {
            **_named("few", seconds[f"{dtype} few"]),
            **_named("many", seconds[f"{dtype} many"]),
            "agreement": agreement,
        }
    return out


def _clock() -> NDArray[np.float64]:
    """Seconds of the wall, and of all cores."""
    return np.array([time.perf_counter(), time.process_time()])


def _named(name: str, seconds: NDArray[np.float64]) -> dict[str, Any]:
    wall, work = seconds.round(3).tolist()
    return {f"{name}_s": wall, f"{name}_cpu_s": work}


def _in_turns(
    jobs: dict[str, Callable[[], Labels]],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Labels]]:
    """Return the median seconds of each job, and what it made; the first round warms up."""
    seconds: dict[str, list[NDArray[np.float64]]] = {name: [] for name in jobs}
    made = {}
    for turn in range(ROUNDS + 1):
        for name, work in jobs.items():
            started = _clock()
            made[name] = work()
            if turn:
                seconds[name].append(_clock() - started)
    return {name: np.median(one, axis=0) for name, one in seconds.items()}, made


@torch.no_grad()
def _straightforward(
    model: Any, rgb: NDArray[np.uint8], short_side: int, vectors: Tensor
) -> Labels:
    import cv2

    vectors, crop = vectors.cpu(), SIZES.image
    height, width = paper_size((rgb.shape[0], rgb.shape[1]), short_side)
    scaled = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    mean, std = torch.tensor(CLIP_PIXELS.mean), torch.tensor(CLIP_PIXELS.std)
    pixels = ((torch.from_numpy(scaled) / 255 - mean) / std).permute(2, 0, 1)[None]
    total = torch.zeros(1, len(vectors), height, width)
    count = torch.zeros(1, 1, height, width)
    for y0, y1 in spans(height, crop, crop // 2):
        for x0, x1 in spans(width, crop, crop // 2):
            view = pixels[:, :, y0:y1, x0:x1]
            hidden = model.vision_model(view, interpolate_pos_encoding=True).last_hidden_state
            tokens = model.visual_projection(model.vision_model.post_layernorm(hidden[:, 1:]))
            maps = (F.normalize(tokens, dim=-1) @ vectors.T).mT
            grid = (view.shape[2] // SIZES.patch, view.shape[3] // SIZES.patch)
            maps = F.interpolate(maps.reshape(1, -1, *grid), size=view.shape[2:], mode="bilinear")
            total[:, :, y0:y1, x0:x1] += maps
            count[:, :, y0:y1, x0:x1] += 1
    full = F.interpolate(total / count, size=rgb.shape[:2], mode="bilinear")[0]
    labels: Labels = (40 * full).softmax(0).argmax(0).to(torch.int16).numpy()
    return labels


def _words(ours: dict[str, Drawn], reference: Any) -> dict[str, Any]:
    from benchmarks.rows.speed import many_words

    words, templates = many_words(MANY), TEMPLATES["imagenet-80"]
    sample = [i * len(words) // SAMPLE for i in range(SAMPLE)]
    _papers_way(reference, "warm", templates)

    def slow(part: Sequence[int]) -> tuple[NDArray[np.float64], list[Tensor]]:
        started = _clock()
        made = [_papers_way(reference, words[i], templates) for i in part]
        return _clock() - started, made

    before, first_half = slow(sample[: SAMPLE // 2])
    out: dict[str, Any] = {}
    vectors = {}
    for dtype, model in ours.items():
        model.sentences(["a photo of nothing"])
        started = _clock()
        vectors[dtype] = model.text(words, templates).cpu()
        first = _clock() - started
        model.text(words, templates)
        out[dtype] = {
            **_named("first", first),
            "second_s": round(float((_clock() - started - first)[0]), 5),
        }
    after, second_half = slow(sample[SAMPLE // 2 :])
    wanted = torch.stack(first_half + second_half)
    for dtype, made in vectors.items():
        out[dtype]["difference"] = float((made[sample] - wanted).abs().max())
    return {**out, **_named("reference", (before + after) * (len(words) / SAMPLE))}


@torch.no_grad()
def _papers_way(model: Any, word: str, templates: tuple[str, ...]) -> Tensor:
    table = tokenizer()
    tokens = tokenise(table, [template.format(word) for template in templates], SIZES.context)
    end = table.token_to_id(END)
    ids = torch.tensor([[*one, *[end] * (SIZES.context - len(one))] for one in tokens])
    pooled = model.text_model(ids).pooler_output
    vectors = F.normalize(model.text_projection(pooled), dim=-1)
    return F.normalize(vectors.mean(0), dim=0)
