"""Dense open-vocabulary segmentation: every place of a picture is compared with every word.

The picture becomes a grid of features, words become vectors in the same space, and the softmax of
their cosines, at the encoder's own scale, says which word each place shows. Works with any encoder
whose features are dense: the bundled one, or CLIP read out as MaskCLIP (Zhou et al. 2022) and its
successors do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.prompts import DEFAULT_BACKGROUND, TEMPLATES, Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Picture, Source
    from lexiseg.protocols import Encoder
    from lexiseg.results import Segmentation
    from lexiseg.stages.dense import LabelMap
    from lexiseg.stages.windows import Features

__all__ = ["PRESETS", "SUMMARY", "Config", "Segmenter", "View", "load"]

SUMMARY = "compare every place of the picture with every word"


@dataclass(frozen=True)
class Config:
    """Settings of the method; every default lives here.

    encoder: a checkpoint that is an encoder.
    short_side: pixels that the picture's short side is scaled to; None: as the encoder wants.
    window, overlap: larger pictures are looked at through windows of so many pixels a side, of
        which neighbours share at least this part; None: as the encoder wants.
    scales: the picture is looked at at these multiples of ``short_side``; scores are averaged.
    flip: also look at the mirrored picture. Words with a side in them ("left eye") suffer.
    templates: "plain", "photo", or sentences of one's own with {} for the word.
    background: words that take what nobody asked for (``seg(..., background=...)`` replaces them).
    threshold: pixels whose word scores less, in [0, 1], get no word.
    word_thresholds: the same for single words.
    refine: "guided" lets boundaries follow the picture, "none" enlarges bilinearly.
    refine_radius, refine_epsilon: of the guided filter: cells, and variance of colours.
    min_share: instances smaller than this part of the picture are left out (not of the label map).
    """

    encoder: str = "tiny"
    short_side: int | None = None
    window: int | None = None
    overlap: float = 0.25
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    templates: str | tuple[str, ...] = "plain"
    background: tuple[str, ...] = DEFAULT_BACKGROUND
    threshold: float = 0.0
    word_thresholds: Mapping[str, float] = field(default_factory=dict)
    refine: str = "guided"
    refine_radius: int = 2
    refine_epsilon: float = 1e-3
    min_share: float = 0.0004

    def __post_init__(self) -> None:
        for name in ("short_side", "window"):
            value = getattr(self, name)
            if value is not None and not 32 <= value <= 8192:
                raise OptionError(f"{name} is {value}; give 32 to 8192 pixels, or None")
        if not 0 <= self.overlap <= 0.9:
            raise OptionError(f"overlap is {self.overlap}; give a part from 0 to 0.9")
        if not self.scales or not all(0.1 <= s <= 8 for s in self.scales):
            raise OptionError(f"scales are {self.scales}; give numbers from 0.1 to 8")
        for word, value in {"threshold": self.threshold, **self.word_thresholds}.items():
            if not 0 <= value <= 1:
                raise OptionError(f"the threshold of {word!r} is {value}; give 0 to 1")
        if self.refine not in ("guided", "none"):
            raise UnknownName.among("way to refine", self.refine, ("guided", "none"))
        if self.refine_radius < 1 or self.refine_epsilon <= 0:
            raise OptionError(
                f"refine_radius {self.refine_radius}, refine_epsilon {self.refine_epsilon}; give "
                "at least 1 cell and a number above 0"
            )
        if not 0 <= self.min_share < 1:
            raise OptionError(f"min_share is {self.min_share}; give a part from 0 to below 1")
        for template in self.sentences:
            if "{}" not in template:
                raise OptionError(f"the template {template!r} has no {{}} for the word; add it")

    @property
    def sentences(self) -> tuple[str, ...]:
        """The templates as sentences."""
        if not isinstance(self.templates, str):
            return tuple(self.templates)
        if "{}" in self.templates:
            return (self.templates,)
        if self.templates not in TEMPLATES:
            raise UnknownName.among("set of templates", self.templates, TEMPLATES)
        return TEMPLATES[self.templates]


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"short_side": 224},
    "balanced": {},
    "quality": {"scales": (0.75, 1.0, 1.5)},
}


@dataclass(frozen=True)
class View:
    """An encoded picture, one set of features a scale: further words cost no second encoding."""

    picture: Picture
    features: tuple[Features, ...]
    seconds: Mapping[str, float]

    @property
    def windows_xyxy(self) -> NDArray[np.int64]:
        """What was looked at, in pixels of the picture, (N, 4)."""
        import numpy as np

        boxes = [
            [x0 / f.work_hw[1], y0 / f.work_hw[0], x1 / f.work_hw[1], y1 / f.work_hw[0]]
            for f in self.features
            for y0, x0, y1, x1 in f.windows
        ]
        height, width = self.picture.size_hw
        corners = np.rint(np.array(boxes) * [width, height, width, height])
        return np.asarray(corners, np.int64)


class Segmenter:
    """Call it with a picture and words; see `__call__`."""

    name = "dense"

    def __init__(self, encoder: Encoder, config: Config) -> None:
        self.encoder = encoder
        self.config = config

    def prepare(self, image: Source | View, *, max_pixels: int | None = None) -> View:
        """Read and encode a picture: a path, a PIL image or an (H, W, 3) uint8 array."""
        from lexiseg import imaging
        from lexiseg.stages.windows import encode

        if isinstance(image, View):
            return image
        started = time.perf_counter()
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = image if isinstance(image, imaging.Picture) else imaging.read(image, **limit)
        read = time.perf_counter()
        config, size = self.config, self.encoder.size
        short = config.short_side or size.short_side
        features = tuple(
            encode(
                self.encoder,
                picture.rgb,
                short_side=max(32, round(short * scale)),
                window=config.window or size.window,
                overlap=config.overlap,
                flip=config.flip,
            )
            for scale in config.scales
        )
        done = time.perf_counter()
        return View(picture, features, {"read": read - started, "encode": done - read})

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
        from lexiseg.protocols import KnowsItsLimits
        from lexiseg.stages.dense import probabilities, word_vectors

        vocabulary = (
            words
            if isinstance(words, Vocabulary)
            else Vocabulary.parse(
                words, background=background, default_background=self.config.background
            )
        )
        self._check_thresholds(vocabulary)
        view = self.prepare(image)
        clock = [time.perf_counter()]
        vectors = word_vectors(self.encoder, vocabulary, self.config.sentences)
        limits = self.encoder if isinstance(self.encoder, KnowsItsLimits) else None
        asked = [w.name for i, w in enumerate(vocabulary.words) if i != vocabulary.background_index]
        unknown = limits.unknown(asked) if limits and asked else ()
        clock.append(time.perf_counter())
        maps = probabilities(view.features[0].grid, vectors, self.encoder.scale)
        for other in view.features[1:]:
            maps += _like(probabilities(other.grid, vectors, self.encoder.scale), view, other)
        maps /= len(view.features)
        clock.append(time.perf_counter())
        labelled = self._label(maps, view, vocabulary)
        clock.append(time.perf_counter())
        seconds = dict(view.seconds) | {
            stage: after - before
            for stage, before, after in zip(
                ("words", "score", "label"), clock[:-1], clock[1:], strict=True
            )
        }
        return self._result(view, vocabulary, maps, labelled, unknown, seconds)

    def _check_thresholds(self, vocabulary: Vocabulary) -> None:
        for word in self.config.word_thresholds:
            if word not in vocabulary.names:
                raise UnknownName.among("word of the vocabulary", word, vocabulary.names)

    def _label(self, maps: Any, view: View, vocabulary: Vocabulary) -> LabelMap:
        import numpy as np

        from lexiseg.stages.dense import label_map
        from lexiseg.stages.refine import Guide

        config, features = self.config, view.features[0]
        guide = Guide(
            view.picture.rgb,
            (features.work_hw[0] / features.cell, features.work_hw[1] / features.cell),
            config.refine_radius if config.refine == "guided" else 0,
            config.refine_epsilon,
        )
        thresholds = np.zeros(vocabulary.owners, np.float32)
        for i, word in enumerate(vocabulary.words):
            if i != vocabulary.background_index:
                thresholds[i] = config.word_thresholds.get(word.name, config.threshold)
        return label_map(maps, guide, thresholds if thresholds.any() else None)

    def _result(
        self, view: View, vocabulary: Vocabulary, maps: Any, labelled: LabelMap, unknown: Any,
        seconds: dict[str, float],
    ) -> Segmentation:  # fmt: skip
        import numpy as np

        from lexiseg._version import __version__
        from lexiseg.results import Provenance, ScoreMap, Segmentation
        from lexiseg.stages.merge import connected_parts

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
        features = view.features[0]
        grid = maps[:count].cpu().numpy().astype(np.float16)
        return Segmentation(
            words=vocabulary.names,
            labels=np.array([vocabulary.names[i] for i in owners], dtype=np.str_),
            scores=scores,
            masks=masks,
            label_map=labels,
            word_scores=_mean_scores(labels, labelled.score, count),
            unknown=unknown,
            score_map=ScoreMap(_inside(grid, features), size_hw),
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


def _like(maps: Any, view: View, other: Features) -> Any:
    """Maps of another scale on the grid of the first, (O, h, w)."""
    import torch

    first = view.features[0]
    height, width = first.grid.shape[:2]
    # Where the first grid's cells lie in the other grid: both reach a little over the border.
    rows = (torch.arange(height) + 0.5) * first.cell / first.work_hw[0]
    columns = (torch.arange(width) + 0.5) * first.cell / first.work_hw[1]
    h, w = maps.shape[1:]
    y = rows * other.work_hw[0] / other.cell / h * 2 - 1
    x = columns * other.work_hw[1] / other.cell / w * 2 - 1
    places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None].to(maps.device)
    return torch.nn.functional.grid_sample(
        maps[None], places, mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def _inside(grid: Any, features: Features) -> Any:
    """The part of (K, h, w) that covers the picture, when cells reach over its border."""
    import numpy as np

    rows = max(1, round(features.work_hw[0] / features.cell))
    columns = max(1, round(features.work_hw[1] / features.cell))
    return np.ascontiguousarray(grid[:, :rows, :columns])


def _mean_scores(labels: Any, scores: Any, count: int) -> NDArray[np.float32]:
    """The mean score of each word over its own pixels, (K,); 0 for a word without any."""
    import numpy as np

    sums, pixels = np.zeros(count + 1), np.zeros(count + 1)
    for top in range(0, len(labels), 1024):
        flat = labels[top : top + 1024].reshape(-1).astype(np.int64) + 1
        weight = scores[top : top + 1024].reshape(-1).astype(np.float32)
        sums += np.bincount(flat, weights=weight, minlength=count + 1)
        pixels += np.bincount(flat, minlength=count + 1)
    return (sums / np.maximum(pixels, 1))[1:].astype(np.float32)


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
