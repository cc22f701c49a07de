"""The conductor of the methods that map words densely: what runs after what.

A method says how it looks at a picture; the rest, from words to the result, is the same for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.methods._view import View
from lexiseg.methods._vocabulary import parse_vocabulary
from lexiseg.prompts import Vocabulary
from lexiseg.protocols import Encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Source
    from lexiseg.methods._view import Seen
    from lexiseg.results import Segmentation
    from lexiseg.stages.dense import LabelMap, WordVectors

__all__ = ["DenseSegmenter"]


class DenseSegmenter:
    """Call it with a picture and words; see `__call__`.

    A method gives it a name, and says in ``see`` how it looks at a picture. config: a Config with
    the fields that the stages ask for.
    """

    name = ""

    def __init__(self, encoder: Encoder, config: Any) -> None:
        self.encoder = encoder
        self.config = config

    def see(self, rgb: NDArray[np.uint8], scale: float) -> Seen:
        """Encode a picture (H, W, 3) whose short side is scaled to ``scale`` times the usual."""
        raise TypeError(f"{type(self).__name__} does not say how it looks at a picture")

    def with_words(self, view: View, vectors: WordVectors) -> View:
        """Return the view as these words see it: the same, but for methods that look again."""
        return view

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of all weights in use."""
        return self.encoder.sha256

    def prepare(self, image: Source | View, *, max_pixels: int | None = None) -> View:
        """Read and encode a picture: a path, a PIL image or an (H, W, 3) uint8 array."""
        if isinstance(image, View):
            if image.encoder != self.encoder.name:
                raise OptionError(
                    f"the view was made by {image.encoder!r}, and this segmenter has "
                    f"{self.encoder.name!r}; prepare the picture with the same segmenter"
                )
            return image
        view = self.only_read(image, max_pixels=max_pixels)
        started = time.perf_counter()
        features = tuple(
            self.see(view.picture.rgb, scale) for scale in sorted(self.config.scales, reverse=True)
        )
        seconds = {**view.seconds, "encode": time.perf_counter() - started}
        return replace(view, features=features, seconds=seconds)

    def only_read(self, image: Source, *, max_pixels: int | None = None) -> View:
        """Read a picture without encoding it."""
        from lexiseg import imaging

        started = time.perf_counter()
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = image if isinstance(image, imaging.Picture) else imaging.read(image, **limit)
        return View(picture, (), self.encoder.name, {"read": time.perf_counter() - started})

    def __call__(
        self,
        image: Source | View,
        words: str | Sequence[str] | Vocabulary,
        *,
        background: str | Sequence[str] | None = "default",
    ) -> Segmentation:
        """Return what the picture shows of the words.

        image: a path, a PIL image, an (H, W, 3) uint8 RGB array, or a View made of one.
        words: a list, or one text with ";" between words; "sofa|couch" names a synonym,
            "person -helmet" excludes helmets.
        background: "default", words of one's own, or None for a closed vocabulary, in which every
            pixel gets a word.
        Raises PromptError, PictureError.
        """
        from lexiseg.stages.dense import word_vectors
        from lexiseg.stages.unknown_words import unknown_words

        vocabulary = parse_vocabulary(words, background, self.config)
        view = self.prepare(image)
        clock = [time.perf_counter()]
        unknown = unknown_words(self.encoder, vocabulary)
        silent: set[str] = set()
        if vocabulary.background is not None and not self.config.paint_unknown:
            silent = {found.word for found in unknown}
        vectors = word_vectors(self.encoder, vocabulary, self.config.sentences, silent)
        clock.append(time.perf_counter())
        view = self.with_words(view, vectors)
        maps = self._score(view, vectors)
        clock.append(time.perf_counter())
        labelled = self._label(maps, view, vocabulary, vectors)
        clock.append(time.perf_counter())
        seconds = dict(view.seconds) | {
            stage: after - before
            for stage, before, after in zip(
                ("words", "score", "label"), clock[:-1], clock[1:], strict=True
            )
        }
        return self._result(view, vocabulary, maps, labelled, unknown, seconds)

    @property
    def _scale(self) -> float:
        return self.config.logit_scale or self.encoder.scale

    def _score(self, view: View, vectors: WordVectors) -> Tensor:
        """The probability of every class on the grid of the first scale, (O, h, w)."""
        from lexiseg.stages.dense import probabilities
        from lexiseg.stages.resample import on_grid_of
        from lexiseg.stages.winners import grid_probabilities

        if view.windows:
            return grid_probabilities(view.windows, vectors, self._scale)
        first, *others = view.grids
        maps = probabilities(first.grid, vectors, self._scale)
        for other in others:
            maps += on_grid_of(first, probabilities(other.grid, vectors, self._scale), other)
        return maps / len(view.grids)

    def _label(
        self, maps: Tensor, view: View, vocabulary: Vocabulary, vectors: WordVectors
    ) -> LabelMap:
        import numpy as np

        from lexiseg.stages.dense import label_map
        from lexiseg.stages.guided_filter import GuidedFilter
        from lexiseg.stages.winners import Rules, winners

        config = self.config
        limits = np.zeros(vocabulary.num_classes, np.float32)
        for i, word in enumerate(vocabulary.words):
            rest = 0.0 if i == vocabulary.background_index else config.threshold
            limits[i] = config.word_thresholds.get(word.name, rest)
        thresholds = limits if limits.any() else None
        if view.windows and config.refine != "guided":
            refine = self._pamr(view) if config.refine == "pamr" else None
            rules = Rules(self._scale, thresholds, config.area_threshold, refine)
            return winners(view.windows, vectors, rules)
        radius = config.refine_radius if config.refine == "guided" else 0
        guide = GuidedFilter(view.picture.rgb, *view.raster, radius, config.refine_epsilon)
        return label_map(maps, guide, thresholds)

    def _pamr(self, view: View) -> Callable[[Tensor], Tensor]:
        """What lets logits of the picture's size flow over the picture as it was looked at."""
        from lexiseg.stages.pamr import Pamr, as_seen

        seen = view.windows[0]
        pixels = as_seen(view.picture.rgb, seen.work_hw).to(seen.cells.device)
        return Pamr(pixels, self.config.pamr_steps)

    def _result(
        self, view: View, vocabulary: Vocabulary, maps: Any, labelled: LabelMap, unknown: Any,
        seconds: dict[str, float],
    ) -> Segmentation:  # fmt: skip
        import numpy as np

        from lexiseg._version import __version__
        from lexiseg.results import Provenance, ScoreMap, Segmentation
        from lexiseg.stages.merge import connected_parts, mean_scores
        from lexiseg.stages.resample import whole_cells

        started = time.perf_counter()
        count, size_hw = len(vocabulary.words), view.picture.size_hw
        labels = labelled.class_id
        labels[labels >= count] = -1  # excluded words and the background
        least = max(1, round(self.config.min_share * labels.size))
        things = labels
        if vocabulary.background_index is not None:
            things = labels.copy()
            things[labels == vocabulary.background_index] = -1
        masks, class_ids, scores = connected_parts(things, labelled.score, count, least=least)
        seconds["instances"] = time.perf_counter() - started
        # Windows have a grid of their own that ends with the picture.
        maps = whole_cells(maps[:count], view.grids[0]) if view.grids else maps[:count]
        grid = maps.cpu().numpy().astype(np.float16)
        return Segmentation(
            words=vocabulary.names,
            labels=np.array([vocabulary.names[i] for i in class_ids], dtype=np.str_),
            scores=scores,
            masks=masks,
            label_map=labels,
            word_scores=mean_scores(labels, labelled.score, count),
            unknown=unknown,
            score_map=ScoreMap(grid, size_hw),
            image=view.picture.rgb,
            provenance=Provenance(
                method=self.name,
                encoder=self.encoder.name,
                config=asdict(self.config),
                version=__version__,
                device=self.encoder.device_name,
                dtype=self.encoder.dtype_name,
                checkpoint_sha256=self.sha256,
                seconds=seconds,
                notes=view.picture.notes,
            ),
        )
