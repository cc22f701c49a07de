"""Find boxes for words, then prompt a mask model with them (Grounded SAM, Ren et al. 2024,
arXiv 2401.14159; Grounding DINO, Liu et al. 2024; OWLv2, Minderer et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.methods._base import StageTimer
from lexiseg.methods._config import MaskerConfig, check_range
from lexiseg.methods._detections import (
    DetectionConfig,
    DetectionSegmenter,
    EncodedForDetection,
    Instances,
)
from lexiseg.protocols import Detector, LoadOptions, Masker, MaskPrompts, View

if TYPE_CHECKING:
    from torch import Tensor

    from lexiseg.prompts import Vocabulary
    from lexiseg.results import Segmentation

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "a detector finds boxes for words, a mask model draws what is in them (Grounded SAM)"


@dataclass(frozen=True)
class Config(MaskerConfig, DetectionConfig):
    """detector: a checkpoint that finds boxes for words, its folder or its file.
    box_nms_threshold: of a word's boxes with at least this IoU the better one alone stays.
    min_quality: masks that the mask model itself rates lower, in [0, 1], are left out.
    """

    detector: str = "grounding-dino-t"
    box_nms_threshold: float = 0.7
    min_quality: float = 0.0

    def check(self) -> None:
        """Raise OptionError for a value out of its range."""
        check_range(self, 1e-6, 1, "box_nms_threshold")
        check_range(self, 0, 1, "min_quality")


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"top_k": 10},
    "balanced": {},
    "quality": {"masker": "sam2.1-hiera-l", "detector": "grounding-dino-b"},
}


class Segmenter(DetectionSegmenter):
    """Call it with an image and words; see ``BaseSegmenter.__call__``.

    The background is what nothing was found in; background words of one's own are looked for too.
    Scores are the detector's: they do not compete, and do not sum to 1.
    """

    name = "grounded"

    def __init__(self, detector: Detector, masker: Masker, config: Config) -> None:
        super().__init__(detector, masker, config)
        self._masker = masker

    def segment(self, view: View[EncodedForDetection], vocabulary: Vocabulary) -> Segmentation:
        """Return what an encoded image shows of a vocabulary."""
        timer = StageTimer(view.seconds)
        with timer("boxes"):
            boxes, class_ids, scores = self._boxes(view, vocabulary)
        with timer("masks"):
            found = self._masks(view, boxes, class_ids, scores)
        return self.result(view, vocabulary, found, len(boxes), timer)

    def _boxes(
        self, view: View[EncodedForDetection], vocabulary: Vocabulary
    ) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float32]]:
        """Boxes (N, 4) in pixels, the class of each, (N,), and its score, without duplicates."""
        import torch

        from lexiseg.stages.nms import box_nms

        phrases, classes = self.phrases(vocabulary)
        if not phrases:
            return torch.zeros(0, 4), np.zeros(0, np.int64), np.zeros(0, np.float32)
        found = self.detector.detect(view.encoded.detector, phrases, threshold=self.box_threshold)
        boxes = found.boxes_xyxy.float()
        scores = found.scores.float().clamp(0, 1).cpu().numpy()
        class_ids = classes[found.words.cpu().numpy()]
        corners = boxes.cpu().numpy()
        real = np.flatnonzero((corners[:, 2:] > corners[:, :2]).all(1))
        kept = real[
            box_nms(
                boxes[torch.from_numpy(real).to(boxes.device)], class_ids[real], scores[real],
                self.config.box_nms_threshold, self.config.top_k,
            )
        ]  # fmt: skip
        return boxes[torch.from_numpy(kept).to(boxes.device)], class_ids[kept], scores[kept]

    def _masks(
        self,
        view: View[EncodedForDetection],
        boxes: Tensor,
        class_ids: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> Instances:
        """One mask a box; those that are empty or rated too low go."""
        from lexiseg.stages.mask_upsampling import upsample_masks

        if not len(boxes):
            none = np.zeros(0, np.float32)
            masks = Masks.empty(view.picture.size_hw)
            return Instances(masks, class_ids, scores, none.reshape(0, 4), none)
        prompts = MaskPrompts(boxes_xyxy=boxes)
        raw = self._masker.decode(view.encoded.masker, prompts, candidates=1)
        masks = upsample_masks(raw)
        quality = raw.quality.float().clamp(0, 1).cpu().numpy()
        found = Instances(masks, class_ids, scores, boxes.cpu().numpy(), quality)
        return found[np.flatnonzero((masks.areas > 0) & (quality >= self.config.min_quality))]


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the detector and the mask model that the Config names, and return the segmenter."""
    from lexiseg.models import load_detector, load_masker

    return Segmenter(
        load_detector(config.detector, options),
        load_masker(config.masker, options, compile=config.compile),
        config,
    )
