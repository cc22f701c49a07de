"""The tables in the docs, generated from the committed results.

`docs/results.md` is generated whole. Any other page may hold a table between the lines
`<!-- results: NAME -->` and `<!-- end -->`, or a part of it: `<!-- results: NAME/PART -->`, where
PART is a function of the row. Before it is measured, a line says so.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import rows, store
from benchmarks.machine import ROOT

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
        f"torch {machine['torch']}, load {machine['load']}\n"
    )


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
