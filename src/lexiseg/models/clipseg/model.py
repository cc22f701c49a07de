"""CLIPSeg as a model that methods ask: one pass over a picture, then a map for each prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.checkpoints import IMAGENET_PIXELS, Checkpoint, Preprocessing
from lexiseg.device import Compute, OnDevice
from lexiseg.errors import CheckpointError
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.encoder import ClipEncoder
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.tokenizer import tokenizer
from lexiseg.models.clip.weights import read_tensors
from lexiseg.models.clipseg.config import DecoderConfig
from lexiseg.models.clipseg.decoder import Decoder, Reduced
from lexiseg.models.clipseg.tower import activations, widths_of
from lexiseg.models.clipseg.weights import fill, read_decoder, split_transformers
from lexiseg.protocols import EncodedImage

__all__ = ["ClipSeg", "from_checkpoint"]

_MULTIPLE = 32  # of sides: a ViT-B/32's cells, and a ResNet's
_EXAMPLES = 4  # pictures that go through the tower together


class ClipSeg(OnDevice):
    """Protocol ``PromptedModel`` over a CLIP and a decoder."""

    templates: Sequence[str] = ("a photo of a {}.",)
    example: Sequence[str] = ("crop", "blur", "darken")

    def __init__(
        self,
        clip: ClipEncoder,
        decoder: Decoder,
        compute: Compute,
        *,
        name: str,
        sha256: Mapping[str, str] | None = None,
        preprocessing: Preprocessing = IMAGENET_PIXELS,
    ) -> None:
        config = decoder.config
        found = widths_of(clip.net.config.vision, config.layers)
        if found != config.widths or clip.net.config.vision.embed_dim != config.cond_dim:
            raise CheckpointError(
                f"the decoder {name!r} reads layers {config.widths} wide and prompts of "
                f"{config.cond_dim} values, {clip.name!r} gives {found} and "
                f"{clip.net.config.vision.embed_dim}; put it on the CLIP that it was trained on"
            )
        self.name = name
        self.clip = clip
        self.decoder = decoder.to(compute.device)
        self.side = config.side
        self._compute = compute
        self.sha256: Mapping[str, str] = dict(sha256 or {})
        self._words: dict[str, Tensor] = {}
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        # (x / 255 - mean) / std as one product and one sum
        self._factor = (1 / (255 * std))[:, None, None].to(compute.device)
        self._shift = (mean / std)[:, None, None].to(compute.device)

    @torch.inference_mode()
    def encode(
        self, rgb: NDArray[np.uint8], *, side: int | None = None, stretch: bool = True
    ) -> EncodedImage:
        """Encode a picture, (H, W, 3) uint8, scaled to a square as published, or by its short side.

        Without ``stretch`` its proportions stay, up to multiples of 32 pixels.
        """
        side = side or self.side
        height, width = side, side
        if not stretch:
            scale = side / min(rgb.shape[:2])
            height, width = (
                min(4 * side, max(_MULTIPLE, round(s * scale / _MULTIPLE) * _MULTIPLE))
                for s in rgb.shape[:2]
            )
        height, width = (max(_MULTIPLE, -(-s // _MULTIPLE) * _MULTIPLE) for s in (height, width))
        return EncodedImage(
            self.reduced(self.pixels(rgb, (height, width))[None]), (height, width), 1
        )

    def pixels(self, rgb: NDArray[np.uint8], size_hw: tuple[int, int]) -> Tensor:
        """A picture scaled and normalised, (3, H, W) float32."""
        import cv2

        shrinks = size_hw[0] < rgb.shape[0] and size_hw[1] < rgb.shape[1]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        made = np.asarray(cv2.resize(rgb, size_hw[::-1], interpolation=way), np.uint8)
        x = torch.from_numpy(made).to(self._compute.device).permute(2, 0, 1).float()
        return x * self._factor - self._shift

    @torch.no_grad()
    def activations(self, pixels: Tensor) -> tuple[list[Tensor], tuple[int, int], int]:
        """What the decoder's layers give for pixels (B, 3, H, W), normalised."""
        return activations(self.clip.net.visual, pixels, self.decoder.config.layers)

    def reduced(self, pixels: Tensor) -> Reduced:
        """Pixels (B, 3, H, W), normalised, as the decoder sees them."""
        return self.decoder.reduce(*self.activations(pixels))

    @torch.inference_mode()
    def words(self, sentences: Sequence[str]) -> Tensor:
        """Return CLIP's vectors of sentences, (N, C) float32, not normalised; kept once made."""
        new = [s for s in dict.fromkeys(sentences) if s not in self._words]
        if new:
            if len(self._words) > 20_000:
                self._words.clear()
                new = list(dict.fromkeys(sentences))
            self._words |= zip(new, self.clip.sentences(new), strict=True)
        return torch.stack([self._words[s] for s in sentences])

    @torch.inference_mode()
    def examples(self, pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]) -> Tensor:
        """Return the mean of CLIP's vectors of prepared example pictures, (C,), not normalised.

        The masks were spent when the pictures were prepared: CLIP does not see them.
        """
        size_hw = (self.side, self.side)
        made = [self.pixels(rgb, size_hw) for rgb, _ in pictures]
        parts = range(0, len(made), _EXAMPLES)
        vectors = [self.seen_as(torch.stack(made[i : i + _EXAMPLES])) for i in parts]
        return torch.cat(vectors).mean(0)

    @torch.no_grad()
    def seen_as(self, pixels: Tensor) -> Tensor:
        """CLIP's vectors of pictures, (B, 3, H, W) normalised -> (B, C), not normalised."""
        out: Tensor = self.clip.net.visual(pixels, "size")
        return out

    @torch.inference_mode()
    def maps(self, image: EncodedImage, vectors: Tensor) -> Tensor:
        """Return a map of logits for each vector, (N, h, w) float32."""
        out: Tensor = self.decoder(image.value, vectors.to(self._compute.device))
        return out


def from_checkpoint(
    checkpoint: Checkpoint, compute: Compute, backbone: Callable[[str], object]
) -> ClipSeg:
    """Build the model from verified files; see ``build_prompted``.

    A file of transformers holds CLIP and decoder; one of the authors, or of ``lexiseg train
    clipseg``, holds the decoder, and CLIP is loaded by name.
    """
    record = checkpoint.record
    weights = [p for n, p in checkpoint.paths.items() if n.endswith((".safetensors", ".pth"))]
    if len(weights) != 1:
        raise CheckpointError(
            f"{record.name!r} has {len(weights)} files of weights; its record must name one"
        )
    described = {}
    if "config.json" in checkpoint.paths:
        described = json.loads(checkpoint["config.json"].read_text("utf-8"))
    sha256: Mapping[str, str] = checkpoint.sha256
    if "decoder" in described or not described:
        state = read_decoder(weights[0])
        layers = record.layers or (3, 6, 9)
        config = (
            DecoderConfig.from_json(described["decoder"])
            if described
            else DecoderConfig.of_state(state, layers)
        )
        clip = backbone(str(described.get("backbone", "clip-vit-b16.openai")))
        if not isinstance(clip, ClipEncoder):
            raise CheckpointError(f"{record.name!r} needs a CLIP; its backbone is another encoder")
        sha256 = {**sha256, **clip.sha256}
    else:
        config = DecoderConfig.of_transformers(described, record.preprocessing.size or 352)
        if record.layers:
            config = replace(config, layers=record.layers)
        clip_state, state = split_transformers(read_tensors(weights[0]))
        heads = {
            f"{tower}_heads": int(described.get(f"{tower}_config", {}).get(key, default))
            for tower, key, default in (
                ("vision", "num_attention_heads", 12), ("text", "num_attention_heads", 8),
            )
        }  # fmt: skip
        net = Clip.of(
            ClipConfig.of(clip_state, record.activation, **heads), clip_state, compute.dtype
        )
        clip = ClipEncoder(
            net, tokenizer(), record.preprocessing, compute, name=record.name,
            sha256=checkpoint.sha256,
        )  # fmt: skip
    decoder = fill(config, state, str(weights[0]))
    return ClipSeg(
        clip, decoder, compute, name=record.name, sha256=sha256,
        preprocessing=record.preprocessing,
    )  # fmt: skip
