"""The bundled encoder as a model that draws a map for each prompt: planes through its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.imaging import pad_to_multiple, resize_image, working_size
from lexiseg.models.tiny.encoder import TinyEncoder
from lexiseg.models.tiny.linear_prompts import of_examples, of_words
from lexiseg.protocols import EncodedImage
from lexiseg.results import UnknownWord

__all__ = ["Places", "TinyPrompted"]


@dataclass(frozen=True, eq=False)
class Places:
    """A picture's grid: decoded (1, h, w, F), and the unit-length features made of it."""

    decoded: Tensor
    features: Tensor


class TinyPrompted:
    """Protocol ``PromptedModel`` over the bundled towers; a prompt is a plane, (D + 1)."""

    templates: Sequence[str] = ("{}",)
    example: Sequence[str] = ()  # the mask itself says what is meant

    def __init__(self, encoder: TinyEncoder) -> None:
        self.encoder = encoder
        self.name = encoder.name
        self.side = encoder.size.short_side

    @property
    def device_name(self) -> str:
        return self.encoder.device_name

    @property
    def dtype_name(self) -> str:
        return self.encoder.dtype_name

    @property
    def sha256(self) -> Mapping[str, str]:
        return self.encoder.sha256

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.encoder.vocabulary

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        return self.encoder.unknown(words)

    @torch.inference_mode()
    def encode(
        self, rgb: NDArray[np.uint8], *, side: int | None = None, stretch: bool = False
    ) -> EncodedImage:
        """Encode a picture, (H, W, 3) uint8, with its proportions: there are no native ones."""
        side = side or self.side
        size_hw = (rgb.shape[0], rgb.shape[1])
        height, width = working_size(size_hw, side)
        small = resize_image(rgb, (height, width))
        whole = pad_to_multiple(small, self.encoder.size.multiple)
        places = self.places(torch.from_numpy(whole)[None])
        h, w = -(-height // 4), -(-width // 4)
        value = Places(places.decoded[:, :h, :w], places.features[:, :h, :w])
        return EncodedImage(value, (height, width), 4)

    @torch.no_grad()
    def places(self, rgb: Tensor) -> Places:
        """Pictures (B, H, W, 3) uint8, sides in multiples of 32, as a grid of 4x4 pixels."""
        decoded = self.encoder.decoded(rgb).float()
        return Places(decoded, self.encoder.net.embed(decoded))

    def features(self, decoded: Tensor) -> Tensor:
        """Decoded places (..., F) -> unit-length features (..., D)."""
        return self.encoder.net.embed(decoded)

    @torch.inference_mode()
    def words(self, sentences: Sequence[str]) -> Tensor:
        """Return the words' planes, (N, D + 1)."""
        return of_words(self.encoder.text(list(sentences)))

    @torch.inference_mode()
    def examples(self, pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]) -> Tensor:
        """Return the plane between what the masks show and what else there is, (D + 1,)."""
        features, inside = self._shown(pictures)
        return of_examples(features, inside, self._known, [_is_box(mask) for _, mask in pictures])

    @torch.inference_mode()
    def maps(self, image: EncodedImage, vectors: Tensor) -> Tensor:
        """Return a map of logits for each plane, (N, h, w) float32."""
        places: Places = image.value
        h, w, d = places.features.shape[1:]
        rows = places.features.reshape(h * w, d)
        return torch.addmm(vectors[:, d:], vectors[:, :d], rows.T).view(-1, h, w)

    def _shown(
        self, pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The features of each picture, (h, w, D), and the part of each place in the mask."""
        features, inside = [], []
        for rgb, mask in pictures:
            features.append(self.encode(rgb).value.features[0])
            covered = torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()
            cells = F.interpolate(covered, features[-1].shape[:2], mode="area")[0, 0]
            inside.append(cells.to(features[-1].device))
        return features, inside

    @cached_property
    def _known(self) -> Tensor:
        """The vectors of all words that had masks, (K, D)."""
        known = list(self.encoder.known_words)
        if not known:
            return self.encoder.net.words.weight.new_empty(0, self.encoder.net.config.dim)
        return self.encoder.text(known)


def _is_box(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask is a rectangle, which is hardly ever a thing's own shape."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return False
    return bool(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())
