"""The bundled encoder with a head that `lexiseg train clipseg` trained on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lexiseg.checkpoints import Checkpoint
from lexiseg.errors import CheckpointError
from lexiseg.models.tiny import HEAD, PICTURES
from lexiseg.models.tiny.encoder import TinyEncoder
from lexiseg.models.tiny.film import FilmConfig, FilmHead
from lexiseg.models.tiny.prompted import Places, TinyPrompted
from lexiseg.protocols import EncodedImage

__all__ = ["FilmPrompted", "load_head", "on_backbone"]

_AT_ONCE = 4  # prompts, whose activations stay in a core's cache


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
            told = file.metadata() or {}
            config = FilmConfig(**json.loads(told["config"]))
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        head = FilmHead(config)
        head.load_state_dict(state, strict=True)
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a head of the bundled model: {error}") from error
    trained = told.get("pictures_sha256")
    if pictures and trained and trained != pictures:
        raise CheckpointError(
            f"{path} was trained on another picture side than the one in use; train it again by "
            "`lexiseg train clipseg --backbone`"
        )
    return head.eval().requires_grad_(False)
