"""The routes of videos: an answer comes line by line, or is one file."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from lexiseg.errors import LexisegError, NothingFound
from lexiseg.server.jobs import Abandoned
from lexiseg.server.options import Limits
from lexiseg.server.requests import body_schema, read_upload
from lexiseg.server.security import error_document
from lexiseg.server.video_requests import FILES, FramesRequest, TrackRequest
from lexiseg.server.videos import Lines, Videos

__all__ = ["add_video_routes"]

_LOG = logging.getLogger("lexiseg.server")
_LINES = "application/x-ndjson"
Gone = Callable[[], Awaitable[None]]


def add_video_routes(
    app: FastAPI,
    videos: Videos,
    limits: Limits,
    answers: dict[int | str, dict[str, Any]],
    gone: Callable[[Request], Gone],
    log: Callable[[str, Any], None],
) -> None:
    """Add `/v1/track` and `/v1/frames`. gone: makes what awaits that a request's client leaves."""

    @app.post("/v1/track", openapi_extra=body_schema(TrackRequest, FILES), responses=answers)
    async def track(request: Request) -> Response:
        """Follow words or points through a video.

        JSON lines: {"head": ...}, then a line a frame as it is done, {"frame": 0, "seconds": 0.0,
        "key": true, "objects": [{"id", "word", "score", "box_xywh", "area", "rle"}]}, then
        {"summary": ...} with the files that were asked for, base64; {"error": ...} where it fails
        on the way. Where the client accepts `video/mp4` and no JSON, the video with the masks over
        it, or edited by the steps. A client that leaves ends the work.
        """
        asked, uploads = await read_upload(request, TrackRequest, list(FILES), limits.max_frames)
        log("track", asked)
        accepted = request.headers.get("accept", "*/*")
        if "video/" in accepted and "json" not in accepted:
            asked = asked.model_copy(update={"files": ["overlay"]})
            data = await _file_of(videos.track(asked, uploads), gone(request))
            return Response(data, media_type="video/mp4")
        return await _streamed(videos.track(asked, uploads), gone(request))

    @app.post("/v1/frames", openapi_extra=body_schema(FramesRequest, FILES), responses=answers)
    async def frames(request: Request) -> Response:
        """Give the frames of a video as small pictures, in JSON lines: to point at things in them.

        {"head": ...} with the frames' own size, then {"frame": 0, "seconds": 0.0, "jpeg": base64} a
        frame, then {"summary": ...}.
        """
        asked, uploads = await read_upload(request, FramesRequest, list(FILES), limits.max_frames)
        log("frames", asked)
        return await _streamed(videos.frames(asked, uploads), gone(request))


async def _streamed(lines: Lines, gone: Gone) -> Response:
    """Answer with lines as they come; what fails before the first one is an error of its own."""
    first = await _next(lines, gone)

    async def written() -> AsyncIterator[bytes]:
        async with aclosing(lines):
            try:
                yield _line(first)
                async for line in lines:
                    yield _line(line)
            except LexisegError as error:
                yield _line(error_document(type(error).__name__, str(error)))
            except Exception as error:  # noqa: BLE001 - the answer has begun: told in a line
                _LOG.error("a fault: %s: %s", type(error).__name__, " ".join(str(error).split()))
                yield _line(error_document("Fault", "the server made a mistake; see its log"))

    return StreamingResponse(written(), media_type=_LINES)


async def _file_of(lines: Lines, gone: Gone) -> bytes:
    """Return the video of a summary. Raises NothingFound where nothing was followed."""
    async with aclosing(lines):
        while True:
            line = await _next(lines, gone)
            if (summary := line.get("summary")) is not None:
                break
    if not summary["objects"]:
        raise NothingFound(f"nothing found in {summary['frames']:,} frames of the video")
    files = summary["files"]
    return base64.b64decode(files.get("edited") or files["overlay"])


async def _next(lines: Lines, gone: Gone) -> dict[str, Any]:
    """Return the next line. Raises Abandoned where the client leaves before it comes."""
    line = asyncio.ensure_future(anext(lines))
    leaving = asyncio.ensure_future(gone())
    try:
        await asyncio.wait((line, leaving), return_when=asyncio.FIRST_COMPLETED)
        if line.done():
            return line.result()
        line.cancel()
        raise Abandoned("the client has left")
    finally:
        leaving.cancel()


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"
