"""The command `lexiseg`: finds the command's own file, runs it, and turns errors into exit codes.

0 done · 1 some pictures failed · 2 bad input or usage · 3 nothing matched the words · 4 weights or
an extra are missing · 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from lexiseg.cli.process import guarded_streams, interruptible
from lexiseg.errors import LexisegError, UnknownName, error_line

__all__ = ["main"]

# Name -> what it does. Each command is the file of its name here, imported when it is called.
COMMANDS = {
    "segment": "find words in pictures",
    "convert": "turn annotations of one format into another: COCO, YOLO, CVAT, ...",
    "edit": "remove, replace, restyle or cut out what words name",
    "batch": "segment and edit folders and tables of pictures; go on where it was ended",
    "video": "find words in a video, and follow what was found",
    "ui": "open a page in the browser: find, correct, edit",
    "serve": "serve the same over HTTP",
    "mcp": "serve tools for agents",
    "methods": "list the ways to segment",
    "models": "list the weights; download them",
    "info": "show what is installed and where it computes",
    "bench": "measure time and memory on a picture",
    "datasets": "list the data sets; what of one is there, and how to get it",
    "evaluate": "measure a method on data sets with masks",
    "reproduce": "measure again what papers report, or see what that needs",
    "compare": "compare two runs of evaluate, photo by photo",
    "score-edit": "measure edited pictures: FID, KID, CLIP score, textures",
    "train": "train a model on a folder of data sets",
}
_FAULT = 1
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run `lexiseg` with the arguments `argv` (those of the process if left out).

    Return the exit code. An error is one line on stderr; with LEXISEG_DEBUG=1 in the environment
    its traceback stands above it.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    with guarded_streams() as out:
        code = _code(args)
        out.flush()
        if out.failed is None:
            return code
        why = getattr(out.failed, "strerror", None) or out.failed
        return _say(f"what it says cannot be written to stdout ({why})", code or _FAULT)


def _code(args: list[str]) -> int:
    """Run a command and return its exit code; what goes wrong is said."""
    try:
        with interruptible():
            return _run(args)
    except SystemExit as end:  # argparse, after --help
        return int(end.code or 0)
    except KeyboardInterrupt:
        return _say("interrupted", _INTERRUPTED)
    except LexisegError as error:
        return _say(error_line(error), error.exit_code)
    except MemoryError as error:
        return _say(error_line(error), 2)
    except Exception as error:  # noqa: BLE001 - the outermost door: a fault of ours, told in a line
        return _say(error_line(error), _FAULT)


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        from lexiseg._version import __version__

        sys.stdout.write(f"lexiseg {__version__}\n")
        return 0
    name = args[0]
    if name not in COMMANDS:
        error = UnknownName.among("command", name, COMMANDS)
        if Path(name).exists():
            error = UnknownName(f"no command is named {name!r}; for a picture: lexiseg segment")
        raise error
    run = import_module(f"lexiseg.cli.{name.replace('-', '_')}").run
    return int(run(args[1:]))


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: lexiseg COMMAND ...",
            "",
            "Segment photos by words.",
            "",
            *lines,
            "",
            '  lexiseg segment photo.jpg sky tree "red car"',
            "",
            "lexiseg COMMAND --help   the options of a command",
            "lexiseg --version        the version",
            "",
        ]
    )


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"lexiseg: {' '.join(message.split())}\n")
    return code
