"""Train the small SAM on which the golden file stands; half an hour on one core.

``python -m tests.parity.golden.train_sam OFFICIAL DATA OUT.npz --minutes 25``, where OFFICIAL is a
checkout of facebookresearch/segment-anything at dca509f and DATA a folder with the sets ``bsds``
and ``coco``. ``sam_training`` says how. Its weights are kept in 8 bits, a scale a row.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.parity.golden.sam_official import CROPS, load_official, picture, scaled
from tests.parity.golden.sam_training import fit, surer
from tests.sam_weights import SIZES, quantised, trained


class SmallSam:
    """The official network as a ``Student``."""

    side = SIZES["image"]

    def __init__(self, net: Any) -> None:
        self.net = net

    def scaled(self, rgb: Any) -> Any:
        return scaled(rgb, self.side)

    def features(self, pixels: Any, sizes: list[tuple[int, int]]) -> Any:
        normal = (pixels - self.net.pixel_mean) / self.net.pixel_std
        for i, (h, w) in enumerate(sizes):
            normal[i, :, h:] = 0
            normal[i, :, :, w:] = 0
        return self.net.image_encoder(normal)

    def answers(self, features: Any, i: int, given: dict[str, Any], many: bool) -> Any:
        points = given["points"]
        if points is not None:
            points = (points, torch.ones(points.shape[:2]))
        sparse, dense = self.net.prompt_encoder(points, given["boxes"], given["masks"])
        places = self.net.prompt_encoder.get_dense_pe()
        return self.net.mask_decoder(features[i : i + 1], places, sparse, dense, many)


def sharpened(sam: Any, code: Any) -> Any:
    """The network with surer last layers, by its ratings at a grid of points."""
    from lexiseg.stages.automatic_masks import point_grid

    sam.eval()
    decoder = sam.mask_decoder
    predictor = code.Predictor(sam)
    predictor.transform.target_length = SIZES["image"]
    ratings = []
    for name in CROPS:
        rgb = picture(name)
        predictor.set_image(rgb)
        points = point_grid(rgb.shape[:2], 12).points_xy
        points = predictor.transform.apply_coords_torch(points, rgb.shape[:2])
        with torch.no_grad():
            found = predictor.predict_torch(points, torch.ones(len(points), 1))
        ratings.append(found[1].flatten())
    last = decoder.iou_prediction_head.layers[-1]
    heads = decoder.output_hypernetworks_mlps
    surer(heads, last, torch.cat(ratings), factor=8.0, passed=0.88, spread=0.06)
    return sam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("official", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--trained", type=Path, help="only sharpen what was trained before")
    options = parser.parse_args()
    code = load_official(options.official)
    torch.manual_seed(0)
    sam = code.build(SIZES).train()

    def save() -> None:
        np.savez_compressed(options.out, **quantised(sam.state_dict()))

    if options.trained:
        sam.load_state_dict(trained(options.trained))
    else:
        # The official positions start at zero.
        for name, value in sam.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                torch.nn.init.normal_(value, std=0.1)
        fit(SmallSam(sam), options.data, options.minutes, save)
    sharpened(sam, code)
    save()


if __name__ == "__main__":
    main()
