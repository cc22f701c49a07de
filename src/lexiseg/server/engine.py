"""The shared models behind a server: one thread computes, requests wait in a bounded queue."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from lexiseg import imaging
from lexiseg.edit.generative import DEFAULT_MODEL
from lexiseg.edit.run import wanted_model
from lexiseg.errors import NothingFound, OptionError, PictureError
from lexiseg.loading import FOR_EXAMPLES, WITH_MASKS
from lexiseg.masks import Masks
from lexiseg.server.generator import Generator
from lexiseg.server.jobs import Abandoned, Job, QueueFull, TimeUp, UnknownDigest
from lexiseg.server.metrics import Metrics
from lexiseg.server.options import ServerOptions
from lexiseg.server.requests import (
    EditRequest,
    RefineRequest,
    SegmentRequest,
    StepRequest,
    edit_step,
)
from lexiseg.server.responses import edit_document, segment_document
from lexiseg.server.view_cache import ViewCache

if TYPE_CHECKING:
    from lexiseg.edit.steps import EditStep
    from lexiseg.imaging import Picture
    from lexiseg.methods._base import BaseSegmenter
    from lexiseg.protocols import Tracker, View
    from lexiseg.results import Segmentation

__all__ = ["Engine"]

T = TypeVar("T")


class Engine:
    """Loads a segmenter when it is first needed, and keeps what it made of pictures."""

    def __init__(self, options: ServerOptions, metrics: Metrics) -> None:
        self._options, self._metrics = options, metrics
        self.views = ViewCache(options.limits.cache_bytes)
        self._segmenters: dict[str, BaseSegmenter[Any]] = {}
        self._tracker: Tracker | None = None
        self.generator = Generator(options.inpainter or DEFAULT_MODEL, options.load)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lexiseg-model")
        self.waiting = 0
        self._seconds = 1.0  # of a request, a moving average
        metrics.gauge("queue_length", "Requests that wait or run", lambda: self.waiting)
        metrics.gauge("cache_bytes", "Encoded pictures that are kept", lambda: self.views.bytes)
        metrics.gauge("cache_pictures", "How many these are", lambda: len(self.views))
        metrics.gauge("cache_hits", "Prompts that needed no encoding", lambda: self.views.hits)

    @property
    def ready(self) -> bool:
        """Whether the model for words is loaded, so that a request is answered at once."""
        return bool(self._segmenters)

    def close(self) -> None:
        """Stop once what is running has ended."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def run(
        self, name: str, work: Callable[[Job], T], gone: Callable[[], Awaitable[None]]
    ) -> T:
        """Return what `work` returns, called in the model's thread when its turn has come.

        name: for the metrics. gone: awaits that the client leaves. Raises QueueFull, TimeUp and
        Abandoned, besides what the work raises.
        """
        limits = self._options.limits
        job = Job()

        def checked() -> T:
            job.check()
            return work(job)

        future = self.submit(name, checked)
        answer = asyncio.ensure_future(asyncio.wrap_future(future))
        leaving = asyncio.ensure_future(gone())
        try:
            await asyncio.wait(
                (answer, leaving), timeout=limits.max_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if answer.done():
                return answer.result()
            why = "left" if leaving.done() else "time"
            self._metrics.abandoned.labels(why).inc()
            if why == "left":
                raise Abandoned("the client has left")
            raise TimeUp(f"no answer after {limits.max_seconds:g} s (--max-seconds); ask for less")
        finally:
            job.left.set()
            leaving.cancel()
            if not answer.done():
                answer.add_done_callback(lambda one: one.cancelled() or one.exception())
                future.cancel()

    def submit(
        self, name: str, work: Callable[[], T], pool: ThreadPoolExecutor | None = None
    ) -> Future[T]:
        """Let `work` wait for its turn in a pool; None: the model's thread. Call it in the loop.

        Raises QueueFull.
        """
        if self.waiting >= self._options.limits.max_queue:
            raise QueueFull(self.waiting, max(1, round(self._seconds * self.waiting)))
        loop = asyncio.get_running_loop()

        def timed() -> T:
            started = time.perf_counter()
            try:
                return work()
            finally:
                seconds = time.perf_counter() - started
                self._metrics.seconds.labels(name).observe(seconds)
                if pool is None:
                    self._seconds += 0.1 * (seconds - self._seconds)

        self.waiting += 1
        future = (pool or self._thread).submit(timed)
        future.add_done_callback(lambda _: self._one_less(loop))
        return future

    def in_turn(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in the model's thread; called from another thread."""
        return self._thread.submit(work).result()

    def _one_less(self, loop: asyncio.AbstractEventLoop) -> None:
        def less() -> None:
            self.waiting -= 1

        if not loop.is_closed():
            loop.call_soon_threadsafe(less)

    def load(
        self, job: Job | None = None, *, masks: bool = False, everything: bool = False
    ) -> BaseSegmenter[Any]:
        """Return the segmenter for words; one that takes points and boxes; one for everything."""
        from lexiseg import loading

        config = self._options.config or loading.make_config()
        if (masks or everything) and not isinstance(config, loading.config_class(WITH_MASKS)):
            config = loading.make_config(WITH_MASKS)
        if everything:  # by the same models as clicks
            config = replace(config, **_everything())
        return self._loaded(config)

    def load_for_examples(self) -> BaseSegmenter[Any]:
        """Return what finds things by examples alone, with the encoder that words go to.

        An encoder of which a prompt is a plane learns from what lies outside an example's box too,
        where `dense` knows only the mean inside.
        """
        from lexiseg import loading

        segmenter = self.load()
        config = self._options.config or loading.make_config()
        if not isinstance(config, loading.config_class("dense")):
            return segmenter
        try:
            return self._loaded(loading.make_config(FOR_EXAMPLES, encoder=vars(config)["encoder"]))
        except OptionError:  # of other encoders: no such prompts
            return segmenter

    def _loaded(self, config: Any) -> BaseSegmenter[Any]:
        from lexiseg import loading

        key = repr(config)
        if key not in self._segmenters:
            given = self._options.load
            made: Any = loading.load(
                config,
                device=given.device,
                dtype=given.dtype,
                pull=given.pull,
                offline=given.offline,
            )
            self._segmenters[key] = made
        return self._segmenters[key]

    def tracker(self) -> Tracker:
        """Return what follows objects in videos."""
        if self._tracker is None:
            from lexiseg.models import load_tracker

            self._tracker = load_tracker("tiny", self._options.load)
        return self._tracker

    def release(self) -> None:
        """Let go of models and encoded pictures; they come back with the next request."""
        self._segmenters.clear()
        self._tracker = None
        self.generator.network = None
        self.views.clear()

    def segment(self, asked: SegmentRequest, data: bytes | None, job: Job) -> dict[str, Any]:
        """Return the answer to a request. Raises UnknownDigest, and whatever a segmenter raises."""
        limits = self._options.limits
        if asked.has_only_examples:
            segmenter = self.load_for_examples()
        else:
            segmenter = self.load(masks=asked.has_clicks, everything=asked.everything)
        digest, picture = self._picture(asked, data)
        words = asked.prompts(picture.rgb, limits.max_pixels, limits.max_words)
        for_clicks = asked.has_clicks and words is None
        segmenter = _with_settings(segmenter, asked, words)
        self.check_words(segmenter, words)
        view = self._view(segmenter, digest, picture, words=not for_clicks)
        job.check()
        given: dict[str, Any] = {}
        if asked.has_clicks:
            given = {
                "points": asked.points,
                "boxes": asked.boxes,
                "not_points": asked.not_points,
            }
        seg = segmenter(view, words, background=asked.background, **given)
        job.check()
        return segment_document(seg, picture, digest, asked.masks, limits.max_masks)

    def refine(self, asked: RefineRequest, data: bytes | None, job: Job) -> dict[str, Any]:
        """Return the answer to a request: one instance, of the word "mask"."""
        segmenter: Any = self.load(masks=True)
        digest, picture = self._picture(asked, data)
        view = self._view(segmenter, digest, picture, words=False)
        job.check()
        before = None if asked.mask is None else Masks.from_rle([asked.mask.model_dump()])
        seg = segmenter.refine(
            view, points=asked.points, not_points=asked.not_points, box=asked.box, mask=before
        )
        return segment_document(seg, picture, digest, "rle", 1)

    def edit(
        self, asked: EditRequest, data: bytes | None, job: Job
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Return the answer to a request, and the edited files.

        Raises NothingFound where no word of a step is in the picture, and as `segment`.
        """
        from lexiseg.edit.region import places_alike
        from lexiseg.edit.run import run
        from lexiseg.edit.steps import check_order

        digest, picture = self._picture(asked, data)
        steps = [self.edit_step(step, job.check) for step in asked.steps]
        check_order(steps)
        seg = self._words_of_edit(asked, digest, picture)
        result: Any = picture
        missing: list[str] = []
        for step, given in zip(steps, asked.steps, strict=True):
            job.check()
            own = None
            if given.masks:
                own = Masks.from_rle([one.model_dump() for one in given.masks], picture.size_hw)
            where, found = _region(step, own, seg)
            missing += [name for name in step.names if name not in found]
            alike = None if seg is None or own is not None else places_alike(seg, found)
            result = run(step.operation, result, where, step.config, words=found, alike=alike)
        extra: dict[str, Any] = {"digest": digest, "missing": missing}
        if seg is not None:
            extra["provenance"] = seg.provenance.to_json()
        return edit_document(result, asked.format, extra)

    def edit_step(self, step: StepRequest, check: Callable[[], None]) -> EditStep:
        """Return a step, with its network where it needs one.

        check: called at each of the network's steps; what it raises ends the work.
        """
        made = edit_step(step, self._options.limits.max_pixels, self.generator)
        if wanted_model(made.config) is None:
            return made
        network = self.generator.get()
        given: Any = {"model": network, "progress": lambda *_: check()}
        return replace(made, config=replace(made.config, **given))

    def _words_of_edit(
        self, asked: EditRequest, digest: str, picture: Picture
    ) -> Segmentation | None:
        texts = [text for step in asked.steps for text in _listed(step.words)]
        if not texts:
            return None
        texts += [text for text in _listed(asked.words) if text not in texts]
        segmenter = self.load()
        if asked.threshold is not None:
            segmenter = segmenter.with_config(threshold=asked.threshold)
        view = self._view(segmenter, digest, picture)
        return segmenter(view, list(dict.fromkeys(texts)), background=asked.background)

    def _picture(self, asked: Any, data: bytes | None) -> tuple[str, Picture]:
        """Return the digest of a request's picture, and the picture."""
        if (data is None) == (asked.digest is None):
            raise PictureError("give a picture, or the digest of one that was sent before")
        digest = asked.digest or hashlib.sha256(data or b"").hexdigest()
        kept = self.views.any_of(digest)
        if kept is not None:
            return digest, kept.picture
        if data is None:
            raise UnknownDigest(f"the picture {digest[:12]}... is not kept here; send it again")
        return digest, imaging.read_bytes(data, max_pixels=self._options.limits.max_pixels)

    def _view(
        self, segmenter: BaseSegmenter[Any], digest: str, picture: Picture, *, words: bool = True
    ) -> View[Any]:
        key = (digest, " ".join((segmenter.name, *segmenter.models)))
        kept = self.views.get(key)
        made = self._prepared(segmenter, picture if kept is None else kept, words)
        if made is not kept:
            self.views.put(key, made)
        return made

    @staticmethod
    def _prepared(segmenter: Any, image: Any, words: bool) -> View[Any]:
        view: View[Any]
        if segmenter.name == WITH_MASKS:
            view = segmenter.prepare(image, words=words)
        else:
            view = segmenter.prepare(image)
        return view

    def check_words(self, segmenter: BaseSegmenter[Any], words: Any) -> None:
        """Raise PromptError where a text holds more words than a request may."""
        if isinstance(words, str) and words != "@auto":
            count = len(segmenter.vocabulary(words).names)
            limit = self._options.limits.max_words
            if count > limit:
                from lexiseg.errors import PromptError

                raise PromptError(f"{count:,} words, more than {limit:,} (--max-words)")


def _everything() -> dict[str, Any]:
    from lexiseg.methods.clip_then_sam import PRESETS

    return dict(PRESETS["everything"])


def _with_settings(
    segmenter: BaseSegmenter[Any], asked: SegmentRequest, words: Any
) -> BaseSegmenter[Any]:
    given: dict[str, Any] = {}
    if asked.threshold is not None:
        given["threshold"] = asked.threshold
    if asked.thresholds:
        given["word_thresholds"] = dict(asked.thresholds)
    if asked.flat is not None:
        given["flat"] = asked.flat
    return segmenter.with_config(**given) if given else segmenter


def _region(
    step: EditStep, own: Masks | None, seg: Segmentation | None
) -> tuple[Masks, tuple[str, ...]]:
    """Return what a step means, and those of its words that were found."""
    from lexiseg.edit.steps import missing_reasons, nothing_found

    if own is not None:
        return own, ()
    if seg is None:
        raise NothingFound(f"{step.operation}: say what is meant, by words or by masks")
    words, masks = step.masks(seg)
    if not words:
        why = missing_reasons(seg)
        raise NothingFound(nothing_found(step.names, "the picture", why))
    return masks, words


def _listed(words: Any) -> list[str]:
    from lexiseg.prompts import split_words

    return list(split_words(words)) if isinstance(words, str) else list(words)
