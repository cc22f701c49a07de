"""`lexiseg mcp`: the same as tools for agents, over the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path

from lexiseg.cli.inputs import to_path
from lexiseg.cli.terminal import Parser

__all__ = ["run"]

_NOTES = """The server speaks over stdin and stdout; an agent's program starts it. It reads
pictures of one folder and writes new files there; nothing outside is touched, nothing overwritten.

an agent's configuration:
  {"mcpServers": {"lexiseg": {"command": "lexiseg", "args": ["mcp", "--folder", "photos"]}}}
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("mcp", "Serve tools for agents: segment, edit, describe.", epilog=_NOTES)
    parser.add_argument(
        "--folder", metavar="DIR", type=to_path, help="whose pictures to use (this one)"
    )
    args = parser.parse(argv)
    from lexiseg.server.tools import mcp_server

    mcp_server(args.folder or Path()).run()
    return 0
