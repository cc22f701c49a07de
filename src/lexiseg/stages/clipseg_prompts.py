"""Prompts of CLIPSeg: example images made ready, and maps of several prompts made into one.

Visual prompt engineering: Lüddecke and Ecker (CVPR 2022), section 3.3 and table 4: cropped to the
thing, background blurred, background darkened. As in their code, which works on normalised pixels,
"dark" is the mean colour of ImageNet, not black, and so is what is padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.errors import PromptError, UnknownName
from lexiseg.prompts import Example

__all__ = ["FUSIONS", "WAYS", "compete", "example_pixels", "fuse", "largest_of", "prepare_example"]


WAYS = ("crop", "blur", "darken")
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255


def prepare_example(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    ways: Sequence[str] = WAYS,
    *,
    context: float = 0.1,
    sigma: float = 3.0,
    brightness: float = 0.1,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return an image (H, W, 3) uint8 and its mask (H, W) bool as a prompt.

    ways: any of "blur" (the background, 15x15 pixels, ``sigma``), "darken" (the background's
    distance to the mean colour times ``brightness``), "crop" (to the mask's box and ``context`` of
    its width and height on each side, then padded to a square). Raises PromptError where the mask
    is empty, UnknownName for another way.
    """
    import cv2

    for way in ways:
        if way not in WAYS:
            raise UnknownName.among("way to prepare an example", way, WAYS)
    if not mask.any():
        raise PromptError("the example's mask is empty; mark the thing that is meant")
    out = rgb.astype(np.float32)
    if "blur" in ways:
        out = np.asarray(cv2.GaussianBlur(out, (15, 15), sigma), np.float32)
    if "darken" in ways:
        out = _MEAN + brightness * (out - _MEAN)
    out[mask] = rgb[mask]
    made = np.rint(out).clip(0, 255).astype(np.uint8)
    if "crop" not in ways:
        return made, mask
    spans = []
    for axis, length in ((1, mask.shape[0]), (0, mask.shape[1])):
        places = np.flatnonzero(mask.any(axis))
        low, high = int(places[0]), int(places[-1]) + 1
        more = context * (high - low)
        spans.append(slice(int(max(0, low - more)), int(min(length, high + more))))
    return _square(made[tuple(spans)]), _square(mask[tuple(spans)][..., None])[..., 0].astype(bool)


def example_pixels(
    example: Example, ways: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the pixels and the mask of an example, prepared; all of it where nothing is marked.

    example: whose image is an (H, W, 3) uint8 array. Raises PromptError for another one, and for a
    mask or box that does not fit the image.
    """
    rgb = example.image
    if not (isinstance(rgb, np.ndarray) and rgb.dtype == np.uint8 and rgb.shape[2:] == (3,)):
        raise PromptError(
            f"an example's image is {type(rgb).__name__}; read it to an (H, W, 3) uint8 array first"
        )
    mask = example.inside((rgb.shape[0], rgb.shape[1]))
    if mask is None:
        return rgb, np.ones(rgb.shape[:2], np.bool_)
    return prepare_example(rgb, mask, ways)


def _square(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Padded to a square: images by the mean colour, masks by 0."""
    height, width, channels = values.shape
    side = max(height, width)
    out = np.zeros((side, side, channels), np.uint8)
    if channels == 3:
        out[:] = np.rint(_MEAN).astype(np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    out[top : top + height, left : left + width] = values
    return out


FUSIONS = ("max", "mean", "attention")


def fuse(logits: Tensor, vectors: Tensor, how: str) -> Tensor:
    """Maps of prompts that stand for one thing, (N, h, w) logits -> one map, (h, w).

    vectors: (N, C), the prompts'. how: "max", the best at each place; "mean" of the logits;
    "attention", a mean whose weights at each place are a softmax over the prompts' logits there
    plus ten times the prompt's mean cosine to the others, so that of several phrases those count
    that see something, and one that means something else counts little.
    """
    if how not in FUSIONS:
        raise UnknownName.among("way to fuse prompts", how, FUSIONS)
    count = len(logits)
    if count == 1:
        return logits[0]
    if how == "max":
        return logits.amax(0)
    if how == "mean":
        return logits.mean(0)
    unit = F.normalize(vectors.float(), dim=-1)
    alike = ((unit @ unit.T).sum(1) - 1) / (count - 1)
    weight = (logits + 10 * alike[:, None, None].to(logits.device)).softmax(0)
    return (weight * logits).sum(0)


def compete(
    logits: Tensor, background: int | None, cutoff: float, rest: Tensor | None = None
) -> Tensor:
    """Independent maps, (O, h, w) logits -> probabilities, (O, h, w), that share with nothing.

    Odds are kept: without rivals a word's probability is the sigmoid of its map, where ``cutoff``
    is 0.5. background: the class_id of nothing, whose odds are those of ``cutoff`` and of ``rest``,
    (M, h, w), the maps of background words; None for a closed vocabulary, in which words share all.
    A word wins where its map is the highest and passes ``cutoff``: CLIPSeg's arg-max.
    """
    if background is not None:
        nothing = torch.full_like(logits[:1], math.log(cutoff / (1 - cutoff)))
        if rest is not None and len(rest):
            nothing = torch.cat([nothing, rest]).logsumexp(0, keepdim=True)
        logits = torch.cat([logits[:background], nothing, logits[background + 1 :]])
    return logits.softmax(0)


def largest_of(logits: Tensor, background: int, factor: float) -> Tensor:
    """Independent maps, (O, h, w) logits -> shares of their sum, (O, h, w).

    A map is a sigmoid, that of the class ``background`` times ``factor``: CLIPSeg's zero-shot code.
    """
    maps = logits.sigmoid()  # a new tensor
    maps[background] *= factor
    return maps / maps.sum(0).clamp_min(torch.finfo(maps.dtype).tiny)
