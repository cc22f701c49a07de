"""The conductor of the dense method: what runs after what."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.methods.dense.config import Config
from lexiseg.methods.dense.view import View
from lexiseg.prompts import Vocabulary
from lexiseg.protocols import Encoder, OpenEncoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Source
    from lexiseg.methods.dense.view import Seen
    from lexiseg.results import Segmentation
    from lexiseg.stages.dense import LabelMap, WordVectors

__all__ = ["Segmenter", "load"]


class Segmenter:
    """Call it with a picture and words; see `__call__`."""

    name = "dense"

    def __init__(self, encoder: Encoder, config: Config) -> None:
        self.encoder = encoder
        self.config = config
        if isinstance(encoder, OpenEncoder):
            return
        for name in ("readout", "stride", "logit_scale", "area_threshold"):
            if getattr(config, name):
                raise OptionError(f"{name} is for CLIP; leave it out with {encoder.name!r}")
        if config.refine == "pamr":
            raise OptionError(f"refine 'pamr' is for CLIP; use 'guided' with {encoder.name!r}")

    def prepare(self, image: Source | View, *, max_pixels: int | None = None) -> View:
        """Read and encode a picture: a path, a PIL image or an (H, W, 3) uint8 array."""
        from lexiseg import imaging

        if isinstance(image, View):
            if image.encoder != self.encoder.name:
                raise OptionError(
                    f"the view was made by {image.encoder!r}, and this segmenter has "
                    f"{self.encoder.name!r}; prepare the picture with the same segmenter"
                )
            return image
        started = time.perf_counter()
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = image if isinstance(image, imaging.Picture) else imaging.read(image, **limit)
        read = time.perf_counter()
        features = tuple(
            self._see(picture.rgb, scale) for scale in sorted(self.config.scales, reverse=True)
        )
        done = time.perf_counter()
        seconds = {"read": read - started, "encode": done - read}
        return View(picture, features, self.encoder.name, seconds)

    def _see(self, rgb: NDArray[np.uint8], scale: float) -> Seen:
        """Encode a picture whose short side is scaled to ``scale`` times the usual."""
        config, size = self.config, self.encoder.size
        short_side = max(32, round((config.short_side or size.short_side) * scale))
        window = config.window or size.window
        if isinstance(self.encoder, OpenEncoder):
            from lexiseg.stages.attention import readout
            from lexiseg.stages.sliding import Look, look

            stride = config.stride or max(1, window // 2)
            how = Look(short_side, window, stride, config.positions, config.ragged, config.flip)
            return look(self.encoder, rgb, how, readout(config.readout or "naclip"))
        from lexiseg.stages.windows import encode

        return encode(
            self.encoder,
            rgb,
            short_side=short_side,
            window=window,
            overlap=config.overlap,
            flip=config.flip,
        )

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
        from lexiseg.stages.known import unknown_words

        vocabulary = self._vocabulary(words, background)
        view = self.prepare(image)
        clock = [time.perf_counter()]
        unknown = unknown_words(self.encoder, vocabulary)
        silent: set[str] = set()
        if vocabulary.background is not None and not self.config.paint_unknown:
            silent = {found.word for found in unknown}
        vectors = word_vectors(self.encoder, vocabulary, self.config.sentences, silent)
        clock.append(time.perf_counter())
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

    def _vocabulary(
        self, words: str | Sequence[str] | Vocabulary, background: str | Sequence[str] | None
    ) -> Vocabulary:
        if not isinstance(words, Vocabulary):
            words = Vocabulary.parse(
                words, background=background, default_background=self.config.background
            )
        elif background != "default":
            raise OptionError(
                f"background is {background!r}, but a Vocabulary has its own; give one of the two"
            )
        for word in self.config.word_thresholds:
            if word not in words.names:
                raise UnknownName.among("word of the vocabulary", word, words.names)
        return words

    @property
    def _scale(self) -> float:
        return self.config.logit_scale or self.encoder.scale

    def _score(self, view: View, vectors: WordVectors) -> Tensor:
        """The probability of every owner on the grid of the first scale, (O, h, w)."""
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
        from lexiseg.stages.refine import Guide
        from lexiseg.stages.winners import Rules, winners

        config = self.config
        limits = np.zeros(vocabulary.owners, np.float32)
        for i, word in enumerate(vocabulary.words):
            rest = 0.0 if i == vocabulary.background_index else config.threshold
            limits[i] = config.word_thresholds.get(word.name, rest)
        thresholds = limits if limits.any() else None
        if view.windows and config.refine != "guided":
            refine = self._pamr(view) if config.refine == "pamr" else None
            rules = Rules(self._scale, thresholds, config.area_threshold, refine)
            return winners(view.windows, vectors, rules)
        radius = config.refine_radius if config.refine == "guided" else 0
        guide = Guide(view.picture.rgb, *view.raster, radius, config.refine_epsilon)
        return label_map(maps, guide, thresholds)

    def _pamr(self, view: View) -> Callable[[Tensor], Tensor]:
        """What lets logits of the picture's size flow over the picture as it was looked at."""
        from functools import partial

        from lexiseg.stages.pamr import affinities, as_seen, pamr

        seen = view.windows[0]
        pixels = as_seen(view.picture.rgb, seen.work_hw).to(seen.cells.device)
        return partial(pamr, alike=affinities(pixels), steps=self.config.pamr_steps)

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
        labels = labelled.owner
        labels[labels >= count] = -1  # excluded words and the background
        least = max(1, round(self.config.min_share * labels.size))
        things = labels
        if vocabulary.background_index is not None:
            things = labels.copy()
            things[labels == vocabulary.background_index] = -1
        masks, owners, scores = connected_parts(things, labelled.score, count, least=least)
        seconds["instances"] = time.perf_counter() - started
        # Windows have a grid of their own that ends with the picture.
        maps = whole_cells(maps[:count], view.grids[0]) if view.grids else maps[:count]
        grid = maps.cpu().numpy().astype(np.float16)
        return Segmentation(
            words=vocabulary.names,
            labels=np.array([vocabulary.names[i] for i in owners], dtype=np.str_),
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
                checkpoint_sha256=self.encoder.sha256,
                seconds=seconds,
                notes=view.picture.notes,
            ),
        )


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load the encoder that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder

    encoder = load_encoder(config.encoder, device=device, dtype=dtype, pull=pull, offline=offline)
    return Segmenter(encoder, config)
