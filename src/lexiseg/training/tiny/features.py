"""The decoder's features at sampled places of photos, computed once and kept in a file.

What lies behind the decoder (norm, head, words, scale) is small: it learns on these in minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lexiseg import imaging
from lexiseg.datasets import Sample, SemanticDataset
from lexiseg.errors import InputError
from lexiseg.models.tiny.vision import VisionNet
from lexiseg.training.loop import prefetch
from lexiseg.training.run_folder import digest, label_source, save_atomically
from lexiseg.training.tiny.photos import is_held_out, mirrored_classes, sample_window

__all__ = ["FeatureSampling", "FeatureStore", "decode_view"]

_UNLABELLED = 255
_MULTIPLE, _CELL = 32, 4  # of pixels: sides of what the net takes, and of a place
_MIN_PLACES = 32  # with a label, for a view to be kept
_HEAD = ("norm.", "head.", "words.", "log_scale")  # what learns, and features do not depend on


@dataclass(frozen=True)
class FeatureSampling:
    """Which views of a photo are encoded, and at which places features are kept.

    views: of each photo; the first is the whole photo at ``short_side``, as it is when the model
    is used, the others are the whole or a crop at a short side drawn from ``short_sides``, half
    of them flipped. set_views: by the name of a set, where it is another number of views. crop_hw:
    at most so large. places: of each view, of which ``balanced_share`` are drawn evenly over its
    classes and stand first, the others over all that is labelled.
    """

    views: int = 3
    set_views: dict[str, int] = field(default_factory=dict)
    short_side: int = 288
    short_sides: tuple[float, float] = (200.0, 430.0)
    crop_hw: tuple[int, int] = (288, 384)
    crop_share: float = 0.5
    places: int = 256
    balanced_share: float = 0.5
    seed: int = 0

    @property
    def num_balanced(self) -> int:
        return int(self.places * self.balanced_share)


@dataclass(frozen=True)
class _View:
    """Pixels (H, W, 3) uint8 in multiples of 32, and labels (H / 4, W / 4) uint8."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class FeatureStore:
    """Features of the views of several data sets, in a folder that keeps them.

    features: (V, P, F) float16, in a file. labels: (V, P) int64, class indices. sets: (V,), the
    number of each view's data set. held_out: (V,) bool. photos: (V,), numbered over all sets.
    """

    def __init__(
        self,
        folder: Path,
        sets: Sequence[SemanticDataset],
        net: VisionNet,
        how: FeatureSampling,
        *,
        hold_out: bool = True,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """hold_out: of the photos that ``is_held_out`` names, only the first view is kept."""
        self.how = how
        self.key = _key(sets, net, how, hold_out)
        folder.mkdir(parents=True, exist_ok=True)
        features, others = folder / f"{self.key}.float16", folder / f"{self.key}.pt"
        if not others.is_file():
            save_atomically(others, _encode(features, sets, net, how, hold_out, log))
        kept = torch.load(others, weights_only=True)
        self.labels: NDArray[np.int64] = kept["labels"].numpy().astype(np.int64)
        self.sets: NDArray[np.int64] = kept["sets"].numpy()
        self.held_out: NDArray[np.bool_] = kept["held_out"].numpy()
        self.photos: NDArray[np.int64] = kept["photos"].numpy()
        shape = (*self.labels.shape, net.config.fine_dim)
        self.features = np.memmap(features, np.float16, "r", shape=shape)

    def __len__(self) -> int:
        return len(self.sets)


def _key(
    sets: Sequence[SemanticDataset], net: VisionNet, how: FeatureSampling, hold_out: bool
) -> str:
    """What the features depend on: photos and labels by content, the net, and the sampling."""
    parts: list[bytes | str | Path] = [json.dumps([asdict(how), hold_out])]
    for one in sets:
        parts.append(json.dumps([one.name, one.classes, one.background_index, one.ignore_index]))
        for sample in one:
            parts += [sample.id, sample.path, label_source(sample.truth)]
    state = net.state_dict()
    parts += [
        tensor.float().contiguous().numpy().tobytes()
        for name, tensor in sorted(state.items())
        if not name.startswith(_HEAD)
    ]
    return digest(*parts)


def _encode(
    path: Path, sets: Sequence[SemanticDataset], net: VisionNet, how: FeatureSampling,
    hold_out: bool, log: Callable[[str], None],
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Write the features of all views to a file; return what else is kept of them.

    Of a file that an ended run left, the features are kept, and only the others computed.
    """
    photos = [(s, sample) for s, one in enumerate(sets) for sample in one]
    jobs = [(number, s, sample) for number, (s, sample) in enumerate(photos)]
    rows: list[tuple[NDArray[np.uint8], int, bool, int]] = []
    net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def views(job: int) -> list[_View]:
        _, s, sample = jobs[job]
        return _views(sets[s], sample, how)

    row_bytes = how.places * net.config.fine_dim * 2  # float16
    with open(path, "ab") as file:
        kept = file.tell() // row_bytes
        file.truncate(kept * row_bytes)
        for (number, s, sample), own in zip(jobs, prefetch(views, range(len(jobs))), strict=True):
            held_out = hold_out and is_held_out(sets[s].name, sample.id)
            for v, view in enumerate(own[:1] if held_out else own):
                rng = np.random.default_rng(_seed(sets[s], sample, how, v, 1))
                places = _sample_places(view.labels, how, rng)
                if places is None:
                    continue
                if len(rows) >= kept:
                    decoded = decode_view(net, view.pixels).reshape(view.labels.size, -1)
                    file.write(decoded[torch.from_numpy(places)].half().numpy().tobytes())
                rows.append((view.labels.ravel()[places], s, held_out, number))
            if number % 200 == 0:
                log(f"encoded {number} of {len(jobs)} photos")
    if not rows:
        raise InputError("no photo has enough labelled pixels to train on; give other data")
    return {
        "labels": torch.from_numpy(np.stack([labels for labels, _, _, _ in rows])),
        "sets": torch.tensor([s for _, s, _, _ in rows]),
        "held_out": torch.tensor([held for _, _, held, _ in rows]),
        "photos": torch.tensor([number for _, _, _, number in rows]),
    }


def _seed(one: SemanticDataset, sample: Sample, how: FeatureSampling, *more: int) -> list[int]:
    """Of a photo by its name, so that its views do not depend on what else is there."""
    return [how.seed, crc32(f"{one.name}/{sample.id}".encode()), *more]


def _views(one: SemanticDataset, sample: Sample, how: FeatureSampling) -> list[_View]:
    photo = imaging.read(sample.path).rgb
    labels = sample.labels((photo.shape[0], photo.shape[1]))
    labels[labels == one.ignore_index] = _UNLABELLED
    mask = labels.astype(np.uint8)
    height, width = mask.shape
    whole = (0, 0, height, width)
    out = [_view(photo, mask, whole, how.short_side / min(height, width))]
    mirrored = mirrored_classes(one.classes)
    for v in range(1, how.set_views.get(one.name, how.views)):
        rng = np.random.default_rng(_seed(one, sample, how, v, 0))
        if rng.random() < how.crop_share:
            window = sample_window(mask.shape, how.crop_hw, how.short_sides, rng)
            scale = how.crop_hw[0] / window[2] if window[2] < height else how.crop_hw[1] / window[3]
        else:
            window = whole
            scale = np.exp(rng.uniform(*np.log(how.short_sides))) / min(height, width)
        view = _view(photo, mask, window, float(scale))
        out.append(_flip(view, mirrored) if rng.random() < 0.5 else view)
    return out


def _view(
    photo: NDArray[np.uint8], mask: NDArray[np.uint8], window: tuple[int, int, int, int],
    scale: float,
) -> _View:  # fmt: skip
    y, x, ch, cw = window
    height, width = (max(_MULTIPLE, round(n * scale / _MULTIPLE) * _MULTIPLE) for n in (ch, cw))
    way = cv2.INTER_AREA if height < ch else cv2.INTER_LINEAR
    pixels = cv2.resize(photo[y : y + ch, x : x + cw], (width, height), interpolation=way)
    labels = cv2.resize(
        mask[y : y + ch, x : x + cw], (width // _CELL, height // _CELL),
        interpolation=cv2.INTER_NEAREST_EXACT,
    )  # fmt: skip
    return _View(np.asarray(pixels, np.uint8), np.asarray(labels, np.uint8))


def _flip(view: _View, mirrored: dict[int, int]) -> _View:
    labels = view.labels[:, ::-1].copy()
    for index, other in mirrored.items():
        labels[view.labels[:, ::-1] == index] = other
    return _View(np.ascontiguousarray(view.pixels[:, ::-1]), labels)


def _sample_places(
    labels: NDArray[np.uint8], how: FeatureSampling, rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """Places with a label, (P,) into the flat grid; None where there are too few."""
    flat = labels.ravel()
    labelled = np.flatnonzero(flat != _UNLABELLED)
    if len(labelled) < _MIN_PLACES:
        return None
    places = rng.choice(labelled, how.places)
    classes = np.unique(flat[labelled])
    each = how.num_balanced // len(classes)
    for k, c in enumerate(classes):
        own = labelled[flat[labelled] == c]
        places[k * each : (k + 1) * each] = rng.choice(own, each)
    return np.asarray(places, np.int64)


@torch.inference_mode()
def decode_view(net: VisionNet, pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Return what features are made of, (H/4, W/4, F), of an image (H, W, 3) uint8."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    x = x.contiguous(memory_format=torch.channels_last)
    return net.decode(*net.backbone(x))[0]
