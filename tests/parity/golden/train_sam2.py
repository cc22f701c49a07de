"""Train the small SAM 2 on which the golden files stand; a quarter of an hour of one core.

``python -m tests.parity.golden.train_sam2 OFFICIAL DATA OUT.npz --minutes 12``, where OFFICIAL is a
checkout of facebookresearch/sam2 at 2b90b9f and DATA a folder with the sets ``bsds`` and ``coco``.
The prompt encoder and the decoder start as those of the small trained SAM, and the picture encoder
first learns to see as that one's; then all of it learns as ``sam_training`` says. The weights of
video memory, which nothing asks, are left away; the rest is kept in 8 bits, a scale a row.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tests import sam2_weights as small
from tests.parity.golden.sam2_official import load_official
from tests.parity.golden.sam_official import CROPS, picture
from tests.parity.golden.sam_training import fit, surer, things
from tests.sam_weights import quantised, trained

_MEAN = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
_STD = torch.tensor([58.395, 57.12, 57.375])[:, None, None]


class SmallSam2:
    """The official network as a ``Student``."""

    side = small.SIDE

    def __init__(self, net: Any) -> None:
        self.net = net

    def scaled(self, rgb: Any) -> Any:
        square = (self.side, self.side)
        return np.array(Image.fromarray(rgb).resize(square, Image.Resampling.BILINEAR))

    def features(self, pixels: Any, sizes: list[tuple[int, int]]) -> Any:
        out = self.net.forward_image((pixels - _MEAN) / _STD)
        fine, middle, coarse = out["backbone_fpn"]
        return fine, middle, coarse + self.net.no_mem_embed.view(1, -1, 1, 1)

    def answers(self, features: Any, i: int, given: dict[str, Any], many: bool) -> Any:
        fine, middle, coarse = (one[i : i + 1] for one in features)
        points, boxes = given["points"], given["boxes"]
        if points is not None:
            asked = (points, torch.ones(points.shape[:2], dtype=torch.int))
        else:  # a box is two points here
            labels = torch.tensor([[2, 3]], dtype=torch.int).repeat(len(boxes), 1)
            asked = (boxes.reshape(-1, 2, 2), labels)
        sparse, dense = self.net.sam_prompt_encoder(asked, None, given["masks"])
        places = self.net.sam_prompt_encoder.get_dense_pe()
        return self.net.sam_mask_decoder(
            coarse, places, sparse, dense, many, True, [fine, middle]
        )[:2]  # fmt: skip


def begin_as_sam(net: Any) -> None:
    """Take over what the small trained SAM has: all heads but the last layer of the ratings."""
    state = {}
    for name, value in trained().items():
        if name.startswith(("prompt_encoder.", "mask_decoder.")):
            name = f"sam_{name}".replace(".mlp.lin1.", ".mlp.layers.0.")
            state[name.replace(".mlp.lin2.", ".mlp.layers.1.")] = value
    for name in [n for n in state if "iou_prediction_head.layers.2" in n]:
        del state[name]  # these made no sigmoid's argument
    for name in [n for n in state if "hypernetworks" in n and ".layers.2." in n]:
        state[name] = state[name] / 8  # as it was before it was made surer
    wrong = net.load_state_dict(state, strict=False).unexpected_keys
    assert not wrong, wrong


def see_as_sam(student: SmallSam2, data: Path, minutes: float) -> None:
    """Train the picture encoder alone, until its coarse map is nearly the small trained SAM's."""
    from lexiseg.device import pick
    from lexiseg.models.sam.masker import masker_of

    sam, rng = masker_of(trained(), pick("cpu", "fp32"), name="trained"), np.random.default_rng(1)
    pictures = list({rgb.tobytes(): rgb for rgb, _ in things(data, student.scaled)}.values())
    pictures += [np.ascontiguousarray(rgb[:, ::-1]) for rgb in pictures]
    wanted = torch.stack([sam.encode(rgb).cells.features[0].T.clone() for rgb in pictures])
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
    optimiser = torch.optim.AdamW(student.net.image_encoder.parameters(), 2e-3)
    started, step, seen = time.process_time(), 0, []
    while (done := (time.process_time() - started) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50) * (1 - done) + 1e-5
        chosen = torch.from_numpy(rng.choice(len(pictures), 4, replace=False))
        coarse = student.features(pixels[chosen], [])[2]
        loss = (coarse.flatten(2) - wanted[chosen]).square().mean() / wanted.var()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.net.image_encoder.parameters(), 1.0)
        optimiser.step()
        step, seen = step + 1, [*seen, float(loss.detach())]
        if step % 100 == 0:
            print(step, f"{done:.2f} unlike SAM {np.mean(seen[-50:]):.3f}", flush=True)


def sharpened(net: Any, code: Any) -> Any:
    """The network with surer last layers, by its ratings at a grid of points."""
    net.eval()
    predictor = code.predictor(net)
    places = (np.arange(12) + 0.5) / 12 * small.SIDE
    points = torch.tensor(np.stack(np.meshgrid(places, places), -1).reshape(-1, 1, 2)).float()
    ratings = []
    for name in CROPS:
        predictor.set_image(picture(name))
        found = predictor._predict(points, torch.ones(len(points), 1, dtype=torch.int))
        ratings.append(found[1].flatten().logit())
    decoder = net.sam_mask_decoder
    last = decoder.iou_prediction_head.layers[-1]
    passed = float(torch.tensor(0.8).logit())
    heads = decoder.output_hypernetworks_mlps
    surer(heads, last, torch.cat(ratings), factor=8.0, passed=passed, spread=0.5)
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("official", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--trained", type=Path, help="only sharpen what was trained before")
    options = parser.parse_args()
    code = load_official(options.official)
    torch.manual_seed(0)
    net = code.build().train()
    known = set(small.meta_shapes())

    def save() -> None:
        state = {name: value for name, value in net.state_dict().items() if name in known}
        np.savez_compressed(options.out, **quantised(state))

    if options.trained:
        net.load_state_dict(trained(options.trained), strict=False)
    else:
        # The official positions start at zero.
        for name, value in net.named_parameters():
            if "pos_embed" in name:
                torch.nn.init.normal_(value, std=0.1)
        begin_as_sam(net)
        see_as_sam(SmallSam2(net), options.data, options.minutes / 4)
        fit(SmallSam2(net), options.data, options.minutes * 3 / 4, save)
    sharpened(net, code)
    save()


if __name__ == "__main__":
    main()
