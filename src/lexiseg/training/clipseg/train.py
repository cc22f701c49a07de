"""`lexiseg train clipseg`: from folders of photos to a decoder in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lexiseg import imaging
from lexiseg.device import seeded
from lexiseg.errors import ExtraMissing, InputError
from lexiseg.metrics.fixed_interval import FixedIntervalMetrics
from lexiseg.models.clipseg.model import ClipSeg
from lexiseg.models.tiny.film import FilmPrompted
from lexiseg.protocols import PromptedModel
from lexiseg.training.clipseg.backbone import build_model, write_decoder
from lexiseg.training.clipseg.cached_features import CachedFeatures
from lexiseg.training.clipseg.live_encoding import LiveEncoding
from lexiseg.training.clipseg.phrases import PhraseSet, open_phrases
from lexiseg.training.clipseg.recipe import ClipSegRecipe
from lexiseg.training.clipseg.sampling import Prompt, PromptSampler
from lexiseg.training.loop import RunOptions, fit
from lexiseg.training.run_folder import RunFolder

__all__ = ["train_clipseg"]

Prompts = list[list[Prompt]]  # of a step's photos


class _Maps(Protocol):
    """From prompts to logits, targets and what counts; see ``LiveEncoding``."""

    @property
    def decoder(self) -> nn.Module: ...
    def __call__(self, prompts: Prompts, number: int) -> tuple[Tensor, Tensor, Tensor]: ...


def train_clipseg(
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    recipe: ClipSegRecipe | None = None,
    *,
    backbone: str = "clip-vit-b16.openai",
    only: Sequence[str] | None = None,
    device: str | None = None,
    tensorboard: bool = False,
    pull: bool = False,
    options: RunOptions | None = None,
) -> Path | None:
    """Train a decoder on the frozen ``backbone`` and write it to ``out/decoder``.

    data: folders: PhraseCut, VOC, COCO-Stuff, data sets in the plain layout or folders of them;
    their "train" splits are learned from, and "val" splits, where there are any, measured on. A run
    that was stopped or killed goes on exactly when called again with the same ``out`` and
    settings; with other settings OptionError is raised. Returns the decoder's folder, or None when
    ``options.stop_after`` ended the run before its last step.
    """
    recipe, out, options = recipe or ClipSegRecipe(), Path(out), options or RunOptions()
    writers = [_board(out / "tensorboard")] if tensorboard else []  # what is missing shows at once
    roots = [data] if isinstance(data, str | Path) else list(data)
    sets = _open_sets(roots, "train", only, recipe.photos_per_set)
    held = _open_sets(roots, "val", only, recipe.val_photos, needed=False)
    settings = {"recipe": asdict(recipe), "backbone": backbone}
    run = RunFolder(out, {**settings, "photos": {s.name: len(s.photos) for s in sets}})
    options.log(
        ", ".join(f"{s.name}: {len(s.photos)} photos, {len(s.phrases)} phrases" for s in sets)
    )
    with seeded(recipe.seed):
        model = build_model(backbone, recipe, device=device, pull=pull)
    sampler = PromptSampler(sets, recipe)
    maps = _maps(model, sampler, recipe, out, options.log)
    size = recipe.batch // recipe.accumulate

    def split(prompts: Prompts) -> list[Prompts]:
        return [prompts[start : start + size] for start in range(0, recipe.batch, size)]

    def step_loss(prompts: Prompts, number: int) -> tuple[Tensor, Mapping[str, float]]:
        logits, targets, counted = maps(prompts, number)
        loss = F.binary_cross_entropy_with_logits(logits.float(), targets.float(), counted.float())
        return loss, {}

    def evaluate(decoder: nn.Module) -> Mapping[str, float]:
        return _validate(model, held, recipe)

    maps.decoder.requires_grad_(True)
    fitted = fit(
        maps.decoder, sampler.sample, step_loss, recipe, run, split=split, amp=recipe.amp,
        evaluate=evaluate if held else None, evaluate_every=recipe.evaluate_every,
        writers=writers, options=options,
    )  # fmt: skip
    return write_decoder(model, backbone, out / "decoder", recipe) if fitted.finished else None


def _maps(
    model: PromptedModel, sampler: PromptSampler, recipe: ClipSegRecipe, out: Path,
    log: Callable[[str], None],
) -> _Maps:  # fmt: skip
    if isinstance(model, FilmPrompted):
        return CachedFeatures(model, sampler.photos, recipe, out / "cache", log)
    if recipe.cache or not isinstance(model, ClipSeg):
        raise InputError("features are cached for the bundled encoder only; leave cache out")
    return LiveEncoding(model, sampler.photos, recipe)


def _open_sets(
    roots: Sequence[str | Path], split: str, only: Sequence[str] | None, limit: int | None,
    *, needed: bool = True,
) -> list[PhraseSet]:  # fmt: skip
    found: list[PhraseSet] = []
    for root in roots:
        try:
            found += open_phrases(root, split, only=only, limit=limit)
        except InputError:
            if needed:
                raise
    sets = [one for one in found if one.photos]
    if needed and not sets:
        raise InputError(f"none of the data sets {list(only or ())} was found; check the names")
    return sets


@torch.inference_mode()
def _validate(
    model: PromptedModel, sets: Sequence[PhraseSet], recipe: ClipSegRecipe
) -> dict[str, float]:
    """The paper's measures on held-out photos, with the words that each shows as prompts."""
    metrics = FixedIntervalMetrics()
    pairs = [(one.name, photo) for one in sets for photo in one.photos]
    for name, photo in pairs[:: max(1, len(pairs) // recipe.val_photos)]:
        rgb = imaging.read(photo.path).rgb
        size_hw = (rgb.shape[0], rgb.shape[1])
        sentences = [model.templates[0].format(phrase) for phrase in photo.phrases]
        maps = model.maps(model.encode(rgb), model.words(sentences))
        full = F.interpolate(maps[None], size_hw, mode="bilinear", align_corners=False)[0]
        counted = None if photo.ignored is None else ~photo.ignored(size_hw)
        for phrase, probability in zip(photo.phrases, full.sigmoid().cpu().numpy(), strict=True):
            truth = photo.mask(phrase, size_hw)
            metrics.add(probability, truth, f"{name}/{phrase}", counted)
    scores = metrics.compute()
    return {
        "ap": scores.ap, "fg_iou_0.3": scores.fg_iou_at(0.3), "fg_iou_0.5": scores.fg_iou_at(0.5),
        "mean_iou_0.3": scores.mean_iou_at(0.3), "best_fg_iou": max(scores.fg_iou),
    }  # fmt: skip


def _board(folder: Path) -> Callable[[Mapping[str, float]], None]:
    """What writes a step's numbers for TensorBoard, which is an extra."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ExtraMissing(
            "the TensorBoard log needs tensorboard; pip install 'lexiseg[tensorboard]'"
        ) from error
    writer = SummaryWriter(folder)

    def write(line: Mapping[str, float]) -> None:
        for name, value in line.items():
            if name != "step":
                writer.add_scalar(name, value, int(line["step"]))
        writer.flush()

    return write
