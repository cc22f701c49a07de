"""Filling with pieces of the same picture: patches that agree with one another and the rim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexiseg.editing.fills.membrane import membrane

__all__ = ["Exemplar", "fill"]


@dataclass(frozen=True)
class Exemplar:
    """How patches are looked for.

    patch: side of a patch in pixels, odd. rounds: of matching and voting, on the coarsest grid;
        each finer one has one less, down to `last_rounds`. draws: random candidates a round.
    detail: how much of the copied detail is kept over the smooth surface, in [0, 1].
    seed: of the random candidates.
    """

    patch: int = 7
    rounds: int = 8
    last_rounds: int = 2
    draws: int = 4
    detail: float = 1.0
    coarsest: int = 3
    seed: int = 0
    spread: float = 0.75
    last_spread: float = 0.25
    rough: float = 2.0
    fade: float = 1.3
    shift: bool = False


def fill(
    rgb: NDArray[np.uint8],
    hole: NDArray[np.bool_],
    settings: Exemplar = Exemplar(),
    banned: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return rgb, (H, W, 3), with the hole, (H, W), filled; known pixels stay bit by bit.

    The scheme of Wexler, Shechtman and Irani (2007): on a pyramid, each patch that touches the hole
    takes the known patch most like it, found by PatchMatch (Barnes et al. 2009), and pixels become
    the mean of what their patches say. Gradients count beside colours, so that smooth and rough
    texture are told apart (Newson et al. 2014). Last, a smooth surface takes away what differs at
    the rim (Pérez et al. 2003).

    banned: (H, W), further pixels that nothing is copied from.
    """
    import cv2

    known = ~hole if banned is None else ~(hole | banned)
    rng = np.random.default_rng(settings.seed)
    _Field.rough, _Field.fade, _Field.spread, _Field.last_spread = settings.rough, settings.fade, settings.spread, settings.last_spread
    levels = _pyramid(rgb, hole, known, settings)
    field: _Field | None = None
    filled: NDArray[np.float32] | None = None
    for number, level in enumerate(levels):
        if filled is None:
            start = membrane(level.pixels, level.hole)
            if settings.shift:
                lab = cv2.cvtColor(np.clip(level.pixels, 0, 255).astype(np.uint8), cv2.COLOR_RGB2Lab)
                dst = np.zeros_like(lab)
                cv2.setRNGSeed(0)
                cv2.xphoto.inpaint(lab, (~level.hole).astype(np.uint8) * 255, dst, cv2.xphoto.INPAINT_SHIFTMAP)
                start = cv2.cvtColor(dst, cv2.COLOR_Lab2RGB).astype(np.float32)
        else:
            size = (level.hole.shape[1], level.hole.shape[0])
            start = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR)
            start = np.where(level.hole[..., None], start, level.pixels)
        finer = _Field.over(level, settings.patch, rng)
        if finer is None:
            filled = np.asarray(start, np.float32)
            continue
        if field is not None:
            finer.inherit(field)
        last = number == len(levels) - 1
        rounds = max(settings.last_rounds, settings.rounds - number)
        filled = np.asarray(start, np.float32)
        for turn in range(rounds):
            # The inherited field knows more than the blurred enlargement.
            if turn > 0 or field is None:
                finer.match(filled, rng, settings.draws)
            else:
                finer.measure(filled)
            sharp = last and turn == rounds - 1
            filled, ring = finer.vote(filled, sharp=sharp)
        field = finer
    assert filled is not None
    if field is not None:
        filled = _settled(rgb, hole, filled, ring, settings.detail)
    out = np.clip(np.rint(filled), 0, 255).astype(np.uint8)
    return np.where(hole[..., None], out, rgb)


def _settled(rgb, hole, filled, voted, detail):
    """Take what the patches say at the rim to what is there, by a smooth surface."""
    import cv2

    rim = cv2.dilate(hole.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~hole
    inner = hole | ~rim
    difference = np.zeros(rgb.shape, np.float32)
    difference[rim] = rgb[rim].astype(np.float32) - voted[rim]
    ys, xs = np.nonzero(hole | rim)
    box = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))
    part = difference[box]
    unknown = ~rim[box]
    surface = membrane(part, unknown)
    out = filled.copy()
    out[box] += np.where(hole[box][..., None], surface, 0)
    if detail < 1:
        base = membrane(np.where(hole[..., None], 0, rgb).astype(np.float32), hole)
        out = np.where(hole[..., None], base + detail * (out - base), out)
    return out


@dataclass(frozen=True, eq=False)
class _Level:
    pixels: NDArray[np.float32]
    hole: NDArray[np.bool_]
    known: NDArray[np.bool_]


def _pyramid(rgb, hole, known, settings) -> list[_Level]:
    """Halve until the hole is some pixels wide; coarsest first."""
    import cv2

    level = _Level(rgb.astype(np.float32), hole, known)
    levels = [level]
    while True:
        padded = np.pad(level.hole.astype(np.uint8), 1)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3).max()
        height, width = level.hole.shape
        if depth <= settings.coarsest or min(height, width) < 4 * settings.patch:
            break
        size = ((width + 1) // 2, (height + 1) // 2)
        weight = cv2.resize((~level.hole).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        masked = level.pixels * ~level.hole[..., None]
        pixels = cv2.resize(masked, size, interpolation=cv2.INTER_AREA)
        pixels /= np.maximum(weight, 1e-6)[..., None]
        small_hole = weight < 0.5
        usable = cv2.resize(level.known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        level = _Level(pixels, small_hole, (usable > 0.99) & ~small_hole)
        levels.append(level)
    return levels[::-1]


class _Field:
    """For each patch that touches the hole, the known patch that it resembles most."""

    def __init__(self, level: _Level, side: int, centres, sources) -> None:
        self.level = level
        self.side = side
        self.shape = level.hole.shape
        self.centres = centres  # (N, 2) y, x
        self.source_map = sources  # (H, W) bool, a patch around it is wholly known
        self.at = np.full(self.shape, -1, np.int64)
        self.at[centres[:, 0], centres[:, 1]] = np.arange(len(centres))
        radius = side // 2
        grid = np.arange(-radius, radius + 1)
        self.offsets = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)

    @classmethod
    def over(cls, level: _Level, side: int, rng) -> _Field | None:
        import cv2

        radius = side // 2
        kernel = np.ones((side, side), np.uint8)
        sources = cv2.erode(level.known.astype(np.uint8), kernel, borderValue=0).astype(bool)
        sources[:radius] = sources[-radius:] = False
        sources[:, :radius] = sources[:, -radius:] = False
        if not sources.any():
            return None
        touching = cv2.dilate(level.hole.astype(np.uint8), kernel).astype(bool)
        centres = np.argwhere(touching)
        self = cls(level, side, centres, sources)
        pool = np.argwhere(sources)
        self.pool = pool
        self.found = pool[rng.integers(0, len(pool), len(centres))]
        self.cost = np.full(len(centres), np.inf, np.float32)
        # Deep inside counts less than near the rim, where more is known.
        depth = cv2.distanceTransform(level.hole.astype(np.uint8), cv2.DIST_L2, 3)
        self.confidence = cls.fade ** -depth
        return self

    def inherit(self, coarse: _Field) -> None:
        """Start from a coarser field's answers, twice as far away."""
        y = np.minimum(self.centres[:, 0] // 2, coarse.shape[0] - 1)
        x = np.minimum(self.centres[:, 1] // 2, coarse.shape[1] - 1)
        number = coarse.at[y, x]
        has = number >= 0
        move = coarse.found[number[has]] - coarse.centres[number[has]]
        there = self.centres[has] + 2 * move
        there = np.clip(there, 0, np.array(self.shape) - 1)
        good = self.source_map[there[:, 0], there[:, 1]]
        places = np.flatnonzero(has)[good]
        self.found[places] = there[good]

    def _features(self, pixels):
        """Colours and the strength of gradients, reflected past the edge."""
        import cv2

        radius = self.side // 2
        grey = pixels.mean(-1)
        gx = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1))
        gy = np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1))
        rough = cv2.blur(np.stack([gx, gy], -1), (5, 5))
        both = np.concatenate([pixels, self.rough * rough], -1).astype(np.float32)
        return cv2.copyMakeBorder if False else np.pad(
            both, ((radius, radius), (radius, radius), (0, 0)), mode="edge"
        )

    def _gather(self, features, places):
        width = features.shape[1]
        flat = features.reshape(-1, features.shape[2])
        radius = self.side // 2
        centre = (places[:, 0] + radius) * width + places[:, 1] + radius
        steps = self.offsets[:, 0] * width + self.offsets[:, 1]
        return flat[centre[:, None] + steps].reshape(len(places), -1)

    def measure(self, pixels) -> None:
        self._seen = self._features(pixels)
        self._mine = self._gather(self._seen, self.centres)
        self.cost = self._costs(np.arange(len(self.centres)), self.found)

    def _costs(self, which, places):
        apart = self._gather(self._seen, places)
        apart -= self._mine[which]
        return np.einsum("nd,nd->n", apart, apart)

    def _try(self, which, places) -> None:
        """Take candidates where they are known patches and better."""
        inside = (places >= 0).all(1) & (places < np.array(self.shape)).all(1)
        which, places = which[inside], places[inside]
        good = self.source_map[places[:, 0], places[:, 1]]
        good &= (places != self.found[which]).any(1)
        which, places = which[good], places[good]
        if not len(which):
            return
        cost = self._costs(which, places)
        better = cost < self.cost[which]
        self.found[which[better]] = places[better]
        self.cost[which[better]] = cost[better]

    def match(self, pixels, rng, draws: int) -> None:
        """One round of PatchMatch: what neighbours found, moved along; then random places."""
        self.measure(pixels)
        numbers = np.arange(len(self.centres))
        for jump in (4, 1, 2, 1):
            for dy, dx in ((0, jump), (jump, 0), (0, -jump), (-jump, 0)):
                near = self.centres + (dy, dx)
                inside = (near >= 0).all(1) & (near < np.array(self.shape)).all(1)
                near = np.clip(near, 0, np.array(self.shape) - 1)
                other = self.at[near[:, 0], near[:, 1]]
                has = inside & (other >= 0)
                self._try(numbers[has], self.found[other[has]] - (dy, dx))
        reach = max(self.shape)
        for turn in range(draws):
            if turn == 0:
                self._try(numbers, self.pool[rng.integers(0, len(self.pool), len(numbers))])
                continue
            size = max(1.0, reach * 0.35**turn)
            move = np.rint(rng.uniform(-size, size, (len(numbers), 2))).astype(np.int64)
            self._try(numbers, self.found + move)

    def vote(self, pixels, *, sharp: bool):
        """Return pixels with the hole, and what the patches say of all that they cover."""
        height, width = self.shape
        total = np.zeros((height, width, 3), np.float64)
        weights = np.zeros((height, width), np.float64)
        cost = self.cost / self.side**2
        spread = max(float(np.quantile(cost, self.last_spread if sharp else self.spread)), 1.0)
        weight = np.exp(-cost / (2 * spread)) + 1e-6
        weight = weight * self.confidence[self.centres[:, 0], self.centres[:, 1]]
        source = self.level.pixels
        offsets = self.offsets
        if sharp:
            offsets = offsets[np.abs(offsets).max(1) <= 1]
        total = total.reshape(-1, 3)
        weights = weights.reshape(-1)
        for dy, dx in offsets:
            at = self.centres + (dy, dx)
            inside = (at >= 0).all(1) & (at < (height, width)).all(1)
            to = at[inside, 0] * width + at[inside, 1]
            of = self.found[inside] + (dy, dx)
            # Each target is met once: centres differ, and all move alike.
            total[to] += weight[inside, None] * source[of[:, 0], of[:, 1]]
            weights[to] += weight[inside]
        voted = (total / np.maximum(weights, 1e-12)[:, None]).reshape(height, width, 3)
        voted = np.where((weights > 0).reshape(height, width)[..., None], voted, pixels)
        voted = voted.astype(np.float32)
        return np.where(self.level.hole[..., None], voted, self.level.pixels), voted
