"""The recipe that made the bundled model, from folders of photos to files in the package.

Four stages, each of which can be killed and continued: the text tower (``text``), the picture side
against it (``vision``), its head once more on kept features (``head``), and the mask network on
that (``masker``); then all is written as the bundle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tokenizers import Tokenizer

from lexiseg.datasets import SemanticDataset, open_semantic
from lexiseg.device import pick
from lexiseg.errors import InputError
from lexiseg.models.tiny.masknet import MaskNetConfig
from lexiseg.models.tiny.text import TextConfig, TextTower
from lexiseg.models.tiny.vision import VisionConfig, VisionNet
from lexiseg.training.loop import Fitted, RunOptions
from lexiseg.training.tiny.bundle import TOKENIZER, read_bundle, rewrite_bundle, write_bundle
from lexiseg.training.tiny.corpus import Teacher
from lexiseg.training.tiny.head import HeadRecipe, train_head
from lexiseg.training.tiny.masker import MaskerRecipe, train_masker
from lexiseg.training.tiny.negatives import open_absent
from lexiseg.training.tiny.objects import ObjectSet, load_objects, load_regions
from lexiseg.training.tiny.photos import load_set, load_unlabelled, open_seeds
from lexiseg.training.tiny.stuff import STUFF_WORDS, read_teacher
from lexiseg.training.tiny.text import TextRecipe, train_text
from lexiseg.training.tiny.tflite import read_mobilenet
from lexiseg.training.tiny.vision import VisionRecipe, small_vision_recipe, train_vision
from lexiseg.training.tiny.words import build_bank

__all__ = ["TinyRecipe", "known_words", "open_sets", "recipe_for", "refine_tiny", "train_tiny"]

_IMAGENET = "imagenet1000"
_UNLABELLED = (_IMAGENET, "coco-unlabelled")


@dataclass(frozen=True)
class TinyRecipe:
    """Everything that decides the bundled model, but for the data.

    head: with 0 steps, the head stays as the picture side was trained. unknown_below, tagged_below:
    see ``TinyEncoder.unknown``; set on far-away nouns that are not among those of the benchmark.
    """

    text: TextRecipe = field(default_factory=TextRecipe)
    vision: VisionRecipe = field(default_factory=VisionRecipe)
    head: HeadRecipe = field(default_factory=HeadRecipe)
    masker: MaskerRecipe = field(default_factory=MaskerRecipe)
    text_sizes: TextConfig = field(default_factory=TextConfig)
    vision_sizes: VisionConfig = field(default_factory=VisionConfig)
    masker_sizes: MaskNetConfig = field(default_factory=MaskNetConfig)
    unknown_below: float = 0.6
    tagged_below: float = 0.8


def recipe_for(device: str | None = None) -> TinyRecipe:
    """Return the recipe of the bundled model, or, where the device is a CPU, a smaller one.

    device: as of ``lexiseg.load``; None and "auto" take a GPU where there is one.
    """
    if pick(device).device.type == "cpu":
        return TinyRecipe(vision=small_vision_recipe())
    return TinyRecipe()


def train_tiny(
    data: str | Path,
    backbone: str | Path,
    out: str | Path,
    recipe: TinyRecipe | None = None,
    *,
    teacher: str | Path | None = None,
    only: Sequence[str] | None = None,
    device: str | None = None,
    sentence_encoder: Teacher | None = None,
    options: RunOptions | None = None,
) -> Path | None:
    """Train on every set in ``data`` (or ``only`` these) and write the bundle to ``out/bundle``.

    data: a folder of data sets in the plain layout (``train`` splits), besides ``imagenet1000``
    and ``coco-unlabelled``, photos with seed masks or without labels. backbone: the published
    MobileNetV2 .tflite. teacher: DeepLab's .tflite, which says what is stuff where a set names
    nothing. device: of the picture side's training. recipe: by default ``recipe_for(device)``.
    sentence_encoder: of the text tower, by default MiniLM.

    A run that was killed goes on when called again with the same ``out`` and settings; with
    other settings OptionError is raised. Returns the bundle's folder, or None when
    ``options.stop_after`` ended the run before the picture side's last step.
    """
    recipe, data, out = recipe or recipe_for(device), Path(data), Path(out)
    options = options or RunOptions()
    later = replace(options, stop_after=None)  # it counts the steps of the picture side
    start = read_mobilenet(backbone)
    if teacher is not None:
        read_teacher(teacher)  # so that a wrong file is refused before hours of training
    sets = open_sets(data, recipe, only)
    stuff = () if teacher is None else STUFF_WORDS
    known = known_words(sets, stuff)
    imagenet = _imagenet_names(data)
    tower, tokenizer = train_text(
        list(dict.fromkeys(["background", *known, *imagenet])), out / "text", recipe.text,
        recipe.text_sizes, teacher=sentence_encoder, options=later,
    )  # fmt: skip
    options.log("reading photos")
    sampling = recipe.vision.sampling
    images = [load_set(s, sampling.rarity, sampling.max_short_side) for s in sets]
    for folder in _folders(data, only):
        if not (folder / "seeds").is_dir():
            images.append(load_unlabelled(folder.name, folder, sampling.max_short_side))
    for one in images:
        options.log(f"  {one.name}: {len(one.photos)} photos")
    classes = [(s.classes, s.background_index) for s in images]
    bank = build_bank(classes, imagenet, tower, tokenizer, stuff)
    fitted = train_vision(
        images, bank, start, out / "vision", recipe.vision, recipe.vision_sizes,
        teacher=None if teacher is None else Path(teacher), device=device,
        options=options,
    )  # fmt: skip
    if not fitted.finished:
        return None
    del images
    net = fitted.net.to("cpu")  # the stages behind it are small
    if recipe.head.steps > 0:
        net = _refine_head(
            net, sets, data, tower, tokenizer, out / "head", recipe.head, only, later,
        ).net  # fmt: skip
    masker = train_masker(
        _objects(sets, data, only, recipe.masker.set_weights), net, out / "masker",
        recipe.masker, recipe.masker_sizes, options=later,
    ).net  # fmt: skip
    return write_bundle(
        out / "bundle", net, tower, masker, out / "text" / TOKENIZER,
        known_words=known, trained_words=list(bank.words),
        unknown_below=recipe.unknown_below, tagged_below=recipe.tagged_below, recipe=asdict(recipe),
    )  # fmt: skip


def refine_tiny(
    data: str | Path,
    out: str | Path,
    recipe: TinyRecipe | None = None,
    *,
    bundle: str | Path = "tiny",
    only: Sequence[str] | None = None,
    options: RunOptions | None = None,
) -> Path | None:
    """Run the stage ``head`` alone: on a bundle, whose other parts stay; write ``out/bundle``.

    data: as for ``train_tiny``. bundle: "tiny", or a folder. Returns the new bundle's folder, or
    None when ``options.stop_after`` ended the run before its last step.
    """
    recipe, data, out = recipe or TinyRecipe(), Path(data), Path(out)
    sets = open_sets(data, recipe, only)
    base = read_bundle(bundle)
    fitted = _refine_head(
        base.net, sets, data, base.tower, base.tokenizer, out, recipe.head, only,
        options,
    )  # fmt: skip
    if not fitted.finished:
        return None
    words = known_words(sets)
    return rewrite_bundle(
        base, out / "bundle", fitted.net, words=words, recipe={"head": asdict(recipe.head)},
        notes=base.checkpoint.record.notes,
    )  # fmt: skip


def _refine_head(
    net: VisionNet, sets: Sequence[SemanticDataset], data: Path, tower: TextTower,
    tokenizer: Tokenizer, out: Path, recipe: HeadRecipe, only: Sequence[str] | None,
    options: RunOptions | None,
) -> Fitted[VisionNet]:  # fmt: skip
    """The head on the sets' features, with photos that lack some words where ImageNet's are."""
    absent = None
    if only is None or _IMAGENET in only:
        absent = open_absent(data / _IMAGENET, recipe.negatives)
    everything = [*sets, *([] if absent is None else [absent])]
    bank = build_bank([(s.classes, s.background_index) for s in everything], [], tower, tokenizer)
    return train_head(net, everything, bank, out, recipe, options=options)


def open_sets(data: Path, recipe: TinyRecipe, only: Sequence[str] | None) -> list[SemanticDataset]:
    """Return the sets with masks in the recipe's order, further ones, and seed masks."""
    order = list(recipe.vision.set_weights)
    sets = list(open_semantic(data, "train", only=only))
    seeds = open_seeds(_folders(data, only))
    if seeds is not None:
        sets.append(seeds)
    if not sets:
        raise InputError(f"none of the data sets {list(only or ())} was found; check the names")
    return sorted(sets, key=lambda s: order.index(s.name) if s.name in order else len(order))


def _folders(data: Path, only: Sequence[str] | None) -> list[Path]:
    """The folders of photos without class masks."""
    names = [name for name in _UNLABELLED if only is None or name in only]
    return [data / name for name in names if (data / name).is_dir()]


def known_words(sets: Sequence[SemanticDataset], stuff: Sequence[str] = ()) -> list[str]:
    """Return the words that have masks or seeds, or that the teacher of stuff teaches."""
    named = (name for one in sets for name in one.classes if name != "background")
    return list(dict.fromkeys([*named, *stuff]))


def _imagenet_names(data: Path) -> list[str]:
    card = data / _IMAGENET / "dataset.json"
    return list(json.loads(card.read_text("utf-8"))["classes"]) if card.is_file() else []


def _objects(
    sets: Sequence[SemanticDataset], data: Path, only: Sequence[str] | None,
    weights: Mapping[str, float],
) -> list[ObjectSet]:  # fmt: skip
    """Objects of the named sets, and of folders of nameless regions beside them."""
    out = [load_objects(s) for s in sets if weights.get(s.name, 1.0) > 0]
    for folder in sorted(p for p in data.iterdir() if (p / "dataset.json").is_file()):
        nameless = json.loads((folder / "dataset.json").read_text("utf-8")).get("classes") is None
        if nameless and (folder / "train" / "masks").is_dir() and (not only or folder.name in only):
            out.append(load_regions(folder))
    return out
