"""What clients send of videos: a file or frames, what to follow, and what they want of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from lexiseg import imaging
from lexiseg.errors import OptionError, PictureError
from lexiseg.server.options import Limits
from lexiseg.server.requests import CheckedModel, Point, StepRequest, Text
from lexiseg.video.tracking import TrackOptions

__all__ = [
    "FILES", "FramePoint", "FramesRequest", "TrackRequest", "Uploads", "saved_video",
    "too_many_frames",
]  # fmt: skip

FILES = {"video": False, "frames": True}  # fields with files -> whether they may repeat
Uploads = dict[str, list[bytes]]
Share = Annotated[float, Field(ge=0, le=1)]

_RATE = 10.0  # frames a second of pictures that come one by one, where none is told


class FramesRequest(CheckedModel):
    """A video: its file, or frames one by one."""

    video: str | None = Field(None, description="base64 of a video's file")
    frames: list[str] = Field([], description="base64 of a picture's file each, all of one size")
    rate: Annotated[float, Field(gt=0, le=240)] | None = Field(
        None, description=f"frames a second of `frames`; {_RATE:g} where left out"
    )
    max_side: Annotated[int, Field(ge=16, le=1280)] = Field(
        960, description="pixels of the longer side of the small pictures that /v1/frames gives"
    )


class FramePoint(CheckedModel):
    """A point on a thing in a frame: the thing is followed from there."""

    frame: Annotated[int, Field(ge=0)] = 0
    point: Point = Field(description="x, y in pixels")


class TrackRequest(FramesRequest):
    """What to follow in a video: words, points, or both."""

    words: list[Text] | Text | None = Field(None, description='a list, or one text: "dog; red car"')
    threshold: Share | None = None
    points: list[FramePoint] = Field([], max_length=256)
    every: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="frames between those in which words are looked for; 0: once a scene",
    )
    max_objects: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="followed at the same time"
    )
    min_score: Share | None = Field(None, description="of an instance that becomes an object")
    min_iou: Share | None = Field(None, description="with which an instance is a known object")
    min_likeness: Share | None = Field(None, description="cosine at which a lost one came back")
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="frames after which a lost one is given up"
    )
    steps: list[StepRequest] = Field([], max_length=32, description="edits of each frame, by words")
    files: list[Literal["overlay", "tracks", "mot"]] = Field(
        [], description="in the summary, base64: an MP4 with the masks, YouTube-VIS, MOT Challenge"
    )

    @property
    def track_options(self) -> TrackOptions:
        """What `lexiseg.track` is told; what was left out keeps its default."""
        names = ("every", "max_objects", "min_score", "min_iou", "min_likeness", "patience")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return TrackOptions(**given)

    @property
    def points_by_frame(self) -> dict[int, list[tuple[float, float]]]:
        """Frame -> its points."""
        out: dict[int, list[tuple[float, float]]] = {}
        for one in self.points:
            out.setdefault(one.frame, []).append(one.point)
        return out


@contextmanager
def saved_video(asked: FramesRequest, uploads: Uploads, limits: Limits) -> Iterator[Path]:
    """Yield the video's file, in a folder that only this process may read, and that goes away.

    Frames become a video without loss. Raises PictureError, OptionError, ExtraMissing; no message
    tells where the file lies.
    """
    videos, frames = uploads.get("video", []), uploads.get("frames", [])
    if bool(videos) == bool(frames):
        raise PictureError("give a video, or frames: pictures of one size, in their order")
    if len(frames) > limits.max_frames:
        raise too_many_frames(limits)
    with tempfile.TemporaryDirectory(prefix="lexiseg-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "video"
        try:
            if videos:
                path.write_bytes(videos[0])
            else:
                _write_frames(path, frames, asked.rate or _RATE, limits.max_pixels)
            yield path
        except PictureError as error:
            raise PictureError(str(error).replace(repr(str(path)), "the video")) from error


def too_many_frames(limits: Limits) -> OptionError:
    """Return the error that a video is too long."""
    return OptionError(
        f"the video has more than {limits.max_frames:,} frames (--max-frames); send a part of it"
    )


def _write_frames(path: Path, frames: Sequence[bytes], rate: float, max_pixels: int) -> None:
    from lexiseg.video.reader import import_av

    av = import_av()
    with av.open(str(path), "w", format="matroska") as container:
        stream: Any = None
        for number, data in enumerate(frames):
            rgb = imaging.read_bytes(data, name=f"frame {number}", max_pixels=max_pixels).rgb
            height, width = rgb.shape[:2]
            if stream is None:
                stream = container.add_stream("ffv1", rate=Fraction(rate).limit_denominator(1000))
                stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
            if (stream.height, stream.width) != (height, width):
                raise PictureError(
                    f"frame {number} has {width} x {height} pixels, those before "
                    f"{stream.width} x {stream.height}; send frames of one size"
                )
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
