"""report.html: one file with the numbers, bars a class, confusions, the worst and best pictures."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.evaluation.result import Evaluation, picture_iou
from lexiseg.metrics.report import MIN_PHOTOS, ClassScore, Estimate
from lexiseg.visualize.colours import palette

__all__ = ["Thumbnails", "bar", "image", "page", "report"]

_SHOWN = 6  # pictures, of the worst and of the best
_NAMED = 9  # classes below a picture
_CONFUSED = 20  # classes in the table of confusions
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1e22; background: #fcfcfa;
  max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .6rem; text-align: left;
  vertical-align: middle; } th { color: #7a7e86; font-weight: 500; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } th.n { text-align: right; }
.made { margin-bottom: 1.2rem; } .made th, .made td { vertical-align: top; }
.made th { white-space: nowrap; }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .25em 0 .6em; }
.bar { position: relative; width: 320px; height: 14px; background: #eeeff1; }
.bar i { position: absolute; top: 0; bottom: 0; left: 0; background: #3b6fb5; }
.bar b { position: absolute; top: 6px; height: 2px; background: #1c1e22; }
.grid td { width: 22px; height: 22px; padding: 0; font-size: 10px; text-align: center; }
.grid th { font-size: 11px; padding: 0 .3rem; white-space: nowrap; }
.grid th.up { writing-mode: vertical-rl; transform: rotate(180deg); }
figure { margin: .8rem 0; } figure img { max-width: 100%; display: block; }
figcaption, .note { color: #5c6068; font-size: 13px; }
"""


class Thumbnails:
    """Small drawings of the worst and the best pictures so far, as files of a run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "thumbnails"
        self.worst: list[tuple[float, str]] = []
        self.best: list[tuple[float, str]] = []

    def clear(self) -> None:
        """Remove the drawings of an earlier run."""
        for path in self.folder.glob("*.jpg"):
            path.unlink()

    def count(self, picture: str, rank: float) -> bool:
        """Take a picture into account; return whether it is among the worst or best now."""
        if math.isnan(rank):
            return False
        before = {name for _, name in (*self.worst, *self.best)}
        self.worst = sorted([*self.worst, (rank, picture)])[:_SHOWN]
        ranked = sorted([*self.best, (rank, picture)], key=lambda one: (-one[0], one[1]))
        self.best = ranked[:_SHOWN]
        now = {name for _, name in (*self.worst, *self.best)}
        for name in before - now:
            self.path(name).unlink(missing_ok=True)
        return picture in now

    def add(self, picture: str, rank: float, pixels: NDArray[np.uint8]) -> None:
        """Keep the drawing of a picture if it is among the worst or best so far."""
        if self.count(picture, rank):
            imaging.write(self.path(picture), pixels)

    def path(self, picture: str) -> Path:
        """Return where the drawing of a picture is."""
        return self.folder / f"{quote(picture, safe='')}.jpg"


def report(found: Evaluation, document: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return the page of an evaluation; document: what results.json holds."""
    areas = (found.matrix.num_classes, found.matrix.num_predicted)
    for one in found.pictures:
        thumbnails.count(one.id, picture_iou(one.areas(*areas)))
    worst = [name for _, name in thumbnails.worst]
    best = [name for _, name in thumbnails.best if name not in worst]
    lines = found.summary().splitlines()
    numbers = lines[3 : lines.index("", 3)]  # between the heading and the table of classes
    body = [
        f"<h1>{escape(found.provenance.method)} on {escape(found.title)}</h1>",
        f"<p>{escape(found.name)}/{escape(found.split)}: {escape(lines[1])}</p>",
        f"<pre>{escape(chr(10).join(numbers))}</pre>",
        "<p class=note>Intervals of 95 % come from drawing the photos anew, with replacement.</p>",
        "<h2>IoU by class</h2>",
        _classes(found.score.classes),
        "<h2>What is taken for what</h2>",
        _confusions(found),
        "<h2>Worst pictures</h2>",
        "<p class=note>Photo, truth, answer, errors (red: wrong, grey: not counted), the mean IoU "
        "of the classes that the photo holds, and the colours of what is there or answered.</p>",
        *_figures(worst, found, thumbnails),
        "<h2>Best pictures</h2>",
        *(_figures(best, found, thumbnails) or ["<p class=note>All are above.</p>"]),
        "<h2>How it was made</h2>",
        _settings(document),
    ]
    return page(f"{found.provenance.method} on {found.name}", body)


def page(title: str, body: Sequence[str]) -> str:
    """Return a whole HTML page that needs no other file."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def bar(value: Estimate) -> str:
    """Return a bar for a number in [0, 1], and a line for its interval."""
    if math.isnan(value.value):
        return "<div class=bar></div>"
    low, high = 100 * value.low, 100 * value.high
    whisker = "" if math.isnan(low) else f'<b style="left:{low:.1f}%;width:{high - low:.1f}%"></b>'
    return f'<div class=bar><i style="width:{100 * value.value:.1f}%"></i>{whisker}</div>'


def _classes(classes: Sequence[ClassScore]) -> str:
    held = sorted((one for one in classes if one.photos), key=lambda one: -one.iou.value)
    rows = [
        f"<tr><td>{escape(one.name)}</td><td class=n>{one.photos}</td><td>{bar(_sure(one))}</td>"
        f"<td class=n>{escape(str(_sure(one)))}</td><td class=n>{_percent(one.precision)}</td>"
        f"<td class=n>{_percent(one.recall)}</td><td class=n>{_percent(one.boundary_f1)}</td></tr>"
        for one in held
    ]
    notes = [f"Intervals stand at classes in at least {MIN_PHOTOS} photos."]
    wrong = [one for one in classes if not one.photos and one.predicted_share]
    if wrong:
        wrong.sort(key=lambda one: -one.predicted_share)
        named = [f"{one.name} ({100 * one.predicted_share:.2g} %)" for one in wrong[:_CONFUSED]]
        more = [f"{len(wrong) - _CONFUSED} others"] if len(wrong) > _CONFUSED else []
        names = ", ".join([*named, *more])
        notes.append(f"In no photo, and answered in this part of the pixels: {names}.")
    absent = len(classes) - len(held) - len(wrong)
    if absent:
        notes.append(f"{absent} more classes are in no photo and were never answered.")
    head = "<tr><th>class<th class=n>photos<th><th class=n>IoU, %<th class=n>precision"
    head += "<th class=n>recall<th class=n>boundary F1</tr>"
    said = "".join(f"<p class=note>{escape(note)}</p>" for note in notes)
    return f"<table>{head}{''.join(rows)}</table>{said}"


def _sure(one: ClassScore) -> Estimate:
    """The IoU of a class, with its interval where enough photos hold it."""
    return one.iou if one.photos >= MIN_PHOTOS else Estimate(one.iou.value, math.nan, math.nan)


def _confusions(found: Evaluation) -> str:
    """A grid of the classes with most wrong pixels: rows true, columns answered."""
    total = found.matrix.total.astype(np.float64)
    classes = len(total)
    square = total[:, :classes]
    wrong = square.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[:_CONFUSED]
    chosen = sorted(int(k) for k in order if wrong[k].sum() + wrong[:, k].sum() > 0)
    if not chosen:
        return "<p class=note>No pixel is taken for another class.</p>"
    share = square / np.maximum(total.sum(1, keepdims=True), 1)
    names = [escape(found.classes[k]) for k in chosen]
    head = "".join(f"<th class=up>{name}</th>" for name in names)
    rows = []
    for k, name in zip(chosen, names, strict=True):
        if not total[k].sum():
            continue  # in no photo: nothing of it is taken for anything
        cells = []
        for other in chosen:
            part = share[k, other]
            colour = "59,111,181" if k == other else "214,40,57"
            text = f"{100 * part:.0f}" if part >= 0.005 else ""
            cells.append(f'<td style="background:rgba({colour},{min(1, part):.2f})">{text}</td>')
        rows.append(f"<tr><th>{name}</th>{''.join(cells)}</tr>")
    note = (
        "<p class=note>Of each class's pixels (rows), the percentage that got each class's word "
        f"(columns); the {len(chosen)} classes with most wrong pixels.</p>"
    )
    return f"{note}<table class=grid><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _figures(names: Sequence[str], found: Evaluation, thumbnails: Thumbnails) -> list[str]:
    by_id = {one.id: one for one in found.pictures}
    out = []
    for name in names:
        path = thumbnails.path(name)
        if path.is_file():
            areas = by_id[name].areas(found.matrix.num_classes, found.matrix.num_predicted)
            caption = f"{escape(name)}: {100 * picture_iou(areas):.1f} %{_key(areas, found)}"
            out.append(f"<figure>{image(path)}<figcaption>{caption}</figcaption></figure>")
    return out


def _key(areas: NDArray[np.int64], found: Evaluation) -> str:
    """The colours of the classes that a photo holds or was answered, the largest first."""
    sizes = areas[:, 1:].max(1)
    colours = palette(found.classes)
    out = ""
    for k in np.argsort(-sizes, kind="stable")[:_NAMED].tolist():
        if sizes[k] and k != found.background_index:
            red, green, blue = colours[k].tolist()
            wrong = "" if areas[k, 1] else " (not there)"
            style = f"background:rgb({red},{green},{blue})"
            out += f'<i class=key style="{style}"></i>{escape(found.classes[k])}{wrong}'
    return out


def image(path: Path, side: int | None = None) -> str:
    """Return a picture's file as an element that holds it; side: reduced to it, as a JPEG."""
    data = path.read_bytes()
    if side is not None:
        import cv2

        from lexiseg.visualize.canvas import resize

        pixels = imaging.read(path).rgb
        factor = min(1.0, side / max(pixels.shape[:2]))
        size_hw = (round(pixels.shape[0] * factor), round(pixels.shape[1] * factor))
        small = resize(pixels, size_hw)[..., ::-1]
        data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data).decode("ascii")}">'


def _settings(document: Mapping[str, Any]) -> str:
    made = document["provenance"]
    rows = {
        "command": document["command"] or "from Python",
        "encoder": made["encoder"],
        "mask model": made["masker"] or "none",
        "settings": ", ".join(f"{key}={value}" for key, value in made["config"].items()),
        "weights": ", ".join(
            f"{name} {digest[:12]}" for name, digest in made["checkpoint_sha256"].items()
        ),
        "where": f"{made['device']}, {made['dtype']}; {_machine(document['machine'])}",
        "versions": ", ".join(f"{key} {value}" for key, value in document["versions"].items()),
    }
    stages = [
        f"<tr><td>{escape(name)}</td><td class=n>{1000 * one['seconds']:.1f} ms</td><td class=n>"
        + (f"{1000 * one['cpu_seconds']:.1f} ms" if "cpu_seconds" in one else "")
        + "</td><td class=n>"
        + (f"{one['peak_memory_bytes'] / 1e6:,.0f} MB" if "peak_memory_bytes" in one else "")
        + "</td></tr>"
        for name, one in document["stages"].items()
    ]
    lines = "".join(
        f"<tr><th>{key}</th><td>{escape(str(value))}</td></tr>" for key, value in rows.items()
    )
    head = "<tr><th>stage of a picture<th class=n>median time<th class=n>of the processor"
    head += "<th class=n>peak memory</tr>"
    return f"<table class=made>{lines}</table><table>{head}{''.join(stages)}</table>"


def _machine(machine: Mapping[str, Any]) -> str:
    units = {"cores": " cores", "memory_gb": " GB"}
    return ", ".join(f"{value}{units.get(key, '')}" for key, value in machine.items())


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
