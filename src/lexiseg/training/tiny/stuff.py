"""A teacher of stuff and furniture: what it says where a data set names nothing.

The teacher is DeepLab v3+ on MobileNetV2 (Chen et al. 2018), trained on the 31 most frequent
classes of ADE20K (MLCommons' mobile benchmark). It looks at each photo once, as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lexiseg.errors import InputError, UnknownName
from lexiseg.training.run_folder import digest
from lexiseg.training.tiny.crops import CropBatch, PhotoStore, cut_windows
from lexiseg.training.tiny.photos import UNLABELLED
from lexiseg.training.tiny.tflite import TfliteNet, read_graph
from lexiseg.training.tiny.words import WordBank

__all__ = ["STUFF_WORDS", "StuffPoints", "StuffSampler", "StuffSampling", "read_teacher", "teach"]

# The teacher's classes in its order, behind class 0, which is everything else.
STUFF_WORDS = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain",
    "chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field",
    "armchair",
)  # fmt: skip
_BATCH = 16  # photos that the teacher takes at once


@dataclass(frozen=True)
class StuffSampling:
    """What is taken of the teacher's answers.

    weight: of its loss. points: of each crop, anywhere; those count where the set names nothing
    and the teacher's best word has more than ``min_confidence`` (of some sets ``set_confidence``).
    max_similarity: words of the set itself compete with the teacher's unless their meaning is
    nearer to one of these. skipped: of the teacher's words, those that it does not teach: it knows
    no animals, and calls them persons.

    side: of the square into which a photo is stretched for the teacher, a multiple of 32. grid:
    side of the answers that are kept.
    """

    weight: float = 0.4
    points: int = 384
    min_confidence: float = 0.6
    set_confidence: dict[str, float] = field(
        default_factory=lambda: {"caltech": 0.82, "grocery": 0.82}
    )
    max_similarity: float = 0.6
    skipped: tuple[str, ...] = ("person",)
    side: int = 512
    grid: int = 96


@dataclass(frozen=True, eq=False)
class StuffPoints:
    """Points of B crops with the teacher's answer; see ``losses.stuff_loss``.

    points_xy: (B, P, 2) in [-1, 1]. wanted: (B, P, T). weights: (B, P). rivals: (B, C) bool.
    """

    points_xy: Tensor
    wanted: Tensor
    weights: Tensor
    rivals: Tensor


def read_teacher(path: str | Path) -> TfliteNet:
    """Return the teacher in a .tflite file. Raises InputError where it is another network."""
    net = read_graph(path)
    classes = net(torch.zeros(1, 3, 64, 96)).shape[1]
    if classes != len(STUFF_WORDS) + 1:
        raise InputError(
            f"{path} has {classes} classes, not {len(STUFF_WORDS) + 1}; give DeepLab on the 31 "
            "most frequent classes of ADE20K"
        )
    return net


def teach(
    store: PhotoStore, teacher: TfliteNet, how: StuffSampling, folder: Path, key: str,
    log: Callable[[str], None] = lambda line: None,
) -> Tensor:  # fmt: skip
    """Return the teacher's probabilities for every photo, (N, T + 1, g, g) uint8 in [0, 255].

    They are kept in a file of the folder, named by ``key`` (of photos and teacher) and settings,
    and read from there the next time.
    """
    name = digest(key, f"{how.side} {how.grid}")
    path = folder / f"stuff-{name}.uint8"
    count = len(STUFF_WORDS) + 1
    shape = (len(store), count, how.grid, how.grid)
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        teacher.to(store.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with open(temporary, "wb") as file:
            for first in range(0, len(store), _BATCH):
                numbers = torch.arange(first, min(first + _BATCH, len(store)), device=store.device)
                file.write(_answers(store, teacher, how, numbers).cpu().numpy().tobytes())
                if first // _BATCH % 20 == 0:
                    log(f"the teacher of stuff has been asked about {first} of {len(store)} photos")
        temporary.replace(path)
    # Copy on write: read where it is needed, and a tensor may be made of it.
    kept = np.memmap(path, np.uint8, "c", shape=shape)
    return torch.from_numpy(kept).to(store.device)


@torch.inference_mode()
def _answers(store: PhotoStore, teacher: TfliteNet, how: StuffSampling, numbers: Tensor) -> Tensor:
    """Probabilities for some photos, (n, T + 1, g, g) uint8."""
    sizes = store.sizes_hw[numbers].float()
    whole = torch.cat([torch.zeros_like(sizes), sizes], 1)
    upright = torch.zeros(len(numbers), dtype=torch.bool, device=store.device)
    pixels, _ = cut_windows(store, numbers, whole, upright, (how.side, how.side))
    logits = teacher(pixels.contiguous(memory_format=torch.channels_last))
    small = F.interpolate(logits.softmax(1), (how.grid, how.grid), mode="bilinear")
    return (small * 255).round().to(torch.uint8)


class StuffSampler:
    """Draws points of crops where the data set names nothing and the teacher is sure."""

    def __init__(
        self, store: PhotoStore, answers: Tensor, bank: WordBank, how: StuffSampling
    ) -> None:
        """answers: of ``teach``. bank: with the teacher's words; on the store's device."""
        for name in how.skipped:
            if name not in STUFF_WORDS:
                raise UnknownName.among("word of the teacher of stuff", name, STUFF_WORDS)
        self._store, self._answers, self._how = store, answers, how
        taught = [word not in how.skipped for word in STUFF_WORDS]
        self._taught = torch.tensor(taught, device=store.device)
        limits = [how.set_confidence.get(name, how.min_confidence) for name in store.names]
        self._limits = torch.tensor(limits, device=store.device)
        named = bank.meanings[0][: bank.num_named]
        near = (named @ bank.meanings[0][bank.stuff].T).amax(1) > how.max_similarity
        rivals = torch.zeros(len(bank.sets), bank.num_named, dtype=torch.bool, device=store.device)
        for s, one in enumerate(bank.sets):
            rivals[s, one.rows] = True
            if one.background_index is not None:
                rivals[s, one.rows[one.background_index]] = False
        rivals &= ~near
        rivals[:, bank.stuff] = True
        self._rivals = rivals

    def draw(self, crops: CropBatch, rng: np.random.Generator) -> StuffPoints:
        """Return points of crops, with what the teacher said there about the whole photo."""
        batch, h, w = crops.labels.shape
        drawn = torch.from_numpy(rng.random((batch, self._how.points, 2))).float()
        parts = drawn.to(self._store.device)  # x and y in [0, 1)
        column, row = (parts[..., 0] * w).long(), (parts[..., 1] * h).long()
        flat = row.clamp(max=h - 1) * w + column.clamp(max=w - 1)
        labels = crops.labels.flatten(1).gather(1, flat)
        background = self._store.background[crops.sets][:, None]
        free = (labels == UNLABELLED) | (labels == background)
        free &= ~crops.pasted.flatten(1).gather(1, flat)
        answers = self._answers[crops.photos].float() / 255
        told = F.grid_sample(
            answers, self._places(crops, parts)[:, None], mode="bilinear",
            padding_mode="border", align_corners=False,
        )[:, :, 0].transpose(1, 2)  # fmt: skip
        probabilities = told[..., 1:] * self._taught
        confidence = probabilities.amax(-1)
        sure = free & (confidence > self._limits[crops.sets][:, None])
        total = probabilities.sum(-1, keepdim=True).clamp(min=1e-4)
        return StuffPoints(
            parts * 2 - 1, probabilities / total, torch.where(sure, confidence, 0.0),
            self._rivals[crops.sets],
        )  # fmt: skip

    def _places(self, crops: CropBatch, parts: Tensor) -> Tensor:
        """Places in crops, (B, P, 2) in [0, 1], as places in the photos, in [-1, 1]."""
        sizes = self._store.sizes_hw[crops.photos]
        across = torch.where(crops.flips[:, None], 1 - parts[..., 0], parts[..., 0])
        top, left, height, width = (crops.windows[:, k : k + 1] for k in range(4))
        x = (left + across * width) / sizes[:, 1:2]
        y = (top + parts[..., 1] * height) / sizes[:, 0:1]
        return torch.stack([x, y], -1) * 2 - 1
