"""The bundled encoder with its FiLM head, as a model that draws a map for each prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from lexiseg.protocols import Seen
from lexiseg.results import UnknownWord

__all__ = ["Places", "TinyPrompted", "load_head", "on_backbone"]

_AT_ONCE = 4  # prompts, whose activations stay in a core's cache
_LONGEST = 16  # times its width: strips are scaled less, so that work stays bounded


@dataclass(frozen=True, eq=False)
class Places:
    """A picture's grid: decoded (1, h, w, F), and the unit-length features made of it."""

    decoded: Tensor
    features: Tensor


class TinyPrompted:
    """Protocol ``PromptedModel`` over the bundled towers."""

    templates: Sequence[str] = ("{}",)
    example: Sequence[str] = ()  # the mask itself says what is meant

    def __init__(
        self, encoder: TinyEncoder, head: FilmHead, sha256: Mapping[str, str] | None = None
    ) -> None:
        self.encoder = encoder
        self._sha256 = {**encoder.sha256, **(sha256 or {})}
        self.head = head.to(encoder.net.log_scale.device)
        self.name = encoder.name
        self.side = encoder.size.short_side

    @property
    def device_name(self) -> str:
        return self.encoder.device_name

    @property
    def dtype_name(self) -> str:
        return self.encoder.dtype_name

    @property
    def sha256(self) -> dict[str, str]:
        return dict(self._sha256)

    def unknown(self, words: Sequence[str]) -> tuple[UnknownWord, ...]:
        return self.encoder.unknown(words)

    @torch.inference_mode()
    def see(
        self, rgb: NDArray[np.uint8], *, side: int | None = None, stretch: bool = False
    ) -> Seen:
        """Encode a picture, (H, W, 3) uint8, with its proportions: there are no native ones."""
        import cv2

        side = side or self.side
        scale = side / min(rgb.shape[:2])
        scale = min(scale, (_LONGEST * side**2 / (rgb.shape[0] * rgb.shape[1])) ** 0.5)
        height, width = (max(1, round(s * scale)) for s in rgb.shape[:2])
        way = cv2.INTER_AREA if height < rgb.shape[0] else cv2.INTER_LINEAR
        made = np.asarray(cv2.resize(rgb, (width, height), interpolation=way), np.uint8)
        multiple = self.encoder.size.multiple
        below, right = -height % multiple, -width % multiple
        whole = np.pad(made, ((0, below), (0, right), (0, 0)), mode="edge")
        places = self.places(torch.from_numpy(whole)[None])
        h, w = -(-height // 4), -(-width // 4)
        value = Places(places.decoded[:, :h, :w], places.features[:, :h, :w])
        return Seen(value, (height, width), 4)

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
        """Return the words' vectors, (N, D), unit length."""
        return self.encoder.text(list(sentences))

    @torch.inference_mode()
    def examples(self, pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]) -> Tensor:
        """Return the mean feature inside each mask, (N, D), unit length."""
        made = []
        for rgb, mask in pictures:
            features = self.see(rgb).value.features[0]
            height, width = features.shape[:2]
            covered = torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()
            # A thing smaller than a cell still weighs something.
            cells = F.interpolate(covered, (height, width), mode="area")[0, 0]
            made.append(torch.einsum("hw,hwd->d", cells.to(features.device), features))
        return F.normalize(torch.stack(made), dim=-1)

    def logits(self, decoded: Tensor, features: Tensor, prompts: Tensor) -> Tensor:
        """Places (B, h, w, .) and prompts (B, P, D) -> logits (B, P, h, w)."""
        alike = torch.einsum("bhwd,bpd->bphw", features, F.normalize(prompts, dim=-1))
        out: Tensor = self.head(decoded, alike, prompts)
        return out

    @torch.inference_mode()
    def maps(self, seen: Seen, vectors: Tensor) -> Tensor:
        """Return a map of logits for each vector, (N, h, w) float32."""
        places: Places = seen.value
        parts = [
            self.logits(places.decoded, places.features, vectors[None, i : i + _AT_ONCE])[0]
            for i in range(0, len(vectors), _AT_ONCE)
        ]
        return torch.cat(parts)


def on_backbone(checkpoint: Checkpoint, backbone: Callable[[str], object]) -> TinyPrompted:
    """Return the head of a folder that ``lexiseg train clipseg`` wrote, on its encoder."""
    described = json.loads(checkpoint["config.json"].read_text("utf-8"))
    encoder = backbone(str(described.get("backbone", "tiny")))
    if not isinstance(encoder, TinyEncoder):
        raise CheckpointError(
            f"{checkpoint.record.name!r} needs the bundled encoder; its backbone is another one"
        )
    head = load_head(checkpoint[HEAD], encoder.sha256.get(PICTURES))
    made = TinyPrompted(encoder, head, checkpoint.sha256)
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
