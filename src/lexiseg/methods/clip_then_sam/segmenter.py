"""The segmenter of clip-then-sam: what runs after what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lexiseg.device import check_process
from lexiseg.errors import PromptError
from lexiseg.methods._auto import AUTO
from lexiseg.methods._base import (
    BaseSegmenter,
    StageTimer,
    Words,
    class_thresholds,
    finish,
    read_image,
)
from lexiseg.methods._dense_segmenter import result_map
from lexiseg.methods._levels import join_levels
from lexiseg.methods.clip_then_sam.config import Config
from lexiseg.prompts import Clicks
from lexiseg.protocols import DenseMapper, DenseScores, Masker, MaskState, View
from lexiseg.results import PromptSummary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexiseg.imaging import Picture, Source
    from lexiseg.masks import Masks
    from lexiseg.methods.clip_then_sam.steps import Found
    from lexiseg.prompts import Vocabulary
    from lexiseg.results import Provenance, ScoreMap, Segmentation
    from lexiseg.stages.label_map import GuidedFilter, Labels
    from lexiseg.stages.map_fusion import Selection, WordMap
    from lexiseg.stages.mask_prompting import PromptBatch, Regions

__all__ = ["Encoded", "Segmenter"]

_GRID = 64 * 64  # points of a blind grid, to compare the number of prompts with


@dataclass(frozen=True, eq=False)
class _Prompted:
    """A map of words, and what became of the prompts in its regions."""

    word_map: WordMap
    regions: Regions
    prompts: PromptBatch
    clicks: Clicks
    selection: Selection | None


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the mapper (None for clicks alone) and the mask model made of an image."""

    mapped: View[Any] | None
    masks: MaskState


class Segmenter(BaseSegmenter[Encoded]):
    """Call it with an image, words, and points or boxes; see ``__call__``."""

    name = "clip-then-sam"

    def __init__(self, mapper: DenseMapper, masker: Masker, config: Config) -> None:
        super().__init__(config, mapper.scorer, masker, mapper.others)
        self.mapper = mapper
        self.masker = masker
        self._provenance = replace(
            self._provenance, prompts=PromptSummary(num_prompts=0, grid_size=_GRID)
        )

    def encode(self, picture: Picture) -> tuple[Encoded, NDArray[np.int64]]:
        """Encode an image for the mapper and for the mask model."""
        mapped = self.mapper.prepare(picture)
        maps = self.mapper.backbone_maps(mapped)
        return Encoded(mapped, self.masker.encode(picture.rgb, maps)), mapped.windows_xyxy

    def prepare(
        self,
        image: Source | View[Encoded],
        *,
        max_pixels: int | None = None,
        words: bool = True,
    ) -> View[Encoded]:
        """Read and encode an image; without ``words`` for clicks alone, with no map of words."""
        if isinstance(image, View):
            view = super().prepare(image)
            if view.encoded.mapped is not None or not words:
                return view
            mapped = self.mapper.prepare(view.picture)
            encoded = replace(view.encoded, mapped=mapped)
            return replace(view, encoded=encoded, windows_xyxy=mapped.windows_xyxy)
        if words:
            return super().prepare(image, max_pixels=max_pixels)
        check_process(self.masker.device_name)
        timer = StageTimer()
        with timer("read"):
            picture = read_image(image, max_pixels)
        with timer("encode"):
            encoded = Encoded(None, self.masker.encode(picture.rgb))
        return self.view(picture, encoded, None, timer)

    def __call__(
        self,
        image: Source | View[Encoded],
        words: Words | None = None,
        *,
        background: str | Sequence[str] | None = "default",
        keep_image: bool = False,
        points: Iterable[Sequence[float]] = (),
        boxes: Iterable[Sequence[float]] = (),
        not_points: Iterable[Sequence[float]] = (),
    ) -> Segmentation:
        """Return what the image shows of the words, or what lies at points and in boxes.

        image, words, background, keep_image: see ``BaseSegmenter.__call__``. Without words every
            point and box gives a mask of its own, "point 1", "box 1"; with words, each gives an
            instance of the word that fits best inside it, in place of those of this word that were
            found there.
            Without any of them it is as with "@auto".
        points, boxes: (x, y) and (x0, y0, x1, y1) in pixels of the image.
        not_points: (x, y) on what is not meant.
        Raises PromptError, PictureError.
        """
        given = tuple(points), tuple(boxes), tuple(not_points)
        clicks = Clicks.parse(*given) if any(given) else None
        if words == AUTO or (words is None and not any(given)):
            view = self.prepare(image)
            result = self.segment(view, self.auto_vocabulary(view, background), clicks)
        elif words is None:
            if clicks is None or not clicks.names:
                raise PromptError("there is nothing to look for; give words, points or boxes")
            from lexiseg.methods.clip_then_sam.clicks import segment_clicks

            view = self.prepare(image, words=False)
            clicks = clicks.clipped(view.picture.size_hw)
            made = replace(self.provenance(view, {}), encoder="")
            result = segment_clicks(self.masker, view, view.encoded.masks, clicks, made)
        else:
            vocabulary = self.vocabulary(words, background)
            view = self.prepare(image)
            if clicks is not None:
                clicks = clicks.clipped(view.picture.size_hw)
            segment = partial(self.segment, view, clicks=clicks)
            result = self.segment_phrases(view, vocabulary, segment)
        return finish(result, view, keep_image=keep_image)

    def refine(
        self,
        image: Source | View[Encoded],
        *,
        points: Iterable[Sequence[float]] = (),
        not_points: Iterable[Sequence[float]] = (),
        box: Sequence[float] | None = None,
        mask: Masks | None = None,
    ) -> Segmentation:
        """Return one mask, named "mask", of the one thing that all clicks mean together.

        points, not_points: (x, y) on the thing and beside it. box: (x0, y0, x1, y1) around it.
        mask: the mask so far; what is far from all clicks stays as it is. Raises PromptError.
        """
        from lexiseg.methods.clip_then_sam.clicks import refine_mask

        clicks = Clicks.parse(points, () if box is None else (box,), not_points)
        view = self.prepare(image, words=False)
        clicks = clicks.clipped(view.picture.size_hw)
        made = replace(self.provenance(view, {}), encoder="")
        result = refine_mask(self.masker, view, view.encoded.masks, clicks, mask, made)
        return finish(result, view, keep_image=False)

    def map_words(self, view: View[Encoded], vocabulary: Vocabulary) -> Segmentation:
        """Return where words win on the mapper's map."""
        mapped = view.encoded.mapped or self.mapper.prepare(view.picture)
        out: Segmentation = self.mapper.segment(mapped, vocabulary)
        return out

    def segment(
        self, view: View[Encoded], vocabulary: Vocabulary, clicks: Clicks | None = None
    ) -> Segmentation:
        """Return what an encoded image shows of a vocabulary, and of clicks.

        Words with parts and kinds among the others have a map, and masks, of their own.
        """
        clicks = Clicks() if clicks is None else clicks
        timer = StageTimer(view.seconds)
        with timer("map"):
            mapped = view.encoded.mapped or self.mapper.prepare(view.picture)
            scores = self.mapper.score_map(mapped, vocabulary)
        levels = [
            scores,
            *(
                replace(scores, probabilities=level.probabilities, decided=level.class_ids)
                for level in scores.coarser
            ),
        ]
        # What a user pointed at is for the finest words.
        given = [clicks, *[Clicks()] * len(scores.coarser)]
        prompted = [
            self._prompt(view, level, vocabulary, clicked, timer)
            for level, clicked in zip(levels, given, strict=True)
        ]
        finest, *others = self._label(view, vocabulary, prompted, timer)
        if not others:
            return finest
        made = [finest.provenance, *(result.provenance for result in others)]
        joined = replace(
            finest.provenance.with_seconds(timer.seconds),
            prompts=_all_prompts(made),
            notes=tuple(dict.fromkeys(note for one in made for note in one.notes)),
        )
        coarser = list(zip((level.class_ids for level in scores.coarser), others, strict=True))
        return replace(join_levels(finest, coarser, vocabulary.background_index), provenance=joined)

    def _prompt(
        self,
        view: View[Encoded],
        scores: DenseScores,
        vocabulary: Vocabulary,
        clicks: Clicks,
        timer: StageTimer,
    ) -> _Prompted:
        """Prompt the mask model where words win on a map, and at clicks: steps 1 to 5."""
        from lexiseg.methods.clip_then_sam import steps
        from lexiseg.stages.mask_prompting import decode_clicks

        config, masker, state = self.config, self.masker, view.encoded.masks
        with timer("map"):
            word_map = steps.map_words(scores, vocabulary)
        with timer("regions"):
            regions = steps.find_regions(word_map, config)
            prompts = steps.plan_prompts(regions, word_map, clicks, config)
        with timer("masks"):
            clicked = None
            if clicks.points_xy or clicks.boxes_xyxy:
                clicked = decode_clicks(
                    masker, state, clicks.points_xy, clicks.boxes_xyxy, clicks.not_points_xy
                )
            batches = steps.decode_candidates(masker, state, prompts)
            selection = steps.select_masks(batches, clicked, masker, regions, word_map, config)
        return _Prompted(word_map, regions, prompts, clicks, selection)

    def _label(
        self,
        view: View[Encoded],
        vocabulary: Vocabulary,
        prompted: Sequence[_Prompted],
        timer: StageTimer,
    ) -> Iterator[Segmentation]:
        """Label the image by each map and its masks: steps 6 and 7."""
        from lexiseg.methods.clip_then_sam import steps

        config, rgb = self.config, view.picture.rgb
        guides: dict[bool, GuidedFilter] = {}
        for place, one in enumerate(prompted):
            word_map, selection = one.word_map, one.selection
            with timer("fuse"):
                made = steps.outline_filter(selection, word_map, rgb, config)
                guide = guides.setdefault(selection is None, made)  # it keeps what it worked out
                only = word_map.scores.decided if place else None
                labels, masks = steps.fuse_with_map(
                    selection, one.regions, word_map, guide, one.clicks, config, only
                )
            with timer("instances"):
                found = steps.make_instances(labels, masks, selection, one.clicks, config)
                result = self._result(view, vocabulary, word_map, labels, found)
            provenance = replace(
                self.provenance(view, timer.seconds),
                prompts=_summary(one.prompts, one.clicks),
                notes=(*view.picture.notes, *_notes(one.regions, word_map, config)),
            )
            yield replace(result, provenance=provenance)

    def _result(
        self,
        view: View[Encoded],
        vocabulary: Vocabulary,
        word_map: WordMap,
        labels: Labels,
        found: Found,
    ) -> Segmentation:
        """Apply the thresholds, drop what is too small or excluded, and order the instances."""
        import numpy as np

        from lexiseg.methods.clip_then_sam import steps
        from lexiseg.results import Segmentation

        count = len(vocabulary.words)
        score_map = result_map(word_map.scores, count)
        limits = class_thresholds(vocabulary, self.config)
        mine = (found.class_ids < count) & (found.scores >= limits[found.class_ids])
        if labels.max() >= count:
            labels = labels.copy()
            labels[labels >= count] = -1
        labels = steps.apply_thresholds(labels, score_map, limits[:count], found.masks[mine])
        min_area = max(1, round(self.config.min_share * labels.size))
        kept = np.flatnonzero(mine & (found.masks.areas >= min_area))
        kept = kept[np.lexsort((-found.scores[kept], found.class_ids[kept]))]
        class_ids, scores = found.class_ids[kept], found.scores[kept]
        return Segmentation(
            words=vocabulary.names,
            labels=np.array([vocabulary.names[i] for i in class_ids], np.str_),
            scores=scores,
            quality=found.quality[kept],
            masks=found.masks[kept],
            label_map=labels,
            word_scores=_word_scores(labels, score_map, class_ids, scores, count),
            unknown=word_map.scores.unknown,
            score_map=score_map,
            provenance=self._provenance,
        )


def _summary(prompts: PromptBatch, clicks: Clicks) -> PromptSummary:
    points = prompts.prompts.points_xy
    planned = [] if points is None else (points[:, 0].double().numpy() - 0.5).tolist()
    return PromptSummary(
        num_prompts=len(prompts) + len(clicks.points_xy) + len(clicks.boxes_xyxy),
        grid_size=_GRID,
        points_xy=(*planned, *clicks.points_xy),
    )


def _all_prompts(made: Sequence[Provenance]) -> PromptSummary:
    """The prompts of all maps of an image together."""
    given = [one.prompts for one in made if one.prompts is not None]
    return PromptSummary(
        num_prompts=sum(one.num_prompts for one in given),
        grid_size=_GRID,
        points_xy=tuple(point for one in given for point in one.points_xy or ()),
    )


def _notes(regions: Regions, word_map: WordMap, config: Config) -> tuple[str, ...]:
    """A note for the case that no region was good enough to prompt in."""
    import numpy as np

    if len(regions):
        return ()
    note = (
        f"no region of {config.min_region_area} pixels or more scores at least "
        f"{config.region_threshold:g}, so no mask was asked for"
    )
    labels, probabilities = word_map.labels, word_map.probabilities
    if (labels >= 0).any():
        place = int(np.where(labels >= 0, probabilities, -1).argmax())
        vocabulary = word_map.vocabulary
        names = [word.name for word in (*vocabulary.words, *vocabulary.excluded)]
        best, score = names[int(labels.flat[place])], probabilities.flat[place]
        note += f"; the best score is {score:.2f}, of {best!r}: lower --min-confidence"
    return (note,)


def _word_scores(
    labels: Labels,
    score_map: ScoreMap,
    class_ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    count: int,
) -> NDArray[np.float32]:
    """The best instance's score; for a word without instances, its mean score where it is."""
    import numpy as np

    from lexiseg.masks import label_runs
    from lexiseg.stages.label_map import mean_scores, resize_labels

    grid = score_map.grid
    cells = resize_labels(labels, (grid.shape[1], grid.shape[2])).astype(np.int32)
    own = np.take_along_axis(grid, np.maximum(cells, 0)[None].astype(np.intp), 0)[0]
    out = mean_scores(cells, own, count)
    present = np.zeros(count + 1, np.bool_)  # one more for -1
    for _, _, values in label_runs(labels):
        present[values] = True
    present = present[:-1]
    missed = present & (out == 0)
    out[missed] = grid[missed].max((1, 2))
    best = np.zeros(count, np.float32)
    np.maximum.at(best, class_ids, scores)
    out = np.where(best > 0, best, out)
    return np.where(present, out, 0).astype(np.float32)
