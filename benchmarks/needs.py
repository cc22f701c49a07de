"""What rows need before they start: data, WordNet, packages, another checkout.

A row names its needs in `NEEDS`; all are looked at before the first row runs, so that no row finds
out after minutes. A row may add a `check(options)`, which returns what is missing, or None.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from benchmarks import rows
from benchmarks.machine import Unmeasurable

__all__ = ["NAMES", "missing"]


def missing(name: str, options: Namespace) -> str | None:
    """Return the first thing that a row lacks, with what to do; None where it can run."""
    row = rows.row(name)
    for need in row.NEEDS:
        kind, _, what = need.partition(":")
        lack = _CHECKS[kind](options, what)
        if lack is not None:
            return lack
    check: Callable[[Namespace], str | None] = getattr(row, "check", lambda options: None)
    return check(options)


def _data(options: Namespace, what: str) -> str | None:
    if not options.data:
        return "it needs --data DIR, a data set or a folder of them"
    for root in options.data:
        if not Path(root).is_dir():
            return f"--data {root} is not a folder"
    if what and not any(_holds(Path(root), what) for root in options.data):
        return f"it needs the set {what}, which is in none of the --data folders"
    return None


def _holds(root: Path, name: str) -> bool:
    return (root.name == name and (root / "dataset.json").is_file()) or (root / name).is_dir()


def _wordnet(options: Namespace, what: str) -> str | None:
    from benchmarks.vocabulary import wordnet

    try:
        wordnet()
    except Unmeasurable as error:
        return str(error)
    return None


def _package(options: Namespace, what: str) -> str | None:
    if find_spec(what) is not None:
        return None
    return f"it needs the package {what}: pip install -c constraints.txt {what}"


def _base(options: Namespace, what: str) -> str | None:
    if options.base is not None:
        return None
    return "it needs --base, another checkout of lexiseg or a commit"


_CHECKS: Mapping[str, Callable[[Namespace, str], str | None]] = {
    "data": _data, "wordnet": _wordnet, "package": _package, "base": _base,
}  # fmt: skip
NAMES = tuple(_CHECKS)
