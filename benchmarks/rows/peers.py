"""LangSAM's and rembg's ways, rebuilt, beside lexiseg's on equal weights and on one map.

LangSAM: Grounding DINO and SAM with drawn weights, of smaller shapes than published, since none may
be downloaded; the limit of scores lets BOXES boxes pass, and lexiseg leaves none out as a double.
rembg: the opacity of the row `matting` in coarse cells stands for the answer of a salient-object
net, 320 pixels a side; both make a cut-out of it. CPU seconds, the ways in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import everything, matting
from benchmarks.rows.common import markdown, open_data, progress
from lexiseg.imaging import read

ABOUT = "LangSAM's and rembg's ways, rebuilt, beside lexiseg's on equal weights"
NEEDS = ("data:msrc", "package:transformers", "package:pymatting", "package:scipy")
WORDS = ("car", "tree", "lamp")
BOXES, TURNS = 24, 2
DETECTOR: dict[str, Any] = {
    "backbone_config": {
        "model_type": "swin", "embed_dim": 48, "depths": [2, 2, 2, 2], "num_heads": [3, 6, 12, 24],
        "window_size": 7, "out_features": ["stage2", "stage3", "stage4"],
    },
    "text_config": {
        "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
        "intermediate_size": 512,
    },
    "num_queries": 300, "encoder_layers": 2, "encoder_ffn_dim": 512, "decoder_layers": 2,
    "decoder_ffn_dim": 512, "d_model": 128,
}  # fmt: skip
MASKER: dict[str, Any] = {
    "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6, "mlp_dim": 1536,
    "global_attn_indexes": [2, 5],
}  # fmt: skip
THINGS = 6  # of each kind
# Name -> rembg's with matting or without, or lexiseg's kind of edges.
CUTS: dict[str, tuple[str, Any]] = {
    "rembg's way": ("rembg", False),
    "rembg's way, alpha matting": ("rembg", True),
    "lexiseg, soft": ("lexiseg", "soft"),
    "lexiseg, closed-form": ("lexiseg", "closed-form"),
}


def run(options: Namespace) -> dict[str, Any]:
    """Measure both pairs."""
    return {"langsam": langsam(), "rembg": rembg(options)}


def langsam() -> dict[str, Any]:
    """Find the words in a photo in every way, in turns; compare the masks."""
    import torch
    from transformers.utils import logging

    from benchmarks.drawn_detector import bert_tokenizer
    from benchmarks.rebuilt import LangSam

    logging.disable_progress_bar()
    rgb = read(everything.PHOTO).rgb
    with tempfile.TemporaryDirectory() as folder:
        detector, masker = _draw(Path(folder))
        ours, threshold = segmenter(detector, masker, rgb)
        theirs = LangSam(str(detector), bert_tokenizer(), str(masker))

    def by_phrase() -> list[Found]:
        view = ours.prepare(rgb)
        return [_found(ours(view, [word])) for word in WORDS]

    caption = " ".join(f"{word}." for word in WORDS)
    ways: dict[str, dict[str, Callable[[], list[Found]]]] = {
        "one caption": {
            "theirs": lambda: [theirs(rgb, caption, threshold)],
            "ours": lambda: [_found(ours(rgb, list(WORDS)))],
        },
        "a phrase a time": {
            "theirs": lambda: [theirs(rgb, f"{word}.", threshold) for word in WORDS],
            "ours": by_phrase,
        },
    }
    seconds: dict[tuple[str, str], list[float]] = {}
    made: dict[tuple[str, str], list[Found]] = {}
    tell = progress("LangSAM")
    for turn in range(TURNS):
        for asked, pair in ways.items():
            for whose, work in pair.items():
                started = time.process_time()
                made[asked, whose] = work()
                seconds.setdefault((asked, whose), []).append(time.process_time() - started)
        if tell:
            tell(turn + 1, TURNS)
    out: dict[str, Any] = {
        asked: {
            **{f"{who}_s": round(statistics.median(seconds[asked, who]), 2) for who in pair},
            **agreement(made[asked, "theirs"], made[asked, "ours"]),
        }
        for asked, pair in ways.items()
    }
    return {"threads": torch.get_num_threads(), "size_hw": list(rgb.shape[:2]), "ways": out}


Found = tuple[NDArray[np.bool_], NDArray[np.float32]]  # masks, (N, H, W), and scores, (N,)


def agreement(theirs: list[Found], ours: list[Found]) -> dict[str, Any]:
    """Compare what both found, caption by caption.

    Return how many of their masks there are, how many of ours have the same score, to 1e-4, and
    what part of the picture is equal in these: the mean, and the least; None without a pair.
    """
    equal = []
    for (masks, scores), (own, own_scores) in zip(theirs, ours, strict=True):
        left = list(range(len(own)))
        for mask, score in zip(masks, scores, strict=True):
            near = min(left, key=lambda i: abs(own_scores[i] - score), default=None)
            if mask.any() and near is not None and abs(own_scores[near] - score) <= 1e-4:
                left.remove(near)
                equal.append(float((own[near] == mask).mean()))
    return {
        "theirs": sum(int(masks.any((1, 2)).sum()) for masks, _ in theirs),
        "ours": sum(len(own) for own, _ in ours),
        "both": len(equal),
        "equal": statistics.mean(equal) if equal else None,
        "least": min(equal, default=None),
    }


def rembg(options: Namespace) -> dict[str, Any]:
    """Cut the drawn things out in every way, in turns, from the same maps."""
    import cv2

    (photos_of,) = (one for one in open_data(options) if one.name == matting.SET)
    photos = [cv2.resize(read(one.path).rgb, matting.SIZE_HW[::-1]) for one in photos_of]
    count = min(THINGS, options.limit or THINGS)
    kinds = {}
    for kind, hairs in matting.KINDS.items():
        rng = np.random.default_rng(matting.SEED)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in CUTS}
        tell = progress(f"rembg, {kind}")
        for number in range(count):
            alpha = matting.draw_shape(rng, hairs)
            share = alpha[..., None]
            front, back, other = (photos[i] for i in rng.choice(len(photos), 3, replace=False))
            rgb = np.rint(share * front + (1 - share) * back).astype(np.uint8)
            truth = share * front + (1 - share) * other
            for name in CUTS:
                started = time.process_time()
                cutout = cut(name, rgb, net_map(alpha))
                seconds = time.process_time() - started
                opacity = cutout[..., 3] / 255
                mixed = opacity[..., None] * cutout[..., :3] + (1 - opacity[..., None]) * other
                found[name].append({
                    **matting.alpha_errors(opacity, alpha),
                    "composite": float(np.abs(mixed - truth)[alpha < 1].mean()),
                    "seconds": seconds,
                })  # fmt: skip
            if tell:
                tell(number + 1, count)
        kinds[kind] = {name: _means(some) for name, some in found.items()}
    return {"things": count, "set": matting.SET, "kinds": kinds}


def net_map(alpha: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what a salient-object net that is right gives of an opacity: coarse cells, square."""
    import cv2

    from benchmarks.rebuilt import SALIENT_SIDE

    height, width = alpha.shape
    cells = cv2.resize(alpha, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    side = (SALIENT_SIDE, SALIENT_SIDE)
    return cv2.resize(cells, side, interpolation=cv2.INTER_LINEAR).astype(np.float32)


def cut(name: str, rgb: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the cut-out, (H, W, 4), that a way of CUTS makes of a picture and a net's map."""
    import cv2

    from benchmarks.rebuilt import rembg_cutout, rembg_mask
    from lexiseg.edit.matting import foreground, matte

    whose, how = CUTS[name]
    height, width = rgb.shape[:2]
    if whose == "rembg":
        return rembg_cutout(rgb, rembg_mask(saliency, (height, width)), matting=how)
    large = cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR)
    opacity = matte(rgb, large > 0.5, how)
    levels = np.rint(255 * opacity).astype(np.uint8)
    return np.dstack([foreground(rgb, opacity), levels])


def table(result: dict[str, Any]) -> str:
    """Return a table for each peer."""
    one = result["langsam"]
    head = ["LangSAM's way", "CPU seconds", "lexiseg, grounded", "times as fast",
            "masks of both", "of theirs", "equal pixels", "least"]  # fmt: skip
    lines = [
        [
            asked, f"{way['theirs_s']:.1f}", f"{way['ours_s']:.1f}",
            f"{way['theirs_s'] / way['ours_s']:.2f}", way["both"], way["theirs"],
            _share(way["equal"]), _share(way["least"]),
        ]
        for asked, way in one["ways"].items()
    ]  # fmt: skip
    parts = [markdown(head, lines)]
    parts.append(
        f"{len(WORDS)} phrases in a photo of {' x '.join(map(str, one['size_hw']))} pixels, drawn "
        f"weights of small shapes, fp32, {one['threads']} thread(s). With a phrase a time LangSAM "
        "takes the picture anew for each, as its call has a caption a picture; lexiseg keeps what "
        "the mask model made of it. Masks of both: with equal scores; of masks that are the same, "
        "as many of drawn weights are, lexiseg gives one. Equal pixels: of the picture, in "
        "percent, the mean and the least of the masks of both."
    )
    for kind, ways in result["rembg"]["kinds"].items():
        parts.append(markdown(
            [f"cut-out, {kind}", "SAD", "MSE", "gradient", "colours", "CPU seconds"],
            [
                [name, f"{way['sad']:.2f}", f"{way['mse']:.0f}", f"{way['gradient']:.3f}",
                 f"{way['composite']:.2f}", f"{way['seconds']:.2f}"]
                for name, way in ways.items()
            ],
        ))  # fmt: skip
    parts.append(
        f"{result['rembg']['things']} things of each kind, drawn as in the row `matting`, with its "
        "measures. Every way starts from one map, which stands for a net that is right: the "
        "opacity in cells of 4 pixels. rembg's takes the map itself as opacity; lexiseg's edges "
        "start from its half, as a mask's do. In rembg's way without matting colours darken where "
        "opacity is partial, since they are pasted onto black."
    )
    return "\n\n".join(parts)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _means(some: list[dict[str, float]]) -> dict[str, float]:
    out = {key: statistics.mean(one[key] for one in some) for key in some[0]}
    out["seconds"] = statistics.median(one["seconds"] for one in some)  # the first one compiles
    return {key: round(value, 4) for key, value in out.items()}


def _draw(folder: Path) -> tuple[Path, Path]:
    """Write both models; return their folders."""
    from benchmarks.drawn_detector import write_grounding_dino

    detector, masker = folder / "grounding-dino", folder / "sam"
    detector.mkdir()
    masker.mkdir()
    model = write_grounding_dino(detector, shape=DETECTOR, gain=1.0)
    model.model.decoder.layer_norm.weight.data *= 0.2  # else every score is 1
    model.save_pretrained(detector)
    everything.draw(masker, shape=MASKER).unlink()
    _centre(masker)
    return detector, masker


def _centre(folder: Path) -> None:
    """Make a SAM's single masks a part of the picture: drawn ones are all of it, or nothing.

    What the mask's weights have in common with the mean of what they are multiplied with, goes.
    """
    import torch
    import torch.nn.functional as F
    from transformers import SamModel

    from lexiseg.models.sam.trunk import scaled_pixels

    model = SamModel.from_pretrained(folder).eval()
    decoder = model.mask_decoder
    seen: list[torch.Tensor] = []
    hook = decoder.upscale_conv2.register_forward_hook(lambda *call: seen.append(F.gelu(call[2])))
    pixels, (height, width) = scaled_pixels(
        read(everything.PHOTO).rgb, model.config.vision_config.image_size
    )
    box = torch.tensor([[[0.2 * width, 0.3 * height, 0.7 * width, 0.8 * height]]])
    with torch.no_grad():
        model(pixels, input_boxes=box, multimask_output=False)
        hook.remove()
        cells = seen[0][0, :, : height // 4, : width // 4]  # of the picture, not of its padding
        mean = F.normalize(cells.mean((1, 2)), dim=0)
        last = decoder.output_hypernetworks_mlps[0].proj_out
        for value in (last.weight, last.bias):
            value -= (mean @ value)[None] * (mean[:, None] if value.ndim > 1 else mean)
    model.save_pretrained(folder)


def segmenter(detector: Path, masker: Path, rgb: NDArray[np.uint8]) -> tuple[Any, float]:
    """Return lexiseg's on the weights in two folders, and the limit of scores it is given: that of
    BOXES boxes in a photo, (H, W, 3).
    """
    import torch

    from lexiseg.methods.grounded import Config, Segmenter
    from lexiseg.models import load_detector, load_masker
    from lexiseg.protocols import LoadOptions

    options = LoadOptions(device="cpu", dtype="fp32")
    finder = load_detector(detector, options)
    scores = finder.detect(finder.encode(rgb), WORDS, threshold=0.0).scores.sort(descending=True)
    threshold = float(scores.values[torch.tensor([BOXES - 1, BOXES])].mean())
    config = Config(box_threshold=threshold, box_nms_threshold=1.0, iou_threshold=1.0)
    return Segmenter(finder, load_masker(masker, options), config), threshold


def _found(result: Any) -> Found:
    """What a Segmentation holds, as LangSAM gives it."""
    return result.masks.dense(), result.scores
