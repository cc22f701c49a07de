"""What `lexiseg segment` says about a picture: a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lexiseg.cli.terminal import table
from lexiseg.results import Segmentation, UnknownWord
from lexiseg.visualize.legend import percent

__all__ = ["Nearest", "describe", "stages", "stronger_encoder"]

_MOST_ABSENT = 20  # words that are named one by one


def describe(name: str, seg: Segmentation, words: Sequence[str], folder: Path) -> str:
    """Return the lines about one picture.

    Those of `words` that were found, the largest first; the others, and where the files are.
    """
    height, width = seg.size_hw
    unknown = {item.word: item for item in seg.unknown}
    rows = [["word", "share", "score", "instances"]]
    found = [word for word in words if word in seg.found]
    for word in sorted(found, key=lambda word: -seg.share(word)):
        score = float(seg.word_scores[seg.index(word)])
        rows.append([word, percent(seg.share(word)), f"{score:.2f}", str(len(seg[word]))])
    reasons = {one.phrase: one.reason for one in seg.readings if one.reason}
    absent = [
        f"{word} ({reasons[word]})" if word in reasons else word
        for word in words
        if word not in seg.found and word not in unknown
    ]
    notes = []
    if absent:
        more = f" and {len(absent) - _MOST_ABSENT} more" if len(absent) > _MOST_ABSENT else ""
        notes = [f"not found: {', '.join(absent[:_MOST_ABSENT])}{more}"]
    notes += _unknown(seg, [unknown[word] for word in words if word in unknown])
    seconds = sum(seg.provenance.seconds.values())
    head = f"{name}  {width} x {height}, {seconds:.2f} s\n"
    listed = table(rows, right=(1, 2, 3)) if found else ""
    return head + listed + "".join(f"  {note}\n" for note in notes) + f"  -> {folder}\n"


def _unknown(seg: Segmentation, unknown: Sequence[UnknownWord]) -> list[str]:
    """Lines about the words that the model does not know, and what would know them."""
    if not unknown:
        return []
    model, stronger = seg.provenance.encoder, stronger_encoder(seg.provenance.encoder)
    more = f"; more words: --encoder {stronger}" if stronger else ""
    out = []
    for item in unknown:
        if not item.is_name:
            near = ", ".join(item.nearest)
            near = f"; the nearest words that it knows: {near}" if near else ""
            out.append(f"{model} does not know {item.word!r}{near}{more}")
    names = ", ".join(repr(item.word) for item in unknown if item.is_name)
    if names:
        remedy = "ask for what it is, such as 'person' or 'shoe', or show it with --like"
        out.append(f"{model} knows no names of people and brands ({names}); {remedy}{more}")
    return out


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
        words = self._words or seg.words
        self.found = self.found or any(word in seg.found for word in words)
        for one in seg.readings:
            if one.reason and one.num_instances and one.phrase in words:
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
        if not self._words:
            return f"nothing found in {where} that the model has a word for; give words"
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


def stronger_encoder(current: str) -> str | None:
    """Return the name of an encoder that knows more words than `current` does.

    CLIP's text tower has read hundreds of millions of captions. One that is here comes first, then
    the one that the papers' settings are for.
    """
    from lexiseg.checkpoints import get, is_here, names

    larger = [name for name in names() if name != current and get(name).family == "clip"]
    here = [name for name in larger if is_here(get(name))]
    usual = [name for name in larger if name == "clip-vit-b16.openai"]
    return next(iter([*here, *usual, *larger]), None)
