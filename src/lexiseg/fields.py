"""Fields of a method's Config from the command line: `--set field=value`, typed by the field."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from lexiseg.errors import OptionError, UnknownName

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["overrides", "replaced"]

T = TypeVar("T", bound="DataclassInstance")

_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")


def replaced(config: T, settings: Sequence[str]) -> T:
    """Return `config` with the fields of `settings` replaced; "part.field=value" reaches inside.

    Raises as `overrides` does.
    """
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    parts: dict[str, Any] = {name: v for name, v in values.items() if is_dataclass(v)}
    own: list[str] = []
    inner: dict[str, list[str]] = {}
    for setting in settings:
        head, dot, _ = setting.partition("=")[0].partition(".")
        if dot and head not in parts:
            raise UnknownName.among("part of the settings", head, parts)
        if dot:
            inner.setdefault(head, []).append(setting[len(head) + 1 :])
        else:
            own.append(setting)
    changed = {head: replaced(parts[head], texts) for head, texts in inner.items()}
    return replace(config, **changed, **overrides(own, type(config)))


def overrides(settings: Sequence[str], config: type) -> dict[str, Any]:
    """Return the fields that `settings`, each "field=value", give another value.

    config: a dataclass; a value is read as the type of its field. Raises UnknownName for a field
    that it lacks, OptionError for a value that is not of the field's type.
    """
    hints = get_type_hints(config)
    names = [field.name for field in fields(config)]
    out: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise OptionError(f"--set takes field=value, got {setting!r}")
        if name not in names:
            raise UnknownName.among("field of the method's Config", name, names)
        if name in out:
            raise OptionError(f"--set gives the field {name!r} twice; give it once")
        out[name] = _value(name, text.strip(), hints[name])
    return out


def _value(name: str, text: str, kind: Any) -> Any:
    """`text` as a value of the type `kind`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(name, text, inner)
    if origin is Literal:
        for choice in inner:
            if text == str(choice):
                return choice
        raise UnknownName.among(f"choice for {name}", text, [str(choice) for choice in inner])
    if kind is bool:
        if text.lower() in _YES + _NO:
            return text.lower() in _YES
        raise _wrong(name, text, "true or false")
    if kind is int or kind is float:
        try:
            return kind(text)
        except ValueError as error:
            what = "a whole number" if kind is int else "a number"
            raise _wrong(name, text, what) from error
    if kind is str:
        return text
    if origin in (tuple, list, Sequence) or kind is tuple:
        return _several(name, text, inner)
    if origin in (dict, Mapping):
        pairs = (part.partition("=") for part in _parts(text, inner[1]))
        return {key.strip(): _value(name, value.strip(), inner[1]) for key, _, value in pairs}
    raise OptionError(f"--set cannot write {name}, a {kind}; set it from Python: lexiseg.load")


def _one_of(name: str, text: str, kinds: tuple[Any, ...]) -> Any:
    """`text` as a value of the first of `kinds` that takes it; "none" is None where it may be."""
    if type(None) in kinds and text.lower() in ("none", "null", ""):
        return None
    last: OptionError | None = None
    for kind in sorted(kinds, key=lambda kind: _takes(kind, text)):
        if kind is not type(None):
            try:
                return _value(name, text, kind)
            except OptionError as error:
                last = error
    raise last or _wrong(name, text, "none")


def _takes(kind: Any, text: str) -> int:
    """The rank of a type among several: those that take any text come last."""
    if kind is str:
        return 1
    several_texts = get_origin(kind) is tuple and str in get_args(kind)
    return 2 if several_texts and ";" not in text else 0


def _several(name: str, text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """`text` as a tuple: of any length where `kinds` is (T, ...), else of theirs."""
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_value(name, part, kinds[0]) for part in _parts(text, kinds[0]))
    parts = _parts(text, kinds[0] if kinds else str)
    if len(parts) != len(kinds):
        raise _wrong(name, text, f"{len(kinds)} values")
    return tuple(_value(name, part, kind) for part, kind in zip(parts, kinds, strict=True))


def _parts(text: str, kind: Any) -> list[str]:
    """The parts of a list: words are split at ";", since they may hold commas, numbers at both."""
    if kind is not str:
        text = text.replace(",", ";")
    return [part.strip() for part in text.split(";") if part.strip()]


def _wrong(name: str, text: str, what: str) -> OptionError:
    return OptionError(f"--set {name} takes {what}, got {text!r}")
