"""Editing what was named: remove, replace, restyle, cut out.

out = lexiseg.load("tiny")("photo.jpg", ["dog", "grass"])
lexiseg.edit.remove("photo.jpg", lexiseg.edit.removal_mask(out, "dog")).save("without.png")

Each operation takes the picture, what is meant in it, and fields of its Config, and returns an
EditResult, which the next one takes as its picture.
"""

from __future__ import annotations

from typing import Any

from lexiseg.edit.region import Region, Scene, Where, removal_mask
from lexiseg.edit.result import EditResult, Step
from lexiseg.edit.run import (
    Operation,
    OperationInfo,
    apply,
    list_operations,
    operation,
    operation_names,
    run,
    settings,
    wanted_model,
)
from lexiseg.imaging import Source

__all__ = [
    "EditResult", "Operation", "OperationInfo", "Region", "Scene", "Step", "apply", "background",
    "blur", "cutout", "list_operations", "mask", "operation", "operation_names", "pixelate",
    "recolour", "removal_mask", "remove", "replace", "run", "settings", "style", "wanted_model",
]  # fmt: skip


def remove(image: Source | EditResult, where: Where, **options: Any) -> EditResult:
    """Remove what was meant, and fill the hole from its surroundings, or with a colour (`fill`)."""
    return apply("remove", image, where, **options)


def replace(
    image: Source | EditResult, where: Where, with_: Any, **options: Any
) -> EditResult:  # fmt: skip
    """Replace what was meant by a picture or a colour, or by what words describe (`model`)."""
    return apply("replace", image, where, with_=with_, **options)


def style(image: Source | EditResult, where: Where, with_: str, **options: Any) -> EditResult:
    """Restyle what was meant by a filter, or as words describe (`model`)."""
    return apply("style", image, where, with_=with_, **options)


def recolour(
    image: Source | EditResult, where: Where, colour: str, **options: Any
) -> EditResult:  # fmt: skip
    """Give what was meant another colour, and keep its shading."""
    return apply("recolour", image, where, colour=colour, **options)


def blur(image: Source | EditResult, where: Where, **options: Any) -> EditResult:
    """Blur what was meant."""
    return apply("blur", image, where, **options)


def pixelate(image: Source | EditResult, where: Where, **options: Any) -> EditResult:
    """Cover what was meant with coarse blocks."""
    return apply("pixelate", image, where, **options)


def background(
    image: Source | EditResult, where: Where, ground: Any, **options: Any
) -> EditResult:  # fmt: skip
    """Put another ground behind what was meant: "transparent", "blur", a colour or a picture."""
    return apply("background", image, where, ground=ground, **options)


def cutout(image: Source | EditResult, where: Where, **options: Any) -> EditResult:
    """Cut out what was meant, with soft edges, on a transparent ground."""
    return apply("cutout", image, where, **options)


def mask(image: Source | EditResult, where: Where, **options: Any) -> EditResult:
    """Return the mask itself: white what was meant, black all else."""
    return apply("mask", image, where, **options)
