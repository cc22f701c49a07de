"""Training a CLIPSeg decoder on a frozen CLIP: photos are cropped and encoded as they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexiseg import imaging
from lexiseg.models.clipseg.model import ClipSeg
from lexiseg.stages.clipseg_prompts import prepare_example
from lexiseg.training.clipseg.phrases import LabelledPhoto
from lexiseg.training.clipseg.recipe import ClipSegRecipe
from lexiseg.training.clipseg.sampling import Prompt, cut_square, find_square

__all__ = ["LiveEncoding"]


class LiveEncoding:
    """Logits and targets of prompts, from photos that are encoded for each step."""

    def __init__(
        self, model: ClipSeg, photos: Sequence[LabelledPhoto], recipe: ClipSegRecipe
    ) -> None:
        self.model = model
        self.photos = photos
        self.recipe = recipe

    @property
    def decoder(self) -> nn.Module:
        return self.model.decoder

    def __call__(
        self, prompts: Sequence[Sequence[Prompt]], number: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, targets and what counts, each (photos * prompts, side, side).

        number: of the part of a step, from which the crops are drawn.
        """
        rng = np.random.default_rng((self.recipe.seed, number, 1))
        pixels, targets, counted, vectors = [], [], [], []
        for own in prompts:
            picture, masks, valid = self._cut(own, rng)
            pixels.append(self.model.pixels(picture, (self.recipe.side,) * 2))
            targets += masks
            counted += [valid] * len(masks)
            vectors += [self._vector(one, rng) for one in own]
        with torch.no_grad():
            kept, grid_hw, classes = self.model.activations(torch.stack(pixels))
            each = len(prompts[0])
            kept = [x.repeat_interleave(each, 0) for x in kept]
        reduced = self.model.decoder.reduce(kept, grid_hw, classes)
        logits: Tensor = self.model.decoder(reduced, torch.stack(vectors))
        device = logits.device
        return (
            logits,
            torch.from_numpy(np.stack(targets)).to(device),
            torch.from_numpy(np.stack(counted)).to(device),
        )

    def _cut(
        self, prompts: Sequence[Prompt], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]], NDArray[np.bool_]]:
        """A crop that keeps the first prompt that is present, the masks, and what counts in it."""
        recipe, photo = self.recipe, self.photos[prompts[0].photo]
        rgb = imaging.read(photo.path).rgb
        size_hw = (rgb.shape[0], rgb.shape[1])
        empty = np.zeros(size_hw, np.bool_)
        masks = [photo.mask(p.phrase, size_hw) if p.present else empty for p in prompts]
        keep = next((mask for mask in masks if mask.any()), empty)
        side = max(1, int(min(size_hw) / rng.uniform(1.0, recipe.jitter)))
        place = find_square(keep, side, recipe.min_crop_share, rng)
        cut = [cut_square(rgb, mask, place, side, recipe.side) for mask in masks]
        ignored = empty if photo.ignored is None else photo.ignored(size_hw)
        valid = ~cut_square(rgb, ignored, place, side, recipe.side)[1]
        return cut[0][0], [mask for _, mask in cut], valid

    def _vector(self, prompt: Prompt, rng: np.random.Generator) -> Tensor:
        words = self.model.words([prompt.sentence])[0]
        pictures = []
        for number in prompt.examples:
            photo = self.photos[number]
            rgb = imaging.read(photo.path).rgb
            mask = photo.mask(prompt.phrase, (rgb.shape[0], rgb.shape[1]))
            side = min(mask.shape)
            place = find_square(mask, side, self.recipe.min_crop_share, rng)
            picture, inside = cut_square(rgb, mask, place, side, self.recipe.side)
            if inside.any():
                pictures.append(prepare_example(picture, inside, self.recipe.ways))
        if not pictures:
            return words.clone()
        weight = prompt.text_weight
        return weight * words + (1 - weight) * self.model.examples(pictures)
