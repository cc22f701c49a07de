"""Find boxes for words, then ask a mask model what is in them (Grounded SAM, Ren et al. 2024,
arXiv 2401.14159; Grounding DINO, Liu et al. 2024; OWLv2, Minderer et al. 2023)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.methods._detections import (
    NOTHING,
    DetectionSegmenter,
    DetectionView,
    Instances,
    result,
)
from lexiseg.methods._vocabulary import parse_vocabulary
from lexiseg.prompts import Vocabulary

if TYPE_CHECKING:
    from lexiseg.imaging import Source
    from lexiseg.protocols import Detector, Masker
    from lexiseg.results import Segmentation

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "a detector finds boxes for words, a mask model draws what is in them (Grounded SAM)"


@dataclass(frozen=True)
class Config:
    """Settings of the method; every default lives here.

    detector: a checkpoint that finds boxes for words, its folder or its file.
    masker: a checkpoint that is a mask model, its folder or its file.
    compile: the mask model goes through torch.compile: minutes at first, for many pictures.
    box_threshold: boxes that score less, in [0, 1], are left out; None: as the detector's authors
        have it.
    box_iou: boxes of a word with at least this IoU are one.
    top_k: the best boxes of each word that stay; None: all.
    background: words that are looked for, and take what they are found in, without being asked
        for; "background" alone is what nothing was found in.
    threshold: things that score less, in [0, 1], get no word.
    word_thresholds: the same for single words.
    iou_threshold: masks with at least this IoU are one, whatever their words.
    min_quality: masks that the mask model itself rates lower, in [0, 1], are left out.
    min_share: instances smaller than this part of the picture are left out (not of the label map).
    """

    detector: str = "grounding-dino-t"
    masker: str = "tiny"
    compile: bool = False
    box_threshold: float | None = None
    box_iou: float = 0.7
    top_k: int | None = None
    background: tuple[str, ...] = (NOTHING,)
    threshold: float = 0.0
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    iou_threshold: float = 0.8
    min_quality: float = 0.0
    min_share: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            "box_threshold", "box_iou", "threshold", "iou_threshold", "min_quality", "min_share",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise OptionError(f"{name} is {value}; give 0 to 1")
        for word, value in self.word_thresholds.items():
            if not 0 <= value <= 1:
                raise OptionError(f"the threshold of {word!r} is {value}; give 0 to 1")
        for name in ("box_iou", "iou_threshold"):
            if getattr(self, name) == 0:
                raise OptionError(f"{name} is 0, and everything would be one thing; give more")
        if self.top_k is not None and self.top_k < 1:
            raise OptionError(f"top_k is {self.top_k}; give at least 1")


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"top_k": 10},
    "balanced": {},
    "quality": {"masker": "sam2.1-hiera-l", "detector": "grounding-dino-b"},
}


class Segmenter(DetectionSegmenter):
    """Call it with a picture and words; see `__call__`."""

    name = "grounded"

    def __init__(self, detector: Detector, masker: Masker, config: Config) -> None:
        super().__init__(config)
        self.detector = detector
        self.masker = masker

    def prepare(
        self, image: Source | DetectionView, *, max_pixels: int | None = None
    ) -> DetectionView:
        """Read and encode a picture: a path, a PIL image or an (H, W, 3) uint8 array."""
        from lexiseg import imaging

        makers = (self.detector.name, self.masker.name)
        if isinstance(image, DetectionView):
            return self._made_here(image, makers)
        clock = [time.perf_counter()]
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = image if isinstance(image, imaging.Picture) else imaging.read(image, **limit)
        clock.append(time.perf_counter())
        seen = self.detector.encode(picture.rgb)
        clock.append(time.perf_counter())
        state = self.masker.encode(picture.rgb)
        clock.append(time.perf_counter())
        stages = ("read", "encode", "encode for masks")
        seconds = {s: b - a for s, a, b in zip(stages, clock[:-1], clock[1:], strict=True)}
        return DetectionView(picture, seen, state, makers, seconds)

    def __call__(
        self,
        image: Source | DetectionView,
        words: str | Sequence[str] | Vocabulary,
        *,
        background: str | Sequence[str] | None = "default",
    ) -> Segmentation:
        """Return what the picture shows of the words; arguments as for the method ``dense``.

        The background is what nothing was found in; background words of one's own are looked for
        too. Scores are the detector's: they do not compete, and do not sum to 1.
        Raises PromptError, PictureError.
        """
        vocabulary = parse_vocabulary(words, background, self.config)
        view = self.prepare(image)
        started = time.perf_counter()
        boxes, class_id, score = self._boxes(view, vocabulary)
        boxed = time.perf_counter()
        found = self._masks(view, boxes, class_id, score)
        seconds = {"boxes": boxed - started, "masks": time.perf_counter() - boxed}
        if vocabulary.background is None and not len(found):
            found = self._everywhere(self.detector, view, vocabulary)
        return result(view, vocabulary, found, self.config, self._facts(len(boxes)), seconds)

    def _boxes(self, view: DetectionView, vocabulary: Vocabulary) -> tuple[Any, Any, Any]:
        """Boxes (N, 4) in pixels, the class_id of each, (N,), and its score, without duplicates."""
        import numpy as np
        import torch

        from lexiseg.stages.detections import box_nms

        phrases, class_ids = self._asked(vocabulary)
        if not phrases:
            return torch.zeros(0, 4), np.zeros(0, np.int64), np.zeros(0, np.float32)
        least = self.config.box_threshold
        found = self.detector.detect(
            view.seen, phrases, threshold=self.detector.threshold if least is None else least
        )
        class_id = class_ids[found.words.cpu().numpy()]
        score = found.scores.float().clamp(0, 1).cpu().numpy()
        sides = found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]
        boxes = found.boxes_xyxy.float()
        real = torch.nonzero((sides > 0).all(1))[:, 0]
        at = real.cpu().numpy()
        boxes, class_id, score = boxes[real], class_id[at], score[at]
        kept = box_nms(boxes, class_id, score, self.config.box_iou, self.config.top_k)
        return boxes[torch.from_numpy(kept).to(boxes.device)], class_id[kept], score[kept]

    def _masks(self, view: DetectionView, boxes: Any, class_id: Any, score: Any) -> Instances:
        """Ask the mask model for one mask a box; those that are empty or rated too low go."""
        import numpy as np

        from lexiseg.masks import Masks
        from lexiseg.protocols import MaskPrompts
        from lexiseg.stages.mask_upsampling import upsample_masks

        if not len(boxes):
            none = np.zeros(0, np.float32)
            masks = Masks.empty(view.picture.size_hw)
            return Instances(masks, class_id, score, none.reshape(0, 4), none)
        raw = self.masker.decode(view.state, MaskPrompts(boxes_xyxy=boxes), candidates=1)
        masks = upsample_masks(raw)
        quality = raw.quality.float().clamp(0, 1).cpu().numpy()
        found = Instances(masks, class_id, score, boxes.cpu().numpy(), quality)
        return found[np.flatnonzero((masks.areas > 0) & (quality >= self.config.min_quality))]

    def _facts(self, asked: int) -> dict[str, Any]:
        """What the provenance says of every result."""
        from lexiseg._version import __version__

        hashes = {f"masker {k}": v for k, v in self.masker.sha256.items()}
        return {
            "method": self.name,
            "encoder": self.detector.name,
            "masker": self.masker.name,
            "version": __version__,
            "device": self.detector.device_name,
            "dtype": self.detector.dtype_name,
            "checkpoint_sha256": {**self.detector.sha256, **hashes},
            "prompts": {"asked": asked},
        }


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load the detector and the mask model that the Config names, and return the segmenter."""
    from lexiseg.models import load_detector, load_masker

    how: dict[str, Any] = {"device": device, "dtype": dtype, "pull": pull, "offline": offline}
    return Segmenter(
        load_detector(config.detector, **how),
        load_masker(config.masker, compile=config.compile, **how),
        config,
    )
