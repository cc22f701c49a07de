"""`lexiseg serve`: segment and edit over HTTP; `lexiseg ui`: the same with a page."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import fields, replace
from pathlib import Path

from lexiseg.cli import options
from lexiseg.cli.inputs import to_path
from lexiseg.cli.terminal import Parser
from lexiseg.errors import OptionError
from lexiseg.protocols import LoadOptions
from lexiseg.server import ServerOptions
from lexiseg.server.options import Limits

__all__ = ["add_server_flags", "read_options", "run", "start"]

_NOTES = """examples:
  lexiseg serve
  lexiseg serve --port 9000 --max-queue 16
  lexiseg serve --host 0.0.0.0 --token-file token.txt --allow-host seg.example.org

  curl -F image=@photo.jpg -F words="sky; red car" http://127.0.0.1:8008/v1/segment

The API is described at /docs and /openapi.json of the server. Nothing is kept on disk, no word is
logged (but see --log-prompts), and no address is ever opened.
"""
_ABOUT = {
    "max_bytes": "of a request",
    "max_pixels": "of a picture",
    "max_words": "of a request",
    "max_masks": "of an answer",
    "max_queue": "requests that wait; others get 429",
    "max_seconds": "that a request may take",
    "upload_seconds": "that a client may take to send a request",
    "cache_bytes": "of encoded pictures that are kept",
    "max_connections": "open at the same time",
    "max_frames": "of a video",
    "track_seconds": "that following things through a video may take",
}


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("serve", "Serve segmentation and editing over HTTP.", epilog=_NOTES)
    add_server_flags(parser)
    parser.add_argument("--page", action="store_true", help="serve the page too, as lexiseg ui")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=1,
        help="processes, each with a model of its own (%(default)s)",
    )
    args = parser.parse(argv)
    if args.workers < 1:
        raise OptionError(f"--workers is {args.workers}; give at least 1")
    given = replace(read_options(args), page=bool(args.page))
    return start(given, quiet=args.quiet, workers=args.workers)


def start(
    given: ServerOptions, *, quiet: bool = False, opened: bool = False, workers: int = 1
) -> int:
    """Serve until a signal ends it. opened: show the page in a browser once it is there."""
    from lexiseg.server import log_to_stderr, run_workers
    from lexiseg.server import run as serve

    handler = log_to_stderr(quiet=quiet)

    def started(address: str) -> None:
        sys.stdout.write(f"lexiseg: listening at {address} (Ctrl+C ends it)\n")
        sys.stdout.flush()
        if opened:
            import webbrowser

            token = "" if given.token is None else f"/login?token={given.token}"
            webbrowser.open(address + token)

    try:
        if workers > 1:
            run_workers(given, workers, started, quiet=quiet)
        else:
            serve(given, started)
    except KeyboardInterrupt:  # the way to end it; all accepted requests are answered by then
        return 0
    finally:
        logging.getLogger("lexiseg.server").removeHandler(handler)
    return 0


def add_server_flags(parser: Parser) -> None:
    """Add the flags of a server and those of its model."""
    group = parser.add_argument_group("the server")
    add = group.add_argument
    add("--host", metavar="ADDRESS", help=f"where to listen ({ServerOptions.host})")
    add("--port", metavar="N", type=int, help=f"({ServerOptions.port}); 0 takes a free one")
    add(
        "--token-file",
        metavar="FILE",
        type=to_path,
        help="a file with the token that clients must send; needed for other machines",
    )
    add(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further name by which the server may be called; may be repeated",
    )
    for one in fields(Limits):
        kind = float if one.name.endswith("seconds") else int
        flag = f"--{one.name.replace('_', '-')}"
        text = f"{_ABOUT[one.name]} ({one.default:,})"
        add(flag, metavar="N", type=kind, help=text)
    add(
        "--inpainter",
        metavar="NAME",
        help="what makes words into pixels for replace and style (sd-2-inpainting, if pulled)",
    )
    add("--log-prompts", action="store_true", help="write words into the log")
    add("-q", "--quiet", action="store_true", help="log errors only")
    options.add_model_flags(parser)


def read_options(args: argparse.Namespace) -> ServerOptions:
    """Return what the flags say. Raises OptionError, UnknownName, as commands with a model do."""
    limits = {
        one.name: value for one in fields(Limits) if (value := getattr(args, one.name)) is not None
    }
    listed = {
        name: value for name in ("host", "port") if (value := getattr(args, name)) is not None
    }
    named = any(
        getattr(args, name) for name in ("method", "encoder", "masker", "preset", "settings")
    )
    return ServerOptions(
        **listed,
        token=None if args.token_file is None else _token(args.token_file),
        allowed_hosts=tuple(args.allow_host),
        config=options.build_config(args) if named or args.refine else None,
        load=LoadOptions(args.device, args.dtype, bool(args.pull), args.offline or None),
        inpainter=args.inpainter,
        log_prompts=bool(args.log_prompts),
        limits=Limits(**limits),
    )


def _token(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise OptionError(
            f"--token-file {str(path)!r} cannot be read ({error}); give a text file with a token"
        ) from error
