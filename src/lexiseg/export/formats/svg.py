"""SVG, a file a picture: each mask a path along the edges of its pixels, filled even-odd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar
from xml.sax.saxutils import escape, quoteattr

from lexiseg import imaging
from lexiseg.export.annotated import Annotated, segmentation_of
from lexiseg.export.format import PictureFormat, Writer
from lexiseg.export.outlines import fill_even_odd, outlines
from lexiseg.export.shapes import Shapes
from lexiseg.export.source import Source
from lexiseg.masks import Masks
from lexiseg.visualize import palette

__all__ = ["FORMAT", "Svg", "path_of"]

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_TOKEN = re.compile(r"[A-Za-z]|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Svg(PictureFormat):
    """One unit is one pixel. Paths of straight lines are read; the id or data-word is the word."""

    name: ClassVar[str] = "svg"
    summary: ClassVar[str] = "SVG paths along the edges of pixels"
    keeps: ClassVar[str] = "all: masks, words, scores"
    suffixes: ClassVar[tuple[str, ...]] = (".svg",)

    def open(self, folder: Path, words: Sequence[str] = ()) -> Writer:
        return _SvgWriter(self, folder, words)

    def accepts_file(self, source: Source) -> bool:
        return source.xml is not None and source.xml.tag == f"{_NAMESPACE}svg"

    def read_file(self, source: Source, file_name: str) -> Annotated:
        root = source.xml
        assert root is not None
        try:
            if "viewBox" in root.attrib:
                width, height = (float(v) for v in re.split(r"[\s,]+", root.attrib["viewBox"])[2:4])
            else:
                width, height = (
                    float(root.attrib[k].removesuffix("px")) for k in ("width", "height")
                )
            shapes = Shapes((int(height), int(width)))
            for path in root.iter(f"{_NAMESPACE}path"):
                word = path.get("data-word") or path.get("id") or "mask"
                mask = _fill(path.attrib["d"], shapes.size_hw)
                shapes.add(word, mask, float(path.get("data-score", 1)))
            words = [one.get("data-word", "") for one in root.iter(f"{_NAMESPACE}g")]
            seg = segmentation_of(
                [word for word in words if word], shapes.labels, shapes.masks, shapes.scores,
                source=self.name,
            )  # fmt: skip
        except (KeyError, ValueError, IndexError) as error:
            raise source.wrong(f"at {error}", "SVG file of masks") from error
        name = root.get("data-file-name") or str(Path(file_name).with_suffix(".jpg"))
        return Annotated(name, seg, source.photo(name))


FORMAT = Svg()


def _fill(path: str, size_hw: tuple[int, int]) -> Masks:
    """Return the pixels whose centre is inside a path of lines; raises ValueError for curves."""
    rings: list[list[tuple[float, float]]] = []
    tokens = _TOKEN.findall(path)
    x = y = 0.0
    command, at = "", 0
    while at < len(tokens):
        if tokens[at].isalpha():
            command, at = tokens[at], at + 1
            if command in "zZ":
                x, y = rings[-1][0]
                continue
        kind, relative = command.upper(), command.islower()
        if kind not in ("M", "L", "H", "V"):
            raise ValueError(f"{command!r} in a path; lines alone are read (M, L, H, V, Z)")
        if kind != "V":
            x = float(tokens[at]) + (x if relative else 0)
            at += 1
        if kind != "H":
            y = float(tokens[at]) + (y if relative else 0)
            at += 1
        if kind == "M":
            rings.append([])
            command = "l" if relative else "L"  # further pairs are lines
        rings[-1].append((x, y))
    crop, x0, y0 = fill_even_odd(rings, size_hw)
    return Masks.from_crops(size_hw, [(x0, y0)], [crop])


def path_of(masks: Masks, i: int) -> str:
    """Return the path of mask i: horizontal and vertical lines by turns."""
    out = []
    for part in outlines(masks, i):
        for ring in (part.exterior, *part.holes):
            corners = ring.tolist()
            out.append(f"M{corners[0][0]} {corners[0][1]}")
            for (xa, _), (xb, yb) in pairwise(corners):
                out.append(f"H{xb}" if xb != xa else f"V{yb}")
            out.append("Z")
    return "".join(out)


class _SvgWriter(Writer):
    def _add(self, picture: Annotated) -> None:
        seg = picture.seg
        height, width = seg.size_hw
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" shape-rendering="crispEdges" '
            f"data-file-name={quoteattr(picture.file_name)}>"
        ]
        colours = palette(seg.words, seg.found)
        fill = {
            word: f"#{red:02x}{green:02x}{blue:02x}"
            for word, (red, green, blue) in zip(seg.words, colours.tolist(), strict=True)
        }
        lines += [f'<g data-word={quoteattr(w)} fill="{fill[w]}"/>' for w in seg.words]  # all asked
        for i in range(len(seg)):
            word = str(seg.labels[i])
            score = round(float(seg.scores[i]), 6)
            lines.append(
                f'<path fill="{fill[word]}" fill-opacity="0.6" '
                f'fill-rule="evenodd" data-word={quoteattr(word)} data-score="{score}" '
                f'd="{path_of(seg.masks, i)}"><title>{escape(word)} {score:.2f}</title></path>'
            )
        path = self.folder / f"{picture.stem}.svg"
        text = "\n".join([*lines, "</svg>", ""])
        imaging.write_bytes(path, text.encode("utf-8", "xmlcharrefreplace"))
        self.written.files.append(path)
