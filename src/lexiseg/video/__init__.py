"""Videos: words are found in key frames, and objects are followed between them.

    seg = lexiseg.load("tiny")
    for frame in lexiseg.track(seg, frames, ["dog", "ball"]):
        frame.ids, frame.result.labels, frame.result.masks

`run_video` does the same from file to files; it needs the extra `video`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexiseg.video.tracking import TrackedFrame, TrackOptions, track

if TYPE_CHECKING:
    from lexiseg.video.run import VideoSummary, run_video

__all__ = ["TrackOptions", "TrackedFrame", "VideoSummary", "run_video", "track"]


def __getattr__(name: str) -> Any:
    if name in ("VideoSummary", "run_video"):
        from lexiseg.video import run

        return getattr(run, name)
    raise AttributeError(f"module 'lexiseg.video' has no attribute {name!r}")
