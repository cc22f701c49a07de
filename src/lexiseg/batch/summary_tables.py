"""The tables of a run: pictures.csv, failures.csv, and all masks as Parquet or JSON lines.

They are made of the records in the order of the plan, so that they are the same bytes however
often a run was ended, and whoever did which picture.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lexiseg import imaging
from lexiseg.batch.plan import Entry
from lexiseg.batch.tables import require_pyarrow
from lexiseg.batch.work import FAILED, Record

__all__ = ["FAILURES", "MASKS", "PICTURES", "write_masks", "write_pictures"]

PICTURES, FAILURES = "pictures.csv", "failures.csv"
MASKS = {"parquet": "masks.parquet", "jsonl": "masks.jsonl"}
_GROUP = 20_000  # masks: what is held in memory at once
_COLUMNS = ("picture", "status", "height", "width", "found", "instances", "folder", "edited",
            "error", "notes")  # fmt: skip
_OF_MASKS = (
    "picture", "picture_index", "height", "width", "word", "score", "quality", "area", "box",
    "colour", "rle", "method", "encoder", "masker", "version", "provenance",
)  # fmt: skip

Done = tuple[Entry, Record]


def write_pictures(pairs: Iterable[Done], entries: Sequence[Entry], out: Path) -> None:
    """Write a row a picture, and of those that failed another table, where there are any.

    entries: all of the plan, for their further columns.
    """
    further = _further(entries, _COLUMNS)
    everything, failures = io.StringIO(newline=""), io.StringIO(newline="")
    rows = csv.writer(everything, lineterminator="\n")
    lost = csv.writer(failures, lineterminator="\n")
    rows.writerow([*_COLUMNS, *further.values()])
    lost.writerow(["picture", "error", *further.values()])
    count = 0
    for entry, record in pairs:
        extra = [_cell(entry.extra.get(name)) for name in further]
        error = entry.error or record.error
        height, width = record.size_hw
        rows.writerow([
            entry.name, record.status, height or "", width or "", "; ".join(record.found),
            len(record.instances) if record.size_hw[0] else "", record.folder or "",
            "; ".join(record.files), error, "; ".join(record.notes), *extra,
        ])  # fmt: skip
        if record.status == FAILED:
            count += 1
            lost.writerow([entry.name, error, *extra])
    _write(out / PICTURES, everything)
    if count:
        _write(out / FAILURES, failures)
    else:
        (out / FAILURES).unlink(missing_ok=True)


def write_masks(pairs: Iterable[Done], entries: Sequence[Entry], out: Path, kind: str) -> None:
    """Write a row a mask, with its picture's further columns. kind: a key of `MASKS`.

    Raises ExtraMissing for Parquet without pyarrow, OutputError.
    """
    further = _further(entries, _OF_MASKS)
    rows = (row for n, (entry, record) in enumerate(pairs) for row in _masks(n, entry, record))
    for other in set(MASKS) - {kind}:
        (out / MASKS[other]).unlink(missing_ok=True)
    if kind == "parquet":
        _write_parquet(rows, entries, further, out / MASKS[kind])
    else:
        _write_lines(rows, further, out / MASKS[kind])


def _masks(number: int, entry: Entry, record: Record) -> Iterator[dict[str, Any]]:
    """The rows of a picture; its further columns under their own names."""
    made = record.provenance
    height, width = record.size_hw
    about = json.dumps(made, ensure_ascii=False, sort_keys=True)
    for one in record.instances:
        yield {
            "picture": entry.name, "picture_index": number, "height": height, "width": width,
            "word": one["word"], "score": one["score"], "quality": one["quality"],
            "area": one["area"], "box": one["box_xywh"], "colour": one["colour"],
            "rle": one["rle"], "method": made.get("method"), "encoder": made.get("encoder"),
            "masker": made.get("masker"), "version": made.get("version"), "provenance": about,
            "extra": entry.extra,
        }  # fmt: skip


def _write_lines(rows: Iterable[dict[str, Any]], further: Mapping[str, str], path: Path) -> None:
    with imaging.writing(path) as file:
        for row in rows:
            extra = row.pop("extra")
            row |= {column: extra.get(name) for name, column in further.items()}
            text = json.dumps(row, ensure_ascii=False) + "\n"
            file.write(text.encode("utf-8", "backslashreplace"))


def _write_parquet(
    rows: Iterable[dict[str, Any]], entries: Sequence[Entry], further: Mapping[str, str], path: Path
) -> None:
    arrow = require_pyarrow("the table of all masks")
    own = {name: _kind(arrow, [entry.extra.get(name) for entry in entries]) for name in further}
    text = arrow.dictionary(arrow.int32(), arrow.string())
    schema = arrow.schema([
        ("picture", arrow.string()), ("picture_index", arrow.int64()), ("height", arrow.int32()),
        ("width", arrow.int32()), ("word", text), ("score", arrow.float32()),
        ("quality", arrow.float32()), ("area", arrow.int64()),
        ("box", arrow.list_(arrow.int32())), ("colour", arrow.string()),
        ("rle", arrow.struct([("size", arrow.list_(arrow.int32())), ("counts", arrow.string())])),
        ("method", text), ("encoder", text), ("masker", text), ("version", text),
        ("provenance", text), *((further[name], kind) for name, (kind, _) in own.items()),
    ])  # fmt: skip
    with (
        imaging.writing(path) as file,
        arrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        group: list[dict[str, Any]] = []
        for row in rows:
            extra = row.pop("extra")
            row |= {further[name]: cast(extra.get(name)) for name, (_, cast) in own.items()}
            group.append(row)
            if len(group) == _GROUP:
                writer.write_table(arrow.Table.from_pylist(group, schema))
                group.clear()
        writer.write_table(arrow.Table.from_pylist(group, schema))


def _further(entries: Sequence[Entry], taken: Sequence[str]) -> dict[str, str]:
    """The further columns of a table by name, as they are called in results: none twice."""
    names = dict.fromkeys(name for entry in entries for name in entry.extra)
    out: dict[str, str] = {}
    for name in names:
        column = name
        while column in taken or column in out.values():
            column += "_given"
        out[name] = column
    return out


def _kind(arrow: Any, values: Sequence[Any]) -> tuple[Any, Any]:
    """The type of a column, and what makes a value one of it."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return arrow.bool_(), lambda value: value
    if kinds == {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return arrow.int64(), lambda value: value
    if kinds and kinds <= {int, float}:
        return arrow.float64(), lambda value: None if value is None else float(value)
    return arrow.string(), lambda value: None if value is None else _cell(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _write(path: Path, text: io.StringIO) -> None:
    imaging.write_bytes(path, text.getvalue().encode("utf-8", "backslashreplace"))
