"""The tables in the docs, generated from the committed results.

`docs/results.md` is generated whole. Any other page may hold a table between the lines
`<!-- results: NAME -->` and `<!-- end -->`, or a part of it: `<!-- results: NAME/PART -->`, where
PART is a function of the row. Before it is measured, a line says so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks import rows, store
from benchmarks.machine import ROOT
from benchmarks.rows.common import markdown

PAGE = Path("docs/results.md")
_OTHERS = ("README.md", "docs/**/*.md", "src/**/*.md")
_BLOCK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MISSING = "*Not measured yet: `python -m benchmarks run {row}` does it.*"
_HEAD = """# Results

Every number here is generated from `benchmarks/results/*.json` by `python -m benchmarks tables`;
each file holds the commit, the machine and the command. Intervals are of 95 %, over photos.
"""


def update(*, check: bool = False, root: Path = ROOT) -> list[Path]:
    """Write all tables anew; return the pages that changed (`check`: that would change)."""
    pages = {root / PAGE: page()}
    for pattern in _OTHERS:
        for path in sorted(root.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            if path != root / PAGE and _BLOCK.search(text):
                pages[path] = fill(text)
    stale = []
    for path, text in pages.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.relative_to(root))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return stale


def page() -> str:
    """Return docs/results.md: a section for each result, in the rows' order."""
    order = {name: place for place, name in enumerate(rows.NAMES)}
    found = sorted(store.names(), key=lambda name: (order[row_of(name)], name))
    return "\n".join([_HEAD, *(_section(name) for name in found)])


def fill(text: str) -> str:
    """Return the text with every table between its lines written anew."""
    return _BLOCK.sub(lambda hit: f"{hit[1]}{_table(hit[2])}\n{hit[3]}", text)


def _section(name: str) -> str:
    content = store.read(name)
    machine, commit = content["machine"], content["commit"]
    where = f"{machine['cores']} x {machine['cpu']}, AMX {'yes' if machine['amx'] else 'no'}"
    if "gpu" in machine:
        where = f"{machine['gpu']}; {where}"
    source = f"commit {commit['id'][:10]}{' (changed)' if commit['changed'] else ''}"
    return (
        f"## {name}\n\n{rows.row(row_of(name)).ABOUT}\n\n{_table(name)}\n\n"
        f"`{content['command']}` · {content['date']} · {source} · {where}, "
        f"torch {machine['torch']}, load {machine['load']}\n{_elsewhere(name, content)}"
    )


def _elsewhere(name: str, content: dict[str, Any]) -> str:
    """What other machines gave: in columns beside this one's, where a line is one number."""
    others = content.get("others", ())
    if not others:
        return ""
    make = rows.row(row_of(name)).table
    every = [content, *others]
    tables = [_cells(make(one["result"])) for one in every]
    heads = [
        f"{one['machine'].get('gpu', one['machine']['cpu'])}, {one['machine']['cores']} cores, "
        f"{one['date']}, {one['commit']['id'][:7]}"
        for one in every
    ]
    if all(len(table[0]) == 2 for table in tables):
        values = [dict(table[1:]) for table in tables]
        lines = [[key, *(one.get(key, "-") for one in values)] for key in values[0]]
        return f"\nBy machine, each at its own commit:\n\n{markdown(['what', *heads], lines)}\n"
    parts = [
        f"<details><summary>{head}</summary>\n\n{make(one['result']).strip()}\n\n</details>"
        for head, one in zip(heads[1:], others, strict=True)
    ]
    return "\nOther machines, each at its own commit:\n\n" + "\n\n".join(parts) + "\n"


def _cells(table: str) -> list[list[str]]:
    """The first Markdown table in a text, its rule left out."""
    lines = [line for line in table.split("\n\n", 1)[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for place, row in enumerate(cells) if place != 1]


def _table(place: str) -> str:
    name, _, part = place.partition("/")
    try:
        result = store.read(name)["result"]
    except FileNotFoundError:
        return _MISSING.format(row=row_of(name))
    table: str = getattr(rows.row(row_of(name)), part or "table")(result)
    return table.strip()


def row_of(name: str) -> str:
    """The row of a result: "edit-speed" of "edit-speed-tiny"."""
    return max((row for row in rows.NAMES if f"{name}-".startswith(f"{row}-")), key=len)
