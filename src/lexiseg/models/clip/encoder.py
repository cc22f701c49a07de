"""CLIP as an encoder of pictures and words, with its last attention open for other readouts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.checkpoints import Checkpoint, Preprocessing
from lexiseg.device import Compute, OnDevice
from lexiseg.errors import CheckpointError, UnknownName
from lexiseg.models._text_cache import TextCache
from lexiseg.models.clip.config import ClipConfig
from lexiseg.models.clip.model import Clip
from lexiseg.models.clip.text import shared_beginnings
from lexiseg.models.clip.tokenizer import END, tokenise, tokenizer
from lexiseg.models.clip.weights import read_weights
from lexiseg.protocols import LastBlock, SizePolicy

__all__ = ["ClipEncoder", "from_checkpoint"]

_RAGGED = ("stretch", "pad")
_TOKENS = 12_000  # that go through the text tower at once, or are looked at there
_WEIGHTS = (".safetensors", ".pt", ".bin")


class ClipEncoder(OnDevice):
    """Protocols ``Encoder`` and ``AttentionEncoder`` over a CLIP.

    cache: keep word vectors on disk too; without it they are kept in memory only.
    """

    presence = 0.0
    synonym_threshold = 0.999  # CLIP's words are all alike: plurals have 0.97

    def __init__(
        self,
        net: Clip,
        text_tokenizer: Any,
        preprocessing: Preprocessing,
        compute: Compute,
        *,
        name: str,
        sha256: Mapping[str, str] | None = None,
        cache: bool = True,
    ) -> None:
        self.name = name
        self.net = net.to(compute.device)
        self.scale = net.scale
        side = net.config.vision.image
        # A window of the trained size; the short side is that of the papers for 16-pixel patches.
        self.size = SizePolicy(short_side=max(336, side), window=side, multiple=net.patch)
        self._tokenizer = text_tokenizer
        self._compute = compute
        self.sha256: Mapping[str, str] = dict(sha256 or {})
        dim = net.config.text.embed_dim
        self._words = TextCache(self.sha256 if cache else {}, compute.dtype_name, dim)
        self.mean_colour = preprocessing.mean
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self._mean = mean[:, None, None].to(compute.device)
        self._std = std[:, None, None].to(compute.device)

    @property
    def num_blocks(self) -> int:
        """Blocks of the picture tower; of a ResNet its attention pooling alone."""
        return self.net.visual.num_blocks

    def text(self, words: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
        """Return the vectors of words, (K, D) float32, unit length.

        As CLIP's authors do with several templates: each sentence's vector is normalised, then
        their mean is. A word is encoded once: then it is kept, and on disk as well.
        """
        vectors = self._words.vectors(words, templates, lambda new: self._ensemble(new, templates))
        return vectors.to(self._compute.device)

    @torch.inference_mode()
    def sentences(self, texts: Sequence[str]) -> Tensor:
        """Return CLIP's vectors of texts, (N, D) float32, not normalised."""
        tokens = tokenise(self._tokenizer, texts, self.net.config.text.context)
        end = self._tokenizer.token_to_id(END)
        # A text that holds an end token ends there, as for CLIP.
        tokens = [ids[: ids.index(end) + 1] for ids in tokens]
        device, net = self._compute.device, self.net.words
        starts, owners = shared_beginnings(tokens)
        shared = None
        if starts:
            lengths = torch.tensor([len(ids) for ids in starts])
            shared = net.beginnings(_padded(starts).to(device), lengths.to(device))
            tokens = [ids[len(starts[i]) :] for ids, i in zip(tokens, owners, strict=True)]
        out = torch.empty(len(texts), self.net.config.text.embed_dim, device=device)
        longest = max(map(len, starts), default=0)  # keys and values take room too
        for rows in _batches([longest + len(ids) for ids in tokens]):
            part = [tokens[row] for row in rows]
            ends = torch.tensor([len(ids) - 1 for ids in part])
            which = torch.tensor([owners[row] for row in rows]).to(device) if starts else None
            at = torch.tensor(rows, device=device)
            out[at] = net(_padded(part).to(device), ends.to(device), shared, which)
        return out

    @torch.inference_mode()
    def dense(self, rgb: Tensor) -> Tensor:
        """Return CLIP's own tokens in the words' space, (B, h, w, D), unit length.

        They say little about their places: read ``trunk`` out with ``stages.attention`` instead.
        """
        block = self.trunk(rgb, positions="size")
        attended = F.scaled_dot_product_attention(block.q, block.k, block.v)
        return block.finish(block.complete(block.project(attended)))

    @torch.inference_mode()
    def trunk(
        self,
        rgb: Tensor,
        *,
        positions: str = "scale",
        ragged: str = "stretch",
        keep: Collection[int] = (),
        attention: Collection[int] = (),
    ) -> LastBlock:
        """Run everything before the last attention; see ``AttentionEncoder.trunk``."""
        if ragged not in _RAGGED:
            raise UnknownName.among("way with ragged sides", ragged, _RAGGED)
        pixels = self._pixels(rgb)
        if ragged == "pad":
            below, right = (-side % self.net.patch for side in pixels.shape[2:])
            top, left = below // 2, right // 2
            pixels = F.pad(pixels, (left, right - left, top, below - top))
        return self.net.visual.trunk(pixels, positions, keep, attention)

    @torch.inference_mode()
    def pooled(self, rgb: Tensor, masks: Tensor | None = None) -> Tensor:
        """Return CLIP's vector of each picture, (B, D), or the mean inside each mask, (N, D)."""
        if masks is None:
            return F.normalize(self.net.visual(self._pixels(rgb), "size"), dim=-1)
        features = self.dense(rgb)[0]
        height, width = features.shape[:2]
        cells = F.adaptive_avg_pool2d(masks[:, None].float(), (height, width))[:, 0]
        inside = torch.einsum("nhw,hwd->nd", cells.to(features.device), features)
        return F.normalize(inside, dim=-1)

    def _pixels(self, rgb: Tensor) -> Tensor:
        x = rgb.to(self._compute.device).permute(0, 3, 1, 2).float() / 255
        return (x - self._mean) / self._std

    def _ensemble(self, words: Sequence[str], templates: Sequence[str]) -> Tensor:
        texts = [template.format(word) for word in words for template in templates]
        vectors = F.normalize(self.sentences(texts), dim=-1)
        return F.normalize(vectors.view(len(words), len(templates), -1).mean(1), dim=-1)


def _padded(tokens: Sequence[Sequence[int]]) -> Tensor:
    """Rows of tokens, (K, T); shorter ones end in zeros."""
    out = torch.zeros(len(tokens), max(map(len, tokens)), dtype=torch.long)
    for row, ids in zip(out, tokens, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return out


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows sorted by length, in batches of about ``_TOKENS`` tokens; the longest row is last."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batch: list[int] = []
    for row in order:
        if batch and lengths[row] * (len(batch) + 1) > _TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def from_checkpoint(checkpoint: Checkpoint, compute: Compute) -> ClipEncoder:
    """Build the encoder from verified files.

    Raises CheckpointError where the files hold no CLIP, or one of another activation than the
    record says.
    """
    record = checkpoint.record
    weights = [path for name, path in checkpoint.paths.items() if name.endswith(_WEIGHTS)]
    if len(weights) != 1:
        raise CheckpointError(
            f"{record.name!r} has {len(weights)} files of weights; its record must name one"
        )
    heads = _described(checkpoint.paths, record.activation, record.name)
    state = read_weights(weights[0])
    config = ClipConfig.of(state, record.activation, **heads)
    found = config.text.embed_dim
    if found != record.embed_dim:
        raise CheckpointError(
            f"the weights of {record.name!r} give vectors of {found} values, its record says "
            f"{record.embed_dim}; copy or pull them again"
        )
    net = Clip.of(config, state, compute.dtype)
    return ClipEncoder(
        net,
        tokenizer(checkpoint.paths.get("tokenizer.json")),
        record.preprocessing,
        compute,
        name=record.name,
        sha256=checkpoint.sha256,
    )


def _described(paths: Mapping[str, Path], activation: str, name: str) -> dict[str, int]:
    """What a configuration beside the weights says of heads; its activation must be the record's.

    Reads transformers' ``config.json`` and OpenCLIP's ``open_clip_config.json``.
    """
    heads: dict[str, int] = {}
    activations: set[str] = set()
    if "config.json" in paths:
        config = json.loads(paths["config.json"].read_text("utf-8"))
        for tower, key in (("vision_config", "vision_heads"), ("text_config", "text_heads")):
            part = config.get(tower, {})
            activations.add(str(part.get("hidden_act", "quick_gelu")).replace("_", "-"))
            if "num_attention_heads" in part:
                heads[key] = int(part["num_attention_heads"])
    if "open_clip_config.json" in paths:
        config = json.loads(paths["open_clip_config.json"].read_text("utf-8"))["model_cfg"]
        activations.add("quick-gelu" if config.get("quick_gelu", False) else "gelu")
    if activations - {activation}:
        raise CheckpointError(
            f"{name!r} has the activation {activation!r} in its record, but its configuration "
            f"says {', '.join(sorted(activations))}: with the wrong one features are silently "
            f"wrong; correct the record"
        )
    return heads
