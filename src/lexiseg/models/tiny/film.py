"""A head on the bundled encoder that draws a prompt's map, after CLIPSeg's, and the model it makes.

CLIPSeg (Lüddecke and Ecker, CVPR 2022) conditions a decoder with FiLM (Perez et al. 2018): the
prompt's vector scales and shifts the features. Here features are a grid of 4x4 pixels already, so
the decoder is two convolution blocks at twice that; and since prompts and places share a space,
their cosine is given too. `lexiseg train clipseg` trains such a head.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lexiseg.checkpoints import Checkpoint
from lexiseg.errors import CheckpointError
from lexiseg.models.tiny import HEAD, PICTURES
from lexiseg.models.tiny.encoder import TinyEncoder
from lexiseg.models.tiny.prompted import Places, TinyPrompted
from lexiseg.models.tiny.vision import ConvBlock
from lexiseg.protocols import EncodedImage

__all__ = ["FilmConfig", "FilmHead", "FilmPrompted", "load_head", "on_backbone"]

# Of ten times a cosine. On training photos of the bundled encoder places of a word have a mean
# cosine of 0.75 with it, others of 0.31: odds are even at 0.65.
_SLOPE, _OFFSET = 1.4, -9.1
_AT_ONCE = 4  # prompts, whose activations stay in a core's cache


@dataclass(frozen=True)
class FilmConfig:
    """Sizes of the head; stored beside its weights."""

    fine_dim: int = 96
    cond_dim: int = 256
    dim: int = 48
    blocks: int = 2


class FilmHead(nn.Module):
    """Decoded (B, h, w, F), cosines (B, P, h, w), prompts (B, P, C) -> logits (B, P, h, w)."""

    def __init__(self, config: FilmConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or FilmConfig()
        self.norm = nn.LayerNorm(c.fine_dim)
        self.reduce = nn.Linear(c.fine_dim, c.dim)
        self.film_mul = nn.Linear(c.cond_dim, c.dim)
        self.film_add = nn.Linear(c.cond_dim, c.dim)
        self.alike = nn.Linear(1, c.dim)
        self.blocks = nn.ModuleList(ConvBlock(c.dim, 2 * c.dim) for _ in range(c.blocks))
        self.whole = nn.Linear(2 * c.dim, c.dim)
        self.last = nn.LayerNorm(c.dim)
        self.out = nn.Linear(c.dim, 1)
        self.direct = nn.Linear(1, 1)
        # Training starts at the cosine alone, as odds that fit the bundled features.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        nn.init.constant_(self.direct.weight, _SLOPE)
        nn.init.constant_(self.direct.bias, _OFFSET)

    def forward(self, decoded: Tensor, alike: Tensor, prompts: Tensor) -> Tensor:
        b, p, h, w = alike.shape
        x = self.reduce(self.norm(decoded))[:, None]
        x = self.film_mul(prompts)[:, :, None, None] * x + self.film_add(prompts)[:, :, None, None]
        cosine = 10 * alike[..., None]
        x = F.gelu(x + self.alike(cosine)).flatten(0, 1)
        y = _halved(x)
        for block in self.blocks:
            y = block(y)
            # What the whole picture holds: whether the thing is there at all.
            whole = self.whole(torch.cat([y.mean((1, 2)), y.amax((1, 2))], -1))
            y = y + whole[:, None, None]
        x = x + F.interpolate(
            y.permute(0, 3, 1, 2), (h, w), mode="bilinear", align_corners=False
        ).permute(0, 2, 3, 1)
        logits = self.out(self.last(x)).view(b, p, h, w) + self.direct(cosine)[..., 0]
        out: Tensor = logits
        return out


def _halved(x: Tensor) -> Tensor:
    """Means of 2x2 places, (N, h, w, D) -> (N, ceil(h / 2), ceil(w / 2), D)."""
    y = F.avg_pool2d(x.permute(0, 3, 1, 2), 2, ceil_mode=True, count_include_pad=False)
    return y.permute(0, 2, 3, 1)


class FilmPrompted(TinyPrompted):
    """Prompts are vectors in the space of the features, (D,), and the head draws their maps."""

    def __init__(
        self, encoder: TinyEncoder, head: FilmHead, sha256: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(encoder)
        self._sha256 = {**encoder.sha256, **(sha256 or {})}
        self.head = head.to(encoder.net.log_scale.device)

    @property
    def sha256(self) -> Mapping[str, str]:
        return dict(self._sha256)

    def features(self, decoded: Tensor) -> Tensor:
        """Decoded places (..., F) -> unit-length features (..., D)."""
        return self.encoder.net.embed(decoded)

    @torch.inference_mode()
    def words(self, sentences: Sequence[str]) -> Tensor:
        """Return the words' vectors, (N, D), unit length."""
        return self.encoder.text(list(sentences))

    @torch.inference_mode()
    def examples(self, pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]) -> Tensor:
        """Return the mean of the mean features inside the masks, (D,)."""
        pairs = zip(*self._shown(pictures), strict=True)
        sums = [torch.einsum("hw,hwd->d", cells, features) for features, cells in pairs]
        return F.normalize(torch.stack(sums), dim=-1).mean(0)

    def logits(self, decoded: Tensor, features: Tensor, prompts: Tensor) -> Tensor:
        """Places (B, h, w, .) and prompts (B, P, D) -> logits (B, P, h, w)."""
        alike = torch.einsum("bhwd,bpd->bphw", features, F.normalize(prompts, dim=-1))
        out: Tensor = self.head(decoded, alike, prompts)
        return out

    @torch.inference_mode()
    def maps(self, image: EncodedImage, vectors: Tensor) -> Tensor:
        """Return a map of logits for each vector, (N, h, w) float32."""
        places: Places = image.value
        parts = [
            self.logits(places.decoded, places.features, vectors[None, i : i + _AT_ONCE])[0]
            for i in range(0, len(vectors), _AT_ONCE)
        ]
        return torch.cat(parts)


def on_backbone(checkpoint: Checkpoint, backbone: Callable[[str], object]) -> FilmPrompted:
    """Return the head of a folder that ``lexiseg train clipseg`` wrote, on its encoder."""
    described = json.loads(checkpoint["config.json"].read_text("utf-8"))
    encoder = backbone(str(described.get("backbone", "tiny")))
    if not isinstance(encoder, TinyEncoder):
        raise CheckpointError(
            f"{checkpoint.record.name!r} needs the bundled encoder; its backbone is another one"
        )
    head = load_head(checkpoint[HEAD], encoder.sha256.get(PICTURES))
    made = FilmPrompted(encoder, head, checkpoint.sha256)
    made.name = checkpoint.record.name
    return made


def load_head(path: Path, pictures: str | None = None) -> FilmHead:
    """Read a head with its sizes.

    pictures: the digest of the picture side in use. Raises CheckpointError where the head was
    trained on another one, or where its sizes do not fit.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            config = FilmConfig(**json.loads(metadata["config"]))
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        head = FilmHead(config)
        head.load_state_dict(state, strict=True)
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a head of the bundled model: {error}") from error
    trained = metadata.get("pictures_sha256")
    if pictures and trained and trained != pictures:
        raise CheckpointError(
            f"{path} was trained on another picture side than the one in use; train it again by "
            "`lexiseg train clipseg --backbone`"
        )
    return head.eval().requires_grad_(False)
