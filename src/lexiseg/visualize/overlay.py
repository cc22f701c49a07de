"""Drawings on the photo: tinted by word with a legend, tinted by mask, and cut out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from lexiseg.stages.label_map import resize_labels
from lexiseg.visualize import canvas, legend
from lexiseg.visualize.colours import palette

if TYPE_CHECKING:
    from lexiseg.imaging import Source
    from lexiseg.masks import Masks
    from lexiseg.results import Segmentation

__all__ = ["OverlayOptions", "cutout", "mask_overlay", "overlay"]


class OverlayOptions(TypedDict, total=False):
    """The options of `overlay`, for functions that hand them on."""

    alpha: float
    outlines: bool
    legend: bool
    only: Sequence[str] | None


def overlay(
    seg: Segmentation,
    image: Source | None = None,
    *,
    alpha: float = 0.5,
    outlines: bool = True,
    legend: bool = True,
    only: Sequence[str] | None = None,
) -> NDArray[np.uint8]:
    """Draw what was found on the photo.

    image: a path, PIL image or (H, W, 3) uint8 array; the picture kept in `seg` if it is left out.
    alpha: weight of a word's colour over the photo, in [0, 1].
    only: draw these words; the others are left as photo.

    With a legend, return a figure for the eye, (H', W', 3) uint8: a small picture is enlarged by a
    whole factor, a large one reduced to 2048 pixels on its longer side, and the panel stands
    beside or under it. Without one, return exactly (H, W, 3).
    """
    canvas.check_fraction("alpha", alpha)
    rgb = canvas.photo(seg, image)
    words = canvas.word_indices(seg, only)
    colours = palette(seg.words, seg.found)
    size_hw = canvas.figure_size(seg.label_map.shape) if legend else seg.label_map.shape
    label_map = seg.label_map if only is None else seg.shown([seg.words[k] for k in words])
    labels: NDArray[np.integer] = resize_labels(label_map, size_hw)
    figure = _tint(canvas.resize(rgb, size_hw), labels, colours, alpha)
    if outlines:
        figure = _outline(figure, labels, colours)
    return _with_legend(figure, seg, words, colours) if legend else figure


def mask_overlay(
    seg: Segmentation, masks: Masks, image: Source | None = None, *, alpha: float = 0.5
) -> NDArray[np.uint8]:
    """Tint every mask in a colour of its own, small ones over large ones, (H, W, 3) uint8.

    alpha: weight of the colours over the photo, in [0, 1].
    """
    canvas.check_fraction("alpha", alpha)
    photo = canvas.photo(seg, image)
    out = photo.copy()
    colours = palette([str(i) for i in range(min(len(masks), 120))])
    for place, i in enumerate(np.argsort(-masks.areas, kind="stable").tolist()):
        x0, y0, x1, y1 = masks.boxes_xyxy[i].tolist()
        inside = masks.crop(i)
        colour = colours[place % len(colours)].astype(np.float32)
        tint = (1 - alpha) * photo[y0:y1, x0:x1][inside] + alpha * colour
        out[y0:y1, x0:x1][inside] = np.rint(tint).astype(np.uint8)
    return out


def cutout(
    seg: Segmentation, only: str | Sequence[str] | None = None, image: Source | None = None
) -> NDArray[np.uint8]:
    """Return the photo with only the pixels of one, some or all words, (H, W, 4) uint8 RGBA.

    Pixels of the words keep their colour bit by bit, and the alpha that the photo has, else 255;
    all others are 0, so that nothing of them is left in the file. Raises WordNotAsked for a word
    outside the vocabulary.
    """
    from lexiseg.imaging import read

    chosen = canvas.word_indices(seg, [only] if isinstance(only, str) else only)
    mask = seg.mask([seg.words[k] for k in chosen])
    out = np.zeros((*mask.shape, 4), np.uint8)
    photo = None if image is None else read(image)
    out[mask, :3] = canvas.photo(seg, photo)[mask]
    out[mask, 3] = 255 if photo is None or photo.alpha is None else photo.alpha[mask]
    return out


def _tint(
    rgb: NDArray[np.uint8], labels: NDArray[np.integer], colours: NDArray[np.uint8], alpha: float
) -> NDArray[np.uint8]:
    """Colour the pixels of each word; the rest steps back a little, so that words stand out."""
    import cv2

    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    quiet = cv2.addWeighted(rgb, 0.6, grey, 0.3, 0.0)
    # Tinted over a paler photo: a yellow flower under blue would be green, which no legend shows.
    pale = cv2.addWeighted(rgb, 1.0 - alpha, grey, alpha, 0.0)
    table = np.concatenate([colours, np.zeros((1, 3), np.uint8)])
    tinted = cv2.addWeighted(pale, 1.0 - alpha, table[labels], alpha, 0.0)
    return np.where((labels >= 0)[..., None], tinted, quiet)


def _outline(
    rgb: NDArray[np.uint8], labels: NDArray[np.integer], colours: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Draw each word's borders as a light line of its colour on a soft dark one."""
    import cv2

    thick = max(1, round(max(labels.shape) / 420))
    # Grown by a margin that is cut off again: a word that reaches the edge of the picture gets no
    # line along that edge.
    edge = thick + 3
    rgb = np.pad(rgb, ((edge, edge), (edge, edge), (0, 0)), mode="edge")
    labels = np.pad(labels, edge, mode="edge")
    borders = []
    for word in np.unique(labels[labels >= 0]).tolist():
        mask = (labels == word).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        # A line around a speck would be larger than the speck.
        borders.append(([line for line in contours if len(line) > 8 * thick], colours[word]))
    dark = rgb.copy()
    for lines, _ in borders:
        cv2.drawContours(dark, lines, -1, (0, 0, 0), thick + 2, cv2.LINE_AA)
    out: NDArray[np.uint8] = cv2.addWeighted(rgb, 0.6, dark, 0.4, 0.0).astype(np.uint8)
    for lines, colour in borders:
        light = tuple(int(c) for c in np.rint(0.7 * colour + 0.3 * 255))
        cv2.drawContours(out, lines, -1, light, thick, cv2.LINE_AA)
    return np.ascontiguousarray(out[edge:-edge, edge:-edge])


def _with_legend(
    figure: NDArray[np.uint8], seg: Segmentation, words: list[int], colours: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    names = [seg.words[k] for k in words]
    shares = {name: seg.share(name) for name in names}
    entries = [
        legend.Entry(
            name=name,
            colour=(int(colours[k][0]), int(colours[k][1]), int(colours[k][2])),
            share=shares[name],
            score=float(seg.word_scores[k]),
            count=int((seg.labels == name).sum()),
        )
        for k, name in zip(words, names, strict=True)
        if shares[name] > 0
    ]
    entries.sort(key=lambda entry: -entry.share)
    unknown = {item.word for item in seg.unknown}
    absent = [name for name in names if shares[name] == 0 and name not in unknown]
    notes = [f"not found: {', '.join(absent)}"] if absent else []
    if not entries and not absent:
        notes = ["nothing found"]
    if unknown & set(names):
        notes.append(f"not known: {', '.join(n for n in names if n in unknown)}")
    return legend.attach(figure, entries, notes)
