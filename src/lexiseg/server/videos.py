"""Videos over HTTP: objects are followed frame by frame, and each frame is told as it is done.

A video is worked on in a thread of its own; models are called in the model's thread, a frame at a
time, so that requests about photos come in between.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg.errors import NothingFound, PictureError, PromptError
from lexiseg.server.engine import Engine
from lexiseg.server.jobs import TimeUp
from lexiseg.server.video_requests import (
    FramesRequest,
    TrackRequest,
    Uploads,
    saved_video,
    too_many_frames,
)

if TYPE_CHECKING:
    from lexiseg.server.options import Limits

__all__ = ["Lines", "Videos"]

Lines = AsyncGenerator[dict[str, Any]]

_UNREAD = 32  # lines that may wait for a client
_JPEG = [1, 85]  # OpenCV's flag of the quality, in percent
_FILES = {"overlay": "overlay.mp4", "tracks": "tracks.json", "mot": "mot.txt"}


class _Left(Exception):
    """Nobody reads the answer any more."""


class Videos:
    """What a server does with videos: things are followed in one at a time."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine, self._limits = engine, limits
        self._tracking = ThreadPoolExecutor(1, thread_name_prefix="lexiseg-video")
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="lexiseg-frames")

    def close(self) -> None:
        """Stop once what is running has ended."""
        for pool in (self._tracking, self._reading):
            pool.shutdown(wait=True, cancel_futures=True)

    def track(self, asked: TrackRequest, uploads: Uploads) -> Lines:
        """Yield a head, a line a frame, and a summary with the files that were asked for."""
        return self._lines("track", self._tracking, partial(self._track, asked, uploads))

    def frames(self, asked: FramesRequest, uploads: Uploads) -> Lines:
        """Yield a head, each frame as a small picture ("jpeg", base64 of its file), a summary."""
        return self._lines("frames", self._reading, partial(self._frames, asked, uploads))

    async def _lines(
        self, name: str, pool: ThreadPoolExecutor, work: Callable[[_Tell], None]
    ) -> Lines:
        """Yield what `work` tells in a thread of the pool, and raise what it raises.

        Once nobody reads any more, the next line that it tells ends it. Raises QueueFull.
        """
        tell = _Tell(asyncio.get_running_loop(), self._limits.track_seconds)

        def run() -> None:
            end: Exception | None = None
            try:
                tell.start()
                work(tell)
            except _Left:
                return
            except Exception as error:  # noqa: BLE001 - raised again where lines are read
                end = error
            tell.end(end)

        future = self._engine.submit(name, run, pool)
        try:
            while (line := await tell.lines.get()) is not None:
                if isinstance(line, Exception):
                    raise line
                yield line
        finally:
            tell.left.set()
            future.cancel()

    def _track(self, asked: TrackRequest, uploads: Uploads, tell: _Tell) -> None:
        from lexiseg.video.run import run_video

        with saved_video(asked, uploads, self._limits) as path:
            head = _head(path, self._limits)
            words = asked.words or None
            if words is None and not asked.points:
                raise PromptError("nothing to follow: give words, or points in a frame")
            engine = self._engine
            steps = [engine.edit_step(step, tell.check) for step in asked.steps]
            segmenter, tracker = engine.in_turn(
                lambda: (engine.load(masks=words is None), engine.tracker())
            )
            if asked.threshold is not None:
                segmenter = segmenter.with_config(threshold=asked.threshold)
            engine.check_words(segmenter, words)
            names = () if words is None else segmenter.vocabulary(words).names
            tell({"head": {**head, "words": list(names)}})
            out = path.with_name("out")

            def told(line: dict[str, Any]) -> None:
                if line["frame"] >= self._limits.max_frames:
                    raise too_many_frames(self._limits)
                tell(line)

            with suppress(NothingFound):  # the summary tells it: it has no objects
                run_video(
                    path, words, out, segmenter=_InTurn(segmenter, engine.in_turn),
                    tracker=_InTurn(tracker, engine.in_turn), points=asked.points_by_frame,
                    options=asked.track_options, steps=steps, progress=lambda *_: tell.check(),
                    told=told,
                )  # fmt: skip
            summary = json.loads((out / "result.json").read_text("utf-8"))
            wanted: dict[str, str] = {one: _FILES[one] for one in asked.files}
            if steps:
                wanted["edited"] = "edited.mp4"
            summary["files"] = {
                one: _base64((out / name).read_bytes())
                for one, name in wanted.items()
                if (out / name).is_file()
            }
            tell({"summary": summary})

    def _frames(self, asked: FramesRequest, uploads: Uploads, tell: _Tell) -> None:
        import cv2

        from lexiseg.video.reader import VideoReader

        with saved_video(asked, uploads, self._limits) as path:
            tell({"head": _head(path, self._limits)})
            with VideoReader(path) as reader:
                for index, frame in enumerate(reader.frames()):
                    if index >= self._limits.max_frames:
                        raise too_many_frames(self._limits)
                    height, width = frame.rgb.shape[:2]
                    scale = min(1.0, asked.max_side / max(height, width))
                    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
                    small = cv2.resize(frame.rgb, size_wh, interpolation=cv2.INTER_AREA)
                    _, jpeg = cv2.imencode(".jpg", small[:, :, ::-1], _JPEG)
                    tell({
                        "frame": index, "seconds": round(float(frame.pts * reader.time_base), 6),
                        "jpeg": _base64(jpeg.tobytes()),
                    })  # fmt: skip
                tell({"summary": {"notes": list(reader.notes)}})


class _Tell:
    """Hands lines from a thread to the answer; waits where the client reads slowly."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop, self._seconds = loop, seconds
        self._end = float("inf")
        self.lines: asyncio.Queue[dict[str, Any] | Exception | None] = asyncio.Queue(_UNREAD)
        self.left = threading.Event()

    def start(self) -> None:
        """Let the time run from now."""
        self._end = time.monotonic() + self._seconds
        self.check()

    def check(self) -> None:
        """Raise _Left where nobody reads any more, TimeUp where the time is over."""
        if self.left.is_set():
            raise _Left
        if time.monotonic() > self._end:
            raise TimeUp(f"not done after {self._seconds:g} s (--track-seconds); send a part of it")

    def __call__(self, line: dict[str, Any]) -> None:
        """Tell a line. Raises as `check` does."""
        put = self._put(line)
        while True:
            try:
                return put.result(0.2)
            except FutureTimeout:
                try:
                    self.check()
                except BaseException:
                    put.cancel()
                    raise

    def end(self, error: Exception | None) -> None:
        """Tell that no more lines come; waits for nobody."""
        self._put(error)

    def _put(self, line: dict[str, Any] | Exception | None) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(self.lines.put(line), self._loop)


class _InTurn:
    """A model whose calls wait for their turn in the model's thread."""

    def __init__(self, model: Any, submit: Callable[[Callable[[], Any]], Any]) -> None:
        self._model, self._submit = model, submit

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        return self._submit(partial(self._model, *args, **arguments))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        if not callable(found):
            return found
        return lambda *args, **arguments: self._submit(partial(found, *args, **arguments))


def _head(path: Path, limits: Limits) -> dict[str, Any]:
    """Return what a video is: frames as its file says, 0 where it does not, rate, upright size.

    Raises PictureError, OptionError.
    """
    from lexiseg.video.reader import VideoReader

    with VideoReader(path) as reader:
        height, width = int(reader.stream.height), int(reader.stream.width)
        if height * width > limits.max_pixels:
            raise PictureError(
                f"the video has {width} x {height} pixels, more than {limits.max_pixels:,} "
                "(--max-pixels)"
            )
        if reader.num_frames > limits.max_frames:
            raise too_many_frames(limits)
        height, width = next(iter(reader.frames())).rgb.shape[:2]
        return {
            "num_frames": reader.num_frames,
            "rate": round(float(reader.rate), 3),
            "height": height,
            "width": width,
        }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
