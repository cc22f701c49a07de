"""What other tools make of a model's answer, written anew from what they publish.

LangSAM (luca-medeiros/lang-segment-anything): a picture and a caption go to Grounding DINO, and all
boxes of the caption to SAM's predictor, one mask each. rembg (danielgatis/rembg): the map of a
salient-object net, 320 pixels a side, is stretched to 0..1, enlarged and laid over the picture, or
refined by PyMatting first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

__all__ = ["SALIENT_SIDE", "LangSam", "rembg_cutout", "rembg_mask"]

SALIENT_SIDE = 320  # pixels of the net's map
_SURE, _NOTHING, _ERODED = 240, 10, 10  # rembg's defaults: of 255, and pixels


class LangSam:
    """Boxes and masks of a caption, on transformers' models.

    A box scores its best token. Special tokens and full stops do not count, other than in the
    published code: with drawn weights they would often be the best, with trained ones hardly ever.
    Nor does a box leave the picture, as drawn ones often would, and as lexiseg's do not.
    """

    def __init__(self, detector: str, tokenizer: Any, masker: str) -> None:
        from transformers import GroundingDinoForObjectDetection, SamModel
        from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
            GroundingDinoImageProcessorPil,
        )

        self._detector = GroundingDinoForObjectDetection.from_pretrained(detector).eval()
        self._masker = SamModel.from_pretrained(masker).eval()
        self._prepare, self._tokenizer = GroundingDinoImageProcessorPil(), tokenizer

    @torch.no_grad()
    def __call__(
        self, rgb: NDArray[np.uint8], caption: str, threshold: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return the masks, (N, H, W), and the scores, (N,), of the boxes above the threshold."""
        encoded = self._tokenizer.encode(caption)
        pixels = self._prepare(rgb, return_tensors="pt")["pixel_values"]
        out = self._detector(pixel_values=pixels, input_ids=torch.tensor([encoded.ids]))
        words = [
            i for i, token in enumerate(encoded.tokens) if token not in ("[CLS]", "[SEP]", ".")
        ]
        scores = out.logits[0].sigmoid()[:, words].amax(1)
        kept = scores > threshold
        height, width = rgb.shape[:2]
        centre, size = out.pred_boxes[0][kept].split(2, 1)
        boxes = torch.cat([centre - size / 2, centre + size / 2], 1)
        ends = torch.tensor([width, height, width, height])
        boxes = (boxes * ends).clamp(torch.zeros(4), ends)
        if not len(boxes):
            return np.zeros((0, height, width), np.bool_), np.zeros(0, np.float32)
        return self._masks(rgb, boxes), scores[kept].numpy()

    def _masks(self, rgb: NDArray[np.uint8], boxes: Tensor) -> NDArray[np.bool_]:
        from lexiseg.models.sam.trunk import scaled_pixels

        target = self._masker.config.vision_config.image_size
        pixels, (height, width) = scaled_pixels(rgb, target)
        features = self._masker.get_image_embeddings(pixels)
        ratio = torch.tensor([width, height, width, height]) / torch.tensor(
            [rgb.shape[1], rgb.shape[0]] * 2
        )
        out = self._masker(
            image_embeddings=features, input_boxes=(boxes * ratio)[None], multimask_output=False
        )
        logits = out.pred_masks[0]  # (N, 1, h, w)
        logits = F.interpolate(logits, (target, target), mode="bilinear", align_corners=False)
        logits = logits[..., :height, :width]
        logits = F.interpolate(logits, rgb.shape[:2], mode="bilinear", align_corners=False)
        masks: NDArray[np.bool_] = (logits[:, 0] > 0).numpy()
        return masks


def rembg_mask(saliency: NDArray[np.floating], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the net's map, (h, w), stretched to 0..255 and enlarged by Lanczos, (H, W)."""
    low, high = float(saliency.min()), float(saliency.max())
    if high <= low:
        raise ValueError("the map is the same everywhere")
    grey = Image.fromarray(((saliency - low) / (high - low) * 255).astype(np.uint8))
    return np.asarray(grey.resize(size_hw[::-1], Image.Resampling.LANCZOS))


def rembg_cutout(
    rgb: NDArray[np.uint8], mask: NDArray[np.uint8], *, matting: bool
) -> NDArray[np.uint8]:
    """Return the cut-out, (H, W, 4): colours and opacity, not multiplied.

    matting: opacity by the closed form where the mask, eroded, is sure of neither, and the colours
    of the front; else the picture pasted onto nothing, which darkens colours at edges.
    """
    if not matting:
        empty = Image.new("RGBA", rgb.shape[1::-1], 0)
        empty.paste(Image.fromarray(rgb), mask=Image.fromarray(mask))
        return np.asarray(empty)
    from pymatting import estimate_alpha_cf, estimate_foreground_ml
    from scipy.ndimage import binary_erosion

    block = np.ones((_ERODED, _ERODED))
    trimap = np.full(mask.shape, 128 / 255)
    trimap[binary_erosion(mask > _SURE, block)] = 1
    trimap[binary_erosion(mask < _NOTHING, block, border_value=1)] = 0
    picture = rgb / 255
    alpha = estimate_alpha_cf(picture, trimap)
    front = estimate_foreground_ml(picture, alpha)
    both = np.concatenate([front, alpha[..., None]], 2)
    return np.asarray(np.clip(255 * both, 0, 255).astype(np.uint8))
