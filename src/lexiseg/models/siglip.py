"""SigLIP 2 (Tschannen et al. 2025, arXiv 2502.14786) through transformers' modules.

Its pictures have no token of their own: a pooling head asks all cells one learnt question, as in
attention, and an MLP completes the answer. The feature of a cell is what that head answers when it
may look at this cell alone: the softmax over one cell is 1, so the cell's value goes through the
output projection and the MLP. That is MaskCLIP's readout (Zhou et al. 2022, arXiv 2112.01071) at
the head; no published method reads SigLIP 2 out in this way, so there is no paper's number for it.

SigLIP was trained with a sigmoid and a bias a pair of picture and text; the bias is the same for
all words, so a softmax over words does not see it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.checkpoints import Checkpoint, Preprocessing
from lexiseg.device import Compute, OnDevice, skip_init
from lexiseg.errors import CheckpointError, ExtraMissing
from lexiseg.models._text_cache import TextCache
from lexiseg.protocols import Encoder, SizePolicy

__all__ = ["SiglipEncoder", "build_encoder", "tokenizer"]

_BATCH = 64  # texts that go through the text tower at once
_PAD = "<pad>"
# transformers' name -> that of records
_ACTIVATIONS = {"gelu_pytorch_tanh": "gelu-tanh", "gelu": "gelu"}


def build_encoder(checkpoint: Checkpoint, compute: Compute) -> Encoder:
    """Build the encoder from verified files.

    Raises ExtraMissing without transformers, CheckpointError where the files hold no SigLIP, or one
    of another activation or width than the record says.
    """
    record = checkpoint.record
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        if name not in checkpoint.paths:
            raise CheckpointError(
                f"{record.name!r} has no {name}; a SigLIP 2 needs it: copy the whole folder"
            )
    net = _network(checkpoint)
    found = int(net.config.vision_config.hidden_size)
    if found != record.embed_dim:
        raise CheckpointError(
            f"the weights of {record.name!r} give vectors of {found} values, its record says "
            f"{record.embed_dim}; copy or pull them again"
        )
    context = int(net.config.text_config.max_position_embeddings)
    return SiglipEncoder(
        net,
        tokenizer(checkpoint["tokenizer.json"], context),
        record.preprocessing,
        compute,
        name=record.name,
        sha256=checkpoint.sha256,
    )


def tokenizer(path: Path, context: int) -> Any:
    """Return the tokenizer of a ``tokenizer.json``, which gives ``context`` tokens always.

    It was trained on small letters, and on padding behind the text, which the text tower reads too:
    its answer stands at the last place.
    """
    from tokenizers import Tokenizer, normalizers

    read = Tokenizer.from_file(str(path))
    pad = read.token_to_id(_PAD)
    if pad is None:
        raise CheckpointError(f"{path} has no {_PAD}; it is not the tokenizer of a SigLIP 2")
    steps = [normalizers.Lowercase(), *([read.normalizer] if read.normalizer else [])]
    read.normalizer = normalizers.Sequence(steps)
    read.enable_truncation(context)
    read.enable_padding(direction="right", pad_id=pad, pad_token=_PAD, length=context)
    return read


class SiglipEncoder(OnDevice):
    """Protocol ``Encoder`` over transformers' ``SiglipModel``."""

    presence = 0.0
    synonym_threshold = 0.999  # as of CLIP: the words of a picture are all alike

    def __init__(
        self,
        net: Any,
        text_tokenizer: Any,
        preprocessing: Preprocessing,
        compute: Compute,
        *,
        name: str,
        sha256: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.net = net.to(compute.device).eval().requires_grad_(False)
        self.scale = float(net.logit_scale.exp())
        vision = net.config.vision_config
        cell = int(vision.patch_size)
        side = int(vision.image_size) // cell * cell
        self.size = SizePolicy(short_side=max(336 // cell * cell, side), window=side, multiple=cell)
        self._tokenizer = text_tokenizer
        self._compute = compute
        self.sha256: Mapping[str, str] = dict(sha256 or {})
        self._words = TextCache(self.sha256, compute.dtype_name, int(vision.hidden_size))
        self._mean = torch.tensor(preprocessing.mean)[:, None, None].to(compute.device)
        self._std = torch.tensor(preprocessing.std)[:, None, None].to(compute.device)

    def text(self, words: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
        """Return the vectors of words, (K, D) float32, unit length: the mean over the templates."""
        vectors = self._words.vectors(words, templates, lambda new: self._ensemble(new, templates))
        return vectors.to(self._compute.device)

    @torch.inference_mode()
    def sentences(self, texts: Sequence[str]) -> Tensor:
        """Return SigLIP's vectors of texts, (N, D) float32, not normalised."""
        out = []
        for start in range(0, len(texts), _BATCH):
            encoded = self._tokenizer.encode_batch(list(texts[start : start + _BATCH]))
            ids = torch.tensor([text.ids for text in encoded], device=self._compute.device)
            with self._compute.autocast():
                out.append(self.net.text_model(input_ids=ids).pooler_output.float())
        return torch.cat(out)

    @torch.inference_mode()
    def dense(self, rgb: Tensor) -> Tensor:
        """Return what the pooling head answers to each cell alone, (B, h, w, D), unit length."""
        with self._compute.autocast():
            tokens = self._look(rgb).last_hidden_state
            head = self.net.vision_model.head
            width = tokens.shape[-1]
            attention = head.attention
            values = F.linear(
                tokens, attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
            )
            answers = attention.out_proj(values)
            answers = answers + head.mlp(head.layernorm(answers))
        h, w = (side // self.size.multiple for side in rgb.shape[1:3])
        return F.normalize(answers.float(), dim=-1).view(len(rgb), h, w, -1)

    @torch.inference_mode()
    def pooled(self, rgb: Tensor, masks: Tensor | None = None) -> Tensor:
        """Return SigLIP's vector of each picture, (B, D), or the mean inside each mask, (N, D)."""
        if masks is None:
            with self._compute.autocast():
                vectors = self._look(rgb).pooler_output.float()
            return F.normalize(vectors, dim=-1)
        features = self.dense(rgb)[0]
        height, width = features.shape[:2]
        cells = F.adaptive_avg_pool2d(masks[:, None].float(), (height, width))[:, 0]
        inside = torch.einsum("nhw,hwd->nd", cells.to(features.device), features)
        return F.normalize(inside, dim=-1)

    def _look(self, rgb: Tensor) -> Any:
        x = rgb.to(self._compute.device).permute(0, 3, 1, 2).float() / 255
        pixels = (x - self._mean) / self._std
        # Position embeddings are resized as transformers does, to the size of the grid.
        return self.net.vision_model(pixel_values=pixels, interpolate_pos_encoding=True)

    def _ensemble(self, words: Sequence[str], templates: Sequence[str]) -> Tensor:
        texts = [template.format(word) for word in words for template in templates]
        vectors = F.normalize(self.sentences(texts), dim=-1)
        return F.normalize(vectors.view(len(words), len(templates), -1).mean(1), dim=-1)


def _network(checkpoint: Checkpoint) -> Any:
    try:
        from transformers import SiglipConfig, SiglipModel
    except ImportError as error:
        raise ExtraMissing(
            f"{checkpoint.record.name!r} needs {error.name}; pip install 'lexiseg[siglip]'"
        ) from error
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    record, path = checkpoint.record, checkpoint["model.safetensors"]
    given = json.loads(checkpoint["config.json"].read_text(encoding="utf-8"))
    if given.get("model_type") != "siglip":
        raise CheckpointError(
            f"{record.name!r} is a model of the type {given.get('model_type')!r}; give a SigLIP 2 "
            "of one fixed size (their type is 'siglip')"
        )
    config = SiglipConfig(
        text_config=given.get("text_config"), vision_config=given.get("vision_config")
    )
    activations = {
        _ACTIVATIONS.get(part.hidden_act, part.hidden_act)
        for part in (config.text_config, config.vision_config)
    }
    if activations != {record.activation}:
        raise CheckpointError(
            f"{record.name!r} has the activation {record.activation!r} in its record, but its "
            f"configuration says {', '.join(sorted(activations))}; correct the record"
        )
    try:
        state = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is not safetensors ({error}); copy it again") from error
    with skip_init():
        net = SiglipModel(config)
    state = {k: v.float() for k, v in state.items() if not k.endswith("position_ids")}
    try:
        net.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path} does not hold the weights that its configuration describes ({reason}); copy "
            "or pull it again"
        ) from error
    for part in net.modules():
        places = getattr(part, "position_ids", None)
        if isinstance(places, Tensor) and places.is_meta:  # no file keeps these
            part.position_ids = torch.arange(places.shape[-1]).expand(1, -1)
    return net
