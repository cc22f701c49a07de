"""From dense features to a segmentation, the same for all methods that score every place.

A method says how an image is encoded; words become vectors, every place is compared with every
word, the winners make the label map, and its connected parts are the instances.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lexiseg.methods._base import BaseSegmenter, StageTimer, class_thresholds
from lexiseg.protocols import DenseScores, Encoder, Model, View

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Picture
    from lexiseg.prompts import Vocabulary
    from lexiseg.protocols import BackboneMaps
    from lexiseg.results import ScoreMap, Segmentation, UnknownWord
    from lexiseg.stages.clip_windows import Windows, WindowSettings
    from lexiseg.stages.dense import LabelMap, WordVectors
    from lexiseg.stages.encoder_windows import Features

    DenseFeatures = tuple[Features | Windows, ...]

__all__ = [
    "DenseSegmenter", "result_map", "segmentation_of_labels", "windows_in_image",
    "without_background",
]  # fmt: skip


class DenseSegmenter(BaseSegmenter["DenseFeatures"]):
    """A segmenter, and a ``DenseMapper``, over an encoder of images and words.

    A view holds one set of features a scale, the finest first.
    """

    def __init__(self, encoder: Encoder, config: Any, others: Sequence[Model] = ()) -> None:
        super().__init__(config, encoder, others=others)
        self.encoder = encoder
        self.templates: tuple[str, ...] = config.sentences

    @abstractmethod
    def encode_scale(self, rgb: NDArray[np.uint8], scale: float) -> Features | Windows:
        """Encode an image (H, W, 3) whose short side is scaled to ``scale`` times the usual."""

    def encode(self, picture: Picture) -> tuple[DenseFeatures, NDArray[np.int64] | None]:
        """Encode an image at all scales."""
        scales = sorted(self.config.scales, reverse=True)
        features = tuple(self.encode_scale(picture.rgb, scale) for scale in scales)
        return features, windows_in_image(features, picture.size_hw)

    def backbone_maps(self, view: View[DenseFeatures]) -> tuple[BackboneMaps, ...]:
        """Return what backbones made of an image, for mask models that stand on the same one."""
        made = (getattr(features, "maps", None) for features in view.encoded)
        return tuple(maps for maps in made if maps is not None)

    def with_words(self, view: View[DenseFeatures], vectors: WordVectors) -> View[DenseFeatures]:
        """Return the view for these words: the same, but for encoders that words feed back into."""
        return view

    def segment(self, view: View[DenseFeatures], vocabulary: Vocabulary) -> Segmentation:
        """Return what an encoded image shows of a vocabulary."""
        timer = StageTimer(view.seconds)
        with timer("words"):
            vectors, unknown = self._text(vocabulary)
        with timer("score"):
            view = self.with_words(view, vectors)
            probabilities = self._probabilities(view, vectors)
        with timer("label"):
            labelled = self._label(view, vocabulary, vectors, probabilities)
        scores = self._scores(view, probabilities, unknown)
        return segmentation_of_labels(self, view, vocabulary, scores, labelled, timer)

    def score_map(self, view: View[DenseFeatures], vocabulary: Vocabulary) -> DenseScores:
        """Return the probability of each class at each place; see ``DenseMapper``."""
        vectors, unknown = self._text(vocabulary)
        view = self.with_words(view, vectors)
        return self._scores(view, self._probabilities(view, vectors), unknown)

    def _text(self, vocabulary: Vocabulary) -> tuple[WordVectors, tuple[UnknownWord, ...]]:
        from lexiseg.stages.dense import word_vectors

        unknown, silent = self.unknown_words(self.encoder, vocabulary)
        return word_vectors(self.encoder, vocabulary, self.templates, silent), unknown

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied with before the softmax."""
        return float(self.config.logit_scale or self.encoder.scale)

    def window_settings(self, scale: float, **more: Any) -> WindowSettings:
        """Return how windows are laid at ``scale`` times the usual size, of an opened CLIP.

        more: further fields of ``WindowSettings``.
        """
        from lexiseg.stages.clip_windows import WindowSettings

        config, size = self.config, self.encoder.size
        window = config.window or size.window
        return WindowSettings(
            short_side=max(32, round((config.short_side or size.short_side) * scale)),
            crop=window,
            stride=config.stride or max(1, window // 2),
            positions=config.positions,
            flip=config.flip,
            **more,
        )

    def _probabilities(self, view: View[DenseFeatures], vectors: WordVectors) -> Tensor:
        """The probability of every class on the grid of the first scale, (C, h, w)."""
        from lexiseg.stages.dense import probabilities
        from lexiseg.stages.resample import on_grid_of
        from lexiseg.stages.winners import grid_probabilities

        windows = _clip_windows_of(view)
        if windows:
            return grid_probabilities(windows, vectors, self.logit_scale)
        first, *others = _encoder_features_of(view)
        maps = probabilities(first.grid, vectors, self.logit_scale)
        for other in others:
            maps += on_grid_of(first, probabilities(other.grid, vectors, self.logit_scale), other)
        return maps / (1 + len(others))

    def _scores(
        self, view: View[DenseFeatures], probabilities: Tensor, unknown: tuple[UnknownWord, ...]
    ) -> DenseScores:
        input_hw, cell = _grid_of(view)
        return DenseScores(probabilities, input_hw, cell, view.picture.size_hw, unknown)

    def _label(
        self, view: View[DenseFeatures], vocabulary: Vocabulary, vectors: WordVectors,
        probabilities: Tensor,
    ) -> LabelMap:  # fmt: skip
        from lexiseg.stages.dense import label_map
        from lexiseg.stages.guided_filter import GuidedFilter
        from lexiseg.stages.winners import Rules, winners

        config = self.config
        limits = class_thresholds(vocabulary, config)
        thresholds = limits if limits.any() else None
        windows = _clip_windows_of(view)
        if windows and config.refine != "guided":
            refine = self._pamr(view) if config.refine == "pamr" else None
            rules = Rules(self.logit_scale, thresholds, config.area_threshold, refine)
            return winners(windows, vectors, rules)
        radius = config.refine_radius if config.refine == "guided" else 0
        guide = GuidedFilter(view.picture.rgb, *_grid_of(view), radius, config.refine_epsilon)
        return label_map(probabilities, guide, thresholds)

    def _pamr(self, view: View[DenseFeatures]) -> Callable[[Tensor], Tensor]:
        """What lets logits of the image's size flow over the image as it was encoded."""
        from lexiseg.stages.pamr import Pamr, as_seen

        windows = _clip_windows_of(view)[0]
        pixels = as_seen(view.picture.rgb, windows.work_hw).to(windows.cells.device)
        return Pamr(pixels, self.config.pamr_steps)


def segmentation_of_labels(
    segmenter: BaseSegmenter[Any],
    view: View[Any],
    vocabulary: Vocabulary,
    scores: DenseScores,
    labelled: LabelMap,
    timer: StageTimer,
) -> Segmentation:
    """Return the result whose instances are the connected parts of a label map.

    labelled: classes of the vocabulary; what goes to excluded words and the background has no word.
    """
    from lexiseg.results import Segmentation
    from lexiseg.stages.merge import connected_parts, mean_scores

    count = len(vocabulary.words)
    labels = labelled.class_id.copy()
    labels[labels >= count] = -1
    with timer("instances"):
        min_area = max(1, round(segmenter.config.min_share * labels.size))
        masks, class_ids, means = connected_parts(
            without_background(labels, vocabulary), labelled.score, count, min_area=min_area
        )
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in class_ids], dtype=np.str_),
        scores=means,
        masks=masks,
        label_map=labels,
        word_scores=mean_scores(labels, labelled.score, count),
        unknown=scores.unknown,
        score_map=result_map(scores, count),
        provenance=segmenter.provenance(view, timer.seconds),
    )


def _clip_windows_of(view: View[Any]) -> tuple[Windows, ...]:
    """Features by windows, of encoders whose last attention is opened; () for others."""
    from lexiseg.stages.clip_windows import Windows

    return tuple(f for f in view.encoded if isinstance(f, Windows))


def _encoder_features_of(view: View[Any]) -> tuple[Features, ...]:
    """Features on one grid, of encoders that are used as they are; () for others."""
    from lexiseg.stages.encoder_windows import Features

    return tuple(f for f in view.encoded if isinstance(f, Features))


def _grid_of(view: View[Any]) -> tuple[tuple[int, int], int]:
    """The size that the image was scaled to, counted in cells of how many pixels a side."""
    windows = _clip_windows_of(view)
    if windows:
        return windows[0].grid_hw, 1
    first = _encoder_features_of(view)[0]
    return first.work_hw, first.cell


def windows_in_image(
    features: tuple[Features | Windows, ...], size_hw: tuple[int, int]
) -> NDArray[np.int64]:
    """What was encoded, in pixels of the image, (N, 4) x0, y0, x1, y1."""
    boxes = [
        [x0 / f.work_hw[1], y0 / f.work_hw[0], x1 / f.work_hw[1], y1 / f.work_hw[0]]
        for f in features
        for y0, x0, y1, x1 in f.windows
    ]
    height, width = size_hw
    corners = np.rint(np.array(boxes).reshape(-1, 4) * [width, height, width, height])
    return np.asarray(corners, np.int64)


def result_map(scores: DenseScores, count: int) -> ScoreMap:
    """The first ``count`` classes' probabilities on cells that end where the image ends."""
    import torch

    from lexiseg.results import ScoreMap

    maps = scores.probabilities[:count]
    if any(side % scores.cell for side in scores.input_hw):
        from lexiseg.stages.encoder_windows import Features
        from lexiseg.stages.resample import whole_cells

        grid = torch.empty(*maps.shape[1:], 0)
        maps = whole_cells(maps, Features(grid, scores.cell, scores.input_hw, scores.size_hw, ()))
    return ScoreMap(maps.cpu().numpy().astype(np.float16), scores.size_hw)


def without_background(
    labels: NDArray[np.int16] | NDArray[np.int32], vocabulary: Vocabulary
) -> NDArray[np.int16] | NDArray[np.int32]:
    """A label map in which the word "background" has no pixels: it is no thing to count."""
    if vocabulary.background_index is None:
        return labels
    out = labels.copy()
    out[labels == vocabulary.background_index] = -1
    return out
