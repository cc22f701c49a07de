"""Average precision of instances and average recall of proposals, by COCO's own code."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lexiseg.errors import InputError
from lexiseg.masks import Masks

__all__ = ["InstanceMetrics", "InstanceScores"]

PROPOSALS = (10, 100, 1000)
# The first nine numbers of COCO's summary, in its order.
_STATS = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100",
)  # fmt: skip


@dataclass(frozen=True)
class InstanceScores:
    """COCO's twelve numbers that papers print, in [0, 1]; NaN where there is no such instance.

    ap: over IoU 0.5 to 0.95. small: up to 32 x 32 pixels, large: from 96 x 96. ar: recall with at
    most 1, 10 and 100 masks a photo. by_class: the AP of each class. proposal_recall: average
    recall with at most 10, 100 and 1000 masks a photo, whatever their class. photos, instances:
    over how many.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    by_class: tuple[float, ...]
    proposal_recall: tuple[float, ...]
    photos: int
    instances: int


class InstanceMetrics:
    """Add photos, then ``compute``. num_classes: C; class indices are 0 to C - 1."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._images: list[dict[str, Any]] = []
        self._truths: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def add(
        self,
        pred: Masks,
        pred_classes: ArrayLike,
        scores: ArrayLike,
        truth: Masks,
        true_classes: ArrayLike,
        crowd: Sequence[bool] | None = None,
        *,
        areas: ArrayLike | None = None,
    ) -> None:
        """Add one photo's masks with class indices and scores, and its true ones.

        crowd: which true masks are crowds, (M,): what lies in one is neither right nor wrong.
        areas: by which true ones are small or large, (M,), where the annotation gives others than
        their pixels.
        """
        if pred.size_hw != truth.size_hw:
            raise InputError(f"masks of {pred.size_hw} and {truth.size_hw} pixels; give one size")
        number = len(self._images) + 1
        height, width = truth.size_hw
        self._images.append({"id": number, "height": height, "width": width})
        crowds = [False] * len(truth) if crowd is None else crowd
        kinds = self._classes(true_classes, len(truth))
        sizes = (truth.areas if areas is None else np.asarray(areas, np.float64)).tolist()
        boxes = truth.boxes_xyxy.tolist()
        for rle, kind, area, box, one in zip(
            truth.to_rle(), kinds, sizes, boxes, crowds, strict=True
        ):
            self._truths.append(
                {
                    "id": len(self._truths) + 1, "image_id": number, "category_id": kind,
                    "segmentation": rle, "area": area, "bbox": _xywh(box), "iscrowd": int(one),
                }
            )  # fmt: skip
        kinds = self._classes(pred_classes, len(pred))
        for rle, kind, score, area, box in zip(
            pred.to_rle(), kinds, np.asarray(scores, np.float64).tolist(), pred.areas.tolist(),
            pred.boxes_xyxy.tolist(), strict=True,
        ):  # fmt: skip
            self._found.append(
                {
                    "id": len(self._found) + 1, "image_id": number, "category_id": kind,
                    "segmentation": rle, "area": area, "bbox": _xywh(box), "score": score,
                }
            )  # fmt: skip

    def compute(self) -> InstanceScores:
        """Return the scores over all photos; NaN throughout where there is no true instance."""
        count = sum(not one["iscrowd"] for one in self._truths)
        made: dict[str, Any] = {"photos": len(self._images), "instances": count}
        if not count:
            nan = float("nan")
            made |= dict.fromkeys(_STATS, nan)
            made |= {"by_class": (nan,) * self.num_classes}
            return InstanceScores(**made, proposal_recall=(nan,) * len(PROPOSALS))
        found = self._run(use_classes=True)
        made |= zip(_STATS, map(_known, found.stats[: len(_STATS)]), strict=True)
        precision = found.eval["precision"][:, :, :, 0, 2]  # IoUs, recalls, classes
        made["by_class"] = tuple(_mean(precision[..., k]) for k in range(self.num_classes))
        recall = self._run(use_classes=False).eval["recall"][:, 0, 0, :]  # IoUs, limits
        proposals = tuple(_mean(recall[:, i]) for i in range(len(PROPOSALS)))
        return InstanceScores(**made, proposal_recall=proposals)

    def _run(self, *, use_classes: bool) -> Any:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        with contextlib.redirect_stdout(io.StringIO()):  # it prints whatever it does
            truths, results = COCO(), COCO()
            for one, entries in ((truths, self._truths), (results, self._found)):
                one.dataset = {
                    "images": self._images,
                    "categories": [{"id": k + 1} for k in range(self.num_classes)],
                    "annotations": [dict(entry) for entry in entries],
                }
                one.createIndex()
            run = COCOeval(truths, results, "segm")
            if not use_classes:
                run.params.useCats = 0
                run.params.maxDets = list(PROPOSALS)
            run.evaluate()
            run.accumulate()
            if use_classes:
                run.summarize()
        return run

    def _classes(self, values: ArrayLike, count: int) -> list[int]:
        """COCO's categories, from 1, of class indices."""
        classes = np.asarray(values, np.int64)
        if classes.shape != (count,) or (
            count and not 0 <= classes.min() <= classes.max() < self.num_classes
        ):
            raise InputError(
                f"{count} masks with classes {classes.tolist()[:5]}; give each one of 0 to "
                f"{self.num_classes - 1}"
            )
        return [int(one) + 1 for one in classes]


def _xywh(box: Sequence[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _known(value: float) -> float:
    return float("nan") if value < 0 else float(value)


def _mean(values: Any) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")
