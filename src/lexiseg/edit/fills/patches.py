"""For each patch that touches a hole, the known patch that resembles it most: PatchMatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Field", "Level"]

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

_JUMPS = (4, 1)  # how far away a neighbour's answer is tried
_ROUGH = 2.0  # weight of the strength of gradients beside colours (Newson et al. 2014)
_FADE = 1.3  # a patch counts so much less with each pixel into the hole
_DEEPEST = 50.0
_SPREAD = 0.25  # the quantile of all costs at which a patch counts clearly less
_CHUNK = 20_000
_MOST = 150_000  # patches beyond which nothing is searched any more: their field is inherited


@dataclass(frozen=True, eq=False)
class Level:
    """A picture at one scale: colours (H, W, 3) from 0 to 255, its hole and what may be copied."""

    pixels: Floats
    hole: NDArray[np.bool_]
    known: NDArray[np.bool_]


class Field:
    """N patches around and in a hole, and where each copies from.

    centres, found: (N, 2) int64, row and column of a patch's centre and of its counterpart's.
    cost: (N,) float32, squared difference of the two.
    """

    def __init__(self, level: Level, side: int, rng: np.random.Generator) -> None:
        """Start at random places; raises ValueError where no patch of the picture is wholly known.

        side: of a patch, odd.
        """
        import cv2

        self.level, self.side, self.shape = level, side, level.hole.shape
        self._radius = radius = side // 2
        kernel = np.ones((side, side), np.uint8)
        usable = cv2.erode(level.known.astype(np.uint8), kernel, borderValue=0) > 0
        usable[:radius] = usable[-radius:] = False
        usable[:, :radius] = usable[:, -radius:] = False
        self._usable = usable
        self._pool = np.argwhere(usable)
        if not len(self._pool):
            raise ValueError("no patch of the picture is wholly known")
        self.centres = np.argwhere(cv2.dilate(level.hole.astype(np.uint8), kernel) > 0)
        self._number = np.full(self.shape, -1, np.int64)
        self._number[tuple(self.centres.T)] = np.arange(len(self.centres))
        self.found = self._pool[rng.integers(0, len(self._pool), len(self.centres))]
        self.cost = np.full(len(self.centres), np.inf, np.float32)
        grid = np.arange(-radius, radius + 1)
        self._offsets = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
        # Half of a patch's pixels, as on a chess board, tell as much at half the cost.
        self._sampled = self._offsets[self._offsets.sum(1) % 2 == 0]
        depth = cv2.distanceTransform(level.hole.astype(np.uint8), cv2.DIST_L2, 3)
        # Far inside all count alike; powers of hundreds of pixels would vanish.
        self._trust = _FADE ** -np.minimum(depth[tuple(self.centres.T)], _DEEPEST)
        self._features: Floats = np.empty((0, 0, 0), np.float32)
        self._own: Floats | None = None

    def inherit(self, coarse: Field) -> None:
        """Take over the answers of a field at half the scale, where they lead to known patches."""
        place = np.minimum(self.centres // 2, np.array(coarse.shape) - 1)
        number = coarse._number[tuple(place.T)]
        has = np.flatnonzero(number >= 0)
        move = coarse.found[number[has]] - coarse.centres[number[has]]
        there = np.clip(self.centres[has] + 2 * move, 0, np.array(self.shape) - 1)
        good = self._usable[tuple(there.T)]
        self.found[has[good]] = there[good]

    def measure(self, pixels: Floats) -> None:
        """Compare all patches anew, on the picture as it is filled now, (H, W, 3)."""
        self._features = self._describe(pixels)
        self._own = None
        if len(self.centres) <= _MOST:
            self._own = self._gather(self.centres)
        self.cost = self._costs(np.arange(len(self.centres)), self.found)

    def match(self, pixels: Floats, rng: np.random.Generator, draws: int) -> None:
        """One round of PatchMatch (Barnes et al. 2009): neighbours' answers, then random places.

        draws: random places tried: one anywhere, the others ever nearer to the best so far.
        """
        self.measure(pixels)
        if self._own is None:
            return
        everyone = np.arange(len(self.centres))
        for jump in _JUMPS:
            for step in ((0, jump), (jump, 0), (0, -jump), (-jump, 0)):
                near = self.centres + step
                inside = self._inside(near)
                number = self._number[tuple(np.where(inside[:, None], near, 0).T)]
                has = np.flatnonzero(inside & (number >= 0))
                self._try(has, self.found[number[has]] - step)
        for turn in range(draws):
            if turn == 0:
                self._try(everyone, self._pool[rng.integers(0, len(self._pool), len(everyone))])
                continue
            size = max(1.0, max(self.shape) * 0.35**turn)
            move = np.rint(rng.uniform(-size, size, self.centres.shape)).astype(np.int64)
            self._try(everyone, self.found + move)

    def vote(self, *, sharp: bool) -> tuple[Floats, NDArray[np.bool_]]:
        """Return what the patches say, (H, W, 3), and where any of them says something, (H, W).

        Each pixel is the mean over the patches that cover it; good matches count more, and those
        near the rim. sharp: only the middles of patches speak, so that detail is not averaged away.
        """
        height, width = self.shape
        total = np.zeros((height * width, 3), np.float32)
        weights = np.zeros(height * width, np.float32)
        cost = self.cost / len(self._sampled)
        spread = max(float(np.quantile(cost, _SPREAD)), 1.0)
        weight = ((np.exp(-cost / (2 * spread)) + 1e-6) * self._trust).astype(np.float32)
        offsets = self._offsets
        if sharp:
            offsets = offsets[np.abs(offsets).max(1) <= 1]
        source = self.level.pixels.reshape(-1, 3)
        for step in offsets:
            target = self.centres + step
            inside = self._inside(target)
            to = target[inside] @ (width, 1)
            of = (self.found[inside] + step) @ (width, 1)
            # Centres differ and all move alike, so no target comes twice.
            total[to] += weight[inside, None] * source[of]
            weights[to] += weight[inside]
        said = weights > 0
        voted = (total / np.maximum(weights, 1e-30)[:, None]).reshape(height, width, 3)
        return voted.astype(np.float32), said.reshape(height, width)

    def _describe(self, pixels: Floats) -> Floats:
        """Colours and the strength of gradients, repeated past the edge by a patch's radius."""
        import cv2

        grey = np.ascontiguousarray(pixels.mean(-1))
        slopes = [np.abs(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=1)) for dx in (1, 0)]
        rough = cv2.blur(np.stack(slopes, -1), (5, 5))
        both = np.concatenate([pixels, _ROUGH * rough], -1).astype(np.float32)
        border = (self._radius, self._radius)
        return np.pad(both, (border, border, (0, 0)), mode="edge")

    def _gather(self, places: Places) -> Floats:
        """The features of patches, (n, samples * channels)."""
        width, channels = self._features.shape[1:]
        centre = (places + self._radius) @ (width, 1)
        steps = self._sampled @ (width, 1)
        flat = self._features.reshape(-1, channels)
        patches: Floats = flat[centre[:, None] + steps].reshape(len(places), -1)
        return patches

    def _costs(self, which: Places, places: Places) -> Floats:
        """Squared differences of some patches to others, (n,)."""
        out = np.empty(len(which), np.float32)
        for start in range(0, len(which), _CHUNK):
            part = slice(start, start + _CHUNK)
            mine = which[part]
            apart = self._gather(places[part])
            apart -= self._gather(self.centres[mine]) if self._own is None else self._own[mine]
            out[part] = np.einsum("nd,nd->n", apart, apart)
        return out

    def _try(self, which: Places, places: Places) -> None:
        """Take candidates that are known patches and better than what was found before."""
        inside = self._inside(places)
        which, places = which[inside], places[inside]
        good = self._usable[tuple(places.T)] & (places != self.found[which]).any(1)
        which, places = which[good], places[good]
        cost = self._costs(which, places)
        better = cost < self.cost[which]
        self.found[which[better]] = places[better]
        self.cost[which[better]] = cost[better]

    def _inside(self, places: Places) -> NDArray[np.bool_]:
        limit: Any = self.shape
        return np.asarray((places >= 0).all(1) & (places < limit).all(1))
