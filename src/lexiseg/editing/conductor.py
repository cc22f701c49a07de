"""Running an operation: names, settings, checks, and what is written down about it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from lexiseg import imaging
from lexiseg.editing.drawn import Drawn
from lexiseg.editing.generate import DEFAULT
from lexiseg.editing.outcome import Outcome
from lexiseg.editing.region import Scene, Where, as_masks
from lexiseg.editing.result import EditResult, Step
from lexiseg.errors import OptionError, UnknownName
from lexiseg.imaging import Picture, Source
from lexiseg.registry import Registry

__all__ = ["OperationInfo", "apply", "operation", "operations", "settings", "wanted_model"]


@dataclass(frozen=True)
class OperationInfo:
    """One operation: its name, a line about it, and the defaults of its Config."""

    name: str
    summary: str
    defaults: dict[str, Any]


@cache
def _registry() -> Registry[ModuleType]:
    found: Registry[ModuleType] = Registry("operation")
    found.discover("lexiseg.editing.edits", group="lexiseg.editing")
    return found


def operation(name: str) -> ModuleType:
    """Return the module of an operation: SUMMARY, Config, edit. Raises UnknownName."""
    return _registry().get(name)


def operations() -> tuple[OperationInfo, ...]:
    """Return every operation that there is, by name."""
    found = []
    for name in _registry().names():
        config = operation(name).Config()
        defaults = {field.name: getattr(config, field.name) for field in fields(config)}
        found.append(OperationInfo(name, operation(name).SUMMARY, defaults))
    return tuple(found)


def settings(name: str, **options: Any) -> Any:
    """Return the Config of an operation; raises UnknownName for a field that it lacks."""
    config = operation(name).Config
    known = [field.name for field in fields(config)]
    for key in options:
        if key not in known:
            raise UnknownName.among(f"field of {name}'s Config", key, known)
    return config(**options)


def wanted_model(name: str, **options: Any) -> Any:
    """Return the model that an operation would load with these settings; None where none.

    So that a caller can load it before anything else is done, on a device of his choice.
    """
    config = settings(name, **options)
    if not isinstance(config, Drawn):
        return None
    worded = getattr(operation(name), "worded", None)
    words = worded(config) if worded is not None else None
    return config.model if config.model is not None or words is None else DEFAULT


def apply(
    name: str,
    image: Source | EditResult,
    where: Where,
    *,
    words: Sequence[str] = (),
    **options: Any,
) -> EditResult:
    """Run an operation on a picture.

    image: a path, PIL image, array or Picture; or the result of another edit, whose steps are kept.
    where: what is meant: Masks, such as `seg["dog"]`, or a (H, W) bool array.
    words: what the masks were asked by, for the record.
    options: fields of the operation's Config; see `operations()`.

    Raises UnknownName, OptionError, PictureError, and PromptError for an empty mask.
    """
    before: tuple[Step, ...] = ()
    if isinstance(image, EditResult):
        if len(image.pictures) > 1:
            raise OptionError(
                f"the edit before gave {len(image.pictures)} pictures; go on from one of them: "
                "result.pictures[0]"
            )
        before, picture = image.steps, image.picture
    else:
        picture = imaging.read(image)
    config = settings(name, **options)
    masks = as_masks(where, picture.size_hw)
    scene = Scene(picture, masks)
    outcome: Outcome = operation(name).edit(scene, config)
    step = Step(
        operation=name,
        config=_plain(config),
        source=outcome.source,
        share=float(scene.mask.mean()),
        words=tuple(words),
        notes=outcome.notes,
    )
    # What the file said of its source counts on, even where an operation made a new picture.
    pictures = tuple(replace(one, xmp=picture.xmp) for one in outcome.pictures)
    return EditResult(pictures, (*before, step))


def _plain(config: Any) -> dict[str, Any]:
    """The fields of a Config as JSON values: of a file its name, of other pictures their size."""
    return {field.name: _value(getattr(config, field.name)) for field in fields(config)}


def _value(value: Any) -> Any:
    if isinstance(value, Picture):
        return _value(value.path) if value.path else f"a picture of {value.size_hw}"
    if isinstance(value, str) and Path(value).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
        return Path(value).name  # not where it lies on somebody's machine
    if isinstance(value, os.PathLike):
        return Path(value).name
    if isinstance(value, np.ndarray | Image.Image):
        return f"a picture of {np.asarray(value).shape[:2]}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _value(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_value(part) for part in value]
    name = getattr(value, "name", None)
    if name is None and callable(value):  # who is told of progress changes no pixel
        return None
    return str(name or type(value).__name__)
