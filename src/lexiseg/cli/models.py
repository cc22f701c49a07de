"""`lexiseg models`: list the weights, download them, tell where they lie."""

from __future__ import annotations

import json
import sys
from urllib.parse import urlsplit

from lexiseg.cli.parser import Parser
from lexiseg.cli.table import table
from lexiseg.errors import OptionError, UnknownName

__all__ = ["run"]

# Name -> whether it takes models' names.
_ACTIONS = {"list": False} | dict.fromkeys(("pull", "verify", "path", "remove"), True)
_NOTES = """actions:
  list         the models that are known, and whether they are on this machine
  pull NAME    download and verify
  verify NAME  read every byte of it again and compare
  path NAME    print the folder of its files
  remove NAME  delete what was downloaded of it
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("models", "The weights that methods use.", epilog=_NOTES)
    parser.usage = "lexiseg models [list | pull | verify | path | remove] [NAME...] [options]"
    parser.add_argument(
        "action", nargs="?", default="list", help="list, pull, verify, path or remove"
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="list: print one JSON document")
    parser.add_argument("--offline", action="store_true", help="never connect to anything")
    args = parser.parse(argv)
    if args.action not in _ACTIONS:
        raise UnknownName.among("action of `lexiseg models`", args.action, _ACTIONS)
    if bool(args.names) != _ACTIONS[args.action]:
        wants = "takes no names" if args.names else "needs the name of a model"
        raise OptionError(f"lexiseg models {args.action} {wants}; see lexiseg models --help")
    from lexiseg.checkpoints import pull, resolve, verify_again

    if args.action == "list":
        return _list(as_json=args.json)
    for name in args.names:
        if args.action == "remove":
            _remove(name)
            continue
        if args.action == "pull":
            found = pull(name, offline=args.offline or None)
        else:
            found = verify_again(name) if args.action == "verify" else resolve(name)
        if args.action == "verify":
            for file in found.record.files:
                sys.stdout.write(f"{found[file.name]}  {file.sha256}\n")
            continue
        folders = sorted({str(path.parent) for path in found.paths.values()})
        sys.stdout.write("".join(f"{folder}\n" for folder in folders))
    return 0


def _remove(name: str) -> None:
    from lexiseg.checkpoints import remove

    folder = remove(name)
    gone = f"{folder} is gone" if folder else f"nothing of {name} is on this machine"
    sys.stdout.write(f"{gone}\n")


def _list(*, as_json: bool) -> int:
    from lexiseg.checkpoints import is_here, records, seen

    if as_json:
        document = [{**seen(record).to_json(), "here": is_here(record)} for record in records()]
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        return 0
    rows = [["model", "here", "size", "licence", "from"]]
    for record in map(seen, records()):
        here = "yes" if is_here(record) else "no"
        # What nobody wrote down is known once it was pulled.
        size = f"{record.bytes / 1e6:,.1f} MB" if record.bytes else "?"
        url = urlsplit(record.files[0].url).netloc
        source = record.repo or url or "in the package"
        gated = ", gated" if record.gated else ""
        rows.append([record.name, here, size, record.licence + gated, source])
    sys.stdout.write(table(rows, right=(2,), indent=0))
    return 0
