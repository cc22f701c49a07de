"""Filling with pieces of the same picture: patches that agree with one another and with the rim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.edit.fills.membrane import membrane
from lexiseg.edit.fills.patches import Level, PatchField

__all__ = ["Exemplar", "Synthesis", "fill", "synthesize"]


@dataclass(frozen=True)
class Exemplar:
    """How patches are looked for.

    patch: side of a patch in pixels, odd.
    rounds: of matching and voting on the coarsest scale; each finer one has one less, down to
        last_rounds.
    draws: random candidates a round. coarsest: how deep the hole may be on the coarsest scale, in
        pixels. seed: of the candidates.
    """

    patch: int = 7
    rounds: int = 6
    last_rounds: int = 1
    draws: int = 4
    coarsest: float = 6.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Synthesis:
    """A filled picture, and where its pixels come from.

    rgb: (H, W, 3) uint8. shifts: (H, W, 2) int32, rows and columns to the source of a pixel.
    copied: (H, W), the pixels that have one.
    """

    rgb: NDArray[np.uint8]
    shifts: NDArray[np.int32]
    copied: NDArray[np.bool_]


_DEFAULT = Exemplar()


def fill(
    rgb: NDArray[np.uint8], hole: NDArray[np.bool_], settings: Exemplar = _DEFAULT
) -> NDArray[np.uint8]:
    """Return rgb, (H, W, 3), with the hole, (H, W), filled; known pixels stay bit by bit."""
    return synthesize(rgb, hole, ~hole, settings).rgb


def synthesize(
    rgb: NDArray[np.uint8],
    hole: NDArray[np.bool_],
    known: NDArray[np.bool_],
    settings: Exemplar = _DEFAULT,
) -> Synthesis:
    """Return rgb, (H, W, 3), with the hole, (H, W), filled from what is known, (H, W).

    The scheme of Wexler, Shechtman and Irani (Space-time completion of video, 2007): on a pyramid,
    each patch that touches the hole takes the known patch most like it, and pixels become the mean
    over the patches that cover them; the next finer scale goes on from there. Last, a smooth
    surface takes away what still differs at the rim (Pérez et al., Poisson image editing, 2003). A
    picture without a single known patch is filled smoothly.
    """
    import cv2

    rng = np.random.default_rng(settings.seed)
    levels = _pyramid(rgb, hole, known, settings)
    field: PatchField | None = None
    synthesized: NDArray[np.float32] | None = None
    filled = membrane(levels[0].pixels, levels[0].hole)
    for number, level in enumerate(levels):
        if number:
            size = (level.hole.shape[1], level.hole.shape[0])
            larger = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR)
            filled = np.where(level.hole[..., None], larger, level.pixels).astype(np.float32)
        try:
            finer = PatchField(level, settings.patch, rng)
        except ValueError:  # too coarse, or too little is known
            continue
        if field is not None:
            finer.inherit(field)
        rounds = max(settings.last_rounds, settings.rounds - number)
        for turn in range(rounds):
            if turn == 0 and field is not None:
                # Inherited sources know more than the blurred enlargement.
                finer.measure(filled)
            else:
                finer.search(filled, rng, settings.draws)
            last = number == len(levels) - 1 and turn == rounds - 1
            voted, covered = finer.vote(sharp=last)
            inner = (level.hole & covered)[..., None]
            filled = np.where(inner, voted, np.where(level.hole[..., None], filled, level.pixels))
            synthesized = np.where(covered[..., None], voted, level.pixels) if last else None
        field = finer
    if synthesized is not None:
        filled = filled + _rim_correction(rgb, hole, synthesized)
    out = np.where(hole[..., None], np.clip(np.rint(filled), 0, 255), rgb).astype(np.uint8)
    if field is None or synthesized is None:
        return Synthesis(out, np.zeros((*hole.shape, 2), np.int32), np.zeros_like(hole))
    return Synthesis(out, *field.shifts())


def _rim_correction(
    rgb: NDArray[np.uint8], hole: NDArray[np.bool_], synthesized: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the patches miss at the rim, spread smoothly over the hole, (H, W, 3)."""
    import cv2

    around = cv2.dilate(hole.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rows, columns = np.flatnonzero(around.any(1)), np.flatnonzero(around.any(0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    rim = around[box] & ~hole[box]
    missed = np.where(rim[..., None], rgb[box] - synthesized[box], 0).astype(np.float32)
    out = np.zeros_like(synthesized)
    out[box] = np.where(hole[box][..., None], membrane(missed, ~rim), 0)
    return out


def _pyramid(
    rgb: NDArray[np.uint8],
    hole: NDArray[np.bool_],
    known: NDArray[np.bool_],
    settings: Exemplar,
) -> list[Level]:
    """The picture at ever half the scale, coarsest first: there the hole is some pixels deep."""
    import cv2

    level = Level(rgb.astype(np.float32), hole, known & ~hole)
    levels = [level]
    while True:
        height, width = level.hole.shape
        depth = cv2.distanceTransform(np.pad(level.hole.astype(np.uint8), 1), cv2.DIST_L2, 3).max()
        if depth <= settings.coarsest or min(height, width) < 4 * settings.patch:
            return levels[::-1]
        size = ((width + 1) // 2, (height + 1) // 2)
        share = cv2.resize((~level.hole).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        outside = np.where(level.hole[..., None], 0, level.pixels).astype(np.float32)
        pixels: NDArray[Any] = cv2.resize(outside, size, interpolation=cv2.INTER_AREA)
        pixels = np.asarray(pixels / np.maximum(share, 1e-6)[..., None], np.float32)
        copyable = cv2.resize(level.known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        in_hole = np.asarray(share < 0.5)
        level = Level(pixels, in_hole, np.asarray(copyable > 0.99) & ~in_hole)
        levels.append(level)
