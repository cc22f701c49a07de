"""A training run on disk: its settings, its checkpoint, its log."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import torch

from lexiseg.datasets.annotations import MaskFile, Truth
from lexiseg.errors import OptionError

__all__ = ["RunFolder", "digest", "label_source", "save_atomically"]

_SHOWN = 3  # differing settings in an error message


class RunFolder:
    """``recipe.json``, ``checkpoint.pt`` and ``log.jsonl`` of one run.

    settings: all that decides the run's numbers. Raises OptionError where the folder holds a
    checkpoint of a run with other settings: going on would mix two recipes.
    """

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.log = path / "log.jsonl"
        path.mkdir(parents=True, exist_ok=True)
        recipe = path / "recipe.json"
        wanted = json.loads(json.dumps(settings))  # tuples become lists, as they are when read
        if self.checkpoint.is_file():
            _compare(recipe, wanted)
        else:
            recipe.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")

    def load(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """Return what ``save`` was given last, its tensors on ``device``; None for a new run."""
        if not self.checkpoint.is_file():
            return None
        saved: dict[str, Any] = torch.load(self.checkpoint, weights_only=True, map_location=device)
        return saved

    def save(self, values: Mapping[str, Any]) -> None:
        """Write the checkpoint; a kill at any moment leaves the old one whole."""
        save_atomically(self.checkpoint, dict(values))

    def open_log(self, start: int) -> TextIO:
        """Open the log behind the line of the step before ``start``.

        Lines of later steps come from a run that was killed after its last checkpoint: they go,
        for these steps are done again.
        """
        lines = self.log.read_text("utf-8").splitlines() if self.log.is_file() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] < start]
        self.log.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        return open(self.log, "a", encoding="utf-8")


def save_atomically(path: Path, values: Any) -> None:
    """Write beside the file's place, then rename, so that the place never holds half a file."""
    temporary = path.with_name(f"{path.name}.tmp")
    torch.save(values, temporary)
    os.replace(temporary, path)


def digest(*parts: bytes | memoryview | str | Path) -> str:
    """Return 16 hex digits that stand for texts and for the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part
        data = content.encode() if isinstance(content, str) else content
        total.update(len(data).to_bytes(8, "big"))  # so that ("ab", "c") is not ("a", "bc")
        total.update(data)
    return total.hexdigest()[:16]


def label_source(truth: Truth) -> Path | str:
    """Return the file of a photo's class mask, or a text that says the same, for a digest."""
    return truth.path if isinstance(truth, MaskFile) else repr(truth)


def _compare(recipe: Path, wanted: object) -> None:
    try:
        before = dict(_leaves(json.loads(recipe.read_text("utf-8"))))
    except (OSError, ValueError) as error:
        raise OptionError(
            f"{recipe} cannot be read ({error}), so the run beside it cannot be continued; give "
            "another folder"
        ) from error
    now = dict(_leaves(wanted))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        shown = ", ".join(
            f"{name} {_text(before.get(name))} (now {_text(now.get(name))})"
            for name in names[:_SHOWN]
        )
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise OptionError(
            f"the run in {recipe.parent} was begun with {shown}{more}; go on with the same "
            "settings, or give another folder"
        )


def _leaves(values: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings as pairs of a dotted name and a value."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, values


def _text(value: object) -> str:
    if isinstance(value, list) and len(value) > 8:
        return f"a list of {len(value)}"
    return json.dumps(value)
