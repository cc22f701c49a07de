"""What several rows do: load the method, open the data, print a Markdown table."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lexiseg.datasets import SemanticDataset, find_sets


def load(options: Namespace) -> Callable[..., Any]:
    """Return the method to be measured."""
    import lexiseg
    from lexiseg.loading import make_config

    fields = make_config(options.method).__dataclass_fields__
    given = {"instances": "off"} if "instances" in fields else {}  # maps are what is measured
    segmenter: Callable[..., Any] = lexiseg.load(options.method, device=options.device, **given)
    return segmenter


def open_data(options: Namespace) -> tuple[SemanticDataset, ...]:
    """Return the data sets to measure on, cut to `--limit` photos."""
    found = find_sets(options.data, options.split, splits=options.splits)
    return tuple(one.first(options.limit) for one in found) if options.limit else found


def progress(label: str) -> Callable[[int, int], None] | None:
    """Return a progress line on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, count: int) -> None:
        end = "\n" if done == count else ""
        print(f"\r{label}: {done}/{count}", end=end, file=sys.stderr, flush=True)

    return show


def markdown(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; columns after the first are set flush right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    rows = [head, rule, *([str(cell) for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as percent, "-" for none."""
    return "-" if value is None else f"{100 * value:.{digits}f}"


def estimate(value: dict[str, float | None]) -> str:
    """Return a number and its interval as percent."""
    if value["value"] is None:
        return "-"
    return f"{percent(value['value'])} ({percent(value['low'])} to {percent(value['high'])})"
