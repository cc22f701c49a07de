"""From dense features to a segmentation, the same for all methods that score every place.

A method says how an image is encoded; words become vectors, every place is compared with every
word, the winners make the label map, and its connected parts are the instances unless a method
finds them in another way.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lexiseg.methods._base import BaseSegmenter, StageTimer, class_thresholds
from lexiseg.methods._levels import join_levels
from lexiseg.protocols import DenseScores, Encoder, Masker, Model, View

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Picture
    from lexiseg.prompts import Vocabulary
    from lexiseg.protocols import BackboneMaps
    from lexiseg.results import ScoreMap, Segmentation, UnknownWord
    from lexiseg.stages.clip_windows import WindowSettings
    from lexiseg.stages.dense_features import DenseFeatures
    from lexiseg.stages.instances import Instances
    from lexiseg.stages.label_map import LabelMap, Labels
    from lexiseg.stages.word_vectors import WordVectors

__all__ = [
    "DenseSegmenter", "FindInstances", "result_map", "segmentation_of_labels",
    "without_background",
]  # fmt: skip


class FindInstances(Protocol):
    """How instances are found."""

    def __call__(
        self,
        labels: Labels,
        label_scores: NDArray[np.float16],
        scores: DenseScores,
        wanted: NDArray[np.bool_],
        share: float,
    ) -> Instances:
        """Return the instances of the wanted words, (K,) bool, in a label map (H, W).

        label_scores: each pixel's probability. scores: the map behind them. share: this map's part
        of the work that a picture may cost.
        """


@dataclass(frozen=True, eq=False)
class _Competition:
    """Words that compete for every place. probabilities: (C, h, w). wanted: (K,) bool, the words
    that it decides. share: of the places where any competition's wanted words win, its own.
    """

    probabilities: Tensor
    wanted: NDArray[np.bool_]
    share: float


class DenseSegmenter(BaseSegmenter["tuple[DenseFeatures, ...]"]):
    """A segmenter, and a ``DenseMapper``, over an encoder of images and words.

    A view holds the features of each scale, the finest first.
    """

    mixes_surroundings = True  # takes a view's `around` into account

    def __init__(
        self,
        encoder: Encoder,
        config: Any,
        others: Sequence[Model] = (),
        masker: Masker | None = None,
    ) -> None:
        super().__init__(config, encoder, masker, others)
        self.encoder = encoder
        self.templates: tuple[str, ...] = config.sentences

    @abstractmethod
    def encode_scale(self, rgb: NDArray[np.uint8], scale: float) -> DenseFeatures:
        """Encode an image (H, W, 3) whose short side is scaled to ``scale`` times the usual."""

    def encode(
        self, picture: Picture
    ) -> tuple[tuple[DenseFeatures, ...], NDArray[np.int64] | None]:
        """Encode an image at all scales."""
        scales = sorted(self.config.scales, reverse=True)
        features = tuple(self.encode_scale(picture.rgb, scale) for scale in scales)
        return features, np.concatenate([one.windows_xyxy for one in features])

    def backbone_maps(self, view: View[Any]) -> tuple[BackboneMaps, ...]:
        """Return what backbones made of an image, for mask models that stand on the same one."""
        made = (getattr(features, "maps", None) for features in view.encoded)
        return tuple(maps for maps in made if maps is not None)

    def with_words(self, view: View[Any], vectors: WordVectors) -> View[Any]:
        """Return the view for these words: the same, but for encoders that words feed back into."""
        return view

    def segment(self, view: View[Any], vocabulary: Vocabulary) -> Segmentation:
        """Return what an encoded image shows of a vocabulary."""
        timer = StageTimer(view.seconds)
        with timer("words"):
            vectors, unknown = self._text(vocabulary)
        with timer("score"):
            view = self.with_words(view, vectors)
            scores = self._scores(view, vectors, unknown)

        label = self._labeller(view, vocabulary, vectors)
        find = self.find_instances(view, vocabulary)

        def result(level: _Competition, *, only: Collection[int] | None = None) -> Segmentation:
            # How things are told apart depends on the words around them.
            labelled_only = only if find is None else None
            with timer("label"):
                labelled = label(level.probabilities, labelled_only)
            of_level = replace(scores, probabilities=level.probabilities)
            how = None if find is None else partial(find, wanted=level.wanted, share=level.share)
            return segmentation_of_labels(
                self, view, vocabulary, of_level, labelled, timer, how, wanted=level.wanted
            )

        first, *others = _competitions(scores, len(vocabulary.words))
        finest = result(first)
        if not others:
            return finest
        coarser = []
        for one in others:
            ids = np.flatnonzero(one.wanted).tolist()
            coarser.append((ids, result(one, only=ids)))
        joined = join_levels(finest, coarser, vocabulary.background_index)
        return replace(joined, provenance=self.provenance(view, timer.seconds))

    def find_instances(self, view: View[Any], vocabulary: Vocabulary) -> FindInstances | None:
        """Return how instances are found in a label map; None: they are its connected parts."""
        return None

    def score_map(self, view: View[Any], vocabulary: Vocabulary) -> DenseScores:
        """Return the probability of each class at each place; see ``DenseMapper``."""
        vectors, unknown = self._text(vocabulary)
        view = self.with_words(view, vectors)
        return self._scores(view, vectors, unknown)

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied with before the softmax."""
        return float(self.config.logit_scale or self.encoder.scale)

    @property
    def presence(self) -> float:
        """How sure, on average, a region must be of its word against the background."""
        own = self.config.presence
        return float(self.encoder.presence if own is None else own)

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

    def _text(self, vocabulary: Vocabulary) -> tuple[WordVectors, tuple[UnknownWord, ...]]:
        from lexiseg.stages.word_vectors import word_vectors

        unknown, silent = self.unknown_words(self.encoder, vocabulary)
        return word_vectors(self.encoder, vocabulary, self.templates, silent), unknown

    def _probabilities(self, view: View[Any], vectors: WordVectors) -> Tensor:
        """The probability of every class on the grid of the finest scale, (C, h, w)."""
        first, *others = view.encoded
        out: Tensor = first.grid_probabilities(vectors, self.logit_scale, others)
        return out

    def _scores(
        self, view: View[Any], vectors: WordVectors, unknown: tuple[UnknownWord, ...]
    ) -> DenseScores:
        """The probabilities of all classes, and of the coarser competitions where there are any."""
        probabilities = self._probabilities(view, vectors)
        if view.around is not None:
            from lexiseg.stages.surroundings import with_surroundings

            larger, box = view.around
            larger = self.with_words(larger, vectors)
            probabilities = with_surroundings(
                probabilities, view.encoded[0].raster,
                self._probabilities(larger, vectors), larger.encoded[0].raster, box,
            )  # fmt: skip
        if self.presence and vectors.background is not None:
            from lexiseg.stages.dense_features import without_doubtful

            probabilities = without_doubtful(probabilities, vectors.background, self.presence)
        input_hw, cell = view.encoded[0].raster
        flat = DenseScores(probabilities, input_hw, cell, view.picture.size_hw, unknown)
        if not vectors.hierarchy:
            return flat
        finest, *coarser = vectors.hierarchy.levels(probabilities)
        return replace(
            flat,
            probabilities=finest.probabilities,
            coarser=tuple(coarser),
            decided=finest.class_ids,
        )

    def _labeller(
        self, view: View[Any], vocabulary: Vocabulary, vectors: WordVectors
    ) -> Callable[[Tensor, Collection[int] | None], LabelMap]:
        """Return what makes a label map of probabilities (C, h, w).

        The second argument: the classes that are wanted; see ``label_map``.
        """
        from lexiseg.stages.dense_features import DenseFeatures, LabelRules
        from lexiseg.stages.label_map import label_map

        config, rgb = self.config, view.picture.rgb
        limits = class_thresholds(vocabulary, config)
        rules = LabelRules(
            scale=self.logit_scale,
            thresholds=limits if limits.any() else None,
            refine=config.refine,
            radius=config.refine_radius,
            epsilon=config.refine_epsilon,
            pamr_steps=config.pamr_steps,
            pamr_dilations=config.pamr_dilations,
            area_threshold=config.area_threshold,
        )
        first, *others = view.encoded
        # What is shared out, or taken away, is probabilities, which logits do not know.
        changed = vectors.hierarchy or (self.presence and vectors.background is not None)
        if not changed or config.refine == "pamr":
            of = DenseFeatures if changed else type(first)
            return lambda maps, only: of.label_pixels(first, vectors, maps, rgb, rules, others)
        guide = first.guided_filter(rgb, rules)
        values = np.arange(vocabulary.num_classes)
        if vectors.background is not None and vocabulary.background_index is None:
            values[vectors.background] = -1
        return lambda maps, only: label_map(maps, guide, rules.thresholds, values=values, only=only)


def _competitions(scores: DenseScores, num_words: int) -> list[_Competition]:
    """The competitions of a map, the finest first."""
    if not scores.coarser:
        return [_Competition(scores.probabilities, np.ones(num_words, np.bool_), 1.0)]
    maps = [scores.probabilities, *(one.probabilities for one in scores.coarser)]
    wanted = np.zeros((len(maps), num_words), np.bool_)
    for row, one in zip(wanted[1:], scores.coarser, strict=True):
        row[list(one.class_ids)] = True
    wanted[0] = ~wanted[1:].any(0)
    wins = np.array(
        [
            np.isin(one.cpu().numpy().argmax(0), np.flatnonzero(words)).sum()
            for one, words in zip(maps, wanted, strict=True)
        ]
    )
    shares = wins / max(wins.sum(), 1)
    return [_Competition(*parts) for parts in zip(maps, wanted, shares.tolist(), strict=True)]


def segmentation_of_labels(
    segmenter: BaseSegmenter[Any],
    view: View[Any],
    vocabulary: Vocabulary,
    scores: DenseScores,
    labelled: LabelMap,
    timer: StageTimer,
    find: Callable[[Labels, NDArray[np.float16], DenseScores], Instances] | None = None,
    wanted: NDArray[np.bool_] | None = None,
) -> Segmentation:
    """Return the result of a label map.

    labelled: classes of the vocabulary; what goes to excluded words and the background has no word.
    find: how instances are found; None: they are the map's connected parts.
    wanted: (K,) bool, the words whose connected parts are wanted; None: all.
    """
    from lexiseg.results import Segmentation
    from lexiseg.stages.connected_parts import connected_parts
    from lexiseg.stages.label_map import mean_scores

    count, num_excluded = len(vocabulary.words), len(vocabulary.excluded)
    labels = labelled.labels
    if labels.max() >= count:
        labels = labels.copy()
        labels[labels >= count] = -1
    with timer("instances"):
        things = without_background(labels, vocabulary)
        if find is not None:
            excluded = (labelled.labels >= count) & (labelled.labels < count + num_excluded)
            found = find(np.where(excluded, labelled.labels, things), labelled.scores, scores)
            masks, class_ids = found.masks, found.class_ids
            means, quality = found.scores, found.quality
        else:
            min_area = max(1, round(segmenter.config.min_share * labels.size))
            masks, class_ids, means = connected_parts(
                things,
                labelled.scores,
                count,
                min_area=min_area,
                only=None if wanted is None else np.flatnonzero(wanted).tolist(),
            )
            quality = None
    return Segmentation(
        words=vocabulary.names,
        labels=np.array([vocabulary.names[i] for i in class_ids], dtype=np.str_),
        scores=means,
        quality=quality,
        masks=masks,
        label_map=labels,
        word_scores=mean_scores(labels, labelled.scores, count),
        unknown=scores.unknown,
        score_map=result_map(scores, count),
        provenance=segmenter.provenance(view, timer.seconds),
    )


def result_map(scores: DenseScores, count: int) -> ScoreMap:
    """The first ``count`` classes' probabilities on cells that end where the image ends."""
    from lexiseg.results import ScoreMap

    maps = scores.probabilities[:count]
    if any(side % scores.cell for side in scores.input_hw):
        from lexiseg.stages.dense_features import whole_cells

        maps = whole_cells(maps, scores)
    return ScoreMap(maps.half().cpu().numpy(), scores.size_hw)


def without_background(labels: Labels, vocabulary: Vocabulary) -> Labels:
    """A label map in which the word "background" has no pixels: it is no thing to count."""
    if vocabulary.background_index is None:
        return labels
    out = labels.copy()
    out[labels == vocabulary.background_index] = -1
    return out
