"""What the methods share that find things one by one: from boxes and masks to a result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.prompts import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Picture
    from lexiseg.masks import Masks
    from lexiseg.protocols import Detector
    from lexiseg.results import Segmentation

__all__ = ["NOTHING", "DetectionSegmenter", "DetectionView", "Instances", "result"]

# What the background is by default: what nothing was found in. It is no word to look for.
NOTHING = "background"
_GRID = 64  # cells of the score map's longer side
_ROWS = 1024  # rows of the picture that are worked on at once


@dataclass(frozen=True, eq=False)
class DetectionView:
    """An encoded picture, for a detector and for a masker where there is one.

    seen, state: what their ``encode`` made. makers: their names. seconds: stage -> wall time.
    """

    picture: Picture
    seen: Any
    state: Any
    makers: tuple[str, ...]
    seconds: Mapping[str, float]

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        """What was looked at, in pixels of the picture: all of it, (1, 4)."""
        import numpy as np

        height, width = self.picture.size_hw
        return np.array([[0, 0, width, height]], np.int64)


@dataclass(frozen=True, eq=False)
class Instances:
    """N things: their masks; class_id (N,), as ``Vocabulary.queries`` numbers them; score (N,)
    float32 in [0, 1]; boxes_xyxy (N, 4), the detector's, in pixels; quality as score, or None."""

    masks: Masks
    class_id: NDArray[np.int64]
    score: NDArray[np.float32]
    boxes_xyxy: NDArray[np.float32]
    quality: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.class_id)

    def __getitem__(self, key: NDArray[np.int64]) -> Instances:
        return Instances(
            self.masks[key], self.class_id[key], self.score[key], self.boxes_xyxy[key],
            None if self.quality is None else self.quality[key],
        )  # fmt: skip


class DetectionSegmenter:
    """The part of a segmenter that does not depend on its models."""

    name = ""

    def __init__(self, config: Any) -> None:
        self.config = config

    def _made_here(self, view: DetectionView, makers: tuple[str, ...]) -> DetectionView:
        if view.makers != makers:
            raise OptionError(
                f"the view was made by {view.makers}, and this segmenter has {makers}; "
                "prepare the picture with the same segmenter"
            )
        return view

    def _everywhere(
        self, detector: Detector, view: DetectionView, vocabulary: Vocabulary
    ) -> Instances:
        """A closed vocabulary in which nothing was found: the word that comes nearest has it all,
        with its score."""
        import numpy as np

        from lexiseg.masks import Masks

        phrases, class_ids = self._asked(vocabulary)
        found = detector.detect(view.seen, phrases, threshold=0.0)
        class_id, score = class_ids[:1], np.zeros(1, np.float32)
        if len(found):
            best = int(found.scores.argmax())
            class_id = class_ids[[int(found.words[best])]]
            score = found.scores[best : best + 1].float().clamp(0, 1).cpu().numpy()
        height, width = view.picture.size_hw
        whole = Masks.from_dense(np.ones((1, height, width), np.bool_))
        box = np.array([[0, 0, width, height]], np.float32)
        return Instances(whole, class_id, score, box, np.zeros(1, np.float32))

    def _asked(self, vocabulary: Vocabulary) -> tuple[list[str], NDArray[np.int64]]:
        """The phrases to look for, and the class_id of each: all but the word "background"."""
        import numpy as np

        queries = [q for q in vocabulary.queries() if q.text.casefold() != NOTHING]
        return [q.text for q in queries], np.array([q.class_id for q in queries], np.int64)


def result(
    view: DetectionView,
    vocabulary: Vocabulary,
    found: Instances,
    config: Any,
    facts: Mapping[str, Any],
    seconds: dict[str, float],
) -> Segmentation:
    """Settle duplicates and overlaps by score, and return the result.

    Of two masks with an IoU of at least ``config.iou_threshold`` the better score stays, of any
    words. In the label map the best score has the pixel; an excluded thing lies on top of all,
    unless it is the same as one that was asked for and scores better. In a closed vocabulary,
    pixels in no mask go to the word of the nearest one.
    """
    import numpy as np

    from lexiseg.results import Provenance, ScoreMap, Segmentation
    from lexiseg.stages.detections import best_masks, fill_nearest, paint_order
    from lexiseg.stages.label_resize import resize_labels
    from lexiseg.stages.merge import cut, paint

    started = time.perf_counter()
    count, closed = len(vocabulary.words), vocabulary.background is None
    rest = vocabulary.background_class
    found = found[best_masks(found.masks, found.class_id, found.score, config.iou_threshold)]
    wanted = (found.class_id < count) & (found.class_id != (-1 if rest is None else rest))
    excluded = (found.class_id >= count) & (found.class_id < count + len(vocabulary.excluded))
    rank = paint_order(found.masks, found.score, wanted, excluded)
    size_hw = view.picture.size_hw
    top = np.full(size_hw, -1, np.int16 if len(found) < 2**15 else np.int32)
    paint(top, found.masks, np.arange(len(found)), rank)
    if closed:
        fill_nearest(top)
    limits = np.zeros(vocabulary.num_classes, np.float32)
    for i, word in enumerate(vocabulary.names):
        least = 0.0 if i == vocabulary.background_index else config.threshold
        limits[i] = config.word_thresholds.get(word, least)
    strong = found.score >= limits[found.class_id]
    shown = (found.class_id < count) & strong
    # What nothing was found in is background, where that is a word that was asked for.
    nothing = -1 if vocabulary.background_index is None else vocabulary.background_index
    kind = np.int16 if vocabulary.num_classes < 2**15 else np.int32
    label_map = np.append(np.where(shown, found.class_id, -1), nothing).astype(kind)[top]
    class_ids = np.append(found.class_id, -1).astype(kind)[top]
    kept = np.flatnonzero(wanted & strong)
    left = cut(found.masks[kept], class_ids, found.class_id[kept])
    big = left.areas >= max(1, round(config.min_share * top.size))
    order = np.lexsort((-found.score[kept], found.class_id[kept]))
    order = order[big[order]]
    kept, left = kept[order], left[order]

    cells = tuple(max(1, round(side * min(1.0, _GRID / max(size_hw)))) for side in size_hw)
    at = resize_labels(top, (cells[0], cells[1]))
    grid = np.zeros((count, *at.shape), np.float16)
    ys, xs = np.nonzero(np.append(found.class_id < count, False)[at])
    grid[found.class_id[at[ys, xs]], ys, xs] = found.score[at[ys, xs]]
    word_scores = np.zeros(count, np.float32)
    seen = np.zeros(len(found), np.bool_)
    for row in range(0, len(top), _ROWS):
        band = top[row : row + _ROWS]
        seen[np.unique(band[band >= 0])] = True
    seen &= shown
    np.maximum.at(word_scores, found.class_id[seen], found.score[seen])
    boxes = found.boxes_xyxy[kept].astype(np.float64).round(1).tolist()
    prompts = {**facts.get("prompts", {}), "boxes_xyxy": boxes}
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in found.class_id[kept]], np.str_),
        scores=found.score[kept],
        quality=None if found.quality is None else found.quality[kept],
        masks=left,
        label_map=label_map,
        word_scores=word_scores,
        score_map=ScoreMap(grid, size_hw),
        image=view.picture.rgb,
        provenance=Provenance(
            **{
                **facts,
                "config": asdict(config),
                "prompts": prompts,
                "seconds": {**view.seconds, **seconds, "merge": time.perf_counter() - started},
                "notes": view.picture.notes,
            }
        ),
    )
