"""Generated text: what stands between the lines `<!-- made: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from docs.make import curve, decoder_curve, exports, facts, formats, reproduced, runs, walk
from docs.make.commands import COMMANDS

import lexiseg
from lexiseg.evaluation.published_results import PAPERS

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(<!-- made: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

Maker = Callable[[], str]

# Text that follows from the code and the files of the model.
FACTS: Mapping[str, Maker] = {
    "methods": facts.methods,
    **{f"fields-{one.name}": partial(facts.fields, one.name) for one in lexiseg.list_methods()},
    **{f"presets-{one.name}": partial(facts.presets, one.name) for one in lexiseg.list_methods()},
    "operations": facts.operations,
    "datasets": facts.datasets,
    "background": facts.background,
    "formats-kept": formats.table,
    "formats-kinds": formats.kinds,
    "exports-options": exports.options,
    "errors": facts.error_classes,
    "public": facts.public,
    "model-files": facts.model_files,
    "model-parts": facts.model_parts,
    "known-words": facts.known_words,
    **{f"reproduce-{paper}": partial(reproduced.table, paper) for paper in PAPERS},
    "training": curve.text,
    "clipseg-training": decoder_curve.text,
    **{f"options-{name}": partial(facts.options, name) for name in COMMANDS},
}
# Text that the model itself must be run for, or that takes long.
RUNS: Mapping[str, Maker] = {
    "exports-kept": exports.table,
    "readme-prints": runs.readme_prints,
    "segment-prints": runs.segment_prints,
    "unknown-prints": runs.unknown_prints,
    "result-json": runs.result_json,
    **{f"walk-{way}": partial(walk.text, way) for way in ("dense", "clip-then-sam", "remove")},
}


def pages() -> list[Path]:
    """Return every page of the project that may hold generated text."""
    found = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")]
    return sorted(found)


def fill(text: str, makers: Mapping[str, Maker]) -> str:
    """Return a page with the blocks that `makers` knows written anew."""

    def anew(hit: re.Match[str]) -> str:
        maker = makers.get(hit[2])
        return hit[0] if maker is None else f"{hit[1]}{maker().strip()}\n{hit[3]}"

    return _BLOCK.sub(anew, text)


def names(text: str) -> list[str]:
    """Return the names of the blocks of a page."""
    return [hit[2] for hit in _BLOCK.finditer(text)]


def update(*, with_model: bool) -> list[str]:
    """Write the blocks of all pages anew; return the pages that changed."""
    makers = {**FACTS, **RUNS} if with_model else FACTS
    changed = []
    for path in pages():
        before = path.read_text(encoding="utf-8")
        after = fill(before, makers)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(str(path.relative_to(ROOT)))
    return changed
