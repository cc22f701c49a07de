"""Data to train on that is made where it is used: drawn photos with class masks, words, a WordNet.

Every shape has its colour range, so that a small net learns it in seconds, and lies on a noisy
ground, so that it has to be learned. Sizes differ and are never square.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from lexiseg.device import generator, seeded
from lexiseg.models.tiny.vision import MobileNetV2, VisionConfig
from lexiseg.training.tiny.photos import ImageSet, mirrored_classes
from lexiseg.training.tiny.words import SetWords, WordBank

CLASSES = ("background", "ball", "box", "left fin", "right fin")
_COLOURS = {"ball": (200, 60, 50), "box": (50, 80, 200), "left fin": (60, 180, 70)}
IGNORED = 255


def draw_scene(
    number: int, size_hw: tuple[int, int] = (72, 104)
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a photo (H, W, 3) and its class mask (H, W): one to three shapes by number."""
    rng = np.random.default_rng([7, number])
    h, w = size_hw
    ground = rng.integers(90, 150, 3) + rng.normal(0, 8, (h, w, 3))
    mask = np.zeros((h, w), np.uint8)
    if number % 3 != 1:
        centre = (int(rng.integers(16, w // 2)), int(rng.integers(16, h - 16)))
        cv2.circle(mask, centre, int(rng.integers(9, 15)), 1, -1)
    if number % 3 != 2:
        x, y = int(rng.integers(w // 2, w - 34)), int(rng.integers(4, h - 30))
        cv2.rectangle(mask, (x, y), (x + 26, y + 20), 2, -1)
    if number % 5 == 0:  # the rare ones, a pair that trades names in a mirror
        for k, x in ((3, w // 2 - 12), (4, w // 2 + 4)):
            corners = np.array([[x, h - 3], [x + 8, h - 3], [x + 4, h - 18]], np.int32)
            cv2.fillPoly(mask, [corners], k)
    for k, name in enumerate(CLASSES[1:], start=1):
        colour = _COLOURS.get(name, _COLOURS["left fin"])
        ground[mask == k] = np.array(colour) + rng.normal(0, 12, (int((mask == k).sum()), 3))
    mask[:2] = IGNORED
    return ground.clip(0, 255).astype(np.uint8), mask


def write_shapes(root: Path, split: str, numbers: range) -> None:
    """Write a data set of scenes in the plain layout; further splits go beside the first."""
    for part in ("images", "masks"):
        (root / split / part).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        size_hw = ((72, 104), (88, 76))[number % 2]
        photo, mask = draw_scene(number, size_hw)
        Image.fromarray(photo).save(root / split / "images" / f"scene{number}.png")
        Image.fromarray(mask).save(root / split / "masks" / f"scene{number}.png")
    card = {
        "title": "drawn shapes", "classes": CLASSES, "background_index": 0,
        "ignore_index": IGNORED,
    }  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(card))


def shape_set(count: int = 6, name: str = "shapes", background: bool = True) -> ImageSet:
    """Return scenes in memory; without background, its class is a word like the others."""
    photos, masks = zip(*(draw_scene(number) for number in range(count)), strict=True)
    classes = CLASSES if background else ("ground", *CLASSES[1:])
    weights = np.full(count, 1 / count)
    index = 0 if background else None
    return ImageSet(
        name, classes, index, list(photos), list(masks), weights, mirrored_classes(classes)
    )


def bare_set(count: int = 3) -> ImageSet:
    """Return photos without labels."""
    rng = np.random.default_rng(8)
    photos = [rng.integers(0, 256, (40, 56, 3)).astype(np.uint8) for _ in range(count)]
    return ImageSet("bare", (), None, photos, None, np.full(count, 1 / count), {})


def word_bank(
    sets: Sequence[ImageSet], dim: int = 12, seed: int = 0, stuff: Sequence[str] = ()
) -> WordBank:
    """Return random meanings; "box" is the same as the background word "crate"."""
    background = ("wall", "crate", "floor")
    named = tuple(dict.fromkeys([*(c for s in sets for c in s.classes), *stuff]))
    words = tuple(dict.fromkeys([*named, *background, "fish", "ox"]))
    meanings = F.normalize(torch.randn(3, len(words), dim, generator=generator(seed)), dim=-1)
    synonyms = torch.eye(len(words)).bool()
    if "box" in words:
        i, j = words.index("box"), words.index("crate")
        synonyms[i, j] = synonyms[j, i] = True

    def rows(names: Sequence[str]) -> Tensor:
        return torch.tensor([words.index(n) for n in names], dtype=torch.long)

    return WordBank(
        words, meanings, tuple(SetWords(rows(s.classes), s.background_index) for s in sets),
        rows(background), torch.arange(1000) % 2 + words.index("fish"), synonyms, rows(stuff),
        len(named),
    )  # fmt: skip


SMALL = VisionConfig(
    dim=12, context_dim=16, context_layers=1, heads=2, mlp=24, middle_dim=12, fine_dim=8,
    text_dim=12,
)  # fmt: skip


def random_backbone() -> tuple[MobileNetV2, nn.Conv2d]:
    """Return a backbone and an ImageNet classifier that know nothing, but pass contrasts on."""
    with seeded(4):
        net, classifier = MobileNetV2(), nn.Conv2d(1280, 1001, 1)
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return net, classifier


def write_wordnet(folder: Path) -> Path:
    """Nine nouns in the format of WordNet's database, with its licence's lines above them."""
    licence = "  1 This software and database is being provided to you\n"
    data = """\
00001740 03 n 01 entity 0 001 ~ 00001930 n 0000 | that which is perceived to exist
00001930 03 n 01 physical_entity 0 002 @ 00001740 n 0000 ~ 00002000 n 0000 | has physical existence
00002000 05 n 02 dog 0 domestic_dog 0 001 @ 00001930 n 0000 | a member of the genus Canis
00003000 05 n 03 moo-cow 0 cow 0 Bos_taurus 0 001 @ 00001930 n 0000 | a female bovine
00004000 03 n 02 idea 0 cow 0 001 @ 00001740 n 0000 | a thought
00005000 05 n 01 Rex 0 001 @i 00002000 n 0000 | a certain dog
00006000 05 n 01 hot_red_fire_engine 0 001 @ 00001930 n 0000 | four words
00007000 05 n 01 b52 0 001 @ 00001930 n 0000 | with digits
00008000 05 n 02 puppy 0 dog 1 001 @ 00002000 n 0000 | a young dog
"""
    index = """\
b52 n 1 1 @ 1 0 00007000
bos_taurus n 1 1 @ 1 0 00003000
cow n 2 1 @ 2 1 00004000 00003000
dog n 2 2 @ ~ 2 2 00002000 00008000
domestic_dog n 1 1 @ 1 0 00002000
hot_red_fire_engine n 1 1 @ 1 0 00006000
idea n 1 1 @ 1 1 00004000
moo-cow n 1 1 @ 1 0 00003000
puppy n 1 1 @ 1 1 00008000
rex n 1 1 @i 1 0 00005000
"""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line + "  \n" for line in index.splitlines()]
    (folder / "index.noun").write_text(licence + "".join(lines))
    (folder / "data.noun").write_text(licence + data)
    return folder


def sentence_encoder(texts: Sequence[str]) -> Tensor:
    """A stand-in for the sentence encoder: the mean of random vectors of a text's words."""
    rows = []
    for text in texts:
        parts = []
        for word in text.split():
            seed = int.from_bytes(word.encode()[:6].ljust(6), "big")
            parts.append(torch.randn(20, generator=generator(seed)))
        rows.append(torch.stack(parts or [torch.ones(20)]).mean(0))
    return F.normalize(torch.stack(rows), dim=-1)
