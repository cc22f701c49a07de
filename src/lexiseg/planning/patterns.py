"""Patterns as shells have them: `*`, `?`, `[abc]`, and `**` for any folders.

Unlike `glob`, a part that is the name of something there stands for it, whatever brackets it
holds, and `**` follows no links, whose circles have no end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import translate

__all__ = ["expand", "is_pattern"]

_MAGIC = re.compile(r"[*?[]")


def is_pattern(text: str) -> bool:
    """Whether a name holds a sign of patterns."""
    return bool(_MAGIC.search(text))


def expand(pattern: str) -> tuple[str, list[str]]:
    """Return the folder that a pattern starts from, and all that matches it, sorted.

    Names that begin with a dot match only parts that do. Folders that cannot be read are empty.
    A `**` at the end stands for files alone.
    """
    drive, tail = os.path.splitdrive(pattern)
    parts = [part for part in re.split(r"[/\\]" if os.sep == "\\" else "/", tail) if part]
    root = drive + (os.sep if tail[:1] in ("/", os.sep) else "")
    while parts[:-1] and (not is_pattern(parts[0]) or _there(root, parts[0])):
        root = os.path.join(root, parts.pop(0))
    found: set[str] = set()
    done: set[tuple[str, int]] = set()  # two ** must not walk a folder twice
    waiting = [(root, 0)]
    while waiting:
        state = waiting.pop()
        if state in done:
            continue
        done.add(state)
        folder, at = state
        if at == len(parts):
            found.add(folder)
        elif parts[at] == "**":
            last = at + 1 == len(parts)
            if not last:
                waiting.append((folder, at + 1))
            for path, entry in _visible(folder):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((path, at))
                elif last:
                    found.add(path)
        else:
            waiting += [(path, at + 1) for path in _matching(folder, parts[at])]
    return root or os.curdir, sorted(found)


def _matching(folder: str, part: str) -> Iterator[str]:
    """The paths in a folder that one part of a pattern matches."""
    if _there(folder, part):
        yield os.path.join(folder, part)
    elif is_pattern(part):
        match = re.compile(translate(part)).match
        for path, entry in _visible(folder, hidden=part.startswith(".")):
            if match(entry.name):
                yield path


def _there(folder: str, name: str) -> bool:
    return os.path.lexists(os.path.join(folder, name))


def _visible(folder: str, *, hidden: bool = False) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The paths in a folder, spelled as the folder is, with their entries."""
    try:
        with os.scandir(folder or os.curdir) as listing:
            entries = list(listing)
    except OSError:
        return
    for entry in entries:
        if hidden or not entry.name.startswith("."):
            yield os.path.join(folder, entry.name), entry
