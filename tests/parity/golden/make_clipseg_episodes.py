"""Run what CLIPSeg's code measures Pascal's episodes with, on made inputs; keep what it says.

    python -m tests.parity.golden.make_clipseg_episodes CLIPSEG_DIR PFENET_DIR

The folders are checkouts of timojl/clipseg and dvlab-research/PFENet. The lines between PFENet's
loader and the metric are those of CLIPSeg's `PFEPascalWrapper`, which needs both and CUDA.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import simpson
from tests.parity.golden.make_metrics import module

HERE = Path(__file__).parent
SIDE = 64
SIZES = ((90, 67), (60, 97), (40, 53), (64, 64))  # two larger than the square, two that fit
CLASSES = (2, 0, 2, 1)


def inputs() -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]]:
    """Photos (H, W, 3), labels (H, W) of 0, 1 and 255, and logits (SIDE, SIDE) of an answer."""
    made = []
    for seed, (height, width) in enumerate(SIZES):
        draw = np.random.RandomState(seed)
        rgb = draw.randint(0, 256, (height, width, 3)).astype(np.uint8)
        rows, columns = np.indices((height, width))
        label = ((rows - height / 2) ** 2 + (columns - width / 3) ** 2 < 18**2).astype(np.uint8)
        label[:4] = 255
        y, x = np.indices((SIDE, SIDE)) / SIDE
        logits = 4 - 12 * np.hypot(y - 0.4, x - 0.3) + draw.randn(SIDE, SIDE)
        made.append((rgb, label, logits.astype(np.float32)))
    return made


def main(clipseg: Path, pfenet: Path) -> None:
    import scipy.integrate

    scipy.integrate.simps = lambda y, x: simpson(y, x=x)  # its name until SciPy 1.14
    resize = module(pfenet / "util/transform.py", ()).test_Resize(SIDE)
    kind = module(clipseg / "metrics.py", ("general_utils",)).FixedIntervalMetrics
    metric = kind(resize_pred=True, sigmoid=True, custom_threshold=0.24)
    photos, masks = [], []
    for (rgb, label, logits), index in zip(inputs(), CLASSES, strict=True):
        image, small = resize(rgb.astype(np.float32), label)
        photos.append(np.rint(image)[::7, ::9].astype(int).tolist())
        masks.append(np.packbits(small == 1).tolist())
        own = torch.from_numpy(label)[None]
        longer = max(own.shape[1:])
        square = torch.ones(1, longer, longer) * 255
        square[0, : own.shape[1], : own.shape[2]] = own
        square = square.long()
        metric.add(
            torch.from_numpy(logits)[None, None, None],
            [(square == 1).float()[None], (square != 255).float()[None], torch.tensor([index])],
        )
    found = metric.value()
    kept = ("ap", "fgiou_scores", "biniou_scores", "mean_iou_scores", "mean_iou_ct")
    document: dict[str, Any] = {
        "commits": {"clipseg": "77c4e2d", "pfenet": "a505675"},
        "photos": photos, "masks": masks,
        "scores": {key: np.asarray(found[key], np.float64).tolist() for key in kept},
    }  # fmt: skip
    (HERE / "clipseg_episodes.json").write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
