"""Per-place word scores, and the label map made of them in tiles.

Nothing here holds words times pixels at once: scores live on the encoder's coarse grid, and the
picture is labelled in tiles, one class_id after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.prompts import Example, Vocabulary
from lexiseg.protocols import AttentionEncoder, Encoder
from lexiseg.stages.encoder_windows import Window, pad_to_multiple, resize_image, working_size
from lexiseg.stages.example_prompts import WAYS, example_pixels
from lexiseg.stages.guided_filter import GuidedFilter

__all__ = ["LabelMap", "WordVectors", "label_map", "probabilities", "word_vectors"]

_TILE = 16  # cells a side
_AT_ONCE = 250_000  # pixels, of about 16 floats each while they are labelled (16 MB)
_WIDEST = 8_192  # pixels; cv2.remap counts them in 16 bits


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of all queries, (Q, D), and the class_id of each, (Q,)."""

    vectors: Tensor
    class_ids: Tensor
    count: int  # of class_ids
    background: int | None  # the class_id of the background words


def word_vectors(
    encoder: Encoder,
    vocabulary: Vocabulary,
    templates: Sequence[str],
    silent: Collection[str] = (),
) -> WordVectors:
    """Encode a vocabulary, but for the words named in ``silent``, which get no probability.

    A background word that means the same as an asked or excluded one steps back, as long as
    another background word is left.
    """
    names = vocabulary.names
    queries = [
        q
        for q in vocabulary.queries()
        if q.class_id >= len(names) or names[q.class_id] not in silent
    ]
    parts, class_id_list = _examples(encoder, vocabulary, templates)
    mixed = set(class_id_list)
    queries = [q for q in queries if q.class_id not in mixed]
    if queries:
        parts.append(encoder.text([q.text for q in queries], templates))
    vectors = torch.cat(parts)
    class_ids = torch.tensor(
        [*class_id_list, *(q.class_id for q in queries)], device=vectors.device
    )
    rest = vocabulary.background_class
    if rest is not None:
        is_rest = class_ids == rest
        asked = vectors[~is_rest]
        if len(asked) and bool(is_rest.any()):
            same = (vectors @ asked.T).amax(1) >= encoder.synonym_threshold
            keep = ~(is_rest & same)
            if bool((keep & is_rest).any()):
                vectors, class_ids = vectors[keep], class_ids[keep]
    return WordVectors(vectors, class_ids, vocabulary.num_classes, rest)


def _examples(
    encoder: Encoder, vocabulary: Vocabulary, templates: Sequence[str]
) -> tuple[list[Tensor], list[int]]:
    """The vectors of words that have example pictures: the mean of theirs, mixed with the text's.

    What is meant of a picture is pooled; CLIP sees it cropped, its background blurred and darkened.
    """
    parts, class_ids = [], []
    for class_id, word in enumerate(vocabulary.words):
        if not word.examples:
            continue
        seen = [_pooled(encoder, example) for example in word.examples]
        vector = F.normalize(torch.cat(seen).mean(0, keepdim=True), dim=-1)
        if word.synonyms:
            weight = 0.5 if word.weight is None else word.weight
            text = encoder.text(list(word.synonyms), templates).mean(0, keepdim=True)
            vector = weight * F.normalize(text, dim=-1) + (1 - weight) * vector
        parts.append(F.normalize(vector, dim=-1))
        class_ids.append(class_id)
    return parts, class_ids


def _pooled(encoder: Encoder, example: Example) -> Tensor:
    """The vector of an example picture, (1, D)."""
    size = encoder.size
    ways = WAYS if isinstance(encoder, AttentionEncoder) else ()
    rgb, mask = example_pixels(example, ways)
    if ways:
        side = size.window
        pixels = torch.from_numpy(resize_image(rgb, (side, side)))[None]
        return encoder.pooled(pixels)
    high, wide = working_size((rgb.shape[0], rgb.shape[1]), size.short_side)
    made = pad_to_multiple(resize_image(rgb, (high, wide)), size.multiple)
    marked = np.zeros(made.shape[:2], np.float32)
    marked[:high, :wide] = resize_image(mask.astype(np.uint8) * 255, (high, wide)).astype(
        np.float32
    )
    inside = marked >= min(127.5, float(marked.max()))  # a speck stays where it is brightest
    return encoder.pooled(torch.from_numpy(made)[None], torch.from_numpy(inside)[None])


def probabilities(grid: Tensor, words: WordVectors, scale: float) -> Tensor:
    """Features (h, w, D) -> the probability of each class_id, (O, h, w) float32, summing to 1.

    A word's logit is that of its best synonym; the background's is the log-sum of its words'
    exponentials, so that its probability is the sum of theirs.
    """
    logits = scale * (grid.float() @ words.vectors.T).permute(2, 0, 1)
    out = logits.new_full((words.count, *logits.shape[1:]), -torch.inf)
    order = words.class_ids[:, None, None].expand_as(logits)
    out.scatter_reduce_(0, order, logits, "amax")
    if words.background is not None:
        out[words.background] = logits[words.class_ids == words.background].logsumexp(0)
    return out.softmax(0)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """The winning class_id of every pixel and its probability there.

    class_id: (H, W) int16 or int32, -1 where the winner stays under its threshold.
    score: (H, W) float16 in [0, 1].
    """

    class_id: NDArray[np.int16] | NDArray[np.int32]
    score: NDArray[np.float16]


def label_map(
    maps: Tensor, guide: GuidedFilter, thresholds: NDArray[np.float32] | None = None
) -> LabelMap:
    """Owner probabilities (O, h, w) -> the label map at the guide's size, tile by tile.

    In a tile only classes that win at some place within reach compete: between two places a class
    that is second at both could come first by interpolation alone.
    thresholds: (O,) in [0, 1]; a pixel whose winner scores less gets -1.
    """
    kind = np.int16 if maps.shape[0] < 2**15 else np.int32
    class_id, score = np.empty(guide.size_hw, kind), np.empty(guide.size_hw, np.float16)
    winners, places = np.unique(maps.argmax(0).cpu().numpy(), return_inverse=True)
    chosen = maps[torch.from_numpy(winners).to(maps.device)].cpu().numpy()
    coefficients, reach = guide.fit(chosen), guide.reach
    names = winners.astype(kind)
    for (i0, j0, i1, j1), window in _tiles(guide, places.shape):
        near = places[max(0, i0 - reach) : i1 + reach, max(0, j0 - reach) : j1 + reach]
        rivals = np.unique(near)
        y0, x0, y1, x1 = window
        planes = guide.apply(coefficients[rivals], window)
        best = next(planes)
        who = np.full(best.shape, names[rivals[0]])
        for k, values in zip(rivals[1:], planes, strict=True):
            np.copyto(who, names[k], where=values > best)
            np.maximum(best, values, out=best)
        np.clip(best, 0, 1, out=best)
        if thresholds is not None:
            who[best < thresholds[who]] = -1
        class_id[y0:y1, x0:x1], score[y0:y1, x0:x1] = who, best
    return LabelMap(class_id, score)


def _tiles(guide: GuidedFilter, grid_hw: tuple[int, ...]) -> Iterator[tuple[Window, Window]]:
    """Tiles of the grid, and for each the windows of the picture that lie in it, both y0 x0 y1 x1.

    The windows are small enough to be worked on at once.
    """

    def cuts(cells: int, covered: float, length: int) -> list[tuple[int, int, int, int]]:
        inner = range(_TILE, cells, _TILE)
        pixels = [0, *(min(length, round(c / covered * length)) for c in inner), length]
        starts = [0, *inner]
        return [
            (start, min(start + _TILE, cells), low, high)
            for start, low, high in zip(starts, pixels[:-1], pixels[1:], strict=True)
            if low < high  # a small picture may have no pixel there
        ]

    (h, w), (height, width) = grid_hw, guide.size_hw
    rows = cuts(h, guide.work_hw[0] / guide.cell, height)
    columns = cuts(w, guide.work_hw[1] / guide.cell, width)
    for i0, i1, top, bottom in rows:
        for j0, j1, left, right in columns:
            for x0 in range(left, right, _WIDEST):
                x1 = min(x0 + _WIDEST, right)
                step = max(1, _AT_ONCE // (x1 - x0))
                for y0 in range(top, bottom, step):
                    yield (i0, j0, i1, j1), (y0, x0, min(y0 + step, bottom), x1)
