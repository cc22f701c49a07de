"""`dataset.json`: what a data set in the plain layout says about itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexiseg.errors import InputError

__all__ = ["FILE_NAME", "Card", "read_card", "read_json"]

FILE_NAME = "dataset.json"
_BACKGROUND = "background"


@dataclass(frozen=True)
class Card:
    """Title, class names in index order (None: regions without names), and special indices.

    `background_index` is the class that stands for everything without a name, None where every
    pixel has one; `ignore_index` marks mask pixels that do not count.
    """

    title: str
    classes: tuple[str, ...] | None
    background_index: int | None = None
    ignore_index: int = 255
    terms: str = ""


def read_card(root: Path) -> Card:
    """Read `root/dataset.json`. Raises InputError where it is absent or says impossible things.

    Without the field `background_index`, a class named "background" is the background.
    """
    path = root / FILE_NAME
    if not path.is_file():
        raise InputError(f"{root} holds no {FILE_NAME}; {_advice(root)}")
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise InputError(f"{path} holds no JSON object; {_advice(root)}")
    classes = _classes(path, fields.get("classes"))
    ignore = _index(path, fields, "ignore_index")
    ignore = 255 if ignore is None else ignore
    names = classes or ()
    if ignore < len(names):
        raise InputError(
            f"{path}: ignore_index {ignore} is also the class {names[ignore]!r}; "
            "choose an index that no class has"
        )
    background = _index(path, fields, "background_index")
    if "background_index" not in fields and _BACKGROUND in names:
        background = names.index(_BACKGROUND)
    if classes and background is not None and background >= len(names):
        raise InputError(
            f"{path}: background_index {background}, but there are {len(names)} classes; "
            f"give 0 to {len(names) - 1}, or null where every pixel has a name"
        )
    title, terms = str(fields.get("title") or root.resolve().name), str(fields.get("terms") or "")
    return Card(title, classes, background, ignore, terms)


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises InputError where it cannot be read or parsed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check that it exists"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); write it again") from error


def _classes(path: Path, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        raise InputError(f"{path}: classes is {value!r}; give a list of names in index order")
    names = []
    for name in value:
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{path}: {name!r} is no class name; give text that is not blank")
        if name in names:
            raise InputError(f"{path}: class {name!r} stands there twice; name each class once")
        names.append(name)
    return tuple(names)


def _index(path: Path, fields: dict[str, Any], key: str) -> int | None:
    value = fields.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise InputError(f"{path}: {key} is {value!r}; give a class index (0 or more) or null")


def _advice(root: Path) -> str:
    inside = sorted(path.parent.name for path in root.glob(f"*/{FILE_NAME}"))
    if inside:
        return f"give one of the data sets inside it: {', '.join(inside)}"
    return 'write one with at least {"classes": ["name of index 0", ...]} beside the splits'
