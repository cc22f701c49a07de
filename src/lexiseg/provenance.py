"""How a result came about: method, models, settings, prompts and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lexiseg._version import __version__

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from lexiseg.protocols import Model

__all__ = ["PromptSummary", "Provenance"]


@dataclass(frozen=True, kw_only=True)
class PromptSummary:
    """The prompts that a mask model or a detector was given for one image.

    num_prompts: how many it was given.
    grid_size: how many points a regular grid over the whole image would take, to compare with.
    num_masks: how many masks were kept, of methods that segment everything first.
    points_xy: (P, 2) foreground points in pixels of the image.
    boxes_xyxy: (N, 4) boxes in pixels of the image, one for each instance.

    Points and boxes may be given as arrays. None stands for what a method does not have.
    """

    num_prompts: int
    grid_size: int | None = None
    num_masks: int | None = None
    points_xy: tuple[tuple[float, ...], ...] | None = None
    boxes_xyxy: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        for name, columns in (("points_xy", 2), ("boxes_xyxy", 4)):
            given = getattr(self, name)
            if given is not None:
                rows = np.asarray(given, np.float64).reshape(-1, columns).tolist()
                object.__setattr__(self, name, tuple(map(tuple, rows)))

    def to_json(self) -> dict[str, Any]:
        """Return what is there as JSON can hold it: counts, and places to a tenth of a pixel."""
        keys = {"num_prompts": "asked", "grid_size": "grid", "num_masks": "masks"}
        plain = {keys.get(part.name, part.name): getattr(self, part.name) for part in fields(self)}
        for name in ("points_xy", "boxes_xyxy"):
            if plain[name] is not None:
                plain[name] = np.round(plain[name], 1).tolist()
        return {key: value for key, value in plain.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a result came about, so that it can be had again.

    Make one with `from_models` when a segmenter is built, then `dataclasses.replace` for each
    image; `with_masker` adds a mask model, `with_seconds` adds stages.

    config: the fields of the method's Config. checkpoint_sha256: file or checkpoint name -> hash.
    prompts: of methods that prompt a mask model or a detector; None for others.
    seconds: stage -> wall time in seconds. notes: remarks for the reader, such as "turned upright".
    """

    method: str
    encoder: str
    masker: str | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    version: str = __version__
    device: str = "cpu"
    dtype: str = "float32"
    checkpoint_sha256: Mapping[str, str] = field(default_factory=dict)
    prompts: PromptSummary | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_models(
        cls,
        method: str,
        config: DataclassInstance,
        encoder: Model,
        masker: Model | None = None,
    ) -> Provenance:
        """Return what is the same for every image of a segmenter.

        encoder: the model that scores words: an encoder, a mapper's model or a detector. The result
        names its device and its number format.
        """
        made = cls(
            method=method,
            encoder=encoder.name,
            config=asdict(config),
            device=encoder.device_name,
            dtype=encoder.dtype_name,
            checkpoint_sha256=dict(encoder.sha256),
        )
        return made if masker is None else made.with_masker(masker)

    def with_masker(self, masker: Model) -> Provenance:
        """Return the same with a mask model's name, and its hashes as "masker <file>"."""
        hashes = {f"masker {name}": digest for name, digest in masker.sha256.items()}
        together = {**self.checkpoint_sha256, **hashes}
        return replace(self, masker=masker.name, checkpoint_sha256=together)

    def with_seconds(self, seconds: Mapping[str, float]) -> Provenance:
        """Return the same with the times of further stages, in seconds."""
        return replace(self, seconds={**self.seconds, **seconds})

    def to_json(self) -> dict[str, Any]:
        """Return the same as dicts, lists, strings and numbers only; seconds to 0.1 ms."""
        plain = {part.name: _plain(getattr(self, part.name)) for part in fields(self)}
        plain["prompts"] = {} if self.prompts is None else self.prompts.to_json()
        plain["seconds"] = {stage: round(float(s), 4) for stage, s in self.seconds.items()}
        return plain


def _plain(value: object) -> Any:
    """Return a value of a Config as JSON can hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return str(value)
