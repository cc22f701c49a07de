"""`lexiseg models`: list the weights, download them, tell where they lie."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lexiseg.cli.terminal import Parser, table
from lexiseg.errors import OptionError, UnknownName

if TYPE_CHECKING:
    from lexiseg.checkpoints import Record

__all__ = ["run"]

# Name -> whether it takes models' names.
_ACTIONS = {"list": False} | dict.fromkeys(("pull", "verify", "path", "remove"), True)
_NOTES = """actions:
  list         the models that are known, and whether they are on this machine; --kind KIND for
               encoders, proxies, maskers, methods, detectors or inpainters alone
  pull NAME    download and verify; --trust for a model that is not pinned: nobody has published
               the digests of its files, so they are taken as they are now, and these from then on
  verify NAME  read every byte of it again and compare
  path NAME    print the folder of its files
  remove NAME  delete what was downloaded of it; --words deletes the vectors of words that were kept
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("models", "The weights that methods use.", epilog=_NOTES)
    parser.usage = "lexiseg models [list | pull | verify | path | remove] [NAME...] [options]"
    parser.add_argument(
        "action", nargs="?", default="list", help="list, pull, verify, path or remove"
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--kind", metavar="KIND", help="list: models of one kind")
    parser.add_argument("--json", action="store_true", help="list: print one JSON document")
    parser.add_argument("--trust", action="store_true", help="pull: files of unknown digests too")
    parser.add_argument("--words", action="store_true", help="remove: the vectors of words kept")
    parser.add_argument("--offline", action="store_true", help="never connect to anything")
    args = parser.parse(argv)
    if args.action not in _ACTIONS:
        raise UnknownName.among("action of `lexiseg models`", args.action, _ACTIONS)
    belongs = {"kind": "list", "json": "list", "trust": "pull", "words": "remove"}
    for option, action in belongs.items():
        if getattr(args, option) and args.action != action:
            raise OptionError(
                f"--{option} is for `lexiseg models {action}`, not for {args.action}; leave it out"
            )
    if bool(args.names) != _ACTIONS[args.action] and not args.words:
        wants = "takes no names" if args.names else "needs the name of a model"
        raise OptionError(f"lexiseg models {args.action} {wants}; see lexiseg models --help")
    from lexiseg.checkpoints import pull, resolve, verify_again

    if args.action == "list":
        return _list(args.kind, as_json=args.json)
    if args.words:
        _remove(None)
    for name in args.names:
        if args.action == "remove":
            _remove(name)
            continue
        if args.action == "pull":
            checkpoint = pull(name, trust=args.trust, offline=args.offline or None)
        else:
            checkpoint = verify_again(name) if args.action == "verify" else resolve(name)
        if args.action == "verify":
            for file in checkpoint.record.files:
                sys.stdout.write(f"{checkpoint[file.name]}  {file.sha256}\n")
            continue
        folders = sorted({str(path.parent) for path in checkpoint.paths.values()})
        sys.stdout.write("".join(f"{folder}\n" for folder in folders))
    return 0


def _remove(name: str | None) -> None:
    from lexiseg.checkpoints import remove, remove_words

    folder = remove_words() if name is None else remove(name)
    nothing = f"nothing of {name} is on this machine" if name else "no words are kept"
    sys.stdout.write(f"{folder} is gone\n" if folder else f"{nothing}\n")


def _list(kind: str | None, *, as_json: bool) -> int:
    from lexiseg.checkpoints import KINDS, is_here, records, with_pin
    from lexiseg.models import families

    if kind is not None and kind not in KINDS and kind.removesuffix("s") not in KINDS:
        raise UnknownName.among("kind of model", kind, KINDS)
    kinds = list(KINDS)
    chosen = [r for r in records() if kind is None or r.kind in (kind, kind.removesuffix("s"))]
    chosen.sort(key=lambda r: (kinds.index(r.kind), r.family, r.name))
    readable = families()
    if as_json:
        document = [
            {
                **with_pin(r).to_json(),
                "here": is_here(r),
                "pinned": r.pinned,
                "readable": r.family in readable,
            }
            for r in chosen
        ]
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        return 0
    head = ["model", "here", "size", "licence", "from"]
    rows = [head, *(_row(r, here=is_here(r), read=r.family in readable) for r in chosen)]
    lines = table(rows, right=(2,), indent=2).splitlines()
    sys.stdout.write(f"{lines[0]}\n")
    of_kinds = zip(chosen, lines[1:], strict=True)
    for name, group in groupby(of_kinds, key=lambda pair: pair[0].kind):
        sys.stdout.write(f"{name}: {KINDS[name]}\n")
        sys.stdout.write("".join(f"{line}\n" for _, line in group))
    if not all(r.pinned for r in chosen):
        sys.stdout.write("? unpinned: nobody has published its digests; a pull needs --trust\n")
    if not all(r.family in readable for r in chosen):
        sys.stdout.write("* can be pulled, but this version does not read it yet\n")
    return 0


def _row(record: Record, *, here: bool, read: bool) -> list[str]:
    """A record's line; ``lexiseg models list --json`` tells all of it."""
    from lexiseg.checkpoints import with_pin

    name = record.name if read else f"{record.name} *"
    states = {
        "yes": here,
        "gated": record.gated and not here,
        "no": not here and not record.gated,
        "unpinned": not record.pinned,
    }
    state = ", ".join(word for word, holds in states.items() if holds)
    bytes = with_pin(record).bytes
    size = f"{bytes / 1e6:,.1f} MB" if bytes else "?"
    url = urlsplit(record.files[0].url).netloc
    source = record.repo.partition("/")[0] or url or "the package"
    return [name, state, size, _short(record.licence, 20), _short(source, 13)]


def _short(text: str, most: int) -> str:
    """`text`, cut so that a line has at most 100 letters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
