"""Edit one photo in this process and print what it took, as JSON; for `rows/edit_speed.py`.

Time is the processor's, on one thread: other programs on the machine hardly count. Of lexiseg only
what earlier versions have, too, is used.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import peak_mb

SHARE = 0.12  # of the photo that the outline covers


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job: argv, a whole command; or photo and task, one of `TASKS`."""
    import cv2

    cv2.setNumThreads(1)
    if "argv" in job:
        from lexiseg.cli import main as command

        code = command(job["argv"])
        return {"exit": code, "seconds": round(time.process_time(), 2), "peak_mb": peak_mb()}
    from lexiseg import imaging

    rgb = imaging.read(job["photo"]).rgb
    mask = outline(rgb.shape[:2])
    small = np.ascontiguousarray(rgb[:60, :80])
    TASKS[job["task"]](small, outline(small.shape[:2]))  # imports are not timed
    before = peak_mb()
    started = time.process_time()
    TASKS[job["task"]](rgb, mask)
    seconds = time.process_time() - started
    return {"seconds": round(seconds, 3), "before_mb": before, "peak_mb": peak_mb()}


def outline(size_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a thing with limbs in the middle of a photo, (H, W) bool, the same at every size."""
    import cv2

    height, width = size_hw
    turn = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    reach = 1 + 0.25 * np.sin(3 * turn) + 0.1 * np.sin(7 * turn)
    radius = reach * (SHARE / (np.pi * np.mean(reach**2))) ** 0.5
    corners = np.stack([0.5 + radius * np.cos(turn), 0.5 + radius * np.sin(turn)], -1)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(corners * (width, height)).astype(np.int32)], 1)
    return mask > 0


def opencv_blur(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """Blur the same window as wide, with OpenCV alone."""
    import cv2

    from lexiseg.edit.region import Region, crop_with_margin, shorter_side

    radius = shorter_side(mask) / 8
    where = Region.from_mask(mask, blur=2)
    window, inner = crop_with_margin(rgb, where, round(3 * radius) + 1)
    soft = cv2.GaussianBlur(window, (0, 0), radius, borderType=cv2.BORDER_REPLICATE)[inner]
    out = rgb.copy()
    cv2.copyTo(soft, (where.weight > 0).view(np.uint8), out[where.window])


def opencv_background(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """Blur the whole photo as wide, and put the thing back."""
    import cv2

    soft = cv2.GaussianBlur(rgb, (0, 0), min(mask.shape) / 40)
    cv2.copyTo(rgb, mask.view(np.uint8), soft)


def opencv_inpaint(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """Fill the same hole by Telea's method, in a window that holds it."""
    import cv2

    from lexiseg.edit.region import Region, border_widths, crop_with_margin

    dilation, blur = border_widths(None, None, mask.shape, generous=True)
    where = Region.from_mask(mask, dilation=dilation, blur=blur)
    window, inner = crop_with_margin(rgb, where, 16)
    hole = np.zeros(window.shape[:2], np.uint8)
    hole[inner] = where.weight > 0
    cv2.inpaint(window, hole, 3, cv2.INPAINT_TELEA)


def _lexiseg(operation: str, **options: Any) -> Callable[[Any, Any], None]:
    def edited(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
        import lexiseg

        getattr(lexiseg.edit, operation)(rgb, mask, **options)

    return edited


TASKS: dict[str, Callable[[NDArray[np.uint8], NDArray[np.bool_]], None]] = {
    "blur": _lexiseg("blur"),
    "background blur": _lexiseg("background", ground="blur"),
    "cut-out": _lexiseg("cutout"),
    "remove": _lexiseg("remove"),
    "blur, OpenCV": opencv_blur,
    "background blur, OpenCV": opencv_background,
    "remove, OpenCV": opencv_inpaint,
}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
