"""What `lexiseg segment` says about a picture: a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lexiseg.cli.terminal import table
from lexiseg.results import Segmentation
from lexiseg.visualize.legend import percent

__all__ = ["Nearest", "describe", "stages"]


def describe(name: str, seg: Segmentation, words: Sequence[str], folder: Path) -> str:
    """Return the lines about one picture: each of `words`, and where the files are."""
    height, width = seg.size_hw
    unknown = {item.word: item for item in seg.unknown}
    rows = [["word", "share", "score", "instances", ""]]
    # Largest first; what was not found at the end, in the order asked.
    for word in sorted(words, key=lambda word: -seg.share(word)):
        if word in seg.found:
            score = float(seg.word_scores[seg.index(word)])
            share = percent(seg.share(word))
            rows.append([word, share, f"{score:.2f}", str(len(seg[word])), ""])
        elif word not in unknown:
            rows.append([word, "-", "-", "-", "not found"])
    stronger = _stronger_encoder(seg.provenance.encoder) if unknown else None
    notes = []
    for word in words:
        if word not in unknown:
            continue
        if word not in seg.found:
            rows.append([word, "-", "-", "-", "not known"])
        near = ", ".join(unknown[word].nearest)
        note = f"{seg.provenance.encoder} does not know {word!r}"
        note += f"; the nearest words that it knows: {near}" if near else ""
        note += f"; more words: --encoder {stronger}" if stronger else ""
        notes.append(f"  {note}\n")
    notes += [
        f"  {one.phrase}: {one.reason}\n"
        for one in seg.readings
        if one.reason and one.phrase in words and one.phrase not in unknown
    ]
    seconds = sum(seg.provenance.seconds.values())
    head = f"{name}  {width} x {height}, {seconds:.2f} s\n"
    return head + table(rows, right=(1, 2, 3)) + "".join(notes) + f"  -> {folder}\n"


class Nearest:
    """Remembers over a run whether any of the words was found, and what came nearest."""

    def __init__(self, words: Sequence[str]) -> None:
        self.found = False
        self._words = words
        self._best: tuple[float, str] = (0.0, "")
        self._reasons: dict[str, str] = {}  # phrase -> why it means none of its noun's things
        self._pictures = 0

    def add(self, seg: Segmentation) -> None:
        """Take the result of one more picture into account."""
        self._pictures += 1
        self.found = self.found or any(word in seg.found for word in self._words)
        for one in seg.readings:
            if one.reason and one.num_instances and one.phrase in self._words:
                self._reasons.setdefault(one.phrase, one.reason)
        if seg.score_map is not None and not self.found:
            for word in self._words:
                best = float(seg.score_map.grid[seg.index(word)].max())
                if best > self._best[0]:
                    self._best = (best, word)

    def nothing_found(self) -> str:
        """Return the line for when no picture holds any of the words."""
        asked = ", ".join(repr(word) for word in self._words)
        where = "the picture" if self._pictures == 1 else f"{self._pictures} pictures"
        score, word = self._best
        near = f"; the best score anywhere is {score:.2f}, of {word!r} (--heatmap draws it)"
        if self._reasons:
            near = "".join(f"; {phrase}: {reason}" for phrase, reason in self._reasons.items())
        return f"nothing found in {where} for {asked}{near if word or self._reasons else ''}"


def stages(seg: Segmentation) -> str:
    """Return a line with the time of each stage and the settings, for `-v`."""
    times = ", ".join(f"{name} {1000 * s:.0f} ms" for name, s in seg.provenance.seconds.items())
    config = ", ".join(f"{name}={_brief(v)}" for name, v in seg.provenance.config.items())
    where = f"{seg.provenance.device}, {seg.provenance.dtype}"
    lines = [f"  {seg.provenance.method} on {where}: {times}", f"  {config}"]
    return "\n".join([*lines, *(f"  note: {note}" for note in seg.provenance.notes)]) + "\n"


def _brief(value: object) -> str:
    """A setting in a few letters: of a long list, its length."""
    if isinstance(value, tuple | list) and len(value) > 4:
        return f"({len(value)} values)"
    return str(value)


def _stronger_encoder(current: str) -> str | None:
    """Return the name of an encoder that knows more words than `current` does.

    CLIP's text tower has read hundreds of millions of captions. One that is here comes first, then
    the one that the papers' settings are for.
    """
    from lexiseg.checkpoints import get, is_here, names

    larger = [name for name in names() if name != current and get(name).family == "clip"]
    here = [name for name in larger if is_here(get(name))]
    usual = [name for name in larger if name == "clip-vit-b16.openai"]
    return next(iter([*here, *usual, *larger]), None)
