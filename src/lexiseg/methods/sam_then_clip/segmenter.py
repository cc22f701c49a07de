"""The segmenter of sam-then-clip: what runs after what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lexiseg.methods._base import BaseSegmenter, StageTimer
from lexiseg.methods.sam_then_clip.config import Config, check_masker
from lexiseg.protocols import AttentionEncoder, Encoder, LoadOptions, Masker, View
from lexiseg.results import PromptSummary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lexiseg.imaging import Picture
    from lexiseg.masks import Masks
    from lexiseg.prompts import Vocabulary
    from lexiseg.protocols import BackboneMaps
    from lexiseg.results import Segmentation
    from lexiseg.stages.automatic_masks import AutomaticMaskSettings, Proposals
    from lexiseg.stages.word_vectors import WordVectors

__all__ = ["EncodedMasks", "Segmenter", "load"]

_ALPHA = 0.3  # García García 2025, section 3.2.3; for a CLIP


@dataclass(frozen=True, eq=False)
class EncodedMasks:
    """An image's masks, and what words are compared with.

    proposals: every mask. uncovered: one mask, of what none of them covers. vectors: (N + 1, D),
    of the crops of all and of the uncovered part, or None; grid: (h, w, D) features, or None.
    """

    proposals: Proposals
    uncovered: Masks
    vectors: Tensor | None
    grid: Tensor | None

    @property
    def masks(self) -> Masks:
        """All masks, (N + 1), the uncovered part last."""
        from lexiseg.masks import Masks

        return Masks.concat([self.proposals.masks, self.uncovered])


class Segmenter(BaseSegmenter[EncodedMasks]):
    """Call it with an image and words; see ``BaseSegmenter.__call__``.

    In a closed vocabulary, what no mask covers is classified as if it were one more mask.
    """

    name = "sam-then-clip"

    def __init__(self, encoder: Encoder, masker: Masker, config: Config) -> None:
        super().__init__(config, encoder, masker)
        self.encoder = encoder
        self.masker = masker

    def encode(self, picture: Picture) -> tuple[EncodedMasks, None]:
        """Draw every mask of an image, and encode them all."""
        import numpy as np

        from lexiseg.masks import Masks
        from lexiseg.stages.automatic_masks import generate_masks
        from lexiseg.stages.mask_scores import crop_vectors

        rgb, grid = picture.rgb, None
        maps: tuple[BackboneMaps, ...] = ()
        if self.config.scoring == "features":
            grid, maps = self._dense(rgb)
        proposals = generate_masks(self.masker, rgb, self._automatic_masks(), maps)
        uncovered = Masks.from_crops(picture.size_hw, np.zeros((1, 2)), [~proposals.masks.union()])
        if grid is not None:
            return EncodedMasks(proposals, uncovered, None, grid), None
        masks = Masks.concat([proposals.masks, uncovered])
        vectors = crop_vectors(self.encoder, rgb, masks, self._crop_side(), batch=self.config.batch)
        return EncodedMasks(proposals, uncovered, vectors, None), None

    def segment(self, view: View[EncodedMasks], vocabulary: Vocabulary) -> Segmentation:
        """Return what an encoded image shows of a vocabulary."""
        from lexiseg.methods.sam_then_clip.classify_masks import classify_masks
        from lexiseg.stages.word_vectors import word_vectors

        timer = StageTimer(view.seconds)
        with timer("words"):
            unknown, silent = self.unknown_words(self.encoder, vocabulary)
            vectors = word_vectors(self.encoder, vocabulary, self.config.sentences, silent)
            cosines = self._cosines(view.encoded, vectors)
        with timer("merge"):
            result = classify_masks(
                view.encoded, vocabulary, vectors, cosines, self.encoder.scale, self.config,
                self.provenance(view, {}),
            )  # fmt: skip
        count = view.encoded.proposals.prompts
        prompts = PromptSummary(
            num_prompts=count, grid_size=count, num_masks=len(view.encoded.proposals.masks)
        )
        made = replace(self.provenance(view, timer.seconds), prompts=prompts)
        return replace(result, unknown=unknown, provenance=made)

    def all_masks(self, view: View[EncodedMasks]) -> Masks:
        """Return every mask of an image, whatever it shows, without what is fully transparent."""
        masks, there = view.encoded.proposals.masks, view.picture.opaque
        if there is None:
            return masks
        masks = masks.within(there)
        return masks[masks.areas > 0]

    def _automatic_masks(self) -> AutomaticMaskSettings:
        from lexiseg.stages.automatic_masks import AutomaticMaskSettings

        config, masker = self.config, self.masker
        return AutomaticMaskSettings(
            points_per_side=config.points_per_side,
            quality=_or(config.min_quality, masker.min_quality),
            stability=_or(config.min_stability, masker.min_stability),
            stability_offset=config.stability_offset,
            box_nms=config.box_nms_threshold,
            crop_layers=config.crop_n_layers,
            crop_nms=config.crop_nms_threshold,
            crop_overlap=config.crop_overlap_ratio,
            crop_downscale=config.crop_points_downscale,
            min_area=config.min_mask_region_area,
            use_m2m=config.use_m2m,
        )

    def _crop_side(self) -> int:
        size = self.encoder.size
        side = self.config.crop_side or min(size.window, 224)
        return max(size.multiple, side // size.multiple * size.multiple)

    def _dense(self, rgb: NDArray[np.uint8]) -> tuple[Tensor, tuple[BackboneMaps, ...]]:
        """Features of the whole image, (h, w, D), unit length: of several layers, of a CLIP.

        And what the encoder's backbone made, for a mask model that stands on the same one.
        """
        import torch
        import torch.nn.functional as F

        from lexiseg.imaging import resize_image
        from lexiseg.stages.attention import readout
        from lexiseg.stages.dense_features import encode_image

        short_side = self.config.short_side or self.encoder.size.short_side
        if not isinstance(self.encoder, AttentionEncoder):
            window = self.encoder.size.window
            made = encode_image(self.encoder, rgb, short_side=short_side, window=window)
            return made.grid, () if made.maps is None else (made.maps,)
        cell = self.encoder.size.multiple
        scale = short_side / min(rgb.shape[:2])
        high, wide = (max(cell, round(s * scale / cell) * cell) for s in rgb.shape[:2])
        pixels = torch.from_numpy(resize_image(rgb, (high, wide)))[None]
        depth = self.encoder.num_blocks
        block = self.encoder.trunk(pixels, keep=range(depth - 1))  # the last one is open
        with torch.inference_mode():
            last = block.finish(readout("naclip")(block))
            places = {round(part * depth) for part in self.config.layer_depths}
            layers = [
                last if place >= depth else block.finish(block.kept[max(place, 1) - 1])
                for place in sorted(places)
            ]
            return F.normalize(torch.stack(layers).mean(0), dim=-1)[0], ()

    def _cosines(self, encoded: EncodedMasks, words: WordVectors) -> Tensor:
        """Similarities of all masks, the uncovered part last, and all queries, (N + 1, Q)."""
        from lexiseg.stages.mask_scores import (
            border_weights,
            coverage,
            surroundings,
            weighted_cosines,
        )

        if encoded.vectors is not None:
            return encoded.vectors @ words.vectors.float().T
        grid = encoded.grid if encoded.grid is not None else words.vectors[None]
        cover = coverage(encoded.masks, (grid.shape[0], grid.shape[1]))
        inside = border_weights(cover, self.config.border) if self.config.border else cover
        default = _ALPHA if isinstance(self.encoder, AttentionEncoder) else 0.0
        alpha = _or(self.config.alpha, default)
        return weighted_cosines(grid, words.vectors, inside, surroundings(cover), alpha)


def _or(given: float | None, default: float) -> float:
    return default if given is None else given


def load(config: Config, options: LoadOptions) -> Segmenter:
    """Load the encoder and the mask model that the Config names, and return the segmenter."""
    from lexiseg.models import load_encoder, load_masker

    masker = load_masker(config.masker, options, compile=config.compile)
    check_masker(config, masker)
    return Segmenter(
        load_encoder(config.encoder, options),
        masker,
        config,
    )
