"""Tables that follow from the code and from the files of the bundled model."""

from __future__ import annotations

import inspect
import json
import re
import struct
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.rows.common import markdown
from docs.make import commands

import lexiseg
from lexiseg import errors, loading
from lexiseg.checkpoints import get, records
from lexiseg.checkpoints.registry import bundled_folder
from lexiseg.evaluation import evaluate
from lexiseg.prompts import DEFAULT_BACKGROUND

# What is a module and can be called as well: the functions.
_ROOMS: dict[str, Callable[..., object]] = {
    "checkpoints": records,
    "evaluate": evaluate,
    "methods": loading.list_methods,
}
_BAR = "\\|"  # in a cell of a Markdown table
_ADDRESSED = re.compile(r"^(\w+(?:, \w+)*): ", re.MULTILINE)


def methods() -> str:
    """Return a line a method, for the README."""
    rows = [
        [f"[`{one.name}`](docs/methods/{one.name}.md)", one.summary, _codes(one.presets)]
        for one in lexiseg.list_methods()
    ]
    return left(["method", "what it does", "presets"], rows)


def fields(method: str) -> str:
    """Return a line a field of a method's Config: name, default, meaning."""
    defaults = _info(method).defaults
    rows = []
    for names, meaning in _meanings(loading.field_descriptions(method)):
        values = [_value(defaults.pop(name)) for name in names]
        rows.append([", ".join(f"`{name}`" for name in names), ", ".join(values), meaning])
    if defaults:
        raise LookupError(f"the docstring of {method}'s Config tells nothing of {list(defaults)}")
    return left(["field", "default", "meaning"], rows)


def presets(method: str) -> str:
    """Return a line a preset: what it sets."""
    chosen = import_module(f"lexiseg.methods.{method.replace('-', '_')}").PRESETS
    rows = [
        [f"`{name}`", ", ".join(f"`{key}={value}`" for key, value in sets.items()) or "-"]
        for name, sets in chosen.items()
    ]
    return left(["preset", "sets"], rows)


def operations() -> str:
    """Return a line an operation of `lexiseg edit`: what it does, its fields and their defaults."""
    rows = []
    for one in lexiseg.edit.list_operations():
        named = [f"`{name}={value!r}`" for name, value in one.defaults.items()]
        rows.append([f"`{one.name}`", one.summary, ", ".join(named)])
    return left(["operation", "what it does", "fields and their defaults"], rows)


def datasets() -> str:
    """Return a line a published data set: what it is, its splits, where it lies below --root."""
    rows = []
    for one in lexiseg.list_datasets():
        splits = ", ".join(split.name for split in one.splits)
        rows.append([f"`{one.name}`", one.title, one.kind, splits, f"`{one.folders[0]}`"])
    return left(["set", "what it is", "kind", "splits", "folder"], rows)


def background() -> str:
    """Return the default background words in a sentence."""
    return ", ".join(DEFAULT_BACKGROUND) + "."


def options(command: str) -> str:
    """Return a line an option of a command."""
    rows = []
    for _, action in commands.options(commands.parser(command)):
        value = action.metavar if isinstance(action.metavar, str) else action.dest
        name = ", ".join(f"`{flag}`" for flag in action.option_strings) or f"`{value}`"
        takes = value if action.option_strings and action.nargs != 0 else ""
        said = (action.help or "").replace("%(default)s", str(action.default))
        rows.append([name, f"`{takes.upper()}`" if takes else "", said])
    return left(["option", "takes", "meaning"], rows)


def below(kind: type[errors.LexisegError]) -> list[type[errors.LexisegError]]:
    """Return an error and all below it, in the order in which they are written."""
    return [kind, *(one for child in kind.__subclasses__() for one in below(child))]


def error_classes() -> str:
    """Return a line an error class."""
    rows = []
    for kind in below(errors.LexisegError):
        above = kind.__mro__[1]
        parent = f"`{above.__name__}`" if above is not Exception else ""
        first = (inspect.getdoc(kind) or "").splitlines()[0]
        rows.append([f"`{kind.__name__}`", parent, str(kind.exit_code), first])
    return left(["error", "is a", "exit code", "when"], rows)


def public() -> str:
    """Return a line a public name."""
    rows = []
    for name in lexiseg.__all__:
        value = getattr(lexiseg, name)
        said = "The version, as text." if name == "__version__" else inspect.getdoc(value) or ""
        if name in _ROOMS:
            said = inspect.getdoc(_ROOMS[name]) or ""
        rows.append([f"`lexiseg.{name}`", " ".join(said.split("\n\n")[0].split())])
    return left(["name", "what it is"], rows)


def model_files() -> str:
    """Return a line a file of the bundled model."""
    rows = [
        [f"`{file.name}`", f"{file.bytes / 1e6:.2f}", f"`{file.sha256}`"]
        for file in get("tiny").files
    ]
    return markdown(["file", "MB", "SHA-256"], rows)


def model_parts() -> str:
    """Return the number of weights of each part of the bundled model."""
    folder = _weights()
    parts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in _header(path).items():
            size = 1
            for side in tensor["shape"]:
                size *= side
            parts[_part(path.stem, name)] += size
    rows = [[name, f"{count:,}"] for name, count in parts.items()]
    return markdown(["part", "weights"], [*rows, ["all", f"{sum(parts.values()):,}"]])


def known_words() -> str:
    """Return the words that had masks, seeds or a teacher's labels in training."""
    config = json.loads((_weights() / "config.json").read_text(encoding="utf-8"))
    known = sorted(config["known_words"], key=str.casefold)
    return f"{len(known)} words had masks, seeds or the labels of a teacher: {', '.join(known)}."


def _header(path: Path) -> dict[str, dict[str, list[int]]]:
    """Return what a safetensors file says of its tensors, without reading them."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, list[int]]] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header


def _part(file: str, name: str) -> str:
    if file == "text":
        return "text tower"
    if file == "masker":
        return "masker"
    head = name.partition(".")[0]
    return {"backbone": "backbone (MobileNetV2)", "context": "context (transformer layers)",
            "words": "projection of words"}.get(head, "decoder")  # fmt: skip


def _weights() -> Path:
    folder = bundled_folder("tiny")
    if folder is None:
        raise FileNotFoundError("the bundled model has no folder")
    return folder


def _info(method: str) -> loading.MethodInfo:
    return next(one for one in lexiseg.list_methods() if one.name == method)


def _meanings(text: str) -> list[tuple[list[str], str]]:
    """Return what a docstring says after each "name: " or "name, name: "."""
    parts = _ADDRESSED.split(text)
    return [
        (heads.split(", "), " ".join(said.split()).rstrip(".").replace("``", "`"))
        for heads, said in zip(parts[1::2], parts[2::2], strict=True)
    ]


def _value(value: object) -> str:
    if value == DEFAULT_BACKGROUND:
        return "[the list](../concepts.md#background-words)"
    return f"`{value}`"


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"


def left(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', _BAR) for cell in line)} |" for line in lines
    )
