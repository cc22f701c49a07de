"""What the methods share that find things one by one: from boxes and masks to a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.methods._base import BaseSegmenter, StageTimer, class_thresholds
from lexiseg.methods._config import VocabularyConfig, check_range
from lexiseg.protocols import Detector, Masker, MaskState, View
from lexiseg.results import PromptSummary

if TYPE_CHECKING:
    from lexiseg.imaging import Picture
    from lexiseg.prompts import Vocabulary
    from lexiseg.results import ScoreMap, Segmentation

__all__ = ["DetectionConfig", "DetectionSegmenter", "EncodedForDetection", "Instances"]

# What the background is by default: what nothing was found in. It is no word to look for.
_BACKGROUND = "background"
_GRID = 64  # cells of the score map's longer side
_ROWS = 1024  # rows of the image that are worked on at once


@dataclass(frozen=True)
class DetectionConfig(VocabularyConfig):
    """background: words that are looked for, and take what they are found in, without being asked
        for; "background" alone is what nothing was found in.
    box_threshold: boxes that score less, in [0, 1], are left out; None: as the detector's authors
        have it.
    top_k: the best boxes of each word that stay; None: all.
    iou_threshold: of masks with at least this IoU the better one alone stays, whatever its word.
    """

    background: tuple[str, ...] = (_BACKGROUND,)
    min_share: float = 0.0
    box_threshold: float | None = None
    top_k: int | None = None
    iou_threshold: float = 0.8

    def check(self) -> None:
        """Raise OptionError for a value out of its range."""
        check_range(self, 0, 1, "box_threshold")
        check_range(self, 1e-6, 1, "iou_threshold")
        check_range(self, 1, 10**6, "top_k")


@dataclass(frozen=True, eq=False)
class EncodedForDetection:
    """What a detector, and a mask model where there is one, made of an image."""

    detector: Any
    masker: MaskState | None = None


@dataclass(frozen=True, eq=False)
class Instances:
    """N things that were found.

    class_ids: (N,) int64, as ``Vocabulary.queries`` numbers them. scores: (N,) float32 in [0, 1].
    boxes_xyxy: (N, 4), the detector's, in pixels. quality: (N,), the mask model's, or None.
    """

    masks: Masks
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes_xyxy: NDArray[np.float32]
    quality: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.class_ids)

    def __getitem__(self, key: NDArray[np.integer]) -> Instances:
        quality = None if self.quality is None else self.quality[key]
        return Instances(
            self.masks[key], self.class_ids[key], self.scores[key], self.boxes_xyxy[key], quality
        )

    @classmethod
    def concat(cls, parts: Sequence[Instances], size_hw: tuple[int, int]) -> Instances:
        """Return the things of several calls on an image of this size, one after the other."""
        none = np.zeros(0, np.float32)
        first = cls(Masks.empty(size_hw), np.zeros(0, np.int64), none, none.reshape(0, 4))
        parts = [first, *parts]
        quality = None
        if len(parts) > 1 and all(part.quality is not None for part in parts[1:]):
            quality = np.concatenate([p.quality for p in parts[1:] if p.quality is not None])
        return cls(
            Masks.concat([part.masks for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.boxes_xyxy for part in parts]),
            quality,
        )


class DetectionSegmenter(BaseSegmenter[EncodedForDetection]):
    """A segmenter over a detector, with a mask model unless the detector draws masks itself."""

    visible_in_phrases = ("colour", "relation")

    def __init__(self, detector: Detector, masker: Masker | None, config: DetectionConfig) -> None:
        super().__init__(config, detector, masker)
        self.detector = detector
        self.masker = masker

    @property
    def box_threshold(self) -> float:
        """What boxes must score, in [0, 1]."""
        given = self.config.box_threshold
        return float(self.detector.threshold if given is None else given)

    def encode(self, picture: Picture) -> tuple[EncodedForDetection, None]:
        """Encode an image for the detector, and for the mask model where there is one."""
        state = None if self.masker is None else self.masker.encode(picture.rgb)
        return EncodedForDetection(self.detector.encode(picture.rgb), state), None

    def result(
        self,
        view: View[EncodedForDetection],
        vocabulary: Vocabulary,
        found: Instances,
        num_prompts: int,
        timer: StageTimer,
    ) -> Segmentation:
        """Settle duplicates and overlaps by score, and return the result.

        Of two masks with an IoU of at least ``iou_threshold`` the better score stays, of any words.
        In the label map the best score has the pixel; an excluded thing lies on top of all, unless
        it is the same as one that was asked for and scores better. In a closed vocabulary, pixels
        in no mask go to the word of the nearest one, and where nothing was found at all, to the
        word that comes nearest, with its score.
        """
        from lexiseg.results import Segmentation
        from lexiseg.stages.label_map import cut
        from lexiseg.stages.mask_selection import best_masks

        if vocabulary.background is None and not len(found):
            found = self._everywhere(view, vocabulary)
        with timer("merge"):
            config, count = self.config, len(vocabulary.words)
            found = found[
                best_masks(found.masks, found.class_ids, found.scores, config.iou_threshold)
            ]
            strong = found.scores >= class_thresholds(vocabulary, config)[found.class_ids]
            background = vocabulary.background_class
            wanted = found.class_ids < count
            if background is not None:
                wanted &= found.class_ids != background
            top = _topmost(found, wanted, vocabulary, view.picture.size_hw)
            label_map = _label_map(top, found, strong, vocabulary)
            instances = np.flatnonzero(wanted & strong)
            classes_on_top = np.append(found.class_ids, -1)[top]
            masks = cut(found.masks[instances], classes_on_top, found.class_ids[instances])
            big = masks.areas >= max(1, round(config.min_share * top.size))
            order = np.lexsort((-found.scores[instances], found.class_ids[instances]))
            order = order[big[order]]
            kept, masks = instances[order], masks[order]
            word_scores = _word_scores(top, found, strong, count)
            score_map = _score_map(top, found, count)
        prompts = PromptSummary(num_prompts=num_prompts, boxes_xyxy=found.boxes_xyxy[kept])
        return Segmentation(
            words=vocabulary.names,
            labels=np.array([vocabulary.names[i] for i in found.class_ids[kept]], np.str_),
            scores=found.scores[kept],
            quality=None if found.quality is None else found.quality[kept],
            masks=masks,
            label_map=label_map,
            word_scores=word_scores,
            score_map=score_map,
            provenance=replace(self.provenance(view, timer.seconds), prompts=prompts),
        )

    def phrases(self, vocabulary: Vocabulary) -> tuple[list[str], NDArray[np.int64]]:
        """Return the phrases to look for, and the class of each: all but the word "background"."""
        queries = [q for q in vocabulary.queries() if q.text.casefold() != _BACKGROUND]
        return [q.text for q in queries], np.array([q.class_id for q in queries], np.int64)

    def _everywhere(self, view: View[EncodedForDetection], vocabulary: Vocabulary) -> Instances:
        """The whole image, of the word that comes nearest."""
        phrases, class_ids = self.phrases(vocabulary)
        found = self.detector.detect(view.encoded.detector, phrases, threshold=0.0)
        class_id, score = class_ids[:1], np.zeros(1, np.float32)
        if len(found):
            best = int(found.scores.argmax())
            class_id = class_ids[[int(found.words[best])]]
            score = found.scores[best : best + 1].float().clamp(0, 1).cpu().numpy()
        height, width = view.picture.size_hw
        whole = Masks.from_dense(np.ones((1, height, width), np.bool_))
        box = np.array([[0, 0, width, height]], np.float32)
        return Instances(whole, class_id, score, box, np.zeros(1, np.float32))


def _topmost(
    found: Instances, wanted: NDArray[np.bool_], vocabulary: Vocabulary, size_hw: tuple[int, int]
) -> NDArray[np.integer]:
    """Which thing lies on top at each pixel, (H, W), -1 for none."""
    from lexiseg.stages.painting import fill_nearest, paint, paint_order

    count = len(vocabulary.words)
    excluded = (found.class_ids >= count) & (found.class_ids < count + len(vocabulary.excluded))
    rank = paint_order(found.masks, found.scores, wanted, excluded)
    top = np.full(size_hw, -1, np.int16 if len(found) < 2**15 else np.int32)
    top = paint(top, found.masks, np.arange(len(found)), rank)
    return fill_nearest(top) if vocabulary.background is None else top


def _label_map(
    top: NDArray[np.integer], found: Instances, strong: NDArray[np.bool_], vocabulary: Vocabulary
) -> NDArray[np.int16] | NDArray[np.int32]:
    """The word of each pixel. What nothing was found in is background, where that is a word."""
    shown = (found.class_ids < len(vocabulary.words)) & strong
    unlabelled = -1 if vocabulary.background_index is None else vocabulary.background_index
    kind = np.int16 if vocabulary.num_classes < 2**15 else np.int32
    words = np.append(np.where(shown, found.class_ids, -1), unlabelled).astype(kind)
    out: NDArray[np.int16] | NDArray[np.int32] = words[top]
    return out


def _word_scores(
    top: NDArray[np.integer], found: Instances, strong: NDArray[np.bool_], count: int
) -> NDArray[np.float32]:
    """The best score of each word's things that have pixels, (K,)."""
    visible = np.zeros(len(found), np.bool_)
    for row in range(0, len(top), _ROWS):
        band = top[row : row + _ROWS]
        visible[np.unique(band[band >= 0])] = True
    visible &= (found.class_ids < count) & strong
    out = np.zeros(count, np.float32)
    np.maximum.at(out, found.class_ids[visible], found.scores[visible])
    return out


def _score_map(top: NDArray[np.integer], found: Instances, count: int) -> ScoreMap:
    """The score of the thing on top at each cell, in its word's map, (K, h, w)."""
    from lexiseg.results import ScoreMap
    from lexiseg.stages.label_map import resize_labels

    height, width = top.shape
    scale = min(1.0, _GRID / max(top.shape))
    cells = resize_labels(top, (max(1, round(height * scale)), max(1, round(width * scale))))
    grid = np.zeros((count, *cells.shape), np.float16)
    ys, xs = np.nonzero(np.append(found.class_ids < count, False)[cells])
    grid[found.class_ids[cells[ys, xs]], ys, xs] = found.scores[cells[ys, xs]]
    return ScoreMap(grid, (height, width))
