"""From what was found of nouns to what phrases mean: a result over the words that were asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.prompts import Vocabulary
from lexiseg.prompts.phrases import (
    EVERYTHING,
    Dropped,
    Phrase,
    PhraseReading,
    PhraseVocabulary,
    whole_vocabulary,
)
from lexiseg.results import Provenance, ScoreMap, Segmentation, UnknownWord
from lexiseg.stages.label_map import Labels, map_labels
from lexiseg.stages.phrase_selection import Choice, Things, choose

__all__ = ["select_phrases"]


def select_phrases(
    found: Segmentation,
    asked: PhraseVocabulary,
    rgb: NDArray[np.uint8],
    thresholds: Mapping[str, float],
    segment: Callable[[Vocabulary], Segmentation] | None = None,
) -> Segmentation:
    """Return what the phrases of a vocabulary mean, of what was found of its nouns.

    found: over ``asked.nouns``. rgb: (H, W, 3), the image. thresholds: word -> what its instances
    must score. segment: asks the model for phrases as wholes, where masks of nouns cannot say which
    instances stand to something else. Words that are no phrases stay as they are. In the label map
    a phrase lies over its noun, and the first phrase over later ones; "everything but" lies below
    all other words.
    """
    return _Selection(found, asked, rgb, thresholds, segment).result()


class _Selection:
    def __init__(
        self,
        found: Segmentation,
        asked: PhraseVocabulary,
        rgb: NDArray[np.uint8],
        thresholds: Mapping[str, float],
        segment: Callable[[Vocabulary], Segmentation] | None,
    ) -> None:
        self.found, self.asked, self.thresholds = found, asked, thresholds
        self.segment = segment
        by_class = [np.flatnonzero(found.labels == name).tolist() for name in found.words]
        by_noun = {noun: by_class[k] for noun, k in asked.classes.items()}
        self.things = Things(rgb, found.masks, found.scores, by_noun)
        self.words = asked.vocabulary.names
        # Of each word: its instances' masks and scores.
        self.masks: list[Masks] = []
        self.scores: list[NDArray[np.float32]] = []
        self.origin: list[NDArray[np.int64]] = []
        self.readings: list[PhraseReading] = []

    def result(self) -> Segmentation:
        found, words = self.found, self.words
        classes = [found.words.index(w) if w not in self.asked.phrases else -1 for w in words]
        # Labels of nouns -> labels of the words that are no phrases; -1, the last, stays.
        to_words = np.full(len(found.words) + 1, -1, np.int64)
        for k, class_id in enumerate(classes):
            if class_id >= 0:
                to_words[class_id] = k
        labels = map_labels(found.label_map, to_words).copy()
        regions: list[NDArray[np.bool_]] = []  # of each word, what lies under others too
        for k, word in enumerate(words):
            if classes[k] >= 0:
                own = np.flatnonzero(found.labels == word)
                self._add(found.masks[own], found.scores[own], own)
                regions.append(self._noun_region(classes[k]))
            else:
                regions.append(self._phrase(word))
        for k in reversed(range(len(words))):
            terms = self.asked.phrases.get(words[k], ())
            free = labels < 0
            for noun in {self.asked.classes[one.head] for one in terms if one.head != EVERYTHING}:
                free |= found.label_map == noun  # else a finer word, such as a face, is shown there
            if terms:
                labels[regions[k] & free] = k
        hidden = self._excluded()
        if hidden is not None:
            labels[hidden] = -1
            regions = [region & ~hidden for region in regions]
        wholes = {
            word: Masks.from_dense(region[None])
            for k, (word, region) in enumerate(zip(words, regions, strict=True))
            if region.any() and (labels[region] != k).any()
        }
        return self._segmentation(labels, hidden, classes, wholes)

    def _noun_region(self, class_id: int) -> NDArray[np.bool_]:
        """All pixels of a noun, (H, W) bool, those under finer nouns too."""
        whole = self.found.wholes.get(self.found.words[class_id])
        own: NDArray[np.bool_] = self.found.label_map == class_id
        return own if whole is None else own | whole.union()

    def _add(self, masks: Masks, scores: NDArray[np.float32], origin: NDArray[np.int64]) -> None:
        self.masks.append(masks)
        self.scores.append(scores)
        self.origin.append(origin)

    def _phrase(self, word: str) -> NDArray[np.bool_]:
        """Take the instances of a phrase; return its region, (H, W) bool."""
        found, terms = self.found, self.asked.phrases[word]
        limit = self.thresholds.get(word, 0.0)
        region = np.zeros(found.size_hw, np.bool_)
        kept: dict[int, Masks] = {}
        dropped: dict[int, str] = {}
        reasons: list[str] = []
        count = 0
        by_whole = False
        for term in terms:
            if term.head == EVERYTHING:
                whole = self._everything(term)
                region |= whole
                if whole.any():
                    kept[-1 - len(kept)] = Masks.from_dense(whole[None])
                else:
                    reasons.append("nothing else was found")
                continue
            choice = self._choose(term, word if len(terms) == 1 else str(term))
            by_whole |= choice.by_whole
            count += len(self.things.of(term.head))
            weak = [i for i in choice.kept if found.scores[i] < limit]
            strong = [i for i in choice.kept if i not in weak]
            dropped |= choice.dropped
            dropped |= dict.fromkeys(weak, f"scores less than {limit:g}")
            if choice.reason or (weak and not strong):
                reasons.append(choice.reason or f"none scores {limit:g}")
            kept |= {i: self._with_parts(i, choice) for i in strong}
            region |= self._region(term, choice, strong)
        order = sorted(kept, key=lambda i: -float(found.scores[i]) if i >= 0 else -2)
        scores = [float(found.scores[i]) if i >= 0 else 1.0 for i in order]
        origin = np.array([i if i >= 0 else -1 for i in order], np.int64)
        masks = [kept[i] for i in order]
        self._add(
            Masks.concat(masks) if masks else Masks.empty(found.size_hw),
            np.array(scores, np.float32),
            origin,
        )
        self.readings.append(
            PhraseReading(
                phrase=word,
                read_as=" and ".join(map(str, terms)),
                nouns=tuple(dict.fromkeys(noun for term in terms for noun in term.nouns())),
                num_instances=count,
                num_kept=len(kept),
                dropped=tuple(
                    Dropped(_box(found.masks, i), float(found.scores[i]), reason)
                    for i, reason in sorted(dropped.items())
                    if i not in kept
                ),
                reason=None if kept else "; ".join(reasons),
                by_whole=by_whole and bool(kept),
            )
        )
        return region

    def _choose(self, term: Phrase, text: str) -> Choice:
        segment = self.segment
        if segment is None or not term.relations:
            return choose(term, self.things)

        def whole() -> NDArray[np.bool_]:
            return segment(whole_vocabulary(self.asked.vocabulary, term, text)).mask(text)

        return choose(term, self.things, whole)

    def _with_parts(self, i: int, choice: Choice) -> Masks:
        """The mask of an instance, with what is a part of it: a hat that is worn."""
        parts = choice.parts.get(i, ())
        if not parts:
            return self.found.masks[i]
        return Masks.from_dense(self.found.masks[[i, *parts]].union()[None])

    def _region(self, term: Phrase, choice: Choice, kept: Sequence[int]) -> NDArray[np.bool_]:
        """Where a noun phrase is, (H, W) bool: of its noun's pixels those of what is kept."""
        own = self._noun_region(self.asked.classes[term.head])
        parts = [part for i in kept for part in choice.parts.get(i, ())]
        if choice.dropped or len(kept) < len(choice.kept):
            own &= self.found.masks[list(kept)].union()
        elif not kept:
            own[:] = False
        if parts:
            own |= self.found.masks[parts].union()
        return own

    def _everything(self, phrase: Phrase) -> NDArray[np.bool_]:
        """All pixels but those of what is excluded, (H, W) bool."""
        out = np.ones(self.found.size_hw, np.bool_)
        for excluded in phrase.but_not:
            choice = choose(excluded, self.things)
            out &= ~self._region(excluded, choice, choice.kept)
        return out

    def _excluded(self) -> NDArray[np.bool_] | None:
        """Where the vocabulary's excluded phrases are, (H, W) bool; None where there are none."""
        if not self.asked.excluded:
            return None
        out = np.zeros(self.found.size_hw, np.bool_)
        for term in self.asked.excluded:
            if term.head == EVERYTHING:
                out |= self._everything(term)
                continue
            choice = choose(term, self.things)
            out |= self._region(term, choice, choice.kept)
        return out

    def _segmentation(
        self,
        labels: Labels,
        hidden: NDArray[np.bool_] | None,
        classes: Sequence[int],
        wholes: dict[str, Masks],
    ) -> Segmentation:
        found, words = self.found, self.words
        names = np.repeat(np.array(words, np.str_), [len(masks) for masks in self.masks])
        masks = Masks.concat(self.masks)
        scores, origin = np.concatenate(self.scores), np.concatenate(self.origin)
        quality = found.quality
        if quality is not None:
            quality = np.where(origin >= 0, quality[origin] if len(quality) else 0, 1)
            quality = quality.astype(np.float32)
        present = {*np.unique(labels).tolist(), *(words.index(word) for word in wholes)}
        word_scores = np.zeros(len(words), np.float32)
        for k in range(len(words)):
            own = scores[names == words[k]]
            best = float(own.max()) if len(own) else 0.0
            word_scores[k] = found.word_scores[classes[k]] if classes[k] >= 0 else best
            word_scores[k] *= k in present
        out = replace(
            found,
            words=words,
            labels=names,
            scores=scores,
            quality=quality,
            masks=masks,
            label_map=labels,
            word_scores=word_scores,
            unknown=self._unknown(),
            score_map=self._score_map(classes),
            readings=tuple(self.readings),
            wholes=wholes,
            provenance=self._provenance(origin),
        )
        if hidden is None:
            return out
        visible = masks.within(~hidden)
        return replace(out, masks=visible)[np.flatnonzero(visible.areas)]

    def _unknown(self) -> tuple[UnknownWord, ...]:
        """The unknown nouns under the names of the words that are about them."""
        by_noun = {one.word: one for one in self.found.unknown}
        out = []
        for word in self.words:
            nouns = [word]
            for term in self.asked.phrases.get(word, ()):
                nouns += [
                    self.found.words[self.asked.classes[n]] for n in term.nouns() if n != EVERYTHING
                ]
            first = next((by_noun[noun] for noun in nouns if noun in by_noun), None)
            if first is not None:
                out.append(replace(first, word=word))
        return tuple(out)

    def _score_map(self, classes: Sequence[int]) -> ScoreMap | None:
        """The probabilities of the words; a phrase has its noun's, where its instances are nearest.

        Where it means none, it has its noun's everywhere: so one can look for the reason.
        """
        maps = self.found.score_map
        if maps is None:
            return None
        size = maps.grid.shape[1:]
        grids = []
        for k, word in enumerate(self.words):
            if classes[k] >= 0:
                grids.append(maps.grid[classes[k]])
                continue
            grid = np.zeros(size, np.float16)
            for term in self.asked.phrases[word]:
                if term.head == EVERYTHING:
                    taken = [maps.grid[self.asked.classes[one.head]] for one in term.but_not]
                    own = 1 - np.sum(taken, 0, dtype=np.float32).clip(0, 1)
                else:
                    own = maps.grid[self.asked.classes[term.head]] * self._nearest(term, size)
                grid = np.maximum(grid, own).astype(np.float16)
            grids.append(grid)
        return ScoreMap(np.stack(grids), maps.size_hw)

    def _nearest(self, term: Phrase, size_hw: tuple[int, ...]) -> NDArray[np.bool_]:
        """The cells that are nearer to an instance that is meant than to another, (h, w) bool."""
        import cv2

        kept = choose(term, self.things).kept
        others = [i for i in self.things.of(term.head) if i not in kept]
        if not kept or not others:
            return np.ones(size_hw, np.bool_)
        far = []
        for chosen in (list(kept), others):
            mask = self.found.masks[chosen].union().astype(np.uint8)
            small = cv2.resize(mask, size_hw[::-1], interpolation=cv2.INTER_AREA)
            far.append(cv2.distanceTransform((small == 0).view(np.uint8), cv2.DIST_L2, 3))
        nearer: NDArray[np.bool_] = far[0] <= far[1]
        return nearer

    def _provenance(self, origin: NDArray[np.int64]) -> Provenance:
        made = self.found.provenance
        prompts = made.prompts
        if prompts is None or prompts.boxes_xyxy is None:
            return made
        if len(prompts.boxes_xyxy) != len(self.found) or (origin < 0).any():
            return made
        boxes = tuple(prompts.boxes_xyxy[i] for i in origin.tolist())
        return replace(made, prompts=replace(prompts, boxes_xyxy=boxes))


def _box(masks: Masks, i: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
    return x0, y0, x1, y1
