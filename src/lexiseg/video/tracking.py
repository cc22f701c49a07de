"""Objects through the frames of a video, one frame at a time; live sources work too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import OptionError, PromptError
from lexiseg.masks import Masks
from lexiseg.results import Provenance, Segmentation
from lexiseg.video.identities import LostObject, match_by_looks, match_by_overlap

if TYPE_CHECKING:
    from lexiseg.protocols import Segmenter, Tracker, Tracks
    from lexiseg.results import UnknownWord

__all__ = ["TrackOptions", "TrackedFrame", "Tracking", "frame_result", "track"]

_TABLES = ("words", "scores", "unseen", "features", "next_id")  # of a state, plain as they are
_SCENE = 0.55  # correlation of the colours of two frames below which the scene has changed


@dataclass(frozen=True)
class TrackOptions:
    """every: words are looked for in every n-th frame, and where the scene changes; 0: in the
    first frame and new scenes alone. max_objects: followed at the same time; the surest stay.
    min_score: of an instance that becomes an object. min_iou: with which an instance is an object
    that is followed already. min_likeness: cosine at which one that was lost has come back.
    patience: frames after which an object that is not seen is given up.
    """

    every: int = 10
    max_objects: int = 32
    min_score: float = 0.0
    min_iou: float = 0.3
    min_likeness: float = 0.9
    patience: int = 120

    def __post_init__(self) -> None:
        for name, least in (("every", 0), ("max_objects", 1), ("patience", 1)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}; give at least {least}")
        for name in ("min_score", "min_iou", "min_likeness"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}; give 0 to 1")


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """One frame: result, and the identity of each of its instances.

    index: from 0. result: its masks are the objects', its label map shows small ones over large
    ones. ids: (N,) int64, from 1, the same for the same object in every frame.
    key: whether words were looked for in this frame.
    """

    index: int
    result: Segmentation
    ids: NDArray[np.int64]
    key: bool


@dataclass
class _State:
    """What changes from frame to frame."""

    memory: Any = None
    words: dict[int, str] = field(default_factory=dict)  # of the objects that are followed
    scores: dict[int, float] = field(default_factory=dict)
    unseen: dict[int, int] = field(default_factory=dict)  # frames since
    features: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    lost: list[LostObject] = field(default_factory=list)
    next_id: int = 1


def track(
    segmenter: Segmenter,
    frames: Iterable[NDArray[np.uint8]],
    words: str | Sequence[str] | None = None,
    *,
    tracker: Tracker | None = None,
    points: Mapping[int, Sequence[Sequence[float]]] | None = None,
    options: TrackOptions | None = None,
) -> Iterator[TrackedFrame]:
    """Yield, for each frame as it comes, the objects that words name or that points start.

    segmenter: finds the words, as `lexiseg.load` returns it. frames: (H, W, 3) uint8 RGB, all of
    one size; any iterable, a camera's too. tracker: carries objects between key frames; None: the
    bundled one. points: frame -> (x, y) pixels; each starts an object of its own, "point 1", ...
    Memory does not grow with the number of frames.
    Raises PromptError where nothing is asked for, PictureError for what is no frame.
    """
    run = Tracking(segmenter, words, tracker, points, options)
    for index, rgb in enumerate(frames):
        yield run.frame(index, rgb)


def _bundled() -> Tracker:
    from lexiseg.models import load_tracker

    return load_tracker("tiny")


class Tracking:
    """What `track` does, a frame at a time, and what it takes to go on later; see `track`."""

    def __init__(
        self,
        segmenter: Segmenter,
        words: str | Sequence[str] | None,
        tracker: Tracker | None,
        points: Mapping[int, Sequence[Sequence[float]]] | None,
        options: TrackOptions | None,
    ) -> None:
        if words is None and not points:
            raise PromptError("nothing to follow: give words, or points in a frame")
        self._segmenter, self._words, self._tracker = segmenter, words, tracker or _bundled()
        self._points, self._options = dict(points or {}), options or TrackOptions()
        self._state = _State()
        self._colours: NDArray[np.float32] | None = None
        self._names: tuple[str, ...] = ()
        self._started = 0  # points that started an object
        self._clicker: Any = None
        self._template: Segmentation | None = None

    @property
    def tracker_name(self) -> str:
        """What carries the objects."""
        return self._tracker.name

    @property
    def names(self) -> tuple[str, ...]:
        """The words, as they are called in results; empty before the first key frame."""
        return self._names

    def state_dict(self) -> dict[str, Any]:
        """Return what to go on with takes, as `save_state` writes it, after at least one frame."""
        state = self._state
        lost = [(one.id, one.word, one.feature, one.frame) for one in state.lost]
        tables = {name: getattr(state, name) for name in _TABLES}
        return {
            "memory": self._tracker.state_dict(state.memory), "tables": tables, "lost": lost,
            "names": self._names, "colours": self._colours, "started": self._started,
        }  # fmt: skip

    def load_state_dict(self, rgb: NDArray[np.uint8], state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was asked for; rgb: the last frame before that."""
        lost = [LostObject(*one) for one in state["lost"]]
        memory = self._tracker.load_state_dict(rgb, state["memory"])
        self._state = _State(memory=memory, lost=lost, **state["tables"])
        self._names, self._colours = state["names"], state["colours"]
        self._started = state["started"]

    def frame(self, index: int, rgb: NDArray[np.uint8]) -> TrackedFrame:
        """Return the next frame's objects."""
        state, options = self._state, self._options
        new_scene = self._scene_changes(rgb)
        tracks: Tracks | None = None
        if state.memory is None:
            state.memory = self._tracker.start(rgb)
        else:
            tracks, state.memory = self._tracker.step(state.memory, rgb)
            self._see(tracks, index)
        key = self._words is not None and (
            new_scene or (options.every > 0 and index % options.every == 0)
        )
        masks = {} if tracks is None else dict(zip(tracks.ids, range(len(tracks.ids)), strict=True))
        shown = {
            one: tracks.masks[place]
            for one, place in masks.items()
            if tracks is not None and one in state.words
        }
        if key:
            shown |= self._look(index, rgb, shown)
        if index in self._points:
            shown |= self._start_points(index, rgb)
        return TrackedFrame(index, *self._result(rgb, shown), key)

    def _scene_changes(self, rgb: NDArray[np.uint8]) -> bool:
        """Whether the colours are others than in the frame before; True for the first."""
        import cv2

        small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
        counts = cv2.calcHist([small], [0, 1, 2], None, [6, 6, 6], [0, 256] * 3)
        colours = np.asarray(counts, np.float32).reshape(-1)
        before, self._colours = self._colours, colours
        if before is None:
            return True
        return float(np.corrcoef(before, colours)[0, 1]) < _SCENE

    def _see(self, tracks: Tracks, index: int) -> None:
        """Remember what objects look like; give up those that are not seen for long."""
        state = self._state
        gone = []
        for k, one in enumerate(tracks.ids):
            seen = bool(tracks.masks.areas[k])
            state.unseen[one] = 0 if seen else state.unseen.get(one, 0) + 1
            if seen and tracks.features is not None:
                before = state.features.get(one)
                now = tracks.features[k]
                mixed = now if before is None else 0.9 * before + 0.1 * now
                state.features[one] = mixed / max(1e-9, float(np.linalg.norm(mixed)))
            if state.unseen[one] > 2:
                gone.append(one)
        for one in gone:
            lost = LostObject(one, state.words[one], state.features.get(one), index)
            state.lost.append(lost)
        self._forget(gone)
        state.lost = [one for one in state.lost if index - one.frame <= self._options.patience][
            -4 * self._options.max_objects :
        ]

    def _forget(self, ids: Sequence[int]) -> None:
        state = self._state
        if ids:
            state.memory = self._tracker.drop(state.memory, ids)
        for one in ids:
            for table in (state.words, state.scores, state.unseen, state.features):
                table.pop(one, None)

    def _look(
        self, index: int, rgb: NDArray[np.uint8], shown: dict[int, Masks]
    ) -> dict[int, Masks]:
        """Find the words; return the masks of objects that are new, or known better now."""
        state, options = self._state, self._options
        found = self._segmenter(rgb, self._words)
        self._template, self._names = found, found.words
        found = found[np.flatnonzero(found.scores >= options.min_score)]
        labels = [str(word) for word in found.labels]
        ids = list(shown)
        tracked = Masks.concat(list(shown.values())) if ids else Masks.empty(found.size_hw)
        same = match_by_overlap(
            found.masks, labels, tracked, [state.words[one] for one in ids], options.min_iou
        )
        out: dict[int, Masks] = {}
        for i, j in same.items():
            out[ids[j]] = found.masks[i]
            state.scores[ids[j]] = float(found.scores[i])
        new = [
            i for i in range(len(found)) if i not in same and not _covered(found.masks, i, shown)
        ]
        new = sorted(new, key=lambda i: -float(found.scores[i]))
        for i, one in self._identities(rgb, found.masks, labels, new).items():
            state.words[one] = labels[i]
            state.scores[one] = float(found.scores[i])
            out[one] = found.masks[i]
        self._add(out)
        self._keep_surest()
        return {one: mask for one, mask in out.items() if one in state.words}

    def _identities(
        self, rgb: NDArray[np.uint8], masks: Masks, labels: list[str], new: list[int]
    ) -> dict[int, int]:
        """Return the identity of each new instance: of one that was lost, or the next number."""
        state = self._state
        back: dict[int, int] = {}
        if new and state.lost:
            probe = self._tracker.add(self._tracker.start(rgb), masks[new], list(range(len(new))))
            features = self._tracker.features(probe)
            if features is not None:
                words = [labels[i] for i in new]
                back = match_by_looks(features, words, state.lost, self._options.min_likeness)
        out = {}
        for place, i in enumerate(new):
            if place in back:
                out[i] = state.lost[back[place]].id
            else:
                out[i], state.next_id = state.next_id, state.next_id + 1
        returned = set(back.values())
        state.lost = [one for k, one in enumerate(state.lost) if k not in returned]
        return out

    def _start_points(self, index: int, rgb: NDArray[np.uint8]) -> dict[int, Masks]:
        """Return the masks that points ask for, each an object of its own."""
        from lexiseg.loading import WITH_MASKS, load

        state = self._state
        if self._clicker is None:
            takes_points = hasattr(self._segmenter, "refine")
            self._clicker = self._segmenter if takes_points else load(WITH_MASKS)
        found = self._clicker(rgb, points=self._points[index])
        if self._template is None:
            self._template = found
        out = {}
        for i in range(len(found)):
            self._started += 1
            one, state.next_id = state.next_id, state.next_id + 1
            state.words[one] = f"point {self._started}"
            state.scores[one] = float(found.scores[i])
            out[one] = found.masks[i]
        self._add(out)
        return out

    def _add(self, masks: dict[int, Masks]) -> None:
        if masks:
            together = Masks.concat(list(masks.values()))
            self._state.memory = self._tracker.add(self._state.memory, together, list(masks))

    def _keep_surest(self) -> None:
        state = self._state
        by_score = sorted(state.words, key=lambda one: -state.scores.get(one, 0.0))
        self._forget(by_score[self._options.max_objects :])

    def _result(
        self, rgb: NDArray[np.uint8], shown: dict[int, Masks]
    ) -> tuple[Segmentation, NDArray[np.int64]]:
        state = self._state
        ids = sorted(one for one, mask in shown.items() if mask.areas[0])
        seg = frame_result(
            Masks.concat([shown[one] for one in ids]) if ids else Masks.empty(rgb.shape[:2]),
            [state.words[one] for one in ids],
            [state.scores.get(one, 0.0) for one in ids],
            self._names,
            self._provenance(),
            () if self._template is None else self._template.unknown,
        )
        return seg, np.array(ids, np.int64)

    def _provenance(self) -> Provenance:
        if self._template is None:
            return Provenance(method="track", encoder=self._tracker.name)
        made = self._template.provenance
        return replace(made, masker=self._tracker.name)


def frame_result(
    masks: Masks,
    labels: Sequence[str],
    scores: Sequence[float],
    names: Sequence[str],
    provenance: Provenance,
    unknown: tuple[UnknownWord, ...] = (),
) -> Segmentation:
    """Return what a frame shows: N masks with their words; small ones lie over large ones.

    names: words that were asked for. provenance, unknown: see `Segmentation`.
    """
    words = tuple(dict.fromkeys([*names, *labels])) or ("nothing",)
    label_map = np.full(masks.size_hw, -1, np.int16)
    boxes = masks.boxes_xyxy.tolist()
    for i in np.argsort(-masks.areas, kind="stable").tolist():
        x0, y0, x1, y1 = boxes[i]
        label_map[y0:y1, x0:x1][masks.crop(i)] = words.index(labels[i])
    sure = np.array(scores, np.float32).clip(0, 1)
    word_scores = np.zeros(len(words), np.float32)
    for label, score in zip(labels, sure, strict=True):
        place = words.index(label)
        word_scores[place] = max(word_scores[place], score)
    return Segmentation(
        words=words,
        labels=np.array(labels, np.str_),
        scores=sure,
        masks=masks,
        label_map=label_map,
        word_scores=word_scores,
        unknown=unknown,
        provenance=provenance,
    )


def _covered(masks: Masks, i: int, shown: dict[int, Masks]) -> bool:
    """Whether most of an instance is an object that is followed, under whatever word."""
    if not shown:
        return False
    union = Masks.concat(list(shown.values())).union()
    x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
    inside = union[y0:y1, x0:x1] & masks.crop(i)
    return bool(inside.sum() > 0.7 * masks.areas[i])
