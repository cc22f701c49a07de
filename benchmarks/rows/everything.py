"""Masks of everything with a SAM of ViT-B's shape: against the official generator, in fp32.

No weights may be downloaded, so they are drawn, smooth enough over the picture that masks are
blobs; the limit of quality is set so that a third of the masks pass. Each way runs in a process of
its own, on the same weights. Where the official code is (`--official DIR`, or LEXISEG_SAM_CODE), it
is the reference; elsewhere the plainest way on transformers' model is, and the result says so.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, output
from benchmarks.rows.common import markdown

ABOUT = "masks of everything, SAM ViT-B's shape: a 32x32 grid, against the official generator"
NEEDS = ("package:transformers",)
SPEED = True
PHOTO = ROOT / "examples" / "photos" / "street.jpg"
SIDE, TRIED = 32, 6  # points a side, and of the grid on which the limit of quality is found
SHARE = 1 / 3
STABILITY = 0.5
SHAPE: dict[str, Any] = {}  # of transformers' configuration: its default is ViT-B


def run(options: Namespace) -> dict[str, Any]:
    """Draw weights, find the limit of quality, then run every way once, one after the other."""
    import torch

    from lexiseg.device import pick

    place = options.official or os.environ.get("LEXISEG_SAM_CODE")
    reference = "official" if place else "plain"
    with tempfile.TemporaryDirectory() as folder:
        weights = draw(Path(folder))
        job = {
            "folder": folder, "weights": str(weights), "photo": str(PHOTO), "side": SIDE,
            "quality": limit(weights, options.device), "stability": STABILITY,
            "device": options.device, "dtype": "fp32", "official": str(place or ""),
            "stand_in": find_spec("torchvision") is None,
        }  # fmt: skip
        ways = {"fp32": child({**job, "which": "ours"})}
        best = pick(options.device).dtype_name
        if best != "fp32":
            ways[best] = child({**job, "which": "ours", "dtype": best})
        theirs = child({**job, "which": reference})
    return {
        "side": SIDE, "reference": reference, "threads": torch.get_num_threads(), "ours": ways,
        "theirs": theirs,
    }  # fmt: skip


def child(job: dict[str, Any]) -> dict[str, Any]:
    """Run `sam_probe` in a process of its own; Unmeasurable where it fails."""
    out: dict[str, Any] = json.loads(
        output([sys.executable, "-m", "benchmarks.sam_probe", json.dumps(job)]).splitlines()[-1]
    )
    return out


def draw(folder: Path, seed: int = 0, shape: dict[str, Any] | None = None) -> Path:
    """Write drawn weights as transformers saves them, and as Meta does; return Meta's file.

    shape: of the picture encoder, in transformers' configuration; None: SHAPE.
    """
    import torch
    import torch.nn.functional as F
    from transformers import SamConfig, SamModel

    from lexiseg.models.sam.weights import meta_state

    model = SamModel(SamConfig(vision_config=SHAPE if shape is None else shape))
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        drawn = torch.randn(value.shape, generator=generator)
        if name.endswith("pos_embed"):  # broad waves over the picture
            broad = torch.randn(1, value.shape[-1], 7, 7, generator=generator)
            wide = F.interpolate(broad, value.shape[1:3], mode="bicubic", align_corners=False)
            value.data = 1.5 * wide.permute(0, 2, 3, 1)
        elif value.ndim == 1:
            value.data = 0.1 * drawn + float("norm" in name and name.endswith("weight"))
        elif "embed" in name or "token" in name:
            value.data = (0.02 if "patch" in name else 0.5) * drawn
        elif "upscale_conv" in name:  # a cell's places alike: blobs, not grains
            value.data = (drawn[:, :, :1, :1] / value.shape[0] ** 0.5).expand_as(drawn).clone()
        else:
            value.data = drawn / value.shape[1:].numel() ** 0.5
    # Sharper attention than trained weights have would leave weights too small for normal numbers,
    # with which processors are many times slower.
    for name, value in model.named_parameters():
        if name.startswith("mask_decoder") and name.endswith(("q_proj.weight", "k_proj.weight")):
            value.data *= 0.3
    for name, value in model.state_dict().items():
        if name.endswith("positional_embedding"):
            drawn = torch.Generator().manual_seed(seed)
            value.copy_(0.4 * torch.randn(value.shape, generator=drawn))
    last = model.mask_decoder.iou_prediction_head.proj_out
    last.weight.data *= 0.1
    last.bias.data += 0.9
    for head in model.mask_decoder.output_hypernetworks_mlps:
        head.proj_out.weight.data *= 8
    model.save_pretrained(folder)
    state = meta_state(model.state_dict())
    path = folder / "drawn.pth"
    torch.save({name: value.clone() for name, value in state.items()}, path)
    return path


def limit(weights: Path, device: str | None) -> float:
    """The quality that a third of the masks at a coarse grid of points exceeds."""
    import torch

    from lexiseg import imaging
    from lexiseg.device import pick
    from lexiseg.models.sam.masker import masker_of
    from lexiseg.models.sam.weights import read_weights
    from lexiseg.protocols import MaskPrompts

    masker = masker_of(read_weights(weights), pick(device, "fp32"), name="drawn")
    rgb = imaging.read(PHOTO).rgb
    places = (torch.arange(TRIED) + 0.5) / TRIED
    y, x = torch.meshgrid(places * rgb.shape[0], places * rgb.shape[1], indexing="ij")
    asked = MaskPrompts(torch.stack([x, y], -1).reshape(-1, 1, 2))
    raw = masker.decode(masker.encode(rgb), asked)
    inside, around = ((raw.logits > level).flatten(1).sum(1) for level in (1.0, -1.0))
    steady = inside / around.clamp_min(1) >= STABILITY
    order = torch.where(steady, raw.quality, -torch.inf).sort(descending=True).values
    return float(order[round(SHARE * len(order))].clamp_min(0))


def table(result: dict[str, Any]) -> str:
    """Return a line a way."""
    theirs, count = result["theirs"], 3 * result["side"] ** 2
    name = {
        "official": "official generator, fp32, 64 points a batch",
        "plain": "plainest way on transformers, fp32, 64 points a batch",
    }[result["reference"]]
    lines = [[name, *_times(theirs, theirs), f"{theirs['peak_mb']} MB", ""]]
    for dtype, one in result["ours"].items():
        lines.append(
            [
                f"lexiseg, {dtype}", *_times(one, theirs), f"{one['peak_mb']} MB",
                f"{100 * one['passed'] / count:.0f} %",
            ]
        )  # fmt: skip
    head = [
        f"{result['side']}x{result['side']} points",
        "time",
        "CPU seconds",
        "times as fast",
        "peak memory",
    ]
    return markdown([*head, "masks that may pass"], lines) + f"\n\n{result['threads']} threads."


def _times(one: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    ratio = theirs["seconds"] / one["seconds"]
    return [f"{one['seconds']:.1f} s", f"{one['cpu_seconds']:.1f}", f"{ratio:.2f}"]
