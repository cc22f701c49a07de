"""What a run has done, by task: a file a shard in the output folder, read by all that go on there.

A task that was done and not written down is done again, to the same bytes; one that is written
down is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2s
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lexiseg.batch.work import FAILED, Record
from lexiseg.errors import OptionError, OutputError
from lexiseg.planning.journal import LineFile

__all__ = ["FOLDER", "Journal"]

FOLDER = ".lexiseg-batch"


class Journal:
    """The records of all shards in a folder, by task; this shard's grow.

    settings: what must be the same for all that is there. shard: (number from 1, of how many).
    anew: forget what is there. As a context it holds its file for itself.

    Raises OptionError for records of a run with other settings, OutputError where another run
    works as the same shard.
    """

    def __init__(
        self, out: Path, settings: Mapping[str, Any], shard: tuple[int, int], *, anew: bool
    ) -> None:
        self.folder = out / FOLDER
        self.workshop = self.folder / f"workshop-{shard[0]}-of-{shard[1]}"
        self._settings: dict[str, Any] = json.loads(json.dumps(settings))
        self._own = LineFile(self.folder / f"{shard[0]}-of-{shard[1]}.jsonl")
        self._lock = FileLock(self._own.path.with_suffix(".lock"))
        self._anew = anew
        self._places: dict[str, tuple[LineFile, int]] = {}
        self._statuses: dict[str, str] = {}
        self._made: dict[str, dict[str, Any]] = {}  # provenances by their digest
        self._written: set[str] = set()  # digests of those in our file

    def __enter__(self) -> Journal:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(
                f"another run works in {str(self.folder.parent)!r}; wait for it, or share the work "
                "by --shard I/N"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{str(self.folder)!r} cannot be written ({error.strerror or error}); choose "
                "another output folder"
            ) from error
        try:
            if self._anew:
                for path in self.folder.glob("*.jsonl"):
                    path.unlink()
            if self._own.path.is_file():
                self._read(self._own)
            self.refresh()
        except BaseException:
            self._lock.release()
            raise
        return self

    @property
    def path(self) -> Path:
        """This shard's file."""
        return self._own.path

    def __exit__(self, *_: object) -> None:
        self._own.close()
        self._lock.release()

    def refresh(self) -> None:
        """Read what other shards have done by now."""
        for path in sorted(self.folder.glob("*.jsonl")):
            if path != self._own.path:
                self._read(LineFile(path))

    def status(self, key: str) -> str | None:
        """Return what became of a task; None where nothing is known of it."""
        return self._statuses.get(key)

    def record(self, key: str) -> Record:
        """Return the record of a task that is known."""
        lines, place = self._places[key]
        return self._parsed(lines.at(place))

    def append(self, record: Record) -> None:
        """Add what became of a task."""
        values = record.to_json()
        made = values["provenance"]
        digest = _digest(made)
        if not self._own.length:
            self._own.append({"settings": self._settings})
        if digest not in self._written:
            self._own.append({"digest": digest, "provenance": made})
            self._written.add(digest)
            self._made[digest] = made
        place = self._own.length
        self._own.append({**values, "provenance": digest})
        self._place(record.key, record.status, self._own, place)

    def count(self, keys: Iterable[str]) -> int:
        """Return how many of the tasks are known, done or failed."""
        return sum(key in self._statuses for key in keys)

    def _read(self, lines: LineFile) -> None:
        """Read a shard's file; a line that a kill cut short is left out."""
        own = lines is self._own
        try:
            for place, text in lines.read():
                values = json.loads(text)
                if place == 0:
                    self._check(values["settings"])
                elif "digest" in values:
                    self._made[values["digest"]] = values["provenance"]
                    if own:
                        self._written.add(values["digest"])
                else:
                    self._place(values["key"], values["status"], lines, place)
        except (ValueError, KeyError, TypeError) as error:
            raise OptionError(
                f"{str(lines.path)!r} is no journal of lexiseg batch ({error}); delete it, or give "
                "another output folder"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{str(lines.path)!r} cannot be read ({error.strerror or error}); check who may"
            ) from error

    def _place(self, key: str, status: str, lines: LineFile, place: int) -> None:
        """Take a record into account: what one shard has done, another's failure does not undo."""
        known = self._statuses.get(key)
        if known is None or known == FAILED or self._places[key][0] is lines:
            self._statuses[key] = status
            self._places[key] = lines, place

    def _parsed(self, values: dict[str, Any]) -> Record:
        made = self._made.get(values["provenance"], {})
        return replace(Record.from_json({**values, "provenance": {}}), provenance=made)

    def _check(self, theirs: Mapping[str, Any]) -> None:
        keys = [key for key, value in self._settings.items() if value != theirs.get(key)]
        if keys:
            raise OptionError(
                f"the run in {str(self.folder.parent)!r} was made with another {', '.join(keys)}; "
                "go on with the same settings, give another output folder, or begin anew (--anew)"
            )


def _digest(made: Mapping[str, Any]) -> str:
    text = json.dumps(made, sort_keys=True, ensure_ascii=False)
    return blake2s(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
