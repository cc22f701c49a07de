"""The tools of `lexiseg mcp`: segment, edit and describe pictures of one folder, for agents.

An agent names files inside the folder that the server was started for; nothing outside is read or
written, nothing is overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg import imaging
from lexiseg.errors import ExtraMissing, InputError, LexisegError, NothingFound, OutputError
from lexiseg.prompts import split_words

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from lexiseg.methods._base import BaseSegmenter

__all__ = ["Workspace", "mcp_server"]


class Workspace:
    """What agents may do in a folder. Loads a model when it is first needed."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{str(folder)!r} is no folder; give the one whose pictures to use")
        self._folder = folder.resolve()
        self._loaded: BaseSegmenter[Any] | None = None

    def describe(self, picture: str) -> dict[str, Any]:
        """Tell what is in a picture: size, and the known things that it shows."""
        seg = self._segmenter()(self._path(picture))
        return {
            "width": seg.size_hw[1],
            "height": seg.size_hw[0],
            "things": [
                {
                    "word": word,
                    "share": round(seg.share(word), 4),
                    "score": round(float(seg.word_scores[seg.index(word)]), 3),
                    "boxes_xyxy": seg[word].boxes_xyxy.tolist(),
                }
                for word in seg.found
            ],
        }

    def segment(self, picture: str, words: str, out: str | None = None) -> dict[str, Any]:
        """Find words in a picture; write an overlay and a mask a word into a new folder."""
        from lexiseg.export import save_masks, save_overlay

        path = self._path(picture)
        seg = self._segmenter()(path, words)
        folder = self._new(out or f"{path.stem}-masks")
        files: dict[str, str] = {}
        if seg.found:
            save_overlay(seg, folder / "overlay.png", path)
            files = {word: self._told(one) for word, one in save_masks(seg, folder).items()}
            files["overlay"] = self._told(folder / "overlay.png")
        unknown = {one.word: list(one.nearest) for one in seg.unknown}
        why = {one.phrase: one.reason for one in seg.readings if one.reason}
        return {
            "found": {
                word: {
                    "share": round(seg.share(word), 4),
                    "boxes_xyxy": seg[word].boxes_xyxy.tolist(),
                    "scores": [round(float(score), 3) for score in seg.scores[seg.labels == word]],
                }
                for word in seg.found
            },
            "not_found": [word for word in seg.words if word not in seg.found],
            "not_known": unknown,
            "reasons": why,
            "files": files,
        }

    def edit(
        self,
        picture: str,
        operation: str,
        words: str,
        with_: str | None = None,
        out: str | None = None,
    ) -> dict[str, Any]:
        """Edit what words name: remove, blur, pixelate, recolour, background, replace, cutout."""
        from lexiseg.edit.colour import is_colour
        from lexiseg.edit.steps import make_step, missing_reasons, nothing_found, run_steps

        path = self._path(picture)
        if (
            with_ is not None
            and operation in ("replace", "background")
            and not (is_colour(with_) or with_ in ("transparent", "blur"))
        ):
            with_ = str(self._path(with_))  # a picture, of this folder
        options = {} if with_ is None else {"with": with_}
        step = make_step(operation, split_words(words), options, form="")
        seg = self._segmenter()(path, list(step.texts))
        if not any(name in seg.found for name in step.names):
            raise NothingFound(nothing_found(step.names, repr(picture), missing_reasons(seg)))
        result = run_steps(imaging.read(path), seg, [step])
        target = self._new(out or f"{path.stem}-{operation}.png")
        result.save(target)
        return {"file": self._told(target), **result.to_json()}

    def _segmenter(self) -> BaseSegmenter[Any]:
        if self._loaded is None:
            from lexiseg import loading

            made: Any = loading.load()
            self._loaded = made
        return self._loaded

    def _inside(self, name: str) -> Path:
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder):
            raise InputError(f"{name!r} leads out of the folder that this server may use")
        return path

    def _path(self, name: str) -> Path:
        path = self._inside(name)
        if not path.is_file():
            names = sorted(one.name for one in self._folder.iterdir() if imaging.is_picture(one))
            raise InputError(f"there is no file {name!r}; pictures here: {', '.join(names[:40])}")
        return path

    def _new(self, name: str) -> Path:
        path = self._inside(name)
        if path.exists():
            raise OutputError(f"{name!r} is there already, and is not overwritten; give another")
        return path

    def _told(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def mcp_server(folder: Path) -> MCPServer[Any]:
    """Return an MCP server with the tools of a folder. Raises ExtraMissing, InputError."""
    try:
        from mcp.server import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise ExtraMissing(
            "lexiseg mcp needs mcp, which is not installed; install it: pip install 'lexiseg[mcp]'"
        ) from error
    workspace = Workspace(folder)
    server: MCPServer[Any] = MCPServer(
        "lexiseg", instructions=re.sub(r"\s+", " ", __doc__ or "").strip()
    )

    def told(tool: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        @wraps(tool)
        def called(*args: Any, **arguments: Any) -> dict[str, Any]:
            try:
                return tool(*args, **arguments)
            except LexisegError as error:  # others are faults, whose text is the log's alone
                raise ToolError(str(error)) from error

        return called

    for tool in (workspace.describe, workspace.segment, workspace.edit):
        server.add_tool(told(tool))
    return server
