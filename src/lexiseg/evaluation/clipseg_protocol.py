"""The sizes at which CLIPSeg's code measures (Lüddecke and Ecker, CVPR 2022; at 77c4e2d).

PhraseCut, and COCO's episodes by HSNet's loader: photo and truth are squashed to 352 x 352 pixels.
Pascal's episodes by PFENet's loader: the photo is scaled into a square of 352 and the rest is
black; the truth lies in a square of its own longer side, and nothing beside it counts; the answer
is enlarged to that square, corners on corners.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.results import Segmentation

__all__ = [
    "SIDE", "own_probability", "pad_square", "padded_hw", "padded_to_label", "squash",
    "squash_mask", "squash_smoothly",
]  # fmt: skip

SIDE = 352
Pixels = NDArray[np.uint8]
_MULTIPLE = 8  # that the sides of scaled photos are cut to


def own_probability(
    segmenter: Callable[..., Segmentation], image: Any, prompt: Any
) -> NDArray[np.float32]:
    """Return the probability of a prompt asked alone, (H, W) in [0, 1].

    A method that has a map for each prompt (``prompt_maps``) gives that: CLIPSeg's sigmoid,
    whatever threshold its answers have. Others give the share against the background's words.
    """
    maps = getattr(segmenter, "prompt_maps", None)
    if maps is not None:
        own: NDArray[np.float32] = maps(image, [prompt]).full(0)
        return own
    answer = segmenter(image, [prompt])
    return answer.heatmap(answer.words[0])


def squash(rgb: Pixels, side: int = SIDE) -> Pixels:
    """Return a photo (H, W, 3) at side x side pixels as of PhraseCut: corners on corners."""
    small = _corners_on_corners(rgb.astype(np.float32).transpose(2, 0, 1), side)
    return np.rint(small).astype(np.uint8).transpose(1, 2, 0)


def squash_smoothly(rgb: Pixels, side: int = SIDE) -> Pixels:
    """The same as of COCO, by torchvision's `Resize` of a Pillow image."""
    from PIL import Image

    image = Image.fromarray(rgb).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def squash_mask(mask: NDArray[np.bool_], side: int = SIDE) -> NDArray[np.bool_]:
    """The nearest pixels, as torch takes them: those at the beginning of each part."""
    rows, columns = (np.arange(side) * length // side for length in mask.shape)
    return mask[np.ix_(rows, columns)]


def padded_hw(size_hw: tuple[int, int], side: int = SIDE) -> tuple[int, int]:
    """Return the size that a photo is scaled to within a square (PFENet's `test_Resize`).

    One that fits stays as it is; of another both sides are cut to multiples of 8.
    """
    longer = max(size_hw)
    if longer <= side:
        return size_hw
    height, width = (side if one == longer else int(one * (side / longer)) for one in size_hw)
    return height // _MULTIPLE * _MULTIPLE, width // _MULTIPLE * _MULTIPLE


def pad_square(pixels: NDArray[Any], side: int = SIDE) -> NDArray[Any]:
    """Return a photo (H, W, 3), or a mask (H, W) bool, in the corner of a square of zeros."""
    import cv2

    size_hw = padded_hw((pixels.shape[0], pixels.shape[1]), side)
    how = cv2.INTER_NEAREST if pixels.dtype == np.bool_ else cv2.INTER_LINEAR
    small = cv2.resize(pixels.astype(np.float32), size_hw[::-1], interpolation=how)
    out = np.zeros((side, side, *pixels.shape[2:]), pixels.dtype)
    out[: size_hw[0], : size_hw[1]] = np.rint(small).astype(pixels.dtype)
    return out


def padded_to_label(
    probability: NDArray[np.float32], size_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Return a map of the padded square as far as a label of (H, W) reaches in its own square."""
    full = _corners_on_corners(probability[None], max(size_hw))
    return full[0, : size_hw[0], : size_hw[1]]


def _corners_on_corners(planes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Planes (C, h, w) -> (C, side, side), bilinear; the corners' pixels keep their places."""
    import torch
    import torch.nn.functional as F

    at_once = torch.from_numpy(np.ascontiguousarray(planes))[None]
    full = F.interpolate(at_once, (side, side), mode="bilinear", align_corners=True)
    out: NDArray[np.float32] = full[0].numpy()
    return out
