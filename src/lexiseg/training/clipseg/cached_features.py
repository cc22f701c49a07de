"""Training the bundled encoder's head: what the frozen encoder gives is computed once, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lexiseg import imaging
from lexiseg.models.tiny import PICTURES
from lexiseg.models.tiny.film import FilmPrompted
from lexiseg.training.clipseg.phrases import LabelledPhoto
from lexiseg.training.clipseg.recipe import ClipSegRecipe
from lexiseg.training.clipseg.sampling import Prompt, cut_square, find_square
from lexiseg.training.run_folder import digest, save_atomically

__all__ = ["CachedFeatures"]

_CELL = 4
_AT_ONCE = 8  # photos
Masks = dict[str | None, NDArray[np.bool_]]  # of a photo's phrases; None: what is ignored


class CachedFeatures:
    """Logits and targets of prompts, from features that ``folder`` keeps."""

    def __init__(
        self, model: FilmPrompted, photos: Sequence[LabelledPhoto], recipe: ClipSegRecipe,
        folder: Path, log: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        self.model = model
        self.photos = photos
        self.recipe = recipe
        self._grid = recipe.side // _CELL
        self._words: dict[str, Tensor] = {}
        self._open(folder, log)

    @property
    def decoder(self) -> nn.Module:
        return self.model.head

    def __call__(
        self, prompts: Sequence[Sequence[Prompt]], number: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, targets and what counts, each (photos * prompts, h, w).

        number: of the part of a step, from which the flips are drawn.
        """
        rng = np.random.default_rng((self.recipe.seed, number, 1))
        ways = np.where(rng.random(len(prompts)) < 0.5, -1, 1)
        decoded = np.stack(
            [self._decoded[own[0].photo][:, ::way] for own, way in zip(prompts, ways, strict=True)]
        )
        places = torch.from_numpy(decoded).float()
        with torch.no_grad():
            features = self.model.features(places)
        vectors = torch.stack([torch.stack([self._vector(p) for p in own]) for own in prompts])
        logits = self.model.logits(places, features, vectors).flatten(0, 1)
        targets, counted = [], []
        for own, way in zip(prompts, ways, strict=True):
            valid = ~self._mask(own[0].photo, None)[:, ::way]
            for one in own:
                mask = self._mask(one.photo, one.phrase if one.present else "")
                targets.append(mask[:, ::way])
                counted.append(valid)
        return logits, torch.from_numpy(np.stack(targets)), torch.from_numpy(np.stack(counted))

    def _vector(self, prompt: Prompt) -> Tensor:
        if prompt.sentence not in self._words:
            self._words[prompt.sentence] = self.model.words([prompt.sentence])[0].clone()
        words = self._words[prompt.sentence]
        vectors = [self._pooled[i, prompt.phrase] for i in prompt.examples]
        vectors = [v for v in vectors if bool(v.any())]  # what the crop left nothing of
        if not vectors:
            return words
        visual = F.normalize(torch.stack(vectors).mean(0), dim=-1)
        weight = prompt.text_weight
        return F.normalize(weight * words + (1 - weight) * visual, dim=-1)

    def _mask(self, photo: int, phrase: str | None) -> NDArray[np.bool_]:
        """The mask of a phrase, (h, w), empty for one that the photo lacks; of None the ignored."""
        side = self._grid
        bits = self._bits[photo].get(phrase)
        if bits is None:
            return np.zeros((side, side), np.bool_)
        return np.unpackbits(bits, count=side * side).reshape(side, side).astype(np.bool_)

    def _open(self, folder: Path, log: Callable[[str], None]) -> None:
        """Fill the cache, or take what an earlier run with the same files and encoder left."""
        side, width = self._grid, self.model.head.config.fine_dim
        folder.mkdir(parents=True, exist_ok=True)
        key = self._key()
        features, others = folder / f"{key}.npy", folder / f"{key}.pt"
        shape = (len(self.photos), side, side, width)
        if not others.is_file():
            self._encode(np.memmap(features, np.float16, "w+", shape=shape), others, log)
        self._decoded = np.memmap(features, np.float16, "r", shape=shape)
        kept = torch.load(others, weights_only=True)
        self._bits: list[dict[str | None, NDArray[np.uint8]]] = [
            {phrase: bits.numpy() for phrase, bits in one.items()} for one in kept["bits"]
        ]
        self._pooled: dict[tuple[int, str], Tensor] = {
            (i, phrase): vector
            for i, one in enumerate(kept["pooled"])
            for phrase, vector in one.items()
        }

    def _key(self) -> str:
        """What the features depend on: photos and masks by content, crops, and the encoder."""
        recipe = self.recipe
        crops = [recipe.side, recipe.jitter, recipe.min_crop_share, recipe.seed]
        parts: list[str | Path] = [json.dumps([crops, self.model.sha256.get(PICTURES)])]
        for photo in self.photos:
            parts += [photo.path, photo.source, json.dumps(photo.phrases)]
        return digest(*parts)

    def _encode(
        self, features: np.memmap[tuple[int, ...], np.dtype[np.float16]], others: Path,
        log: Callable[[str], None],
    ) -> None:  # fmt: skip
        all_bits, all_pooled = [], []
        for start in range(0, len(self.photos), _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, len(self.photos)))
            crops = [self._crop(number) for number in numbers]
            places = self.model.places(torch.from_numpy(np.stack([rgb for rgb, _ in crops])))
            features[numbers.start : numbers.stop] = places.decoded.half().numpy()
            for vectors, (_, masks) in zip(places.features, crops, strict=True):
                all_pooled.append(
                    {
                        phrase: F.normalize(vectors[torch.from_numpy(mask)].sum(0), dim=-1)
                        for phrase, mask in masks.items()
                        if phrase is not None
                    }
                )
                all_bits.append({p: torch.from_numpy(np.packbits(m)) for p, m in masks.items()})
            if start % (_AT_ONCE * 25) == 0:
                log(f"encoded {start} of {len(self.photos)} photos")
        features.flush()
        save_atomically(others, {"bits": all_bits, "pooled": all_pooled})

    def _crop(self, number: int) -> tuple[NDArray[np.uint8], Masks]:
        """A photo's fixed crop, and the masks of its phrases in it at the size of the features."""
        recipe, photo = self.recipe, self.photos[number]
        rng = np.random.default_rng((recipe.seed, number, 2))
        rgb = imaging.read(photo.path).rgb
        size_hw = (rgb.shape[0], rgb.shape[1])
        masks: Masks = {phrase: photo.mask(phrase, size_hw) for phrase in photo.phrases}
        if photo.ignored is not None:
            masks[None] = photo.ignored(size_hw)
        side = max(1, int(min(size_hw) / rng.uniform(1.0, recipe.jitter)))
        keep = masks[photo.phrases[int(rng.integers(len(photo.phrases)))]]
        place = find_square(keep, side, recipe.min_crop_share, rng)
        picture = cut_square(rgb, keep, place, side, recipe.side)[0]
        return picture, {
            phrase: cut_square(rgb, mask, place, side, self._grid)[1]
            for phrase, mask in masks.items()
        }
