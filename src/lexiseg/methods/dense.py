"""Dense open-vocabulary segmentation: every place of a picture is compared with every word.

The picture becomes a grid of features, words become vectors in the same space, and the softmax of
their cosines, at the encoder's own scale, says which word each place shows. Works with any encoder
whose features are dense: the bundled one, or CLIP read out as MaskCLIP (Zhou et al. 2022) and its
successors do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.prompts import DEFAULT_BACKGROUND, TEMPLATES, Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Picture, Source
    from lexiseg.protocols import Encoder
    from lexiseg.results import Segmentation, UnknownWord
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
    scales: the picture is looked at at these multiples of ``short_side``; scores are averaged on
        the finest grid.
    flip: also look at the mirrored picture. Words with a side in them ("left eye") suffer.
    templates: "plain", "photo", or sentences of one's own with {} for the word.
    background: words that take what nobody asked for (``seg(..., background=...)`` replaces them).
    threshold: pixels whose word scores less, in [0, 1], get no word.
    word_thresholds: the same for single words.
    refine: "guided" lets boundaries follow the picture, "none" enlarges bilinearly.
    refine_radius, refine_epsilon: of the guided filter: cells, and variance of colours.
    paint_unknown: let words that the encoder does not know compete too. Otherwise they get no
        pixel, save in a closed vocabulary, where the user rules out everything else.
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
    refine_radius: int = 1
    refine_epsilon: float = 1e-3
    paint_unknown: bool = False
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
        if not 1 <= self.refine_radius <= 64:
            raise OptionError(f"refine_radius is {self.refine_radius}; give 1 to 64 cells")
        if not 1e-6 <= self.refine_epsilon <= 1e3:  # less than the rounding of float32 counts for
            raise OptionError(f"refine_epsilon is {self.refine_epsilon}; give 1e-6 to 1000")
        if not 0 <= self.min_share < 1:
            raise OptionError(f"min_share is {self.min_share}; give a part from 0 to below 1")
        if not self.sentences:
            raise OptionError('there are no templates; give some, or "plain"')
        for template in self.sentences:
            if "{}" not in template or set("{}") & set(template.replace("{}", "")):
                raise OptionError(
                    f"the template is {template!r}; write {{}} for the word, and no other braces"
                )

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


@dataclass(frozen=True, eq=False)
class View:
    """An encoded picture: further words cost no second encoding.

    features: one set a scale, the finest first. encoder: the name of the one that made them.
    seconds: stage -> wall time of making it.
    """

    picture: Picture
    features: tuple[Features, ...]
    encoder: str
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
            for scale in sorted(config.scales, reverse=True)
        )
        done = time.perf_counter()
        seconds = {"read": read - started, "encode": done - read}
        return View(picture, features, self.encoder.name, seconds)

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
        from lexiseg.stages.dense import probabilities, word_vectors
        from lexiseg.stages.resample import on_grid_of

        vocabulary = self._vocabulary(words, background)
        view = self.prepare(image)
        clock = [time.perf_counter()]
        unknown = self._unknown(vocabulary)
        silent: set[str] = set()
        if vocabulary.background is not None and not self.config.paint_unknown:
            silent = {found.word for found in unknown}
        vectors = word_vectors(self.encoder, vocabulary, self.config.sentences, silent)
        clock.append(time.perf_counter())
        maps = probabilities(view.features[0].grid, vectors, self.encoder.scale)
        for other in view.features[1:]:
            coarse = probabilities(other.grid, vectors, self.encoder.scale)
            maps += on_grid_of(view.features[0], coarse, other)
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

    def _unknown(self, vocabulary: Vocabulary) -> tuple[UnknownWord, ...]:
        """The words of which the encoder knows no synonym; each stands for its best one."""
        from lexiseg.protocols import KnowsItsLimits

        asked = [w for i, w in enumerate(vocabulary.words) if i != vocabulary.background_index]
        phrases = [phrase for word in asked for phrase in word.synonyms]
        if not phrases or not isinstance(self.encoder, KnowsItsLimits):
            return ()
        far = {found.word: found for found in self.encoder.unknown(phrases)}
        return tuple(
            replace(max((far[p] for p in word.synonyms), key=_similarity), word=word.name)
            for word in asked
            if all(phrase in far for phrase in word.synonyms)
        )

    def _label(self, maps: Any, view: View, vocabulary: Vocabulary) -> LabelMap:
        import numpy as np

        from lexiseg.stages.dense import label_map
        from lexiseg.stages.refine import Guide

        config, features = self.config, view.features[0]
        guide = Guide(
            view.picture.rgb,
            features.work_hw,
            features.cell,
            config.refine_radius if config.refine == "guided" else 0,
            config.refine_epsilon,
        )
        thresholds = np.zeros(vocabulary.owners, np.float32)
        for i, word in enumerate(vocabulary.words):
            rest = 0.0 if i == vocabulary.background_index else config.threshold
            thresholds[i] = config.word_thresholds.get(word.name, rest)
        return label_map(maps, guide, thresholds if thresholds.any() else None)

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
        grid = whole_cells(maps[:count], view.features[0]).cpu().numpy().astype(np.float16)
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


def _similarity(word: UnknownWord) -> float:
    return word.similarity


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
