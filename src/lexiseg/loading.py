"""From names to segmenters: methods, their presets, and the shorthand for encoders."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError, UnknownName
from lexiseg.protocols import LoadOptions
from lexiseg.registry import methods as registered_methods

if TYPE_CHECKING:
    from lexiseg.protocols import Segmenter

__all__ = [
    "FOR_EXAMPLES", "WITH_MASKS", "MethodInfo", "config_class", "field_descriptions",
    "list_methods", "load", "make_config", "preset_fields",
]  # fmt: skip

WITH_MASKS = "clip-then-sam"  # the method where masks are wanted and none is named
FOR_EXAMPLES = "clipseg"  # where examples are given, no words and no method: it learns from them
_DEFAULT = "dense"


@dataclass(frozen=True)
class MethodInfo:
    """One method: its name, a line about it, its presets, and the defaults of its Config.

    data_sets: preset -> the data sets for which it has settings of their own: "sclip@voc21".
    """

    name: str
    summary: str
    presets: tuple[str, ...]
    defaults: dict[str, Any]
    data_sets: dict[str, tuple[str, ...]] = field(default_factory=dict)


def list_methods() -> tuple[MethodInfo, ...]:
    """Return every method that there is, by name."""
    return tuple(
        _info(name, registered_methods().get(name)) for name in registered_methods().names()
    )


def config_class(name: str = _DEFAULT) -> type:
    """Return the Config dataclass of a method. Raises UnknownName."""
    found: type = registered_methods().get(_split(name)[0]).Config
    return found


def field_descriptions(name: str = _DEFAULT) -> str:
    """Return what the fields of a method's Config mean, a paragraph a field. Raises UnknownName."""
    from lexiseg.methods._config import describe_fields

    return describe_fields(config_class(name))


def load(
    name: str | Any = _DEFAULT,
    *,
    preset: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
    **overrides: Any,
) -> Segmenter:
    """Return a segmenter, ready to be called with an image and words.

    name: a method ("dense"); an encoder's checkpoint or its folder ("tiny", "run/bundle") as a
        shorthand for ``load("dense", encoder="tiny")``; or a Config object of a method, which
        names it.
    preset: settings that belong together; see ``list_methods()``. Those of a paper may have
        others for each data set: "sclip@voc21".
    device, dtype: where and in what format to compute; None chooses the best that is there.
    pull: download weights that are missing. Without it nothing is ever downloaded.
    overrides: fields of the method's Config.

    Raises UnknownName, OptionError, WeightsMissing, ExtraMissing.
    """
    if isinstance(name, str):
        config = make_config(name, preset=preset, **overrides)
    elif preset is None:
        config = _replaced(name, _method_of(name), overrides)
    else:
        raise OptionError("a Config and a preset are given; give one of the two")
    module = registered_methods().get(_method_of(config))
    made: Segmenter = module.load(config, LoadOptions(device, dtype, pull, offline))
    return made


def make_config(name: str = _DEFAULT, *, preset: str | None = None, **overrides: Any) -> Any:
    """Return the Config that ``load`` would use; arguments and errors as there."""
    method, fixed = _split(name)
    module = registered_methods().get(method)
    for key in overrides:
        if key in fixed and overrides[key] != fixed[key]:
            raise OptionError(
                f"load({name!r}) means {key} {fixed[key]!r}, but {key} {overrides[key]!r} is given "
                f"too; write load({method!r}, {key}={overrides[key]!r})"
            )
    chosen = {} if preset is None else preset_fields(method, preset)
    return _replaced(module.Config(), method, {**chosen, **fixed, **overrides})


def _info(name: str, module: ModuleType) -> MethodInfo:
    defaults = {
        f.name: f.default_factory() if f.default_factory is not MISSING else f.default
        for f in fields(module.Config)
    }
    sets = {preset: tuple(of) for preset, of in getattr(module, "DATA_SETS", {}).items()}
    return MethodInfo(name, module.SUMMARY, tuple(module.PRESETS), defaults, sets)


def _split(name: str) -> tuple[str, dict[str, Any]]:
    """A method's name, or an encoder's name or folder as a shorthand for ``dense`` with it."""
    if name in registered_methods():
        return name, {}
    from lexiseg.checkpoints import names
    from lexiseg.checkpoints.recognise import is_path

    if name in names() or is_path(name):
        return _DEFAULT, {"encoder": name}
    raise UnknownName.among("method or checkpoint", name, [*registered_methods().names(), *names()])


def _method_of(config: Any) -> str:
    """The method whose Config an object is."""
    if is_dataclass(config) and not isinstance(config, type):
        for name in registered_methods().names():
            if type(config) is registered_methods().get(name).Config:
                return name
    raise OptionError(
        f"load got a {type(config).__name__}; give a method's name, a checkpoint's name, or a "
        "Config made with lexiseg.config_class(method)"
    )


def _replaced(config: Any, method: str, overrides: dict[str, Any]) -> Any:
    """A Config with some fields replaced; raises UnknownName and OptionError."""
    known = [f.name for f in fields(config)]
    for key in overrides:
        if key not in known:
            raise UnknownName.among(f"field of {method}'s Config", key, known)
    try:
        return replace(config, **overrides)
    except TypeError as error:
        given = ", ".join(f"{key}={value!r}" for key, value in overrides.items())
        raise OptionError(
            f"one of {given} is not of its field's type ({error}); "
            f"see lexiseg.config_class({method!r})"
        ) from error


def preset_fields(method: str, preset: str) -> dict[str, Any]:
    """Return the fields of a method's Config that "sclip" or "sclip@voc21" sets.

    Raises UnknownName for a preset, or a data set of it, that there is not.
    """
    module = registered_methods().get(method)
    name, at, data_set = preset.partition("@")
    if name not in module.PRESETS:
        raise UnknownName.among(f"preset of {method}", name, module.PRESETS)
    if not at:
        return dict(module.PRESETS[name])
    sets = getattr(module, "DATA_SETS", {}).get(name, {})
    if data_set not in sets:
        raise UnknownName.among(f"data set of the preset {name!r}", data_set, sets)
    return {**module.PRESETS[name], **sets[data_set]}
