"""An HTTP server over one shared segmenter; see `docs/how_to/serve.md`.

Needs the extra `serve`. `create_app` returns the ASGI application, `run` serves it, `run_workers`
with several processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexiseg.errors import ExtraMissing
from lexiseg.server.options import ServerOptions

if TYPE_CHECKING:
    from lexiseg.server.app import create_app
    from lexiseg.server.connections import log_to_stderr, run
    from lexiseg.server.workers import run_workers

__all__ = ["ServerOptions", "create_app", "log_to_stderr", "run", "run_workers"]


def __getattr__(name: str) -> Any:
    if name not in ("create_app", "log_to_stderr", "run", "run_workers"):
        raise AttributeError(f"module 'lexiseg.server' has no attribute {name!r}")
    try:
        from lexiseg.server.app import create_app
        from lexiseg.server.connections import log_to_stderr, run
        from lexiseg.server.workers import run_workers
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"the server needs {error.name}, which is not installed; install it: "
            "pip install 'lexiseg[serve]'"
        ) from error
    return {
        "create_app": create_app,
        "log_to_stderr": log_to_stderr,
        "run": run,
        "run_workers": run_workers,
    }[name]
