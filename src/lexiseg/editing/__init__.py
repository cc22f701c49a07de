"""Editing what was named: remove, replace, restyle, cut out. In Python this room is `lexiseg.edit`.

out = lexiseg.load("clip-then-sam")("photo.jpg", ["dog", "grass"])
lexiseg.edit.remove("photo.jpg", lexiseg.edit.all_of(out, "dog")).save("without.png")
"""

from __future__ import annotations

from lexiseg.editing.all_of import all_of
from lexiseg.editing.conductor import (
    OperationInfo,
    apply,
    operation,
    operations,
    settings,
    wanted_model,
)
from lexiseg.editing.region import Region, Scene
from lexiseg.editing.result import EditResult, Step
from lexiseg.editing.verbs import (
    background,
    blur,
    cutout,
    mask,
    pixelate,
    recolour,
    remove,
    replace,
    style,
)

__all__ = [
    "EditResult",
    "OperationInfo",
    "Region",
    "Scene",
    "Step",
    "all_of",
    "apply",
    "background",
    "blur",
    "cutout",
    "mask",
    "operation",
    "operations",
    "pixelate",
    "recolour",
    "remove",
    "replace",
    "settings",
    "style",
    "wanted_model",
]
