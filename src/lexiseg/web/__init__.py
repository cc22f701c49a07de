"""The page of `lexiseg ui`: plain files of the package, no build step, nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lexiseg.web.samples import list_samples, read_sample

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["add_page"]

_MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}


def add_page(app: FastAPI, token: str | None, cookie: str) -> None:
    """Add the page's files to a FastAPI application: `/`, `/static/NAME`, `/samples/NAME`.

    token: set as the cookie of that name on the page, where its address told it.
    """
    from fastapi import HTTPException
    from fastapi.responses import JSONResponse, RedirectResponse, Response

    static = {one.name: one for one in (files("lexiseg.web") / "static").iterdir()}

    def answer(name: str, data: bytes) -> Any:
        kind = _MEDIA.get(f".{name.rpartition('.')[2]}", "application/octet-stream")
        # Asked again each time, so that a newer version of the package shows its own page.
        return Response(data, media_type=kind, headers={"cache-control": "no-cache"})

    @app.get("/", include_in_schema=False)
    async def index() -> Any:
        return answer("index.html", static["index.html"].read_bytes())

    @app.get("/login", include_in_schema=False)
    async def login() -> Any:
        """Reached with the token alone: it becomes a cookie, and leaves the address."""
        response = RedirectResponse("/", status_code=303)
        if token is not None:
            response.set_cookie(cookie, token, httponly=True, samesite="strict")
        return response

    @app.get("/static/{name}", include_in_schema=False)
    async def file(name: str) -> Any:
        if name not in static:
            raise HTTPException(404, "no such file")
        return answer(name, static[name].read_bytes())

    @app.get("/samples", include_in_schema=False)
    async def samples() -> Any:
        return JSONResponse(list_samples())

    @app.get("/samples/{name}", include_in_schema=False)
    async def sample(name: str) -> Any:
        data = read_sample(name)
        if data is None:
            raise HTTPException(404, "no such photo")
        return answer(name, data)
