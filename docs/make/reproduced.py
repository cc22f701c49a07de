"""The tables of docs/reproduce.md: published numbers, commands, and what was measured here."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks import store
from docs.make.facts import left

from lexiseg.cli.reproduce import config_of
from lexiseg.datasets import dataset_info
from lexiseg.evaluation.published_results import PAPERS, Row
from lexiseg.evaluation.reproduce import arguments, command, weights_needs


def table(paper: str) -> str:
    """Return the rows of a paper, and under them what holds for single ones."""
    chosen = PAPERS[paper]
    lines, notes = [], []
    for row in chosen.rows.values():
        note = ""
        if row.note:
            if row.note not in notes:
                notes.append(row.note)
            note = f" ({notes.index(row.note) + 1})"
        lines.append([
            f"`{row.name}`{note}", _published(row), _here(row),
            f"`{command(row)}`" if row.options else "-",
        ])  # fmt: skip
    sources: dict[str, list[str]] = {}
    for row in chosen.rows.values():
        sources.setdefault(row.source, []).append(row.name)
    said = [left(["row", "published, %", "here", "command"], lines)]
    for source, names in sources.items():
        of = "" if len(sources) == 1 else f" ({', '.join(f'`{name}`' for name in names)})"
        said.append(f"From: {source}{of}.")
    if chosen.note:
        said.append(f"{chosen.note[0].upper()}{chosen.note[1:]}.")
    said += [f"({number}) {note}." for number, note in enumerate(notes, start=1)]
    return "\n\n".join(said)


def _published(row: Row) -> str:
    parts = [
        f"{value:g} s a photo" if name == "seconds" else f"{name} {value:g}"
        for name, value in row.published.items()
    ]
    return ", ".join(parts)


def _here(row: Row) -> str:
    """What was measured; without it, what that would need."""
    if not row.options:
        return "not run: no command"
    found = _measured().get(f"{row.paper}/{row.name}")
    if found is not None:
        return ", ".join(
            f"{name} {value:.2f}" for name, value in found["found"].items() if value is not None
        )
    needs = [
        f"{need.name} ({need.size})" if need.size[0].isdigit() else need.name
        for need in weights_needs(config_of(arguments(row)))
    ]
    info = dataset_info(row.data)
    return f"not run: needs {', '.join(needs)} and {info.name} ({info.size})"


@cache
def _measured() -> dict[str, Any]:
    """The committed results of `python -m benchmarks run reproduce`, by paper and row."""
    out: dict[str, Any] = {}
    for name in store.names():
        if name.startswith("reproduce-"):
            out |= store.read(name)["result"]["rows"]
    return out
