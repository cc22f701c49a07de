"""The ASGI application: routes, errors as JSON, and the page."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException as RoutingError
from starlette.routing import Route

from lexiseg._version import __version__
from lexiseg.errors import InputError, LexisegError, MissingError, NothingFound, PictureError
from lexiseg.server.archive import archive_of, export_formats
from lexiseg.server.engine import Engine
from lexiseg.server.jobs import Abandoned, QueueFull, TimeUp, UnknownDigest
from lexiseg.server.metrics import Metrics
from lexiseg.server.options import ServerOptions, describe_limits
from lexiseg.server.requests import (
    EditRequest,
    ExportRequest,
    RefineRequest,
    SegmentRequest,
    body_schema,
    read_request,
    validation_message,
)
from lexiseg.server.security import COOKIE, Guard, error_document
from lexiseg.server.video_requests import FramesRequest, TrackRequest
from lexiseg.server.video_routes import add_video_routes
from lexiseg.server.videos import Videos

__all__ = ["create_app"]

_T = TypeVar("_T")
_Asked = TypeVar("_Asked", bound=BaseModel)
_LOG = logging.getLogger("lexiseg.server")
_MEDIA = {"png": "png", "jpg": "jpeg", "webp": "webp", "tif": "tiff", "avif": "avif"}
_STATUS: tuple[tuple[type[LexisegError], int], ...] = (
    (QueueFull, 429),
    (TimeUp, 408),
    (Abandoned, 499),
    (UnknownDigest, 404),
    (NothingFound, 422),
    (PictureError, 400),
    (InputError, 422),
    (MissingError, 424),
)


def create_app(options: ServerOptions | None = None, shared: tuple[Path, int] | None = None) -> Any:
    """Return the ASGI application of a server; `run` serves it, and so does any ASGI server.

    shared: of one of several processes, see `Metrics`.
    """
    options = options or ServerOptions()
    metrics = Metrics(shared)
    engine = Engine(options, metrics)
    videos = Videos(engine, options.limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.ensure_future(engine.run("load", engine.load, _forever))
        loading.add_done_callback(_log_failure)
        sharing = None if shared is None else asyncio.ensure_future(_share(metrics))
        yield
        if sharing is not None:
            sharing.cancel()
        await asyncio.to_thread(videos.close)
        await asyncio.to_thread(engine.close)

    app = FastAPI(
        title="lexiseg",
        version=__version__,
        summary="Say what you want in a picture, and get its masks.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
    )
    app.state.engine, app.state.options = engine, options
    _add_errors(app)
    answers: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {"application/json": {"schema": _ERROR_SCHEMA}}}
        for code, text in _ERRORS.items()
    }
    _add_work(app, engine, options, answers)
    add_video_routes(app, videos, options.limits, answers, _gone, partial(_log, options))
    _add_facts(app, engine, options, metrics)
    if options.page:
        from lexiseg.web import add_page

        add_page(app, options.token, COOKIE)
    _add_schemas(app)

    def count(scope: MutableMapping[str, Any], status: int) -> None:
        route = scope.get("route")
        path = route.path if isinstance(route, Route) else "other"
        metrics.requests.labels(path, str(status)).inc()

    return Guard(app, options, count)


def _add_work(
    app: FastAPI,
    engine: Engine,
    options: ServerOptions,
    answers: dict[int | str, dict[str, Any]],
) -> None:
    async def answer(
        request: Request,
        kind: type[_Asked],
        work: str,
        do: Callable[[_Asked, bytes | None, Any], _T],
    ) -> tuple[_Asked, _T]:
        """Read a request, and return it with what the engine makes of it in its turn."""
        asked, data = await read_request(request, kind)
        if work == "examples" and not getattr(asked, "examples", ()):
            raise HTTPException(422, "examples: give at least one, {'box': [...]} or an 'image'")
        _log(options, work, asked)
        return asked, await engine.run(work, lambda job: do(asked, data, job), _gone(request))

    @app.post("/v1/segment", openapi_extra=body_schema(SegmentRequest), responses=answers)
    async def segment(request: Request) -> Response:
        """Find words, points, boxes or examples in a picture."""
        return JSONResponse((await answer(request, SegmentRequest, "segment", engine.segment))[1])

    @app.post("/v1/examples", openapi_extra=body_schema(SegmentRequest), responses=answers)
    async def examples(request: Request) -> Response:
        """Find what looks like examples: as `/v1/segment`, with at least one of them."""
        return JSONResponse((await answer(request, SegmentRequest, "examples", engine.segment))[1])

    @app.post("/v1/refine", openapi_extra=body_schema(RefineRequest), responses=answers)
    async def refine(request: Request) -> Response:
        """Draw or correct one mask by points, a box, and the mask so far."""
        return JSONResponse((await answer(request, RefineRequest, "refine", engine.refine))[1])

    @app.post("/v1/export", openapi_extra=body_schema(ExportRequest), responses=answers)
    async def export(request: Request) -> Response:
        """Write masks in a format of annotations: a ZIP file, and what was lost in a remark."""
        asked, _ = await read_request(request, ExportRequest)
        data = await asyncio.to_thread(archive_of, asked, options.limits.max_pixels)
        return Response(data, media_type="application/zip")

    @app.post("/v1/edit", openapi_extra=body_schema(EditRequest), responses=answers)
    async def edit(request: Request) -> Response:
        """Remove, replace, restyle or cut out what words or masks mean.

        JSON with the files in it as base64; the first file alone where the client accepts images
        and no JSON.
        """
        asked, (document, files) = await answer(request, EditRequest, "edit", engine.edit)
        accepted = request.headers.get("accept", "*/*")
        if "image/" in accepted and "json" not in accepted:
            return Response(files[0], media_type=f"image/{_MEDIA[asked.format]}")
        return JSONResponse(document)

    @app.post("/v1/release")
    async def release(request: Request) -> Response:
        """Let go of models and encoded pictures; the next request loads them again."""
        await engine.run("release", lambda _: engine.release(), _gone(request))
        return JSONResponse({"released": True})


def _add_facts(app: FastAPI, engine: Engine, options: ServerOptions, metrics: Metrics) -> None:
    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        """Tell which model answers, what it knows, and which others there are."""
        facts = await engine.run("models", lambda _: _model_facts(engine, options), _gone(request))
        return JSONResponse(facts)

    @app.get("/healthz")
    async def healthz() -> Response:
        """Tell that the process answers."""
        return JSONResponse({"status": "ok", "version": __version__})

    @app.get("/readyz")
    async def readyz() -> Response:
        """Tell whether the model is loaded: 200 or 503."""
        ready = engine.ready
        return JSONResponse({"ready": ready}, status_code=200 if ready else 503)

    @app.get("/metrics")
    async def metrics_text() -> Response:
        """Tell counts and times in Prometheus' format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        """A page about the API, made of its OpenAPI document; nothing comes from elsewhere."""
        from lexiseg.server.openapi_page import render

        return Response(render(app.openapi()), media_type="text/html")


def _add_errors(app: FastAPI) -> None:
    async def lexiseg_error(_: Request, error: Exception) -> Response:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        headers = {"retry-after": str(error.seconds)} if isinstance(error, QueueFull) else {}
        document = error_document(type(error).__name__, str(error))
        return JSONResponse(document, status_code=status, headers=headers)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, ValidationError)
        return JSONResponse(error_document("BadRequest", validation_message(error)), 422)

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RoutingError)
        document = error_document(getattr(error, "kind", "BadRequest"), str(error.detail))
        return JSONResponse(document, error.status_code, headers=error.headers)

    async def fault(_: Request, error: Exception) -> Response:
        _LOG.error("a fault: %s: %s", type(error).__name__, " ".join(str(error).split()))
        return JSONResponse(error_document("Fault", "the server made a mistake; see its log"), 500)

    app.add_exception_handler(LexisegError, lexiseg_error)
    app.add_exception_handler(ValidationError, invalid)
    app.add_exception_handler(RoutingError, refused)
    app.add_exception_handler(Exception, fault)


def _add_schemas(app: FastAPI) -> None:
    """Put the bodies that routes read themselves into the OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for kind in (
            SegmentRequest, EditRequest, RefineRequest, ExportRequest, TrackRequest, FramesRequest,
        ):  # fmt: skip
            made = kind.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= made.pop("$defs", {})
            schemas[kind.__name__] = made
        return document

    app.openapi = openapi  # type: ignore[method-assign]


_STRONGER = "lexiseg ui --encoder clip-vit-b16.openai --pull"  # that knows more words
_ERROR_SCHEMA = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
            "required": ["type", "message"],
        }
    },
    "required": ["error"],
}
_ERRORS = {
    400: "The picture or the JSON cannot be read",
    401: "The token is missing or wrong",
    403: "Called by a page of another site",
    404: "The picture named by its digest is not kept",
    408: "The request came, or was answered, too slowly",
    413: "The request is too large",
    415: "Neither JSON nor a form",
    421: "Called by a name that is not this server's",
    422: "Words, places or options cannot be used, or an edit finds nothing",
    424: "Weights or an extra are missing",
    429: "Too many requests wait; see Retry-After",
}


def _model_facts(engine: Engine, options: ServerOptions) -> dict[str, Any]:
    from lexiseg import edit, list_checkpoints, list_methods
    from lexiseg.edit.operations.style import STYLES
    from lexiseg.prompts import named

    segmenter = engine.load()
    scorer = segmenter.scorer
    return {
        "method": segmenter.name,
        "models": list(segmenter.models),
        "device": scorer.device_name,
        "dtype": scorer.dtype_name,
        "known_words": list(getattr(scorer, "known_words", ())),
        "named_vocabularies": [f"@{name}" for name in named.names()],
        "operations": [
            {"name": one.name, "summary": one.summary} for one in edit.list_operations()
        ],
        "styles": list(STYLES),
        "stronger": _STRONGER,
        "generator": engine.generator.to_json(),
        "video_missing": None if find_spec("av") else "pip install 'lexiseg[video]'",
        "export_formats": export_formats(),
        "methods": [{"name": one.name, "summary": one.summary} for one in list_methods()],
        "checkpoints": [{"name": one.name, "licence": one.licence} for one in list_checkpoints()],
        "limits": dict(describe_limits(options.limits)),
        "version": __version__,
    }


def _gone(request: Request) -> Callable[[], Awaitable[None]]:
    """Return what waits until the client has left; its whole body is read by then."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue

    return gone


async def _share(metrics: Metrics) -> None:
    while True:
        metrics.share()
        await asyncio.sleep(1)


async def _forever() -> None:
    await asyncio.Event().wait()


def _log(options: ServerOptions, work: str, asked: BaseModel) -> None:
    """Words are the client's own matter: they are told only where the operator asks for it."""
    if options.log_prompts:
        files = {"image", "examples", "video", "frames"}
        plain = asked.model_dump(exclude=files, exclude_defaults=True)
        _LOG.info("%s %s", work, json.dumps(plain, ensure_ascii=False)[:2000])
    else:
        _LOG.info("%s", work)


def _log_failure(loading: asyncio.Future[Any]) -> None:
    if not loading.cancelled() and (error := loading.exception()) is not None:
        _LOG.error("the model cannot be loaded: %s", error)
