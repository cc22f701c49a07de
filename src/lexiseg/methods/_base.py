"""What all segmenters share: reading images, checking views, timing stages, and the result's frame.

A method says how an image is encoded (``encode``) and what becomes of words (``segment``).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from lexiseg.device import check_process
from lexiseg.errors import OptionError, UnknownName
from lexiseg.methods._auto import AUTO, KNOWN, choose_words, find_evidence, known_words
from lexiseg.prompts import Like, Vocabulary
from lexiseg.protocols import Model, View, VocabularyAware
from lexiseg.results import Provenance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Picture, Source
    from lexiseg.masks import Masks
    from lexiseg.protocols import BackboneMaps
    from lexiseg.results import Segmentation, UnknownWord

__all__ = [
    "BaseSegmenter", "StageTimer", "Words", "class_thresholds", "finish", "parse_vocabulary",
    "read_image",
]  # fmt: skip

_AFTER_ENCODING = ("flat", "threshold", "word_thresholds")

Words = str | Like | Sequence[str | Like] | Vocabulary
Encoded = TypeVar("Encoded")


class StageTimer:
    """Wall time of named stages, in seconds."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds = dict(seconds or {})

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started


class BaseSegmenter(ABC, Generic[Encoded]):
    """Call it with an image and words; see ``__call__``.

    config: the method's Config. scorer: the model that scores words (an encoder, a detector).
    masker: the mask model, if there is one. others: further models, for the provenance.
    """

    name: ClassVar[str]
    # What of a phrase a model with a large vocabulary may see by itself. Maps of words do not
    # take relations: a "person on a horse" would win on the horse.
    visible_in_phrases: ClassVar[tuple[str, ...]] = ("colour",)

    def __init__(
        self, config: Any, scorer: Model, masker: Model | None = None, others: Sequence[Model] = ()
    ) -> None:
        self.config = config
        self.scorer, self.others = scorer, tuple(others)
        self._all = (scorer, *others) if masker is None else (scorer, *others, masker)
        made = Provenance.from_models(self.name, config, scorer, masker)
        hashes = {name: sha for model in others for name, sha in model.sha256.items()}
        self._provenance = replace(made, checkpoint_sha256={**made.checkpoint_sha256, **hashes})

    @abstractmethod
    def encode(self, picture: Picture) -> tuple[Encoded, NDArray[np.int64] | None]:
        """Return what the models make of an image, and the windows that were encoded.

        Windows are (N, 4) int64 x0, y0, x1, y1 in pixels of the image; None: the whole image.
        """

    @abstractmethod
    def segment(self, view: View[Encoded], vocabulary: Vocabulary) -> Segmentation:
        """Return what an encoded image shows of a vocabulary; the result holds no image."""

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models."""
        return tuple(model.name for model in self._all)

    @property
    def sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256 of all weights in use."""
        return self._provenance.checkpoint_sha256

    def prepare(
        self, image: Source | View[Encoded], *, max_pixels: int | None = None
    ) -> View[Encoded]:
        """Read and encode an image: a path, a PIL image or an (H, W, 3) uint8 RGB array.

        A view that this segmenter made comes back as it is. max_pixels: refuse larger images.
        Raises PictureError, and OptionError for a view of another segmenter.
        """
        check_process(self.scorer.device_name)
        if isinstance(image, View):
            return self._checked(image)
        timer = StageTimer()
        with timer("read"):
            picture = read_image(image, max_pixels)
        with timer("encode"):
            encoded, windows_xyxy = self.encode(picture)
        return self.view(picture, encoded, windows_xyxy, timer)

    def view(
        self,
        picture: Picture,
        encoded: Encoded,
        windows_xyxy: NDArray[np.int64] | None,
        timer: StageTimer,
    ) -> View[Encoded]:
        """Return a view of what ``encode`` made; windows None: the whole image was encoded."""
        import numpy as np

        if windows_xyxy is None:
            height, width = picture.size_hw
            windows_xyxy = np.array([[0, 0, width, height]], np.int64)
        return View(picture, encoded, self.name, self.models, windows_xyxy, timer.seconds)

    def __call__(
        self,
        image: Source | View[Encoded],
        words: Words | None = None,
        *,
        background: str | Sequence[str] | None = "default",
        keep_image: bool = False,
    ) -> Segmentation:
        """Return what the image shows of the words; without words, of what it shows.

        image: a path, a PIL image, an (H, W, 3) uint8 RGB array, or a View made of one.
        words: a list of words and ``Like`` prompts, or one text with commas between words;
            "sofa|couch" names a synonym, "person -helmet" excludes helmets, and phrases ("the
            largest red car") are read, see ``lexiseg.prompts.phrases``. None or "@auto": of the
            words that the model knows those that win somewhere; "@known": all of them.
        background: "default", words of one's own, or None for a closed vocabulary, in which every
            pixel gets a word.
        keep_image: keep the pixels in the result, for drawing.
        Raises PromptError, PictureError.
        """
        if words is None or words == AUTO:
            view = self.prepare(image)
            vocabulary = self.auto_vocabulary(view, background)
        else:
            vocabulary = self.vocabulary(words, background)
            view = self.prepare(image)
        result = self.segment_phrases(view, vocabulary, partial(self.segment, view))
        return finish(result, view, keep_image=keep_image)

    def segment_phrases(
        self,
        view: View[Encoded],
        vocabulary: Vocabulary,
        segment: Callable[[Vocabulary], Segmentation],
    ) -> Segmentation:
        """Return what an encoded image shows of a vocabulary that may hold phrases.

        segment: returns what it shows of nouns; where all words are nouns, that is the result.
        """
        asked = None
        words = (*vocabulary.words, *vocabulary.excluded)
        several = any(" " in text for word in words for text in word.synonyms)
        if several and vocabulary.phrases and self.config.phrases:
            from lexiseg.prompts.phrases import noun_vocabulary

            whole = () if self._known_words else self.visible_in_phrases
            asked = noun_vocabulary(vocabulary, self._known_words, whole)
        if asked is None:
            return segment(vocabulary)
        from lexiseg.stages.phrase_results import select_phrases

        found = segment(asked.nouns)
        wholes = self.config.whole_phrases
        if wholes is None:
            wholes = not self._known_words
        if vocabulary.background is None:
            wholes = False  # in a closed vocabulary every pixel is the phrase, or its other noun
        return select_phrases(
            found,
            asked,
            view.picture.rgb,
            self.config.word_thresholds,
            segment if wholes else None,
        )

    def with_config(self, **fields: Any) -> Self:
        """Return a segmenter of the same models whose results follow other settings.

        fields: of the Config, those that say what becomes of scores: thresholds and the like. What
        decides how an image is encoded or which models there are cannot change any more.
        Raises UnknownName for another field, OptionError for a value out of range.
        """
        for name in fields:
            if name not in _AFTER_ENCODING:
                raise UnknownName.among("setting of a loaded segmenter", name, _AFTER_ENCODING)
        made = copy(self)
        made.config = replace(self.config, **fields)
        made._provenance = replace(self._provenance, config=asdict(made.config))
        return made

    @cached_property
    def _known_words(self) -> frozenset[str]:
        """The words that the model was trained on, casefolded, where it is known for a few."""
        return frozenset(word.casefold() for word in getattr(self.scorer, "vocabulary", ()))

    def vocabulary(
        self, words: Words, background: str | Sequence[str] | None = "default"
    ) -> Vocabulary:
        """Return words as a Vocabulary; "@known" are all words that the model knows.

        Raises PromptError, OptionError and UnknownName as ``parse_vocabulary`` does.
        """
        if words == KNOWN:
            known = known_words(self.scorer)
            return replace(parse_vocabulary(known, background, self.config), phrases=False)
        return parse_vocabulary(words, background, self.config)

    def auto_vocabulary(
        self, view: View[Encoded], background: str | Sequence[str] | None = "default"
    ) -> Vocabulary:
        """Return those of the known words that an encoded image shows, by share and score."""
        texts = known_words(self.scorer)
        asked = Vocabulary.parse(texts, default_background=self.config.background, flat=True)
        found = choose_words(find_evidence(self.map_words(view, asked)))
        by_name = {word.name: text for word, text in zip(asked.words, texts, strict=True)}
        chosen = [by_name[name] for name in found] or texts[:1]
        return replace(parse_vocabulary(chosen, background, self.config), phrases=False)

    def map_words(self, view: View[Encoded], vocabulary: Vocabulary) -> Segmentation:
        """Return where words win, as fast as the method can say it."""
        return self.segment(view, vocabulary)

    def all_masks(self, view: View[Encoded]) -> Masks | None:
        """Return every mask of an image, whatever it shows, where the method draws all; or None."""
        return None

    def backbone_maps(self, view: View[Encoded]) -> tuple[BackboneMaps, ...]:
        """Return what backbones made of an image, for mask models that stand on the same one."""
        return ()

    def unknown_words(
        self, model: object, vocabulary: Vocabulary
    ) -> tuple[tuple[UnknownWord, ...], set[str]]:
        """Return the words that a model does not know, and those of them that get no pixel.

        In a closed vocabulary the user rules out everything else, so all words compete.
        """
        from lexiseg.stages.word_vectors import unknown_words

        if not isinstance(model, VocabularyAware):
            return (), set()
        unknown = unknown_words(model, vocabulary)
        if vocabulary.background is None or getattr(self.config, "paint_unknown", False):
            return unknown, set()
        return unknown, {word.word for word in unknown}

    def provenance(self, view: View[Any], seconds: Mapping[str, float]) -> Provenance:
        """Return what is known of a result; ``seconds``: of all stages, the view's too."""
        return replace(self._provenance, seconds=dict(seconds), notes=view.picture.notes)

    def _checked(self, view: View[Encoded]) -> View[Encoded]:
        if (view.method, view.models) != (self.name, self.models):
            raise OptionError(
                f"the view was made by {view.method} with {', '.join(view.models)}, and this is "
                f"{self.name} with {', '.join(self.models)}; prepare the image with the same "
                "segmenter"
            )
        return view


def read_image(image: Source | Picture, max_pixels: int | None = None) -> Picture:
    """Read an image, unless it is read already."""
    from lexiseg import imaging

    if isinstance(image, imaging.Picture):
        return image
    return imaging.read(image, **({} if max_pixels is None else {"max_pixels": max_pixels}))


def finish(result: Segmentation, view: View[Any], *, keep_image: bool) -> Segmentation:
    """Return a result without what is fully transparent; with its image if that is wanted."""
    there = view.picture.opaque
    if there is not None:
        result = _without_hidden(result, there)
    return replace(result, image=view.picture.rgb) if keep_image else result


def _without_hidden(result: Segmentation, there: NDArray[np.bool_]) -> Segmentation:
    """Return a result whose words and instances have no pixel where nothing is to be seen.

    there: (H, W) bool. An instance that loses all its pixels is gone.
    """
    import numpy as np

    masks = result.masks.within(there)
    wholes = {word: whole.within(there) for word, whole in result.wholes.items()}
    label_map = np.where(there, result.label_map, -1)
    result = replace(result, masks=masks, label_map=label_map, wholes=wholes)
    result = result[np.flatnonzero(masks.areas)]
    return replace(result, word_scores=np.where(result.pixels > 0, result.word_scores, 0))


def parse_vocabulary(
    words: Words, background: str | Sequence[str] | None, config: Any
) -> Vocabulary:
    """Return words as a Vocabulary, against the background words of the call or of the Config.

    Raises PromptError for words that cannot be used, OptionError where a Vocabulary is given a
    second background, UnknownName for a threshold of a word that was not asked.
    """
    if not isinstance(words, Vocabulary):
        words = Vocabulary.parse(
            words, background=background, default_background=config.background, flat=config.flat
        )
    elif background != "default":
        raise OptionError(
            f"background is {background!r}, but a Vocabulary has its own; give one of the two"
        )
    for word in config.word_thresholds:
        if word not in words.names:
            raise UnknownName.among("word of the vocabulary", word, words.names)
    return _read_examples(words)


def _read_examples(vocabulary: Vocabulary) -> Vocabulary:
    """Return a vocabulary whose example images are pixels. Raises PictureError."""
    if not any(word.examples for word in vocabulary.words):
        return vocabulary
    words = (
        replace(
            word,
            examples=tuple(replace(one, image=read_image(one.image).rgb) for one in word.examples),
        )
        for word in vocabulary.words
    )
    return replace(vocabulary, words=tuple(words))


def class_thresholds(vocabulary: Vocabulary, config: Any) -> NDArray[np.float32]:
    """Return what each class must score, (C,) float32: the word "background" only its own limit."""
    import numpy as np

    limits = np.zeros(vocabulary.num_classes, np.float32)
    for i, word in enumerate(vocabulary.names):
        default = 0.0 if i == vocabulary.background_index else config.threshold
        limits[i] = config.word_thresholds.get(word, default)
    return limits
