"""Training the bundled encoder's head: what the frozen encoder gives is computed once, and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lexiseg.models.tiny import PICTURES
from lexiseg.models.tiny.film_prompted import FilmPrompted
from lexiseg.training.clipseg.crops import crop, find_crop
from lexiseg.training.clipseg.draw import Asked, Drawer
from lexiseg.training.clipseg.recipe import ClipSegRecipe

__all__ = ["CachedTask"]

_CELL = 4
_AT_ONCE = 8  # photos


class CachedTask:
    """What the loop asks: logits and targets of drawn prompts. ``folder`` keeps the features."""

    def __init__(
        self, model: FilmPrompted, drawer: Drawer, recipe: ClipSegRecipe, folder: Path,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        self.model = model
        self.drawer = drawer
        self.recipe = recipe
        self._grid = recipe.side // _CELL
        self._words: dict[str, Tensor] = {}
        self._open(folder, log)

    @property
    def trained(self) -> nn.Module:
        return self.model.head

    def __call__(
        self, photos: Sequence[Sequence[Asked]], seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, targets and what counts, each (photos * prompts, h, w)."""
        flip = np.random.default_rng((self.recipe.seed, seed, 1)).random(len(photos)) < 0.5
        decoded = np.stack(
            [
                self._decoded[a[0].shot][:, ::-1] if f else self._decoded[a[0].shot]
                for a, f in zip(photos, flip, strict=True)
            ]
        )
        places = torch.from_numpy(decoded).float()
        with torch.no_grad():
            features = self.model.features(places)
        prompts = torch.stack([torch.stack([self._prompt(a) for a in asked]) for asked in photos])
        logits = self.model.logits(places, features, prompts).flatten(0, 1)
        targets, counted = [], []
        for asked, f in zip(photos, flip, strict=True):
            step = -1 if f else 1
            valid = ~self._mask(asked[0].shot, None)[:, ::step]
            for one in asked:
                mask = self._mask(one.shot, one.phrase if one.there else "")
                targets.append(mask[:, ::step])
                counted.append(valid)
        return logits, torch.from_numpy(np.stack(targets)), torch.from_numpy(np.stack(counted))

    def _prompt(self, asked: Asked) -> Tensor:
        if asked.sentence not in self._words:
            self._words[asked.sentence] = self.model.words([asked.sentence])[0].clone()
        words = self._words[asked.sentence]
        vectors = [self._pooled[i, asked.phrase] for i in asked.examples]
        vectors = [v for v in vectors if bool(v.any())]  # what the crop left nothing of
        if not vectors:
            return words
        visual = F.normalize(torch.stack(vectors).mean(0), dim=-1)
        return F.normalize(asked.weight * words + (1 - asked.weight) * visual, dim=-1)

    def _mask(self, shot: int, phrase: str | None) -> NDArray[np.bool_]:
        """The mask of a phrase, (h, w); of None what is ignored; of another phrase nothing."""
        side = self._grid
        if phrase and phrase not in self.drawer.shots[shot].phrases:
            phrase = ""
        bits = self._bits[shot].get(phrase)
        if bits is None:
            return np.zeros((side, side), np.bool_)
        return np.unpackbits(bits, count=side * side).reshape(side, side).astype(np.bool_)

    def _open(self, folder: Path, log: Callable[[str], None]) -> None:
        """Fill the cache, or take what an earlier run with the same photos and encoder left."""
        recipe, shots, side = self.recipe, self.drawer.shots, self._grid
        names = [shot.id for shot in shots]
        crops = [recipe.side, recipe.jitter, recipe.crop_least, recipe.seed]
        key = json.dumps([names, crops, self.model.sha256.get(PICTURES)])
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        file, rest = folder / f"{digest}.npy", folder / f"{digest}.pt"
        if not rest.is_file():
            self._make(file, rest, log)
        width = self.model.head.config.fine_dim
        self._decoded = np.memmap(file, np.float16, "r", shape=(len(shots), side, side, width))
        kept = torch.load(rest, weights_only=True)
        self._bits: list[dict[str | None, NDArray[np.uint8]]] = [
            {phrase: bits.numpy() for phrase, bits in one.items()} for one in kept["bits"]
        ]
        self._pooled: dict[tuple[int, str], Tensor] = {
            (i, phrase): vector
            for i, one in enumerate(kept["pooled"])
            for phrase, vector in one.items()
        }

    def _make(self, file: Path, rest: Path, log: Callable[[str], None]) -> None:
        from lexiseg import imaging

        recipe, shots, side = self.recipe, self.drawer.shots, self._grid
        width = self.model.head.config.fine_dim
        made = np.memmap(file, np.float16, "w+", shape=(len(shots), side, side, width))
        all_bits, all_pooled = [], []
        for start in range(0, len(shots), _AT_ONCE):
            part, pictures, masks = shots[start : start + _AT_ONCE], [], []
            for i, shot in enumerate(part, start):
                rng = np.random.default_rng((recipe.seed, i, 2))
                rgb = imaging.read(shot.path).rgb
                size_hw = (rgb.shape[0], rgb.shape[1])
                own: dict[str | None, NDArray[np.bool_]] = {
                    phrase: shot.mask(phrase, size_hw) for phrase in shot.phrases
                }
                if shot.ignored is not None:
                    own[None] = shot.ignored(size_hw)
                square = max(1, int(min(size_hw) / rng.uniform(1.0, recipe.jitter)))
                rarest = own[shot.phrases[int(rng.integers(len(shot.phrases)))]]
                place = find_crop(rarest, square, recipe.crop_least, rng)
                pictures.append(crop(rgb, rarest, place, square, recipe.side)[0])
                masks.append({p: crop(rgb, m, place, square, side)[1] for p, m in own.items()})
            places = self.model.places(torch.from_numpy(np.stack(pictures)))
            made[start : start + len(part)] = places.decoded.half().numpy()
            for features, own in zip(places.features, masks, strict=True):
                pooled = {}
                for phrase, mask in own.items():
                    if phrase is not None:
                        sums = features[torch.from_numpy(mask)].sum(0)
                        pooled[phrase] = F.normalize(sums, dim=-1) if mask.any() else sums
                all_pooled.append(pooled)
                bits = {p: torch.from_numpy(np.packbits(m)) for p, m in own.items()}
                all_bits.append(bits)
            if start % (_AT_ONCE * 25) == 0:
                log(f"encoded {start} of {len(shots)} photos")
        made.flush()
        # What ignored pixels are is kept under the name None.
        torch.save({"bits": all_bits, "pooled": all_pooled}, rest)
