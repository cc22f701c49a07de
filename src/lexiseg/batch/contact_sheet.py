"""index.html: a thumbnail a picture, to look through and to filter by word; needs no other file.

Its policy allows nothing but its own style, script and pictures, which it holds.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from lexiseg import imaging
from lexiseg.batch.plan import Entry
from lexiseg.batch.work import FAILED, Record

__all__ = ["INDEX", "PAGES", "write_contact_sheet"]

INDEX, PAGES = "index.html", "pages"
_A_PAGE = 1000  # pictures: a page of 8 MB opens at once
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1e22; background: #fcfcfa; margin: 1.5rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; } .note { color: #5c6068; font-size: 13px; }
#words { margin: 1rem 0; } #words button { font: inherit; font-size: 13px; margin: 0 .3rem .3rem 0;
  padding: .1rem .6rem; border: 1px solid #c9ccd1; border-radius: 1rem; background: #fff;
  cursor: pointer; } #words button[aria-pressed=true] { background: #1c1e22; color: #fff; }
#sheet { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; width: 180px; } figure img { display: block; max-width: 180px; }
figure .none { height: 90px; background: #eeeff1; }
figcaption { font-size: 12px; overflow-wrap: anywhere; } figcaption b { font-weight: 500; }
.failed { color: #b3261e; } [hidden] { display: none !important; }
"""
_SCRIPT = """
"use strict";
const chosen = new Set();
const figures = [...document.querySelectorAll("figure")].map(
  (figure) => [figure, new Set(JSON.parse(figure.dataset.words))]);
const shown = document.getElementById("shown");
function show() {
  let count = 0;
  for (const [figure, words] of figures) {
    figure.hidden = ![...chosen].every((word) => words.has(word));
    count += figure.hidden ? 0 : 1;
  }
  shown.textContent = String(count);
}
for (const button of document.querySelectorAll("#words button")) {
  button.addEventListener("click", () => {
    const word = button.dataset.word;
    if (!chosen.delete(word)) chosen.add(word);
    button.setAttribute("aria-pressed", String(chosen.has(word)));
    show();
  });
}
"""


def write_contact_sheet(pairs: Iterable[tuple[Entry, Record]], total: int, out: Path) -> None:
    """Write index.html, and where there are more pictures than a page holds, pages/2.html, ...

    total: how many pictures there are. Raises OutputError.
    """
    last = max(1, -(-total // _A_PAGE))
    left = iter(pairs)
    for number in range(1, last + 1):
        path = out / (INDEX if number == 1 else f"{PAGES}/{number}.html")
        up = "" if number == 1 else "../"
        group = list(islice(left, _A_PAGE))
        imaging.write_bytes(path, _page(group, number, last, total, up).encode())
    for path in (out / PAGES).glob("*.html"):  # of an earlier, longer run
        if path.stem.isdecimal() and int(path.stem) > last:
            path.unlink()


def _page(group: list[tuple[Entry, Record]], number: int, last: int, total: int, up: str) -> str:
    counts = Counter(word for _, record in group for word in record.found)
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    failed = sum(record.status == FAILED for _, record in group)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(_STYLE)}'; "
        f"script-src '{_hash(_SCRIPT)}'; base-uri 'none'; form-action 'none'"
    )
    buttons = "".join(
        f'<button type="button" aria-pressed="false" data-word="{escape(word)}">{escape(word)} '
        f"{count:,}</button>"
        for word, count in ranked
    )
    pages = " ".join(
        f"<b>{n}</b>" if n == number else f'<a href="{_href(n, up)}">{n}</a>'
        for n in range(1, last + 1)
    )
    lost = f"; {failed:,} failed" if failed else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<title>{total:,} pictures</title><style>{_STYLE}</style></head><body>
<h1>{total:,} pictures</h1>
<p class="note"><span id="shown">{len(group)}</span> of {len(group):,} on this page are
shown{lost}. A word shows those in which it was found.</p>
{f"<p>Page {pages}</p>" if last > 1 else ""}
<div id="words">{buttons}</div>
<div id="sheet">
{"".join(_figure(entry, record, up) for entry, record in group)}</div>
<script>{_SCRIPT}</script></body></html>
"""


def _figure(entry: Entry, record: Record, up: str) -> str:
    words = escape(json.dumps([*record.found]))
    image = '<div class="none"></div>'
    if record.thumbnail:
        image = f'<img alt="" src="data:image/jpeg;base64,{record.thumbnail}">'
    target = record.files[0] if record.files else record.folder
    if target is not None:
        image = f'<a href="{escape(up + quote(target, errors="surrogateescape"))}">{image}</a>'
    name = entry.name.encode("utf-8", "backslashreplace").decode()
    shares = ", ".join(f"{word} {100 * share:.0f}%" for word, share in record.found.items())
    about = escape(shares or "nothing found")
    error = entry.error or record.error
    if error:
        about = f'<span class="failed">{escape(error)}</span>'
    return (
        f'<figure data-words="{words}">{image}<figcaption><b>{escape(name)}</b><br>{about}'
        "</figcaption></figure>\n"
    )


def _href(number: int, up: str) -> str:
    return f"{up}{INDEX}" if number == 1 else f"{up}{PAGES}/{number}.html"


def _hash(text: str) -> str:
    """What a policy calls an inline style or script."""
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
