"""Running an operation: names, settings, checks, and what is written down about it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lexiseg import imaging
from lexiseg.edit.generative import Generation, Model
from lexiseg.edit.region import Outcome, Scene, Where, as_masks
from lexiseg.edit.result import EditResult, Step
from lexiseg.errors import OptionError, UnknownName
from lexiseg.imaging import Picture, Source
from lexiseg.registry import Registry

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "Operation", "OperationInfo", "apply", "list_operations", "operation",
    "operation_names", "run", "settings", "wanted_model",
]  # fmt: skip


class Operation(Protocol):
    """What the module of an operation holds.

    SUMMARY: a line about it. Config: a frozen dataclass, whose defaults are those of the operation.
    """

    SUMMARY: str
    Config: type[DataclassInstance]

    def edit(self, scene: Scene, config: Any) -> Outcome:
        """Return the edited pictures; `config` is one of its Config."""


@dataclass(frozen=True)
class OperationInfo:
    """One operation: its name, a line about it, and the defaults of its Config."""

    name: str
    summary: str
    defaults: Mapping[str, object]


@cache
def _registry() -> Registry[Operation]:
    registry: Registry[Operation] = Registry("operation")
    registry.discover("lexiseg.edit.operations", group="lexiseg.edit")
    return registry


def operation(name: str) -> Operation:
    """Return the module of an operation. Raises UnknownName."""
    return _registry().get(name)


def operation_names() -> tuple[str, ...]:
    """Return the names of all operations, sorted; none is imported."""
    return _registry().names()


def list_operations() -> tuple[OperationInfo, ...]:
    """Return every operation that there is, by name."""
    return tuple(
        OperationInfo(name, operation(name).SUMMARY, _values(operation(name).Config()))
        for name in _registry().names()
    )


def settings(name: str, **options: Any) -> DataclassInstance:
    """Return the Config of an operation.

    Raises UnknownName for a field that it lacks, OptionError for a value out of range.
    """
    config = operation(name).Config
    known = [field.name for field in fields(config)]
    for key in options:
        if key not in known:
            raise UnknownName.among(f"field of {name}'s Config", key, known)
    return config(**options)


def wanted_model(config: DataclassInstance) -> Model | None:
    """Return the network that an operation would load with these settings; None where none.

    So that a caller can load it before anything else is done, on a device of his choice.
    """
    return config.wanted_model() if isinstance(config, Generation) else None


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
    options: fields of the operation's Config; see `list_operations()`.

    Raises UnknownName, OptionError, PictureError, and PromptError for an empty mask.
    """
    return run(name, image, where, settings(name, **options), words=words)


def run(
    name: str,
    image: Source | EditResult,
    where: Where,
    config: DataclassInstance,
    *,
    words: Sequence[str] = (),
    alike: NDArray[np.bool_] | None = None,
) -> EditResult:
    """Run an operation with a Config of its own, as `settings` gives one; else as `apply`.

    alike: (H, W), places that no hole is filled from; see `places_alike`.
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
    scene = Scene(picture, as_masks(where, picture.size_hw), alike)
    outcome = operation(name).edit(scene, config)
    step = Step(
        operation=name,
        config={key: _plain(value) for key, value in _values(config).items()},
        source=outcome.source,
        share=float(scene.mask.mean()),
        words=tuple(words),
        notes=outcome.notes,
    )
    # What the file said of its source counts on, even where an operation made a new picture.
    pictures = tuple(replace(one, xmp=picture.xmp) for one in outcome.pictures)
    return EditResult(pictures, (*before, step))


def _values(config: DataclassInstance) -> dict[str, object]:
    """The fields of a Config."""
    return {field.name: getattr(config, field.name) for field in fields(config)}


def _plain(value: object) -> Any:
    """A value of a Config as JSON can hold it: of a file its name, of other pictures their size."""
    if isinstance(value, Picture):
        return _plain(value.path) if value.path else f"a picture of {value.size_hw}"
    if isinstance(value, str) and Path(value).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
        return Path(value).name  # not where it lies on somebody's machine
    if isinstance(value, os.PathLike):
        return Path(value).name
    if isinstance(value, np.ndarray | Image.Image):
        return f"a picture of {np.asarray(value).shape[:2]}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    name = getattr(value, "name", None)
    if name is None and callable(value):  # who is told of progress changes no pixel
        return None
    return str(name or type(value).__name__)
