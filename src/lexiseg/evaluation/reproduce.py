"""What it takes to measure a published number again, and what was measured in its place."""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from lexiseg import checkpoints
from lexiseg.checkpoints.registry import bundled_folder
from lexiseg.datasets import DatasetInfo, dataset_info
from lexiseg.errors import LexisegError
from lexiseg.evaluation.published_results import Row

__all__ = [
    "MEASURES", "Need", "arguments", "command", "compute_rate", "data_need", "found_values",
    "gigaflops", "pictures", "weights_needs",
]  # fmt: skip

# Measure -> where the results of `lexiseg evaluate` hold it: ways of keys, the first that is there.
# mIoU as mmsegmentation has it, over every class that is there or predicted; as CLIPSeg has it at
# its threshold; of episodes as the mean over folds.
MEASURES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "mIoU": (("mean_iou_all",), ("clipseg", "mean_iou_0.3"), ("mean", "mean_iou")),
    "pixel accuracy": (("pixel_accuracy", "value"),),
    "mean accuracy": (("mean_accuracy_all",),),
    "IoU_FG": (("clipseg", "iou_fg_0.3"),),
    "IoU_BIN": (("clipseg", "iou_bin_0.3"), ("mean", "fb_iou")),
    "AP": (("clipseg", "ap"),),
    "base": (("groups", "base"),),
    "novel": (("groups", "novel"),),
    "seen": (("groups", "base"),),
    "unseen": (("groups", "novel"),),
    "seconds": (("seconds_per_picture",),),
}
_TIMES = frozenset({"seconds"})  # every other measure is a share

# Photos of a set as they mostly are, (width, height), for estimates.
_USUAL_WH = {"cityscapes": (2048, 1024), "ade20k": (683, 512)}
_COCO_WH, _VOC_WH = (640, 480), (500, 375)
# Transformers by the letter in their names: layers, width.
_SIZES = {"s": (12, 384), "b": (12, 768), "l": (24, 1024), "h": (32, 1280), "g": (40, 1408)}
_VIT = re.compile(r"vit-([sblhg])-?(\d+)?")
_SAM_SIDE, _SAM_PATCH, _CLIPSEG_SIDE = 1024, 16, 352


@dataclass(frozen=True)
class Need:
    """Weights or data that a run needs; size: of what is downloaded, in words; how: to get it.

    part: of data that is here in part, how much of it, in words.
    """

    what: str
    name: str
    size: str
    here: bool
    how: str
    part: str = ""


def arguments(row: Row, root: str | Path | None = None) -> list[str]:
    """Return what follows `lexiseg` in the row's command; root: where the data lies.

    Raises LookupError for a row without a command.
    """
    if not row.options:
        raise LookupError(f"{row.paper} {row.name} has no command")
    place = dataset_info(row.data).folders[0].partition("/")[0] if root is None else str(root)
    return ["evaluate", *shlex.split(row.options), "--data", row.data, "--root", place]


def command(row: Row) -> str:
    """Return the row's command as it is typed, "" where none measures the same."""
    return "lexiseg " + shlex.join(arguments(row)) if row.options else ""


def weights_needs(config: Any) -> tuple[Need, ...]:
    """Return the weights that a method's Config names, bundled ones aside."""
    known = {record.name: record for record in checkpoints.records()}
    needs = []
    for name in dict.fromkeys(_names(config)):
        record = known.get(name)
        if record is None or bundled_folder(name) is not None:
            continue
        size = f"{record.bytes / 1e6:,.0f} MB" if record.bytes else "size not published"
        trust = "" if checkpoints.with_pin(record).pinned else " --trust"
        needs.append(
            Need("weights", name, size, checkpoints.is_here(record),
                 f"lexiseg models pull {name}{trust}")
        )  # fmt: skip
    return tuple(needs)


def data_need(row: Row, root: str | Path | None = None) -> Need:
    """Return the row's data set, here where its first split opens."""
    info = dataset_info(row.data)
    here, part, split = True, "", info.splits[0]
    try:
        held = len(info.open(info.find("." if root is None else root), split.name))
        if info.kind != "few-shot" and split.count is not None and held < split.count:
            part = f"{held:,} of {split.count:,}"
    except LexisegError:
        here = False
    return Need("data", info.name, info.size, here, f"lexiseg datasets how {info.name}", part)


def pictures(info: DatasetInfo, limit: int | None = None) -> int | None:
    """Return how many photos, phrases or episodes the row's split has; None: nobody says."""
    folds = [one for one in info.splits if one.name.startswith("fold")] or [info.splits[0]]
    counts = [one.count for one in folds]
    if any(count is None for count in counts):
        return None
    return sum(min(count or 0, limit or math.inf) for count in counts)  # type: ignore[return-value]


def gigaflops(config: Any, data: str) -> float:
    """Return about how many 10^9 operations the encoders take for one usual photo of a set.

    Only transformers are counted, by their published shapes: layers x (24 width^2 tokens +
    4 width tokens^2); nothing of words, label maps and masks.
    """
    width, height = _USUAL_WH.get(data, _COCO_WH if "coco" in data else _VOC_WH)
    total = 0.0
    for name in dict.fromkeys(_names(config)):
        shape = _VIT.search(name)
        if name.startswith("clipseg"):
            total += _transformer("b", (_CLIPSEG_SIDE // 16) ** 2 + 1)
        elif name.startswith("sam"):
            letter = shape[1] if shape else _hiera(name)
            total += _sam(letter)
        elif shape:
            total += _windows(config, shape[1], int(shape[2] or 16), (height, width))
    return total


def _windows(config: Any, letter: str, patch: int, size_hw: tuple[int, int]) -> float:
    """The operations of all windows that a dense method cuts a photo into."""
    short = getattr(config, "short_side", None) or 336
    factor = min(2048 / max(size_hw), short / min(size_hw))
    sides = [round(side * factor) for side in size_hw]
    window = getattr(config, "window", None) or 224
    stride = getattr(config, "stride", None) or window
    count, area = 1, 1
    for side in sides:
        count *= max(side - window + stride - 1, 0) // stride + 1
        area *= -(-min(window, side) // patch)
    return count * _transformer(letter, area + 1)


def _transformer(letter: str, tokens: int) -> float:
    layers, width = _SIZES[letter]
    return layers * (24 * width**2 * tokens + 4 * width * tokens**2) / 1e9


def _sam(letter: str) -> float:
    """SAM's encoder: four layers look at the whole image, the others at windows of 14 x 14."""
    layers, width = _SIZES[letter]
    tokens = (_SAM_SIDE // _SAM_PATCH) ** 2
    seen = 4 * tokens + (layers - 4) * 14**2
    return (layers * 24 * width**2 * tokens + 4 * width * tokens * seen) / 1e9


def _hiera(name: str) -> str:
    """The transformer that costs about what a Hiera of SAM 2 does."""
    return {"t": "s", "s": "s", "b": "b", "l": "l"}[name.split("hiera-")[1][0]]


def compute_rate(device: str | None = None, seconds: float = 0.3) -> float:
    """Return how many 10^9 operations a second this machine does in a transformer's layer.

    Measured for about `seconds` on four windows of ViT-B/16, in the type that is used there.
    """
    import torch

    from lexiseg.device import pick

    compute = pick(device)
    tokens, width = 197, _SIZES["b"][1]
    layer = torch.nn.TransformerEncoderLayer(width, 12, 4 * width, batch_first=True).eval()
    layer = layer.to(compute.device, compute.dtype)
    pixels = torch.zeros(4, tokens, width, device=compute.device, dtype=compute.dtype)
    work = 4 * _transformer("b", tokens) / _SIZES["b"][0]
    with torch.inference_mode():
        layer(pixels).sum().item()  # warm
        done, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds or not done:
            layer(pixels).sum().item()  # waits for the device
            done += 1
    return done * work / elapsed


def found_values(row: Row, document: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what a run's results.json says of the row's measures, in percent, times in seconds."""
    out: dict[str, float | None] = {}
    for measure in row.published:
        value = None
        for way in MEASURES[measure]:
            value = _at(document, way)
            if value is not None:
                break
        scale = 1 if measure in _TIMES else 100
        out[measure] = None if value is None else round(scale * value, 4)
    return out


def _at(document: Any, way: tuple[str, ...]) -> float | None:
    for key in way:
        if not isinstance(document, Mapping) or key not in document:
            return None
        document = document[key]
    return float(document) if isinstance(document, int | float) else None


def _names(value: Any) -> list[str]:
    """Every text in a Config and in what it holds, in order: names of weights are among them."""
    if isinstance(value, str):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        return [name for one in fields(value) for name in _names(getattr(value, one.name))]
    if isinstance(value, Mapping):
        return [name for inner in value.values() for name in _names(inner)]
    return []
