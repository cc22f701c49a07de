"""Frames into an MP4 file, at the times that the source has, with its sound."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import DiskFull, OutputError
from lexiseg.video.reader import VideoReader, import_av

__all__ = ["VideoWriter"]

_CODECS = ("libx264", "h264", "mpeg4")


class VideoWriter:
    """Writes frames to a temporary name; `close` gives the file its own.

    Of frames with odd sides the last row or column is left out: the format has none.
    """

    def __init__(self, path: Path, reader: VideoReader) -> None:
        self._av = import_av()
        self.path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._reader = reader
        self._container: Any = None
        self._stream: Any = None
        self._audio: Any = None
        self._waiting: list[Any] = []

    def add(self, rgb: NDArray[np.uint8], pts: int) -> None:
        """Write a frame, (H, W, 3) uint8. Raises OutputError, DiskFull."""
        rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        with _told(self.path, self._av):
            if self._container is None:
                self._open(rgb.shape[1], rgb.shape[0])
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = pts, self._reader.time_base
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def add_audio(self, packet: Any) -> None:
        """Copy a packet of the source's sound."""
        if self._container is None:
            self._waiting.append(packet)  # until the size is known
            return
        with _told(self.path, self._av):
            self._mux_audio(packet)

    def close(self) -> None:
        """Finish the file, and give it its name."""
        if self._container is None:
            return
        with _told(self.path, self._av):
            for packet in self._stream.encode():
                self._container.mux(packet)
            self._container.close()
            self._container = None
            os.replace(self._partial, self.path)

    def abandon(self) -> None:
        """Leave no file behind."""
        if self._container is not None:
            with suppress(self._av.error.FFmpegError):
                self._container.close()
            self._container = None
        self._partial.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        container = self._av.open(str(self._partial), "w", format="mp4")
        codec = next(one for one in _CODECS if one in self._av.codecs_available)
        rate = self._reader.rate
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(100_000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._reader.time_base
        if codec == "libx264":
            stream.options = {"crf": "20", "preset": "veryfast"}
        if self._reader.audio is not None:
            try:
                self._audio = container.add_stream_from_template(self._reader.audio)
            except (ValueError, self._av.error.FFmpegError) as error:
                self._reader.notes.append(f"the sound cannot be kept in MP4 ({error})")
        self._container, self._stream = container, stream
        for packet in self._waiting:
            self._mux_audio(packet)
        self._waiting = []

    def _mux_audio(self, packet: Any) -> None:
        if self._audio is not None:
            packet.stream = self._audio
            self._container.mux(packet)


class _told:
    """Turns what PyAV and the system raise into OutputError."""

    def __init__(self, path: Path, av: Any) -> None:
        self._path, self._av = path, av

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError | self._av.error.FFmpegError):
            full = getattr(error, "errno", None) in (28, 122)
            raise (DiskFull if full else OutputError)(
                f"{str(self._path)!r} cannot be written ({error}); make room, or give another --out"
            ) from error
