"""SAM 3 (Carion et al. 2025, arXiv 2511.16719): all things of a concept, by words or examples."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError, PromptError
from lexiseg.methods._detections import (
    NOTHING,
    DetectionSegmenter,
    DetectionView,
    Instances,
    result,
)
from lexiseg.methods._vocabulary import parse_vocabulary
from lexiseg.prompts import Clicks, Vocabulary
from lexiseg.protocols import ExampleDetector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Source
    from lexiseg.protocols import Detections
    from lexiseg.results import Segmentation

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "load"]

SUMMARY = "SAM 3 finds and draws all things of a concept: words, or boxes around examples"


@dataclass(frozen=True)
class Config:
    """Settings of the method; every default lives here.

    detector: a checkpoint of SAM 3, its folder or its name.
    box_threshold: things that score less, in [0, 1], are left out; None: as the authors have it.
    top_k: the best things of each word that stay; None: all.
    background: words that are looked for, and take what they are found in, without being asked
        for; "background" alone is what nothing was found in.
    threshold: things that score less, in [0, 1], get no word.
    word_thresholds: the same for single words.
    iou_threshold: masks with at least this IoU are one, whatever their words.
    min_share: instances smaller than this part of the picture are left out (not of the label map).
    """

    detector: str = "sam3"
    box_threshold: float | None = None
    top_k: int | None = None
    background: tuple[str, ...] = (NOTHING,)
    threshold: float = 0.0
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    iou_threshold: float = 0.8
    min_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("box_threshold", "threshold", "iou_threshold", "min_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise OptionError(f"{name} is {value}; give 0 to 1")
        for word, value in self.word_thresholds.items():
            if not 0 <= value <= 1:
                raise OptionError(f"the threshold of {word!r} is {value}; give 0 to 1")
        if self.iou_threshold == 0:
            raise OptionError("iou_threshold is 0, and everything would be one thing; give more")
        if self.top_k is not None and self.top_k < 1:
            raise OptionError(f"top_k is {self.top_k}; give at least 1")


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"top_k": 10},
    "balanced": {},
    "quality": {"box_threshold": 0.3},
}


class Segmenter(DetectionSegmenter):
    """Call it with a picture and words, or boxes around examples; see `__call__`."""

    name = "sam3"

    def __init__(self, detector: ExampleDetector, config: Config) -> None:
        if not isinstance(detector, ExampleDetector):
            raise OptionError(
                f"sam3 needs a SAM 3, which draws masks itself, and {detector.name!r} is none; "
                "give one"
            )
        super().__init__(config)
        self.detector = detector

    def prepare(
        self, image: Source | DetectionView, *, max_pixels: int | None = None
    ) -> DetectionView:
        """Read and encode a picture: a path, a PIL image or an (H, W, 3) uint8 array."""
        from lexiseg import imaging

        if isinstance(image, DetectionView):
            return self._made_here(image, (self.detector.name,))
        started = time.perf_counter()
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = image if isinstance(image, imaging.Picture) else imaging.read(image, **limit)
        read = time.perf_counter()
        seen = self.detector.encode(picture.rgb)
        seconds = {"read": read - started, "encode": time.perf_counter() - read}
        return DetectionView(picture, seen, None, (self.detector.name,), seconds)

    def __call__(
        self,
        image: Source | DetectionView,
        words: str | Sequence[str] | Vocabulary | None = None,
        *,
        background: str | Sequence[str] | None = "default",
        boxes: Iterable[Sequence[float]] = (),
        not_boxes: Iterable[Sequence[float]] = (),
    ) -> Segmentation:
        """Return what the picture shows of the words; arguments as for the method ``dense``.

        The background is what nothing was found in; background words of one's own are looked for
        too. Scores are the model's: they do not compete, and do not sum to 1.
        boxes: (x0, y0, x1, y1) in pixels, each around an example. Without words each stands for a
            concept of its own, "box 1"; with one word, all are examples of it.
        not_boxes: around what is not meant.
        Raises PromptError, PictureError.
        """
        clicks, wrong = Clicks.parse(boxes=boxes), Clicks.parse(boxes=not_boxes)
        if words is None:
            if not clicks.boxes_xyxy:
                raise PromptError("there is nothing to look for; give words or boxes")
            words = list(clicks.names)
            alone = True
        else:
            alone = False
        vocabulary = parse_vocabulary(words, background, self.config)
        if (clicks.boxes_xyxy or wrong.boxes_xyxy) and not alone and len(vocabulary.words) > 1:
            raise PromptError(
                f"boxes are examples of one word, and there are {len(vocabulary.words)} words; "
                "give one, or none"
            )
        view = self.prepare(image)
        for given in (clicks, wrong):
            given.check(view.picture.size_hw)
        started = time.perf_counter()
        found = self._findings(view, vocabulary, clicks, wrong, alone=alone)
        seconds = {"things": time.perf_counter() - started}
        if vocabulary.background is None and not len(found):
            found = self._everywhere(self.detector, view, vocabulary)
        return result(view, vocabulary, found, self.config, self._facts(vocabulary), seconds)

    def _findings(
        self,
        view: DetectionView,
        vocabulary: Vocabulary,
        clicks: Clicks,
        wrong: Clicks,
        *,
        alone: bool,
    ) -> Instances:
        import torch

        least = self.config.box_threshold
        threshold = self.detector.threshold if least is None else least
        phrases, class_ids = self._asked(vocabulary)
        right = clicks.boxes_xyxy
        parts: list[tuple[Detections, NDArray[np.int64]]] = []
        plain = [k for k, class_id in enumerate(class_ids) if class_id > 0 or not (right or wrong)]
        if alone:  # names of boxes are no words
            plain = [k for k, class_id in enumerate(class_ids) if class_id >= len(right)]
        for k in set(range(len(phrases))) - set(plain):
            mine = [right[int(class_ids[k])]] if alone else list(right)
            places = torch.tensor([*mine, *wrong.boxes_xyxy], dtype=torch.float32)
            wanted = torch.arange(len(places)) < len(mine)
            word = None if alone else phrases[k]
            found = self.detector.detect_like(view.seen, word, places, wanted, threshold=threshold)
            parts.append((found, class_ids[[k]]))
        if plain:
            words = [phrases[k] for k in plain]
            found = self.detector.detect(view.seen, words, threshold=threshold)
            parts.append((found, class_ids[plain]))
        made = [self._drawn(found, of, view.picture.size_hw) for found, of in parts]
        return self._together(made, view.picture.size_hw)

    def _drawn(
        self, found: Detections, class_ids: NDArray[np.int64], size_hw: tuple[int, int]
    ) -> Instances:
        """The detector's masks at the picture's size; empty ones go, and all but the best."""
        import numpy as np
        import torch

        from lexiseg.masks import Masks
        from lexiseg.stages.detections import box_nms
        from lexiseg.stages.mask_upsampling import upsample_masks

        class_id = class_ids[found.words.cpu().numpy()]
        score = found.scores.float().clamp(0, 1).cpu().numpy()
        kept = np.arange(len(class_id))
        if self.config.top_k is not None:  # no boxes are doubles here: their masks are compared
            kept = box_nms(found.boxes_xyxy, class_id, score, 2.0, self.config.top_k)
        boxes = found.boxes_xyxy.float().cpu().numpy()
        masks = Masks.empty(size_hw)
        if found.masks is not None and len(kept):
            masks = upsample_masks(found.masks[torch.from_numpy(kept).to(found.boxes_xyxy.device)])
        made = Instances(masks, class_id[kept], score[kept], boxes[kept])
        return made[np.flatnonzero(masks.areas > 0)]

    def _together(self, parts: list[Instances], size_hw: tuple[int, int]) -> Instances:
        import numpy as np

        from lexiseg.masks import Masks

        if not parts:
            none = np.zeros(0, np.float32)
            return Instances(Masks.empty(size_hw), np.zeros(0, np.int64), none, none.reshape(0, 4))
        return Instances(
            Masks.concat([part.masks for part in parts]),
            np.concatenate([part.class_id for part in parts]),
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.boxes_xyxy for part in parts]),
        )

    def _facts(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """What the provenance says of every result."""
        from lexiseg._version import __version__

        return {
            "method": self.name,
            "encoder": self.detector.name,
            "masker": self.detector.name,
            "version": __version__,
            "device": self.detector.device_name,
            "dtype": self.detector.dtype_name,
            "checkpoint_sha256": dict(self.detector.sha256),
            "prompts": {"asked": len(self._asked(vocabulary)[0])},
        }


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load the SAM 3 that the Config names, and return the segmenter."""
    from lexiseg.models import load_detector

    how: dict[str, Any] = {"device": device, "dtype": dtype, "pull": pull, "offline": offline}
    detector: Any = load_detector(config.detector, **how)
    return Segmenter(detector, config)
