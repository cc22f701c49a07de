"""The file of a run that grows by a line a picture, so that a run that was ended can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from lexiseg.errors import OptionError
from lexiseg.planning.journal import LineFile
from lexiseg.results import Provenance

__all__ = ["FILE_NAME", "Journal", "Record"]

FILE_NAME = "pictures.jsonl"
_RESULTS = "results.json"

Kept = TypeVar("Kept", bound="Record")


class Record(Protocol):
    """What is kept of a picture, a phrase or an episode."""

    @property
    def id(self) -> str:
        """What tells it apart from the others."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return what `to_json` gave; raises KeyError and TypeError for anything else."""


class Journal(Generic[Kept]):
    """Results of single pictures in a file; what is there already is in ``done``, by id.

    record: the type of the results. settings: what must be the same for the rest of a run. resume:
    go on with what is there, else begin anew. A run that is there without results.json did not come
    to its end, and is kept from being written over; the file goes until this one has.

    Raises OptionError where there is an unfinished run that is not to be resumed, or a run with
    other settings that is.
    """

    def __init__(
        self,
        folder: Path,
        record: type[Kept],
        settings: Mapping[str, Any],
        *,
        resume: bool,
        name: str = FILE_NAME,
    ) -> None:
        self.path = folder / name
        self.done: dict[str, Kept] = {}
        self._record = record
        self.provenance: Provenance | None = None
        self._settings = json.loads(json.dumps(settings))
        self._lines = LineFile(self.path)
        finished = (folder / _RESULTS).is_file()
        if self.path.is_file() and resume:
            self._read()
        elif self.path.is_file() and not finished:
            with self.path.open("rb") as file:
                count = max(0, sum(1 for _ in file) - 1)
            raise OptionError(
                f"{str(folder)!r} holds a run that was ended after {count} {self.path.stem}; go on "
                f"with it (--resume), give another folder, or delete {self.path.name} there"
            )
        (folder / _RESULTS).unlink(missing_ok=True)  # it comes back when all is done

    def append(self, result: Kept, provenance: Provenance) -> None:
        """Add a result. Raises OptionError where it was made by another method than the others."""
        if self.provenance is None:
            self.provenance = provenance
        elif provenance.to_json() != self.provenance.to_json():
            ours, theirs = provenance.to_json(), self.provenance.to_json()
            raise OptionError(self._differs({k: ours[k] for k in ours}, theirs))
        header = {"settings": self._settings, "provenance": provenance}
        self._lines.append(*([] if self._lines.length else [header]), result.to_json())

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _read(self) -> None:
        """Read what is whole: a line that a kill cut short is left out."""
        lines = self._lines.read()
        try:
            header = next((json.loads(line) for _, line in lines), None)
            if header is None:
                return
            if header["settings"] != self._settings:
                raise OptionError(self._differs(self._settings, header["settings"]))
            known = {field.name for field in fields(Provenance)}
            made = {key: value for key, value in header["provenance"].items() if key in known}
            made |= {"prompts": None, "notes": ()}
            self.provenance = Provenance(**made)
            for _, line in lines:
                result = self._record.from_json(json.loads(line))
                self.done[result.id] = result
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
