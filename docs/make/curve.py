"""The training curve of the bundled model, drawn as SVG from the log of its run."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / "docs" / "training" / "vision-log.jsonl"
PICTURE = ROOT / "docs" / "images" / "training.svg"
_LAST = 200  # steps, over which the share of right points is a mean
_POINTS = 160  # of a curve: each is the mean of so many steps that this many remain
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BETWEEN = 760, 150, 56, 16, 30, 56
_INK, _LINE, _GRID = "#444", "#2b6cb0", "#ddd"


def draw() -> list[str]:
    """Draw docs/images/training.svg where there is a log; return its name, or nothing."""
    if not LOG.is_file():
        return []
    panels = [
        ("loss over the words (cross-entropy and overlap)", "words", 1.0),
        ("points of training crops with the right word, %", "accuracy", 100.0),
    ]
    title = "Training of the picture side of the bundled model"
    return figure(PICTURE, title, panels, read())


def figure(
    picture: Path,
    title: str,
    panels: list[tuple[str, str, float]],
    rows: list[dict[str, float]],
    most: int = _POINTS,
) -> list[str]:
    """Draw panels one below the other, each of a title, a key of the rows, and a factor."""
    height = len(panels) * (_TOP + _HEIGHT + _BETWEEN)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="12" '
        f'fill="{_INK}">',
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for place, (name, key, factor) in enumerate(panels):
        points = means([(row["step"], factor * row[key]) for row in rows if key in row], most)
        parts += _panel(name, points, _TOP + place * (_TOP + _HEIGHT + _BETWEEN))
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")
    return [str(picture.relative_to(ROOT))]


def text() -> str:
    """Return the picture with a sentence about the run, or a line where there is no log yet."""
    if not LOG.is_file():
        return "*The log of the run is not here yet.*"
    rows = read()
    steps = rows[-1]["step"] + 1
    last = [row for row in rows if row["step"] >= steps - _LAST]
    seconds = statistics.median(row["seconds"] for row in rows)
    right = 100 * statistics.mean(row["accuracy"] for row in last)
    return (
        "![Loss and share of right points by training step](images/training.svg)\n\n"
        f"{steps:,} steps, {seconds:.2f} s each (median); over the last "
        f"{min(steps, _LAST)} steps {right:.1f} % of the points in training crops had the right "
        "word. Training crops say nothing about new photos: see the accuracy above. The log: "
        "[vision-log.jsonl](training/vision-log.jsonl)."
    )


def read(log: Path | None = None) -> list[dict[str, float]]:
    """Return the lines of a log by step; of a step that a resumed run repeats, the last."""
    lines = (log or LOG).read_text(encoding="utf-8").splitlines()
    rows = {row["step"]: row for row in map(json.loads, filter(str.strip, lines))}
    return [rows[step] for step in sorted(rows)]


def means(points: list[tuple[float, float]], most: int = _POINTS) -> list[tuple[float, float]]:
    """Return at most about `most` points, each the mean of as many that follow each other."""
    each = max(1, math.ceil(len(points) / most))
    groups = [points[start : start + each] for start in range(0, len(points), each)]
    return [
        (statistics.mean(x for x, _ in group), statistics.mean(y for _, y in group))
        for group in groups
    ]


def _panel(title: str, points: list[tuple[float, float]], top: int) -> list[str]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_ticks, y_ticks = ticks(0, max(xs)), ticks(min(ys), max(ys))
    low, high, far = y_ticks[0], y_ticks[-1], max(max(xs), 1)
    inner = _WIDTH - _LEFT - _RIGHT

    def across(x: float) -> float:
        return round(_LEFT + inner * x / far, 1)

    def down(y: float) -> float:
        return round(top + _HEIGHT * (high - y) / (high - low), 1)

    parts = [f'<text x="{_LEFT}" y="{top - 10}" font-weight="bold">{title}</text>']
    for y in y_ticks:
        parts += [
            f'<path d="M{_LEFT} {down(y)}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>',
            f'<text x="{_LEFT - 8}" y="{down(y) + 4}" text-anchor="end">{y:g}</text>',
        ]
    for x in x_ticks:
        if x <= far:
            place = f'x="{across(x)}" y="{top + _HEIGHT + 18}"'
            parts.append(f'<text {place} text-anchor="middle">{x:,.0f}</text>')
    place = f'x="{_WIDTH - _RIGHT}" y="{top + _HEIGHT + 36}"'
    parts.append(f'<text {place} text-anchor="end">step</text>')
    line = "L".join(f"{across(x)} {down(y)}" for x, y in points)
    return [*parts, f'<path d="M{line}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>']


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers from at or below `low` to at or above `high`, few of them."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * most >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(place * step, 10) for place in range(first, max(last, first + 1) + 1)]
