"""Another ground behind what was meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.editing.blend import blended
from lexiseg.editing.colours import is_colour, parse_colour
from lexiseg.editing.mark import COMPOSITE, EDITED
from lexiseg.editing.matting import foreground, matte
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Region, Scene
from lexiseg.editing.sources import covering
from lexiseg.errors import OptionError
from lexiseg.imaging import Picture

__all__ = ["SUMMARY", "Config", "edit"]

SUMMARY = "put another ground behind what was meant: transparent, a colour, a blur, a picture"


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


def edit(scene: Scene, config: Config) -> Outcome:
    """Return the picture with another ground; what was meant keeps its pixels, its rim is mixed."""
    picture = scene.picture
    opacity = matte(picture.rgb, scene.mask, config.edges, config.band)
    height, width = picture.size_hw
    changed = opacity < 1
    where = Region((0, 0, width, height), changed.astype(np.float32), changed)
    front = foreground(picture.rgb, opacity)
    own = np.full((height, width), 255, np.uint8) if picture.alpha is None else picture.alpha
    share = opacity * (own.astype(np.float32) / 255)
    if isinstance(config.ground, str) and config.ground == "transparent":
        alpha = np.rint(255 * share).astype(np.uint8)
        front[alpha == 0] = 0
        return Outcome((blended(picture, where, front, alpha),))
    ground, source = _ground(picture, opacity, config)
    # Straight colours over straight colours: mixed by what each of them covers.
    below = ground[..., 3].astype(np.float32) / 255
    total = share + below * (1 - share)
    part = (share / np.maximum(total, 1e-6))[..., None]
    mixed = np.rint(front * part + ground[..., :3] * (1 - part)).astype(np.uint8)
    alpha = np.rint(255 * total).astype(np.uint8)
    opaque = picture.alpha is None and bool((alpha == 255).all())
    if not opaque and picture.alpha is not None:
        # Where the thing itself is see-through, the new ground shines through it too.
        changed = (opacity < 1) | (own < 255)
        where = Region((0, 0, width, height), changed.astype(np.float32), changed)
    return Outcome((blended(picture, where, mixed, None if opaque else alpha),), source)


def _ground(
    picture: Picture, opacity: NDArray[np.float32], config: Config
) -> tuple[NDArray[np.uint8], str]:
    """The new ground, (H, W, 4) RGBA, and the kind of source that makes of the whole."""
    import cv2

    height, width = picture.size_hw
    out = np.full((height, width, 4), 255, np.uint8)
    if isinstance(config.ground, str) and config.ground == "blur":
        radius = min(height, width) / 40 if config.radius is None else config.radius
        if not 0 < radius <= 1000:
            raise OptionError(f"radius is {radius:g}; give pixels above 0, at most 1000")
        # The thing's own colours must not spread into the blur around it.
        share = (1 - opacity)[..., None]
        blurred = cv2.GaussianBlur(picture.rgb * share, (0, 0), radius)
        weight = cv2.GaussianBlur(np.repeat(share, 3, axis=2), (0, 0), radius)
        flat = np.clip(blurred / np.maximum(weight, 1e-4), 0, 255)
        out[..., :3] = np.rint(flat)
        if picture.alpha is not None:
            out[..., 3] = picture.alpha
        return out, EDITED
    if isinstance(config.ground, str) and is_colour(config.ground):
        out[..., :3] = parse_colour(config.ground)
        return out, EDITED
    return covering(imaging.read(config.ground), (height, width)), COMPOSITE
