"""The file of a run that grows by a line a picture, so that a run that was ended can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from lexiseg.errors import OptionError, OutputError
from lexiseg.evaluation.pictures import PictureResult
from lexiseg.results import Provenance

__all__ = ["FILE_NAME", "Journal"]

FILE_NAME = "pictures.jsonl"


class Journal:
    """Results of single pictures in a file; what is there already is in ``done``, by id.

    settings: what must be the same for the rest of a run. resume: go on with what is there, else
    begin anew. finished: whether a run that is there came to its end; one that did not is kept
    from being written over.

    Raises OptionError where there is an unfinished run that is not to be resumed, or a run with
    other settings that is.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], *, resume: bool, finished: bool
    ) -> None:
        self.path = folder / FILE_NAME
        self.done: dict[str, PictureResult] = {}
        self.provenance: Provenance | None = None
        self._settings = json.loads(json.dumps(settings))
        self._file: IO[bytes] | None = None
        self._length = 0  # of what is sound
        if not self.path.is_file():
            return
        if resume:
            self._read()
        elif not finished:
            with self.path.open("rb") as file:
                count = max(0, sum(1 for _ in file) - 1)
            raise OptionError(
                f"{str(folder)!r} holds a run that was ended after {count} pictures; go on with "
                f"it (--resume), give another folder, or delete {FILE_NAME} there"
            )

    def append(self, result: PictureResult, provenance: Provenance) -> None:
        """Add a picture. Raises OptionError where it was made by another method than the others."""
        if self.provenance is None:
            self.provenance = provenance
        elif provenance.to_json() != self.provenance.to_json():
            ours, theirs = provenance.to_json(), self.provenance.to_json()
            raise OptionError(self._differs({k: ours[k] for k in ours}, theirs))
        lines = [] if self._length else [{"settings": self._settings, "provenance": provenance}]
        text = "".join(
            json.dumps(one, ensure_ascii=False, default=lambda value: value.to_json()) + "\n"
            for one in (*lines, result.to_json())
        )
        data = text.encode("utf-8", "backslashreplace")
        try:
            if self._file is None:
                self._file = self.path.open("r+b" if self._length else "wb")
                self._file.truncate(self._length)
                self._file.seek(self._length)
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{str(self.path)!r} cannot be written ({error.strerror or error}); make room and "
                "go on with --resume"
            ) from error
        self._length += len(data)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> None:
        """Read what is whole: a line that a kill cut short is left out."""
        data = self.path.read_bytes()
        lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
        if not lines:
            return
        try:
            header = json.loads(lines[0])
            if header["settings"] != self._settings:
                raise OptionError(self._differs(self._settings, header["settings"]))
            known = {field.name for field in fields(Provenance)}
            made = {key: value for key, value in header["provenance"].items() if key in known}
            made |= {"prompts": None, "notes": ()}
            self.provenance = Provenance(**made)
            self._length = len(lines[0])
            for line in lines[1:]:
                result = PictureResult.from_json(json.loads(line))
                self.done[result.id] = result
                self._length += len(line)
        except OptionError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise OptionError(
                f"{str(self.path)!r} is no file of an evaluation ({error}); delete it, or give "
                "another folder"
            ) from error

    def _differs(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
        keys = [key for key in ours if ours[key] != theirs.get(key)]
        if "config" in keys:  # name the field
            one, other = ours["config"], theirs.get("config", {})
            keys += [f"config.{key}" for key in one if one[key] != other.get(key)]
            keys.remove("config")
        return (
            f"the run in {str(self.path.parent)!r} was made with another {', '.join(keys)}; resume "
            "it with the same settings, or give another folder"
        )
