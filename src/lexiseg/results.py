"""What a segmenter returns, ``Segmentation``, and how it came about, ``Provenance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from lexiseg._version import __version__
from lexiseg.errors import InputError, OptionError, WordNotAsked, did_you_mean
from lexiseg.masks import Key, Masks, label_runs, select_indices
from lexiseg.prompts import clean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from lexiseg.prompts.phrases import PhraseReading
    from lexiseg.protocols import Model

__all__ = ["PromptSummary", "Provenance", "ScoreMap", "Segmentation", "UnknownWord"]


@dataclass(frozen=True)
class UnknownWord:
    """A word far from all that the model knows.

    nearest: the words it does know, nearest first. similarity: cosine to the nearest, in [-1, 1].
    is_name: whether it is a name that no dictionary holds, of a person or brand; then none is near.
    """

    word: str
    nearest: tuple[str, ...]
    similarity: float
    is_name: bool = False


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """The probability of each word at each place of a coarse grid.

    grid: (K, h, w) float16 in [0, 1]. size_hw: (H, W) of the picture that the grid covers.
    """

    grid: NDArray[np.float16]
    size_hw: tuple[int, int]

    def __post_init__(self) -> None:
        grid = self.grid
        if grid.ndim != 3 or grid.dtype != np.float16 or 0 in grid.shape[1:]:
            raise InputError(
                f"a score map of shape {grid.shape} and type {grid.dtype}; give (K, h, w) float16"
            )
        object.__setattr__(self, "grid", _unit(grid, "score map"))
        object.__setattr__(self, "size_hw", (int(self.size_hw[0]), int(self.size_hw[1])))

    def full(self, k: int) -> NDArray[np.float32]:
        """Return the map of word k at the picture's size, (H, W) float32 in [0, 1], bilinear."""
        import cv2

        coarse = self.grid[k].astype(np.float32)
        full = cv2.resize(coarse, self.size_hw[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(full, np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation:
    """The words of a vocabulary in one picture: a label map, and N instances, a second view.

    words: the K asked words, in order, without repeats.
    labels: (N,) str, the word of each instance.
    scores: (N,) float32 in [0, 1], how well instance and word match.
    quality: (N,) float32 in [0, 1], the mask model's own opinion, or None where it has none.
    masks: the N instances; they may leave out small parts and may overlap.
    label_map: (H, W) int16 or int32, index into words, -1 where no word is; always whole.
    word_scores: (K,) float32 in [0, 1], the best evidence for each word, 0 where not found.
    unknown: the asked words that the model does not know.
    readings: how phrases were read; an instance that several words mean stands under each.
    score_map: the probabilities behind the label map, if they were kept.
    image: (H, W, 3) uint8 RGB, upright, if it was kept.
    wholes: of words under finer ones (a face on a person), all of their pixels, one mask each.

    Raises InputError when the parts do not fit together.
    """

    words: tuple[str, ...]
    labels: NDArray[np.str_]
    scores: NDArray[np.float32]
    masks: Masks
    label_map: NDArray[np.int16] | NDArray[np.int32]
    word_scores: NDArray[np.float32]
    provenance: Provenance
    quality: NDArray[np.float32] | None = None
    unknown: tuple[UnknownWord, ...] = ()
    readings: tuple[PhraseReading, ...] = ()
    score_map: ScoreMap | None = None
    image: NDArray[np.uint8] | None = None
    wholes: Mapping[str, Masks] = field(default_factory=dict)

    def __post_init__(self) -> None:
        words, size = tuple(self.words), self.masks.size_hw
        if len(set(words)) != len(words):
            raise InputError(f"words {list(words)} repeat; give each word once")
        labels = np.asarray(self.labels, np.str_).reshape(-1)
        foreign = sorted(set(labels.tolist()) - set(words))
        if foreign:
            raise InputError(f"labels {foreign} are not among the words {list(words)}")
        scores = _checked(self.scores, len(self.masks), "scores")
        if len(labels) != len(self.masks):
            raise InputError(f"{len(labels)} labels for {len(self.masks)} masks; give one for each")
        if (quality := self.quality) is not None:
            quality = _checked(quality, len(self.masks), "quality")
        label_map = self.label_map
        if label_map.shape != size or label_map.dtype not in (np.int16, np.int32):
            raise InputError(
                f"a label map of shape {label_map.shape} and type {label_map.dtype} beside masks "
                f"of {size}; give (H, W) int16 or int32"
            )
        low, high = int(label_map.min()), int(label_map.max())
        if low < -1 or high >= len(words):
            raise InputError(
                f"label map values from {low} to {high}; with {len(words)} words they lie between "
                f"-1 and {len(words) - 1}"
            )
        if self.score_map is not None and (
            self.score_map.size_hw != size or len(self.score_map.grid) != len(words)
        ):
            raise InputError(
                f"a score map of {len(self.score_map.grid)} words at {self.score_map.size_hw} "
                f"beside {len(words)} words at {size}; give one map a word"
            )
        for word, whole in self.wholes.items():
            if word not in words or whole.size_hw != size or len(whole) != 1:
                raise InputError(f"the whole of {word!r} is no mask of {size} of one of the words")
        image = self.image
        if image is not None and (image.shape != (*size, 3) or image.dtype != np.uint8):
            raise InputError(
                f"an image of shape {image.shape} and type {image.dtype} beside masks of {size}; "
                "give (H, W, 3) uint8"
            )
        for name, value in {
            "words": words,
            "labels": _locked(labels),
            "scores": scores,
            "quality": quality,
            "label_map": _locked(label_map),
            "word_scores": _checked(self.word_scores, len(words), "word scores"),
            "unknown": tuple(self.unknown),
            "wholes": dict(self.wholes),
            "image": None if image is None else _locked(image),
        }.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.masks)

    @overload
    def __getitem__(self, key: str) -> Masks: ...

    @overload
    def __getitem__(self, key: Key) -> Segmentation: ...

    def __getitem__(self, key: str | Key) -> Masks | Segmentation:
        """Return the masks of a word, or the result with the chosen instances alone.

        A word that was not found gives no masks; one that was not asked raises WordNotAsked,
        which is a KeyError. Choosing instances keeps the label map whole.
        """
        if isinstance(key, str):
            return self.masks[self.labels == self.words[self.index(key)]]
        indices = select_indices(key, len(self))
        return replace(
            self,
            labels=self.labels[indices],
            scores=self.scores[indices],
            quality=None if self.quality is None else self.quality[indices],
            masks=self.masks[indices],
        )

    def __repr__(self) -> str:
        height, width = self.masks.size_hw
        found = ", ".join(f"{word} {self.share(word):.1%}" for word in self.found) or "nothing"
        return f"Segmentation({height} x {width}, {len(self)} instances; {found})"

    @property
    def size_hw(self) -> tuple[int, int]:
        """(H, W) of the picture."""
        return self.masks.size_hw

    def index(self, word: str) -> int:
        """Return the place of a word among `words`; raises WordNotAsked for another word."""
        if word in self.words:
            return self.words.index(word)
        if (cleaned := clean(word)) in self.words:  # the same to the eye
            return self.words.index(cleaned)
        hint = did_you_mean(word, self.words) or f"the words are: {', '.join(self.words)}"
        raise WordNotAsked(f"{word!r} was not asked of this picture; {hint}")

    def semantic(self) -> NDArray[np.int16] | NDArray[np.int32]:
        """Return the label map, (H, W) int, index into words, -1 where no word is."""
        return self.label_map

    @cached_property
    def pixels(self) -> NDArray[np.int64]:
        """Pixels of each word, (K,) int64: in the label map, and under finer words."""
        counts = np.zeros(len(self.words) + 1, np.int64)
        for start, stop, value in label_runs(self.label_map):
            counts += np.bincount(value + 1, stop - start, len(counts)).astype(np.int64)
        for word, whole in self.wholes.items():
            counts[1 + self.words.index(word)] = whole.areas[0]
        return counts[1:]

    def mask(self, words: str | Sequence[str]) -> NDArray[np.bool_]:
        """Return all pixels of words, (H, W) bool, finer words included."""
        return self.shown([words] if isinstance(words, str) else words) >= 0

    def shown(self, words: Sequence[str]) -> NDArray[np.int16] | NDArray[np.int32]:
        """Return the label map that these words alone would have: none hides under another.

        (H, W), index into all words, -1 where none of them is. Raises WordNotAsked.
        """
        indices = [self.index(word) for word in words]
        values = np.full(len(self.words) + 1, -1, self.label_map.dtype)  # one more for -1
        values[indices] = indices
        out: NDArray[Any] = values[self.label_map]
        hidden = out < 0
        # The finest last: where two hide under a third, the smaller one is on top.
        for k in sorted(indices, key=lambda k: -self.pixels[k]):
            if self.words[k] in self.wholes:
                out[hidden & self.wholes[self.words[k]].union()] = k
        return out

    def share(self, word: str) -> float:
        """Return the part of the picture that the word has, in [0, 1]; see ``pixels``."""
        return float(self.pixels[self.index(word)] / self.label_map.size)

    @property
    def found(self) -> tuple[str, ...]:
        """The words that have any pixel, in the order asked."""
        return tuple(w for w, count in zip(self.words, self.pixels, strict=True) if count)

    def heatmap(self, word: str) -> NDArray[np.float32]:
        """Return the probability of a word at each pixel, (H, W) float32 in [0, 1]."""
        k = self.index(word)
        if self.score_map is None:
            raise OptionError(
                f"this result keeps no probabilities, so there is no heat map of {word!r}; "
                "segment with a method that keeps its score map"
            )
        return self.score_map.full(k)


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view; the caller's own array stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view


def _unit(values: NDArray[Any], what: str) -> NDArray[Any]:
    """Return values in [0, 1], read-only; raises InputError beyond rounding, and for NaN."""
    if values.size:
        low, high = float(values.min()), float(values.max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise InputError(f"{what} from {low:.6g} to {high:.6g}; they lie in [0, 1]")
        if low < 0 or high > 1:
            values = values.clip(0, 1)
    return _locked(values)


def _checked(values: NDArray[np.float32], count: int, what: str) -> NDArray[np.float32]:
    """Return (count,) float32 in [0, 1]; raises InputError for anything else."""
    array = np.asarray(values, np.float32)
    if array.shape != (count,):
        raise InputError(f"{what} of shape {array.shape}; give ({count},)")
    return _unit(array, what)


@dataclass(frozen=True, kw_only=True)
class PromptSummary:
    """The prompts that a mask model or a detector was given for one image.

    num_prompts: how many it was given.
    grid_size: how many points a regular grid over the whole image would take, to compare with.
    num_masks: how many masks were kept, of methods that segment everything first.
    points_xy: (P, 2) foreground points in pixels of the image.
    boxes_xyxy: (N, 4) boxes in pixels of the image, one for each instance.

    Points and boxes may be given as arrays. None stands for what a method does not have.
    """

    num_prompts: int
    grid_size: int | None = None
    num_masks: int | None = None
    points_xy: tuple[tuple[float, ...], ...] | None = None
    boxes_xyxy: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        for name, columns in (("points_xy", 2), ("boxes_xyxy", 4)):
            given = getattr(self, name)
            if given is not None:
                rows = np.asarray(given, np.float64).reshape(-1, columns).tolist()
                object.__setattr__(self, name, tuple(map(tuple, rows)))

    def to_json(self) -> dict[str, Any]:
        """Return what is there as JSON can hold it: counts, and places to a tenth of a pixel."""
        keys = {"num_prompts": "asked", "grid_size": "grid", "num_masks": "masks"}
        plain = {keys.get(part.name, part.name): getattr(self, part.name) for part in fields(self)}
        for name in ("points_xy", "boxes_xyxy"):
            if plain[name] is not None:
                plain[name] = np.round(plain[name], 1).tolist()
        return {key: value for key, value in plain.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a result came about, so that it can be had again.

    Make one with `from_models` when a segmenter is built, then `dataclasses.replace` for each
    image; `with_masker` adds a mask model, `with_seconds` adds stages.

    config: the fields of the method's Config. checkpoint_sha256: file or checkpoint name -> hash.
    prompts: of methods that prompt a mask model or a detector; None for others.
    seconds: stage -> wall time in seconds. notes: remarks for the reader, such as "turned upright".
    """

    method: str
    encoder: str
    masker: str | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    version: str = __version__
    device: str = "cpu"
    dtype: str = "float32"
    checkpoint_sha256: Mapping[str, str] = field(default_factory=dict)
    prompts: PromptSummary | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_models(
        cls,
        method: str,
        config: DataclassInstance,
        encoder: Model,
        masker: Model | None = None,
    ) -> Provenance:
        """Return what is the same for every image of a segmenter.

        encoder: the model that scores words: an encoder, a mapper's model or a detector. The result
        names its device and its number format.
        """
        made = cls(
            method=method,
            encoder=encoder.name,
            config=asdict(config),
            device=encoder.device_name,
            dtype=encoder.dtype_name,
            checkpoint_sha256=dict(encoder.sha256),
        )
        return made if masker is None else made.with_masker(masker)

    def with_masker(self, masker: Model) -> Provenance:
        """Return the same with a mask model's name, and its hashes as "masker <file>"."""
        hashes = {f"masker {name}": digest for name, digest in masker.sha256.items()}
        together = {**self.checkpoint_sha256, **hashes}
        return replace(self, masker=masker.name, checkpoint_sha256=together)

    def with_seconds(self, seconds: Mapping[str, float]) -> Provenance:
        """Return the same with the times of further stages, in seconds."""
        return replace(self, seconds={**self.seconds, **seconds})

    def to_json(self) -> dict[str, Any]:
        """Return the same as dicts, lists, strings and numbers only; seconds to 0.1 ms."""
        plain = {part.name: _plain(getattr(self, part.name)) for part in fields(self)}
        plain["prompts"] = {} if self.prompts is None else self.prompts.to_json()
        plain["seconds"] = {stage: round(float(s), 4) for stage, s in self.seconds.items()}
        return plain


def _plain(value: object) -> Any:
    """Return a value of a Config as JSON can hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return str(value)


_SLACK = 1e-4  # a sum of probabilities may pass 1 by rounding; it is clipped, more is refused
