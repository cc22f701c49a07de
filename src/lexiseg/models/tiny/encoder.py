"""The bundled encoder: words and pictures in one space, from files inside the package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.device import Compute, OnDevice, skip_init
from lexiseg.models.tiny.text import TextConfig, TextTower, tokenise, unpack
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.models.tiny.weights import fill, load_vision
from lexiseg.prompts.lexicon import is_name, meaning, singulars
from lexiseg.protocols import BackboneMaps, SizePolicy
from lexiseg.results import UnknownWord

__all__ = ["TinyEncoder", "from_checkpoint"]

# How a word leans on its nearest known one: by cosine of meanings, nothing below the first, all of
# the share from the second on. Chosen on train photos with synonyms (benchmarks' row `synonyms`).
_FAR, _NEAR, _SAME, _DRAW = 0.6, 0.8, 0.999, 3.0
_DRAW_SAME = 10.0  # towards a word that means the same by the dictionary
_KEPT = 20_000  # meanings kept, 30 MB, so that a server's memory does not grow with its words


class TinyEncoder(OnDevice):
    """Encoder protocol over the bundled towers; see ``CARD.md`` and ``docs/model-card.md``."""

    size = SizePolicy(short_side=288, window=640, multiple=32)
    synonym_threshold = 0.85
    presence = 0.7  # chosen on train photos, with and without the words

    def __init__(
        self,
        net: VisionNet,
        tower: TextTower,
        tokenizer: Any,
        known_words: Sequence[str],
        compute: Compute,
        *,
        tagged_words: Sequence[str] = (),
        name: str = "tiny",
        sha256: Mapping[str, str] | None = None,
        unknown_below: float = 0.6,
        tagged_below: float = 0.8,
    ) -> None:
        self.name = name
        self.known_words: tuple[str, ...] = tuple(known_words)
        self.tagged_words = tuple(tagged_words)
        self.unknown_below = unknown_below
        self.tagged_below = tagged_below
        self._compute = compute
        self._net = net.eval().requires_grad_(False).to(compute.device)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tower = tower.eval().requires_grad_(False).to(compute.device)
        self.tokenizer = tokenizer
        self.sha256: Mapping[str, str] = dict(sha256 or {})
        self.scale = float(net.scale())
        self._meanings: dict[str, Tensor] = {}
        self._nearest: dict[str, UnknownWord | None] = {}  # None: the word is known

    @torch.inference_mode()
    def meanings(self, phrases: Sequence[str]) -> Tensor:
        """Return the meanings of phrases, (K, 384) float32, unit length; kept once computed."""
        if len(self._meanings) > _KEPT:
            self._meanings.clear()
        new = [p for p in dict.fromkeys(phrases) if p not in self._meanings]
        for start in range(0, len(new), 256):
            part = new[start : start + 256]
            ids, mask = tokenise(self.tokenizer, part, self.tower.config.max_tokens)
            made = self.tower(ids.to(self._compute.device), mask.to(self._compute.device))
            self._meanings.update(zip(part, made, strict=True))
        return torch.stack([self._meanings[p] for p in phrases])

    @torch.inference_mode()
    def text(self, words: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
        """Return the vectors of words, (K, D) float32, unit length: the mean over templates.

        A word that had no masks is drawn towards its nearest word that had, the more the nearer
        it lies: pictures have taught what that one looks like. Nearest is one that means the same
        by the dictionary, if there is one.
        """
        versions = [self.meanings([t.format(w) for w in words]) for t in templates]
        means = F.normalize(torch.stack(versions).mean(0), dim=-1)
        return self._net.project(self._drawn(means, words))

    @torch.inference_mode()
    def dense(self, rgb: Tensor) -> Tensor:
        """Return the features of (B, H, W, 3) uint8 pictures, (B, H/4, W/4, D), unit length."""
        return self.features(self.backbone_maps(rgb, (rgb.shape[1], rgb.shape[2])))

    @torch.inference_mode()
    def backbone_maps(self, rgb: Tensor, input_hw: tuple[int, int]) -> BackboneMaps:
        """Run the picture side as far as a masker shares it; see ``BackboneEncoder``."""
        with self._compute.autocast():
            maps = self._net.maps(self._pixels(rgb))
        padded_hw = (rgb.shape[1], rgb.shape[2])
        return BackboneMaps(self._net, self.dtype_name, input_hw, padded_hw, maps)

    @torch.inference_mode()
    def features(self, maps: BackboneMaps) -> Tensor:
        """Return the features of what ``backbone_maps`` returned, as ``dense`` does."""
        with self._compute.autocast():
            features = self._net.embed(maps.value.decoded).float()
        features /= features.norm(dim=-1, keepdim=True)  # in place: they are large
        return features

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words that it was trained on: in phrases they stay whole."""
        return (*self.known_words, *self.tagged_words)

    @property
    def net(self) -> VisionNet:
        """The picture side, for heads that are put on it."""
        return self._net

    @torch.no_grad()
    def decoded(self, rgb: Tensor) -> Tensor:
        """Return what features are made of, (B, H/4, W/4, fine_dim), of (B, H, W, 3) uint8."""
        with self._compute.autocast():
            return self._net.maps(self._pixels(rgb)).decoded

    @torch.inference_mode()
    def pooled(self, rgb: Tensor, masks: Tensor | None = None) -> Tensor:
        """Return the mean feature of each mask, (N, D), or of each picture, (B, D), unit length.

        A mask counts by the part of each 4x4 cell that it covers; an empty mask gives zeros.
        """
        features = self.dense(rgb)
        if masks is None:
            return F.normalize(features.mean((1, 2)), dim=-1)
        covered = masks[:, None].to(features.device, torch.float32)
        cells = F.adaptive_avg_pool2d(covered, (features.shape[1], features.shape[2]))[:, 0]
        return F.normalize(torch.einsum("nhw,hwd->nd", cells, features[0]), dim=-1)

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        """Return the words whose meaning is far from all that the picture side learned.

        Far: the cosine of meanings is below ``unknown_below`` to every word that had masks, and
        below ``tagged_below`` to every word that only named whole photos: what was learned
        without masks does not reach out to its neighbours. What the dictionary gives as another
        name or another number of a word that had masks is known. Names of people and brands, which
        no dictionary holds, are unknown however near their letters lie.
        """
        if len(self._nearest) > _KEPT:
            self._nearest.clear()
        new = [word for word in dict.fromkeys(words) if word not in self._nearest]
        if new:
            self._nearest.update(zip(new, self._find_nearest(new), strict=True))
        return tuple(near for near in map(self._nearest.get, words) if near is not None)

    def nearest_known(self, words: Sequence[str]) -> tuple[tuple[str, float], ...]:
        """Return the nearest word that had masks of each, and the cosine of their meanings."""
        if not words:
            return ()
        cosines, places = (self.meanings(words) @ self._known.T).max(1)
        pairs = zip(places.tolist(), cosines.tolist(), strict=True)
        return tuple((self.known_words[place], cosine) for place, cosine in pairs)

    def _same(self, word: str) -> tuple[int, ...]:
        """The places of known words that mean the same by the dictionary, in either number.

        Of a word that it lacks, those that are spelled the same but for their number.
        """
        places, by_meaning = self._dictionary
        if (entry := meaning(word)) is not None:
            return by_meaning.get(entry, ())
        text = " ".join(word.casefold().split())
        forms = (text, f"{text}s", f"{text}es", *singulars(text))
        return tuple(sorted({places[form] for form in forms if form in places}))

    def _find_nearest(self, words: Sequence[str]) -> list[UnknownWord | None]:
        """Of each word that is far from the known ones, which they are; None for the others."""
        meanings = self.meanings(words)
        nearest = (meanings @ self._known.T).topk(min(3, len(self.known_words)))
        table = torch.cat([nearest.values[:, :1], nearest.indices.float()], 1).tolist()
        far = [
            k
            for k, (cosine, *_) in enumerate(table)
            if cosine < self.unknown_below and not self._same(words[k])
        ]
        if far and self.tagged_words:  # they are many, and most words are not far
            rows = torch.tensor(far, device=meanings.device)
            tagged = (meanings[rows] @ self._tagged.T).amax(1).tolist()
            far = [k for k, cosine in zip(far, tagged, strict=True) if cosine < self.tagged_below]
        out: list[UnknownWord | None] = [None] * len(words)
        for k, word in enumerate(words):
            if is_name(word) and word.casefold() not in self._own_words:
                out[k] = UnknownWord(word, (), table[k][0], is_name=True)
        for k in far:
            if out[k] is not None:
                continue
            cosine, *order = table[k]
            out[k] = UnknownWord(words[k], tuple(self.known_words[int(i)] for i in order), cosine)
        return out

    def _drawn(self, meanings: Tensor, words: Sequence[str]) -> Tensor:
        """Meanings (K, 384) of words with a share of the nearest known word's, unit length."""
        if not self.known_words:
            return meanings
        cosines = meanings @ self._known.T
        cosine, nearest = cosines.max(1)
        near = ((cosine - _FAR) / (_NEAR - _FAR)).clamp(0, 1)
        share = torch.where(cosine < _SAME, _DRAW * near, 0)  # a known word stays as it is
        places, _ = self._dictionary
        for k, word in enumerate(words):
            if word.casefold() not in places and (same := self._same(word)):
                among = torch.tensor(same, device=meanings.device)
                nearest[k] = among[cosines[k, among].argmax()]
                share[k] = _DRAW_SAME
        return F.normalize(meanings + share[:, None] * self._known[nearest], dim=-1)

    @cached_property
    def _dictionary(self) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
        """The places of known words by their spelling, and by what they mean."""
        by_meaning: dict[str, tuple[int, ...]] = {}
        for place, word in enumerate(self.known_words):
            if (entry := meaning(word)) is not None:
                by_meaning[entry] = (*by_meaning.get(entry, ()), place)
        return {word.casefold(): place for place, word in enumerate(self.known_words)}, by_meaning

    @cached_property
    def _own_words(self) -> frozenset[str]:
        """All that it was trained on, in lower case: a user's own words may be names."""
        return frozenset(word.casefold() for word in (*self.known_words, *self.tagged_words))

    @cached_property
    def _known(self) -> Tensor:
        return self.meanings(self.known_words)

    @cached_property
    def _tagged(self) -> Tensor:
        return self.meanings(self.tagged_words)

    def _pixels(self, rgb: Tensor) -> Tensor:
        x = rgb.to(self._compute.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return x.contiguous(memory_format=torch.channels_last)


def from_checkpoint(checkpoint: Checkpoint, compute: Compute) -> TinyEncoder:
    """Build the encoder from verified files. Raises CheckpointError where they do not fit."""
    from tokenizers import Tokenizer

    config = json.loads(checkpoint["config.json"].read_text("utf-8"))
    net = load_vision(checkpoint, config["vision"], compute)
    with skip_init():  # nothing is drawn that the file replaces
        tower = TextTower(TextConfig(**config["text"]))
    fill(tower, checkpoint["text.safetensors"], unpack)
    return TinyEncoder(
        net,
        tower,
        Tokenizer.from_file(str(checkpoint["tokenizer.json"])),
        config["known_words"],
        compute,
        tagged_words=[w for w in config["trained_words"] if w not in config["known_words"]],
        name=checkpoint.record.name,
        sha256=checkpoint.sha256,
        unknown_below=config["unknown_below"],
        tagged_below=config["tagged_below"],
    )
