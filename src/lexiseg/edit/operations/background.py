"""Another ground behind what was meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.edit.blend import blended
from lexiseg.edit.colour import is_colour, parse_colour
from lexiseg.edit.fit_picture import cover
from lexiseg.edit.gaussian import check_radius, gaussian_blur_around
from lexiseg.edit.matting import check_edges, foreground, matte
from lexiseg.edit.region import Outcome, Region, Scene
from lexiseg.edit.xmp import COMPOSITE, EDITED
from lexiseg.imaging import Picture

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "put another ground behind what was meant: transparent, a colour, a blur, a picture"
_BAND_ROWS = 256


@dataclass(frozen=True)
class Config:
    """Which ground.

    ground: "transparent", "blur", a colour ("white", "#rrggbb"), or a picture (path, PIL, array),
        which is scaled to cover.
    radius: of the blur, pixels of standard deviation; None: a fortieth of the shorter side.
    edges: "soft", "closed-form" (needs PyMatting; better in hair) or "hard".
    band: pixels around the mask's edge in which opacity is found anew; None: by the size.
    """

    ground: Any = "transparent"
    radius: float | None = None
    edges: str = "soft"
    band: int | None = None

    def __post_init__(self) -> None:
        check_edges(self.edges, self.band)
        if self.radius is not None:
            check_radius(self.radius)


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with another ground; what was meant keeps its pixels, its rim is mixed."""
    picture = scene.picture
    opacity = matte(picture.rgb, scene.mask, config.edges, config.band)
    front = foreground(picture.rgb, opacity)
    if isinstance(config.ground, str) and config.ground == "transparent":
        share = opacity if picture.alpha is None else opacity * (picture.alpha / np.float32(255))
        alpha = np.rint(255 * share).astype(np.uint8)
        front[alpha == 0] = 0
        return Outcome((blended(picture, Region.whole(opacity < 1), front, alpha),))
    ground, source = _ground(picture, opacity, config)
    mixed, alpha = _composite(front, opacity, picture.alpha, ground)
    changed = opacity < 1
    if picture.alpha is not None:
        # Where the thing itself is see-through, the new ground shines through it too.
        changed |= picture.alpha < 255
    opaque = picture.alpha is None and bool((alpha == 255).all())
    where = Region.whole(changed)
    return Outcome((blended(picture, where, mixed, None if opaque else alpha),), source)


def _composite(
    front: NDArray[np.uint8],
    opacity: NDArray[np.float32],
    own: NDArray[np.uint8] | None,
    ground: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Straight colours over straight colours, mixed by what each covers: (H, W, 3) and (H, W)."""
    mixed, alpha = np.empty_like(front), np.empty(opacity.shape, np.uint8)
    for top in range(0, len(front), _BAND_ROWS):  # large photos are large in floats
        rows = slice(top, top + _BAND_ROWS)
        share = opacity[rows] if own is None else opacity[rows] * (own[rows] / np.float32(255))
        below = ground[rows, :, 3] / np.float32(255)
        total = share + below * (1 - share)
        part = (share / np.maximum(total, 1e-6))[..., None]
        mixed[rows] = np.rint(front[rows] * part + ground[rows, :, :3] * (1 - part))
        alpha[rows] = np.rint(255 * total)
    return mixed, alpha


def _ground(
    picture: Picture, opacity: NDArray[np.float32], config: Config
) -> tuple[NDArray[np.uint8], str]:
    """The new ground, (H, W, 4) RGBA, and the kind of source that makes of the whole."""
    height, width = picture.size_hw
    if isinstance(config.ground, str) and config.ground == "blur":
        radius = config.radius or min(1000.0, min(height, width) / 40)
        alpha = np.full((height, width), 255, np.uint8) if picture.alpha is None else picture.alpha
        return np.dstack([gaussian_blur_around(picture.rgb, opacity, radius), alpha]), EDITED
    if isinstance(config.ground, str) and is_colour(config.ground):
        colour = np.array((*parse_colour(config.ground), 255), np.uint8)
        return np.broadcast_to(colour, (height, width, 4)), EDITED
    return cover(imaging.read(config.ground), (height, width)), COMPOSITE
