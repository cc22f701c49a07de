"""The recipe that made the bundled model, from folders of photos to files in the package.

Three stages, each of which can be killed and continued: the text tower (``text``), the picture side
against it (``vision``), and the mask network on that (``masker``); then all is written as the
bundle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.datasets import PlainDataset, find_sets
from lexiseg.errors import InputError
from lexiseg.models.tiny.masknet import MaskNetConfig
from lexiseg.models.tiny.text import TextConfig, TextTower, tokenise
from lexiseg.models.tiny.vision import VisionConfig
from lexiseg.prompts import DEFAULT_BACKGROUND
from lexiseg.training.tiny.bundle import write_bundle
from lexiseg.training.tiny.losses import WordBank
from lexiseg.training.tiny.masker import MaskerRecipe, train_masker
from lexiseg.training.tiny.objects import ObjectSet, load_objects, load_regions
from lexiseg.training.tiny.pictures import PictureSet, load_set, load_unlabelled
from lexiseg.training.tiny.text import TextRecipe, train_text
from lexiseg.training.tiny.tflite import read_mobilenet
from lexiseg.training.tiny.vision import VisionRecipe, train_vision

__all__ = ["TinyRecipe", "train_tiny"]

_PHRASINGS = ("{}", "a photo of a {}", "the {}", "an image of a {}", "{} in the scene")
_IMAGENET = "imagenet1000"
# Two words this near in meaning are the same word: one of them need not compete with the other.
_ALIKE = 0.85


@dataclass(frozen=True)
class TinyRecipe:
    """Everything that decides the bundled model, but for the data."""

    text: TextRecipe = field(default_factory=TextRecipe)
    vision: VisionRecipe = field(default_factory=VisionRecipe)
    masker: MaskerRecipe = field(default_factory=MaskerRecipe)
    text_sizes: TextConfig = field(default_factory=TextConfig)
    vision_sizes: VisionConfig = field(default_factory=VisionConfig)
    masker_sizes: MaskNetConfig = field(default_factory=MaskNetConfig)
    # Set on far-away nouns that are not among those of the benchmark.
    unknown_below: float = 0.57
    tagged_below: float = 0.8


def train_tiny(
    data: str | Path,
    backbone: str | Path,
    out: str | Path,
    recipe: TinyRecipe | None = None,
    *,
    only: Sequence[str] | None = None,
    log: Callable[[str], None] = lambda line: None,
    stop_after: int | None = None,
) -> Path | None:
    """Train on every set in ``data`` (or ``only`` these) and write the bundle to ``out/bundle``.

    data: a folder of data sets in the plain layout (``train`` splits), besides ``imagenet1000``
    and folders of photos without labels. backbone: the published MobileNetV2 .tflite. A run that
    was killed goes on when called again with the same ``out``. Returns the bundle's folder, or
    None when ``stop_after`` ended the run before its last step.
    """
    recipe, data, out = recipe or TinyRecipe(), Path(data), Path(out)
    sets = _ordered(find_sets(data, "train"), recipe, only)
    imagenet = _imagenet_names(data)
    names = list(dict.fromkeys([n for s in sets for n in s.classes if n != "background"]))
    names = list(dict.fromkeys(["background", *names, *imagenet]))
    tower, tokenizer = _text_stage(names, out / "text", recipe, log)
    bank = _word_bank(sets, imagenet, tower, tokenizer, recipe.text_sizes)
    log(f"words: {len(bank.words)}; reading photos")
    pictures = [load_set(s, recipe.vision.sampling.rarity) for s in sets]
    pictures += _unlabelled(data, recipe, only)
    for part in pictures:
        log(f"  {part.name}: {len(part.photos)} photos")
    net = train_vision(
        pictures, bank, read_mobilenet(backbone), out / "vision", recipe.vision,
        recipe.vision_sizes, log, stop_after,
    )  # fmt: skip
    if stop_after is not None and stop_after < recipe.vision.steps:
        return None
    del pictures
    masker = train_masker(
        _objects(sets, data, only), net, out / "masker", recipe.masker, recipe.masker_sizes, log
    )
    known = list(dict.fromkeys(n for s in sets for n in s.classes if n != "background"))
    return write_bundle(
        out / "bundle", net, tower, masker, out / "text" / "tokenizer.json",
        known_words=known, trained_words=list(bank.words),
        unknown_below=recipe.unknown_below, tagged_below=recipe.tagged_below, recipe=asdict(recipe),
    )  # fmt: skip


def _ordered(
    found: Sequence[PlainDataset], recipe: TinyRecipe, only: Sequence[str] | None
) -> list[PlainDataset]:
    """The sets in the recipe's order, further ones behind; DAVIS-like unnamed objects left out."""
    order = list(recipe.vision.shares)
    sets = [s for s in found if only is None or s.name in only]
    if not sets:
        raise InputError(f"none of the data sets {list(only or ())} was found; check the names")
    return sorted(sets, key=lambda s: order.index(s.name) if s.name in order else len(order))


def _imagenet_names(data: Path) -> list[str]:
    card = data / _IMAGENET / "dataset.json"
    return list(json.loads(card.read_text("utf-8"))["classes"]) if card.is_file() else []


def _objects(
    sets: Sequence[PlainDataset], data: Path, only: Sequence[str] | None
) -> list[ObjectSet]:
    """Things to point at: of the named sets, and of folders of nameless regions beside them."""
    found = [load_objects(s) for s in sets]
    for folder in sorted(p for p in data.iterdir() if (p / "dataset.json").is_file()):
        nameless = json.loads((folder / "dataset.json").read_text("utf-8")).get("classes") is None
        if nameless and (folder / "train" / "masks").is_dir() and (not only or folder.name in only):
            found.append(load_regions(folder))
    return found


def _unlabelled(data: Path, recipe: TinyRecipe, only: Sequence[str] | None) -> list[PictureSet]:
    folders = [data / _IMAGENET, data / "coco-unlabelled"]
    return [
        load_unlabelled(f.name, f)
        for f in folders
        if f.is_dir() and (only is None or f.name in only)
    ]


def _text_stage(
    names: list[str], out: Path, recipe: TinyRecipe, log: Callable[[str], None]
) -> tuple[TextTower, object]:
    from tokenizers import Tokenizer

    if not (out / "text.pt").is_file():
        train_text(names, out, recipe.text, recipe.text_sizes, log)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    tower = TextTower(replace(recipe.text_sizes, vocab_size=tokenizer.get_vocab_size()))
    tower.load_state_dict(torch.load(out / "text.pt", weights_only=True))
    return tower.eval().requires_grad_(False), tokenizer


@torch.no_grad()
def _word_bank(
    sets: Sequence[PlainDataset], imagenet: list[str], tower: TextTower, tokenizer: object,
    sizes: TextConfig,
) -> WordBank:  # fmt: skip
    words = list(
        dict.fromkeys([*(n for s in sets for n in s.classes), *DEFAULT_BACKGROUND, *imagenet])
    )
    row = {word: i for i, word in enumerate(words)}

    def rows(names: Sequence[str]) -> Tensor:
        return torch.tensor([row[n] for n in names], dtype=torch.long)

    meanings = torch.stack(
        [
            tower(*tokenise(tokenizer, [p.format(w) for w in words], sizes.max_tokens))  # type: ignore[arg-type]
            for p in _PHRASINGS
        ]
    )
    return WordBank(
        tuple(words),
        meanings,
        {s.name: rows(s.classes) for s in sets},
        rows(DEFAULT_BACKGROUND),
        rows(imagenet),
        meanings[0] @ meanings[0].T > _ALIKE,
    )
