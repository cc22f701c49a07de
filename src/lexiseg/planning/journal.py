"""A file that grows by a line of JSON at a time, so that a run that was ended can go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lexiseg.errors import OutputError

__all__ = ["LineFile"]


class LineFile:
    """Lines of JSON in a file; what is written after a kill follows the last whole line.

    length: bytes of what is sound; `read` finds it, `append` moves it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = 0
        self._file: IO[bytes] | None = None

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Yield the place and the text of each whole line: one that a kill cut short is none.

        What is read counts as sound, up to where the caller stops.
        """
        self.length = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield self.length, line
                self.length += len(line)

    def append(self, *documents: Any) -> None:
        """Add a line each; what is no JSON value has `to_json`. Raises OutputError."""
        text = "".join(
            json.dumps(one, ensure_ascii=False, default=lambda value: value.to_json()) + "\n"
            for one in documents
        )
        data = text.encode("utf-8", "backslashreplace")
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("r+b" if self.length else "wb")
                self._file.truncate(self.length)
                self._file.seek(self.length)
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{str(self.path)!r} cannot be written ({error.strerror or error}); make room, and "
                "go on with the run"
            ) from error
        self.length += len(data)

    def at(self, place: int) -> Any:
        """Return the document of the line that begins at a place."""
        with self.path.open("rb") as file:
            file.seek(place)
            return json.loads(file.readline())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
