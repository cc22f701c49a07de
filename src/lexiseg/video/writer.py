"""Frames into MP4 files, a part at a time, and the parts into one file with the source's sound."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexiseg.errors import DiskFull, OutputError
from lexiseg.video.reader import VideoReader, import_av

__all__ = ["PartWriter", "join_parts"]

_CODECS = ("libx264", "h264", "mpeg4")

Part = tuple[Path, int]  # a file, and when its first frame is shown, in the source's time_base


class PartWriter:
    """Writes frames that follow each other to a temporary name; `close` gives the file its own.

    Of frames with odd sides the last row or column is left out: the format has none.
    """

    def __init__(self, path: Path, reader: VideoReader) -> None:
        self._av = import_av()
        self.path = path
        self._partial = path.with_name(f".{path.name}.partial.mp4")
        self._reader = reader
        self._container: Any = None
        self._stream: Any = None
        self._first = 0

    def add(self, rgb: NDArray[np.uint8], pts: int) -> None:
        """Write a frame, (H, W, 3) uint8. Raises OutputError, DiskFull."""
        rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        with _told(self.path, self._av):
            if self._container is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._open(rgb.shape[1], rgb.shape[0])
                self._first = pts
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = pts - self._first, self._reader.time_base
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def close(self) -> Part | None:
        """Finish the file, and give it its name; None where no frame came."""
        if self._container is None:
            return None
        with _told(self.path, self._av):
            for packet in self._stream.encode():
                self._container.mux(packet)
            container, self._container = self._container, None
            container.close()
            os.replace(self._partial, self.path)
        return self.path, self._first

    def abandon(self) -> None:
        """Leave no unfinished file behind."""
        if self._container is not None:
            with suppress(self._av.error.FFmpegError):
                self._container.close()
            self._container = None
        self._partial.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        container = self._av.open(str(self._partial), "w", format="mp4")
        codec = next(one for one in _CODECS if one in self._av.codecs_available)
        stream = container.add_stream(
            codec, rate=Fraction(self._reader.rate).limit_denominator(100_000)
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._reader.time_base
        if codec == "libx264":
            # Without frames that wait for later ones, parts can be joined; x264's macroblock tree
            # is another from run to run, even of the same frames.
            stream.options = {"crf": "20", "preset": "veryfast", "bf": "0", "mbtree": "0"}
        self._container, self._stream = container, stream


def join_parts(parts: Sequence[Part], path: Path, reader: VideoReader) -> list[str]:
    """Write one file of parts, in order, with the sound of the source; nothing is encoded again.

    Returns remarks for the reader.
    Raises OutputError, DiskFull.
    """
    av = import_av()
    partial = path.with_name(f".{path.name}.partial.mp4")
    notes: list[str] = []
    container: Any = None
    try:
        with _told(path, av):
            container = av.open(str(partial), "w", format="mp4")
            with av.open(str(parts[0][0])) as first:
                video = container.add_stream_from_template(first.streams.video[0])
            audio = None
            if reader.audio is not None:
                try:
                    audio = container.add_stream_from_template(reader.audio)
                except (ValueError, av.error.FFmpegError) as error:
                    notes.append(f"the sound cannot be kept in MP4 ({error})")
            sound = reader.sound() if audio is not None else iter(())
            heard = next(sound, None)
            for packet in _packets(parts, reader.time_base, av):
                while heard is not None and _seconds(heard) <= _seconds(packet):
                    heard.stream = audio
                    container.mux(heard)
                    heard = next(sound, None)
                packet.stream = video
                container.mux(packet)
            while heard is not None:
                heard.stream = audio
                container.mux(heard)
                heard = next(sound, None)
            container.close()
            container = None
            os.replace(partial, path)
    finally:
        if container is not None:
            with suppress(av.error.FFmpegError):
                container.close()
        partial.unlink(missing_ok=True)
    return notes


def _packets(parts: Sequence[Part], time_base: Fraction, av: Any) -> Iterator[Any]:
    """The frames of parts, encoded, at the times that they have in the source."""
    for path, first in parts:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.dts is None:
                    continue
                shift = first * time_base
                pts = round((packet.pts * stream.time_base + shift) / time_base)
                dts = round((packet.dts * stream.time_base + shift) / time_base)
                packet.time_base, packet.pts, packet.dts = time_base, pts, dts
                yield packet


def _seconds(packet: Any) -> Fraction:
    return Fraction(packet.dts) * Fraction(packet.time_base)


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
