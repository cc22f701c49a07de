"""The conductor of clip-then-sam: what runs after what."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from lexiseg.errors import OptionError, PromptError, UnknownName
from lexiseg.methods._vocabulary import parse_vocabulary
from lexiseg.methods.clip_then_sam.config import Config
from lexiseg.methods.clip_then_sam.view import View
from lexiseg.prompts import Clicks, Vocabulary

if TYPE_CHECKING:
    from lexiseg.imaging import Source
    from lexiseg.protocols import DenseMapper, Masker
    from lexiseg.results import Segmentation

__all__ = ["Segmenter", "load"]

_GRID = 64 * 64  # points of the blind grid that the number of prompts is compared with


class Segmenter:
    """Call it with a picture, words, and points or boxes; see `__call__`."""

    name = "clip-then-sam"

    def __init__(self, mapper: DenseMapper, masker: Masker, config: Config) -> None:
        self.mapper = mapper
        self.masker = masker
        self.config = config

    def prepare(
        self, image: Source | View, *, max_pixels: int | None = None, words: bool = True
    ) -> View:
        """Read and encode a picture; without ``words`` for clicks alone, with no map of words."""
        from lexiseg import imaging

        makers = (self.mapper.name, self.masker.name)
        if isinstance(image, View):
            if image.makers != makers:
                raise OptionError(
                    f"the view was made by {image.makers}, and this segmenter has {makers}; "
                    "prepare the picture with the same segmenter"
                )
            if image.mapped is not None or not words:
                return image
            return replace(image, mapped=self.mapper.prepare(image.picture))
        started = time.perf_counter()
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = image if isinstance(image, imaging.Picture) else imaging.read(image, **limit)
        read = time.perf_counter()
        state = self.masker.encode(picture.rgb)
        done = time.perf_counter()
        mapped = self.mapper.prepare(picture) if words else None
        seconds = {"read": read - started, "encode for masks": done - read}
        return View(picture, mapped, state, makers, seconds)

    def __call__(
        self,
        image: Source | View,
        words: str | Sequence[str] | Vocabulary | None = None,
        *,
        background: str | Sequence[str] | None = "default",
        points: Iterable[Sequence[float]] = (),
        boxes: Iterable[Sequence[float]] = (),
        not_points: Iterable[Sequence[float]] = (),
    ) -> Segmentation:
        """Return what the picture shows of the words, or what lies at points and in boxes.

        image: a path, a PIL image, an (H, W, 3) uint8 RGB array, or a View made of one.
        words, background: as for the method ``dense``. Without words every point and box gives a
            mask of its own, "point 1", "box 1"; with words, each gives an instance of the word that
            fits best inside it, in place of those of this word that were found there.
        points, boxes: (x, y) and (x0, y0, x1, y1) in pixels of the picture.
        not_points: (x, y) on what is not meant.
        Raises PromptError, PictureError.
        """
        clicks = Clicks.parse(points, boxes, not_points)
        if words is None:
            if not clicks.names:
                raise PromptError("there is nothing to look for; give words, points or boxes")
            from lexiseg.methods.clip_then_sam.clicks import segment_clicks

            view = self.prepare(image, words=False)
            clicks.check(view.picture.size_hw)
            return segment_clicks(self.masker, view, clicks, self._facts({}))
        from lexiseg.methods.clip_then_sam.words import segment_words

        vocabulary = parse_vocabulary(words, background, self.config)
        view = self.prepare(image)
        clicks.check(view.picture.size_hw)
        # Excluded words are looked for too, so that they keep what is theirs; they are taken out
        # at the end.
        everything = replace(
            vocabulary, words=(*vocabulary.words, *vocabulary.excluded), excluded=()
        )
        mapped = self.mapper(view.mapped, everything)
        facts = self._facts(
            {
                "encoder": mapped.provenance.encoder,
                "checkpoint_sha256": dict(mapped.provenance.checkpoint_sha256),
            }
        )
        return segment_words(self.masker, view, vocabulary, mapped, clicks, self.config, facts)

    def _facts(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """What the provenance says of every result."""
        from lexiseg._version import __version__

        facts = {
            "method": self.name,
            "encoder": "",
            "masker": self.masker.name,
            "config": asdict(self.config),
            "version": __version__,
            "device": self.masker.device_name,
            "dtype": self.masker.dtype_name,
            "prompts": {"grid": _GRID},
            **more,
        }
        hashes = {f"masker {k}": v for k, v in self.masker.sha256.items()}
        return facts | {"checkpoint_sha256": {**more.get("checkpoint_sha256", {}), **hashes}}


def load(
    config: Config,
    *,
    device: str | None = None,
    dtype: str | None = None,
    pull: bool = False,
    offline: bool | None = None,
) -> Segmenter:
    """Load the mapper and the mask model that the Config names, and return the segmenter."""
    from dataclasses import fields

    from lexiseg.models import load_masker
    from lexiseg.registry import methods

    module = methods().get(config.mapper)
    names = {f.name for f in fields(module.Config)}
    if "masker" in names:
        raise OptionError(
            f"the mapper is {config.mapper!r}, which asks a mask model itself; give one that maps "
            "words only, such as 'dense'"
        )
    given: dict[str, Any] = {"background": config.background, "encoder": config.encoder}
    if config.encoder == Config().encoder and module.Config().encoder != config.encoder:
        del given["encoder"]  # a mapper whose own default it is not, keeps its own
    given = {k: v for k, v in given.items() if k in names} | dict(config.mapper_fields)
    for name in given:
        if name not in names:
            raise UnknownName.among(f"field of {config.mapper}'s Config", name, names)
    how: dict[str, Any] = {"device": device, "dtype": dtype, "pull": pull, "offline": offline}
    mapper = module.load(module.Config(**given), **how)
    return Segmenter(mapper, load_masker(config.masker, compile=config.compile, **how), config)
