"""Frames of a video file, upright RGB, with the times at which they are shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import ExtraMissing, PictureError

__all__ = ["Frame", "VideoReader", "import_av"]

_MAX_BROKEN = 50  # packets in a row that cannot be decoded
# A playlist or a list of files would lead to other files, or to addresses.
_ONE_FILE = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,flv,ogg,asf,gif,"
    "apng,ivf,obu,av1,mxf,dv,wtv,rm,nut,y4m,yuv4mpegpipe",
}


def import_av() -> Any:
    """Return PyAV. Raises ExtraMissing."""
    try:
        import av
    except ImportError as error:
        raise ExtraMissing(
            "videos need PyAV, which is not installed; install it: pip install 'lexiseg[video]'"
        ) from error
    return av


@dataclass(frozen=True, eq=False)
class Frame:
    """rgb: (H, W, 3) uint8, upright. pts: when it is shown, in units of the reader's time_base."""

    rgb: NDArray[np.uint8]
    pts: int


class VideoReader:
    """Opens a file; `frames` yields what its first video stream shows, in order.

    size_hw: of upright frames. time_base: seconds a unit of `Frame.pts`. rate: frames a second, a
    mean. num_frames: as the file says, 0 where it does not. notes: what was odd.
    Raises PictureError for what is no video, with what to do.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        av = import_av()
        self.path = Path(path)
        self.notes: list[str] = []
        name = str(self.path)
        if self.path.is_dir():
            raise PictureError(f"{name!r} is a folder, not a video; give the video's file")
        if not self.path.is_file():
            raise PictureError(f"{name!r} does not exist, or is no file; give a video's file")
        if not self.path.stat().st_size:
            raise PictureError(f"{name!r} is empty (0 bytes); copy or download it again")
        try:
            self._container = av.open(name, container_options=_ONE_FILE)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise PictureError(
                f"{name!r} is not a video that can be read ({_reason(error)}); is it whole, and "
                "not encrypted? convert it to MP4"
            ) from error
        streams = self._container.streams.video
        if not streams:
            kinds = sorted({one.type for one in self._container.streams}) or ["nothing"]
            self._container.close()
            raise PictureError(f"{name!r} holds no video stream ({', '.join(kinds)} only)")
        self.stream = streams[0]
        self.stream.thread_type = "AUTO"
        self.time_base = self.stream.time_base or Fraction(1, 1000)
        self.rate = self._rate()
        self.num_frames = int(self.stream.frames or 0)
        self.audio = next(iter(self._container.streams.audio), None)
        self.size_hw = (0, 0)  # known with the first frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield frames from number `start` on; those before are decoded, as later ones need them.

        A frame that is broken is left out, and noted. May be asked for once. Raises PictureError
        where none can be read, or their size changes.
        """
        av = import_av()
        broken = row = count = 0
        first = last = None
        packets = iter(self._container.demux(self.stream))
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.error.FFmpegError as error:
                self.notes.append(f"the file ends early ({_reason(error)})")
                break
            try:
                decoded = list(packet.decode())
                row = 0
            except av.error.FFmpegError:
                broken, row = broken + 1, row + 1
                if row > _MAX_BROKEN:
                    break
                continue
            for frame in decoded:
                turns = round(getattr(frame, "rotation", 0) / 90) % 4  # counter-clockwise
                size_hw = (frame.height, frame.width)[:: -1 if turns % 2 else 1]
                if not count:
                    self.size_hw = size_hw
                elif size_hw != self.size_hw:
                    raise PictureError(
                        f"{str(self.path)!r} changes its size from {self.size_hw} to "
                        f"{size_hw} (height, width) at frame {count}; convert it first"
                    )
                pts = frame.pts if frame.pts is not None else self._next(last)
                if last is not None and pts <= last:
                    pts = last + 1
                first = pts if first is None else first
                last = pts
                count += 1
                if count > start:
                    yield Frame(_upright(frame, turns), pts)
        if broken:
            self.notes.append(f"{broken} broken frames were left out")
        self._note_early_end(first, last)
        if not count:
            raise PictureError(f"{str(self.path)!r} holds no frame that can be decoded")

    def sound(self) -> Iterator[Any]:
        """Yield the packets of the audio stream, as they are in the file."""
        av = import_av()
        with av.open(str(self.path)) as container:
            packets = iter(container.demux(container.streams.audio[0]))
            while True:
                try:
                    packet = next(packets)
                except (StopIteration, av.error.FFmpegError):
                    return
                if packet.dts is not None:
                    yield packet

    def _note_early_end(self, first: int | None, last: int | None) -> None:
        """Note a file that says it is longer than what it holds, as one that was cut off does."""
        told = None
        if self.stream.duration:
            told = self.stream.duration * self.time_base
        elif self._container.duration and self.audio is None:
            told = Fraction(self._container.duration, 1_000_000)
        if told is None or first is None or last is None:
            return
        shown = (last - first) * self.time_base + 1 / self.rate
        if shown < told * Fraction(9, 10) - 2 / self.rate:
            self.notes.append(f"it ends after {float(shown):.1f} of {float(told):.1f} seconds")

    def _next(self, last: int | None) -> int:
        if last is None:
            return 0
        return last + max(1, round(1 / (self.rate * self.time_base)))

    def _rate(self) -> Fraction:
        for rate in (self.stream.average_rate, self.stream.base_rate, self.stream.guessed_rate):
            if rate:
                return Fraction(rate)
        self.notes.append("the file tells no frame rate; 25 a second is assumed")
        return Fraction(25)


def _upright(frame: Any, turns: int) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
