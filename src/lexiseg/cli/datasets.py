"""`lexiseg datasets`: which data sets are known, what of one is there, and how to get it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexiseg.cli.inputs import to_path
from lexiseg.cli.terminal import Parser, Progress, table
from lexiseg.errors import LexisegError, OptionError, UnknownName

if TYPE_CHECKING:
    from lexiseg.datasets import DatasetInfo
    from lexiseg.datasets.catalogue import AnyDataset, Part

__all__ = ["run"]

# Name -> whether it takes a data set's name.
_ACTIONS = {"list": False, "check": True, "how": True}
_NOTES = """actions:
  list         the data sets that are opened as they are published
  check NAME   what of one is in --root, and what is missing; exit code 1 where no split opens.
               With --read every photo and mask is read, too; exit code 1 where one cannot be
  how NAME     where it comes from, its licence and size, and the commands that get it

Nothing is downloaded. `lexiseg evaluate` and `lexiseg train` open the same sets.
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("datasets", "The data sets that methods are measured on.", epilog=_NOTES)
    parser.usage = "lexiseg datasets [list | check NAME --root DIR | how NAME] [options]"
    parser.add_argument("action", nargs="?", default="list", help="list, check or how")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a data set")
    parser.add_argument("--root", metavar="DIR", type=to_path, help="check: where the set lies")
    parser.add_argument("--read", action="store_true", help="check: read every photo and mask")
    parser.add_argument("--kind", metavar="KIND", help="list: sets of one kind")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse(argv)
    if args.action not in _ACTIONS:
        raise UnknownName.among("action of `lexiseg datasets`", args.action, _ACTIONS)
    for option, action in {"root": "check", "read": "check", "kind": "list"}.items():
        if getattr(args, option) not in (None, False) and args.action != action:
            raise OptionError(
                f"--{option} is for `lexiseg datasets {action}`, not for {args.action}; leave it "
                "out"
            )
    if (args.name is not None) != _ACTIONS[args.action]:
        wants = "needs the name of a data set" if args.name is None else "takes no name"
        raise OptionError(f"lexiseg datasets {args.action} {wants}; see lexiseg datasets --help")
    if args.action == "list":
        return _list(args.kind, as_json=args.json)
    from lexiseg.datasets import dataset_info

    info = dataset_info(args.name)
    if args.action == "how":
        _say(_described(info), lambda: _how(info), as_json=args.json)
        return 0
    with Progress() as progress:
        found = _check(info, args.root or Path(), progress.step if args.read else None)
    _say(found, lambda: _checked(info, found), as_json=args.json)
    unread = any(split.get("unreadable") for split in found["splits"])
    return 0 if any(split["opens"] for split in found["splits"]) and not unread else 1


def _say(document: dict[str, Any], text: Callable[[], str], *, as_json: bool) -> None:
    shown = json.dumps(document, ensure_ascii=False, indent=1) + "\n" if as_json else text()
    sys.stdout.write(shown)


def _list(kind: str | None, *, as_json: bool) -> int:
    from lexiseg.datasets import list_datasets

    known = list_datasets()
    kinds = sorted({info.kind for info in known})
    if kind is not None and kind not in kinds:
        raise UnknownName.among("kind of data set", kind, kinds)
    chosen = [info for info in known if kind in (None, info.kind)]
    if as_json:
        document = [_described(info) for info in chosen]
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        return 0
    rows = [["set", "kind", "splits", "what it is"]]
    for info in chosen:
        splits = ", ".join(split.name for split in info.splits)
        rows.append([info.name, info.kind, splits, info.title])
    sys.stdout.write(table(rows, indent=0))
    sys.stdout.write("lexiseg datasets how NAME   where one comes from, and how to get it\n")
    return 0


def _described(info: DatasetInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "kind": info.kind,
        "home": info.home,
        "licence": info.licence,
        "size": info.size,
        "commands": list(info.commands),
        "notes": info.notes,
        "vocabulary": info.vocabulary,
        "folder": info.folders[0],
        "splits": [
            {
                "name": split.name,
                "count": split.count,
                "parts": [{"what": part.what, "paths": list(part.paths)} for part in split.parts],
            }
            for split in info.splits
        ],
    }


def _how(info: DatasetInfo) -> str:
    rows = [["home", info.home], ["licence", info.licence], ["size", info.size]]
    if info.vocabulary is not None:
        rows.append(["words", f"--vocabulary sclip asks as papers do (@{info.vocabulary})"])
    text = f"{info.name}: {info.title}\n{table(rows)}"
    text += "\nget it, in the folder DIR:\n"
    text += "".join(f"  {command}\n" for command in info.commands)
    if info.notes:
        text += f"  # {info.notes}\n"
    first = info.splits[0]
    text += f"\nthen DIR, or {info.folders[0]} in it, holds, for {first.name}:\n"
    text += table([[" or ".join(part.paths), part.what] for part in first.parts])
    text += f"\n  lexiseg datasets check {info.name} --root DIR\n"
    return text


def _check(
    info: DatasetInfo, given: Path, read: Callable[[int, int, str], None] | None
) -> dict[str, Any]:
    """What of a set is there. InputError where the set's own folder is not.

    read: called as files are read; None: they are not.
    """
    root = info.find(given)
    splits = []
    for split in info.splits:
        parts = [_part(root, part) for part in split.parts]
        opens, count, why, unreadable = False, None, None, None
        try:
            opened = info.open(root, split.name)
            opens = True
            few_shot = info.kind == "few-shot"
            count = len(opened) if not few_shot or split.count is None else split.count
            if read is not None:
                unreadable = _unreadable(opened, read)
        except LexisegError as error:
            why = str(error)
        splits.append({
            "name": split.name, "parts": parts, "opens": opens, "count": count,
            "published": split.count, "why": why,
            **({} if unreadable is None else {"unreadable": unreadable}),
        })  # fmt: skip
    return {"name": info.name, "root": str(root), "splits": splits}


def _unreadable(data: AnyDataset, progress: Callable[[int, int, str], None]) -> list[str]:
    """Why photos and masks of a set cannot be read, a line each."""
    from lexiseg import imaging
    from lexiseg.datasets import FewShotDataset, InstanceDataset, PhraseDataset, VideoDataset

    samples: list[Any]
    if isinstance(data, VideoDataset):
        samples = [(video, place) for video in data for place in range(len(video))]
    elif isinstance(data, FewShotDataset):
        samples = list(data.samples.values())
    else:
        samples = list(data.semantic() if isinstance(data, InstanceDataset) else data)
    out = []
    for number, one in enumerate(samples, start=1):
        try:
            if isinstance(data, VideoDataset):
                video, place = one
                imaging.read(video.frames[place])
                if video.masks[place] is not None:
                    video.objects(place)
            else:
                size_hw = imaging.read(one.path).size_hw
                (one.mask if isinstance(data, PhraseDataset) else one.labels)(size_hw)
        except LexisegError as error:
            out.append(str(error))
        progress(number, len(samples), f"{data.name}/{data.split}")
    return out


def _part(root: Path, part: Part) -> dict[str, Any]:
    from lexiseg.datasets.layout import is_there

    there = next((path for path in part.paths if is_there(root / path)), None)
    return {"what": part.what, "paths": list(part.paths), "there": there}


_SHOWN = 10  # lines of what cannot be read; --json has all
_COUNTED = {"few-shot": "episodes", "phrases": "phrases", "video": "videos"}


def _checked(info: DatasetInfo, found: dict[str, Any]) -> str:
    text = f"{info.name} in {found['root']}\n"
    counted = _COUNTED.get(info.kind, "photos")
    for split in found["splits"]:
        if split["opens"]:
            of = "" if split["published"] is None else f" of {split['published']:,}"
            text += f"\n{split['name']}: {split['count']:,}{of} {counted}\n"
        else:
            text += f"\n{split['name']}: cannot be opened\n"
        rows = [
            ["there" if part["there"] else "missing", part["there"] or " or ".join(part["paths"]),
             part["what"]]
            for part in split["parts"]
        ]  # fmt: skip
        text += table(rows)
        if split["why"]:
            text += f"  {split['why']}\n"
        if "unreadable" in split:
            wrong = split["unreadable"]
            text += f"  {len(wrong):,} that cannot be read\n" if wrong else "  all can be read\n"
            text += "".join(f"    {line}\n" for line in wrong[:_SHOWN])
            text += "    ...\n" if len(wrong) > _SHOWN else ""
    if not all(split["opens"] for split in found["splits"]):
        text += f"\nlexiseg datasets how {info.name}   how to get what is missing\n"
    return text
