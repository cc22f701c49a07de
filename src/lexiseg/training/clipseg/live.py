"""Training a CLIPSeg decoder on a frozen CLIP: photos are cropped and encoded as they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexiseg.models.clipseg.model import ClipSeg
from lexiseg.stages.example_prompts import prepare_example
from lexiseg.training.clipseg.crops import crop, find_crop
from lexiseg.training.clipseg.draw import Asked, Drawer
from lexiseg.training.clipseg.phrases import Shot
from lexiseg.training.clipseg.recipe import ClipSegRecipe

__all__ = ["LiveTask"]


class LiveTask:
    """What the loop asks: logits and targets of drawn prompts."""

    def __init__(self, model: ClipSeg, drawer: Drawer, recipe: ClipSegRecipe) -> None:
        self.model = model
        self.drawer = drawer
        self.recipe = recipe

    @property
    def trained(self) -> nn.Module:
        return self.model.decoder

    def __call__(
        self, photos: Sequence[Sequence[Asked]], seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, targets and what counts, each (photos * prompts, side, side)."""
        rng = np.random.default_rng((self.recipe.seed, seed, 1))
        pixels, targets, counted, prompts = [], [], [], []
        for asked in photos:
            picture, masks, valid = self._cut(asked, rng)
            pixels.append(self.model.pixels(picture, (self.recipe.side,) * 2))
            targets += masks
            counted += [valid] * len(masks)
            prompts += [self._prompt(one, rng) for one in asked]
        with torch.no_grad():
            kept, grid_hw, classes = self.model.activations(torch.stack(pixels))
            each = len(photos[0])
            kept = [x.repeat_interleave(each, 0) for x in kept]
        seen = self.model.decoder.reduce(kept, grid_hw, classes)
        logits: Tensor = self.model.decoder(seen, torch.stack(prompts))
        device = logits.device
        return (
            logits,
            torch.from_numpy(np.stack(targets)).to(device),
            torch.from_numpy(np.stack(counted)).to(device),
        )

    def _cut(
        self, asked: Sequence[Asked], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]], NDArray[np.bool_]]:
        """A crop that keeps the first prompt that is there, the masks, and what counts in it."""
        shot, wanted = self.drawer.shots[asked[0].shot], self.recipe.side
        rgb = _read(shot)
        size_hw = (rgb.shape[0], rgb.shape[1])
        nothing = np.zeros(size_hw, np.bool_)
        masks = [shot.mask(a.phrase, size_hw) if a.there else nothing for a in asked]
        keep = next((m for m in masks if m.any()), nothing)
        least = min(size_hw)
        side = max(1, int(least / rng.uniform(1.0, self.recipe.jitter)))
        place = find_crop(keep, side, self.recipe.crop_least, rng)
        cut = [crop(rgb, mask, place, side, wanted) for mask in masks]
        ignored = nothing if shot.ignored is None else shot.ignored(size_hw)
        valid = ~crop(rgb, ignored, place, side, wanted)[1]
        return cut[0][0], [mask for _, mask in cut], valid

    def _prompt(self, asked: Asked, rng: np.random.Generator) -> Tensor:
        words = self.model.words([asked.sentence])[0]
        if not asked.examples:
            return words.clone()
        pictures = []
        for number in asked.examples:
            shot = self.drawer.shots[number]
            rgb = _read(shot)
            mask = shot.mask(asked.phrase, (rgb.shape[0], rgb.shape[1]))
            side = min(mask.shape)
            place = find_crop(mask, side, self.recipe.crop_least, rng)
            picture, inside = crop(rgb, mask, place, side, self.recipe.side)
            if inside.any():
                pictures.append(prepare_example(picture, inside, self.recipe.ways))
        if not pictures:
            return words.clone()
        visual = self.model.examples(pictures)
        return asked.weight * words + (1 - asked.weight) * visual


def _read(shot: Shot) -> NDArray[np.uint8]:
    from lexiseg import imaging

    return imaging.read(shot.path).rgb
