"""`lexiseg ui`: the page to point and say, in a browser, on this machine."""

from __future__ import annotations

from dataclasses import replace

from lexiseg.cli.serve import add_server_flags, read_options, start
from lexiseg.cli.terminal import Parser

__all__ = ["run"]

_NOTES = """The page works without any network. Photos stay on this machine.

examples:
  lexiseg ui
  lexiseg ui --port 9000 --no-browser
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("ui", "Open a page to find, correct and edit things in photos.", epilog=_NOTES)
    add_server_flags(parser)
    parser.add_argument("--no-browser", action="store_true", help="open no browser")
    args = parser.parse(argv)
    given = replace(read_options(args), page=True)
    return start(given, quiet=args.quiet, opened=not args.no_browser)
