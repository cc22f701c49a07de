"""The segmenter of CLIPSeg: what runs after what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexiseg.methods._base import (
    BaseSegmenter,
    StageTimer,
    Words,
    class_thresholds,
    parse_vocabulary,
)
from lexiseg.methods._dense_segmenter import segmentation_of_labels
from lexiseg.methods.clipseg.config import Config
from lexiseg.methods.clipseg.prompting import encode_prompts
from lexiseg.protocols import DenseScores, EncodedImage, LoadOptions, Masker, PromptedModel, View

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor

    from lexiseg.imaging import Picture, Source
    from lexiseg.methods.clipseg.prompting import Prompts
    from lexiseg.prompts import Vocabulary
    from lexiseg.results import ScoreMap, Segmentation
    from lexiseg.stages.label_map import LabelMap

__all__ = ["Segmenter", "load"]

_CELL = 4  # pixels that maps of single pixels are averaged over before the guided filter


class Segmenter(BaseSegmenter[EncodedImage]):
    """Call it with an image and prompts; see ``BaseSegmenter.__call__``."""

    name = "clipseg"

    def __init__(self, model: PromptedModel, config: Config, masker: Masker | None = None) -> None:
        super().__init__(config, model, masker)
        self.model = model
        self.masker = masker

    def encode(self, picture: Picture) -> tuple[EncodedImage, None]:
        """Encode an image."""
        config = self.config
        return self.model.encode(picture.rgb, side=config.short_side, stretch=config.stretch), None

    def segment(self, view: View[EncodedImage], vocabulary: Vocabulary) -> Segmentation:
        """Return what an encoded image shows of a vocabulary."""
        timer = StageTimer(view.seconds)
        with timer("words"):
            unknown, silent = self.unknown_words(self.model, vocabulary)
            prompts = encode_prompts(self.model, vocabulary, self.config, silent)
        with timer("score"):
            probabilities = self._probabilities(view, prompts, vocabulary)
        with timer("label"):
            labelled = self._label(probabilities, view, vocabulary)
        image = view.encoded
        scores = DenseScores(
            probabilities, image.work_hw, image.cell, view.picture.size_hw, unknown
        )
        if self.masker is not None:
            from lexiseg.methods.clipseg.sam_refinement import segment_with_masks

            return segment_with_masks(self, self.masker, view, vocabulary, scores, labelled, timer)
        return segmentation_of_labels(self, view, vocabulary, scores, labelled, timer)

    def score_map(self, view: View[EncodedImage], vocabulary: Vocabulary) -> DenseScores:
        """Return the probability of each class at each place; see ``DenseMapper``."""
        unknown, silent = self.unknown_words(self.model, vocabulary)
        prompts = encode_prompts(self.model, vocabulary, self.config, silent)
        probabilities = self._probabilities(view, prompts, vocabulary)
        image = view.encoded
        return DenseScores(probabilities, image.work_hw, image.cell, view.picture.size_hw, unknown)

    def prompt_maps(self, image: Source | View[EncodedImage], words: Words) -> ScoreMap:
        """Return each prompt's own probability map, which does not depend on other prompts.

        ``prompt_maps(photo, words).full(0) > 0.3`` is the paper's binary mask of the first.
        """
        import numpy as np

        from lexiseg.results import ScoreMap

        vocabulary = parse_vocabulary(words, None, self.config)
        view = self.prepare(image)
        logits, _ = self._class_logits(view, encode_prompts(self.model, vocabulary, self.config))
        grid = logits[: len(vocabulary.words)].sigmoid().cpu().numpy().astype(np.float16)
        return ScoreMap(grid, view.picture.size_hw)

    def _class_logits(self, view: View[EncodedImage], prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Maps of words, asked and excluded, (C, h, w), and of background words, (M, h, w).

        A word without a prompt has a map far below any other.
        """
        import torch

        from lexiseg.stages.clipseg_prompts import fuse

        image, count = view.encoded, prompts.count
        if prompts.vectors is None:
            h, w = (-(-side // image.cell) for side in image.work_hw)
            return torch.full((count, h, w), -1e4), torch.empty(0, h, w)
        logits = self.model.maps(image, prompts.vectors)
        out = logits.new_full((count, *logits.shape[1:]), -1e4)
        for class_id in sorted(set(prompts.class_ids) - {count}):
            mine = _rows(prompts.class_ids, class_id, logits)
            out[class_id] = fuse(logits[mine], prompts.vectors[mine], self.config.fusion)
        return out, logits[_rows(prompts.class_ids, count, logits)]

    def _probabilities(
        self, view: View[EncodedImage], prompts: Prompts, vocabulary: Vocabulary
    ) -> Tensor:
        """The probability of every class, (C, h, w)."""
        import torch

        from lexiseg.stages.clipseg_prompts import compete, largest_of

        logits, of_background = self._class_logits(view, prompts)
        background, factor = vocabulary.background_class, self.config.background_factor
        if factor is not None and vocabulary.background_index is not None:
            return largest_of(logits, vocabulary.background_index, factor)
        if background is not None and background == len(logits):
            logits = torch.cat([logits, torch.zeros_like(logits[:1])])
        return compete(logits, background, self.config.cutoff, of_background)

    def _label(self, maps: Tensor, view: View[EncodedImage], vocabulary: Vocabulary) -> LabelMap:
        import torch.nn.functional as F

        from lexiseg.stages.label_map import GuidedFilter, guided_radius, label_map

        config, image, rgb = self.config, view.encoded, view.picture.rgb
        limits = class_thresholds(vocabulary, config)
        cell, radius = image.cell, 0
        if config.refine == "pamr":
            maps, cell = self._refine_pamr(maps, view), 1
        elif config.refine in ("guided", "sam"):
            if cell == 1:
                maps, cell = F.avg_pool2d(maps[None], _CELL)[0], _CELL
            radius = guided_radius(config.refine_radius, cell)
        guide = GuidedFilter(rgb, image.work_hw, cell, radius, config.refine_epsilon)
        return label_map(maps, guide, limits if limits.any() else None)

    def _refine_pamr(self, maps: Tensor, view: View[EncodedImage]) -> Tensor:
        """Maps (C, h, w) -> on single pixels of the scaled image, between which they flowed."""
        import torch
        import torch.nn.functional as F

        from lexiseg.imaging import resize_image
        from lexiseg.stages.pamr import affinities, pamr

        image = view.encoded
        if image.cell > 1:
            height, width = (side * image.cell for side in maps.shape[1:])
            maps = F.interpolate(maps[None], (height, width), mode="bilinear")[0]
            maps = maps[:, : image.work_hw[0], : image.work_hw[1]]
        pixels = torch.from_numpy(resize_image(view.picture.rgb, image.work_hw))
        planes = pixels.permute(2, 0, 1).float().to(maps.device)
        return pamr(maps, affinities(planes), self.config.pamr_steps)


def _rows(class_ids: Collection[int], class_id: int, like: Tensor) -> Tensor:
    """The numbers of the prompts of a class, on the device of ``like``."""
    import torch

    rows = [row for row, value in enumerate(class_ids) if value == class_id]
    return torch.tensor(rows, dtype=torch.int64, device=like.device)


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load what the Config names, and return the segmenter."""
    from lexiseg.models import load_masker, load_prompted

    model = load_prompted(config.encoder, options)
    masker = None
    if config.refine == "sam":
        masker = load_masker(config.refine_masker, options)
    return Segmenter(model, config, masker)
