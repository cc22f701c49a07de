"""SAM 3 (Carion et al. 2025, arXiv 2511.16719): all things of a concept, by words or examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OptionError, PromptError
from lexiseg.masks import Masks
from lexiseg.methods._base import StageTimer, Words, finish, parse_vocabulary
from lexiseg.methods._detections import (
    DetectionConfig,
    DetectionSegmenter,
    EncodedForDetection,
    Instances,
)
from lexiseg.prompts import Clicks
from lexiseg.protocols import ExampleDetector, LoadOptions, View

if TYPE_CHECKING:
    from lexiseg.imaging import Source
    from lexiseg.prompts import Vocabulary
    from lexiseg.protocols import Detections
    from lexiseg.results import Segmentation

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "SAM 3 finds and draws all things of a concept: words, or boxes around examples"


@dataclass(frozen=True)
class Config(DetectionConfig):
    """detector: a checkpoint of SAM 3, its folder or its name."""

    detector: str = "sam3"


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"top_k": 10},
    "balanced": {},
    "quality": {"box_threshold": 0.3},
}


class Segmenter(DetectionSegmenter):
    """Call it with an image and words, or boxes around examples; see ``__call__``."""

    name = "sam3"

    def __init__(self, detector: ExampleDetector, config: Config) -> None:
        if not isinstance(detector, ExampleDetector):
            raise OptionError(
                f"sam3 needs a SAM 3, which draws masks itself, and {detector.name!r} is none; "
                "give one"
            )
        super().__init__(detector, None, config)
        self._detector = detector
        self._provenance = replace(self._provenance, masker=detector.name)

    def __call__(
        self,
        image: Source | View[EncodedForDetection],
        words: Words | None = None,
        *,
        background: str | Sequence[str] | None = "default",
        keep_image: bool = False,
        boxes: Iterable[Sequence[float]] = (),
        not_boxes: Iterable[Sequence[float]] = (),
    ) -> Segmentation:
        """Return what the image shows of the words; see ``BaseSegmenter.__call__``.

        The background is what nothing was found in; background words of one's own are looked for
        too. Scores are the model's: they do not compete, and do not sum to 1.
        boxes: (x0, y0, x1, y1) in pixels, each around an example. Without words each stands for a
            concept of its own, "box 1"; with one word, all are examples of it.
        not_boxes: around what is not meant.
        Raises PromptError, PictureError.
        """
        positive, negative = Clicks.parse(boxes=boxes), Clicks.parse(boxes=not_boxes)
        if words is None and not positive.boxes_xyxy:
            raise PromptError("there is nothing to look for; give words or boxes")
        vocabulary = parse_vocabulary(
            list(positive.names) if words is None else words, background, self.config
        )
        examples = positive.boxes_xyxy or negative.boxes_xyxy
        if words is not None and examples and len(vocabulary.words) > 1:
            raise PromptError(
                f"boxes are examples of one word, and there are {len(vocabulary.words)} words; "
                "give one, or none"
            )
        view = self.prepare(image)
        positive = positive.clipped(view.picture.size_hw)
        negative = negative.clipped(view.picture.size_hw)

        def segment(vocabulary: Vocabulary) -> Segmentation:
            return self._segment(view, vocabulary, positive, negative, named=words is not None)

        result = self.segment_phrases(view, vocabulary, segment)
        return finish(result, view, keep_image=keep_image)

    def segment(self, view: View[EncodedForDetection], vocabulary: Vocabulary) -> Segmentation:
        """Return what an encoded image shows of a vocabulary."""
        return self._segment(view, vocabulary, Clicks(), Clicks(), named=True)

    def _segment(
        self,
        view: View[EncodedForDetection],
        vocabulary: Vocabulary,
        positive: Clicks,
        negative: Clicks,
        *,
        named: bool,
    ) -> Segmentation:
        """named: the words are words, and not the names of boxes."""
        timer = StageTimer(view.seconds)
        size_hw = view.picture.size_hw
        with timer("things"):
            parts = self._detect(view, vocabulary, positive, negative, named=named)
            found = Instances.concat([self._draw(*part, size_hw) for part in parts], size_hw)
        return self.result(view, vocabulary, found, len(self.phrases(vocabulary)[0]), timer)

    def _detect(
        self,
        view: View[EncodedForDetection],
        vocabulary: Vocabulary,
        positive: Clicks,
        negative: Clicks,
        *,
        named: bool,
    ) -> list[tuple[Detections, NDArray[np.int64]]]:
        """What was found, each part with the classes that its words stand for."""
        import torch

        state, threshold = view.encoded.detector, self.box_threshold
        phrases, class_ids = self.phrases(vocabulary)
        examples = positive.boxes_xyxy
        if named:
            by_word = [
                k for k, i in enumerate(class_ids) if i > 0 or not (examples or negative.boxes_xyxy)
            ]
        else:  # names of boxes are no words
            by_word = [k for k, i in enumerate(class_ids) if i >= len(examples)]
        parts: list[tuple[Detections, NDArray[np.int64]]] = []
        for k in sorted(set(range(len(phrases))) - set(by_word)):
            own = list(examples) if named else [examples[int(class_ids[k])]]
            boxes = torch.tensor([*own, *negative.boxes_xyxy], dtype=torch.float32)
            wanted = torch.arange(len(boxes)) < len(own)
            word = phrases[k] if named else None
            found = self._detector.detect_like(state, word, boxes, wanted, threshold=threshold)
            parts.append((found, class_ids[[k]]))
        if by_word:
            words = [phrases[k] for k in by_word]
            found = self._detector.detect(state, words, threshold=threshold)
            parts.append((found, class_ids[by_word]))
        return parts

    def _draw(
        self, found: Detections, classes: NDArray[np.int64], size_hw: tuple[int, int]
    ) -> Instances:
        """The detector's masks at the image's size; empty ones go, and all but the best."""
        import torch

        from lexiseg.stages.mask_upsampling import upsample_masks
        from lexiseg.stages.nms import box_nms

        class_ids = classes[found.words.cpu().numpy()]
        scores = found.scores.float().clamp(0, 1).cpu().numpy()
        kept = np.arange(len(class_ids))
        if self.config.top_k is not None:  # no boxes are duplicates here: masks are compared
            kept = box_nms(found.boxes_xyxy, class_ids, scores, 2.0, self.config.top_k)
        boxes = found.boxes_xyxy.float().cpu().numpy()
        masks = Masks.empty(size_hw)
        if found.masks is not None and len(kept):
            rows = torch.from_numpy(kept).to(found.boxes_xyxy.device)
            masks = upsample_masks(found.masks[rows])
        made = Instances(masks, class_ids[kept], scores[kept], boxes[kept])
        return made[np.flatnonzero(masks.areas > 0)]


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the SAM 3 that the Config names, and return the segmenter."""
    from lexiseg.models import load_detector

    detector: Any = load_detector(config.detector, options)
    return Segmenter(detector, config)
