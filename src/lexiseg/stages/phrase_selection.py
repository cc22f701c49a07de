"""Which instances of its noun a phrase means: by colour, relations, size and place, in this order.

Colours and relations leave what they are true of. Of what is left, sizes and places choose: one
thing for a noun in the singular ("the largest dog", "left player"), so many as are counted ("two
dogs on the left"), and for a plural those that are about as large as the largest, or lie on that
side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lexiseg.masks import Masks
from lexiseg.prompts.phrases import (
    WEARERS,
    Attribute,
    Phrase,
    Relation,
    is_plural,
    singular,
)
from lexiseg.stages.named_colours import (
    BASIC_COLOURS,
    colour_shares,
    has_colour,
    leading_colours,
    wears_colour,
)
from lexiseg.stages.sizes_and_places import lie_there, rank, size_of
from lexiseg.stages.spatial_relations import (
    BELONGING,
    RANKED,
    Shape,
    belongs_to,
    distance,
    is_between,
    relation_holds,
    shapes,
)

__all__ = ["Choice", "Things", "choose"]

# Parts of the area of a noun's largest instance, and of its best score: what is less than both
# latter ones is a piece of something, and what is less than the first too, unless it scores well,
# covers so much of the picture, and is so many times the reach of a touch away from larger ones.
# By failures on train photos.
_FRAGMENT, _SMALL, _WEAK = 0.04, 0.2, 0.88
_SPECK, _APART = 0.002, 2
_ALIKE = 0.5  # of the largest one's area: about as large
_SAME = 0.5  # IoU of two masks that are the same thing
_ONE_OF = 0.15  # of a thing that is "black and white"
# What belongs to its thing so closely that it is a part of its mask.
_PARTS = frozenset({
    "hat", "cap", "helmet", "shirt", "t-shirt", "jacket", "coat", "dress", "skirt", "pants",
    "jeans", "shorts", "shoes", "boots", "sneakers", "socks", "glasses", "sunglasses", "scarf",
    "tie", "suit", "sweater", "hoodie", "vest", "uniform", "gloves", "belt", "watch", "necklace",
    "hair", "beard", "face", "tail", "ear", "ears", "eyes", "nose", "collar", "stripes", "wheel",
    "wheels", "top", "blouse", "cardigan", "blazer", "swimwear", "earrings", "clothes",
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Things:
    """The N instances in which phrases choose.

    rgb: (H, W, 3) uint8. masks, scores: of the instances. by_noun: noun -> its instances.
    """

    rgb: NDArray[np.uint8]
    masks: Masks
    scores: NDArray[np.float32]
    by_noun: dict[str, list[int]]

    def of(self, noun: str) -> list[int]:
        """The instances of a noun, in the singular or the plural."""
        return self.by_noun.get(noun) or self.by_noun.get(singular(noun), [])

    @cached_property
    def shapes(self) -> list[Shape]:
        return shapes(self.masks)

    @cached_property
    def _shares(self) -> dict[int, NDArray[np.float64]]:
        return {}

    def colours(self, i: int) -> NDArray[np.float64]:
        """The shares of the basic colours in an instance."""
        if i not in self._shares:
            x0, y0, x1, y1 = self.masks.boxes_xyxy[i].tolist()
            self._shares[i] = colour_shares(self.rgb[y0:y1, x0:x1], self.masks.crop(i))
        return self._shares[i]


@dataclass(frozen=True)
class Choice:
    """What a noun phrase means: the instances kept, what is part of each, and what was dropped.

    kept: instances. parts: instance -> others that belong into its mask. dropped: instance ->
    reason. reason: why none is kept, None where some are. by_whole: the whole phrase said which.
    """

    kept: tuple[int, ...]
    parts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    dropped: dict[int, str] = field(default_factory=dict)
    reason: str | None = None
    by_whole: bool = False


def choose(
    phrase: Phrase, things: Things, whole: Callable[[], NDArray[np.bool_]] | None = None
) -> Choice:
    """Return the instances that a phrase without ``others`` means; not for ``EVERYTHING``.

    whole: returns where a model sees the phrase as a whole, (H, W). It is asked where the other
    noun of a relation was not found, so that masks cannot say; instances half there are meant.
    """
    return _Chooser(phrase, things, whole).choose()


class _Chooser:
    """The instances that are left while one phrase is applied, and why the others went."""

    def __init__(
        self, phrase: Phrase, things: Things, whole: Callable[[], NDArray[np.bool_]] | None
    ) -> None:
        self.phrase, self.things, self.whole = phrase, things, whole
        self.by_whole = False
        self.left = list(things.of(phrase.head))
        self.total = len(self.left)
        self.dropped: dict[int, str] = {}
        self.parts: dict[int, tuple[int, ...]] = {}
        self.reason: str | None = None

    def choose(self) -> Choice:
        phrase = self.phrase
        if not self.left:
            self.reason = f"no {singular(phrase.head)} was found"
        sizes = [one for one in phrase.attributes if one.kind == "size"]
        places = [one for one in phrase.attributes if one.kind in ("position", "order")]
        if phrase.attributes or phrase.relations or phrase.count is not None:
            self._drop_fragments()
        for attribute in phrase.attributes:
            if attribute.kind == "colour":
                self._keep_colour(attribute)
        for relation in phrase.relations:
            self._keep_related(relation)
        for excluded in phrase.but_not:
            self._drop_excluded(excluded)
        ranked = [*places, *sizes]
        for attribute in ranked:
            self._keep_ranked(attribute, last=attribute is ranked[-1])
        self._keep_count()
        kept = tuple(self.left)
        parts = {i: self.parts[i] for i in kept if i in self.parts}
        reason = None if kept else self.reason
        return Choice(kept, parts, self.dropped, reason, self.by_whole and bool(kept))

    # Colour

    def _keep_colour(self, attribute: Attribute) -> None:
        noun = singular(self.phrase.head).casefold()
        worn = noun in WEARERS
        wanted = str(attribute).removeprefix("not ")

        def fits(i: int) -> bool:
            shares = self.things.colours(i)
            if worn:
                shown = [wears_colour(shares, c) for c in attribute.values]
            elif len(attribute.values) > 1 and not attribute.any:
                shown = [shares[BASIC_COLOURS.index(c)] >= _ONE_OF for c in attribute.values]
            else:
                shown = [has_colour(shares, c, noun) for c in attribute.values]
            return (any(shown) if attribute.any else all(shown)) is not attribute.negated

        def why(i: int) -> str:
            colours = leading_colours(self.things.colours(i))
            return f"{'is ' if attribute.negated else 'not '}{wanted}: {colours}"

        self._keep(fits, why, f"not {wanted}" if attribute.negated else wanted, colours=True)

    # Relations

    def _keep_related(self, relation: Relation) -> None:
        if not self.left:
            return
        wanted = str(relation)
        holds: list[set[int]] = []  # for each of the relation's things: of which instances it holds
        missing: list[str] = []
        for thing in relation.objects:
            chosen = choose(thing, self.things)
            others = list(chosen.kept)
            if relation.name in BELONGING:
                others = [i for i in others if i not in self.left]
            if not others:
                missing.append(chosen.reason or f"no other {thing.head} was found")
            holds.append(self._related(relation, thing, others))
        if relation.name == "between" and len(relation.objects) > 1:
            holds = [self._between([choose(one, self.things).kept for one in relation.objects])]
        met = set.union(*holds) if relation.any else set.intersection(*holds)
        if relation.negated:
            self._keep(lambda i: i not in met, lambda _: f"not {wanted}", wanted)
        elif missing and not met and (seen := self._seen_whole()):
            self.by_whole = True
            self._keep(lambda i: i in seen, lambda _: f"not {wanted}", wanted)
        elif missing and not met:
            self._keep(lambda _: False, lambda _: missing[0], "", whole=missing[0])
        else:
            self._keep(lambda i: i in met, lambda _: f"not {wanted}", wanted)

    def _seen_whole(self) -> set[int]:
        """The instances that a model, asked for the whole phrase, sees."""
        if self.whole is None:
            return set()
        where, masks = self.whole(), self.things.masks
        seen = set()
        for i in self.left:
            x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
            inside = int(np.count_nonzero(where[y0:y1, x0:x1] & masks.crop(i)))
            if inside >= _SAME * masks.areas[i]:
                seen.add(i)
        return seen

    def _related(self, relation: Relation, thing: Phrase, others: Sequence[int]) -> set[int]:
        name, at = relation.name, self.things.shapes
        noun = thing.head.casefold()
        if name == "between":
            return self._between([others, others])
        if name == "of":
            owners = belongs_to([at[i] for i in others], [at[i] for i in self.left])
            return {i for i, owner in zip(self.left, owners, strict=True) if owner >= 0}
        if name in BELONGING or (name == "in" and noun in _PARTS):
            met = set()
            owners = belongs_to([at[i] for i in self.left], [at[i] for i in others])
            for other, owner in zip(others, owners, strict=True):
                if owner >= 0:
                    i = self.left[owner]
                    met.add(i)
                    if noun in _PARTS and not relation.negated:
                        self.parts[i] = (*self.parts.get(i, ()), other)
            return met
        if name in RANKED:
            apart = {
                i: min(distance(at[i], at[j]) for j in others if j != i)
                for i in self.left
                if set(others) - {i}
            }
            order = sorted(apart, key=lambda i: apart[i], reverse=name == "farthest from")
            return set(order[: self.phrase.count or 1])
        return {
            i
            for i in self.left
            if any(relation_holds(name, at[i], at[j]) for j in others if j != i)
        }

    def _between(self, sides: Sequence[Iterable[int]]) -> set[int]:
        at = self.things.shapes
        first, second, *_ = sides
        pairs = [(j, k) for j in first for k in second if j != k]
        return {
            i
            for i in self.left
            if any(i not in pair and is_between(at[i], *(at[j] for j in pair)) for pair in pairs)
        }

    # Exclusions

    def _drop_excluded(self, excluded: Phrase) -> None:
        chosen = choose(excluded, self.things).kept
        if not chosen or not self.left:
            return
        same = set(chosen)
        iou = self.things.masks[self.left].iou(self.things.masks[list(chosen)])
        same |= {i for i, row in zip(self.left, iou, strict=True) if (row >= _SAME).any()}
        whole = f"{self._counted(len(self.left))}, none but {excluded}"
        self._keep(lambda i: i not in same, lambda _: f"is {excluded}", "", whole=whole)

    # Size and place

    def _drop_fragments(self) -> None:
        areas = self.things.masks.areas
        scores = self.things.scores
        largest = max((int(areas[i]) for i in self.left), default=0)
        best = max((float(scores[i]) for i in self.left), default=0.0)

        def fits(i: int) -> bool:
            strong = bool(scores[i] >= _WEAK * best)
            if areas[i] < _FRAGMENT * largest:  # a far one stands apart
                return strong and self._stands_apart(i)
            return strong or bool(areas[i] >= _SMALL * largest)

        self._keep(fits, lambda _: "a fragment", "")
        self.total = len(self.left)

    def _stands_apart(self, i: int) -> bool:
        """Whether it is no speck, and no larger thing of its noun is near."""
        at = self.things.shapes
        if self.things.masks.areas[i] < _SPECK * np.prod(self.things.masks.size_hw):
            return False
        larger = [at[j] for j in self.left if at[j].area > at[i].area]
        return all(distance(at[i], one) > _APART * at[i].reach for one in larger)

    def _keep_ranked(self, attribute: Attribute, *, last: bool) -> None:
        """Apply a size or a place; ``last``: it chooses, and is not only a part of the picture."""
        if not self.left:
            return
        plural, count = is_plural(self.phrase.head), self.phrase.count
        wanted, value = str(attribute).removeprefix("not "), attribute.values[0]
        masks = self.things.masks
        alone = len(self.left) == 1 and count is None
        part = alone or attribute.negated or (plural and count is None)
        if attribute.kind == "position" and (part or not last):
            self._keep_part(attribute)
            return
        if attribute.kind == "size" and value in ("big", "small", "tall") and plural and not count:
            sizes = np.array([abs(size_of(masks, value, i)) for i in self.left])
            limit = _ALIKE * sizes.max()
            fits = sizes <= limit if value == "small" else sizes >= limit
            ok = {i for i, good in zip(self.left, fits.tolist(), strict=True) if good}
            self._keep(
                lambda i: (i in ok) is not attribute.negated, lambda _: f"not {wanted}", wanted
            )
            return
        order = rank(masks, attribute, self.left)
        number = count or 1
        if plural and count is None and attribute.kind == "size":  # "the largest dogs"
            values = [abs(size_of(masks, value, i)) for i in order]
            number = sum(min(values[0], v) >= _ALIKE * max(values[0], v) for v in values)
        first = attribute.place - 1 if attribute.place else max(0, len(order) - number)
        chosen = set(order[first : first + number])
        if not chosen:
            whole = f"{self._counted(len(order))}, so none is {wanted}"
            self._keep(lambda _: False, lambda _: f"not {wanted}", wanted, whole=whole)
            return
        self._keep(
            lambda i: (i in chosen) is not attribute.negated, lambda _: f"not {wanted}", wanted
        )

    def _keep_part(self, attribute: Attribute) -> None:
        """Keep what lies in a part of the picture."""
        there = lie_there(self.things.masks, attribute.values, self.left)
        wanted = str(attribute).removeprefix("not ")
        self._keep(
            lambda i: (i in there) is not attribute.negated, lambda _: f"not {wanted}", wanted
        )

    def _keep_count(self) -> None:
        count = self.phrase.count
        if count is None or not self.left or len(self.left) == count:
            return
        if len(self.left) < count:
            whole = f"{self._counted(len(self.left))}, not {count}"
            self._keep(lambda _: False, lambda _: "too few", "", whole=whole)
            return
        areas, scores = self.things.masks.areas, self.things.scores
        order = sorted(self.left, key=lambda i: -float(scores[i]) * float(areas[i]) ** 0.5)
        best = set(order[:count])
        self._keep(lambda i: i in best, lambda _: f"{count} others fit better", "")

    # What they share

    def _counted(self, number: int) -> str:
        noun = self.phrase.head if number == 1 else _plural(self.phrase.head)
        return f"{number} {singular(noun) if number == 1 else noun}"

    def _keep(
        self,
        fits: Callable[[int], bool],
        why: Callable[[int], str],
        wanted: str,
        *,
        whole: str | None = None,
        colours: bool = False,
    ) -> None:
        """Drop what does not fit. whole: the reason where none is left."""
        if not self.left:
            return
        kept = [i for i in self.left if fits(i)]
        gone = [i for i in self.left if i not in kept]
        self.dropped |= {i: why(i) for i in gone}
        if not kept:
            none = "not" if len(gone) == 1 else "none of them"
            self.reason = whole or f"{self._counted(len(gone))}, {none} {wanted}"
            if colours and whole is None:
                shown = (leading_colours(self.things.colours(i)) for i in gone)
                self.reason += f": {', '.join(dict.fromkeys(shown))}"
        self.left = kept


def _plural(noun: str) -> str:
    if is_plural(noun) or noun.endswith("s"):
        return noun
    return {"person": "people", "man": "men", "woman": "women"}.get(noun, f"{noun}s")
