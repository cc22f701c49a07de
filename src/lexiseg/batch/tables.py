"""Tables of pictures: CSV, JSON lines and Parquet, a row a picture, with what is asked of it.

Columns that mean something are `COLUMNS`, and the options of edits where a row has an operation;
all others are kept as they are.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lexiseg.edit.steps import FLAGS, SWITCHES
from lexiseg.errors import ExtraMissing, InputError

__all__ = ["COLUMNS", "SUFFIXES", "Row", "read_list", "read_table", "require_pyarrow", "texts_of"]

COLUMNS = (
    "picture", "words", "background", "points", "not_points", "boxes", "like", "operation",
)  # fmt: skip
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_OPTIONS = {name.replace("-", "_"): name for name in (*FLAGS, *SWITCHES, "with")}
_SEPARATORS = (",", ";", "\t")
_NO = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Row:
    """A row: where it stands ("list.csv, line 3"), what it asks, and what is kept of it.

    given: of `COLUMNS`, those that are not empty. options: of the operation. extra: all else.
    error: why it is no row, as the end of a sentence.
    """

    place: str
    given: Mapping[str, Any]
    options: Mapping[str, str | bool] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def read_table(path: Path) -> list[Row]:
    """Return the rows of a table; the ending of its name tells its kind.

    Raises InputError for one that cannot be read, or has no column `picture`; ExtraMissing for
    Parquet without pyarrow.
    """
    name = str(path)
    try:
        if path.suffix.lower() == ".parquet":
            return list(_parquet(path))
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the table {name!r} is no UTF-8 text ({error}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise InputError(
            f"the table {name!r} cannot be read ({error.strerror or error})"
        ) from error
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return list(_json_lines(text, name))
    return list(_separated(text, name))


def read_list(text: str, name: str) -> list[Row] | list[str]:
    """Return the rows of a table as text, or the names of a plain list, one a line.

    JSON lines begin with "{"; CSV has a column `picture` in its first line. Raises InputError.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.lstrip().startswith("{"):
        return list(_json_lines(text, name))
    if _separator(first) is not None:
        return list(_separated(text, name))
    return [line for line in text.splitlines() if line.strip()]


def require_pyarrow(what: str) -> Any:
    """Return pyarrow; raises ExtraMissing. what: what needs it, for the message."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise ExtraMissing(f"{what} needs pyarrow; pip install 'lexiseg[batch]'") from error
    return pa


def _separator(header: str) -> str | None:
    """The separator of a CSV header with a column `picture`; None where it is none."""
    for separator in _SEPARATORS:
        cells = next(csv.reader([header], delimiter=separator), [])
        if "picture" in [cell.strip().lower() for cell in cells]:
            return separator
    return None


def _separated(text: str, name: str) -> Iterator[Row]:
    lines = io.StringIO(text, newline="")
    separator = _separator(next(iter(text.splitlines()), ""))
    if separator is None:
        raise InputError(
            f"the table {name!r} has no column `picture` in its first line; name its columns there"
        )
    reader = csv.reader(lines, delimiter=separator)
    header = [_column(cell) for cell in next(reader)]
    twice = sorted({one for one in header if header.count(one) > 1})
    if twice:
        raise InputError(f"the table {name!r} has two columns {twice[0]!r}; rename one")
    try:
        for cells in reader:
            if not any(cells):
                continue
            place = f"{name}, line {reader.line_num}"
            if len(cells) > len(header):
                error = f"has {len(cells)} cells for {len(header)} columns; quote cells with commas"
                yield Row(place, {}, error=error)
                continue
            yield _row(place, dict(zip(header, cells, strict=False)))
    except csv.Error as error:
        raise InputError(f"the table {name!r} is no CSV ({error}); export it again") from error


def _json_lines(text: str, name: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):  # not at U+2028, which JSON may hold
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(place, {}, error=f"is no JSON ({error}); write an object a line")
            continue
        if not isinstance(values, dict):
            yield Row(place, {}, error="is no JSON object; write an object a line")
            continue
        yield _row(place, {_column(key): value for key, value in values.items()})


def _parquet(path: Path) -> Iterator[Row]:
    arrow = require_pyarrow(f"the table {str(path)!r}")
    try:
        table = arrow.parquet.ParquetFile(path)
        names = {name: _column(name) for name in table.schema_arrow.names}
        if "picture" not in names.values():
            raise InputError(f"the table {str(path)!r} has no column `picture`; name one so")
        number = 0
        for batch in table.iter_batches():
            for values in batch.to_pylist():
                number += 1
                own = {names[key]: value for key, value in values.items()}
                yield _row(f"{path}, row {number}", own)
    except (arrow.ArrowException, OSError) as error:
        raise InputError(
            f"the table {str(path)!r} cannot be read ({error}); write it again"
        ) from error


def _column(name: str) -> str:
    """A column as we name it, where it is one of ours; any other as it is."""
    plain = name.strip().lower().replace("-", "_")
    return plain if plain in COLUMNS or plain in _OPTIONS else name


def _row(place: str, values: Mapping[str, Any]) -> Row:
    given = {name: values[name] for name in COLUMNS if not _empty(values.get(name))}
    options: dict[str, str | bool] = {}
    extra: dict[str, Any] = {}
    for name, value in values.items():
        if name in COLUMNS:
            continue
        if name in _OPTIONS and "operation" in given:
            if not _empty(value):
                _add_option(options, _OPTIONS[name], value)
        else:
            extra[name] = value
    error = "" if "picture" in given else "names no picture; fill its column `picture`"
    return Row(place, given, options, extra, error)


def _add_option(options: dict[str, str | bool], name: str, value: Any) -> None:
    if name not in SWITCHES:
        several = isinstance(value, list | tuple)
        options[name] = "; ".join(map(str, value)) if several else str(value)
    elif str(value).strip().lower() not in _NO:
        options[name] = True


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value == []


def texts_of(value: Any) -> list[str]:
    """Return the texts of a cell that may hold a list."""
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]
