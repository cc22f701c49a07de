"""Example pictures as prompts: the bundled model against the raw backbone's features.

For every photo of the split and every class in it, the prompt is one or five masked photos of that
class from the training split, the same for all ways, drawn once a class. The raw ways have no
training with masks behind them: features of the ImageNet backbone at strides 16 and 32. "raw": the
mean inside the examples' masks and the mean outside, and each place goes to the nearer one.
"fitted": the bundled model's own regression, on the raw features. Mean IoU is over classes, sums
over photos before division; intervals of the difference draw photos again.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.machine import Unmeasurable
from benchmarks.rows.common import estimate, markdown, open_data, progress

ABOUT = "example pictures as prompts, against nearest prototypes of the raw ImageNet backbone"
WAYS = ("bundled", "raw", "fitted")
NEEDS = ("data",)
COUNTS = (1, 5)
BACKBONE = "mobilenet_v2_1.0_224_quant.tflite"
SIDE = 288
LEAST = 5  # photos of a class that counts
_CELL = 16  # pixels of a raw feature


@dataclass(frozen=True)
class _Prompt:
    """One thing's examples. vector: the bundled model's. own, other, plane: on raw features."""

    vector: Tensor
    own: Tensor
    other: Tensor
    plane: Tensor


def check(options: Namespace) -> str | None:
    """Return what is missing, or None."""
    if _backbone(options) is None:
        return f"there is no {BACKBONE} in a folder weights beside the data"
    return None


def run(options: Namespace) -> dict[str, Any]:
    """Measure every set that has a training split."""
    import lexiseg
    from lexiseg.datasets import open_set
    from lexiseg.training.tiny.tflite import read_mobilenet

    file = _backbone(options)
    if file is None:
        raise Unmeasurable(str(check(options)))
    net = read_mobilenet(file)[0].eval()
    segmenter = lexiseg.load("clipseg", encoder=options.method, device=options.device)
    sets = []
    for data in open_data(options):
        places = [Path(one) for one in options.data]
        places = [p if (p / "dataset.json").is_file() else p / data.name for p in places]
        root = next(p for p in places if p.name == data.name and p.is_dir())
        sets.append(_measure(segmenter, net, data, open_set(root, "train")))
    return {"sets": sets, "config": {"side": SIDE, "examples": list(COUNTS)}}


def _backbone(options: Namespace) -> Path | None:
    folder = Path(options.data[0])
    weights = [place / "weights" / BACKBONE for place in (folder, *folder.resolve().parents[:2])]
    return next((path for path in weights if path.is_file()), None)


def _measure(segmenter: Any, net: Any, data: Any, train: Any) -> dict[str, Any]:
    """Overlaps of every way by photo and class, (photos, classes, 2): intersection and union."""
    from lexiseg import imaging

    classes = [i for i in range(len(data.classes)) if i != data.background_index]
    support = _supports(train, classes)
    model = segmenter.model
    made = {(c, n): _prompt(model, net, pairs[:n]) for c, pairs in support.items() for n in COUNTS}
    ways = [f"{way} {n}" for n in COUNTS for way in WAYS]
    sums = {way: np.zeros((len(data), len(classes), 2), np.int64) for way in ways}
    seen = np.zeros((len(data), len(classes)), np.bool_)
    show = progress(f"oneshot {data.name}")
    for row, sample in enumerate(data):
        rgb = imaging.read(sample.path).rgb
        truth = sample.labels(rgb.shape[:2])
        counted = truth != data.ignore_index
        there = [c for c in np.unique(truth[counted]).tolist() if c in support]
        view, (features, work_hw) = model.encode(rgb), _features(net, rgb)
        for c in there:
            seen[row, classes.index(c)] = True
            for n in COUNTS:
                prompt = made[c, n]
                maps = {
                    "bundled": model.maps(view, prompt.vector[None])[0],
                    "raw": features @ prompt.own - features @ prompt.other,
                    "fitted": features @ prompt.plane[:-1] + prompt.plane[-1],
                }
                for way, values in maps.items():
                    lies = (view.cell, view.work_hw) if way == "bundled" else (_CELL, work_hw)
                    found = (_full(values, *lies, truth.shape) > 0).numpy() & counted
                    true = (truth == c) & counted
                    place = sums[f"{way} {n}"][row, classes.index(c)]
                    place += [int((found & true).sum()), int((found | true).sum())]
        if show:
            show(row + 1, len(data))
    return _scores(data, classes, sums, seen)


def _scores(
    data: Any, classes: list[int], sums: dict[str, NDArray[np.int64]], seen: NDArray[np.bool_]
) -> dict[str, Any]:
    from lexiseg.metrics.confusion import draw_weights, interval, resample

    kept = seen.sum(0) >= LEAST
    weights = draw_weights(len(data))
    drawn, values = {}, {}
    for way, counts in sums.items():
        part = counts[:, kept]
        drawn[way] = np.nanmean(resample(part[..., 0], part[..., 1], weights), 1)
        total = part.sum(0)
        values[way] = float(np.mean(total[:, 0] / np.maximum(total[:, 1], 1)))
    out: dict[str, Any] = {
        "set": data.name, "photos": len(data), "classes": int(kept.sum()),
        "prompts": int(seen[:, kept].sum()), "ways": {},
    }  # fmt: skip
    for way in sums:
        low, high = interval(drawn[way]).tolist()
        out["ways"][way] = {"value": values[way], "low": low, "high": high}
    for n in COUNTS:
        for rival in WAYS[1:]:
            low, high = interval(drawn[f"bundled {n}"] - drawn[f"{rival} {n}"]).tolist()
            gain = values[f"bundled {n}"] - values[f"{rival} {n}"]
            out["ways"][f"bundled over {rival} {n}"] = {"value": gain, "low": low, "high": high}
    return out


def _supports(
    train: Any, classes: list[int]
) -> dict[int, list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]]:
    """Five masked photos of each class that cover at least a hundredth of theirs."""
    from lexiseg import imaging

    rng = np.random.default_rng(0)
    found: dict[int, list[Any]] = {c: [] for c in classes}
    for i in rng.permutation(len(train)).tolist():
        if all(len(pairs) >= max(COUNTS) for pairs in found.values()):
            break
        sample = train[i]
        rgb = imaging.read(sample.path).rgb
        labels = sample.labels(rgb.shape[:2])
        for c in np.unique(labels).tolist():
            mask = labels == c
            if c in found and len(found[c]) < max(COUNTS) and mask.mean() >= 0.01:
                found[c].append((rgb, mask))
    return {c: pairs for c, pairs in found.items() if len(pairs) == max(COUNTS)}


@torch.inference_mode()
def _features(net: Any, rgb: NDArray[np.uint8]) -> tuple[Tensor, tuple[int, int]]:
    """Maps at strides 16 and 32, each of unit length, side by side, (h, w, 1376), and the size
    that the photo was scaled to; the last cells may reach over it."""
    from lexiseg.imaging import pad_to_multiple, resize_image, working_size

    work = working_size((rgb.shape[0], rgb.shape[1]), SIDE)
    pixels = torch.from_numpy(pad_to_multiple(resize_image(rgb, work), 32)).permute(2, 0, 1)[None]
    _, _, middle, coarse = net(pixels.float() / 127.5 - 1)
    coarse = F.interpolate(coarse, middle.shape[2:], mode="bilinear", align_corners=False)
    both = [F.normalize(x, dim=1) for x in (middle, coarse)]
    made = torch.cat(both, 1)[0].permute(1, 2, 0) / 2**0.5
    return made[: -(-work[0] // _CELL), : -(-work[1] // _CELL)], work


def _full(values: Tensor, cell: int, work_hw: tuple[int, int], size_hw: tuple[int, ...]) -> Tensor:
    """A map on cells of a scaled photo -> its pixels."""
    fine = F.interpolate(values[None, None], scale_factor=cell, mode="bilinear")
    fine = fine[..., : work_hw[0], : work_hw[1]]
    return F.interpolate(fine, tuple(size_hw), mode="bilinear")[0, 0]


def _prompt(model: Any, net: Any, pairs: list[Any]) -> _Prompt:
    """The bundled vector; the mean raw features inside and outside, of unit length; the plane."""
    from lexiseg.models.tiny.linear_prompts import of_examples

    looks, shares, within = [], [], []
    for rgb, mask in pairs:
        features, work = _features(net, rgb)
        inside = F.interpolate(torch.from_numpy(mask)[None, None].float(), work, mode="area")
        there = torch.ones_like(inside)
        ragged = (0, -work[1] % _CELL, 0, -work[0] % _CELL)
        inside, there = (F.avg_pool2d(F.pad(x, ragged), _CELL)[0, 0] for x in (inside, there))
        looks.append(features)
        shares.append(inside)
        within.append(there)
    triples = list(zip(looks, shares, within, strict=True))
    own = torch.stack([torch.einsum("hwd,hw->d", f, s) for f, s, _ in triples]).sum(0)
    other = torch.stack([torch.einsum("hwd,hw->d", f, t - s) for f, s, t in triples]).sum(0)
    return _Prompt(
        model.examples(pairs),
        F.normalize(own, dim=0),
        F.normalize(other, dim=0),
        of_examples(looks, shares, own.new_empty(0, len(own))),
    )


def table(result: dict[str, Any]) -> str:
    """Return a line a set and number of examples."""
    lines = []
    for one in result["sets"]:
        for n in result["config"]["examples"]:
            ways = one["ways"]
            lines.append(
                [
                    f"{one['set']}, {n} example{'s' if n > 1 else ''}",
                    one["classes"],
                    one["prompts"],
                    *(estimate(ways[f"{way} {n}"]) for way in WAYS),
                    estimate(ways[f"bundled over raw {n}"]),
                ]
            )
    head = [
        "set", "classes", "prompts", "bundled", "raw backbone", "raw, fitted", "bundled over raw",
    ]  # fmt: skip
    return (
        f"{markdown(head, lines)}\n\nMean IoU in percent, with 95 % intervals over photos. Raw "
        "backbone: nearest prototypes. Raw, fitted: the bundled model's regression on them."
    )
