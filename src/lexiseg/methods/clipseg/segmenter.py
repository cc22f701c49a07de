"""The conductor of CLIPSeg: what runs after what."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.methods._vocabulary import parse_vocabulary
from lexiseg.methods.clipseg.config import Config
from lexiseg.methods.clipseg.prompting import class_thresholds, encode_prompts
from lexiseg.methods.clipseg.view import View
from lexiseg.prompts import Like, Vocabulary
from lexiseg.protocols import Masker, PromptedModel, VocabularyAware

if TYPE_CHECKING:
    from torch import Tensor

    from lexiseg.imaging import Source
    from lexiseg.methods.clipseg.prompting import Prompts
    from lexiseg.results import ScoreMap, Segmentation, UnknownWord
    from lexiseg.stages.dense import LabelMap

__all__ = ["Segmenter", "load"]

_CELL = 4  # pixels that maps of single pixels are averaged over before the guided filter


class Segmenter:
    """Call it with a picture and prompts; see `__call__`."""

    name = "clipseg"

    def __init__(self, model: PromptedModel, config: Config, masker: Masker | None = None) -> None:
        self.model = model
        self.config = config
        self.masker = masker

    def prepare(self, image: Source | View, *, max_pixels: int | None = None) -> View:
        """Read and encode a picture: a path, a PIL image or an (H, W, 3) uint8 array."""
        from lexiseg import imaging

        if isinstance(image, View):
            if image.model != self.model.name:
                raise OptionError(
                    f"the view was made by {image.model!r}, and this segmenter has "
                    f"{self.model.name!r}; prepare the picture with the same segmenter"
                )
            return image
        started = time.perf_counter()
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = image if isinstance(image, imaging.Picture) else imaging.read(image, **limit)
        read = time.perf_counter()
        seen = self.model.encode(
            picture.rgb, side=self.config.short_side, stretch=self.config.stretch
        )
        done = time.perf_counter()
        return View(picture, seen, self.model.name, {"read": read - started, "encode": done - read})

    def __call__(
        self,
        image: Source | View,
        words: str | Like | Sequence[str | Like] | Vocabulary,
        *,
        background: str | Sequence[str] | None = "default",
    ) -> Segmentation:
        """Return what the picture shows of the prompts.

        image: a path, a PIL image, an (H, W, 3) uint8 RGB array, or a View made of one.
        words: a list of words and ``Like`` prompts, or one text with ";" between words;
            "sofa|couch" names a synonym, "person -helmet" excludes helmets.
        background: "default", words of one's own, or None for a closed vocabulary, in which every
            pixel gets a word.
        Raises PromptError, PictureError.
        """
        from lexiseg.stages.unknown_words import unknown_words

        vocabulary = parse_vocabulary(words, background, self.config)
        view = self.prepare(image)
        clock = [time.perf_counter()]
        unknown: tuple[UnknownWord, ...] = ()
        if isinstance(self.model, VocabularyAware):
            unknown = unknown_words(self.model, vocabulary)
        silent: set[str] = set()
        if vocabulary.background is not None and not self.config.paint_unknown:
            silent = {found.word for found in unknown}
        prompts = encode_prompts(self.model, vocabulary, self.config, silent)
        clock.append(time.perf_counter())
        maps = self._maps(view, prompts, vocabulary)
        clock.append(time.perf_counter())
        labelled = self._label(maps, view, vocabulary)
        clock.append(time.perf_counter())
        seconds = dict(view.seconds) | {
            stage: after - before
            for stage, before, after in zip(
                ("words", "score", "label"), clock[:-1], clock[1:], strict=True
            )
        }
        return self._result(view, vocabulary, maps, labelled, unknown, seconds)

    def prompt_maps(
        self, image: Source | View, words: str | Like | Sequence[str | Like]
    ) -> ScoreMap:
        """Return each prompt's own probability map, which does not hang on other prompts.

        ``prompt_maps(photo, words).full(0) > 0.3`` is the paper's binary mask of the first.
        """
        import numpy as np

        from lexiseg.results import ScoreMap

        vocabulary = parse_vocabulary(words, None, self.config)
        view = self.prepare(image)
        logits, _ = self._class_logits(view, encode_prompts(self.model, vocabulary, self.config))
        grid = logits[: len(vocabulary.words)].sigmoid().cpu().numpy().astype(np.float16)
        return ScoreMap(grid, view.picture.size_hw)

    def _class_logits(self, view: View, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Maps of words, asked and excluded, (O, h, w), and of background words, (M, h, w).

        A word without a prompt has a map far below any other.
        """
        import torch

        from lexiseg.stages.prompt_fusion import fuse

        if prompts.vectors is None:
            h, w = (-(-side // view.seen.cell) for side in view.seen.work_hw)
            return torch.full((prompts.count, h, w), -1e4), torch.empty(0, h, w)
        logits = self.model.maps(view.seen, prompts.vectors)
        class_ids = torch.tensor(prompts.class_ids, device=logits.device)
        out = logits.new_full((prompts.count, *logits.shape[1:]), -1e4)
        for class_id in sorted(set(prompts.class_ids) - {prompts.count}):
            mine = class_ids == class_id
            out[class_id] = fuse(logits[mine], prompts.vectors[mine], self.config.fusion)
        return out, logits[class_ids == prompts.count]

    def _maps(self, view: View, prompts: Prompts, vocabulary: Vocabulary) -> Tensor:
        """The probability of every class, (O, h, w)."""
        import torch

        from lexiseg.stages.prompt_fusion import compete

        logits, rest = self._class_logits(view, prompts)
        nothing = vocabulary.background_class
        if nothing is not None and nothing == len(logits):
            logits = torch.cat([logits, torch.zeros_like(logits[:1])])
        return compete(logits, nothing, self.config.cutoff, rest)

    def _label(self, maps: Tensor, view: View, vocabulary: Vocabulary) -> LabelMap:
        import torch.nn.functional as F

        from lexiseg.stages.dense import label_map
        from lexiseg.stages.guided_filter import GuidedFilter

        config, seen, rgb = self.config, view.seen, view.picture.rgb
        limits = class_thresholds(vocabulary, config, len(maps))
        thresholds = limits if limits.any() else None
        cell, radius = seen.cell, 0
        if config.refine == "pamr":
            from lexiseg.stages.encoder_windows import resize_image
            from lexiseg.stages.pamr import affinities, pamr

            if cell > 1:
                height, width = (side * cell for side in maps.shape[1:])
                maps = F.interpolate(maps[None], (height, width), mode="bilinear")[0]
                maps = maps[:, : seen.work_hw[0], : seen.work_hw[1]]
                cell = 1
            import torch

            pixels = torch.from_numpy(resize_image(rgb, seen.work_hw)).permute(2, 0, 1).float()
            maps = pamr(maps, affinities(pixels.to(maps.device)), config.pamr_steps)
        elif config.refine in ("guided", "sam"):
            radius = config.refine_radius
            if cell == 1:
                maps, cell = F.avg_pool2d(maps[None], _CELL)[0], _CELL
        guide = GuidedFilter(rgb, seen.work_hw, cell, radius, config.refine_epsilon)
        return label_map(maps, guide, thresholds)

    def _result(
        self, view: View, vocabulary: Vocabulary, maps: Tensor, labelled: LabelMap, unknown: Any,
        seconds: dict[str, float],
    ) -> Segmentation:  # fmt: skip
        import numpy as np

        from lexiseg._version import __version__
        from lexiseg.results import Provenance, ScoreMap, Segmentation
        from lexiseg.stages.merge import connected_parts, mean_scores

        started = time.perf_counter()
        count = len(vocabulary.words)
        labels = labelled.class_id
        labels[labels >= count] = -1  # excluded words and the background
        scores = ScoreMap(
            self._whole(maps[:count], view).cpu().numpy().astype(np.float16), view.picture.size_hw
        )
        least = max(1, round(self.config.min_share * labels.size))
        quality = None
        if self.masker is not None:
            from lexiseg.methods.clipseg.sam_refinement import with_masks

            masks, class_ids, means, quality = with_masks(
                self.masker, view.picture.rgb, labels, scores, vocabulary, self.config, least
            )
        else:
            things = labels
            if vocabulary.background_index is not None:
                things = labels.copy()
                things[labels == vocabulary.background_index] = -1
            masks, class_ids, means = connected_parts(things, labelled.score, count, least=least)
        seconds["instances"] = time.perf_counter() - started
        return Segmentation(
            words=vocabulary.names,
            labels=np.array([vocabulary.names[i] for i in class_ids], dtype=np.str_),
            scores=means,
            quality=quality,
            masks=masks,
            label_map=labels,
            word_scores=mean_scores(labels, labelled.score, count),
            unknown=unknown,
            score_map=scores,
            image=view.picture.rgb,
            provenance=Provenance(
                method=self.name,
                encoder=self.model.name,
                masker=None if self.masker is None else self.masker.name,
                config=asdict(self.config),
                version=__version__,
                device=self.model.device_name,
                dtype=self.model.dtype_name,
                checkpoint_sha256=self.model.sha256,
                seconds=seconds,
                notes=view.picture.notes,
            ),
        )

    def _whole(self, maps: Tensor, view: View) -> Tensor:
        """Maps on cells that end where the picture ends."""
        import torch

        from lexiseg.stages.encoder_windows import Features
        from lexiseg.stages.resample import whole_cells

        seen = view.seen
        grid = torch.empty(*maps.shape[1:], 0)
        features = Features(grid, seen.cell, seen.work_hw, view.picture.size_hw, ())
        return whole_cells(maps, features)


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load what the Config names, and return the segmenter."""
    from lexiseg.models import load_masker, load_prompted

    how: dict[str, Any] = {"device": device, "dtype": dtype, "pull": pull, "offline": offline}
    model = load_prompted(config.encoder, **how)
    masker = load_masker(config.refine_masker, **how) if config.refine == "sam" else None
    return Segmenter(model, config, masker)
