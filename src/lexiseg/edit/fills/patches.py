"""For each patch that touches a hole, the known patch that resembles it most: PatchMatch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Level", "PatchField"]

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

_JUMPS = (4, 1)  # how far away a neighbour's source is tried
_GRADIENT_WEIGHT = 2.0  # of the strength of gradients beside colours (Newson et al. 2014)
_FADE = 1.3  # a patch counts so much less with each pixel into the hole
_DEEPEST = 50.0
_SPREAD = 0.25  # the quantile of all costs at which a patch counts clearly less
_CHUNK = 20_000
_MAX_SEARCHED = 150_000  # patches beyond which nothing is searched: their sources are inherited


@dataclass(frozen=True, eq=False)
class Level:
    """A picture at one scale: colours (H, W, 3) from 0 to 255, its hole and what may be copied."""

    pixels: Floats
    hole: NDArray[np.bool_]
    known: NDArray[np.bool_]


class PatchField:
    """N patches around and in a hole, and where each copies from (a nearest-neighbour field).

    centres, sources: (N, 2) int64, row and column of a patch's centre and of its source's.
    costs: (N,) float32, squared difference of the two.
    """

    def __init__(self, level: Level, side: int, rng: np.random.Generator) -> None:
        """Start at random places; raises ValueError where no patch of the picture is wholly known.

        side: of a patch, odd.
        """
        import cv2

        self.level, self.side, self.shape = level, side, level.hole.shape
        self._radius = radius = side // 2
        kernel = np.ones((side, side), np.uint8)
        copyable = cv2.erode(level.known.astype(np.uint8), kernel, borderValue=0) > 0
        copyable[:radius] = copyable[-radius:] = False
        copyable[:, :radius] = copyable[:, -radius:] = False
        self._copyable = copyable
        self._candidates = np.argwhere(copyable)
        if not len(self._candidates):
            raise ValueError("no patch of the picture is wholly known")
        self.centres = np.argwhere(cv2.dilate(level.hole.astype(np.uint8), kernel) > 0)
        self._number = np.full(self.shape, -1, np.int64)
        self._number[tuple(self.centres.T)] = np.arange(len(self.centres))
        self.sources = self._candidates[rng.integers(0, len(self._candidates), len(self.centres))]
        self.costs = np.full(len(self.centres), np.inf, np.float32)
        grid = np.arange(-radius, radius + 1)
        self._offsets = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
        # Half of a patch's pixels, as on a chess board, tell as much at half the cost.
        self._sampled = self._offsets[self._offsets.sum(1) % 2 == 0]
        depth = cv2.distanceTransform(level.hole.astype(np.uint8), cv2.DIST_L2, 3)
        # Far inside all count alike; powers of hundreds of pixels would vanish.
        self._trust = _FADE ** -np.minimum(depth[tuple(self.centres.T)], _DEEPEST)
        self._features: Floats = np.empty((0, 0, 0), np.float32)
        self._own: Floats | None = None

    def inherit(self, coarse: PatchField) -> None:
        """Take over the sources of a field at half the scale, where they lead to known patches."""
        place = np.minimum(self.centres // 2, np.array(coarse.shape) - 1)
        number = coarse._number[tuple(place.T)]
        has = np.flatnonzero(number >= 0)
        move = coarse.sources[number[has]] - coarse.centres[number[has]]
        there = np.clip(self.centres[has] + 2 * move, 0, np.array(self.shape) - 1)
        good = self._copyable[tuple(there.T)]
        self.sources[has[good]] = there[good]

    def measure(self, pixels: Floats) -> None:
        """Compare all patches anew, on the picture as it is filled now, (H, W, 3)."""
        self._features = self._describe(pixels)
        self._own = None
        if len(self.centres) <= _MAX_SEARCHED:
            self._own = self._gather(self.centres)
        self.costs = self._differences(np.arange(len(self.centres)), self.sources)

    def search(self, pixels: Floats, rng: np.random.Generator, draws: int) -> None:
        """One round of PatchMatch (Barnes et al. 2009): neighbours' sources, then random places.

        draws: random places tried: one anywhere, the others ever nearer to the best so far.
        """
        self.measure(pixels)
        if self._own is None:
            return
        for jump in _JUMPS:
            for step in ((0, jump), (jump, 0), (0, -jump), (-jump, 0)):
                near = self.centres + step
                inside = self._inside(near)
                number = self._number[tuple(np.where(inside[:, None], near, 0).T)]
                has = np.flatnonzero(inside & (number >= 0))
                self._try(has, self.sources[number[has]] - step)
        patches, candidates = np.arange(len(self.centres)), self._candidates
        for turn in range(draws):
            if turn == 0:
                self._try(patches, candidates[rng.integers(0, len(candidates), len(patches))])
                continue
            size = max(1.0, max(self.shape) * 0.35**turn)
            move = np.rint(rng.uniform(-size, size, self.centres.shape)).astype(np.int64)
            self._try(patches, self.sources + move)

    def vote(self, *, sharp: bool) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the mean over the patches at each pixel, (H, W, 3), and where one is, (H, W).

        Good matches count more, and patches near the rim. sharp: only the middles of patches count,
        so that detail is not averaged away.
        """
        height, width = self.shape
        total = np.zeros((height * width, 3), np.float32)
        weights = np.zeros(height * width, np.float32)
        cost = self.costs / len(self._sampled)
        spread = max(float(np.quantile(cost, _SPREAD)), 1.0)
        weight = ((np.exp(-cost / (2 * spread)) + 1e-6) * self._trust).astype(np.float32)
        offsets = self._offsets
        if sharp:
            offsets = offsets[np.abs(offsets).max(1) <= 1]
        pixels = self.level.pixels.reshape(-1, 3)
        for step in offsets:
            target = self.centres + step
            inside = self._inside(target)
            to = target[inside] @ (width, 1)
            of = (self.sources[inside] + step) @ (width, 1)
            # Centres differ and all move alike, so no target comes twice.
            total[to] += weight[inside, None] * pixels[of]
            weights[to] += weight[inside]
        mean = (total / np.maximum(weights, 1e-30)[:, None]).reshape(height, width, 3)
        return mean.astype(np.float32), (weights > 0).reshape(height, width)

    def shifts(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return from where each pixel copies, relative to it, (H, W, 2) rows and columns.

        And which pixels do: (H, W), those at the centre of a patch.
        """
        out = np.zeros((*self.shape, 2), np.int32)
        out[tuple(self.centres.T)] = self.sources - self.centres
        return out, self._number >= 0

    def _describe(self, pixels: Floats) -> Floats:
        """Colours and the strength of gradients, repeated past the edge by a patch's radius."""
        import cv2

        grey = np.ascontiguousarray(pixels.mean(-1))
        slopes = [np.abs(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=1)) for dx in (1, 0)]
        strength = cv2.blur(np.stack(slopes, -1), (5, 5))
        both = np.concatenate([pixels, _GRADIENT_WEIGHT * strength], -1).astype(np.float32)
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

    def _differences(self, which: Places, places: Places) -> Floats:
        """Squared differences of some patches to those at other places, (n,)."""
        out = np.empty(len(which), np.float32)
        for start in range(0, len(which), _CHUNK):
            part = slice(start, start + _CHUNK)
            patches = which[part]
            apart = self._gather(places[part])
            own = self._own
            apart -= self._gather(self.centres[patches]) if own is None else own[patches]
            out[part] = np.einsum("nd,nd->n", apart, apart)
        return out

    def _try(self, which: Places, places: Places) -> None:
        """Take those places that are known patches and nearer than the sources so far."""
        inside = self._inside(places)
        which, places = which[inside], places[inside]
        good = self._copyable[tuple(places.T)] & (places != self.sources[which]).any(1)
        which, places = which[good], places[good]
        costs = self._differences(which, places)
        better = costs < self.costs[which]
        self.sources[which[better]] = places[better]
        self.costs[which[better]] = costs[better]

    def _inside(self, places: Places) -> NDArray[np.bool_]:
        return np.asarray((places >= 0).all(1) & (places < np.array(self.shape)).all(1))
