"""The conductor of sam-then-clip: what runs after what."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError
from lexiseg.methods._vocabulary import parse_vocabulary
from lexiseg.methods.sam_then_clip.config import Config
from lexiseg.methods.sam_then_clip.view import View
from lexiseg.prompts import TEMPLATES, Vocabulary
from lexiseg.protocols import AttentionEncoder, Encoder, Masker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Source
    from lexiseg.masks import Masks
    from lexiseg.results import Segmentation
    from lexiseg.stages.dense import WordVectors

__all__ = ["Segmenter", "load"]

_ALPHA = 0.3  # García García 2025, section 3.2.3; for a CLIP


class Segmenter:
    """Call it with a picture and words; see `__call__`."""

    name = "sam-then-clip"

    def __init__(self, encoder: Encoder, masker: Masker, config: Config) -> None:
        self.encoder = encoder
        self.masker = masker
        self.config = config

    def prepare(self, image: Source | View, *, max_pixels: int | None = None) -> View:
        """Read a picture, draw every mask, and encode them all."""
        import numpy as np

        from lexiseg import imaging
        from lexiseg.masks import Masks
        from lexiseg.stages.automatic_masks import AutomaticMaskSettings, generate_masks
        from lexiseg.stages.mask_scores import crop_vectors

        makers = (self.encoder.name, self.masker.name)
        if isinstance(image, View):
            if image.makers != makers:
                raise OptionError(
                    f"the view was made by {image.makers}, and this segmenter has {makers}; "
                    "prepare the picture with the same segmenter"
                )
            return image
        config, clock = self.config, [time.perf_counter()]
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = image if isinstance(image, imaging.Picture) else imaging.read(image, **limit)
        clock.append(time.perf_counter())
        settings = AutomaticMaskSettings(
            points_per_side=config.points_per_side,
            quality=_or(config.min_quality, self.masker.min_quality),
            stability=_or(config.min_stability, self.masker.min_stability),
            stability_offset=config.stability_offset,
            box_nms=config.box_nms_threshold,
            crop_layers=config.crop_n_layers,
            crop_nms=config.crop_nms_threshold,
            crop_overlap=config.crop_overlap_ratio,
            crop_downscale=config.crop_points_downscale,
            least_area=config.min_region_area,
            use_m2m=config.use_m2m,
        )
        proposals = generate_masks(self.masker, picture.rgb, settings)
        clock.append(time.perf_counter())
        rest = Masks.from_crops(picture.size_hw, np.zeros((1, 2)), [~proposals.masks.union()])
        vectors, grid = None, None
        if config.scoring == "crops":
            all_masks = Masks.concat([proposals.masks, rest])
            side = self._crop_side()
            vectors = crop_vectors(self.encoder, picture.rgb, all_masks, side, batch=config.batch)
        else:
            grid = self._dense(picture.rgb)
        clock.append(time.perf_counter())
        seconds = {
            stage: after - before
            for stage, before, after in zip(
                ("read", "masks", "encode"), clock[:-1], clock[1:], strict=True
            )
        }
        return View(picture, proposals, rest, vectors, grid, makers, seconds)

    def _crop_side(self) -> int:
        size = self.encoder.size
        side = self.config.crop_side or min(size.window, 224)
        return max(size.multiple, side // size.multiple * size.multiple)

    def _dense(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Features of the whole picture, (h, w, D), unit length: of several layers, of a CLIP."""
        import torch
        import torch.nn.functional as F

        from lexiseg.stages.attention import readout
        from lexiseg.stages.encoder_windows import encode_image, resize_image

        short_side = self.config.short_side or self.encoder.size.short_side
        if not isinstance(self.encoder, AttentionEncoder):
            size = self.encoder.size
            return encode_image(self.encoder, rgb, short_side=short_side, window=size.window).grid
        cell = self.encoder.size.multiple
        scale = short_side / min(rgb.shape[:2])
        high, wide = (max(cell, round(s * scale / cell) * cell) for s in rgb.shape[:2])
        pixels = torch.from_numpy(resize_image(rgb, (high, wide)))[None]
        # How many blocks there are shows when all that there could be are asked for.
        block = self.encoder.trunk(pixels, keep=range(1000))
        depth = len(block.kept) + 1  # the last one is open
        with torch.inference_mode():
            last = block.finish(readout("naclip")(block))
            places = {round(part * depth) for part in self.config.layers}
            made = [
                last if place >= depth else block.finish(block.kept[max(place, 1) - 1])
                for place in sorted(places)
            ]
            return F.normalize(torch.stack(made).mean(0), dim=-1)[0]

    def __call__(
        self,
        image: Source | View,
        words: str | Sequence[str] | Vocabulary,
        *,
        background: str | Sequence[str] | None = "default",
    ) -> Segmentation:
        """Return what the picture shows of the words; arguments as for the method ``dense``.

        In a closed vocabulary, what no mask covers is named as if it were one more mask.
        Raises PromptError, PictureError.
        """
        from lexiseg.methods.sam_then_clip.classify_masks import result
        from lexiseg.stages.dense import word_vectors
        from lexiseg.stages.unknown_words import unknown_words

        vocabulary = parse_vocabulary(words, background, self.config)
        view = self.prepare(image)
        started = time.perf_counter()
        unknown = unknown_words(self.encoder, vocabulary)
        silent = set()
        if vocabulary.background is not None:
            silent = {found.word for found in unknown}
        vectors = word_vectors(self.encoder, vocabulary, TEMPLATES[self.config.templates], silent)
        cosines = self._cosines(view, vectors)
        seconds = dict(view.seconds) | {"words": time.perf_counter() - started}
        return result(
            view, vocabulary, vectors, cosines, self.encoder.scale, self.config,
            {**self._facts(view), "seconds": seconds}, unknown,
        )  # fmt: skip

    def _cosines(self, view: View, words: WordVectors) -> Tensor:
        """Similarities of all masks, the rest behind them, and all queries, (N + 1, Q)."""
        from lexiseg.masks import Masks
        from lexiseg.stages.mask_scores import (
            border_weights,
            coverage,
            surroundings,
            weighted_cosines,
        )

        if view.vectors is not None:
            return view.vectors @ words.vectors.float().T
        if view.grid is None:
            raise ValueError("a view has vectors or a grid")
        masks: Masks = Masks.concat([view.proposals.masks, view.rest])
        cover = coverage(masks, (view.grid.shape[0], view.grid.shape[1]))
        inside = border_weights(cover, self.config.border) if self.config.border else cover
        usual = _ALPHA if isinstance(self.encoder, AttentionEncoder) else 0.0
        alpha = _or(self.config.alpha, usual)
        return weighted_cosines(view.grid, words.vectors, inside, surroundings(cover), alpha)

    def _facts(self, view: View) -> dict[str, Any]:
        """What the provenance says of every result."""
        from lexiseg._version import __version__

        hashes = {f"masker {k}": v for k, v in self.masker.sha256.items()}
        asked = view.proposals.prompts
        return {
            "method": self.name,
            "encoder": self.encoder.name,
            "masker": self.masker.name,
            "config": asdict(self.config),
            "version": __version__,
            "device": self.encoder.device_name,
            "dtype": self.encoder.dtype_name,
            "checkpoint_sha256": {**self.encoder.sha256, **hashes},
            "prompts": {"asked": asked, "grid": asked, "masks": len(view.proposals.masks)},
            "notes": view.picture.notes,
        }


def _or(given: float | None, usual: float) -> float:
    return usual if given is None else given


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load the encoder and the mask model that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder, load_masker

    how: dict[str, Any] = {"device": device, "dtype": dtype, "pull": pull, "offline": offline}
    return Segmenter(
        load_encoder(config.encoder, **how),
        load_masker(config.masker, compile=config.compile, **how),
        config,
    )
