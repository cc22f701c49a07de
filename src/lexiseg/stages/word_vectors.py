"""A vocabulary as vectors in an encoder's space, and the probabilities of its classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.prompts import Example, Vocabulary
from lexiseg.protocols import AttentionEncoder, Encoder, VocabularyAware
from lexiseg.results import UnknownWord
from lexiseg.stages.clipseg_prompts import WAYS, example_pixels
from lexiseg.stages.hierarchy import FLAT, Hierarchy, word_hierarchy
from lexiseg.stages.resample import pad_to_multiple, resize_image, working_size

__all__ = ["WordVectors", "class_probabilities", "unknown_words", "word_vectors"]


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of all queries: a class has one for each of its synonyms.

    vectors: (Q, D), unit length. class_ids: (Q,) int64, the class of each. num_classes: C of the
    vocabulary; some may have no query. background: the class of the background words, or None.
    hierarchy: which classes are parts or kinds of others, and do not compete with them.
    """

    vectors: Tensor
    class_ids: Tensor
    num_classes: int
    background: int | None
    hierarchy: Hierarchy = FLAT


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
    names, background = vocabulary.names, vocabulary.background_class
    vectors, class_ids = _example_vectors(encoder, vocabulary, templates)
    with_examples = set(class_ids)
    queries = [
        query
        for query in vocabulary.queries()
        if query.class_id not in with_examples
        and (query.class_id >= len(names) or names[query.class_id] not in silent)
    ]
    if queries:
        vectors.append(encoder.text([query.text for query in queries], templates))
        class_ids += [query.class_id for query in queries]
    made = torch.cat(vectors)
    if background is not None:
        is_background = np.array(class_ids) == background
        kept = _without_asked(made, is_background, encoder.synonym_threshold)
        made = made[torch.from_numpy(kept).to(made.device)]
        class_ids = [class_ids[row] for row in kept]
    return WordVectors(
        made,
        torch.tensor(class_ids, device=made.device),
        vocabulary.num_classes,
        background,
        word_hierarchy(encoder, vocabulary),
    )


def class_probabilities(cosines: Tensor, words: WordVectors, scale: float) -> Tensor:
    """Return the probability of each class, (C, ...) float32, summing to 1, of (Q, ...) cosines.

    A word's logit is that of its best synonym; the background's is the log-sum of its words'
    exponentials, so that its probability is the sum of theirs. A class without query has 0.
    """
    logits = scale * cosines.float()
    out = logits.new_full((words.num_classes, *logits.shape[1:]), -torch.inf)
    classes = words.class_ids.to(logits.device)
    shape = (-1, *[1] * (logits.ndim - 1))
    out.scatter_reduce_(0, classes.view(shape).expand_as(logits), logits, "amax")
    if words.background is not None:
        others = (classes != words.background).view(shape)
        out[words.background] = logits.masked_fill(others, -torch.inf).logsumexp(0)
    return out.softmax(0)


def unknown_words(encoder: object, vocabulary: Vocabulary) -> tuple[UnknownWord, ...]:
    """Return the words that the encoder does not know; each stands for its best synonym."""
    asked = [
        word
        for i, word in enumerate(vocabulary.words)
        if i != vocabulary.background_index and not word.examples  # a picture says what is meant
    ]
    phrases = [phrase for word in asked for phrase in word.synonyms]
    if not phrases or not isinstance(encoder, VocabularyAware):
        return ()
    unknown = {one.word: one for one in encoder.unknown(phrases)}
    return tuple(
        replace(max((unknown[p] for p in word.synonyms), key=_similarity), word=word.name)
        for word in asked
        if all(phrase in unknown for phrase in word.synonyms)
    )


def _similarity(unknown: UnknownWord) -> float:
    return unknown.similarity


def _without_asked(
    vectors: Tensor, is_background: NDArray[np.bool_], threshold: float
) -> NDArray[np.int64]:
    """Rows of the vectors, without background words as near to an asked word as a synonym.

    All background words stay where none would be left.
    """
    everything, asked = np.arange(len(vectors)), np.flatnonzero(~is_background)
    if len(asked) in (0, len(vectors)):
        return everything
    cosines = vectors @ vectors[torch.from_numpy(asked).to(vectors.device)].T
    nearest = cosines.amax(1).cpu().numpy()
    kept = ~(is_background & (nearest >= threshold))
    return np.flatnonzero(kept) if (kept & is_background).any() else everything


def _example_vectors(
    encoder: Encoder, vocabulary: Vocabulary, templates: Sequence[str]
) -> tuple[list[Tensor], list[int]]:
    """The vectors (1, D) of words that have example images, and their classes.

    A vector is the mean of the examples', mixed with the text's where there are words too.
    """
    vectors, class_ids = [], []
    for class_id, word in enumerate(vocabulary.words):
        if not word.examples:
            continue
        pooled = torch.cat([_pool_example(encoder, example) for example in word.examples])
        vector = F.normalize(pooled.mean(0, keepdim=True), dim=-1)
        if word.synonyms:
            weight = 0.5 if word.weight is None else word.weight
            text = encoder.text(list(word.synonyms), templates).mean(0, keepdim=True)
            vector = weight * F.normalize(text, dim=-1) + (1 - weight) * vector
        vectors.append(F.normalize(vector, dim=-1))
        class_ids.append(class_id)
    return vectors, class_ids


def _pool_example(encoder: Encoder, example: Example) -> Tensor:
    """The vector of an example image, (1, D): what is meant of it is pooled.

    CLIP is given it cropped, its background blurred and darkened.
    """
    size = encoder.size
    ways = WAYS if isinstance(encoder, AttentionEncoder) else ()
    rgb, mask = example_pixels(example, ways)
    if ways:
        pixels = torch.from_numpy(resize_image(rgb, (size.window, size.window)))[None]
        return encoder.pooled(pixels)
    height, width = working_size((rgb.shape[0], rgb.shape[1]), size.short_side)
    padded = pad_to_multiple(resize_image(rgb, (height, width)), size.multiple)
    marked = np.zeros(padded.shape[:2], np.uint8)
    marked[:height, :width] = resize_image(mask.astype(np.uint8) * 255, (height, width))
    inside = marked >= min(128, int(marked.max()))  # a speck stays where it is brightest
    return encoder.pooled(torch.from_numpy(padded)[None], torch.from_numpy(inside)[None])
